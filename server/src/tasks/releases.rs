//! Releases that a job wants are fetched and put into their mirror, one at a time.
//!
//! Owns the order, the retries, and whose failure it is that one cannot be had: the archive's, or
//! ours (network, disk), which says nothing about the release. Must not know what it is wanted for.

use std::time::Duration;

use anyhow::Context;
use firstbad_api::limits;
use tokio_util::sync::CancellationToken;

use crate::db;
use crate::db::release::Row;
use crate::ladder::{self, LadderError};
use crate::repo::RepoError;
use crate::state::App;

/// Time after a failure of the database before the next try.
const PAUSE: Duration = Duration::from_secs(20);

/// Fetches what is wanted until shutdown.
pub async fn run(app: App, shutdown: CancellationToken) {
    let mut changes = app.changes();
    while !shutdown.is_cancelled() {
        let pause = tokio::select! {
            // A download that is cut off leaves a scratch directory and nothing else.
            () = shutdown.cancelled() => return,
            done = tick(&app) => match done {
                Ok(true) => Duration::ZERO,
                Ok(false) => Duration::from_millis(app.timing.tick_ms),
                Err(error) => {
                    tracing::warn!(error = format!("{error:#}"), "could not fetch a release");
                    PAUSE
                }
            },
        };
        tokio::select! {
            () = shutdown.cancelled() => {}
            _ = changes.changed(), if pause > Duration::ZERO && pause < PAUSE => {}
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// Fetches one release; false when none is wanted.
async fn tick(app: &App) -> anyhow::Result<bool> {
    let mut conn = app.pool.acquire().await?;
    let wanted = db::release::wanted(&mut conn, limits::RELEASE_FETCHES).await?;
    drop(conn);
    let Some(row) = wanted else {
        return Ok(false);
    };
    let held = hold(app, &row).await;
    let mut conn = app.pool.acquire().await?;
    match &held {
        Ok(made) => db::release::made(&mut conn, &row, made).await?,
        Err(error) => {
            let (why, gone) = (format!("{error:#}"), is_gone(error));
            let pause_s = pause_s(row.failures);
            let version = &row.version;
            tracing::warn!(version, why, gone, pause_s, "could not fetch a release");
            db::release::failed(&mut conn, &row, &why, gone, pause_s).await?;
        }
    }
    drop(conn);
    app.wake();
    Ok(true)
}

/// Whether the archive is without a release, or has one that cannot be used; everything else is our
/// failure.
fn is_gone(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(LadderError::Gone(_)))
        || matches!(error.downcast_ref(), Some(RepoError::BadArchive(_)))
}

/// Time before the next try after so many failed ones and another.
fn pause_s(failures: i32) -> u64 {
    let [.., longest] = limits::RELEASE_PAUSES_S;
    let at = usize::try_from(failures).unwrap_or_default();
    limits::RELEASE_PAUSES_S.get(at).copied().unwrap_or(longest)
}

/// The commit that holds a release, made if there is none.
async fn hold(app: &App, row: &Row) -> anyhow::Result<String> {
    let release = app.repos.described_release(&row.tree, &row.rev).await?;
    if let Some(made) = app.repos.held_release(&row.tree, &release).await? {
        return Ok(made);
    }
    let suites = ladder::suites(&row.url).context("the tree is no ladder any more")??;
    tracing::info!(version = row.version, kind = row.kind, "fetching a release");
    let dir = tempfile::Builder::new()
        .prefix(".release-")
        .tempdir_in(&app.data)?;
    let files = app
        .ladders
        .fetch(&row.tree, &suites, &release, dir.path())
        .await?;
    Ok(app.repos.hold_release(&row.tree, &release, files).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_only_the_archive_says_that_a_release_is_gone() {
        let pauses: Vec<u64> = (0..6).map(pause_s).collect();
        assert_eq!(pauses, [30, 120, 600, 1800, 1800, 1800]);
        let said = || "x".to_owned();
        assert!(is_gone(&LadderError::Gone(said()).into()));
        assert!(is_gone(&RepoError::BadArchive(said()).into()));
        assert!(!is_gone(&LadderError::Failed(said()).into()));
        assert!(!is_gone(&RepoError::Failed(said()).into()));
        assert!(!is_gone(&anyhow::anyhow!("404  Not Found")));
    }
}
