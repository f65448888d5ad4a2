//! Patches: which commits the mails of a series became, and what a Patchwork is told.

use firstbad_api::job::{NewJob, Outcome};
use sqlx::PgConnection;
use sqlx::types::Json;

use super::sight::Sight;
use crate::patchwork::{self, Told};

/// Jobs that are told of one patch.
const JOBS: i64 = 10;

/// A mail, and what it became.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mailed {
    pub rev: String,
    pub patch_id: Option<String>,
    pub message_id: Option<String>,
}

/// Notes what mails became; the same again changes nothing.
pub async fn note(conn: &mut PgConnection, tree: &str, mails: &[Mailed]) -> sqlx::Result<()> {
    for mail in mails {
        sqlx::query(
            "INSERT INTO series_patch (tree_id, rev, patch_id, message_id)
             SELECT id, $2, $3, $4 FROM tree WHERE name = $1 ON CONFLICT DO NOTHING",
        )
        .bind(tree)
        .bind(&mail.rev)
        .bind(&mail.patch_id)
        .bind(&mail.message_id)
        .execute(&mut *conn)
        .await?;
    }
    Ok(())
}

/// A job with patches in its range.
#[derive(sqlx::FromRow)]
pub struct Tested {
    pub id: i64,
    pub title: String,
    pub request: Json<NewJob>,
    pub outcome: Option<Json<Outcome>>,
    pub retracted: bool,
    /// Commits that the mail became.
    pub revs: Vec<String>,
}

/// The newest jobs that can be seen and have a patch in their range.
pub async fn tested(
    conn: &mut PgConnection,
    sight: &Sight,
    patch_id: &str,
    message_id: &str,
) -> sqlx::Result<Vec<Tested>> {
    let (all, owner) = sight.args();
    sqlx::query_as(
        "SELECT j.id, j.title, j.request, j.outcome, j.retracted_at IS NOT NULL AS retracted,
                array_agg(DISTINCT p.rev) AS revs
           FROM series_patch p JOIN job_revision r ON r.rev = p.rev AND r.position >= 0
                JOIN job j ON j.id = r.job_id AND j.tree_id = p.tree_id
          WHERE (p.patch_id = nullif($1, '') OR p.message_id = nullif($2, ''))
            AND (NOT j.private OR $3 OR j.owner = $4)
          GROUP BY j.id ORDER BY j.id DESC LIMIT $5",
    )
    .bind(patch_id)
    .bind(message_id)
    .bind(all)
    .bind(owner)
    .bind(JOBS)
    .fetch_all(conn)
    .await
}

/// The Patchwork with this address that something is sent to, and whose it is.
pub async fn patchwork(conn: &mut PgConnection, url: &str) -> sqlx::Result<Option<(i64, String)>> {
    sqlx::query_as(
        "SELECT id, owner FROM webhook WHERE kind = 'patchwork' AND disabled IS NULL
            AND rtrim(url, '/') = rtrim($1, '/')",
    )
    .bind(url)
    .fetch_optional(conn)
    .await
}

/// A patch of a Patchwork.
#[derive(Debug, Clone, Copy)]
pub struct PatchOf {
    pub webhook: i64,
    /// Its number there.
    pub patch: i64,
}

/// Notes which patch of a Patchwork a job is about, and tells it how the job stands.
pub async fn about(conn: &mut PgConnection, job: i64, of: PatchOf) -> sqlx::Result<()> {
    let made = sqlx::query(
        "INSERT INTO patchwork_patch (job_id, webhook_id, patch) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
    )
    .bind(job)
    .bind(of.webhook)
    .bind(of.patch)
    .execute(&mut *conn)
    .await?;
    match made.rows_affected() {
        0 => Ok(()),
        _ => tell(conn, job, "bisection.begun", Some(of.patch)).await,
    }
}

#[derive(sqlx::FromRow)]
struct Due {
    webhook_id: i64,
    patch: i64,
    title: String,
    request: Json<NewJob>,
    outcome: Option<Json<Outcome>>,
    retracted: bool,
}

/// Writes what is to be told of a job to each patch that it is about, or to one of them.
pub async fn tell(
    conn: &mut PgConnection,
    job: i64,
    kind: &str,
    patch: Option<i64>,
) -> sqlx::Result<()> {
    let due: Vec<Due> = sqlx::query_as(
        "SELECT p.webhook_id, p.patch, j.title, j.request, j.outcome, j.retracted_at IS NOT NULL AS retracted
           FROM patchwork_patch p JOIN job j ON j.id = p.job_id
                JOIN webhook w ON w.id = p.webhook_id AND w.disabled IS NULL
          WHERE p.job_id = $1 AND ($2::bigint IS NULL OR p.patch = $2)",
    )
    .bind(job)
    .bind(patch)
    .fetch_all(&mut *conn)
    .await?;
    for due in due {
        let check = patchwork::check(&Told {
            title: &due.title,
            find: due.request.find,
            outcome: due.outcome.as_deref(),
            retracted: due.retracted,
        });
        sqlx::query(
            "INSERT INTO delivery (webhook_id, kind, job_id, body, url)
             SELECT id, $2, $3, $4, rtrim(url, '/') || '/api/patches/' || $5::bigint || '/checks/'
               FROM webhook WHERE id = $1",
        )
        .bind(due.webhook_id)
        .bind(kind)
        .bind(job)
        .bind(check.to_string())
        .bind(due.patch)
        .execute(&mut *conn)
        .await?;
    }
    Ok(())
}
