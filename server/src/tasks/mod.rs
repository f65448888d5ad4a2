//! Background tasks: bounded passes over stored state, safe to repeat at any time.

pub mod advance_jobs;
mod budget;
pub mod deliver;
pub mod expire_leases;
pub mod known;
pub mod leads_on;
mod queue;
mod release_pair;
pub mod releases;
mod revert;
pub mod surveys;
pub(crate) mod walk;
pub mod watch;
mod weigh;

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::state::App;

/// Runs the planner until shutdown: at every change, and at every tick without one.
pub async fn run_planner(app: App, shutdown: CancellationToken) {
    let mut changes = app.changes();
    let tick = Duration::from_millis(app.timing.tick_ms);
    while !shutdown.is_cancelled() {
        let advanced = advance_jobs::tick(&app).await;
        if let Err(error) = advanced
            .and(leads_on::tick(&app).await)
            .and(surveys::tick(&app).await)
        {
            tracing::warn!(%error, "planner pass failed; the next one repairs");
            tokio::time::sleep(tick).await;
        }
        tokio::select! {
            () = shutdown.cancelled() => {}
            _ = changes.changed() => {}
            () = tokio::time::sleep(tick) => {}
        }
    }
}

/// Takes expired leases back until shutdown.
pub async fn run_expiry(app: App, shutdown: CancellationToken) {
    let scan = Duration::from_millis(app.timing.scan_ms);
    let mut down = false;
    while !shutdown.is_cancelled() {
        match expire_leases::tick(&app, down).await {
            Ok(_) => down = false,
            Err(error) => {
                tracing::warn!(%error, "lease scan failed");
                down = true;
            }
        }
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = tokio::time::sleep(scan) => {}
        }
    }
}
