//! Trees: register, fetch, resolve, remove.

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use firstbad_api::tree::{NewTree, Resolved, Tree};
use serde::Deserialize;

use super::config;
use super::sent::Sent;
use crate::db;
use crate::error::AppError;
use crate::ladder;
use crate::repo::Described;
use crate::state::App;

pub async fn list(State(app): State<App>) -> Result<Json<Vec<Tree>>, AppError> {
    Ok(Json(db::tree::list(&mut *app.pool.acquire().await?).await?))
}

/// Registers a tree after a successful first fetch: a tree that cannot be fetched changes nothing.
pub async fn create(
    State(app): State<App>,
    Sent(new): Sent<NewTree>,
) -> Result<(StatusCode, Json<Tree>), AppError> {
    if !valid_name(&new.name) {
        return Err(AppError::bad(
            "bad-name",
            "/name",
            "name: use 1 to 63 of a-z, 0-9, '.', '_' and '-', beginning with a letter or digit",
        ));
    }
    if db::tree::find(&mut *app.pool.acquire().await?, &new.name)
        .await?
        .is_some()
    {
        return Err(taken(&new.name));
    }
    config::check_default(&new.config)?;
    let releases = mirror(&app, &new.name, &new.url).await?;
    let refs = count_refs(&app, &new.name).await?;
    let mut conn = app.pool.begin().await?;
    let Some(id) = db::tree::insert(&mut conn, &new.name, &new.url, refs, &new.config).await?
    else {
        return Err(taken(&new.name));
    };
    db::release::describe(&mut conn, id, &releases).await?;
    let tree = db::tree::find(&mut conn, &new.name).await?;
    conn.commit().await?;
    tree.map(|t| (StatusCode::CREATED, Json(t)))
        .ok_or_else(|| AppError::not_found("the tree was removed meanwhile"))
}

pub async fn fetch(
    State(app): State<App>,
    Path(name): Path<String>,
) -> Result<Json<Tree>, AppError> {
    refresh(&app, &name).await?;
    app.wake();
    Ok(Json(get(&app, &name).await?))
}

/// Fetches a tree; when that fails its row says why.
pub(crate) async fn refresh(app: &App, name: &str) -> Result<(), AppError> {
    let tree = get(app, name).await?;
    let releases = match mirror(app, name, &tree.url).await {
        Ok(releases) => releases,
        Err(error) => {
            let mut conn = app.pool.acquire().await?;
            db::tree::fetch_failed(&mut conn, name, &error.to_string()).await?;
            return Err(error);
        }
    };
    let refs = count_refs(app, name).await?;
    let mut conn = app.pool.acquire().await?;
    db::release::describe(&mut conn, tree.id, &releases).await?;
    db::tree::fetched(&mut conn, name, refs).await?;
    Ok(())
}

/// Fetches a repository, or reads what an archive of releases has: these are the answer.
async fn mirror(app: &App, name: &str, url: &str) -> Result<Vec<Described>, AppError> {
    let wrong = |e| AppError::repo(e, "/url");
    let Some(suites) = ladder::suites(url) else {
        app.repos.fetch(name, url).await.map_err(wrong)?;
        return Ok(Vec::new());
    };
    let releases = match suites {
        Ok(suites) => app.ladders.discover(name, &suites).await,
        Err(error) => Err(error),
    };
    let releases =
        releases.map_err(|e| AppError::bad("no-releases", "/url", format!("url: {e}")))?;
    let written = app.repos.write_releases(name, &releases).await;
    written.map_err(wrong)
}

pub async fn remove(
    State(app): State<App>,
    Path(name): Path<String>,
) -> Result<StatusCode, AppError> {
    get(&app, &name).await?;
    let mut conn = app.pool.acquire().await?;
    let jobs = db::tree::job_count(&mut conn, &name).await?;
    if jobs > 0 {
        return Err(AppError::refused(
            StatusCode::CONFLICT,
            "tree-in-use",
            "/name",
            format!("name: {jobs} jobs refer to the tree {name}, and their evidence must stay"),
        ));
    }
    db::tree::delete(&mut conn, &name).await?;
    drop(conn);
    app.repos
        .remove(&name)
        .await
        .map_err(|e| AppError::repo(e, "/name"))?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Deserialize)]
pub struct ResolveQuery {
    #[serde(rename = "ref")]
    reference: String,
}

pub async fn resolve(
    State(app): State<App>,
    Path(name): Path<String>,
    Query(query): Query<ResolveQuery>,
) -> Result<Json<Resolved>, AppError> {
    get(&app, &name).await?;
    let resolved = app.repos.resolve(&name, &query.reference).await;
    resolved.map(Json).map_err(|e| AppError::repo(e, "/ref"))
}

/// The tree, or the error that names those that exist.
pub async fn get(app: &App, name: &str) -> Result<Tree, AppError> {
    let mut conn = app.pool.acquire().await?;
    if let Some(tree) = db::tree::find(&mut conn, name).await? {
        return Ok(tree);
    }
    let known: Vec<String> = db::tree::list(&mut conn)
        .await?
        .into_iter()
        .map(|t| t.name)
        .collect();
    let hint = if known.is_empty() {
        "none is registered yet: `firstbad tree add NAME URL`".to_owned()
    } else {
        format!("registered are {}", known.join(", "))
    };
    Err(AppError::refused(
        StatusCode::NOT_FOUND,
        "unknown-tree",
        "/tree",
        format!("tree: there is no tree {name:?}; {hint}"),
    ))
}

async fn count_refs(app: &App, name: &str) -> Result<i64, AppError> {
    let refs = app
        .repos
        .refs(name, usize::MAX)
        .await
        .map_err(|e| AppError::repo(e, "/url"))?;
    Ok(i64::try_from(refs.len()).unwrap_or(i64::MAX))
}

fn taken(name: &str) -> AppError {
    AppError::refused(
        StatusCode::CONFLICT,
        "name-taken",
        "/name",
        format!("name: a tree {name:?} exists already; choose another name or fetch that one"),
    )
}

pub(super) fn valid_name(name: &str) -> bool {
    let ok = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-".contains(c);
    (1..=63).contains(&name.len())
        && name.chars().all(ok)
        && !name.starts_with(['.', '-', '_'])
        && !name.contains("..")
        && !name.ends_with(".lock")
}
