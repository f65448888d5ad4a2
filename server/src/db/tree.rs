//! Trees.

use firstbad_api::job::JobConfig;
use firstbad_api::tree::Tree;
use sqlx::PgConnection;
use sqlx::types::Json;
use time::OffsetDateTime;

use super::rfc3339;

#[derive(sqlx::FromRow)]
struct Row {
    id: i64,
    name: String,
    url: String,
    created_at: OffsetDateTime,
    fetched_at: Option<OffsetDateTime>,
    fetch_error: Option<String>,
    ref_count: i64,
    config: Json<JobConfig>,
    fetch_minutes: Option<i32>,
}

impl From<Row> for Tree {
    fn from(row: Row) -> Tree {
        Tree {
            id: row.id,
            name: row.name,
            url: row.url,
            created_at: rfc3339(row.created_at),
            fetched_at: row.fetched_at.map(rfc3339),
            fetch_error: row.fetch_error,
            refs: row.ref_count,
            config: row.config.0,
            fetch_minutes: row.fetch_minutes.and_then(|m| u32::try_from(m).ok()),
        }
    }
}

pub async fn list(conn: &mut PgConnection) -> sqlx::Result<Vec<Tree>> {
    let rows: Vec<Row> = sqlx::query_as(
        "SELECT id, name, url, created_at, fetched_at, fetch_error, ref_count, config, fetch_minutes FROM tree ORDER BY name",
    )
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(Tree::from).collect())
}

pub async fn find(conn: &mut PgConnection, name: &str) -> sqlx::Result<Option<Tree>> {
    let row: Option<Row> = sqlx::query_as(
        "SELECT id, name, url, created_at, fetched_at, fetch_error, ref_count, config, fetch_minutes FROM tree WHERE name = $1",
    )
    .bind(name)
    .fetch_optional(conn)
    .await?;
    Ok(row.map(Tree::from))
}

/// Registers a tree that has been fetched; `None` when the name is taken.
pub async fn insert(
    conn: &mut PgConnection,
    name: &str,
    url: &str,
    refs: i64,
    config: &JobConfig,
) -> sqlx::Result<Option<i64>> {
    sqlx::query_scalar(
        "INSERT INTO tree (name, url, fetched_at, ref_count, config) VALUES ($1, $2, now(), $3, $4)
         ON CONFLICT (name) DO NOTHING RETURNING id",
    )
    .bind(name)
    .bind(url)
    .bind(refs)
    .bind(Json(config))
    .fetch_optional(conn)
    .await
}

pub async fn fetched(conn: &mut PgConnection, name: &str, refs: i64) -> sqlx::Result<()> {
    sqlx::query(
        "UPDATE tree SET fetched_at = now(), fetch_error = NULL, ref_count = $2 WHERE name = $1",
    )
    .bind(name)
    .bind(refs)
    .execute(conn)
    .await?;
    Ok(())
}

pub async fn fetch_failed(conn: &mut PgConnection, name: &str, why: &str) -> sqlx::Result<()> {
    sqlx::query("UPDATE tree SET fetch_error = $2 WHERE name = $1")
        .bind(name)
        .bind(why)
        .execute(conn)
        .await?;
    Ok(())
}

/// Number of jobs on a tree.
pub async fn job_count(conn: &mut PgConnection, name: &str) -> sqlx::Result<i64> {
    sqlx::query_scalar(
        "SELECT count(*) FROM job JOIN tree ON tree.id = job.tree_id
          WHERE tree.name = $1 OR job.request -> 'fstests' ->> 'tree' = $1",
    )
    .bind(name)
    .fetch_one(conn)
    .await
}

pub async fn delete(conn: &mut PgConnection, name: &str) -> sqlx::Result<bool> {
    let done = sqlx::query("DELETE FROM tree WHERE name = $1")
        .bind(name)
        .execute(conn)
        .await?;
    Ok(done.rows_affected() == 1)
}
