//! Who makes a request: nobody known, somebody signed in, a token, a worker.
//!
//! Tokens are `fb_<id>_<secret>` with 256 random bits, of which a SHA-256 is stored.

use std::convert::Infallible;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use firstbad_api::limits;
use rand::RngExt;
use sha2::{Digest, Sha256};
use sqlx::PgConnection;

use super::{Cookie, Role, session};
use crate::db;
use crate::db::sight::Sight;
use crate::error::AppError;
use crate::state::App;

/// The role of a worker's token.
pub(crate) const WORKER: &str = "worker";

/// Who makes this request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Principal {
    Anonymous,
    /// Signed in with a browser.
    User {
        name: String,
        role: Role,
        /// What its forms carry.
        form_token: String,
    },
    /// A program.
    Token {
        name: String,
        role: Role,
        /// The account it belongs to.
        user: Option<String>,
    },
    Worker {
        name: String,
    },
}

impl Principal {
    /// What it may do; workers and the unknown have no role.
    pub fn role(&self) -> Option<Role> {
        match self {
            Principal::User { role, .. } | Principal::Token { role, .. } => Some(*role),
            Principal::Anonymous | Principal::Worker { .. } => None,
        }
    }

    pub fn may(&self, needed: Role) -> bool {
        self.role().is_some_and(|role| role >= needed)
    }

    /// The name in the audit trail.
    pub fn name(&self) -> &str {
        match self {
            Principal::Anonymous => "anonymous",
            Principal::User { name, .. }
            | Principal::Token { name, .. }
            | Principal::Worker { name } => name,
        }
    }

    /// The account behind it.
    pub fn account(&self) -> Option<&str> {
        match self {
            Principal::User { name, .. } => Some(name),
            Principal::Token { user, .. } => user.as_deref(),
            Principal::Anonymous | Principal::Worker { .. } => None,
        }
    }

    /// As what it owns jobs and surveys; empty: it owns none.
    pub fn owner(&self) -> String {
        match self {
            Principal::User { name, .. } => format!("user:{name}"),
            Principal::Token {
                user: Some(user), ..
            } => format!("user:{user}"),
            Principal::Token { name, .. } => format!("token:{name}"),
            Principal::Anonymous | Principal::Worker { .. } => String::new(),
        }
    }

    /// What it sees.
    pub fn sight(&self) -> Sight {
        match self.may(Role::Operator) {
            true => Sight::All,
            false => Sight::Of(self.owner()),
        }
    }

    /// Whether it may act on what this owner asked for.
    pub fn may_act_on(&self, owner: &str) -> bool {
        self.may(Role::Operator)
            || (self.may(Role::Submitter) && !owner.is_empty() && self.owner() == owner)
    }

    /// The principal of a request: of its token if it has one, else of its session.
    ///
    /// # Errors
    /// When the token is not, or no longer, one of ours.
    pub async fn of(app: &App, headers: &HeaderMap) -> Result<Principal, AppError> {
        if let Some(value) = headers.get(header::AUTHORIZATION) {
            let token = value.to_str().ok().and_then(|v| v.strip_prefix("Bearer "));
            return of_token(app, token).await;
        }
        let Some(secret) = session::of_request(&app.gate, headers, Cookie::Session) else {
            return Ok(Principal::Anonymous);
        };
        let mut conn = app.pool.acquire().await?;
        let times = (limits::SESSION_IDLE_S, limits::SESSION_S);
        let hash = Sha256::digest(secret);
        let account = db::account::of_session(&mut conn, &hash, times).await?;
        let user = account.and_then(|a| {
            Some(Principal::User {
                role: Role::read(&a.role)?,
                name: a.name,
                form_token: session::form_token(secret),
            })
        });
        Ok(user.unwrap_or(Principal::Anonymous))
    }
}

async fn of_token(app: &App, token: Option<&str>) -> Result<Principal, AppError> {
    let denied = |why: &str| AppError::refused(StatusCode::UNAUTHORIZED, "unauthorised", "", why);
    let token =
        token.ok_or_else(|| denied("Authorization: only `Bearer fb_…` is understood here"))?;
    let (id, secret) =
        split(token).ok_or_else(|| denied("the token is not of the form fb_<id>_<secret>"))?;
    let mut conn = app.pool.acquire().await?;
    let found = db::token::find(&mut conn, id).await?;
    let digest = Sha256::digest(secret);
    let found = found
        .filter(|t| same(&t.hash, &digest))
        .ok_or_else(|| denied("the token is unknown, has expired or was revoked"))?;
    db::token::used(&mut conn, id).await?;
    drop(conn);
    if found.role == WORKER {
        return Ok(Principal::Worker { name: found.name });
    }
    let own = Role::read(&found.role);
    let role = match &found.account_role {
        // No token can do more than who it belongs to.
        Some(role) => own.min(Role::read(role)),
        None => own,
    };
    Ok(Principal::Token {
        name: found.name,
        role: role.ok_or_else(|| AppError::Internal("a token has no known role".to_owned()))?,
        user: found.account,
    })
}

impl<S: Send + Sync> FromRequestParts<S> for Principal {
    type Rejection = Infallible;

    /// The guard found out who it is.
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Principal, Infallible> {
        let found = parts.extensions.get::<Principal>().cloned();
        Ok(found.unwrap_or(Principal::Anonymous))
    }
}

/// A new random token text for `id` (letters and digits).
pub fn make_token(id: &str) -> String {
    let secret: [u8; 32] = rand::rng().random();
    format!("fb_{id}_{}", hex::encode(secret))
}

/// Stores a token made by [`make_token`]; no role: it is a worker's.
///
/// # Errors
/// The database's; a text of another shape is refused as a protocol error.
pub async fn put_token(
    conn: &mut PgConnection,
    name: &str,
    text: &str,
    role: Option<Role>,
) -> sqlx::Result<()> {
    let Some((id, secret)) = split(text) else {
        return Err(sqlx::Error::Protocol(
            "token is not of the form fb_<id>_<secret>".to_owned(),
        ));
    };
    let role = role.map_or(WORKER, Role::as_str);
    db::token::put(conn, id, name, &Sha256::digest(secret), role).await
}

/// A new token in parts: its text, its id, the hash that is stored.
pub(crate) fn new_token() -> (String, String, Vec<u8>) {
    let id: [u8; 6] = rand::rng().random();
    let id = hex::encode(id);
    let text = make_token(&id);
    let hash = split(&text).map(|(_, secret)| Sha256::digest(secret).to_vec());
    (text, id, hash.unwrap_or_default())
}

fn split(token: &str) -> Option<(&str, &str)> {
    token.strip_prefix("fb_")?.split_once('_')
}

/// Equality without an early exit.
pub(crate) fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |acc, (x, y)| acc | (x ^ y)) == 0
}
