//! Exact runs that are run again, and what came of it.

use firstbad_api::lease::Fence;
use firstbad_api::observation::TestObservation;
use sqlx::PgConnection;
use sqlx::types::Json;

/// The identity of an attempt.
pub async fn identity(conn: &mut PgConnection, attempt: i64) -> sqlx::Result<String> {
    sqlx::query_scalar("SELECT identity FROM attempt WHERE id = $1")
        .bind(attempt)
        .fetch_one(conn)
        .await
}

/// Whether some run of this worker, with the tools that the attempt needs, was run again or was
/// itself such a run.
pub async fn knows(conn: &mut PgConnection, fence: &Fence) -> sqlx::Result<bool> {
    sqlx::query_scalar(
        "WITH made AS (
            SELECT attempt_id AS id FROM repeat UNION ALL SELECT again_id FROM repeat)
         SELECT EXISTS (
            SELECT 1 FROM made JOIN attempt a USING (id) JOIN attempt this
                       ON a.worker = this.worker AND a.needs_toolset = this.needs_toolset
                      AND a.needs_qemu = this.needs_qemu
             WHERE this.id = $1)",
    )
    .bind(fence.attempt)
    .fetch_one(conn)
    .await
}

/// Asks for a second run of an attempt, of another worker if one can take it.
pub async fn ask(conn: &mut PgConnection, fence: &Fence) -> sqlx::Result<()> {
    sqlx::query(
        "WITH again AS (
            INSERT INTO attempt (kind, identity, tree_id, tree, rev, suite, seed, work, deadline_s,
                                 needs_toolchain, needs_toolset, needs_qemu, avoids, priority)
            SELECT kind, 'again-' || identity, tree_id, tree, rev, suite, seed, work, deadline_s,
                   needs_toolchain, needs_toolset, needs_qemu, worker, priority
              FROM attempt WHERE id = $1
            ON CONFLICT (kind, identity) WHERE state <> 'cancelled' DO NOTHING RETURNING id)
         INSERT INTO repeat (attempt_id, again_id) SELECT $1, id FROM again",
    )
    .bind(fence.attempt)
    .execute(conn)
    .await?;
    Ok(())
}

/// The run that this attempt repeats: its id and what it saw.
pub async fn original(
    conn: &mut PgConnection,
    again: i64,
) -> sqlx::Result<Option<(i64, TestObservation)>> {
    let row: Option<(i64, Json<TestObservation>)> = sqlx::query_as(
        "SELECT a.id, a.observation FROM repeat r JOIN attempt a ON a.id = r.attempt_id
          WHERE r.again_id = $1",
    )
    .bind(again)
    .fetch_optional(conn)
    .await?;
    Ok(row.map(|(id, seen)| (id, seen.0)))
}

/// Notes what two runs of the same differ in; empty: in nothing.
pub async fn compared(conn: &mut PgConnection, again: i64, differs: &str) -> sqlx::Result<()> {
    sqlx::query("UPDATE repeat SET differs = $2 WHERE again_id = $1")
        .bind(again)
        .bind(differs)
        .execute(conn)
        .await?;
    Ok(())
}

/// One repeated run of a job.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct Row {
    pub attempt_id: i64,
    pub again_id: i64,
    pub differs: Option<String>,
    /// The second run may still come.
    pub open: bool,
}

/// The runs of a job that are run again.
pub async fn of_job(conn: &mut PgConnection, job: i64) -> sqlx::Result<Vec<Row>> {
    sqlx::query_as(
        "SELECT r.attempt_id, r.again_id, r.differs, a.state IN ('ready', 'leased') AS open
           FROM repeat r JOIN attempt a ON a.id = r.again_id
          WHERE r.attempt_id IN (SELECT attempt_id FROM probe WHERE job_id = $1)
          ORDER BY r.attempt_id",
    )
    .bind(job)
    .fetch_all(conn)
    .await
}
