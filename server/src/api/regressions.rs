//! Regressions: listed, read, and what people say of them.

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use firstbad_api::regression::{Regression, RegressionsQuery, STATES, SetState};
use serde_json::json;

use super::jobs::check_line;
use super::sent::Sent;
use crate::access::Principal;
use crate::db;
use crate::db::regression::Wanted;
use crate::db::sight::Sight;
use crate::error::AppError;
use crate::state::App;

/// `GET /regressions`.
pub async fn list(
    State(app): State<App>,
    who: Principal,
    Query(query): Query<RegressionsQuery>,
) -> Result<Json<Vec<Regression>>, AppError> {
    Ok(Json(of(&app, &who.sight(), query).await?))
}

/// Those that can be seen, newest first.
pub(crate) async fn of(
    app: &App,
    sight: &Sight,
    query: RegressionsQuery,
) -> Result<Vec<Regression>, AppError> {
    if !query.state.is_empty() && !STATES.contains(&query.state.as_str()) {
        let why = format!("state: use {}", STATES.join(", "));
        return Err(AppError::bad("bad-state", "/state", why));
    }
    for (field, number) in [("job", query.job), ("before", query.before)] {
        if number.is_some_and(|n| n < 0) {
            let why = format!("{field}: use 0 or more");
            return Err(AppError::bad("bad-number", &format!("/{field}"), why));
        }
    }
    let wanted = Wanted { id: None, query };
    Ok(db::regression::list(&mut *app.pool.acquire().await?, sight, &wanted).await?)
}

/// `GET /regressions/{id}`.
pub async fn show(
    State(app): State<App>,
    who: Principal,
    Path(id): Path<i64>,
) -> Result<Json<Regression>, AppError> {
    Ok(Json(one(&app, &who.sight(), id).await?))
}

/// One that can be seen.
pub(crate) async fn one(app: &App, sight: &Sight, id: i64) -> Result<Regression, AppError> {
    let wanted = Wanted {
        id: Some(id),
        ..Wanted::default()
    };
    let found = db::regression::list(&mut *app.pool.acquire().await?, sight, &wanted).await?;
    let missing = || AppError::not_found(format!("there is no regression {id}"));
    found.into_iter().next().ok_or_else(missing)
}

/// `POST /regressions/{id}/state`.
pub async fn set_state(
    State(app): State<App>,
    who: Principal,
    Path(id): Path<i64>,
    Sent(said): Sent<SetState>,
) -> Result<StatusCode, AppError> {
    set(&app, &who, id, &said).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Says what a regression is, and why.
pub(crate) async fn set(
    app: &App,
    who: &Principal,
    id: i64,
    set: &SetState,
) -> Result<(), AppError> {
    if !STATES.contains(&set.state.as_str()) {
        let why = format!("state: use {}", STATES.join(", "));
        return Err(AppError::bad("bad-state", "/state", why));
    }
    check_line(&set.reason, "reason")?;
    if set.reason.trim().is_empty() {
        let why = "reason: say in one line why";
        return Err(AppError::bad("bad-reason", "/reason", why));
    }
    let mut tx = app.pool.begin().await?;
    if !db::regression::set_state(&mut tx, id, &set.state, who.name(), &set.reason).await? {
        let why = format!("state: regression {id} is {} already", set.state);
        return Err(AppError::refused(
            StatusCode::CONFLICT,
            "no-change",
            "/state",
            why,
        ));
    }
    let detail = json!({ "regression": id, "state": set.state, "reason": set.reason });
    db::audit(&mut tx, who.name(), "regression set", None, None, detail).await?;
    Ok(tx.commit().await?)
}
