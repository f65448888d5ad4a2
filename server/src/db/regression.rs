//! Regressions.

use firstbad_api::job::{NewJob, Outcome};
use firstbad_api::regression::{Culprit, Fix, Regression, RegressionsQuery, Signature};
use sqlx::PgConnection;
use sqlx::types::Json;
use time::OffsetDateTime;

use super::rfc3339;
use super::rule::{acts, may_make_jobs};
use super::sight::Sight;

/// Regressions in one answer.
const SHOWN: i64 = 200;

/// One to be stored.
pub struct New<'a> {
    pub rule: i64,
    pub tree: i64,
    pub owner: &'a str,
    pub private: bool,
    pub suite: &'a str,
    pub signature: &'a Signature,
    pub reference: &'a str,
    pub good: &'a str,
    pub bad: &'a str,
}

pub async fn insert(conn: &mut PgConnection, new: &New<'_>) -> sqlx::Result<i64> {
    sqlx::query_scalar(
        "INSERT INTO regression (rule_id, tree_id, owner, private, suite, signature, ref, good_rev,
                                 bad_rev, last_rev)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $9) RETURNING id",
    )
    .bind(new.rule)
    .bind(new.tree)
    .bind(new.owner)
    .bind(new.private)
    .bind(new.suite)
    .bind(Json(new.signature))
    .bind(new.reference)
    .bind(new.good)
    .bind(new.bad)
    .fetch_one(conn)
    .await
}

/// An open one of a rule.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct Open {
    pub id: i64,
    pub signature: Json<Signature>,
    #[sqlx(rename = "ref")]
    pub reference: String,
    pub bad_rev: String,
}

/// The open ones of a rule.
pub async fn open(conn: &mut PgConnection, rule: i64) -> sqlx::Result<Vec<Open>> {
    sqlx::query_as(
        "SELECT id, signature, ref, bad_rev FROM regression
          WHERE rule_id = $1 AND state = 'open' ORDER BY id",
    )
    .bind(rule)
    .fetch_all(conn)
    .await
}

/// Notes that it is seen again.
pub async fn seen_again(conn: &mut PgConnection, id: i64, rev: &str) -> sqlx::Result<()> {
    sqlx::query("UPDATE regression SET last_rev = $2, last_seen = now() WHERE id = $1")
        .bind(id)
        .bind(rev)
        .execute(conn)
        .await?;
    Ok(())
}

/// Notes what repairs it; what is known already stays, but for a head that passes.
pub async fn set_fix(conn: &mut PgConnection, id: i64, fix: &Fix) -> sqlx::Result<()> {
    sqlx::query("UPDATE regression SET fix = coalesce(fix, $2) WHERE id = $1")
        .bind(id)
        .bind(Json(fix))
        .execute(conn)
        .await?;
    Ok(())
}

/// Sets what it is; false when it is that already.
pub async fn set_state(
    conn: &mut PgConnection,
    id: i64,
    state: &str,
    by: &str,
    why: &str,
) -> sqlx::Result<bool> {
    let rows = sqlx::query(
        "UPDATE regression SET state = $2, state_by = $3, state_why = $4 WHERE id = $1 AND state <> $2",
    )
    .bind(id)
    .bind(state)
    .bind(by)
    .bind(why)
    .execute(conn)
    .await?;
    Ok(rows.rows_affected() == 1)
}

/// One that nothing looks into yet.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct Unsought {
    pub id: i64,
    pub rule_id: i64,
    pub suite: String,
    pub signature: Json<Signature>,
    #[sqlx(rename = "ref")]
    pub reference: String,
    pub good_rev: String,
    pub bad_rev: String,
}

/// Open ones that nothing looks into, that nothing stands against and whose rules may make a job now,
/// oldest first.
pub async fn unsought(conn: &mut PgConnection) -> sqlx::Result<Vec<Unsought>> {
    sqlx::query_as(concat!(
        "SELECT g.id, g.rule_id, g.suite, g.signature, g.ref, g.good_rev, g.bad_rev
               FROM regression g JOIN rule r ON r.id = g.rule_id
              WHERE g.state = 'open' AND g.job_id IS NULL AND g.job_why = '' AND",
        may_make_jobs!(),
        "ORDER BY g.id LIMIT 100"
    ))
    .fetch_all(conn)
    .await
}

/// Notes what looks into it and what is to be said about that; false when something does already.
pub async fn sought(
    conn: &mut PgConnection,
    id: i64,
    job: Option<i64>,
    why: &str,
) -> sqlx::Result<bool> {
    let update = "UPDATE regression SET job_id = $2, job_why = $3 WHERE id = $1 AND job_id IS NULL";
    let rows = sqlx::query(update)
        .bind(id)
        .bind(job)
        .bind(why)
        .execute(conn)
        .await?;
    Ok(rows.rows_affected() == 1)
}

/// One whose fix is looked for.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct Unfixed {
    pub id: i64,
    pub tree_id: i64,
    pub tree: String,
    pub owner: String,
    pub private: bool,
    pub suite: String,
    pub signature: Json<Signature>,
    pub bad_rev: String,
    /// Of its job.
    pub culprit: Option<String>,
}

/// What can name a fix, in one word that changes when there is more of it; `None` when nobody looks
/// for one.
pub async fn what_is_known(conn: &mut PgConnection) -> sqlx::Result<Option<String>> {
    sqlx::query_scalar(
        "SELECT md5(concat(
             (SELECT string_agg(concat(tree_id, ' ', fetched_at), ',' ORDER BY tree_id) FROM looked_through),
             ' ', (SELECT count(*) FROM job WHERE state = 'done' AND retracted_at IS NULL)))
          WHERE EXISTS (SELECT FROM regression WHERE state = 'open' AND fix IS NULL)",
    )
    .fetch_optional(conn)
    .await
}

/// Open ones without a fix for which nobody looked since something became known.
pub async fn unfixed(conn: &mut PgConnection, known: &str) -> sqlx::Result<Vec<Unfixed>> {
    sqlx::query_as(
        "SELECT g.id, g.tree_id, t.name AS tree, g.owner, g.private, g.suite, g.signature, g.bad_rev,
                CASE WHEN j.retracted_at IS NULL AND j.outcome ->> 'outcome' = 'culprit'
                     THEN j.outcome ->> 'rev' END AS culprit
           FROM regression g JOIN tree t ON t.id = g.tree_id LEFT JOIN job j ON j.id = g.job_id
          WHERE g.state = 'open' AND g.fix IS NULL AND g.looked_for <> $1 ORDER BY g.id LIMIT 100",
    )
    .bind(known)
    .fetch_all(conn)
    .await
}

/// Notes that a fix was looked for in what is known.
pub async fn looked_for(conn: &mut PgConnection, id: i64, known: &str) -> sqlx::Result<()> {
    sqlx::query("UPDATE regression SET looked_for = $2 WHERE id = $1")
        .bind(id)
        .bind(known)
        .execute(conn)
        .await?;
    Ok(())
}

/// A job that named what repaired something.
#[derive(sqlx::FromRow)]
pub struct Repair {
    pub id: i64,
    pub request: Json<NewJob>,
    pub outcome: Json<Outcome>,
}

/// Jobs of a tree that found out what repaired something with this suite, that nobody took back and
/// that this owner sees, newest first.
pub async fn repairs(
    conn: &mut PgConnection,
    of: &Unfixed,
    sight: &Sight,
) -> sqlx::Result<Vec<Repair>> {
    let (all, owner) = sight.args();
    sqlx::query_as(
        "SELECT id, request, outcome FROM job
          WHERE tree_id = $1 AND state = 'done' AND outcome ->> 'outcome' = 'culprit'
            AND retracted_at IS NULL AND request ->> 'find' = 'fix' AND request ->> 'suite' = $2
            AND (NOT private OR $3 OR owner = $4)
          ORDER BY id DESC LIMIT 100",
    )
    .bind(of.tree_id)
    .bind(&of.suite)
    .bind(all)
    .bind(owner)
    .fetch_all(conn)
    .await
}

#[derive(sqlx::FromRow)]
struct Row {
    id: i64,
    tree: String,
    rule_id: Option<i64>,
    owner: String,
    private: bool,
    suite: String,
    signature: Json<Signature>,
    #[sqlx(rename = "ref")]
    reference: String,
    good_rev: String,
    bad_rev: String,
    first_seen: OffsetDateTime,
    last_rev: String,
    last_seen: OffsetDateTime,
    job_id: Option<i64>,
    job_why: String,
    outcome: Option<Json<Outcome>>,
    fix: Option<Json<Fix>>,
    state: String,
    state_by: Option<String>,
    state_why: Option<String>,
    duplicates: Vec<i64>,
}

impl From<Row> for Regression {
    fn from(r: Row) -> Regression {
        Regression {
            title: format!("{}: {} in {}", r.suite, r.signature.0, r.reference),
            id: r.id,
            tree: r.tree,
            reference: r.reference,
            suite: r.suite,
            signature: r.signature.0,
            rule: r.rule_id,
            owner: r.owner,
            private: r.private,
            good: r.good_rev,
            bad: r.bad_rev,
            first_seen: rfc3339(r.first_seen),
            last_rev: r.last_rev,
            last_seen: rfc3339(r.last_seen),
            job: r.job_id,
            job_why: r.job_why,
            culprit: match r.outcome.map(|o| o.0) {
                Some(Outcome::Culprit { rev, subject, .. }) => Some(Culprit { rev, subject }),
                _ => None,
            },
            fix: r.fix.map(|f| f.0),
            state: r.state,
            state_by: r.state_by,
            state_why: r.state_why,
            duplicates: r.duplicates,
        }
    }
}

/// Which are looked for.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    pub id: Option<i64>,
    pub query: RegressionsQuery,
}

/// Those that can be seen, newest first. A job that cannot be seen is not named.
pub async fn list(
    conn: &mut PgConnection,
    sight: &Sight,
    wanted: &Wanted,
) -> sqlx::Result<Vec<Regression>> {
    let (all, owner) = sight.args();
    let rows: Vec<Row> = sqlx::query_as(
        "WITH seen AS (
            SELECT g.*, t.name AS tree, j.id AS seen_job,
                   CASE WHEN j.retracted_at IS NULL THEN j.outcome END AS outcome
              FROM regression g JOIN tree t ON t.id = g.tree_id
                   LEFT JOIN job j ON j.id = g.job_id AND (NOT j.private OR $1 OR j.owner = $2)
             WHERE NOT g.private OR $1 OR g.owner = $2)
         SELECT s.id, s.tree, s.rule_id, s.owner, s.private, s.suite, s.signature, s.ref, s.good_rev,
                s.bad_rev, s.first_seen, s.last_rev, s.last_seen, s.seen_job AS job_id, s.job_why,
                s.outcome, s.fix, s.state, s.state_by, s.state_why,
                ARRAY(SELECT d.id FROM seen d
                       WHERE d.id <> s.id AND s.outcome ->> 'outcome' = 'culprit'
                         AND d.outcome ->> 'outcome' = 'culprit'
                         AND (d.outcome ->> 'rev' = s.outcome ->> 'rev'
                              OR EXISTS (SELECT FROM change a JOIN change b ON b.patch_id = a.patch_id
                                          WHERE a.rev = s.outcome ->> 'rev'
                                            AND b.rev = d.outcome ->> 'rev'))
                       ORDER BY d.id) AS duplicates
           FROM seen s
          WHERE ($3::bigint IS NULL OR s.id = $3) AND ($4 = '' OR s.state = $4)
            AND ($5 = '' OR s.tree = $5) AND ($6::bigint IS NULL OR s.seen_job = $6)
            AND ($7::bigint IS NULL OR s.id < $7)
          ORDER BY s.id DESC LIMIT $8",
    )
    .bind(all)
    .bind(owner)
    .bind(wanted.id)
    .bind(&wanted.query.state)
    .bind(&wanted.query.tree)
    .bind(wanted.query.job)
    .bind(wanted.query.before)
    .bind(SHOWN)
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(Regression::from).collect())
}
