//! Workers.

use firstbad_api::worker::{Capabilities, Worker};
use sqlx::PgConnection;
use sqlx::types::Json;
use time::OffsetDateTime;
use uuid::Uuid;

use super::rfc3339;
use super::sight::{self, Sight};

pub async fn register(
    conn: &mut PgConnection,
    id: Uuid,
    name: &str,
    caps: &Capabilities,
) -> sqlx::Result<()> {
    sqlx::query(
        "INSERT INTO worker (id, name, caps) VALUES ($1, $2, $3)
         ON CONFLICT (id) DO UPDATE SET name = $2, caps = $3, seen_at = now()",
    )
    .bind(id)
    .bind(name)
    .bind(Json(caps))
    .execute(conn)
    .await?;
    Ok(())
}

/// A registered worker as the queue sees it.
#[derive(sqlx::FromRow)]
pub struct Seen {
    pub caps: Json<Capabilities>,
    /// It is to get no more work.
    pub drained: bool,
}

/// Marks a registered worker as seen.
pub async fn seen(conn: &mut PgConnection, id: Uuid) -> sqlx::Result<Option<Seen>> {
    sqlx::query_as(
        "UPDATE worker SET seen_at = now() WHERE id = $1
         RETURNING caps, drained_at IS NOT NULL AS drained",
    )
    .bind(id)
    .fetch_optional(conn)
    .await
}

/// Gives a worker no more work, or (`None`) gives it work again; false when there is no such worker,
/// or it is so already.
pub async fn drain(conn: &mut PgConnection, id: Uuid, by: Option<&str>) -> sqlx::Result<bool> {
    let rows = sqlx::query(
        "UPDATE worker SET drained_at = CASE WHEN $2::text IS NULL THEN NULL ELSE now() END, drained_by = $2
          WHERE id = $1 AND (drained_at IS NULL) = ($2 IS NOT NULL)",
    )
    .bind(id)
    .bind(by)
    .execute(conn)
    .await?
    .rows_affected();
    Ok(rows == 1)
}

pub async fn exists(conn: &mut PgConnection, id: Uuid) -> sqlx::Result<bool> {
    sqlx::query_scalar("SELECT EXISTS (SELECT FROM worker WHERE id = $1)")
        .bind(id)
        .fetch_one(conn)
        .await
}

#[derive(sqlx::FromRow)]
struct Row {
    id: Uuid,
    name: String,
    caps: Json<Capabilities>,
    registered_at: OffsetDateTime,
    seen_at: OffsetDateTime,
    live: bool,
    drained_by: Option<String>,
    attempt: Option<i64>,
    doing: Option<String>,
    done: i64,
    infra: i64,
    repeated: i64,
    not_exact: i64,
}

/// Workers, live ones first; `ttl_ms` decides who is live. What they do is told to those who can see it.
pub async fn list(
    conn: &mut PgConnection,
    sight: &Sight,
    ttl_ms: u64,
) -> sqlx::Result<Vec<Worker>> {
    let rows: Vec<Row> = sqlx::query_as(
        "SELECT w.id, w.name, w.caps, w.registered_at, w.seen_at, w.drained_by,
                w.seen_at > now() - make_interval(secs => $1) AS live,
                l.id AS attempt, format('attempt %s: %s %s', l.id, l.kind, coalesce(l.stage, '')) AS doing,
                (SELECT count(*) FROM attempt a WHERE a.state = 'done' AND a.worker = w.id) AS done,
                (SELECT count(*) FROM audit u WHERE u.what = 'infrastructure' AND u.who = w.id::text) AS infra,
                coalesce(r.repeated, 0) AS repeated, coalesce(r.not_exact, 0) AS not_exact
           FROM worker w
                LEFT JOIN LATERAL (SELECT a.id, a.kind, a.stage FROM attempt a
                                    WHERE a.state = 'leased' AND a.worker = w.id LIMIT 1) l ON true
                LEFT JOIN (
                SELECT worker, count(*) AS repeated, count(*) FILTER (WHERE differs <> '') AS not_exact
                  FROM (SELECT a.worker, r.attempt_id, r.differs
                          FROM repeat r JOIN attempt a ON a.id = r.attempt_id
                         UNION
                        SELECT a.worker, r.attempt_id, r.differs
                          FROM repeat r JOIN attempt a ON a.id = r.again_id) made
                 WHERE differs IS NOT NULL GROUP BY worker) r ON r.worker = w.id
          ORDER BY live DESC, w.seen_at DESC LIMIT 200",
    )
    .bind(ttl_ms as f64 / 1000.0)
    .fetch_all(&mut *conn)
    .await?;
    let mut workers = Vec::new();
    for r in rows {
        let doing = match r.attempt {
            None => None,
            Some(id) if sight::attempt(conn, sight, id).await? => r.doing,
            Some(_) => Some("an attempt".to_owned()),
        };
        workers.push(Worker {
            worker: r.id,
            name: r.name,
            caps: r.caps.0,
            registered_at: rfc3339(r.registered_at),
            seen_at: rfc3339(r.seen_at),
            live: r.live,
            drained_by: r.drained_by,
            doing: doing.map(|d| d.trim().to_owned()),
            done: r.done,
            infrastructure_failures: r.infra,
            repeated: r.repeated,
            not_exact: r.not_exact,
        });
    }
    Ok(workers)
}
