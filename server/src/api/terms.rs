//! On what terms a job is wanted: what it may cost, how urgent it is, who is told of its end.

use axum::http::StatusCode;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use firstbad_api::job::NewJob;
use firstbad_api::limits;
use firstbad_api::patch::PatchworkPatch;
use firstbad_api::terms::{Callback, LABEL_CHARS, LABELS, Priority};
use firstbad_api::user::Role;
use sqlx::PgConnection;

use super::webhooks;
use crate::access::Principal;
use crate::db;
use crate::db::patch::PatchOf;
use crate::error::AppError;
use crate::outgoing;
use crate::state::App;

/// Bytes of a key that deliveries are signed with (Standard Webhooks).
const KEY_BYTES: std::ops::RangeInclusive<usize> = 24..=64;
/// Longest name of a compiler, characters.
const TOOLCHAIN_CHARS: usize = 200;

/// Checks what has to do with no tree and no suite.
///
/// # Errors
/// Naming the field.
pub(super) fn check(app: &App, new: &NewJob) -> Result<(), AppError> {
    if new.labels.len() > LABELS {
        let why = format!("labels: use at most {LABELS}");
        return Err(AppError::bad("bad-label", "/labels", why));
    }
    for (n, label) in new.labels.iter().enumerate() {
        let plain = |c: char| c.is_ascii_alphanumeric() || "._:/-".contains(c);
        if label.is_empty() || label.len() > LABEL_CHARS || !label.chars().all(plain) {
            let why = format!(
                "labels: {label:?} is none: use 1 to {LABEL_CHARS} letters, digits and ._:/-"
            );
            return Err(AppError::bad("bad-label", &format!("/labels/{n}"), why));
        }
    }
    let budget = &new.budget;
    for (name, value) in [
        ("builds", budget.builds),
        ("vm_minutes", budget.vm_minutes),
        ("wall_minutes", budget.wall_minutes),
    ] {
        if value.is_some_and(|value| !(1..=limits::BUDGET_MOST).contains(&value)) {
            let why = format!(
                "budget.{name}: use 1 to {}, or leave it out: then it is not limited",
                limits::BUDGET_MOST
            );
            return Err(AppError::bad("bad-budget", &format!("/budget/{name}"), why));
        }
    }
    if new.parallelism.is_some_and(|n| !(1..=1000).contains(&n)) {
        let why = "parallelism: use 1 to 1000, or leave it out: then all workers are used";
        return Err(AppError::bad("bad-parallelism", "/parallelism", why));
    }
    if let Some(name) = &new.toolchain
        && (name.trim().is_empty()
            || name.chars().count() > TOOLCHAIN_CHARS
            || name.chars().any(char::is_control))
    {
        let why = "toolchain: give a part of what a worker says of its compiler, such as \"gcc (Debian 12.2\"";
        return Err(AppError::bad("bad-toolchain", "/toolchain", why));
    }
    if let Some(callback) = &new.callback {
        outgoing::address(callback.url.trim(), &app.gate.webhook_allow)
            .map_err(|why| AppError::bad("bad-url", "/callback/url", format!("url: {why}")))?;
        if callback.secret.as_deref().is_some_and(|s| !is_secret(s)) {
            let why = format!(
                "callback.secret: use {} and 24 to 64 bytes in base64, or leave it out: then one is made",
                outgoing::SECRET
            );
            return Err(AppError::bad("bad-secret", "/callback/secret", why));
        }
    }
    Ok(())
}

/// The patch that a request names, at a Patchwork of who asks. An operator may use all of them: what is
/// written there is written under this server's name.
///
/// # Errors
/// Naming the field. To others a Patchwork is one that nobody has made known.
pub(super) async fn patchwork(
    app: &App,
    who: &Principal,
    asked: &PatchworkPatch,
    private: bool,
) -> Result<PatchOf, AppError> {
    if private {
        let why = "patchwork: a patch's checks are public; leave it out, or private";
        return Err(AppError::bad("private", "/patchwork", why));
    }
    if asked.patch < 1 {
        let why = "patchwork.patch: give the number of a patch, 1 or more";
        return Err(AppError::bad("bad-patch", "/patchwork/patch", why));
    }
    let mut conn = app.pool.acquire().await?;
    let known = db::patch::patchwork(&mut conn, asked.url.trim()).await?;
    match known.filter(|(_, owner)| who.may_act_on(owner)) {
        Some((webhook, _)) => Ok(PatchOf {
            webhook,
            patch: asked.patch,
        }),
        None => {
            let why = "patchwork.url: there is no Patchwork with this address that you may write to; who \
                       makes one known with POST /api/v1/webhooks may, and operators may";
            Err(AppError::bad("unknown-patchwork", "/patchwork/url", why))
        }
    }
}

fn is_secret(secret: &str) -> bool {
    let key = secret.strip_prefix(outgoing::SECRET);
    let key = key.and_then(|key| STANDARD.decode(key).ok());
    key.is_some_and(|key| KEY_BYTES.contains(&key.len()))
}

/// Whether somebody may ask for work to be done before that of others.
pub(super) fn check_priority(who: &Principal, new: &NewJob) -> Result<(), AppError> {
    if new.priority != Priority::High || who.may(Role::Operator) {
        return Ok(());
    }
    let why = "priority: only operators' work goes before that of others; use normal or low";
    Err(AppError::refused(
        StatusCode::FORBIDDEN,
        "forbidden",
        "/priority",
        why,
    ))
}

/// Notes who is to be told of a job; the secret, if it was made here. The job is locked or new.
///
/// # Errors
/// When there are as many already as one job may have.
pub(super) async fn call_back(
    conn: &mut PgConnection,
    owner: &str,
    job: i64,
    callback: &Callback,
) -> Result<Option<String>, AppError> {
    let (all, own) = db::webhook::callbacks(conn, job, owner).await?;
    let (most_own, most) = (limits::CALLBACKS_OF_OWNER, limits::CALLBACKS_OF_JOB);
    if own >= most_own || all >= most {
        let why = format!(
            "callback: job {job}, which looks for this answer already, has {own} of yours and {all} in \
             all; at most {most_own} and {most} are told of one job: leave it out, and ask with ?wait="
        );
        return Err(AppError::refused(
            StatusCode::CONFLICT,
            "too-many",
            "/callback",
            why,
        ));
    }
    let made = callback.secret.is_none().then(webhooks::secret);
    let secret = made.as_ref().or(callback.secret.as_ref());
    let secret = secret.map_or("", String::as_str);
    db::webhook::call_back(conn, job, callback.url.trim(), secret, owner).await?;
    Ok(made)
}
