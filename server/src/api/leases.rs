//! Workers: register, lease, renew, report.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use firstbad_api::lease::{
    Fence, FinishRequest, Lease, LeaseRequest, Renew, Renewed, RunMode, StageEnd, Work,
};
use firstbad_api::limits;
use firstbad_api::observation::Finish;
use firstbad_api::qemu;
use firstbad_api::worker::{Register, Registered};
use sqlx::PgConnection;
use tokio::time::Instant;

use super::sent::Sent;
use crate::db::{self, lease::Fenced};
use crate::error::AppError;
use crate::exactness;
use crate::state::App;

/// Answers a write whose lease has moved on; counted in the audit trail.
pub async fn stale(app: &App, fence: &Fence, what: &str) -> AppError {
    if let Ok(mut conn) = app.pool.acquire().await {
        let detail = serde_json::json!({ "write": what, "epoch": fence.epoch });
        let who = fence.worker.to_string();
        let audited = db::audit(
            &mut conn,
            &who,
            "stale write refused",
            None,
            Some(fence.attempt),
            detail,
        )
        .await;
        if let Err(error) = audited {
            tracing::warn!(%error, "could not record a stale write");
        }
    }
    AppError::refused(
        StatusCode::CONFLICT,
        "stale-lease",
        "/fence",
        "the lease has ended: the attempt was cancelled, finished or given to another worker",
    )
}

/// Refuses a fence made by another database.
pub fn same_database(app: &App, fence: &Fence) -> bool {
    fence.incarnation == app.incarnation
}

pub async fn register(
    State(app): State<App>,
    Sent(new): Sent<Register>,
) -> Result<Json<Registered>, AppError> {
    if new.name.is_empty() || new.name.len() > 100 || new.name.chars().any(char::is_control) {
        return Err(AppError::bad(
            "bad-name",
            "/name",
            "name: use 1 to 100 printable characters",
        ));
    }
    let mut conn = app.pool.acquire().await?;
    db::worker::register(&mut conn, new.worker, &new.name, &new.caps).await?;
    // Whoever registers does nothing: what it still holds died with its earlier process.
    for id in db::lease::held_by(&mut conn, new.worker).await? {
        if db::lease::take_back(&mut conn, id, new.worker).await? {
            let who = new.worker.to_string();
            let detail = serde_json::json!({});
            db::audit(&mut conn, &who, "worker restarted", None, Some(id), detail).await?;
        }
    }
    app.wake();
    Ok(Json(Registered {
        incarnation: app.incarnation,
        timing: app.timing,
    }))
}

/// Waits up to the long-poll time for work; 204 when there is none.
pub async fn lease(
    State(app): State<App>,
    Sent(request): Sent<LeaseRequest>,
) -> Result<Response, AppError> {
    let deadline = Instant::now() + Duration::from_millis(app.timing.long_poll_ms);
    let poll = Duration::from_millis(app.timing.tick_ms);
    let mut changes = app.changes();
    loop {
        changes.mark_unchanged();
        if let Some(lease) = try_lease(&app, &request).await? {
            return Ok(Json(lease).into_response());
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(StatusCode::NO_CONTENT.into_response());
        }
        tokio::select! {
            _ = changes.changed() => {}
            () = tokio::time::sleep(poll.min(left)) => {}
        }
    }
}

async fn try_lease(app: &App, request: &LeaseRequest) -> Result<Option<Lease>, AppError> {
    let mut conn = app.pool.acquire().await?;
    let Some(seen) = db::worker::seen(&mut conn, request.worker).await? else {
        return Err(AppError::refused(
            StatusCode::NOT_FOUND,
            "unknown-worker",
            "/worker",
            "worker: not registered with this server; register again",
        ));
    };
    if seen.drained || request.free_bytes < limits::FREE_BYTES_MIN {
        return Ok(None);
    }
    let ttl_ms = app.timing.ttl_ms;
    let claim = db::lease::claim(
        &mut conn,
        request.worker,
        &request.kinds,
        &seen.caps,
        ttl_ms,
    )
    .await?;
    Ok(claim.map(|claim| Lease {
        fence: Fence {
            attempt: claim.id,
            epoch: claim.epoch,
            incarnation: app.incarnation,
            worker: request.worker,
        },
        ttl_ms,
        work: claim.work.0,
    }))
}

pub async fn renew(
    State(app): State<App>,
    Sent(renew): Sent<Renew>,
) -> Result<Json<Renewed>, AppError> {
    let stage: String = renew.stage.chars().take(40).collect();
    if !same_database(&app, &renew.fence) {
        return Err(stale(&app, &renew.fence, "renew").await);
    }
    let mut conn = app.pool.acquire().await?;
    db::worker::seen(&mut conn, renew.fence.worker).await?;
    let fenced = db::lease::renew(&mut conn, &renew.fence, &stage, app.timing.ttl_ms).await?;
    drop(conn);
    if fenced == Fenced::Stale {
        return Err(stale(&app, &renew.fence, "renew").await);
    }
    Ok(Json(Renewed { cancel: false }))
}

pub async fn stage(
    State(app): State<App>,
    Sent(end): Sent<StageEnd>,
) -> Result<StatusCode, AppError> {
    let mut tx = app.pool.begin().await?;
    if !same_database(&app, &end.fence)
        || db::lease::hold(&mut tx, &end.fence).await? == Fenced::Stale
    {
        return Err(stale(&app, &end.fence, "stage").await);
    }
    let name: String = end.stage.chars().take(40).collect();
    let duration_ms = i64::try_from(end.duration_ms).unwrap_or(i64::MAX);
    db::lease::stage(&mut tx, &end.fence, &name, duration_ms, end.ok).await?;
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Ends an attempt. The same report again is answered like the first time.
pub async fn finish(
    State(app): State<App>,
    Sent(request): Sent<FinishRequest>,
) -> Result<StatusCode, AppError> {
    let fence = &request.fence;
    if !same_database(&app, fence) {
        return Err(stale(&app, fence, "finish").await);
    }
    let mut tx = app.pool.begin().await?;
    let Some(work) = db::lease::work(&mut tx, fence).await? else {
        return Err(stale(&app, fence, "finish").await);
    };
    let ended = match answer(&work, request.finish) {
        Answer::Observation(observation) => {
            let observation = observation.map_err(|e| AppError::Internal(e.to_string()))?;
            // Postgres stores no NUL in JSON text; guest output may hold one.
            let observation = without_nul(observation);
            match db::lease::finish(&mut tx, fence, &observation).await? {
                Fenced::Stale
                    if db::lease::already_finished(&mut tx, fence, &observation).await? =>
                {
                    Fenced::Done
                }
                Fenced::Done => {
                    check_exactness(&mut tx, fence, &work, observation).await?;
                    Fenced::Done
                }
                Fenced::Stale => Fenced::Stale,
            }
        }
        Answer::Infrastructure(what) => infrastructure(&mut tx, fence, &what).await?,
        Answer::Released => db::lease::release(&mut tx, fence).await?,
    };
    if ended == Fenced::Stale {
        return Err(stale(&app, fence, "finish").await);
    }
    tx.commit().await?;
    app.wake();
    Ok(StatusCode::NO_CONTENT)
}

/// An exact run is a function of its inputs. A sample of the runs, and the first one of each worker
/// with its tools, is made once more, by another worker if there is one; two that differ raise an
/// alarm.
async fn check_exactness(
    conn: &mut PgConnection,
    fence: &Fence,
    work: &Work,
    observation: serde_json::Value,
) -> Result<(), AppError> {
    match work {
        Work::Test(test) if test.shape.mode == RunMode::Exact => {}
        _ => return Ok(()),
    }
    let Some((first, before)) = db::repeat::original(conn, fence.attempt).await? else {
        let identity = db::repeat::identity(conn, fence.attempt).await?;
        if exactness::sampled(&identity) || !db::repeat::knows(conn, fence).await? {
            db::repeat::ask(conn, fence).await?;
        }
        return Ok(());
    };
    let now = serde_json::from_value(observation).map_err(|e| AppError::Internal(e.to_string()))?;
    let differs = exactness::difference(&before, &now);
    db::repeat::compared(conn, fence.attempt, differs.as_deref().unwrap_or("")).await?;
    if let Some(what) = differs {
        tracing::error!(
            first,
            again = fence.attempt,
            what,
            "an exact run is not exact"
        );
        let detail = serde_json::json!({ "first": first, "differs": what });
        let who = fence.worker.to_string();
        db::audit(conn, &who, "not exact", None, Some(fence.attempt), detail).await?;
    }
    Ok(())
}

/// What a report means for its attempt.
enum Answer {
    Observation(serde_json::Result<serde_json::Value>),
    Infrastructure(String),
    Released,
}

/// A report on anything but the work that was leased is a failure of the worker.
fn answer(work: &Work, finish: Finish) -> Answer {
    let unasked = |what: &str| {
        Answer::Infrastructure(format!(
            "the worker reported {what}, which was not asked for"
        ))
    };
    match (work, finish) {
        (Work::Build(_), Finish::Build { observation }) => {
            Answer::Observation(serde_json::to_value(observation))
        }
        (Work::Test(work), Finish::Test { observation }) => {
            match qemu::is_run_of(work, &observation.run) {
                Ok(()) if work.shape.mode == RunMode::Exact && observation.waited.is_some() => {
                    unasked("how long an exact run waited for its host")
                }
                Ok(()) => Answer::Observation(serde_json::to_value(observation)),
                Err(what) => unasked(&format!("a run with another {what}")),
            }
        }
        (Work::Build(_), Finish::Test { .. }) => unasked("a test"),
        (Work::Test(_), Finish::Build { .. }) => unasked("a build"),
        (_, Finish::Infrastructure { what }) => Answer::Infrastructure(what),
        (_, Finish::Released) => Answer::Released,
    }
}

async fn infrastructure(
    conn: &mut PgConnection,
    fence: &Fence,
    what: &str,
) -> Result<Fenced, AppError> {
    let what: String = what.chars().take(2000).filter(|c| *c != '\0').collect();
    let fenced = db::lease::infrastructure(conn, fence, &what).await?;
    if fenced == Fenced::Done {
        let who = fence.worker.to_string();
        let detail = serde_json::json!({ "what": what });
        db::audit(
            conn,
            &who,
            "infrastructure",
            None,
            Some(fence.attempt),
            detail,
        )
        .await?;
    }
    Ok(fenced)
}

fn without_nul(value: serde_json::Value) -> serde_json::Value {
    use serde_json::Value;
    match value {
        Value::String(s) => Value::String(s.replace('\0', "\u{fffd}")),
        Value::Array(list) => list.into_iter().map(without_nul).collect(),
        Value::Object(map) => map.into_iter().map(|(k, v)| (k, without_nul(v))).collect(),
        other => other,
    }
}
