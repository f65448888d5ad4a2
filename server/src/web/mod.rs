//! The pages: server-rendered HTML that works without JavaScript; with it they are live.
//!
//! Owns routes, templates, static files and what a page looks like. Reads only through
//! `crate::view`, and acts through `crate::api`; must not know SQL, git or how a verdict is derived.
//! Every text from a kernel or a user reaches a page through a template that escapes it.

mod action;
mod amend;
mod api;
pub(crate) mod assets;
mod attempt;
mod chart;
mod chip;
mod command;
mod culprit;
mod error;
mod feed;
mod format;
mod job;
mod jobs;
pub(crate) mod live;
mod log;
mod login;
mod metric;
mod new;
mod oidc;
mod place;
mod record;
mod regression;
mod rule;
mod strip;
mod survey;
mod tail;
mod token;
pub(crate) mod viewer;
mod visible;
mod webhook;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::{HeaderName, HeaderValue, header};
use axum::middleware::map_response;
use axum::response::Response;
use firstbad_api::limits;

use crate::access::Access::*;
use crate::access::{Object, Routes, Surface};
use crate::state::App;

pub use attempt::AttemptPage;
pub use chart::Landmark;
pub(crate) use error::PageError;
pub use error::{ErrorPage, not_found};
pub use job::JobPage;
pub use jobs::JobsPage;
pub(crate) use live::followed;
pub use log::{LogPage, Window};
pub(crate) use login::sign_in_at;
pub use place::{HelpPage, TreePage, TreesPage, WorkersPage};
pub use record::Entry;
pub use visible::page as visible;

/// No script but ours, no frame, nothing from elsewhere.
const POLICY: &str = "default-src 'none'; script-src 'self'; connect-src 'self'; style-src 'self'; \
                      img-src 'self' data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// Version in the footer.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// All pages. It sets no fallback ([`not_found`] is one).
pub fn routes(app: &App) -> Routes {
    let pages = Routes::new(app, Surface::Page, "")
        .get("/", Read, Object::None, jobs::list)
        .get("/jobs", Read, Object::None, jobs::list)
        .get("/jobs.atom", Read, Object::None, feed::jobs)
        .get("/jobs/new", Read, Object::None, new::show)
        .get("/jobs/{id}", Read, Object::Job, job::show)
        .get("/jobs/{id}/tail", Read, Object::Job, tail::show)
        .get("/jobs/{id}/culprit", Read, Object::Job, culprit::show)
        .get("/jobs/{id}/metric", Read, Object::Job, metric::show)
        .get("/jobs/{id}/report", Read, Object::Job, job::report)
        .get("/jobs/{id}/bisect-log", Read, Object::Job, job::bisect_log)
        .get("/attempts/{id}", Read, Object::Attempt, attempt::show)
        .get(
            "/attempts/{id}/log/{name}",
            Read,
            Object::Attempt,
            log::show,
        )
        .get(
            "/attempts/{id}/log/{name}/raw",
            Read,
            Object::Attempt,
            log::raw,
        )
        .get("/surveys", Read, Object::None, survey::list)
        .get("/surveys/{id}", Read, Object::Survey, survey::show)
        .get("/trees", Read, Object::None, place::trees)
        .get("/trees/{name}", Read, Object::None, place::tree)
        .get("/workers", Read, Object::None, place::workers)
        .get("/audit", Operate, Object::None, record::show)
        .get("/tokens", Submit, Object::None, token::show)
        .get("/rules", Submit, Object::None, rule::list)
        .get("/rules/{id}", Submit, Object::None, rule::show)
        .get("/regressions", Read, Object::None, regression::list)
        .get(
            "/regressions/{id}",
            Read,
            Object::Regression,
            regression::show,
        )
        .get("/webhooks", Submit, Object::None, webhook::list)
        .get("/webhooks/{id}", Submit, Object::None, webhook::show)
        .get("/api", Read, Object::None, api::show)
        .get("/help", Read, Object::None, place::help)
        .get("/live", Read, Object::Followed, live::stream)
        .get("/static/{file}", Open, Object::None, assets::serve);
    let forms = pages
        .get("/login", Open, Object::None, login::show)
        .post("/login", Open, Object::None, login::sign_in)
        .get("/login/oidc", Open, Object::None, oidc::begin)
        .get(crate::oidc::CALLBACK, Open, Object::None, oidc::finish)
        .post("/workers/{id}/drain", Operate, Object::None, place::drain)
        .post(
            "/workers/{id}/undrain",
            Operate,
            Object::None,
            place::undrain,
        )
        .post("/tokens", Submit, Object::None, token::make)
        .post("/tokens/{id}/revoke", Submit, Object::None, token::revoke)
        .post("/rules", Submit, Object::None, rule::make)
        .post("/rules/{id}/change", Submit, Object::None, rule::change)
        .post("/rules/{id}/secret", Submit, Object::None, rule::renew)
        .post("/rules/{id}/trigger", Submit, Object::None, rule::trigger)
        .post("/rules/{id}/remove", Submit, Object::None, rule::remove)
        .post(
            "/trees/{name}/schedule",
            Operate,
            Object::None,
            rule::schedule,
        )
        .post(
            "/regressions/{id}/state",
            Own,
            Object::Regression,
            regression::set,
        )
        .post("/webhooks", Submit, Object::None, webhook::make)
        .post("/webhooks/{id}/test", Submit, Object::None, webhook::test)
        .post(
            "/webhooks/{id}/remove",
            Submit,
            Object::None,
            webhook::remove,
        )
        .post(
            "/deliveries/{id}/replay",
            Submit,
            Object::None,
            webhook::replay,
        )
        .post("/logout", SignedIn, Object::None, login::sign_out)
        .get("/jobs/{id}/act", Own, Object::Job, action::show)
        .post("/jobs/{id}/cancel", Own, Object::Job, action::cancel)
        .post("/jobs/{id}/retract", Own, Object::Job, amend::retract)
        .post("/jobs/{id}/unretract", Own, Object::Job, amend::unretract)
        .post("/jobs/{id}/marks", Own, Object::Job, action::mark)
        .post("/jobs/{id}/unmark", Own, Object::Job, action::unmark)
        .post(
            "/surveys/{id}/bisect",
            Submit,
            Object::Survey,
            action::bisect,
        );
    let long = Routes::new(app, Surface::Page, "")
        .post("/jobs/new", Read, Object::None, new::ask)
        .post("/jobs", Submit, Object::None, new::submit)
        .post("/jobs/{id}/amend", Own, Object::Job, amend::amend);
    let at_most =
        |bytes: usize| move |router: Router<App>| router.layer(DefaultBodyLimit::max(bytes));
    forms
        .wrapped(at_most(limits::FORM_BYTES))
        .merge(long.wrapped(at_most(limits::LONG_FORM_BYTES)))
        .wrapped(|router| router.layer(map_response(guard)))
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
        .or_insert(HeaderValue::from_static("private, no-cache"));
    response
}
