//! Releases that an archive has, and which of them are here.

use sqlx::PgConnection;

use crate::repo::Described;

/// One release of one tree.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct Row {
    pub tree_id: i64,
    /// Name of the tree.
    pub tree: String,
    pub url: String,
    /// The commit that describes it.
    pub rev: String,
    pub version: String,
    pub kind: String,
    /// The commit that holds its files.
    pub made: Option<String>,
    /// Tries that failed, one after the other.
    pub failures: i32,
    /// Those at which the archive did not have it.
    pub gone: i32,
    /// Of the last failure.
    pub why: String,
}

macro_rules! rows {
    ($which:literal) => {
        concat!(
            "SELECT r.tree_id, t.name AS tree, t.url, r.rev, r.version, r.kind, r.made,
                    r.failures, r.gone, r.why
               FROM release r JOIN tree t ON t.id = r.tree_id ",
            $which
        )
    };
}

/// Stores what the archive has now. What could not be fetched may be tried again.
pub async fn describe(
    conn: &mut PgConnection,
    tree: i64,
    releases: &[Described],
) -> sqlx::Result<()> {
    let column = |f: fn(&Described) -> String| releases.iter().map(f).collect::<Vec<_>>();
    sqlx::query(
        "INSERT INTO release (tree_id, rev, version, kind)
         SELECT DISTINCT $1::bigint, r.* FROM unnest($2::text[], $3::text[], $4::text[]) r
         ON CONFLICT (tree_id, rev) DO UPDATE SET failures = 0, gone = 0, retry_at = now()",
    )
    .bind(tree)
    .bind(column(|d| d.rev.clone()))
    .bind(column(|d| d.release.version.clone()))
    .bind(column(|d| d.release.kind.as_str().to_owned()))
    .execute(conn)
    .await?;
    Ok(())
}

/// The release that a commit describes.
pub async fn find(conn: &mut PgConnection, tree: i64, rev: &str) -> sqlx::Result<Option<Row>> {
    sqlx::query_as(rows!("WHERE r.tree_id = $1 AND r.rev = $2"))
        .bind(tree)
        .bind(rev)
        .fetch_optional(conn)
        .await
}

/// All releases of a tree.
pub async fn list(conn: &mut PgConnection, tree: i64) -> sqlx::Result<Vec<Row>> {
    sqlx::query_as(rows!("WHERE r.tree_id = $1"))
        .bind(tree)
        .fetch_all(conn)
        .await
}

/// Asks for the files of a release.
pub async fn want(conn: &mut PgConnection, tree: i64, rev: &str) -> sqlx::Result<()> {
    sqlx::query(
        "UPDATE release SET wanted_at = coalesce(wanted_at, now()) WHERE tree_id = $1 AND rev = $2",
    )
    .bind(tree)
    .bind(rev)
    .execute(conn)
    .await?;
    Ok(())
}

/// The release that is waited for longest, of those whose time for another try has come.
pub async fn wanted(conn: &mut PgConnection, most_gone: i32) -> sqlx::Result<Option<Row>> {
    sqlx::query_as(rows!(
        "WHERE r.wanted_at IS NOT NULL AND r.made IS NULL AND r.gone < $1 AND r.retry_at <= now()
          ORDER BY r.failures, r.wanted_at LIMIT 1"
    ))
    .bind(most_gone)
    .fetch_optional(conn)
    .await
}

/// The files of a release are here.
pub async fn made(conn: &mut PgConnection, row: &Row, made: &str) -> sqlx::Result<()> {
    sqlx::query("UPDATE release SET made = $3, why = '' WHERE tree_id = $1 AND rev = $2")
        .bind(row.tree_id)
        .bind(&row.rev)
        .bind(made)
        .execute(conn)
        .await?;
    Ok(())
}

/// They could not be had, and are not asked for again before `pause_s` is over; `gone`: the archive
/// does not have them.
pub async fn failed(
    conn: &mut PgConnection,
    row: &Row,
    why: &str,
    gone: bool,
    pause_s: u64,
) -> sqlx::Result<()> {
    sqlx::query(
        "UPDATE release
            SET failures = failures + 1, why = $3, gone = gone + $4,
                retry_at = now() + make_interval(secs => $5)
          WHERE tree_id = $1 AND rev = $2",
    )
    .bind(row.tree_id)
    .bind(&row.rev)
    .bind(why)
    .bind(i32::from(gone))
    .bind(pause_s as f64)
    .execute(conn)
    .await?;
    Ok(())
}

/// A release that a job waits for and that could not be fetched so far.
pub async fn missed(
    conn: &mut PgConnection,
    job: i64,
    most_gone: i32,
) -> sqlx::Result<Option<Row>> {
    sqlx::query_as(rows!(
        "WHERE r.wanted_at IS NOT NULL AND r.made IS NULL AND r.failures > 0 AND r.gone < $2
           AND EXISTS (SELECT FROM job j JOIN job_revision v ON v.job_id = j.id
                        WHERE j.id = $1 AND j.tree_id = r.tree_id
                          AND (v.rev = r.rev OR j.request ->> 'selftests_from' = r.rev))
         ORDER BY r.wanted_at LIMIT 1"
    ))
    .bind(job)
    .bind(most_gone)
    .fetch_optional(conn)
    .await
}
