//! What pages and programs are shown: rows turned into the wire types.

mod evidence;
mod job;
mod list;
mod logs;
mod metric;
mod remaining;
mod sentence;
mod show;

use firstbad_api::attempt::Attempt;
use firstbad_api::tree::Tree;
use firstbad_api::worker::Worker;

use crate::db::{self, sight::Sight};
use crate::error::AppError;
use crate::repo::{CommitInfo, RefInfo, RepoError};
use crate::state::App;

pub use job::{bisect_log, job, landmarks};
pub use list::{Grouped, grouped, list};
pub use logs::{LogWindow, RunningLog, log_lines, log_window, running_logs};
pub use metric::{metric, metric_csv};
pub use sentence::{looked, outcome_sentence, percent, short};
pub use show::progress;

/// Bytes of a diff that are shown.
const DIFF_BYTES: usize = 256 << 10;

pub async fn attempt(app: &App, id: i64) -> Result<Option<Attempt>, AppError> {
    Ok(db::attempt::find(&mut *app.pool.acquire().await?, id).await?)
}

pub async fn trees(app: &App) -> Result<Vec<Tree>, AppError> {
    Ok(db::tree::list(&mut *app.pool.acquire().await?).await?)
}

pub async fn refs(app: &App, tree: &str, limit: usize) -> Result<Vec<RefInfo>, AppError> {
    app.repos
        .refs(tree, limit)
        .await
        .map_err(|e| AppError::repo(e, "/tree"))
}

pub async fn workers(app: &App, sight: &Sight) -> Result<Vec<Worker>, AppError> {
    let mut conn = app.pool.acquire().await?;
    Ok(db::worker::list(&mut conn, sight, app.timing.ttl_ms).await?)
}

pub async fn commit(app: &App, tree: &str, rev: &str) -> Result<Option<CommitInfo>, AppError> {
    match app.repos.commit(tree, rev).await {
        Ok(info) => Ok(Some(info)),
        Err(RepoError::NotFound | RepoError::UnknownRef { .. }) => Ok(None),
        Err(error) => Err(AppError::repo(error, "/rev")),
    }
}

/// The first line of a commit, if it can be read.
pub async fn subject(app: &App, tree: &str, rev: &str) -> Option<String> {
    let read = app.repos.subject(tree, rev).await;
    read.inspect_err(|error| tracing::warn!(tree, rev, %error, "commit not readable"))
        .ok()
}

/// What a tree says of a commit besides itself.
pub struct Change {
    pub commit: CommitInfo,
    pub diff: String,
    /// The merge that brought it to the bad end.
    pub merge: Option<(String, String)>,
    /// The first tag that has it.
    pub tag: Option<String>,
}

/// The change of a commit on the way to `head`; `None` when the tree does not have it.
pub async fn change(
    app: &App,
    tree: &str,
    rev: &str,
    head: &str,
) -> Result<Option<Change>, AppError> {
    let Some(commit) = commit(app, tree, rev).await? else {
        return Ok(None);
    };
    let repos = &app.repos;
    let found = async {
        Ok::<_, RepoError>(Change {
            commit,
            diff: repos.diff(tree, rev, DIFF_BYTES).await?,
            merge: repos.brought_by(tree, rev, head).await?,
            tag: repos.first_tag(tree, rev).await?,
        })
    };
    found.await.map(Some).map_err(|e| AppError::repo(e, "/rev"))
}
