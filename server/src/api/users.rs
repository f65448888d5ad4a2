//! Accounts: list, make, change. Passwords come in and never go out.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use firstbad_api::user::{NewUser, User, UserChange};
use serde_json::json;

use super::sent::Sent;
use crate::access::{self, Principal};
use crate::db;
use crate::error::AppError;
use crate::state::App;

/// Names in the audit trail that are nobody's account.
const TAKEN: [&str; 6] = [
    "anonymous",
    "local",
    "server",
    "survey",
    "unknown",
    "worker",
];
/// Longest name, characters.
const NAME: usize = 40;

pub async fn list(State(app): State<App>) -> Result<Json<Vec<User>>, AppError> {
    Ok(Json(
        db::account::list(&mut *app.pool.acquire().await?).await?,
    ))
}

pub async fn create(
    State(app): State<App>,
    who: Principal,
    Sent(new): Sent<NewUser>,
) -> Result<StatusCode, AppError> {
    check_name(&new.name)?;
    let password = hashed(new.password).await?;
    let mut tx = app.pool.begin().await?;
    if !db::account::insert(&mut tx, &new.name, new.role.as_str(), &password).await? {
        return Err(AppError::refused(
            StatusCode::CONFLICT,
            "name-taken",
            "/name",
            format!(
                "name: there is an account {:?} already; choose another name",
                new.name
            ),
        ));
    }
    let detail = json!({ "account": new.name, "role": new.role });
    db::audit(&mut tx, who.name(), "account made", None, None, detail).await?;
    tx.commit().await?;
    Ok(StatusCode::CREATED)
}

pub async fn change(
    State(app): State<App>,
    who: Principal,
    Path(name): Path<String>,
    Sent(change): Sent<UserChange>,
) -> Result<StatusCode, AppError> {
    let detail = json!({
        "account": name, "role": change.role, "disabled": change.disabled,
        "password": change.password.is_some(),
    });
    let password = match change.password {
        Some(password) => Some(hashed(password).await?),
        None => None,
    };
    let role = change.role.map(|r| r.as_str());
    let mut tx = app.pool.begin().await?;
    if password.is_some()
        && let Some(issuer) = db::account::issuer(&mut tx, &name).await?
    {
        let why = format!("password: {name} signs in with {issuer} and has no password here");
        return Err(AppError::bad("no-password", "/password", why));
    }
    let known =
        db::account::update(&mut tx, &name, role, password.as_deref(), change.disabled).await?;
    if !known {
        return Err(AppError::not_found(format!("there is no account {name:?}")));
    }
    db::audit(&mut tx, who.name(), "account changed", None, None, detail).await?;
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) fn check_name(name: &str) -> Result<(), AppError> {
    let ok = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-".contains(c);
    let wrong = |why: &str| Err(AppError::bad("bad-name", "/name", format!("name: {why}")));
    if !(1..=NAME).contains(&name.len())
        || !name.chars().all(ok)
        || !name.starts_with(|c: char| c.is_ascii_lowercase())
    {
        return wrong("use 1 to 40 of a-z, 0-9, '.', '_' and '-', beginning with a letter");
    }
    match TAKEN.contains(&name) {
        true => wrong("the server itself uses this name in the audit trail; choose another"),
        false => Ok(()),
    }
}

async fn hashed(password: String) -> Result<String, AppError> {
    if let Some(why) = access::unfit(&password) {
        return Err(AppError::bad(
            "bad-password",
            "/password",
            format!("password: {why}"),
        ));
    }
    access::hash(password).await
}
