//! The queue: claim, renew, stage, finish, expire.
//!
//! Every write by a worker names attempt, epoch, worker and incarnation and must
//! change exactly one row; [`Stale`](Fenced::Stale) otherwise. Expiry goes row by
//! row, so one bad row cannot stop the rescue of the others.

use firstbad_api::lease::{Fence, Work};
use firstbad_api::limits::{INFRA_RETRIES, LEASE_LOSSES};
use firstbad_api::worker::Capabilities;
use sqlx::PgConnection;
use sqlx::types::Json;
use uuid::Uuid;

/// Result of a fenced write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fenced {
    Done,
    /// The attempt has moved on: another epoch, another state or another database.
    Stale,
}

/// A claimed attempt.
#[derive(sqlx::FromRow)]
pub struct Claim {
    pub id: i64,
    pub epoch: i32,
    pub work: Json<Work>,
}

/// Takes the most urgent ready attempt this worker can do. Of equally urgent ones the owner whose turn
/// is longest ago comes first, then the job, then tests before builds, then the older: whoever asks for
/// one thing does not wait for another's thousand.
pub async fn claim(
    conn: &mut PgConnection,
    worker: Uuid,
    kinds: &[String],
    caps: &Capabilities,
    ttl_ms: u64,
) -> sqlx::Result<Option<Claim>> {
    let claim: Option<Claim> = sqlx::query_as(
        "UPDATE attempt SET state = 'leased', epoch = epoch + 1, worker = $1, stage = NULL,
                leased_at = now(), started_at = coalesce(started_at, now()),
                lease_until = now() + make_interval(secs => $6)
          WHERE id = (
                SELECT a.id FROM attempt a
                  LEFT JOIN LATERAL (
                       SELECT t.at, (SELECT max(o.at) FROM turn o WHERE o.owner = j.owner) AS of_owner
                         FROM probe p JOIN job j ON j.id = p.job_id LEFT JOIN turn t ON t.job_id = j.id
                        WHERE p.attempt_id = a.id AND j.state IN ('queued', 'running')
                        ORDER BY of_owner NULLS FIRST, t.at NULLS FIRST LIMIT 1) last ON true
                 WHERE state = 'ready' AND kind::text = ANY($2)
                   AND (needs_toolchain IS NULL OR needs_toolchain = $3)
                   AND (needs_toolset IS NULL OR needs_toolset = $4)
                   AND (needs_qemu IS NULL OR needs_qemu = $5)
                   AND (avoids IS DISTINCT FROM $1 OR NOT EXISTS (
                        SELECT 1 FROM worker w
                         WHERE w.id <> $1 AND w.seen_at > now() - make_interval(secs => $6) AND w.drained_at IS NULL
                           AND w.caps -> 'kinds' ? kind::text AND w.caps ->> 'toolset' = needs_toolset
                           AND w.caps ->> 'qemu_version' = needs_qemu))
                 ORDER BY priority DESC, last.of_owner NULLS FIRST, last.at NULLS FIRST, kind DESC, id
                 LIMIT 1 FOR UPDATE OF a SKIP LOCKED)
      RETURNING id, epoch, work",
    )
    .bind(worker)
    .bind(kinds)
    .bind(&caps.toolchain)
    .bind(&caps.toolset)
    .bind(&caps.qemu_version)
    .bind(ttl_ms as f64 / 1000.0)
    .fetch_optional(&mut *conn)
    .await?;
    if let Some(claim) = &claim {
        note_turn(conn, claim.id).await?;
    }
    Ok(claim)
}

/// Notes that jobs had a turn: those that go on and wait for this attempt.
async fn note_turn(conn: &mut PgConnection, attempt: i64) -> sqlx::Result<()> {
    sqlx::query(
        "INSERT INTO turn (job_id, owner, at)
         SELECT DISTINCT j.id, j.owner, now() FROM probe p JOIN job j ON j.id = p.job_id
          WHERE p.attempt_id = $1 AND j.state IN ('queued', 'running') ORDER BY j.id
         ON CONFLICT (job_id) DO UPDATE SET at = EXCLUDED.at",
    )
    .bind(attempt)
    .execute(conn)
    .await?;
    Ok(())
}

/// Extends a lease and records the stage. Never past the attempt's own deadline.
pub async fn renew(
    conn: &mut PgConnection,
    fence: &Fence,
    stage: &str,
    ttl_ms: u64,
) -> sqlx::Result<Fenced> {
    let rows = sqlx::query(
        "UPDATE attempt SET lease_until = now() + make_interval(secs => $4), stage = $5
          WHERE id = $1 AND epoch = $2 AND worker = $3 AND state = 'leased'",
    )
    .bind(fence.attempt)
    .bind(fence.epoch)
    .bind(fence.worker)
    .bind(ttl_ms as f64 / 1000.0)
    .bind(stage)
    .execute(conn)
    .await?
    .rows_affected();
    Ok(one(rows))
}

/// Locks the leased row so that the caller's further writes belong to this lease.
pub async fn hold(conn: &mut PgConnection, fence: &Fence) -> sqlx::Result<Fenced> {
    let found: Option<i64> = sqlx::query_scalar(
        "SELECT id FROM attempt WHERE id = $1 AND epoch = $2 AND worker = $3 AND state = 'leased' FOR UPDATE",
    )
    .bind(fence.attempt)
    .bind(fence.epoch)
    .bind(fence.worker)
    .fetch_optional(conn)
    .await?;
    Ok(if found.is_some() {
        Fenced::Done
    } else {
        Fenced::Stale
    })
}

/// Records the end of a stage; call after [`hold`] in the same transaction.
pub async fn stage(
    conn: &mut PgConnection,
    fence: &Fence,
    stage: &str,
    duration_ms: i64,
    ok: bool,
) -> sqlx::Result<()> {
    sqlx::query(
        "INSERT INTO stage (attempt_id, epoch, stage, duration_ms, ok) VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (attempt_id, epoch, stage) DO NOTHING",
    )
    .bind(fence.attempt)
    .bind(fence.epoch)
    .bind(stage)
    .bind(duration_ms)
    .bind(ok)
    .execute(conn)
    .await?;
    Ok(())
}

/// What was asked of the holder of a lease; `None` when the attempt has moved on to another.
pub async fn work(conn: &mut PgConnection, fence: &Fence) -> sqlx::Result<Option<Work>> {
    let work: Option<Json<Work>> =
        sqlx::query_scalar("SELECT work FROM attempt WHERE id = $1 AND epoch = $2 AND worker = $3")
            .bind(fence.attempt)
            .bind(fence.epoch)
            .bind(fence.worker)
            .fetch_optional(conn)
            .await?;
    Ok(work.map(|work| work.0))
}

/// Stores an observation and ends the attempt.
pub async fn finish(
    conn: &mut PgConnection,
    fence: &Fence,
    observation: &serde_json::Value,
) -> sqlx::Result<Fenced> {
    let rows = sqlx::query(
        "UPDATE attempt SET state = 'done', observation = $4, lease_until = NULL, stage = NULL, ended_at = now()
          WHERE id = $1 AND epoch = $2 AND worker = $3 AND state = 'leased'",
    )
    .bind(fence.attempt)
    .bind(fence.epoch)
    .bind(fence.worker)
    .bind(observation)
    .execute(conn)
    .await?
    .rows_affected();
    Ok(one(rows))
}

/// True when exactly this observation is already stored for this lease: the reply got lost, not the result.
pub async fn already_finished(
    conn: &mut PgConnection,
    fence: &Fence,
    observation: &serde_json::Value,
) -> sqlx::Result<bool> {
    sqlx::query_scalar(
        "SELECT EXISTS (SELECT 1 FROM attempt WHERE id = $1 AND epoch = $2 AND worker = $3
                           AND state = 'done' AND observation = $4)",
    )
    .bind(fence.attempt)
    .bind(fence.epoch)
    .bind(fence.worker)
    .bind(observation)
    .fetch_one(conn)
    .await
}

/// Our failure: back to the queue, or held after too many.
pub async fn infrastructure(
    conn: &mut PgConnection,
    fence: &Fence,
    what: &str,
) -> sqlx::Result<Fenced> {
    let rows = sqlx::query(
        "UPDATE attempt SET infra_failures = infra_failures + 1, infra_what = $4,
                state = CASE WHEN infra_failures + 1 >= $5 THEN 'held' ELSE 'ready' END::attempt_state,
                lease_until = NULL, stage = NULL
          WHERE id = $1 AND epoch = $2 AND worker = $3 AND state = 'leased'",
    )
    .bind(fence.attempt)
    .bind(fence.epoch)
    .bind(fence.worker)
    .bind(what)
    .bind(INFRA_RETRIES)
    .execute(conn)
    .await?
    .rows_affected();
    Ok(one(rows))
}

/// A lease given back unused.
pub async fn release(conn: &mut PgConnection, fence: &Fence) -> sqlx::Result<Fenced> {
    let rows = sqlx::query(
        "UPDATE attempt SET state = 'ready', lease_until = NULL, stage = NULL
          WHERE id = $1 AND epoch = $2 AND worker = $3 AND state = 'leased'",
    )
    .bind(fence.attempt)
    .bind(fence.epoch)
    .bind(fence.worker)
    .execute(conn)
    .await?
    .rows_affected();
    Ok(one(rows))
}

/// Ids of the attempts a worker holds.
pub async fn held_by(conn: &mut PgConnection, worker: Uuid) -> sqlx::Result<Vec<i64>> {
    sqlx::query_scalar("SELECT id FROM attempt WHERE state = 'leased' AND worker = $1 ORDER BY id")
        .bind(worker)
        .fetch_all(conn)
        .await
}

/// Takes back the lease of a worker that lost its process; counts like an expired one.
pub async fn take_back(conn: &mut PgConnection, id: i64, worker: Uuid) -> sqlx::Result<bool> {
    sqlx::query("UPDATE attempt SET lease_until = '-infinity' WHERE id = $1 AND state = 'leased' AND worker = $2")
        .bind(id)
        .bind(worker)
        .execute(&mut *conn)
        .await?;
    expire(conn, id).await
}

/// Ids of leases that have run out, or past the attempt's deadline by five minutes.
pub async fn expired(conn: &mut PgConnection) -> sqlx::Result<Vec<i64>> {
    sqlx::query_scalar(
        "SELECT id FROM attempt
          WHERE state = 'leased'
            AND (lease_until < now() OR leased_at + make_interval(secs => deadline_s + 300) < now())
          ORDER BY id LIMIT 200",
    )
    .fetch_all(conn)
    .await
}

/// Takes one expired lease back; false when it was renewed or finished meanwhile.
pub async fn expire(conn: &mut PgConnection, id: i64) -> sqlx::Result<bool> {
    let rows = sqlx::query(
        "UPDATE attempt SET lease_losses = lease_losses + 1, lease_until = NULL, stage = NULL,
                infra_what = CASE WHEN lease_losses + 1 >= $2 THEN 'lost its lease too often' ELSE infra_what END,
                state = CASE WHEN lease_losses + 1 >= $2 THEN 'held' ELSE 'ready' END::attempt_state
          WHERE id = $1 AND state = 'leased'
            AND (lease_until < now() OR leased_at + make_interval(secs => deadline_s + 300) < now())",
    )
    .bind(id)
    .bind(LEASE_LOSSES)
    .execute(conn)
    .await?
    .rows_affected();
    Ok(rows == 1)
}

/// After a start or a database outage: no healthy worker loses its lease for our absence.
pub async fn grace(conn: &mut PgConnection, ttl_ms: u64) -> sqlx::Result<u64> {
    Ok(sqlx::query(
        "UPDATE attempt SET lease_until = greatest(lease_until, now() + make_interval(secs => $1))
          WHERE state = 'leased'",
    )
    .bind(2.0 * ttl_ms as f64 / 1000.0)
    .execute(conn)
    .await?
    .rows_affected())
}

fn one(rows: u64) -> Fenced {
    if rows == 1 {
        Fenced::Done
    } else {
        Fenced::Stale
    }
}
