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
    pub failures: i32,
    /// Of the last failure.
    pub why: String,
}

macro_rules! rows {
    ($which:literal) => {
        concat!(
            "SELECT r.tree_id, t.name AS tree, t.url, r.rev, r.version, r.kind, r.made,
                    r.failures, r.why
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
         ON CONFLICT (tree_id, rev) DO UPDATE SET failures = 0",
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

/// The release that is waited for longest.
pub async fn wanted(conn: &mut PgConnection, most_failures: i32) -> sqlx::Result<Option<Row>> {
    sqlx::query_as(rows!(
        "WHERE r.wanted_at IS NOT NULL AND r.made IS NULL AND r.failures < $1
          ORDER BY r.failures, r.wanted_at LIMIT 1"
    ))
    .bind(most_failures)
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

/// They could not be had.
pub async fn failed(conn: &mut PgConnection, row: &Row, why: &str) -> sqlx::Result<()> {
    sqlx::query(
        "UPDATE release SET failures = failures + 1, why = $3 WHERE tree_id = $1 AND rev = $2",
    )
    .bind(row.tree_id)
    .bind(&row.rev)
    .bind(why)
    .execute(conn)
    .await?;
    Ok(())
}
