//! Webhooks and what is to be sent to them.

use firstbad_api::webhook::{Delivery, TEST_EVENT, Webhook};
use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use super::rfc3339;

/// Deliveries that a page shows.
const SHOWN: i64 = 200;

pub async fn insert(
    conn: &mut PgConnection,
    url: &str,
    secret: &str,
    owner: &str,
    events: &[String],
    every: bool,
    kind: &str,
) -> sqlx::Result<i64> {
    sqlx::query_scalar(
        "INSERT INTO webhook (url, secret, owner, events, every, kind) VALUES ($1, $2, $3, $4, $5, $6)
         RETURNING id",
    )
    .bind(url)
    .bind(secret)
    .bind(owner)
    .bind(events)
    .bind(every)
    .bind(kind)
    .fetch_one(conn)
    .await
}

/// Notes who is told of one job alone.
pub async fn call_back(
    conn: &mut PgConnection,
    job: i64,
    url: &str,
    secret: &str,
    owner: &str,
) -> sqlx::Result<()> {
    sqlx::query("INSERT INTO webhook (url, secret, owner, job_id) VALUES ($1, $2, $3, $4)")
        .bind(url)
        .bind(secret)
        .bind(owner)
        .bind(job)
        .execute(conn)
        .await?;
    Ok(())
}

/// How many are told of one job alone: in all, and of this owner.
pub async fn callbacks(conn: &mut PgConnection, job: i64, owner: &str) -> sqlx::Result<(i64, i64)> {
    sqlx::query_as(
        "SELECT count(*), count(*) FILTER (WHERE owner = $2) FROM webhook WHERE job_id = $1",
    )
    .bind(job)
    .bind(owner)
    .fetch_one(conn)
    .await
}

/// How many there are of an owner that are told of more than one job.
pub async fn count(conn: &mut PgConnection, owner: &str) -> sqlx::Result<i64> {
    sqlx::query_scalar(
        "SELECT count(*) FROM webhook WHERE owner = $1 AND job_id IS NULL AND kind = 'standard'",
    )
    .bind(owner)
    .fetch_one(conn)
    .await
}

#[derive(sqlx::FromRow)]
struct Row {
    id: i64,
    kind: String,
    job_id: Option<i64>,
    url: String,
    owner: String,
    events: Vec<String>,
    every: bool,
    created_at: OffsetDateTime,
    disabled: Option<String>,
    waiting: i64,
    failed: i64,
}

/// Those of an owner; of all without one.
pub async fn list(conn: &mut PgConnection, owner: Option<&str>) -> sqlx::Result<Vec<Webhook>> {
    let rows: Vec<Row> = sqlx::query_as(
        "SELECT w.id, w.job_id, w.kind, w.url, w.owner, w.events, w.every, w.created_at, w.disabled,
                count(d.id) FILTER (WHERE d.state = 'waiting') AS waiting,
                count(d.id) FILTER (WHERE d.state = 'failed') AS failed
           FROM webhook w LEFT JOIN delivery d ON d.webhook_id = w.id
          WHERE w.kind IN ('standard', 'patchwork') AND ($1::text IS NULL OR w.owner = $1) GROUP BY w.id ORDER BY w.id DESC LIMIT 500",
    )
    .bind(owner)
    .fetch_all(conn)
    .await?;
    let webhook = |r: Row| Webhook {
        id: r.id,
        job: r.job_id,
        kind: r.kind,
        url: r.url,
        owner: r.owner,
        events: r.events,
        every: r.every,
        created_at: rfc3339(r.created_at),
        disabled: r.disabled,
        waiting: r.waiting,
        failed: r.failed,
    };
    Ok(rows.into_iter().map(webhook).collect())
}

/// Whether it is a Patchwork.
pub async fn is_patchwork(conn: &mut PgConnection, id: i64) -> sqlx::Result<bool> {
    sqlx::query_scalar("SELECT EXISTS (SELECT FROM webhook WHERE id = $1 AND kind = 'patchwork')")
        .bind(id)
        .fetch_one(conn)
        .await
}

/// Whose it is.
pub async fn owner(conn: &mut PgConnection, id: i64) -> sqlx::Result<Option<String>> {
    sqlx::query_scalar(
        "SELECT owner FROM webhook WHERE id = $1 AND kind IN ('standard', 'patchwork')",
    )
    .bind(id)
    .fetch_optional(conn)
    .await
}

/// The webhook of a delivery.
pub async fn of_delivery(conn: &mut PgConnection, id: Uuid) -> sqlx::Result<Option<i64>> {
    sqlx::query_scalar("SELECT webhook_id FROM delivery WHERE id = $1")
        .bind(id)
        .fetch_optional(conn)
        .await
}

pub async fn remove(conn: &mut PgConnection, id: i64) -> sqlx::Result<()> {
    sqlx::query("DELETE FROM webhook WHERE id = $1")
        .bind(id)
        .execute(conn)
        .await?;
    Ok(())
}

#[derive(sqlx::FromRow)]
struct DeliveryRow {
    id: Uuid,
    kind: String,
    job_id: Option<i64>,
    state: String,
    tries: i32,
    status: Option<i32>,
    error: Option<String>,
    created_at: OffsetDateTime,
    at: OffsetDateTime,
}

/// What was and is to be sent, newest first.
pub async fn deliveries(conn: &mut PgConnection, webhook: i64) -> sqlx::Result<Vec<Delivery>> {
    let rows: Vec<DeliveryRow> = sqlx::query_as(
        "SELECT id, kind, job_id, state, tries, status, error, created_at, at FROM delivery
          WHERE webhook_id = $1 ORDER BY created_at DESC, id LIMIT $2",
    )
    .bind(webhook)
    .bind(SHOWN)
    .fetch_all(conn)
    .await?;
    let delivery = |r: DeliveryRow| Delivery {
        id: r.id,
        kind: r.kind,
        job: r.job_id,
        state: r.state,
        tries: r.tries,
        status: r.status,
        error: r.error,
        created_at: rfc3339(r.created_at),
        at: rfc3339(r.at),
    };
    Ok(rows.into_iter().map(delivery).collect())
}

/// Writes what has become of a job for everyone who wants to be told; of rows of surveys nothing is.
pub async fn tell(conn: &mut PgConnection, job: i64, kind: &str) -> sqlx::Result<()> {
    sqlx::query(
        r#"INSERT INTO delivery (webhook_id, kind, job_id, body)
         SELECT w.id, $2, j.id, json_build_object(
                'type', $2::text,
                'timestamp', to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'),
                'data', json_build_object(
                    'job', j.id, 'path', '/jobs/' || j.id, 'title', j.title, 'state', j.state, 'tree', t.name,
                    'good', j.range -> 'good', 'bad', j.range ->> 'bad', 'find', j.request ->> 'find',
                    'suite', j.request ->> 'suite', 'outcome', j.outcome - 'checks' - 'candidates' - 'sides',
                    'retracted', j.retracted_why))::text
           FROM job j JOIN tree t ON t.id = j.tree_id
                JOIN webhook w ON w.disabled IS NULL AND w.kind = 'standard' AND (w.events = '{}' OR $2 = ANY (w.events))
                               AND CASE WHEN w.job_id IS NOT NULL THEN w.job_id = j.id
                                        ELSE w.owner = j.owner OR w.every AND NOT j.private END
          WHERE j.id = $1 AND NOT coalesce((j.request ->> 'survey')::boolean, false)
            AND NOT EXISTS (SELECT FROM account a WHERE 'user:' || a.name = w.owner AND a.disabled_at IS NOT NULL)"#,
    )
    .bind(job)
    .bind(kind)
    .execute(&mut *conn)
    .await?;
    super::patch::tell(conn, job, kind, None).await
}

/// A delivery that only shows whether somebody receives.
pub async fn test(conn: &mut PgConnection, webhook: i64) -> sqlx::Result<()> {
    sqlx::query(
        r#"INSERT INTO delivery (webhook_id, kind, body)
         SELECT $1, $2, json_build_object(
                'type', $2::text,
                'timestamp', to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'),
                'data', json_build_object('webhook', $1::bigint))::text"#,
    )
    .bind(webhook)
    .bind(TEST_EVENT)
    .execute(conn)
    .await?;
    Ok(())
}

/// A try that is to be made.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct Due {
    pub id: Uuid,
    pub webhook_id: i64,
    /// `standard`, or the service that takes a status.
    pub kind: String,
    pub url: String,
    pub secret: String,
    pub body: String,
    /// With this one.
    pub tries: i32,
    pub job_id: Option<i64>,
}

/// Takes deliveries that are due for `lease_s` seconds: of each receiver one, and of `busy` ones none.
pub async fn due(
    conn: &mut PgConnection,
    busy: &[i64],
    most: i64,
    lease_s: f64,
) -> sqlx::Result<Vec<Due>> {
    sqlx::query_as(
        "UPDATE delivery d SET tries = d.tries + 1, at = now() + make_interval(secs => $3)
           FROM webhook w
          WHERE w.id = d.webhook_id AND d.state = 'waiting' AND d.at <= now()
            AND d.id IN (SELECT DISTINCT ON (webhook_id) id FROM delivery
                          WHERE state = 'waiting' AND at <= now() AND webhook_id <> ALL ($1)
                          ORDER BY webhook_id, created_at, id LIMIT $2)
         RETURNING d.id, d.webhook_id, w.kind, coalesce(d.url, w.url) AS url, w.secret, d.body, d.tries, d.job_id",
    )
    .bind(busy)
    .bind(most)
    .bind(lease_s)
    .fetch_all(conn)
    .await
}

/// How a try ended.
pub enum Tried<'a> {
    Delivered {
        status: i32,
    },
    /// To be tried again in so many seconds.
    Again {
        status: Option<i32>,
        why: &'a str,
        in_s: f64,
    },
    GivenUp {
        status: Option<i32>,
        why: &'a str,
    },
}

/// Notes how a try ended; one that another try has taken over is left to that.
pub async fn tried(conn: &mut PgConnection, due: &Due, how: &Tried<'_>) -> sqlx::Result<()> {
    let (state, status, why, in_s) = match how {
        Tried::Delivered { status } => ("delivered", Some(*status), None, 0.0),
        Tried::Again { status, why, in_s } => ("waiting", *status, Some(*why), *in_s),
        Tried::GivenUp { status, why } => ("failed", *status, Some(*why), 0.0),
    };
    sqlx::query(
        "UPDATE delivery SET state = $3, status = $4, error = $5, at = now() + make_interval(secs => $6)
          WHERE id = $1 AND tries = $2 AND state = 'waiting'",
    )
    .bind(due.id)
    .bind(due.tries)
    .bind(state)
    .bind(status)
    .bind(why)
    .bind(in_s)
    .execute(conn)
    .await?;
    Ok(())
}

/// Sends a receiver nothing any more, and why; what waits for it is given up. `None`: sends again.
pub async fn disable(conn: &mut PgConnection, id: i64, why: Option<&str>) -> sqlx::Result<()> {
    sqlx::query("UPDATE webhook SET disabled = $2 WHERE id = $1")
        .bind(id)
        .bind(why)
        .execute(&mut *conn)
        .await?;
    if let Some(why) = why {
        sqlx::query(
            "UPDATE delivery SET state = 'failed', error = $2 WHERE webhook_id = $1 AND state = 'waiting'",
        )
        .bind(id)
        .bind(why)
        .execute(conn)
        .await?;
    }
    Ok(())
}

/// Sends a delivery again, from the first try on; false when it is waiting anyhow.
pub async fn replay(conn: &mut PgConnection, id: Uuid) -> sqlx::Result<bool> {
    let rows = sqlx::query(
        "UPDATE delivery SET state = 'waiting', tries = 0, at = now(), error = NULL, status = NULL
          WHERE id = $1 AND state <> 'waiting'",
    )
    .bind(id)
    .execute(conn)
    .await?
    .rows_affected();
    Ok(rows == 1)
}
