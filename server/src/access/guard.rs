//! What stands before each handler: finds out who calls, and lets pass or refuses.
//!
//! What somebody may not see is refused in the very words of what does not exist.

use axum::Form;
use axum::body::{Body, to_bytes};
use axum::extract::{FromRequest, RawPathParams, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Redirect, Response};
use firstbad_api::limits;
use serde::Deserialize;

use super::{Access, Address, Object, Principal, Role, costly};
use crate::db;
use crate::db::sight::{self, Sight};
use crate::error::AppError;
use crate::state::App;
use crate::web::PageError;

/// Where a program puts the token of a session's forms.
const FORM_TOKEN: &str = "x-form-token";

/// To whom a route answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Surface {
    /// People: refusals are pages.
    Page,
    /// Programs: refusals are problems in JSON.
    Program,
}

/// What a route asks for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rule {
    pub access: Access,
    pub object: Object,
    pub surface: Surface,
    /// It takes the server some work.
    pub costly: bool,
}

tokio::task_local! {
    /// Of the request that is being answered.
    static CURRENT: Current;
}

/// Who is asking, and for what; templates show it.
#[derive(Debug, Clone)]
pub struct Current {
    pub principal: Principal,
    /// Path and query of the page.
    pub at: String,
    /// It was asked for by GET, so that it can be loaded again.
    pub reads: bool,
}

/// Who makes the request that is being answered; nobody, outside of one.
pub(crate) fn current() -> Current {
    let nobody = Current {
        principal: Principal::Anonymous,
        at: "/".to_owned(),
        reads: false,
    };
    CURRENT.try_with(Clone::clone).unwrap_or(nobody)
}

/// What a form of a page carries besides its own fields.
#[derive(Deserialize)]
struct Carried {
    #[serde(default)]
    form_token: String,
}

/// Why a request does not pass.
enum Stop {
    /// It may pass when signed in.
    SignIn,
    Refused(AppError),
}

impl From<AppError> for Stop {
    fn from(error: AppError) -> Stop {
        Stop::Refused(error)
    }
}

impl From<sqlx::Error> for Stop {
    fn from(error: sqlx::Error) -> Stop {
        Stop::Refused(error.into())
    }
}

pub(super) async fn guard(
    State((app, rule)): State<(App, Rule)>,
    params: RawPathParams,
    request: Request,
    next: Next,
) -> Response {
    let at = request.uri().path_and_query();
    let at = at.map_or_else(|| "/".to_owned(), ToString::to_string);
    let reads = is_safe(request.method());
    let found = match rule.access {
        // A token that is none of ours must not keep anyone from signing in.
        Access::Open => Ok(Principal::of(&app, request.headers())
            .await
            .unwrap_or(Principal::Anonymous)),
        _ => Principal::of(&app, request.headers()).await,
    };
    let principal = match found {
        Ok(principal) => principal,
        Err(error) => {
            let current = Current {
                principal: Principal::Anonymous,
                at: at.clone(),
                reads,
            };
            let refused = async { refuse(rule.surface, Stop::Refused(error), &at, reads) };
            return CURRENT.scope(current, refused).await;
        }
    };
    let current = Current {
        principal: principal.clone(),
        at: at.clone(),
        reads,
    };
    let answered = async {
        match admit(&app, rule, &principal, &params, request).await {
            Ok(mut request) => {
                let stranger = principal == Principal::Anonymous;
                let address = Address::of(&app.gate, request.headers(), request.extensions());
                request.extensions_mut().insert(principal);
                let _place = match rule.costly && stranger {
                    false => None,
                    true => match app.gate.costly.enter(address).await {
                        Ok(place) => Some(place),
                        Err(status) => return costly::later(rule.surface, status),
                    },
                };
                next.run(request).await
            }
            Err(stop) => refuse(rule.surface, stop, &at, reads),
        }
    };
    CURRENT.scope(current, answered).await
}

fn is_safe(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD)
}

async fn admit(
    app: &App,
    rule: Rule,
    principal: &Principal,
    params: &RawPathParams,
    request: Request,
) -> Result<Request, Stop> {
    // For the record; a read is not worth one.
    let write = (!is_safe(request.method()))
        .then(|| format!("{} {}", request.method(), request.uri().path()));
    if !role_allows(rule.access, principal, app.gate.private) {
        if *principal == Principal::Anonymous {
            return Err(Stop::SignIn);
        }
        return Err(denied(app, principal, write, "its role does not allow that").await);
    }
    let request = match &write {
        None => request,
        Some(_) => ours(app, rule, principal, request).await?,
    };
    if rule.object != Object::None {
        let named = Named::of(rule.object, params, request.uri());
        let owner = visible(app, rule.access, principal, named).await?;
        if rule.access == Access::Own && !principal.may_act_on(&owner) {
            return Err(denied(app, principal, write, "it belongs to somebody else").await);
        }
    }
    Ok(request)
}

/// Whether somebody with this role may use such a route at all.
fn role_allows(access: Access, principal: &Principal, private: bool) -> bool {
    let works = matches!(principal, Principal::Worker { .. });
    let reads = !private || principal.role().is_some();
    match access {
        Access::Open => true,
        Access::Read => reads,
        Access::Fetch => works || reads,
        Access::Mirror => works || principal.may(Role::Operator),
        Access::Submit | Access::Own => principal.may(Role::Submitter),
        Access::Operate => principal.may(Role::Operator),
        Access::Administer => principal.may(Role::Admin),
        Access::Work => works,
        Access::SignedIn => matches!(principal, Principal::User { .. }),
    }
}

/// Lets a write pass that no other site made a browser send.
async fn ours(
    app: &App,
    rule: Rule,
    principal: &Principal,
    request: Request,
) -> Result<Request, Stop> {
    let form_token = match principal {
        // No browser adds these by itself.
        Principal::Token { .. } | Principal::Worker { .. } => return Ok(request),
        Principal::User { form_token, .. } => Some(form_token),
        // Who has nothing is no use to other sites, but they could sign somebody in.
        Principal::Anonymous if rule.surface == Surface::Program => return Ok(request),
        Principal::Anonymous => None,
    };
    let form_token = match rule.access {
        // Whoever signs in anew may have loaded the form before.
        Access::Open => None,
        _ => form_token,
    };
    let foreign =
        |why: &str| Stop::Refused(AppError::refused(StatusCode::FORBIDDEN, "foreign", "", why));
    if !app.gate.same_origin(request.headers()) {
        return Err(foreign(
            "this was not sent by a page of this server; load the page again and send it from there",
        ));
    }
    let Some(expected) = form_token else {
        return Ok(request);
    };
    let (request, carried) = match rule.surface {
        Surface::Page => carried(request).await?,
        Surface::Program => {
            let sent = header_text(request.headers(), FORM_TOKEN).to_owned();
            (request, sent)
        }
    };
    match super::principal::same(carried.as_bytes(), expected.as_bytes()) {
        true => Ok(request),
        false => Err(foreign(
            "the form is from another session; load the page again and send it from there",
        )),
    }
}

fn header_text<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    let value = headers.get(name).and_then(|v| v.to_str().ok());
    value.unwrap_or_default()
}

/// Reads the token out of a form, and puts the form back.
async fn carried(request: Request) -> Result<(Request, String), Stop> {
    let (parts, body) = request.into_parts();
    let bytes = to_bytes(body, limits::LONG_FORM_BYTES).await.map_err(|_| {
        let why = format!("a form has at most {} bytes", limits::LONG_FORM_BYTES);
        AppError::refused(StatusCode::PAYLOAD_TOO_LARGE, "too-large", "", why)
    })?;
    let copy = Request::from_parts(parts.clone(), Body::from(bytes.clone()));
    let sent = Form::<Carried>::from_request(copy, &()).await;
    let sent = sent.map(|Form(c)| c.form_token).unwrap_or_default();
    Ok((Request::from_parts(parts, Body::from(bytes)), sent))
}

/// What a request is about.
enum Named {
    Nothing,
    /// A job, an attempt, a survey or a regression, and its number as it was written.
    Numbered(Object, String),
    Artefact(String),
}

impl Named {
    fn of(object: Object, params: &RawPathParams, uri: &Uri) -> Named {
        let param = |key: &str| {
            let found = params.iter().find(|(k, _)| *k == key);
            found.map_or_else(String::new, |(_, v)| v.to_owned())
        };
        match object {
            Object::None => Named::Nothing,
            Object::Artefact => Named::Artefact(param("sha256")),
            Object::Followed => match crate::web::followed(uri) {
                Some((object, id)) => Named::Numbered(object, id.to_string()),
                None => Named::Nothing,
            },
            Object::Job | Object::Attempt | Object::Survey | Object::Regression => {
                Named::Numbered(object, param("id"))
            }
        }
    }
}

/// The owner of what a request is about; of an attempt or an artefact there is none.
async fn visible(
    app: &App,
    access: Access,
    principal: &Principal,
    named: Named,
) -> Result<String, Stop> {
    let sight = match (access, principal) {
        (Access::Fetch, Principal::Worker { .. }) => Sight::All,
        _ => principal.sight(),
    };
    let (object, written) = match named {
        Named::Nothing => return Ok(String::new()),
        Named::Artefact(sha256) => {
            let mut conn = app.pool.acquire().await?;
            let seen = sight::artefact(&mut conn, &sight, &sha256).await?;
            let missing = || AppError::not_found("there is no such artefact");
            return Ok(seen.then(String::new).ok_or_else(missing)?);
        }
        Named::Numbered(object, written) => (object, written),
    };
    let what = match object {
        Object::Attempt => "attempt",
        Object::Survey => "survey",
        Object::Regression => "regression",
        _ => "job",
    };
    let missing = || AppError::not_found(format!("there is no {what} {written}"));
    let id = written.parse::<i64>().map_err(|_| missing())?;
    let mut conn = app.pool.acquire().await?;
    let found = match object {
        Object::Attempt => {
            let seen = sight::attempt(&mut conn, &sight, id).await?;
            seen.then(String::new)
        }
        Object::Survey => sight::survey(&mut conn, &sight, id).await?,
        Object::Regression => sight::regression(&mut conn, &sight, id).await?,
        _ => sight::job(&mut conn, &sight, id).await?,
    };
    Ok(found.ok_or_else(missing)?)
}

/// A refusal of somebody known; of a write it is noted.
async fn denied(app: &App, principal: &Principal, write: Option<String>, why: &str) -> Stop {
    let who = principal.name();
    if let Some(asked) = write
        && let Ok(mut conn) = app.pool.acquire().await
    {
        let detail = serde_json::json!({ "asked": asked, "why": why });
        if let Err(error) = db::audit(&mut conn, who, "refused", None, None, detail).await {
            tracing::warn!(%error, "could not record a refusal");
        }
    }
    let kind = match principal {
        Principal::User { .. } => "the account",
        _ => "the token",
    };
    let why = format!("{kind} {who} may not do this: {why}");
    Stop::Refused(AppError::refused(
        StatusCode::FORBIDDEN,
        "forbidden",
        "",
        why,
    ))
}

fn refuse(surface: Surface, stop: Stop, at: &str, reads: bool) -> Response {
    match (surface, stop) {
        (Surface::Page, Stop::SignIn) => {
            let back = if reads { at } else { "/" };
            Redirect::to(&crate::web::sign_in_at(back)).into_response()
        }
        (Surface::Page, Stop::Refused(error)) => PageError::from(error).into_response(),
        (Surface::Program, Stop::SignIn) => {
            let why = "this request needs a token: send `Authorization: Bearer fb_…`";
            let error = AppError::refused(StatusCode::UNAUTHORIZED, "unauthorised", "", why);
            let mut response = error.into_response();
            let bearer = HeaderValue::from_static("Bearer");
            response
                .headers_mut()
                .insert(header::WWW_AUTHENTICATE, bearer);
            response
        }
        (Surface::Program, Stop::Refused(error)) => error.into_response(),
    }
}
