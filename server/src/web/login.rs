//! Signing in and out.

use askama::Template;
use axum::Form;
use axum::extract::{Query, State};
use axum::http::{Extensions, HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use firstbad_api::limits;
use serde::Deserialize;
use serde_json::Value;
use sha2::{Digest, Sha256};
use sqlx::PgConnection;

use super::error::{Page, PageError, page};
use crate::access::{self, Address, Cookie, Principal, Tried};
use crate::db;
use crate::error::AppError;
use crate::state::App;

/// `login.html`.
#[derive(Template)]
#[template(path = "login.html")]
pub struct LoginPage {
    /// Where to go afterwards.
    next: String,
    name: String,
    /// Why the last try failed.
    wrong: Option<String>,
    /// A password may be sent to this address.
    possible: bool,
    /// What people call the identity provider, if there is one, and the way there.
    provider: Option<(String, String)>,
    /// There is nothing to see before.
    private: bool,
}

#[derive(Deserialize)]
pub struct Next {
    #[serde(default)]
    pub(super) next: String,
}

/// What the form sends.
#[derive(Deserialize)]
pub struct Given {
    name: String,
    password: String,
    #[serde(default)]
    next: String,
}

/// Address of the form that leads back to a page.
pub(crate) fn sign_in_at(back: &str) -> String {
    leading_back("/login", back)
}

fn leading_back(path: &str, back: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"/-_.~".contains(&b);
    let coded = back.bytes().map(|b| match plain(b) {
        true => char::from(b).to_string(),
        false => format!("%{b:02X}"),
    });
    match back == "/" || back.starts_with("/login") {
        true => path.to_owned(),
        false => format!("{path}?next={}", coded.collect::<String>()),
    }
}

/// A page of ours, or the first one.
pub(super) fn ours(next: &str) -> &str {
    let clean = next.bytes().all(|b| b.is_ascii_graphic() && b != b'\\');
    match clean && next.starts_with('/') && !next.starts_with("//") {
        true => next,
        false => "/",
    }
}

fn form(app: &App, next: &str, name: &str, wrong: Option<&str>) -> LoginPage {
    let next = ours(next);
    let provider = app.oidc.as_deref().map(|oidc| {
        let way = leading_back("/login/oidc", next);
        (oidc.name().to_owned(), way)
    });
    LoginPage {
        next: next.to_owned(),
        name: name.to_owned(),
        wrong: wrong.map(str::to_owned),
        provider,
        possible: app.gate.signs_in(),
        private: app.gate.private,
    }
}

/// `GET /login`.
pub(super) async fn show(State(app): State<App>, Query(query): Query<Next>) -> Page {
    page(&form(&app, &query.next, "", None))
}

/// `POST /login`: a new session; one that there was ends.
pub(super) async fn sign_in(
    State(app): State<App>,
    headers: HeaderMap,
    extensions: Extensions,
    Form(given): Form<Given>,
) -> Page {
    by_tls(&app)?;
    let address = Address::of(&app.gate, &headers, &extensions);
    let name = given.name.trim().to_lowercase();
    if given.password.chars().count() > limits::PASSWORD_CHARS.1 || name.len() > 100 {
        return again(
            &app,
            &given.next,
            &given.name,
            StatusCode::UNAUTHORIZED,
            WRONG,
        );
    }
    let tried = access::sign_in(&app, address, &name, given.password.clone()).await?;
    let mut conn = app.pool.acquire().await.map_err(AppError::from)?;
    let detail = serde_json::json!({ "from": address.to_string() });
    let account = match tried {
        Tried::In(id, name) => (id, name),
        Tried::TooOften => {
            let status = StatusCode::TOO_MANY_REQUESTS;
            return again(&app, &given.next, &given.name, status, TOO_OFTEN);
        }
        Tried::Wrong => {
            // What was typed may be a password: only a name that exists is written down.
            let known = db::account::find(&mut conn, &name).await;
            let known = known.map_err(AppError::from)?.map(|a| a.name);
            let who = known.as_deref().unwrap_or("unknown");
            let noted = db::audit(&mut conn, who, "sign-in refused", None, None, detail).await;
            noted.map_err(AppError::from)?;
            let status = StatusCode::UNAUTHORIZED;
            return again(&app, &given.next, &given.name, status, WRONG);
        }
    };
    let began = begin_session(&app, &mut conn, &headers, &account, detail).await;
    let cookie = [(header::SET_COOKIE, began.map_err(AppError::from)?)];
    Ok((cookie, Redirect::to(ours(&given.next))).into_response())
}

/// A new session of an account, given by id and name; one that the browser had ends. Returns the
/// `Set-Cookie` of it.
pub(super) async fn begin_session(
    app: &App,
    conn: &mut PgConnection,
    headers: &HeaderMap,
    (account, name): &(i64, String),
    detail: Value,
) -> sqlx::Result<String> {
    let secret = access::new_session();
    if let Some(old) = access::of_request(&app.gate, headers, Cookie::Session) {
        db::account::sign_out(conn, &Sha256::digest(old)).await?;
    }
    let times = (limits::SESSION_IDLE_S, limits::SESSION_S);
    db::account::sign_in(conn, &Sha256::digest(&secret), *account, times).await?;
    db::audit(conn, name, "signed in", None, None, detail).await?;
    Ok(access::cookie_of(&app.gate, Cookie::Session, &secret))
}

/// Nobody signs in where others could read along.
pub(super) fn by_tls(app: &App) -> Result<(), AppError> {
    let why = "people sign in over https only: start the server with --url https://…";
    match app.gate.signs_in() {
        true => Ok(()),
        false => Err(AppError::refused(StatusCode::FORBIDDEN, "no-tls", "", why)),
    }
}

const WRONG: &str = "There is no such account, or the password is another one.";
pub(super) const TOO_OFTEN: &str = "Too many tries from this address: wait a minute.";

/// The form once more, and why.
pub(super) fn again(app: &App, next: &str, name: &str, status: StatusCode, why: &str) -> Page {
    let shown = page(&form(app, next, name, Some(why)))?;
    let mut response = (status, shown).into_response();
    if status == StatusCode::TOO_MANY_REQUESTS {
        let wait = axum::http::HeaderValue::from_static("60");
        response.headers_mut().insert(header::RETRY_AFTER, wait);
    }
    Ok(response)
}

/// `POST /logout`: the session is over here, whatever the browser keeps.
pub(super) async fn sign_out(
    State(app): State<App>,
    who: Principal,
    headers: HeaderMap,
) -> Result<Response, PageError> {
    let ended = async {
        let mut conn = app.pool.acquire().await?;
        if let Some(secret) = access::of_request(&app.gate, &headers, Cookie::Session) {
            db::account::sign_out(&mut conn, &Sha256::digest(secret)).await?;
        }
        let detail = serde_json::json!({});
        db::audit(&mut conn, who.name(), "signed out", None, None, detail).await
    };
    ended.await.map_err(AppError::from)?;
    let cookie = [(header::SET_COOKIE, access::over(&app.gate, Cookie::Session))];
    Ok((cookie, Redirect::to("/")).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_sent_elsewhere() {
        for (next, to) in [
            ("/jobs/7?x=1", "/jobs/7?x=1"),
            ("//evil.example", "/"),
            ("/\\evil.example", "/"),
            ("https://evil.example", "/"),
            ("/a\r\nSet-Cookie: x", "/"),
            ("", "/"),
        ] {
            assert_eq!(ours(next), to, "{next}");
        }
        assert_eq!(sign_in_at("/login?next=/jobs"), "/login");
        assert_eq!(sign_in_at("/?state=done"), "/login?next=/%3Fstate%3Ddone");
    }
}
