//! The record of what was done, by whom.

use firstbad_api::amend::Done;
use sqlx::PgConnection;
use time::OffsetDateTime;

use super::rfc3339;

#[derive(sqlx::FromRow)]
struct Row {
    id: i64,
    at: OffsetDateTime,
    who: String,
    what: String,
    job_id: Option<i64>,
    attempt_id: Option<i64>,
    detail: serde_json::Value,
}

/// Records what happened; `who` is the name of an account or token, a worker's id, or `server`.
pub async fn audit(
    conn: &mut PgConnection,
    who: &str,
    what: &str,
    job: Option<i64>,
    attempt: Option<i64>,
    detail: serde_json::Value,
) -> sqlx::Result<()> {
    sqlx::query(
        "INSERT INTO audit (who, what, job_id, attempt_id, detail) VALUES ($1, $2, $3, $4, $5)",
    )
    .bind(who)
    .bind(what)
    .bind(job)
    .bind(attempt)
    .bind(detail)
    .execute(conn)
    .await?;
    Ok(())
}
/// What is looked for in the record.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    pub job: Option<i64>,
    pub who: Option<String>,
    pub what: Option<String>,
    /// Only what came before the entry with this id.
    pub before: Option<i64>,
}

/// Newest first, at most `most`.
pub async fn list(conn: &mut PgConnection, wanted: &Wanted, most: i64) -> sqlx::Result<Vec<Done>> {
    let rows: Vec<Row> = sqlx::query_as(
        "SELECT id, at, who, what, job_id, attempt_id, detail FROM audit
          WHERE ($1::bigint IS NULL OR job_id = $1) AND ($2::text IS NULL OR who = $2)
            AND ($3::text IS NULL OR what = $3) AND ($4::bigint IS NULL OR id < $4)
          ORDER BY id DESC LIMIT $5",
    )
    .bind(wanted.job)
    .bind(&wanted.who)
    .bind(&wanted.what)
    .bind(wanted.before)
    .bind(most)
    .fetch_all(conn)
    .await?;
    let done = |r: Row| Done {
        id: r.id,
        at: rfc3339(r.at),
        who: r.who,
        what: r.what,
        job: r.job_id,
        attempt: r.attempt_id,
        detail: r.detail,
    };
    Ok(rows.into_iter().map(done).collect())
}
