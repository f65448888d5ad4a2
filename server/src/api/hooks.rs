//! Pushes that GitHub, GitLab, Forgejo and Gitea tell of: verified, counted once, and mapped to what
//! a rule watches.
//!
//! Sources: GitHub's "Validating webhook deliveries", GitLab's "Webhooks" (secret token, and signing
//! token after Standard Webhooks), Forgejo's and Gitea's "Webhooks".

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use firstbad_api::rule::{Triggered, matches};
use hmac::{Hmac, KeyInit, Mac};
use rand::RngExt;
use serde::Deserialize;
use sha2::Sha256;
use time::OffsetDateTime;

use super::rules::{kind, plain_name};
use crate::db;
use crate::db::rule::NewCall;
use crate::error::AppError;
use crate::outgoing;
use crate::state::App;

/// A signed moment may be this far from now, seconds (Standard Webhooks: five minutes).
const TOLERANCE_S: i64 = 300;
/// Longest id of a message.
const DELIVERY: usize = 200;

type Answer = Result<(StatusCode, Json<Triggered>), AppError>;

/// What the three services have in common of a push.
#[derive(Deserialize)]
struct Push {
    /// `refs/heads/…` or `refs/tags/…`.
    #[serde(rename = "ref")]
    reference: String,
    /// The commit (or tag object) it names now; zeros: it is gone.
    after: String,
    /// GitLab tells the commit of a tag apart.
    #[serde(default)]
    checkout_sha: Option<String>,
}

/// A message of a service.
struct Message<'a> {
    service: &'static str,
    /// Of this message alone.
    delivery: Option<&'a str>,
    /// It tells of a push to a branch or a tag.
    pushes: bool,
    event: &'a str,
    signed: bool,
}

/// `POST /hooks/github/{id}`.
pub async fn github(
    State(app): State<App>,
    Path(id): Path<i64>,
    headers: HeaderMap,
    body: Bytes,
) -> Answer {
    let signature = text(&headers, "x-hub-signature-256");
    let signature = signature.and_then(|s| s.strip_prefix("sha256="));
    let said = |what: &str| text(&headers, &format!("x-github-{what}"));
    take_hex(&app, id, "github", signature, said, &body).await
}

/// `POST /hooks/forgejo/{id}`: Gitea too.
pub async fn forgejo(
    State(app): State<App>,
    Path(id): Path<i64>,
    headers: HeaderMap,
    body: Bytes,
) -> Answer {
    let said = |what: &str| {
        let forgejo = text(&headers, &format!("x-forgejo-{what}"));
        forgejo.or(text(&headers, &format!("x-gitea-{what}")))
    };
    take_hex(&app, id, "forgejo", said("signature"), said, &body).await
}

/// Takes a message whose signature is in hexadecimal digits.
async fn take_hex<'a>(
    app: &App,
    id: i64,
    service: &'static str,
    signature: Option<&str>,
    said: impl Fn(&str) -> Option<&'a str>,
    body: &[u8],
) -> Answer {
    let (event, delivery) = (said("event").unwrap_or_default(), said("delivery"));
    let secret = secret(app, id).await?;
    let message = Message {
        service,
        delivery,
        pushes: event == "push",
        event,
        signed: signature.is_some_and(|s| is_hex_hmac(&secret, body, s)),
    };
    take(app, id, message, body).await
}

/// `POST /hooks/gitlab/{id}`.
pub async fn gitlab(
    State(app): State<App>,
    Path(id): Path<i64>,
    headers: HeaderMap,
    body: Bytes,
) -> Answer {
    let secret = secret(&app, id).await?;
    let event = text(&headers, "x-gitlab-event").unwrap_or_default();
    // A signature says more than a token beside it.
    let signed = match text(&headers, "webhook-signature") {
        Some(signatures) => is_standard(&secret, &headers, &body, signatures),
        None => text(&headers, "x-gitlab-token").is_some_and(|t| same(t, &secret)),
    };
    let ids = ["webhook-id", "idempotency-key", "x-gitlab-event-uuid"];
    let message = Message {
        service: "gitlab",
        delivery: ids.iter().find_map(|name| text(&headers, name)),
        pushes: matches!(event, "Push Hook" | "Tag Push Hook"),
        event,
        signed,
    };
    take(&app, id, message, &body).await
}

/// The secret of a rule; of one that is not there one that nobody has, so that both answer alike.
async fn secret(app: &App, id: i64) -> Result<String, AppError> {
    let found = db::rule::secret(&mut *app.pool.acquire().await?, id).await?;
    let nobodys: [u8; 32] = rand::rng().random();
    Ok(found.unwrap_or_else(|| hex::encode(nobodys)))
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// Whether this is the HMAC-SHA256 of a body in hexadecimal digits.
fn is_hex_hmac(secret: &str, body: &[u8], sent: &str) -> bool {
    let (Ok(sent), Ok(mut mac)) = (
        hex::decode(sent.trim()),
        Hmac::<Sha256>::new_from_slice(secret.as_bytes()),
    ) else {
        return false;
    };
    mac.update(body);
    mac.verify_slice(&sent).is_ok()
}

/// Whether one of these signatures is that of Standard Webhooks, made a short time ago.
fn is_standard(secret: &str, headers: &HeaderMap, body: &[u8], signatures: &str) -> bool {
    let (Some(id), Some(at)) = (
        text(headers, "webhook-id"),
        text(headers, "webhook-timestamp"),
    ) else {
        return false;
    };
    let now = OffsetDateTime::now_utc().unix_timestamp();
    let fresh = at
        .parse::<i64>()
        .is_ok_and(|at| now.abs_diff(at) <= TOLERANCE_S.unsigned_abs());
    let key = secret.strip_prefix(outgoing::SECRET);
    let key = key.and_then(|key| STANDARD.decode(key).ok());
    let Some(key) = key.filter(|_| fresh) else {
        return false;
    };
    signatures.split(' ').any(|signature| {
        let sent = signature.strip_prefix("v1,");
        let sent = sent.and_then(|s| STANDARD.decode(s).ok());
        let (Some(sent), Ok(mut mac)) = (sent, Hmac::<Sha256>::new_from_slice(&key)) else {
            return false;
        };
        mac.update(format!("{id}.{at}.").as_bytes());
        mac.update(body);
        mac.verify_slice(&sent).is_ok()
    })
}

/// Equality of two texts without an early exit.
fn same(sent: &str, secret: &str) -> bool {
    crate::access::same(sent.as_bytes(), secret.as_bytes())
}

/// Stores what a message says, once.
async fn take(app: &App, id: i64, message: Message<'_>, body: &[u8]) -> Answer {
    let refuse = |status: StatusCode, kind: &str, why: &str| {
        Err(AppError::refused(status, kind, "", why.to_owned()))
    };
    if !message.signed {
        let why = "there is no such rule, or this is not signed with its secret";
        return refuse(StatusCode::UNAUTHORIZED, "unauthorised", why);
    }
    let delivery = message
        .delivery
        .filter(|d| !d.is_empty() && d.len() <= DELIVERY);
    let Some(delivery) = delivery else {
        let why = "the message has no id of its own, which would keep it from counting twice";
        return refuse(StatusCode::BAD_REQUEST, "no-delivery", why);
    };
    let mut conn = app.pool.acquire().await?;
    let Some(rule) = db::rule::find(&mut conn, id).await? else {
        return Err(AppError::not_found(format!("there is no rule {id}")));
    };
    drop(conn);
    let push: Option<Push> = match message.pushes {
        false => None,
        true => match serde_json::from_slice(body) {
            Ok(push) => Some(push),
            Err(error) => {
                let why = format!("the push cannot be read: {error}");
                return refuse(StatusCode::UNPROCESSABLE_ENTITY, "bad-push", &why);
            }
        },
    };
    let ignored = match &push {
        None => Some(format!("nothing is done about {:.60?}", message.event)),
        Some(push) => ignored(&rule.rule, push),
    };
    let rev = push.as_ref().map(|push| {
        let commit = push.checkout_sha.as_ref();
        commit.unwrap_or(&push.after).as_str()
    });
    let call = NewCall {
        told_by: message.service,
        delivery: Some(delivery),
        reference: push.as_ref().map(|p| plain_name(&p.reference)),
        rev,
        ignored: ignored.as_deref(),
    };
    let mut tx = app.pool.begin().await?;
    let new = db::rule::call(&mut tx, id, &call).await?;
    if new && ignored.is_none() {
        let detail = serde_json::json!({ "rule": id, "ref": call.reference, "rev": rev, "by": call.told_by });
        db::audit(
            &mut tx,
            message.service,
            "rule triggered",
            None,
            None,
            detail,
        )
        .await?;
    }
    tx.commit().await?;
    let (status, state) = match (new, &ignored) {
        (false, _) => (StatusCode::OK, "known"),
        (true, Some(_)) => (StatusCode::ACCEPTED, "ignored"),
        (true, None) => {
            app.wake();
            (StatusCode::ACCEPTED, "accepted")
        }
    };
    let answer = Triggered {
        state: state.to_owned(),
        why: ignored.unwrap_or_default(),
    };
    Ok((status, Json(answer)))
}

/// Why nothing is done about a push.
fn ignored(rule: &firstbad_api::rule::NewRule, push: &Push) -> Option<String> {
    let name = plain_name(&push.reference);
    if push.after.bytes().all(|b| b == b'0') {
        return Some(format!("{name} was removed"));
    }
    let id =
        |text: &str| matches!(text.len(), 40 | 64) && text.bytes().all(|b| b.is_ascii_hexdigit());
    if !id(&push.after) || push.checkout_sha.as_deref().is_some_and(|c| !id(c)) {
        return Some("it names no commit".to_owned());
    }
    if kind(&push.reference) != Some(rule.on) || !matches(&rule.refs, name) {
        return Some(format!("the rule is not about {}", push.reference));
    }
    (!rule.enabled).then(|| "the rule is switched off".to_owned())
}
