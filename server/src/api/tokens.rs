//! Tokens of programs: made, listed, revoked. A token is told once, and only its hash is kept.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use firstbad_api::user::{MadeToken, NewToken, Role, Token};
use serde_json::json;

use super::sent::Sent;
use super::users::check_name;
use crate::access::{Principal, WORKER, new_token};
use crate::db;
use crate::error::AppError;
use crate::state::App;

/// Longest life, days.
const DAYS: u32 = 3650;

/// `GET /tokens`.
pub async fn list(State(app): State<App>, who: Principal) -> Result<Json<Vec<Token>>, AppError> {
    Ok(Json(of(&app, &who).await?))
}

/// The tokens that somebody may know of.
pub(crate) async fn of(app: &App, who: &Principal) -> Result<Vec<Token>, AppError> {
    let mut conn = app.pool.acquire().await?;
    Ok(match whose(who) {
        Whose::All => db::token::list(&mut conn, None).await?,
        Whose::Account(name) => db::token::list(&mut conn, Some(name)).await?,
        Whose::Nobody => Vec::new(),
    })
}

enum Whose<'a> {
    All,
    Account(&'a str),
    /// A token that belongs to no account, and is no admin's.
    Nobody,
}

fn whose(who: &Principal) -> Whose<'_> {
    match (who.may(Role::Admin), who.account()) {
        (true, _) => Whose::All,
        (false, Some(name)) => Whose::Account(name),
        (false, None) => Whose::Nobody,
    }
}

/// `POST /tokens`.
pub async fn create(
    State(app): State<App>,
    who: Principal,
    Sent(new): Sent<NewToken>,
) -> Result<(StatusCode, Json<MadeToken>), AppError> {
    Ok((StatusCode::CREATED, Json(make(&app, &who, &new).await?)))
}

/// Makes a token that can do no more than who makes it.
pub(crate) async fn make(
    app: &App,
    who: &Principal,
    new: &NewToken,
) -> Result<MadeToken, AppError> {
    check_name(&new.name)?;
    if !(1..=DAYS).contains(&new.days) {
        let why = format!("days: use 1 to {DAYS}");
        return Err(AppError::bad("bad-days", "/days", why));
    }
    let allowed = match new.role.role() {
        Some(role) => who.may(role),
        None => who.may(Role::Operator),
    };
    if !allowed {
        let why =
            "role: a token may do no more than who makes it; a worker's is made by an operator";
        return Err(AppError::refused(
            StatusCode::FORBIDDEN,
            "forbidden",
            "/role",
            why,
        ));
    }
    let (token, id, hash) = new_token();
    // Names of accounts have no slash: no token can pass for somebody.
    let name = format!("{}/{}", who.account().unwrap_or(who.name()), new.name);
    let row = db::token::New {
        id: &id,
        name: &name,
        hash: &hash,
        role: new.role.role().map_or(WORKER, Role::as_str),
        account: who.account(),
        days: i32::try_from(new.days).unwrap_or(i32::MAX),
    };
    let mut tx = app.pool.begin().await?;
    if !db::token::insert(&mut tx, &row).await? {
        return Err(AppError::refused(
            StatusCode::CONFLICT,
            "name-taken",
            "/name",
            format!("name: there is a token {name} already; revoke it or choose another name"),
        ));
    }
    let detail = json!({ "token": name, "role": row.role, "days": new.days });
    db::audit(&mut tx, who.name(), "token made", None, None, detail).await?;
    tx.commit().await?;
    Ok(MadeToken { id, token })
}

/// `DELETE /tokens/{id}`.
pub async fn revoke(
    State(app): State<App>,
    who: Principal,
    Path(id): Path<String>,
) -> Result<StatusCode, AppError> {
    end(&app, &who, &id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Revokes a token; it does nothing from now on.
pub(crate) async fn end(app: &App, who: &Principal, id: &str) -> Result<(), AppError> {
    let mut tx = app.pool.begin().await?;
    let revoked = match whose(who) {
        Whose::All => db::token::revoke(&mut tx, id, None).await?,
        Whose::Account(name) => db::token::revoke(&mut tx, id, Some(name)).await?,
        Whose::Nobody => None,
    };
    let missing = || AppError::not_found(format!("there is no token {id} that can be revoked"));
    let name = revoked.ok_or_else(missing)?;
    let detail = json!({ "token": name });
    db::audit(&mut tx, who.name(), "token revoked", None, None, detail).await?;
    tx.commit().await?;
    Ok(())
}
