//! Passwords: Argon2id, at most a few computed at once.

use std::sync::LazyLock;

use argon2::Argon2;
use argon2::password_hash::{PasswordHasher, PasswordVerifier, phc::PasswordHash};
use firstbad_api::limits;
use tokio::sync::Semaphore;

use crate::error::AppError;

/// Each takes 19 MiB for some time.
static AT_ONCE: Semaphore = Semaphore::const_new(4);

/// Of no account: who does not exist takes as long to refuse as who does.
static NOBODY: LazyLock<String> =
    LazyLock::new(|| digest("nobody has this one").unwrap_or_default());

/// A password did not match.
#[derive(Debug, PartialEq, Eq)]
pub struct Refused;

/// Why a password is not taken, if it is not.
pub fn unfit(password: &str) -> Option<String> {
    let (least, most) = limits::PASSWORD_CHARS;
    let chars = password.chars().count();
    let fits = (least..=most).contains(&chars) && !password.chars().any(char::is_control);
    (!fits).then(|| format!("use {least} to {most} characters on one line"))
}

/// A password as it is stored.
///
/// # Errors
/// When it cannot be computed.
pub async fn hash(password: String) -> Result<String, AppError> {
    let hashed = apart(move || digest(&password)).await?;
    hashed.ok_or_else(|| AppError::Internal("Argon2 does not work".to_owned()))
}

/// Whether a password is the stored one; without one it is not.
pub(super) async fn verify(
    stored: Option<String>,
    given: String,
) -> Result<Result<(), Refused>, AppError> {
    let known = stored.is_some();
    let right = apart(move || {
        let stored = stored.unwrap_or_else(|| NOBODY.clone());
        let parsed = PasswordHash::new(&stored);
        parsed.is_ok_and(|h| {
            Argon2::default()
                .verify_password(given.as_bytes(), &h)
                .is_ok()
        })
    })
    .await?;
    Ok(match known && right {
        true => Ok(()),
        false => Err(Refused),
    })
}

fn digest(password: &str) -> Option<String> {
    let hashed = Argon2::default().hash_password(password.as_bytes());
    hashed.ok().map(|h| h.to_string())
}

async fn apart<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, AppError> {
    let gone = |e: String| AppError::Internal(e);
    let _slot = AT_ONCE.acquire().await.map_err(|e| gone(e.to_string()))?;
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|e| gone(e.to_string()))
}
