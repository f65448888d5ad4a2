//! Jobs, their ranges and the probes they asked for.

use firstbad_api::job::{Difference, NewJob, Outcome, Range};
use firstbad_api::lease::ConfigRequest;
use firstbad_api::suite::SuiteBundle;
use sqlx::PgConnection;
use sqlx::types::Json;
use time::OffsetDateTime;

use super::sight::Sight;

/// A job as stored.
#[derive(sqlx::FromRow)]
pub struct JobRow {
    pub id: i64,
    pub tree_id: i64,
    pub tree: String,
    pub state: String,
    pub title: String,
    pub owner: String,
    pub request: Json<NewJob>,
    pub range: Json<Range>,
    pub suite: Json<SuiteBundle>,
    pub config: Json<ConfigRequest>,
    pub toolchain: Option<String>,
    pub toolset: Option<String>,
    pub qemu_version: Option<String>,
    pub outcome: Option<Json<Outcome>>,
    pub request_digest: String,
    pub origin: Option<i64>,
    pub origin_why: String,
    pub narrowed: Option<Vec<String>>,
    pub weighed: bool,
    pub difference: Option<Json<Difference>>,
    pub retracted_at: Option<OffsetDateTime>,
    pub retracted_by: Option<String>,
    pub retracted_why: Option<String>,
    /// The rows from which it was told where it stands.
    pub progress_of: Option<String>,
    pub created_at: OffsetDateTime,
    pub ended_at: Option<OffsetDateTime>,
}

macro_rules! job_query {
    ($rest:literal) => {
        concat!(
            "SELECT j.id, j.tree_id, t.name AS tree, j.state::text AS state, j.title, j.owner, j.request, j.range,
                    j.suite, j.config, j.toolchain, j.toolset, j.qemu_version, j.outcome,
                    j.request_digest, j.origin, j.origin_why, j.narrowed, j.weighed, j.difference,
                    j.retracted_at, j.retracted_by, j.retracted_why, j.progress_of,
                    j.created_at, j.ended_at
               FROM job j JOIN tree t ON t.id = j.tree_id ",
            $rest
        )
    };
}

/// A job to be stored.
pub struct NewRow<'a> {
    pub tree_id: i64,
    pub title: &'a str,
    pub owner: &'a str,
    pub request: &'a NewJob,
    pub range: &'a Range,
    pub suite: &'a SuiteBundle,
    pub config: &'a ConfigRequest,
    pub idempotency_key: Option<&'a str>,
    pub request_digest: &'a str,
    pub question: Option<&'a String>,
    /// The job that led to this one, and why.
    pub origin: Option<(i64, &'a str)>,
}

/// One revision of a job's range.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct RevisionRow {
    pub position: i32,
    pub rev: String,
    pub tree_oid: String,
    pub parents: Vec<i32>,
    /// Has several parents, inside of the range or not.
    pub merge: bool,
    pub subject: String,
    pub author: String,
    pub eligible: bool,
    /// How likely it is the answer beforehand, if that is known.
    pub weight: Option<i32>,
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
    /// How often it was leased.
    pub epoch: i32,
    /// JSON of what a build saw.
    pub built: Option<String>,
    /// What a second run of the same inputs differed in; empty: in nothing.
    pub differs: Option<String>,
    /// Builds that were asked for at once have the same number, from 1; that of tests means nothing.
    pub round: i64,
    /// With how many patches for candidates that need them it was built.
    pub mends: i32,
}

/// Stores a job and its range; `None` when the idempotency key is taken.
pub async fn insert(
    conn: &mut PgConnection,
    new: &NewRow<'_>,
    revisions: &[RevisionRow],
) -> sqlx::Result<Option<i64>> {
    let id: Option<i64> = sqlx::query_scalar(
        "INSERT INTO job (tree_id, title, request, range, suite, config, idempotency_key, request_digest,
                          origin, origin_why, owner, question)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
         ON CONFLICT (owner, idempotency_key) DO NOTHING RETURNING id",
    )
    .bind(new.tree_id)
    .bind(new.title)
    .bind(Json(new.request))
    .bind(Json(new.range))
    .bind(Json(new.suite))
    .bind(Json(new.config))
    .bind(new.idempotency_key)
    .bind(new.request_digest)
    .bind(new.origin.map(|o| o.0))
    .bind(new.origin.map_or("", |o| o.1))
    .bind(new.owner)
    .bind(new.question)
    .fetch_optional(&mut *conn)
    .await?;
    let Some(id) = id else { return Ok(None) };
    insert_revisions(conn, id, revisions).await?;
    Ok(Some(id))
}

/// Stores the range of a job that has none.
pub(super) async fn insert_revisions(
    conn: &mut PgConnection,
    id: i64,
    revisions: &[RevisionRow],
) -> sqlx::Result<()> {
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
            "INSERT INTO job_revision (job_id, position, rev, tree_oid, parents, merge, subject, author, eligible)
             SELECT $1, position, rev, tree_oid, parents::int[], merge, subject, author, eligible
               FROM unnest($2::int[], $3::text[], $4::text[], $5::text[], $6::bool[], $7::text[], $8::text[],
                           $9::bool[])
                 AS r (position, rev, tree_oid, parents, merge, subject, author, eligible)",
        )
        .bind(id)
        .bind(chunk.iter().map(|r| r.position).collect::<Vec<_>>())
        .bind(column(|r| &r.rev))
        .bind(column(|r| &r.tree_oid))
        .bind(parents)
        .bind(chunk.iter().map(|r| r.merge).collect::<Vec<_>>())
        .bind(column(|r| &r.subject))
        .bind(column(|r| &r.author))
        .bind(chunk.iter().map(|r| r.eligible).collect::<Vec<_>>())
        .execute(&mut *conn)
        .await?;
    }
    super::list::note_words(conn, id).await
}

/// A job that goes on from another.
pub struct Onward<'a> {
    pub title: &'a str,
    pub request: &'a NewJob,
    pub request_digest: &'a str,
    pub why: &'a str,
    /// Another range than that of the first; the positions are its own.
    pub range: Option<(&'a Range, &'a [RevisionRow])>,
}

/// A job beside `job` that knows all that was observed, said and mended for it. What was given up
/// before it was run is left out, and so is what the first job wanted after that.
pub async fn split_off(conn: &mut PgConnection, job: i64, to: &Onward<'_>) -> sqlx::Result<i64> {
    let range = to.range;
    let id: i64 = sqlx::query_scalar(
        "INSERT INTO job (tree_id, state, title, request, range, suite, config, toolchain, toolset,
                          qemu_version, request_digest, weighed, narrowed, owner, origin, origin_why)
         SELECT tree_id, CASE WHEN toolchain IS NULL THEN 'queued' ELSE 'running' END::job_state, $2, $3,
                coalesce($4, range), suite, config, toolchain, toolset, qemu_version, $5,
                weighed AND $4 IS NULL, CASE WHEN $7 THEN narrowed END, owner, id, $6
           FROM job WHERE id = $1 RETURNING id",
    )
    .bind(job)
    .bind(to.title)
    .bind(Json(to.request))
    .bind(range.map(|(range, _)| Json(range)))
    .bind(to.request_digest)
    .bind(to.why)
    .bind(range.is_none())
    .fetch_one(&mut *conn)
    .await?;
    match range {
        Some((_, revisions)) => insert_revisions(conn, id, revisions).await?,
        None => {
            sqlx::query(
                "INSERT INTO job_revision (job_id, position, rev, tree_oid, parents, merge, subject, author,
                                           eligible, weight)
                 SELECT $2, position, rev, tree_oid, parents, merge, subject, author, eligible, weight
                   FROM job_revision WHERE job_id = $1",
            )
            .bind(job)
            .bind(id)
            .execute(&mut *conn)
            .await?;
            super::list::note_words(conn, id).await?;
        }
    }
    for statement in [
        "INSERT INTO probe (job_id, position, kind, run, attempt_id, reused, reason, mends)
         SELECT $2, n.position, p.kind, p.run, p.attempt_id, true, p.reason, p.mends
           FROM probe p JOIN job_revision o USING (job_id, position)
                JOIN job_revision n ON n.job_id = $2 AND n.rev = o.rev
          WHERE p.job_id = $1
            AND NOT EXISTS (SELECT FROM probe g JOIN attempt a ON a.id = g.attempt_id
                             WHERE g.job_id = $1 AND g.position = p.position AND g.kind = p.kind
                               AND g.run <= p.run AND a.state = 'cancelled')",
        "INSERT INTO mark (job_id, position, mark, who, why, created_at)
         SELECT $2, n.position, m.mark, m.who, m.why, m.created_at
           FROM mark m JOIN job_revision o USING (job_id, position)
                JOIN job_revision n ON n.job_id = $2 AND n.rev = o.rev
          WHERE m.job_id = $1 AND m.undone_at IS NULL",
        "INSERT INTO mend (job_id, number, title, patch, who, created_at)
         SELECT $2, number, title, patch, who, created_at FROM mend WHERE job_id = $1",
    ] {
        sqlx::query(statement)
            .bind(job)
            .bind(id)
            .execute(&mut *conn)
            .await?;
    }
    Ok(id)
}

/// Keeps others from going on from a job until the transaction ends.
pub async fn lock(conn: &mut PgConnection, job: i64) -> sqlx::Result<()> {
    sqlx::query("SELECT FROM job WHERE id = $1 FOR UPDATE")
        .bind(job)
        .execute(conn)
        .await?;
    Ok(())
}

/// The job that goes on from another one with this request, if it has not ended.
pub async fn onward_of(
    conn: &mut PgConnection,
    job: i64,
    digest: &str,
) -> sqlx::Result<Option<i64>> {
    let query = "SELECT id FROM job
                  WHERE origin = $1 AND request_digest = $2 AND state IN ('queued', 'running') LIMIT 1";
    sqlx::query_scalar(query)
        .bind(job)
        .bind(digest)
        .fetch_optional(conn)
        .await
}

/// Another request for a job that is searching; false when it is not.
pub async fn amend(conn: &mut PgConnection, job: i64, request: &NewJob) -> sqlx::Result<bool> {
    let rows =
        sqlx::query("UPDATE job SET request = $2, question = NULL WHERE id = $1 AND state IN ('queued', 'running')")
            .bind(job)
            .bind(Json(request))
            .execute(conn)
            .await?
            .rows_affected();
    Ok(rows == 1)
}

/// Takes the result of a job back, or (`None`) puts it back; false when it has none, or is so already.
pub async fn retract(
    conn: &mut PgConnection,
    job: i64,
    by: Option<(&str, &str)>,
) -> sqlx::Result<bool> {
    let rows = sqlx::query(
        "UPDATE job SET retracted_at = CASE WHEN $2::text IS NULL THEN NULL ELSE now() END,
                retracted_by = $2, retracted_why = $3
          WHERE id = $1 AND state = 'done' AND (retracted_at IS NULL) = ($2 IS NOT NULL)",
    )
    .bind(job)
    .bind(by.map(|(who, _)| who))
    .bind(by.map(|(_, why)| why))
    .execute(&mut *conn)
    .await?
    .rows_affected();
    if rows == 1 {
        let kind = match by {
            Some(_) => "bisection.retracted",
            None => "bisection.restored",
        };
        super::webhook::tell(conn, job, kind).await?;
    }
    Ok(rows == 1)
}

/// From now on a job follows only these cases.
pub async fn narrow(conn: &mut PgConnection, job: i64, cases: &[String]) -> sqlx::Result<()> {
    sqlx::query("UPDATE job SET narrowed = $2 WHERE id = $1")
        .bind(job)
        .bind(cases)
        .execute(conn)
        .await?;
    Ok(())
}

/// Notes how likely each commit is beforehand; nothing when that cannot be said.
pub async fn weigh(
    conn: &mut PgConnection,
    job: i64,
    positions: &[i32],
    weights: &[i32],
) -> sqlx::Result<()> {
    sqlx::query(
        "UPDATE job_revision r SET weight = w.weight
           FROM unnest($2::int[], $3::int[]) AS w (position, weight)
          WHERE r.job_id = $1 AND r.position = w.position",
    )
    .bind(job)
    .bind(positions)
    .bind(weights)
    .execute(&mut *conn)
    .await?;
    sqlx::query("UPDATE job SET weighed = true WHERE id = $1")
        .bind(job)
        .execute(conn)
        .await?;
    Ok(())
}

/// Ended jobs that may lead to others.
pub async fn leading_on(conn: &mut PgConnection) -> sqlx::Result<Vec<i64>> {
    sqlx::query_scalar("SELECT id FROM job WHERE leads_on ORDER BY id LIMIT 100")
        .fetch_all(conn)
        .await
}

/// Notes that the jobs are made which `job` leads to, or what is known instead; false when another
/// pass did it.
pub async fn led_on(
    conn: &mut PgConnection,
    job: i64,
    difference: Option<&Difference>,
) -> sqlx::Result<bool> {
    let statement = "UPDATE job SET leads_on = false, difference = $2 WHERE id = $1 AND leads_on";
    let rows = sqlx::query(statement)
        .bind(job)
        .bind(difference.map(Json))
        .execute(conn)
        .await?
        .rows_affected();
    Ok(rows == 1)
}

/// The jobs that `job` led to and that can be seen, oldest first.
pub async fn further(
    conn: &mut PgConnection,
    sight: &Sight,
    job: i64,
) -> sqlx::Result<Vec<JobRow>> {
    let (all, owner) = sight.args();
    sqlx::query_as(job_query!(
        "WHERE j.origin = $1 AND (NOT j.private OR $2 OR j.owner = $3) ORDER BY j.id"
    ))
    .bind(job)
    .bind(all)
    .bind(owner)
    .fetch_all(conn)
    .await
}

/// In which state a job is.
pub async fn state(conn: &mut PgConnection, id: i64) -> sqlx::Result<Option<String>> {
    sqlx::query_scalar("SELECT state::text FROM job WHERE id = $1")
        .bind(id)
        .fetch_optional(conn)
        .await
}

pub async fn find(conn: &mut PgConnection, id: i64) -> sqlx::Result<Option<JobRow>> {
    sqlx::query_as(job_query!("WHERE j.id = $1"))
        .bind(id)
        .fetch_optional(conn)
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
        "SELECT position, rev, tree_oid, parents, merge, subject, author, eligible, weight
           FROM job_revision WHERE job_id = $1 ORDER BY position",
    )
    .bind(job)
    .fetch_all(conn)
    .await
}

/// Position and id of the merges of a range and of these revisions in it, in order.
pub async fn landmarks(
    conn: &mut PgConnection,
    job: i64,
    revs: &[&str],
) -> sqlx::Result<Vec<(i32, String)>> {
    sqlx::query_as(
        "SELECT position, rev FROM job_revision
          WHERE job_id = $1 AND (merge OR rev = ANY($2)) ORDER BY position",
    )
    .bind(job)
    .bind(revs)
    .fetch_all(conn)
    .await
}

pub async fn probes(conn: &mut PgConnection, job: i64) -> sqlx::Result<Vec<ProbeRow>> {
    // Ranked before the wide rows are there, and put in order after that: sorting those costs most.
    let mut rows: Vec<ProbeRow> = sqlx::query_as(
        "SELECT p.position, p.kind::text AS kind, p.run, p.attempt_id, p.reused, p.reason,
                a.state::text AS state, a.seed, a.stage, a.infra_what, a.epoch, r.differs,
                CASE WHEN p.kind = 'build' THEN a.observation::text END AS built, p.mends, p.round
           FROM (SELECT *, dense_rank() OVER (PARTITION BY kind ORDER BY created_at) AS round
                   FROM probe WHERE job_id = $1) AS p
                JOIN attempt a ON a.id = p.attempt_id
                LEFT JOIN repeat r ON r.attempt_id = a.id",
    )
    .bind(job)
    .fetch_all(conn)
    .await?;
    rows.sort_by(|a, b| (a.position, &a.kind, a.run).cmp(&(b.position, &b.kind, b.run)));
    Ok(rows)
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
        "UPDATE job SET state = $2::job_state, outcome = $3, ended_at = now(),
                leads_on = $2 = 'done' AND (coalesce((request ->> 'merge_first')::bool, false)
                                            OR coalesce((request ->> 'every_flip')::bool, false)
                                            OR $3::jsonb ->> 'outcome' = 'culprit'
                                            OR EXISTS (SELECT FROM release r
                                                        WHERE r.tree_id = job.tree_id))
          WHERE id = $1 AND state IN ('queued', 'running')",
    )
    .bind(job)
    .bind(state)
    .bind(Json(outcome))
    .execute(&mut *conn)
    .await?
    .rows_affected();
    if rows == 1 {
        let kind = match state {
            "cancelled" => "bisection.cancelled",
            _ => "bisection.completed",
        };
        super::webhook::tell(conn, job, kind).await?;
    }
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

/// Milliseconds of work that a revision takes: the middle build and as many middle runs as each has had.
/// The first build of all, which compiles everything, tells little of the next. None before there are any.
pub async fn pace_ms(conn: &mut PgConnection, job: i64) -> sqlx::Result<Option<f64>> {
    sqlx::query_scalar(
        "WITH made AS (SELECT p.kind, sum(s.duration_ms) AS ms
                         FROM probe p JOIN stage s ON s.attempt_id = p.attempt_id
                        WHERE p.job_id = $1 AND NOT p.reused GROUP BY p.kind, p.attempt_id),
              each AS (SELECT kind, percentile_cont(0.5) WITHIN GROUP (ORDER BY ms) AS middle, count(*) AS n
                         FROM made GROUP BY kind)
         SELECT sum(middle * CASE WHEN kind = 'build' THEN 1
                                  ELSE n / greatest((SELECT count(DISTINCT position) FROM probe WHERE job_id = $1), 1)::float8
                             END) FROM each",
    )
    .bind(job)
    .fetch_one(conn)
    .await
}
