//! API tokens: `fb_<id>_<secret>`, 256 random bits, only a SHA-256 stored.
//!
//! Reads are open; every other method needs a token with the scope of its route.

use axum::extract::{Request, State};
use axum::http::{Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;
use rand::RngExt;
use sha2::{Digest, Sha256};
use sqlx::PgConnection;

use crate::db;
use crate::error::AppError;
use crate::state::App;

/// Who makes this request: a token's name.
#[derive(Debug, Clone)]
pub struct Caller(pub String);

/// A new random token text for `id` (letters and digits).
pub fn make_token(id: &str) -> String {
    let secret: [u8; 32] = rand::rng().random();
    format!("fb_{id}_{}", hex::encode(secret))
}

/// Stores a token made by [`make_token`].
///
/// # Errors
/// The database's; a text of another shape is refused as a protocol error.
pub async fn put_token(
    conn: &mut PgConnection,
    name: &str,
    text: &str,
    scopes: &[&str],
) -> sqlx::Result<()> {
    let Some((id, secret)) = split(text) else {
        return Err(sqlx::Error::Protocol(
            "token is not of the form fb_<id>_<secret>".to_owned(),
        ));
    };
    let scopes: Vec<String> = scopes.iter().map(|s| (*s).to_owned()).collect();
    db::token::put(conn, id, name, &Sha256::digest(secret), &scopes).await
}

fn split(token: &str) -> Option<(&str, &str)> {
    token.strip_prefix("fb_")?.split_once('_')
}

/// The scope a write needs; `path` is below `/api/v1`.
fn scope(path: &str) -> &'static str {
    let mut parts = path.split('/').skip(1);
    match (parts.next(), parts.nth(1)) {
        (Some("leases" | "workers" | "attempts"), _) => "worker",
        // They add a history to be searched, and leave what the tree mirrors as it is.
        (Some("trees"), Some("series" | "configs")) => "jobs",
        (Some("trees"), _) => "admin",
        _ => "jobs",
    }
}

/// Lets reads pass and checks the bearer token of everything else.
pub async fn require(
    State(app): State<App>,
    mut request: Request,
    next: Next,
) -> Result<Response, AppError> {
    if matches!(*request.method(), Method::GET | Method::HEAD)
        || request.uri().path() == "/jobs/preview"
    {
        return Ok(next.run(request).await);
    }
    let denied = |why: &str| AppError::refused(StatusCode::UNAUTHORIZED, "unauthorised", "", why);
    let token = request
        .headers()
        .get(header::AUTHORIZATION)
        .and_then(|v| v.to_str().ok())
        .and_then(|v| v.strip_prefix("Bearer "))
        .ok_or_else(|| denied("this request needs a token: send `Authorization: Bearer fb_…`"))?;
    let (id, secret) =
        split(token).ok_or_else(|| denied("the token is not of the form fb_<id>_<secret>"))?;
    let mut conn = app.pool.acquire().await?;
    let found = db::token::find(&mut conn, id).await?;
    drop(conn);
    let digest = Sha256::digest(secret);
    let found = found
        .filter(|t| same(&t.hash, &digest))
        .ok_or_else(|| denied("the token is unknown or has expired"))?;
    let needed = scope(request.uri().path());
    if !found.scopes.iter().any(|s| s == needed) {
        let why = format!("the token {} lacks the scope {needed}", found.name);
        return Err(AppError::refused(
            StatusCode::FORBIDDEN,
            "forbidden",
            "",
            why,
        ));
    }
    request.extensions_mut().insert(Caller(found.name));
    Ok(next.run(request).await)
}

/// Equality without an early exit.
fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |acc, (x, y)| acc | (x ^ y)) == 0
}
