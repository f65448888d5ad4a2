//! Attempts, their stages, artefacts and logs.

use firstbad_api::artefact::Artefact;
use firstbad_api::attempt::{Attempt, Stage};
use firstbad_api::lease::{Fence, Work};
use sqlx::PgConnection;
use sqlx::types::Json;
use time::OffsetDateTime;

use super::rfc3339;

/// The commit that was taken back in the kernel of an attempt, when it is a run of that: positions
/// from `reverts` on are. Jobs with one kernel share attempts; without a `job` they must all say so.
pub async fn without(
    conn: &mut PgConnection,
    attempt: i64,
    job: Option<i64>,
    reverts: i32,
) -> sqlx::Result<Option<String>> {
    sqlx::query_scalar(
        "SELECT r.rev FROM probe p JOIN job_revision r
             ON r.job_id = p.job_id AND r.position = p.position - $2
          WHERE p.attempt_id = $1 AND p.position >= $2 AND p.job_id = coalesce($3, p.job_id)
            AND ($3 IS NOT NULL OR NOT EXISTS
                (SELECT 1 FROM probe q WHERE q.attempt_id = $1 AND q.position < $2))
          ORDER BY p.job_id LIMIT 1",
    )
    .bind(attempt)
    .bind(reverts)
    .bind(job)
    .fetch_optional(conn)
    .await
}

/// An attempt to be made, unless one with its identity exists.
pub struct NewAttempt<'a> {
    pub kind: &'a str,
    pub identity: &'a str,
    pub tree_id: i64,
    pub tree: &'a str,
    pub rev: &'a str,
    pub suite: Option<&'a str>,
    pub seed: Option<i64>,
    pub work: &'a Work,
    pub deadline_s: i32,
    pub needs_toolchain: Option<&'a str>,
    pub needs_toolset: Option<&'a str>,
    pub needs_qemu: Option<&'a str>,
    /// More is taken first.
    pub priority: i16,
}

/// Finds the attempt with this identity or enqueues it: `(id, existed)`.
pub async fn ensure(conn: &mut PgConnection, new: &NewAttempt<'_>) -> sqlx::Result<(i64, bool)> {
    let inserted: Option<i64> = sqlx::query_scalar(
        "INSERT INTO attempt (kind, identity, tree_id, tree, rev, suite, seed, work, deadline_s,
                              needs_toolchain, needs_toolset, needs_qemu, priority)
         VALUES ($1::attempt_kind, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
         ON CONFLICT (kind, identity) WHERE state <> 'cancelled' DO NOTHING RETURNING id",
    )
    .bind(new.kind)
    .bind(new.identity)
    .bind(new.tree_id)
    .bind(new.tree)
    .bind(new.rev)
    .bind(new.suite)
    .bind(new.seed)
    .bind(Json(new.work))
    .bind(new.deadline_s)
    .bind(new.needs_toolchain)
    .bind(new.needs_toolset)
    .bind(new.needs_qemu)
    .bind(new.priority)
    .fetch_optional(&mut *conn)
    .await?;
    if let Some(id) = inserted {
        return Ok((id, false));
    }
    let (id, priority): (i64, i16) = sqlx::query_as(
        "SELECT id, priority FROM attempt
          WHERE kind = $1::attempt_kind AND identity = $2 AND state <> 'cancelled'",
    )
    .bind(new.kind)
    .bind(new.identity)
    .fetch_one(&mut *conn)
    .await?;
    if priority < new.priority {
        sqlx::query("UPDATE attempt SET priority = greatest(priority, $2) WHERE id = $1")
            .bind(id)
            .bind(new.priority)
            .execute(conn)
            .await?;
    }
    Ok((id, true))
}

/// Whether there is an attempt with this identity.
pub async fn known(conn: &mut PgConnection, kind: &str, identity: &str) -> sqlx::Result<bool> {
    sqlx::query_scalar(
        "SELECT EXISTS (SELECT FROM attempt
                         WHERE kind = $1::attempt_kind AND identity = $2 AND state <> 'cancelled')",
    )
    .bind(kind)
    .bind(identity)
    .fetch_one(conn)
    .await
}

/// Gives the attempts of a job that were given up because of us to the workers again.
pub async fn retry_held(conn: &mut PgConnection, job: i64) -> sqlx::Result<u64> {
    Ok(sqlx::query(
        "UPDATE attempt SET state = 'ready', infra_failures = 0, lease_losses = 0, ended_at = NULL
          WHERE state = 'held' AND id IN (SELECT attempt_id FROM probe WHERE job_id = $1)",
    )
    .bind(job)
    .execute(conn)
    .await?
    .rows_affected())
}

/// Cancels the attempts of a job that no other open job needs.
pub async fn cancel_for_job(conn: &mut PgConnection, job: i64) -> sqlx::Result<u64> {
    Ok(sqlx::query(
        "UPDATE attempt SET state = 'cancelled', lease_until = NULL, stage = NULL, ended_at = now()
          WHERE state IN ('ready', 'leased')
            AND id IN (SELECT attempt_id FROM probe WHERE job_id = $1)
            AND NOT EXISTS (SELECT 1 FROM probe p JOIN job j ON j.id = p.job_id
                             WHERE p.attempt_id = attempt.id AND j.id <> $1
                               AND j.state IN ('queued', 'running'))",
    )
    .bind(job)
    .execute(conn)
    .await?
    .rows_affected())
}

#[derive(sqlx::FromRow)]
struct Row {
    id: i64,
    kind: String,
    state: String,
    epoch: i32,
    tree: String,
    rev: String,
    suite: Option<String>,
    seed: Option<i64>,
    worker: Option<String>,
    stage: Option<String>,
    lease_losses: i32,
    infra_failures: i32,
    infra_what: Option<String>,
    observation: Option<serde_json::Value>,
    created_at: OffsetDateTime,
    started_at: Option<OffsetDateTime>,
    ended_at: Option<OffsetDateTime>,
}

/// One attempt with everything known about it.
pub async fn find(conn: &mut PgConnection, id: i64) -> sqlx::Result<Option<Attempt>> {
    let row: Option<Row> = sqlx::query_as(
        "SELECT a.id, a.kind::text, a.state::text, a.epoch, a.tree, a.rev, a.suite, a.seed,
                w.name AS worker, a.stage, a.lease_losses, a.infra_failures, a.infra_what,
                a.observation, a.created_at, a.started_at, a.ended_at
           FROM attempt a LEFT JOIN worker w ON w.id = a.worker WHERE a.id = $1",
    )
    .bind(id)
    .fetch_optional(&mut *conn)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let stages: Vec<(i32, String, i64, bool, OffsetDateTime)> = sqlx::query_as(
        "SELECT epoch, stage, duration_ms, ok, ended_at FROM stage WHERE attempt_id = $1 ORDER BY id",
    )
    .bind(id)
    .fetch_all(&mut *conn)
    .await?;
    let artefacts: Vec<(String, String, i64)> = sqlx::query_as(
        "SELECT name, sha256, bytes FROM artefact WHERE attempt_id = $1 ORDER BY name",
    )
    .bind(id)
    .fetch_all(&mut *conn)
    .await?;
    let logs: Vec<String> =
        sqlx::query_scalar("SELECT DISTINCT name FROM log WHERE attempt_id = $1 ORDER BY name")
            .bind(id)
            .fetch_all(conn)
            .await?;
    Ok(Some(Attempt {
        id: row.id,
        kind: row.kind,
        state: row.state,
        epoch: row.epoch,
        tree: row.tree,
        rev: row.rev,
        suite: row.suite,
        seed: row.seed,
        worker: row.worker,
        stage: row.stage,
        lease_losses: row.lease_losses,
        infra_failures: row.infra_failures,
        infra_what: row.infra_what,
        observation: row.observation,
        created_at: rfc3339(row.created_at),
        started_at: row.started_at.map(rfc3339),
        ended_at: row.ended_at.map(rfc3339),
        stages: stages
            .into_iter()
            .map(|(epoch, stage, duration_ms, ok, at)| Stage {
                epoch,
                stage,
                duration_ms,
                ok,
                ended_at: rfc3339(at),
            })
            .collect(),
        artefacts: artefacts
            .into_iter()
            .map(|(name, sha256, bytes)| Artefact {
                name,
                sha256,
                bytes,
            })
            .collect(),
        logs,
    }))
}

/// The newest epoch that wrote this log, and whether the attempt still runs.
pub async fn log_epoch(
    conn: &mut PgConnection,
    id: i64,
    name: &str,
) -> sqlx::Result<Option<(i32, bool)>> {
    sqlx::query_as(
        "SELECT l.epoch, a.state = 'leased' FROM log l JOIN attempt a ON a.id = l.attempt_id
          WHERE l.attempt_id = $1 AND l.name = $2 ORDER BY l.epoch DESC LIMIT 1",
    )
    .bind(id)
    .bind(name)
    .fetch_optional(conn)
    .await
}

/// Notes that a log exists; call after [`super::lease::hold`].
pub async fn put_log(conn: &mut PgConnection, fence: &Fence, name: &str) -> sqlx::Result<()> {
    sqlx::query(
        "INSERT INTO log (attempt_id, epoch, name) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
    )
    .bind(fence.attempt)
    .bind(fence.epoch)
    .bind(name)
    .execute(conn)
    .await?;
    Ok(())
}

/// Lists an artefact whose bytes are already stored; call after [`super::lease::hold`].
pub async fn put_artefact(
    conn: &mut PgConnection,
    fence: &Fence,
    artefact: &Artefact,
) -> sqlx::Result<()> {
    sqlx::query(
        "INSERT INTO artefact (attempt_id, name, sha256, bytes) VALUES ($1, $2, $3, $4)
         ON CONFLICT (attempt_id, name) DO UPDATE SET sha256 = $3, bytes = $4",
    )
    .bind(fence.attempt)
    .bind(&artefact.name)
    .bind(&artefact.sha256)
    .bind(artefact.bytes)
    .execute(conn)
    .await?;
    Ok(())
}

/// Artefacts of this name of these attempts: of which attempt, and its hash.
pub async fn named(
    conn: &mut PgConnection,
    attempts: &[i64],
    name: &str,
) -> sqlx::Result<Vec<(i64, String)>> {
    sqlx::query_as(
        "SELECT attempt_id, sha256 FROM artefact WHERE attempt_id = ANY($1) AND name = $2",
    )
    .bind(attempts)
    .bind(name)
    .fetch_all(conn)
    .await
}

/// The `.config` of a kernel image, both by hash.
pub async fn config_of(conn: &mut PgConnection, image: &str) -> sqlx::Result<Option<String>> {
    sqlx::query_scalar(
        "SELECT c.sha256 FROM artefact i JOIN artefact c USING (attempt_id)
          WHERE i.sha256 = $1 AND c.name = 'config' ORDER BY attempt_id LIMIT 1",
    )
    .bind(image)
    .fetch_optional(conn)
    .await
}

/// Hashes of the artefacts of this name of these attempts.
pub async fn artefacts(
    conn: &mut PgConnection,
    attempts: &[i64],
    name: &str,
) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar(
        "SELECT sha256 FROM artefact WHERE attempt_id = ANY($1) AND name = $2 ORDER BY attempt_id",
    )
    .bind(attempts)
    .bind(name)
    .fetch_all(conn)
    .await
}

/// Capabilities a new job is pinned to: those of the live worker seen last that can build, with a
/// compiler that is called so.
pub async fn newest_caps(
    conn: &mut PgConnection,
    ttl_ms: u64,
    toolchain: Option<&str>,
) -> sqlx::Result<Option<Json<firstbad_api::worker::Capabilities>>> {
    sqlx::query_scalar(
        "SELECT caps FROM worker
          WHERE seen_at > now() - make_interval(secs => $1) AND drained_at IS NULL
            AND caps->'kinds' ? 'build'
            AND ($2::text IS NULL OR position($2 IN caps ->> 'toolchain') > 0)
          ORDER BY seen_at DESC LIMIT 1",
    )
    .bind(ttl_ms as f64 / 1000.0)
    .bind(toolchain)
    .fetch_optional(conn)
    .await
}

/// What these attempts saw, as JSON, by number.
pub async fn observations(
    conn: &mut PgConnection,
    ids: &[i64],
) -> sqlx::Result<Vec<(i64, String)>> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let query =
        "SELECT id, observation::text FROM attempt WHERE id = ANY($1) AND observation IS NOT NULL";
    sqlx::query_as(query).bind(ids).fetch_all(conn).await
}

/// Which of these jobs have ready attempts while no live worker can take any of them, though some are
/// there.
pub async fn stranded(
    conn: &mut PgConnection,
    jobs: &[i64],
    ttl_ms: u64,
) -> sqlx::Result<Vec<i64>> {
    sqlx::query_scalar(
        "WITH live AS (SELECT caps FROM worker
                        WHERE seen_at > now() - make_interval(secs => $2) AND drained_at IS NULL)
         SELECT p.job_id FROM attempt a JOIN probe p ON p.attempt_id = a.id
          WHERE a.state = 'ready' AND p.job_id = ANY($1) AND EXISTS (SELECT 1 FROM live)
          GROUP BY p.job_id
         HAVING bool_and(NOT EXISTS (
                    SELECT 1 FROM live w
                     WHERE w.caps -> 'kinds' ? a.kind::text
                       AND (a.needs_toolchain IS NULL OR w.caps ->> 'toolchain' = a.needs_toolchain)
                       AND (a.needs_toolset IS NULL OR w.caps ->> 'toolset' = a.needs_toolset)
                       AND (a.needs_qemu IS NULL OR w.caps ->> 'qemu_version' = a.needs_qemu)))",
    )
    .bind(jobs)
    .bind(ttl_ms as f64 / 1000.0)
    .fetch_all(conn)
    .await
}

/// Live workers that take attempts of this kind.
pub async fn live_workers(conn: &mut PgConnection, ttl_ms: u64, kind: &str) -> sqlx::Result<i64> {
    sqlx::query_scalar(
        "SELECT count(*) FROM worker
          WHERE seen_at > now() - make_interval(secs => $1) AND drained_at IS NULL
            AND caps->'kinds' ? $2",
    )
    .bind(ttl_ms as f64 / 1000.0)
    .bind(kind)
    .fetch_one(conn)
    .await
}
