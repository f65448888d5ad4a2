//! Who asks what, and which job looks for the answer already.

use firstbad_api::job::Requester;
use firstbad_api::terms::Priority;
use sqlx::PgConnection;
use time::OffsetDateTime;

use super::rfc3339;

/// The job that looks for the answer to a question, of those that who asks may know of; it stays so
/// until the transaction ends. One that people have a say in is none: its answer is not that of its
/// request alone.
pub async fn looking(
    conn: &mut PgConnection,
    question: &str,
    private: bool,
    owner: &str,
) -> sqlx::Result<Option<(i64, String)>> {
    // Two who ask at once are one after the other.
    sqlx::query("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))")
        .bind(question)
        .execute(&mut *conn)
        .await?;
    sqlx::query_as(
        "SELECT id, owner FROM job j
          WHERE question = $1 AND state IN ('queued', 'running')
            AND private = $2 AND (NOT private OR owner = $3)
            AND NOT EXISTS (SELECT FROM mark m WHERE m.job_id = j.id AND m.undone_at IS NULL)
            AND NOT EXISTS (SELECT FROM mend WHERE mend.job_id = j.id)
          ORDER BY id LIMIT 1 FOR UPDATE",
    )
    .bind(question)
    .bind(private)
    .bind(owner)
    .fetch_optional(conn)
    .await
}

/// Notes that somebody asked what a job looks for; false when they have used the key before.
pub async fn join(
    conn: &mut PgConnection,
    job: i64,
    owner: &str,
    key: Option<&str>,
    digest: &str,
) -> sqlx::Result<bool> {
    let rows = sqlx::query(
        "INSERT INTO requester (job_id, owner, idempotency_key, request_digest)
         VALUES ($1, $2, $3, $4) ON CONFLICT (owner, idempotency_key) DO NOTHING",
    )
    .bind(job)
    .bind(owner)
    .bind(key)
    .bind(digest)
    .execute(conn)
    .await?
    .rows_affected();
    Ok(rows == 1)
}

/// Makes a job at least so urgent.
pub async fn hurry(conn: &mut PgConnection, job: i64, priority: Priority) -> sqlx::Result<()> {
    if priority == Priority::Low {
        return Ok(());
    }
    sqlx::query(
        "UPDATE job SET request = request || jsonb_build_object('priority', $2::text)
          WHERE id = $1 AND coalesce(request ->> 'priority', 'normal') <> 'high'",
    )
    .bind(job)
    .bind(priority.as_str())
    .execute(&mut *conn)
    .await?;
    sqlx::query(
        "UPDATE attempt SET priority = $2
          WHERE state = 'ready' AND priority < $2
            AND id IN (SELECT attempt_id FROM probe WHERE job_id = $1)",
    )
    .bind(job)
    .bind(priority.rank())
    .execute(conn)
    .await?;
    Ok(())
}

/// A request that was made with a key.
#[derive(Debug, sqlx::FromRow)]
pub struct Keyed {
    pub job: i64,
    pub digest: String,
    /// It joined the job of another request.
    pub joined: bool,
}

/// The request that this owner made with this idempotency key.
pub async fn by_key(
    conn: &mut PgConnection,
    owner: &str,
    key: &str,
) -> sqlx::Result<Option<Keyed>> {
    sqlx::query_as(
        "SELECT id AS job, request_digest AS digest, false AS joined FROM job
          WHERE owner = $1 AND idempotency_key = $2
          UNION ALL
         SELECT job_id, request_digest, true FROM requester WHERE owner = $1 AND idempotency_key = $2",
    )
    .bind(owner)
    .bind(key)
    .fetch_optional(conn)
    .await
}

/// Others who asked for a job's answer, each once, in order.
pub async fn requesters(conn: &mut PgConnection, job: i64) -> sqlx::Result<Vec<Requester>> {
    let rows: Vec<(String, OffsetDateTime)> = sqlx::query_as(
        "SELECT r.owner, min(r.at) FROM requester r JOIN job j ON j.id = r.job_id
          WHERE r.job_id = $1 AND r.owner <> j.owner GROUP BY 1 ORDER BY 2, 1 LIMIT 100",
    )
    .bind(job)
    .fetch_all(conn)
    .await?;
    let requester = |(who, at)| Requester {
        who,
        at: rfc3339(at),
    };
    Ok(rows.into_iter().map(requester).collect())
}
