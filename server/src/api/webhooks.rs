//! Receivers of what becomes of jobs: made, listed, removed; what was sent to them, and once more.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use firstbad_api::user::Role;
use firstbad_api::webhook::{Delivery, EVENTS, MadeWebhook, NewWebhook, Patchwork, Webhook};
use rand::RngExt;
use serde_json::json;
use uuid::Uuid;

use super::sent::Sent;
use crate::access::Principal;
use crate::db;
use crate::error::AppError;
use crate::outgoing;
use crate::state::App;

/// Webhooks of one owner, at most.
const MOST: i64 = 50;

/// `GET /webhooks`.
pub async fn list(State(app): State<App>, who: Principal) -> Result<Json<Vec<Webhook>>, AppError> {
    Ok(Json(of(&app, &who).await?))
}

/// Those that somebody may know of.
pub(crate) async fn of(app: &App, who: &Principal) -> Result<Vec<Webhook>, AppError> {
    let owner = who.owner();
    let mine = (!who.may(Role::Operator)).then_some(owner.as_str());
    Ok(db::webhook::list(&mut *app.pool.acquire().await?, mine).await?)
}

/// `POST /webhooks`.
pub async fn create(
    State(app): State<App>,
    who: Principal,
    Sent(new): Sent<NewWebhook>,
) -> Result<(StatusCode, Json<MadeWebhook>), AppError> {
    Ok((StatusCode::CREATED, Json(make(&app, &who, &new).await?)))
}

pub(crate) async fn make(
    app: &App,
    who: &Principal,
    new: &NewWebhook,
) -> Result<MadeWebhook, AppError> {
    let url = outgoing::address(new.url.trim(), &app.gate.webhook_allow)
        .map_err(|why| AppError::bad("bad-url", "/url", format!("url: {why}")))?;
    if let Some(unknown) = new.events.iter().find(|e| !EVENTS.contains(&e.as_str())) {
        let why = format!("events: there is no {unknown}; use {}", EVENTS.join(", "));
        return Err(AppError::bad("unknown-event", "/events", why));
    }
    if new.every && !who.may(Role::Operator) {
        let why = "every: only operators are told of all jobs; leave it out to be told of yours";
        return Err(AppError::refused(
            StatusCode::FORBIDDEN,
            "forbidden",
            "/every",
            why,
        ));
    }
    let (kind, secret, told) = match &new.patchwork {
        Some(patchwork) => ("patchwork", token(who, new, patchwork)?, String::new()),
        None => {
            let secret = secret();
            ("standard", secret.clone(), secret)
        }
    };
    let owner = who.owner();
    let mut tx = app.pool.begin().await?;
    if db::webhook::count(&mut tx, &owner).await? >= MOST {
        let why = format!("there are {MOST} webhooks of yours already; remove one");
        return Err(AppError::refused(StatusCode::CONFLICT, "too-many", "", why));
    }
    let made = db::webhook::insert(
        &mut tx,
        url.as_str(),
        &secret,
        &owner,
        &new.events,
        new.every,
        kind,
    );
    let id = made
        .await
        .map_err(|error| match error.as_database_error() {
            Some(known) if known.is_unique_violation() => {
                let why = "url: this Patchwork is known already; remove that one first";
                AppError::refused(StatusCode::CONFLICT, "known", "/url", why)
            }
            _ => error.into(),
        })?;
    let detail = json!({ "webhook": id, "url": url.as_str(), "every": new.every });
    db::audit(&mut tx, who.name(), "webhook made", None, None, detail).await?;
    tx.commit().await?;
    Ok(MadeWebhook { id, secret: told })
}

/// The token for a Patchwork.
fn token(who: &Principal, new: &NewWebhook, patchwork: &Patchwork) -> Result<String, AppError> {
    if !who.may(Role::Operator) {
        let why = "patchwork: only operators make one known; leave it out";
        return Err(AppError::refused(
            StatusCode::FORBIDDEN,
            "forbidden",
            "/patchwork",
            why,
        ));
    }
    if new.every || !new.events.is_empty() {
        let why = "patchwork: it is told of the patches that jobs name; leave out events and every";
        return Err(AppError::bad("bad-patchwork", "/patchwork", why));
    }
    let token = patchwork.token.trim();
    if token.is_empty() || token.len() > 200 || !token.bytes().all(|b| b.is_ascii_graphic()) {
        let why = "patchwork.token: give the token of an account there, as its page shows it";
        return Err(AppError::bad("bad-token", "/patchwork/token", why));
    }
    Ok(token.to_owned())
}

/// What deliveries are signed with, made anew.
pub(super) fn secret() -> String {
    let key: [u8; 32] = rand::rng().random();
    format!("{}{}", outgoing::SECRET, STANDARD.encode(key))
}

/// A webhook that is there for who asks.
pub(crate) async fn own(app: &App, who: &Principal, id: i64) -> Result<(), AppError> {
    let owner = db::webhook::owner(&mut *app.pool.acquire().await?, id).await?;
    match owner.is_some_and(|owner| who.may_act_on(&owner)) {
        true => Ok(()),
        false => Err(AppError::not_found(format!("there is no webhook {id}"))),
    }
}

/// `DELETE /webhooks/{id}`.
pub async fn remove(
    State(app): State<App>,
    who: Principal,
    Path(id): Path<i64>,
) -> Result<StatusCode, AppError> {
    end(&app, &who, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(crate) async fn end(app: &App, who: &Principal, id: i64) -> Result<(), AppError> {
    own(app, who, id).await?;
    let mut tx = app.pool.begin().await?;
    db::webhook::remove(&mut tx, id).await?;
    let detail = json!({ "webhook": id });
    db::audit(&mut tx, who.name(), "webhook removed", None, None, detail).await?;
    Ok(tx.commit().await?)
}

/// `POST /webhooks/{id}/test`: also the way to begin again with one that was given up.
pub async fn test(
    State(app): State<App>,
    who: Principal,
    Path(id): Path<i64>,
) -> Result<StatusCode, AppError> {
    ping(&app, &who, id).await?;
    Ok(StatusCode::ACCEPTED)
}

/// Sends a message that says nothing, and sends again if nothing was sent any more.
pub(crate) async fn ping(app: &App, who: &Principal, id: i64) -> Result<(), AppError> {
    own(app, who, id).await?;
    let mut tx = app.pool.begin().await?;
    db::webhook::disable(&mut tx, id, None).await?;
    // A Patchwork takes nothing that is of no patch.
    if !db::webhook::is_patchwork(&mut tx, id).await? {
        db::webhook::test(&mut tx, id).await?;
    }
    tx.commit().await?;
    app.wake();
    Ok(())
}

/// `GET /webhooks/{id}/deliveries`.
pub async fn deliveries(
    State(app): State<App>,
    who: Principal,
    Path(id): Path<i64>,
) -> Result<Json<Vec<Delivery>>, AppError> {
    own(&app, &who, id).await?;
    let mut conn = app.pool.acquire().await?;
    Ok(Json(db::webhook::deliveries(&mut conn, id).await?))
}

/// `POST /deliveries/{id}/replay`.
pub async fn replay(
    State(app): State<App>,
    who: Principal,
    Path(id): Path<Uuid>,
) -> Result<StatusCode, AppError> {
    send_again(&app, &who, id).await?;
    Ok(StatusCode::ACCEPTED)
}

/// Sends a delivery again under its id; the number of its webhook.
pub(crate) async fn send_again(app: &App, who: &Principal, id: Uuid) -> Result<i64, AppError> {
    let missing = || AppError::not_found(format!("there is no delivery {id}"));
    let found = db::webhook::of_delivery(&mut *app.pool.acquire().await?, id).await?;
    let webhook = found.ok_or_else(missing)?;
    own(app, who, webhook).await.map_err(|_| missing())?;
    let mut tx = app.pool.begin().await?;
    db::webhook::disable(&mut tx, webhook, None).await?;
    if db::webhook::replay(&mut tx, id).await? {
        let detail = json!({ "webhook": webhook, "delivery": id });
        db::audit(&mut tx, who.name(), "delivery replayed", None, None, detail).await?;
    }
    tx.commit().await?;
    app.wake();
    Ok(webhook)
}
