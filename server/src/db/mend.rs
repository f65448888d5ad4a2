//! Patches for candidates that could not be built or run without them.

use firstbad_api::amend::Mend;
use sqlx::PgConnection;
use time::OffsetDateTime;

use super::rfc3339;

/// A patch as stored.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct MendRow {
    pub title: String,
    pub patch: String,
    pub who: String,
    pub created_at: OffsetDateTime,
}

impl From<&MendRow> for Mend {
    fn from(row: &MendRow) -> Mend {
        Mend {
            title: row.title.clone(),
            who: row.who.clone(),
            at: rfc3339(row.created_at),
        }
    }
}

/// Those of a job, in the order they are applied in.
pub async fn of_job(conn: &mut PgConnection, job: i64) -> sqlx::Result<Vec<MendRow>> {
    sqlx::query_as(
        "SELECT title, patch, who, created_at FROM mend WHERE job_id = $1 ORDER BY number",
    )
    .bind(job)
    .fetch_all(conn)
    .await
}

/// Adds one after those there are.
pub async fn add(
    conn: &mut PgConnection,
    job: i64,
    title: &str,
    patch: &str,
    who: &str,
) -> sqlx::Result<()> {
    sqlx::query(
        "INSERT INTO mend (job_id, number, title, patch, who)
         SELECT $1, coalesce(max(number), 0) + 1, $2, $3, $4 FROM mend WHERE job_id = $1",
    )
    .bind(job)
    .bind(title)
    .bind(patch)
    .bind(who)
    .execute(conn)
    .await?;
    Ok(())
}

/// The build of a candidate is now `attempt`, made with `mends` patches; its runs were of another.
pub async fn rebuilt(
    conn: &mut PgConnection,
    (job, position): (i64, i32),
    attempt: i64,
    reused: bool,
    mends: i32,
) -> sqlx::Result<()> {
    sqlx::query("DELETE FROM probe WHERE job_id = $1 AND position = $2 AND kind = 'test'")
        .bind(job)
        .bind(position)
        .execute(&mut *conn)
        .await?;
    sqlx::query(
        "UPDATE probe SET attempt_id = $3, reused = $4, mends = $5
          WHERE job_id = $1 AND position = $2 AND kind = 'build'",
    )
    .bind(job)
    .bind(position)
    .bind(attempt)
    .bind(reused)
    .bind(mends)
    .execute(conn)
    .await?;
    Ok(())
}
