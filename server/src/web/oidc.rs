//! Signing in with the identity provider: the way there, and the way back.

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{Extensions, HeaderMap, StatusCode, header};
use axum::response::{AppendHeaders, IntoResponse, Redirect, Response};
use firstbad_api::limits;
use serde::Deserialize;
use serde_json::json;
use sha2::{Digest, Sha256};
use sqlx::PgConnection;

use super::error::Page;
use super::login::{self, Next, TOO_OFTEN};
use crate::access::{self, Address, Cookie, Role};
use crate::db;
use crate::error::AppError;
use crate::oidc::{self, Oidc, Person, Wrong};
use crate::state::App;

/// What the provider sends back with a browser.
#[derive(Default, Deserialize)]
#[serde(default)]
pub struct Came {
    state: String,
    code: String,
    error: String,
    /// RFC 9207.
    iss: Option<String>,
}

/// Why a sign-in ended without a session.
struct Ended {
    status: StatusCode,
    why: String,
    /// Whose account it would have been, if that is known.
    who: Option<String>,
}

impl Ended {
    fn new(status: StatusCode, why: impl Into<String>) -> Ended {
        Ended {
            status,
            why: why.into(),
            who: None,
        }
    }

    fn of(oidc: &Oidc, wrong: Wrong) -> Ended {
        let name = oidc.name();
        match wrong {
            Wrong::Away(why) => {
                tracing::warn!(issuer = oidc.issuer(), %why, "the identity provider is away");
                let why = format!("{name} does not answer just now: try again in a minute.");
                Ended::new(StatusCode::SERVICE_UNAVAILABLE, why)
            }
            Wrong::Untrusted(why) => {
                tracing::warn!(
                    issuer = oidc.issuer(),
                    why,
                    "the identity provider is not believed"
                );
                let why = format!("{name} did not prove who you are: {why}.");
                Ended::new(StatusCode::BAD_GATEWAY, why)
            }
        }
    }
}

/// What goes wrong on the way back.
enum Failed {
    Ended(Ended),
    Ours(AppError),
}

impl From<Ended> for Failed {
    fn from(ended: Ended) -> Failed {
        Failed::Ended(ended)
    }
}

impl From<sqlx::Error> for Failed {
    fn from(error: sqlx::Error) -> Failed {
        Failed::Ours(error.into())
    }
}

/// `GET /login/oidc`: to the provider.
pub(super) async fn begin(
    State(app): State<App>,
    headers: HeaderMap,
    extensions: Extensions,
    Query(query): Query<Next>,
) -> Page {
    let Some(oidc) = app.oidc.as_deref() else {
        return login::again(&app, &query.next, "", StatusCode::BAD_REQUEST, NO_WAY);
    };
    login::by_tls(&app)?;
    let address = Address::of(&app.gate, &headers, &extensions);
    if !app.gate.sign_ins.elsewhere(address) {
        return login::again(
            &app,
            &query.next,
            "",
            StatusCode::TOO_MANY_REQUESTS,
            TOO_OFTEN,
        );
    }
    let secret = access::new_session();
    let to = match oidc.begin(&secret).await {
        Ok(to) => to,
        Err(wrong) => {
            let ended = Ended::of(oidc, wrong);
            return login::again(&app, &query.next, "", ended.status, &ended.why);
        }
    };
    let hash = Sha256::digest(&secret);
    let noted = async {
        let mut conn = app.pool.acquire().await?;
        let next = login::ours(&query.next);
        db::sign_in::begin(&mut conn, &hash, next, limits::SIGN_IN_S).await
    };
    noted.await.map_err(AppError::from)?;
    let cookie = access::cookie_of(&app.gate, Cookie::SignIn, &secret);
    Ok(([(header::SET_COOKIE, cookie)], Redirect::to(to.as_str())).into_response())
}

/// `GET /login/oidc/callback`: back from there. Whatever is wrong with it, nothing is stored of it.
pub(super) async fn finish(
    State(app): State<App>,
    headers: HeaderMap,
    extensions: Extensions,
    came: Result<Query<Came>, QueryRejection>,
) -> Page {
    let Some(oidc) = app.oidc.as_deref() else {
        return login::again(&app, "", "", StatusCode::BAD_REQUEST, NO_WAY);
    };
    login::by_tls(&app)?;
    let address = Address::of(&app.gate, &headers, &extensions);
    if !app.gate.sign_ins.elsewhere(address) {
        return login::again(&app, "", "", StatusCode::TOO_MANY_REQUESTS, TOO_OFTEN);
    }
    // What cannot be read has no state that could be right.
    let came = came.map(|Query(c)| c).unwrap_or_default();
    match back(&app, oidc, &headers, address, &came).await {
        Ok(response) => {
            app.gate.sign_ins.came_back(address);
            Ok(response)
        }
        Err(Failed::Ours(error)) => Err(error.into()),
        Err(Failed::Ended(ended)) => refused(&app, oidc, address, ended).await,
    }
}

async fn refused(app: &App, oidc: &Oidc, address: Address, ended: Ended) -> Page {
    let detail = json!({
        "from": address.to_string(), "with": oidc.issuer(), "why": ended.why,
    });
    let who = ended.who.as_deref().unwrap_or("unknown");
    let noted = async {
        let mut conn = app.pool.acquire().await?;
        db::audit(&mut conn, who, "sign-in refused", None, None, detail).await
    };
    noted.await.map_err(AppError::from)?;
    let page = login::again(app, "", "", ended.status, &ended.why)?;
    let over = access::over(&app.gate, Cookie::SignIn);
    let headers = [
        (header::SET_COOKIE, over),
        (header::CACHE_CONTROL, "no-store".to_owned()),
    ];
    Ok((AppendHeaders(headers), page).into_response())
}

async fn back(
    app: &App,
    oidc: &Oidc,
    headers: &HeaderMap,
    address: Address,
    came: &Came,
) -> Result<Response, Failed> {
    let bad = |why: &str| Ended::new(StatusCode::BAD_REQUEST, why);
    let secret =
        access::of_request(&app.gate, headers, Cookie::SignIn).ok_or_else(|| bad(ELSEWHERE))?;
    if came.state != oidc::state(secret) {
        return Err(bad(OTHER).into());
    }
    let mut conn = app.pool.acquire().await?;
    let hash = Sha256::digest(secret);
    let begun = db::sign_in::take(&mut conn, &hash, limits::SIGN_IN_S).await?;
    drop(conn);
    let begun = begun.ok_or_else(|| bad(AGAIN))?;
    if !begun.in_time {
        return Err(bad(LATE).into());
    }
    let person = proved(oidc, secret, came).await?;
    let mut tx = app.pool.begin().await?;
    let account = match admitted(&mut tx, oidc, &person).await? {
        Ok(account) => account,
        Err(ended) => {
            // What was taken from the account stays taken.
            tx.commit().await?;
            return Err(ended.into());
        }
    };
    let detail = json!({ "from": address.to_string(), "with": oidc.issuer() });
    let cookie = login::begin_session(app, &mut tx, headers, &account, detail).await?;
    tx.commit().await?;
    let cookies = [
        (header::SET_COOKIE, cookie),
        (header::SET_COOKIE, access::over(&app.gate, Cookie::SignIn)),
    ];
    let to = Redirect::to(login::ours(&begun.next));
    Ok((AppendHeaders(cookies), to).into_response())
}

const NO_WAY: &str = "This server knows no other place to sign in with.";
const ELSEWHERE: &str =
    "This sign-in did not begin in this browser, or the browser keeps no cookies: sign in again.";
const OTHER: &str =
    "This answer belongs to another sign-in, perhaps of another tab: sign in again.";
const AGAIN: &str = "This sign-in has come back already: sign in again.";
const LATE: &str = "This sign-in took longer than ten minutes: sign in again.";

/// Who it is that came back, as the provider says.
async fn proved(oidc: &Oidc, secret: &str, came: &Came) -> Result<Person, Ended> {
    if came.iss.as_deref().is_some_and(|iss| iss != oidc.issuer()) {
        let other = Wrong::Untrusted("the answer is from another issuer");
        return Err(Ended::of(oidc, other));
    }
    if came.error == "access_denied" {
        let why = format!(
            "{} did not sign you in, or you did not want it to.",
            oidc.name()
        );
        return Err(Ended::new(StatusCode::FORBIDDEN, why));
    }
    if came.code.is_empty() {
        // The code of the error is a text of whoever made the address; the log is the place for it.
        let error: String = came.error.chars().take(100).collect();
        tracing::warn!(
            ?error,
            "the identity provider sent somebody back without a code"
        );
        let none = Wrong::Untrusted("it sent you back without an answer");
        return Err(Ended::of(oidc, none));
    }
    let finished = oidc.finish(secret, &came.code).await;
    finished.map_err(|wrong| Ended::of(oidc, wrong))
}

/// The account of somebody, made at the first sign-in: its id and name.
async fn admitted(
    conn: &mut PgConnection,
    oidc: &Oidc,
    person: &Person,
) -> Result<Result<(i64, String), Ended>, Failed> {
    let by = (oidc.issuer(), person.subject.as_str());
    let known = db::account::linked(conn, by.0, by.1).await?;
    if let Some(account) = &known
        && account.disabled
    {
        let why = format!("The account {} is disabled on this server.", account.name);
        let mut ended = Ended::new(StatusCode::FORBIDDEN, why);
        ended.who = Some(account.name.clone());
        return Ok(Err(ended));
    }
    if let Some(account) = &known
        && oidc.maps_roles()
    {
        let role = person.role.unwrap_or(Role::Viewer);
        if account.role != role.as_str() {
            let detail = json!({ "account": account.name, "role": role, "with": by.0 });
            db::account::update(conn, &account.name, Some(role.as_str()), None, None).await?;
            let who = &account.name;
            db::audit(conn, who, "account changed", None, None, detail).await?;
        }
    }
    let Some(role) = person.role else {
        let why = format!(
            "{} knows you, but as a member of no group that may use this server: whoever runs it can change that.",
            oidc.name()
        );
        let mut ended = Ended::new(StatusCode::FORBIDDEN, why);
        if let Some(account) = known {
            db::account::sign_out_everywhere(conn, &account.name).await?;
            ended.who = Some(account.name);
        }
        return Ok(Err(ended));
    };
    if let Some(account) = known {
        return Ok(Ok((account.id, account.name)));
    }
    for name in &person.names {
        if db::account::link(conn, name, role.as_str(), by).await? {
            let detail = json!({ "account": name, "role": role, "with": by.0 });
            db::audit(conn, name, "account made", None, None, detail).await?;
            break;
        }
    }
    // Another browser of the same person may have been faster.
    let made = db::account::linked(conn, by.0, by.1).await?;
    let made = made.ok_or_else(|| {
        Failed::Ours(AppError::Internal(
            "no name is left for an account of the identity provider".to_owned(),
        ))
    })?;
    Ok(Ok((made.id, made.name)))
}
