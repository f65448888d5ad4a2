//! Releases that a job wants are fetched and put into their mirror, one at a time.
//!
//! Owns the order and the retries. Must not know what a release is wanted for.

use std::time::Duration;

use anyhow::Context;
use firstbad_api::limits;
use tokio_util::sync::CancellationToken;

use crate::db;
use crate::db::release::Row;
use crate::ladder;
use crate::state::App;

/// Time after a failure before the next try.
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
        Err(error) => db::release::failed(&mut conn, &row, &format!("{error:#}")).await?,
    }
    drop(conn);
    app.wake();
    held.map(|_| true)
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
