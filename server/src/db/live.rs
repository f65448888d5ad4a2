//! Versions of what pages show: texts that change when a page would.

use sqlx::PgConnection;

/// Of a job and all that runs for it.
pub async fn job(conn: &mut PgConnection, id: i64) -> sqlx::Result<Option<String>> {
    sqlx::query_scalar(
        "SELECT concat_ws('-', j.state, j.ended_at IS NOT NULL,
                (SELECT concat_ws('-', count(*), sum(a.epoch), count(*) FILTER (WHERE a.state = 'done'),
                                  string_agg(a.id || a.stage, '.' ORDER BY a.id)
                                      FILTER (WHERE a.state = 'leased'))
                 FROM probe p JOIN attempt a ON a.id = p.attempt_id WHERE p.job_id = j.id),
                (SELECT concat_ws('-', count(*), count(undone_at)) FROM mark WHERE mark.job_id = j.id),
                (SELECT max(u.id) FROM audit u WHERE u.job_id = j.id))
         FROM job j WHERE j.id = $1",
    )
    .bind(id)
    .fetch_optional(conn)
    .await
}

/// A log that is being written.
#[derive(Debug, sqlx::FromRow)]
pub struct Written {
    pub attempt: i64,
    pub name: String,
    /// Seconds that the attempt has run.
    pub seconds: i64,
}

/// The logs that are being written for a job, the first ones of them.
pub async fn logs(conn: &mut PgConnection, job: i64, most: i64) -> sqlx::Result<Vec<Written>> {
    sqlx::query_as(
        "SELECT a.id AS attempt, l.name,
                coalesce(extract(epoch FROM now() - a.started_at), 0)::bigint AS seconds FROM attempt a JOIN log l ON l.attempt_id = a.id AND l.epoch = a.epoch
         WHERE a.state = 'leased'
           AND EXISTS (SELECT FROM probe p WHERE p.attempt_id = a.id AND p.job_id = $1)
         ORDER BY a.id, l.name LIMIT $2",
    )
    .bind(job)
    .bind(most)
    .fetch_all(conn)
    .await
}

/// Of one attempt.
pub async fn attempt(conn: &mut PgConnection, id: i64) -> sqlx::Result<Option<String>> {
    sqlx::query_scalar("SELECT concat_ws('-', state, epoch, stage) FROM attempt WHERE id = $1")
        .bind(id)
        .fetch_optional(conn)
        .await
}

/// Of everything: the stages and the audit trail that there are.
pub async fn all(conn: &mut PgConnection) -> sqlx::Result<String> {
    sqlx::query_scalar(
        "SELECT concat_ws('-', (SELECT max(id) FROM stage), (SELECT max(id) FROM audit),
                          (SELECT max(id) FROM job), (SELECT max(id) FROM attempt))",
    )
    .fetch_one(conn)
    .await
}
