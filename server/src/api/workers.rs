//! Operators take workers out of service: a drained one ends what it does and gets no more.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use uuid::Uuid;

use crate::access::Principal;
use crate::db;
use crate::error::AppError;
use crate::state::App;

/// `POST /workers/{id}/drain`.
pub async fn drain(
    State(app): State<App>,
    who: Principal,
    Path(id): Path<Uuid>,
) -> Result<StatusCode, AppError> {
    set_drained(&app, who.name(), id, true).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `DELETE /workers/{id}/drain`.
pub async fn undrain(
    State(app): State<App>,
    who: Principal,
    Path(id): Path<Uuid>,
) -> Result<StatusCode, AppError> {
    set_drained(&app, who.name(), id, false).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Takes a worker out of service, or back into it; nothing when it is so already.
pub(crate) async fn set_drained(
    app: &App,
    who: &str,
    id: Uuid,
    drained: bool,
) -> Result<(), AppError> {
    let mut tx = app.pool.begin().await?;
    if !db::worker::drain(&mut tx, id, drained.then_some(who)).await? {
        if db::worker::exists(&mut tx, id).await? {
            return Ok(());
        }
        return Err(AppError::not_found(format!("there is no worker {id}")));
    }
    let what = if drained {
        "worker drained"
    } else {
        "worker back in service"
    };
    let detail = serde_json::json!({ "worker": id });
    db::audit(&mut tx, who, what, None, None, detail).await?;
    tx.commit().await?;
    app.wake();
    Ok(())
}
