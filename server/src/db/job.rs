//! Jobs, their ranges and the probes they asked for.

use firstbad_api::job::{NewJob, Outcome, Range};
use firstbad_api::lease::ConfigRequest;
use firstbad_api::suite::SuiteBundle;
use sqlx::PgConnection;
use sqlx::types::Json;
use time::OffsetDateTime;

/// A job as stored.
#[derive(sqlx::FromRow)]
pub struct JobRow {
    pub id: i64,
    pub tree_id: i64,
    pub tree: String,
    pub state: String,
    pub title: String,
    pub request: Json<NewJob>,
    pub range: Json<Range>,
    pub suite: Json<SuiteBundle>,
    pub config: Json<ConfigRequest>,
    pub toolchain: Option<String>,
    pub toolset: Option<String>,
    pub qemu_version: Option<String>,
    pub outcome: Option<Json<Outcome>>,
    pub request_digest: String,
    pub created_at: OffsetDateTime,
    pub ended_at: Option<OffsetDateTime>,
}

macro_rules! job_query {
    ($rest:literal) => {
        concat!(
            "SELECT j.id, j.tree_id, t.name AS tree, j.state::text AS state, j.title, j.request, j.range,
                    j.suite, j.config, j.toolchain, j.toolset, j.qemu_version, j.outcome,
                    j.request_digest, j.created_at, j.ended_at
               FROM job j JOIN tree t ON t.id = j.tree_id ",
            $rest
        )
    };
}

/// A job to be stored.
pub struct NewRow<'a> {
    pub tree_id: i64,
    pub title: &'a str,
    pub request: &'a NewJob,
    pub range: &'a Range,
    pub suite: &'a SuiteBundle,
    pub config: &'a ConfigRequest,
    pub idempotency_key: Option<&'a str>,
    pub request_digest: &'a str,
}

/// One revision of a job's range.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct RevisionRow {
    pub position: i32,
    pub rev: String,
    pub tree_oid: String,
    pub parents: Vec<i32>,
    pub subject: String,
    pub author: String,
    pub eligible: bool,
}

/// One probe with the attempt behind it.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct ProbeRow {
    pub position: i32,
    pub kind: String,
    pub run: i32,
    pub attempt_id: i64,
    pub reused: bool,
    pub reason: String,
    pub state: String,
    pub seed: Option<i64>,
    pub stage: Option<String>,
    pub infra_what: Option<String>,
    pub observation: Option<serde_json::Value>,
}

/// Stores a job and its range; `None` when the idempotency key is taken.
pub async fn insert(
    conn: &mut PgConnection,
    new: &NewRow<'_>,
    revisions: &[RevisionRow],
) -> sqlx::Result<Option<i64>> {
    let id: Option<i64> = sqlx::query_scalar(
        "INSERT INTO job (tree_id, title, request, range, suite, config, idempotency_key, request_digest)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (idempotency_key) DO NOTHING RETURNING id",
    )
    .bind(new.tree_id)
    .bind(new.title)
    .bind(Json(new.request))
    .bind(Json(new.range))
    .bind(Json(new.suite))
    .bind(Json(new.config))
    .bind(new.idempotency_key)
    .bind(new.request_digest)
    .fetch_optional(&mut *conn)
    .await?;
    let Some(id) = id else { return Ok(None) };
    for chunk in revisions.chunks(4096) {
        let column =
            |f: fn(&RevisionRow) -> &str| chunk.iter().map(|r| f(r).to_owned()).collect::<Vec<_>>();
        // Parent lists differ in length, which a two-dimensional array cannot hold: as text.
        let parents: Vec<String> = chunk
            .iter()
            .map(|r| {
                let list: Vec<String> = r.parents.iter().map(i32::to_string).collect();
                format!("{{{}}}", list.join(","))
            })
            .collect();
        sqlx::query(
            "INSERT INTO job_revision (job_id, position, rev, tree_oid, parents, subject, author, eligible)
             SELECT $1, position, rev, tree_oid, parents::int[], subject, author, eligible
               FROM unnest($2::int[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::bool[])
                 AS r (position, rev, tree_oid, parents, subject, author, eligible)",
        )
        .bind(id)
        .bind(chunk.iter().map(|r| r.position).collect::<Vec<_>>())
        .bind(column(|r| &r.rev))
        .bind(column(|r| &r.tree_oid))
        .bind(parents)
        .bind(column(|r| &r.subject))
        .bind(column(|r| &r.author))
        .bind(chunk.iter().map(|r| r.eligible).collect::<Vec<_>>())
        .execute(&mut *conn)
        .await?;
    }
    Ok(Some(id))
}

pub async fn find(conn: &mut PgConnection, id: i64) -> sqlx::Result<Option<JobRow>> {
    sqlx::query_as(job_query!("WHERE j.id = $1"))
        .bind(id)
        .fetch_optional(conn)
        .await
}

/// `(id, request digest)` of the job made with this idempotency key.
pub async fn by_key(conn: &mut PgConnection, key: &str) -> sqlx::Result<Option<(i64, String)>> {
    sqlx::query_as("SELECT id, request_digest FROM job WHERE idempotency_key = $1")
        .bind(key)
        .fetch_optional(conn)
        .await
}

/// Newest first, at most 200; only those in `state` when given.
pub async fn list(conn: &mut PgConnection, state: Option<&str>) -> sqlx::Result<Vec<JobRow>> {
    sqlx::query_as(job_query!(
        "WHERE $1::text IS NULL OR j.state::text = $1 ORDER BY j.id DESC LIMIT 200"
    ))
    .bind(state)
    .fetch_all(conn)
    .await
}

/// Ids of the jobs the planner looks at.
pub async fn open(conn: &mut PgConnection) -> sqlx::Result<Vec<i64>> {
    sqlx::query_scalar("SELECT id FROM job WHERE state IN ('queued', 'running') ORDER BY id")
        .fetch_all(conn)
        .await
}

pub async fn revisions(conn: &mut PgConnection, job: i64) -> sqlx::Result<Vec<RevisionRow>> {
    sqlx::query_as(
        "SELECT position, rev, tree_oid, parents, subject, author, eligible
           FROM job_revision WHERE job_id = $1 ORDER BY position",
    )
    .bind(job)
    .fetch_all(conn)
    .await
}

pub async fn probes(conn: &mut PgConnection, job: i64) -> sqlx::Result<Vec<ProbeRow>> {
    sqlx::query_as(
        "SELECT p.position, p.kind::text AS kind, p.run, p.attempt_id, p.reused, p.reason,
                a.state::text AS state, a.seed, a.stage, a.infra_what, a.observation
           FROM probe p JOIN attempt a ON a.id = p.attempt_id
          WHERE p.job_id = $1 ORDER BY p.position, p.kind, p.run",
    )
    .bind(job)
    .fetch_all(conn)
    .await
}

/// Notes that a job asked for an attempt.
#[allow(clippy::too_many_arguments)] // one column each
pub async fn insert_probe(
    conn: &mut PgConnection,
    job: i64,
    position: i32,
    kind: &str,
    run: i32,
    attempt: i64,
    reused: bool,
    reason: &str,
) -> sqlx::Result<()> {
    sqlx::query(
        "INSERT INTO probe (job_id, position, kind, run, attempt_id, reused, reason)
         VALUES ($1, $2, $3::attempt_kind, $4, $5, $6, $7) ON CONFLICT DO NOTHING",
    )
    .bind(job)
    .bind(position)
    .bind(kind)
    .bind(run)
    .bind(attempt)
    .bind(reused)
    .bind(reason)
    .execute(conn)
    .await?;
    Ok(())
}

/// Pins what the job's runs depend on and starts it; false when it is no longer queued.
pub async fn start(
    conn: &mut PgConnection,
    job: i64,
    caps: &firstbad_api::worker::Capabilities,
) -> sqlx::Result<bool> {
    let rows = sqlx::query(
        "UPDATE job SET state = 'running', toolchain = $2, toolset = $3, qemu_version = $4
          WHERE id = $1 AND state = 'queued'",
    )
    .bind(job)
    .bind(&caps.toolchain)
    .bind(&caps.toolset)
    .bind(&caps.qemu_version)
    .execute(conn)
    .await?
    .rows_affected();
    Ok(rows == 1)
}

/// Ends an open job; false when it had ended already.
pub async fn end(
    conn: &mut PgConnection,
    job: i64,
    state: &str,
    outcome: &Outcome,
) -> sqlx::Result<bool> {
    let rows = sqlx::query(
        "UPDATE job SET state = $2::job_state, outcome = $3, ended_at = now()
          WHERE id = $1 AND state IN ('queued', 'running')",
    )
    .bind(job)
    .bind(state)
    .bind(Json(outcome))
    .execute(conn)
    .await?
    .rows_affected();
    Ok(rows == 1)
}

/// Milliseconds by stage over the attempts this job caused (reused ones excluded).
pub async fn stage_ms(
    conn: &mut PgConnection,
    job: i64,
) -> sqlx::Result<Vec<(String, String, i64)>> {
    sqlx::query_as(
        "SELECT a.kind::text, s.stage, sum(s.duration_ms)::bigint
           FROM stage s JOIN attempt a ON a.id = s.attempt_id
          WHERE s.attempt_id IN (SELECT attempt_id FROM probe WHERE job_id = $1 AND NOT reused)
          GROUP BY 1, 2",
    )
    .bind(job)
    .fetch_all(conn)
    .await
}
