//! The pages: server-rendered HTML that works without JavaScript; with it they are live.
//!
//! Owns routes, templates, static files and what a page looks like. Reads only through
//! `crate::view`; must not know SQL, git or how a verdict is derived. Every text from a kernel or
//! a user reaches a page through a template that escapes it.

pub(crate) mod assets;
mod attempt;
mod chart;
mod chip;
mod command;
mod culprit;
mod error;
mod format;
mod job;
mod live;
mod log;
mod new;
mod place;
mod strip;
mod survey;

use axum::Router;
use axum::http::{HeaderName, HeaderValue, header};
use axum::middleware::map_response;
use axum::response::Response;
use axum::routing::get;

use crate::state::App;

pub use attempt::AttemptPage;
pub use chart::Landmark;
pub use error::{ErrorPage, not_found};
pub use job::{JobPage, JobsPage};
pub use log::{LogPage, Window};
pub use place::{HelpPage, TreePage, TreesPage, WorkersPage};

/// No script but ours, no frame, nothing from elsewhere.
const POLICY: &str = "default-src 'none'; script-src 'self'; connect-src 'self'; style-src 'self'; \
                      img-src 'self' data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// Version in the footer.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// All pages. Merge it beside the API; it sets no fallback ([`not_found`] is one).
pub fn router() -> Router<App> {
    Router::new()
        .route("/", get(job::list))
        .route("/jobs", get(job::list))
        .route("/jobs/new", get(new::show))
        .route("/jobs/{id}", get(job::show))
        .route("/jobs/{id}/culprit", get(culprit::show))
        .route("/jobs/{id}/report", get(job::report))
        .route("/jobs/{id}/bisect-log", get(job::bisect_log))
        .route("/attempts/{id}", get(attempt::show))
        .route("/attempts/{id}/log/{name}", get(log::show))
        .route("/attempts/{id}/log/{name}/raw", get(log::raw))
        .route("/surveys", get(survey::list))
        .route("/surveys/{id}", get(survey::show))
        .route("/trees", get(place::trees))
        .route("/trees/{name}", get(place::tree))
        .route("/workers", get(place::workers))
        .route("/help", get(place::help))
        .route("/live", get(live::stream))
        .route("/static/{file}", get(assets::serve))
        .layer(map_response(guard))
}

/// Sets the headers every page carries.
pub(crate) async fn guard(mut response: Response) -> Response {
    let fixed: [(HeaderName, &str); 4] = [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "same-origin"),
        (header::X_FRAME_OPTIONS, "DENY"),
    ];
    let headers = response.headers_mut();
    for (name, value) in fixed {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers
        .entry(header::CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-cache"));
    response
}
