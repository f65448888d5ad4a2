//! Rules of trees, the heads they have seen, and who told of them.

use firstbad_api::rule::{Head, NewRule, Rule, Schedule, StatusTo};
use sqlx::PgConnection;
use sqlx::types::Json;
use time::OffsetDateTime;

use super::rfc3339;

/// Heads that a page shows.
const SHOWN: i64 = 200;

/// A rule as a task needs it.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct Row {
    pub id: i64,
    pub tree_id: i64,
    pub tree: String,
    pub owner: String,
    pub rule: Json<NewRule>,
    /// Jobs that it may still make today.
    pub left: i64,
    pub looked_at: Option<OffsetDateTime>,
    pub fetched_at: Option<OffsetDateTime>,
}

macro_rules! rows {
    ($which:literal) => {
        concat!(
            "SELECT r.id, r.tree_id, t.name AS tree, r.owner, r.rule, r.looked_at, t.fetched_at,
                    (r.rule ->> 'budget')::bigint
                      - (SELECT count(*) FROM job j
                          WHERE j.rule_id = r.id AND j.created_at > now() - interval '1 day') AS left
               FROM rule r JOIN tree t ON t.id = r.tree_id ",
            $which
        )
    };
}

/// A rule that is switched on, and whose owner may still do something.
macro_rules! acts {
    () => {
        " r.enabled AND NOT EXISTS (SELECT FROM account a WHERE 'user:' || a.name = r.owner
                                       AND a.disabled_at IS NOT NULL) "
    };
}
/// The same, and it may make another job today.
macro_rules! may_make_jobs {
    () => {
        concat!(
            acts!(),
            " AND (r.rule ->> 'budget')::bigint
                  > (SELECT count(*) FROM job b
                      WHERE b.rule_id = r.id AND b.created_at > now() - interval '1 day') "
        )
    };
}
pub(super) use {acts, may_make_jobs};

/// Stores a rule; `None` when the tree has one of this name.
pub async fn insert(
    conn: &mut PgConnection,
    tree: i64,
    owner: &str,
    rule: &NewRule,
    secret: &str,
) -> sqlx::Result<Option<i64>> {
    sqlx::query_scalar(
        "INSERT INTO rule (tree_id, name, owner, rule, enabled, private, secret)
         VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (tree_id, name) DO NOTHING RETURNING id",
    )
    .bind(tree)
    .bind(&rule.name)
    .bind(owner)
    .bind(Json(rule))
    .bind(rule.enabled)
    .bind(rule.run.private)
    .bind(secret)
    .fetch_optional(conn)
    .await
}

pub async fn update(conn: &mut PgConnection, id: i64, rule: &NewRule) -> sqlx::Result<()> {
    sqlx::query("UPDATE rule SET rule = $2, enabled = $3, private = $4 WHERE id = $1")
        .bind(id)
        .bind(Json(rule))
        .bind(rule.enabled)
        .bind(rule.run.private)
        .execute(conn)
        .await?;
    Ok(())
}

/// Forgets what a rule has looked at: with other references it begins anew.
pub async fn begin_anew(conn: &mut PgConnection, id: i64) -> sqlx::Result<()> {
    sqlx::query("UPDATE rule SET looked_at = NULL WHERE id = $1")
        .bind(id)
        .execute(conn)
        .await?;
    Ok(())
}

pub async fn remove(conn: &mut PgConnection, id: i64) -> sqlx::Result<()> {
    sqlx::query("DELETE FROM rule WHERE id = $1")
        .bind(id)
        .execute(conn)
        .await?;
    Ok(())
}

pub async fn set_secret(conn: &mut PgConnection, id: i64, secret: &str) -> sqlx::Result<()> {
    sqlx::query("UPDATE rule SET secret = $2 WHERE id = $1")
        .bind(id)
        .bind(secret)
        .execute(conn)
        .await?;
    Ok(())
}

/// What pushes to a rule are signed with.
pub async fn secret(conn: &mut PgConnection, id: i64) -> sqlx::Result<Option<String>> {
    sqlx::query_scalar("SELECT secret FROM rule WHERE id = $1")
        .bind(id)
        .fetch_optional(conn)
        .await
}

pub async fn find(conn: &mut PgConnection, id: i64) -> sqlx::Result<Option<Row>> {
    sqlx::query_as(rows!("WHERE r.id = $1"))
        .bind(id)
        .fetch_optional(conn)
        .await
}

#[derive(sqlx::FromRow)]
struct ListedRow {
    id: i64,
    owner: String,
    rule: Json<NewRule>,
    created_at: OffsetDateTime,
    jobs_today: i64,
    waiting: i64,
}

/// Those of an owner; of all without one.
pub async fn list(conn: &mut PgConnection, owner: Option<&str>) -> sqlx::Result<Vec<Rule>> {
    let rows: Vec<ListedRow> = sqlx::query_as(
        "SELECT r.id, r.owner, r.rule, r.created_at,
                (SELECT count(*) FROM job j WHERE j.rule_id = r.id
                    AND j.created_at > now() - interval '1 day') AS jobs_today,
                (SELECT count(*) FROM head h WHERE h.rule_id = r.id AND h.state = 'waiting') AS waiting
           FROM rule r JOIN tree t ON t.id = r.tree_id
          WHERE $1::text IS NULL OR r.owner = $1 ORDER BY t.name, r.name LIMIT 500",
    )
    .bind(owner)
    .fetch_all(conn)
    .await?;
    let rule = |r: ListedRow| Rule {
        id: r.id,
        owner: r.owner,
        rule: r.rule.0,
        created_at: rfc3339(r.created_at),
        jobs_today: r.jobs_today,
        waiting: r.waiting,
    };
    Ok(rows.into_iter().map(rule).collect())
}

/// Rules of a tree whose last fetch they have not seen.
pub async fn unseen(conn: &mut PgConnection) -> sqlx::Result<Vec<Row>> {
    sqlx::query_as(concat!(
        rows!("WHERE"),
        acts!(),
        "AND t.fetched_at IS NOT NULL AND t.fetched_at IS DISTINCT FROM r.looked_at ORDER BY r.id"
    ))
    .fetch_all(conn)
    .await
}

/// Notes that a rule has seen a fetch.
pub async fn looked(
    conn: &mut PgConnection,
    id: i64,
    at: Option<OffsetDateTime>,
) -> sqlx::Result<()> {
    sqlx::query("UPDATE rule SET looked_at = $2 WHERE id = $1")
        .bind(id)
        .bind(at)
        .execute(conn)
        .await?;
    Ok(())
}

/// What a branch or tag was seen to name.
pub struct NewHead<'a> {
    pub reference: &'a str,
    pub rev: &'a str,
    pub subject: &'a str,
    pub told_by: &'a str,
    /// It is to be run; otherwise it is only known.
    pub runs: bool,
}

/// Stores a head; `None` when it is known and nobody asks for it, or was run.
pub async fn add_head(
    conn: &mut PgConnection,
    rule: i64,
    head: &NewHead<'_>,
) -> sqlx::Result<Option<i64>> {
    sqlx::query_scalar(
        "INSERT INTO head (rule_id, ref, rev, subject, told_by, state)
         VALUES ($1, $2, $3, $4, $5, CASE WHEN $6 THEN 'waiting' ELSE 'known' END)
         ON CONFLICT (rule_id, ref, rev) DO UPDATE SET state = 'waiting', told_by = excluded.told_by
            WHERE head.state IN ('known', 'left-out', 'waiting') AND excluded.state = 'waiting'
                  AND excluded.told_by <> 'fetch'
         RETURNING id",
    )
    .bind(rule)
    .bind(head.reference)
    .bind(head.rev)
    .bind(head.subject)
    .bind(head.told_by)
    .bind(head.runs)
    .fetch_optional(conn)
    .await
}

/// References and commits that a rule has seen.
pub async fn known(conn: &mut PgConnection, rule: i64) -> sqlx::Result<Vec<(String, String)>> {
    sqlx::query_as("SELECT ref, rev FROM head WHERE rule_id = $1")
        .bind(rule)
        .fetch_all(conn)
        .await
}

/// Gives up older heads of a branch that nobody asked for and that are not run yet.
pub async fn leave_out(
    conn: &mut PgConnection,
    rule: i64,
    reference: &str,
    for_head: i64,
) -> sqlx::Result<()> {
    sqlx::query(
        "UPDATE head SET state = 'left-out', why = 'a newer one came before it was run'
          WHERE rule_id = $1 AND ref = $2 AND id <> $3 AND state = 'waiting' AND told_by = 'fetch'",
    )
    .bind(rule)
    .bind(reference)
    .bind(for_head)
    .execute(conn)
    .await?;
    Ok(())
}

/// A head that is to be run or that runs.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct HeadRow {
    pub id: i64,
    pub rule_id: i64,
    #[sqlx(rename = "ref")]
    pub reference: String,
    pub rev: String,
    pub subject: String,
    pub job_id: Option<i64>,
}

/// Heads that wait and may be run now, oldest first.
pub async fn waiting(conn: &mut PgConnection) -> sqlx::Result<Vec<HeadRow>> {
    sqlx::query_as(concat!(
        "SELECT h.id, h.rule_id, h.ref, h.rev, h.subject, h.job_id FROM head h
                    JOIN rule r ON r.id = h.rule_id
              WHERE h.state = 'waiting' AND",
        may_make_jobs!(),
        "ORDER BY h.id LIMIT 100"
    ))
    .fetch_all(conn)
    .await
}

/// Heads whose check has ended.
pub async fn checked(conn: &mut PgConnection) -> sqlx::Result<Vec<HeadRow>> {
    sqlx::query_as(
        "SELECT h.id, h.rule_id, h.ref, h.rev, h.subject, h.job_id FROM head h
                LEFT JOIN job j ON j.id = h.job_id
          WHERE h.state = 'running' AND (j.id IS NULL OR j.state IN ('done', 'cancelled'))
          ORDER BY h.id LIMIT 100",
    )
    .fetch_all(conn)
    .await
}

/// Notes that a head runs; false when another pass was quicker.
pub async fn start(conn: &mut PgConnection, head: i64, job: i64) -> sqlx::Result<bool> {
    let update =
        "UPDATE head SET state = 'running', job_id = $2 WHERE id = $1 AND state = 'waiting'";
    let rows = sqlx::query(update)
        .bind(head)
        .bind(job)
        .execute(conn)
        .await?;
    Ok(rows.rows_affected() == 1)
}

/// Notes what became of a head; false when another pass did.
pub async fn end(
    conn: &mut PgConnection,
    head: i64,
    verdict: &str,
    why: &str,
) -> sqlx::Result<bool> {
    let rows = sqlx::query(
        "UPDATE head SET state = 'done', verdict = $2, why = $3
          WHERE id = $1 AND state IN ('waiting', 'running')",
    )
    .bind(head)
    .bind(verdict)
    .bind(why)
    .execute(conn)
    .await?;
    Ok(rows.rows_affected() == 1)
}

/// Older heads of a rule whose checks said something, those of this branch first, newest first.
pub async fn before(
    conn: &mut PgConnection,
    head: &HeadRow,
    most: i64,
) -> sqlx::Result<Vec<HeadRow>> {
    sqlx::query_as(
        "SELECT id, rule_id, ref, rev, subject, job_id FROM head
          WHERE rule_id = $1 AND id <> $2 AND rev <> $4 AND state = 'done' AND verdict IN ('good', 'bad')
            AND job_id IS NOT NULL
          ORDER BY (ref = $3) DESC, id DESC LIMIT $5",
    )
    .bind(head.rule_id)
    .bind(head.id)
    .bind(&head.reference)
    .bind(&head.rev)
    .bind(most)
    .fetch_all(conn)
    .await
}

#[derive(sqlx::FromRow)]
struct ShownHead {
    id: i64,
    #[sqlx(rename = "ref")]
    reference: String,
    rev: String,
    subject: String,
    told_by: String,
    seen_at: OffsetDateTime,
    state: String,
    verdict: Option<String>,
    why: String,
    job_id: Option<i64>,
}

/// What a rule has seen, newest first.
pub async fn heads(conn: &mut PgConnection, rule: i64) -> sqlx::Result<Vec<Head>> {
    let rows: Vec<ShownHead> = sqlx::query_as(
        "SELECT id, ref, rev, subject, told_by, seen_at, state, verdict, why, job_id FROM head
          WHERE rule_id = $1 ORDER BY (state = 'known'), id DESC LIMIT $2",
    )
    .bind(rule)
    .bind(SHOWN)
    .fetch_all(conn)
    .await?;
    let head = |r: ShownHead| Head {
        id: r.id,
        reference: r.reference,
        rev: r.rev,
        subject: r.subject,
        told_by: r.told_by,
        seen_at: rfc3339(r.seen_at),
        state: r.state,
        verdict: r.verdict,
        why: r.why,
        job: r.job_id,
    };
    Ok(rows.into_iter().map(head).collect())
}

/// Makes a job one of a rule's.
pub async fn adopt(conn: &mut PgConnection, rule: i64, job: i64) -> sqlx::Result<()> {
    sqlx::query("UPDATE job SET rule_id = $1 WHERE id = $2")
        .bind(rule)
        .bind(job)
        .execute(conn)
        .await?;
    Ok(())
}

/// A push or a trigger.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct Call {
    pub id: i64,
    pub rule_id: i64,
    pub told_by: String,
    #[sqlx(rename = "ref")]
    pub reference: Option<String>,
    pub rev: Option<String>,
}

/// What is stored of one.
pub struct NewCall<'a> {
    pub told_by: &'a str,
    pub delivery: Option<&'a str>,
    pub reference: Option<&'a str>,
    pub rev: Option<&'a str>,
    /// Why nothing is done about it.
    pub ignored: Option<&'a str>,
}

/// Stores a call; its tree is fetched then, unless it is ignored. False when it was told before.
pub async fn call(conn: &mut PgConnection, rule: i64, call: &NewCall<'_>) -> sqlx::Result<bool> {
    let rows = sqlx::query(
        "INSERT INTO rule_call (rule_id, told_by, delivery, ref, rev, state, why)
         VALUES ($1, $2, $3, $4, $5, CASE WHEN $6::text IS NULL THEN 'waiting' ELSE 'ignored' END,
                 coalesce($6, ''))
         ON CONFLICT (rule_id, told_by, delivery) DO NOTHING",
    )
    .bind(rule)
    .bind(call.told_by)
    .bind(call.delivery)
    .bind(call.reference)
    .bind(call.rev)
    .bind(call.ignored)
    .execute(conn)
    .await?;
    Ok(rows.rows_affected() == 1)
}

/// Calls whose tree was fetched since, or could not be.
pub async fn calls(conn: &mut PgConnection) -> sqlx::Result<Vec<Call>> {
    sqlx::query_as(
        "SELECT c.id, c.rule_id, c.told_by, c.ref, c.rev FROM rule_call c
                JOIN rule r ON r.id = c.rule_id JOIN tree t ON t.id = r.tree_id
          WHERE c.state = 'waiting' AND c.at <= t.fetch_ended_for ORDER BY c.id LIMIT 500",
    )
    .fetch_all(conn)
    .await
}

/// Notes what became of a call.
pub async fn called(
    conn: &mut PgConnection,
    call: i64,
    state: &str,
    why: &str,
    head: Option<i64>,
) -> sqlx::Result<()> {
    sqlx::query(
        "UPDATE rule_call SET state = $2, why = $3, head_id = $4 WHERE id = $1 AND state = 'waiting'",
    )
    .bind(call)
    .bind(state)
    .bind(why)
    .bind(head)
    .execute(conn)
    .await?;
    Ok(())
}

/// Trees that are to be fetched now, each taken once until its fetch has ended.
pub async fn due(conn: &mut PgConnection) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar(
        "UPDATE tree t SET fetch_tried_at = clock_timestamp()
          WHERE fetch_tried_at IS NOT DISTINCT FROM fetch_ended_for
            AND (EXISTS (SELECT FROM rule_call c JOIN rule r ON r.id = c.rule_id
                          WHERE r.tree_id = t.id AND c.state = 'waiting'
                            AND c.at > coalesce(t.fetch_ended_for, '-infinity'))
                 OR greatest(fetch_tried_at, fetched_at, '-infinity')
                    < now() - make_interval(mins => fetch_minutes))
         RETURNING name",
    )
    .fetch_all(conn)
    .await
}

/// Notes that the fetch of a tree has ended, however it did.
pub async fn fetch_ended(conn: &mut PgConnection, tree: &str) -> sqlx::Result<()> {
    sqlx::query("UPDATE tree SET fetch_ended_for = fetch_tried_at WHERE name = $1")
        .bind(tree)
        .execute(conn)
        .await?;
    Ok(())
}

/// Gives free what a server that died was fetching.
pub async fn fetches_died(conn: &mut PgConnection) -> sqlx::Result<()> {
    sqlx::query(
        "UPDATE tree SET fetch_tried_at = fetch_ended_for WHERE fetch_tried_at IS NOT NULL",
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Sets how often a tree is fetched.
pub async fn schedule(
    conn: &mut PgConnection,
    tree: &str,
    schedule: &Schedule,
) -> sqlx::Result<()> {
    let minutes = schedule
        .minutes
        .map(|m| i32::try_from(m).unwrap_or(i32::MAX));
    sqlx::query("UPDATE tree SET fetch_minutes = $2 WHERE name = $1")
        .bind(tree)
        .bind(minutes)
        .execute(conn)
        .await?;
    Ok(())
}

/// Where a rule writes statuses from now on; `None`: nowhere.
pub async fn set_status(
    conn: &mut PgConnection,
    rule: i64,
    owner: &str,
    to: Option<&StatusTo>,
) -> sqlx::Result<()> {
    let Some(to) = to else {
        sqlx::query("DELETE FROM webhook WHERE rule_id = $1")
            .bind(rule)
            .execute(conn)
            .await?;
        return Ok(());
    };
    sqlx::query(
        "INSERT INTO webhook AS w (url, secret, owner, kind, rule_id) VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (rule_id) DO UPDATE SET url = excluded.url, kind = excluded.kind, disabled = NULL,
            secret = CASE WHEN excluded.secret = '' THEN w.secret ELSE excluded.secret END",
    )
    .bind(&to.url)
    .bind(&to.token)
    .bind(owner)
    .bind(&to.service)
    .bind(rule)
    .execute(conn)
    .await?;
    Ok(())
}

/// Writes a status that is to be sent; an older one of the same commit that is not sent yet is given
/// up, so that it cannot come after this one.
pub async fn tell(
    conn: &mut PgConnection,
    rule: i64,
    url: &str,
    body: &str,
    job: Option<i64>,
) -> sqlx::Result<()> {
    sqlx::query(
        "UPDATE delivery SET state = 'failed', error = 'a newer status took its place'
          WHERE url = $2 AND state = 'waiting' AND webhook_id = (SELECT id FROM webhook WHERE rule_id = $1)",
    )
    .bind(rule)
    .bind(url)
    .execute(&mut *conn)
    .await?;
    sqlx::query(
        "INSERT INTO delivery (webhook_id, kind, job_id, body, url)
         SELECT id, 'status', $4, $3, $2 FROM webhook WHERE rule_id = $1 AND disabled IS NULL",
    )
    .bind(rule)
    .bind(url)
    .bind(body)
    .bind(job)
    .execute(conn)
    .await?;
    Ok(())
}
