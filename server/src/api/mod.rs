//! JSON for programs. Handlers are split by who calls: users (`trees`, `histories`,
//! `jobs`, `campaigns`, `exports`, `amend`, `surveys`, `marks`, `workers`, `users`, `tokens`, `webhooks`, `reads`) and workers (`leases`, `uploads`).

pub(crate) mod amend;
mod campaigns;
mod config;
mod exports;
mod fstests;
pub(crate) mod histories;
mod hooks;
pub(crate) mod jobs;
mod known;
mod leases;
pub(crate) mod marks;
pub mod openapi;
pub(crate) mod ranges;
mod reads;
pub(crate) mod regressions;
pub(crate) mod rules;
mod sent;
mod suite;
pub(crate) mod surveys;
mod terms;
pub(crate) mod tokens;
pub(crate) mod trees;
mod uploads;
mod users;
mod validators;
pub(crate) mod webhooks;
pub(crate) mod workers;

use axum::extract::DefaultBodyLimit;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use firstbad_api::limits;

use crate::access::Access::*;
use crate::access::{Object, Routes, Surface};
use crate::error::AppError;
use crate::state::App;
use crate::web::live;

/// Longest text of a refusal that is passed on, bytes.
const REFUSAL_BYTES: usize = 64 << 10;
/// How the framework begins to say which field of a body is wrong.
const WRONG_FIELD: &str = "Failed to deserialize the JSON body into the target type: ";

/// Every JSON route.
pub fn routes(app: &App) -> Routes {
    let json = users(reads(work(Routes::new(app, Surface::Program, "/api/v1"))));
    let json = json
        .post("/trees", Operate, Object::None, trees::create)
        .delete("/trees/{name}", Operate, Object::None, trees::remove)
        .post("/trees/{name}/fetch", Operate, Object::None, trees::fetch)
        .post(
            "/trees/{name}/series",
            Submit,
            Object::None,
            histories::series,
        )
        .post(
            "/trees/{name}/configs",
            Submit,
            Object::None,
            histories::configs,
        )
        .put(
            "/trees/{name}/schedule",
            Operate,
            Object::None,
            rules::schedule,
        )
        .post("/rules", Submit, Object::None, rules::create)
        .patch("/rules/{id}", Submit, Object::None, rules::change)
        .delete("/rules/{id}", Submit, Object::None, rules::remove)
        .post("/rules/{id}/secret", Submit, Object::None, rules::renew)
        .post("/triggers/{id}", Submit, Object::None, rules::trigger)
        .post(
            "/regressions/{id}/state",
            Own,
            Object::Regression,
            regressions::set_state,
        )
        .post("/jobs", Submit, Object::None, jobs::create)
        .post("/campaigns", Submit, Object::None, campaigns::create)
        .post("/jobs/preview", Read, Object::None, jobs::preview)
        .post("/jobs/{id}/cancel", Own, Object::Job, jobs::cancel)
        .post("/jobs/{id}/amend", Own, Object::Job, amend::amend)
        .post("/jobs/{id}/retract", Own, Object::Job, amend::retract)
        .delete("/jobs/{id}/retract", Own, Object::Job, amend::unretract)
        .post("/jobs/{id}/marks", Own, Object::Job, marks::create)
        .delete("/jobs/{id}/marks/{rev}", Own, Object::Job, marks::undo)
        .post("/workers/{id}/drain", Operate, Object::None, workers::drain)
        .delete(
            "/workers/{id}/drain",
            Operate,
            Object::None,
            workers::undrain,
        )
        .post("/surveys", Submit, Object::None, surveys::create)
        .post("/surveys/{id}/releases", Own, Object::Survey, surveys::more)
        .post(
            "/surveys/{id}/bisect",
            Submit,
            Object::Survey,
            surveys::bisect,
        );
    // More than the patches in it may have, so that who sends more is told which field it is.
    let most = limits::PATCH_BYTES * 2 + limits::JSON_BODY_BYTES;
    let json = json.wrapped(|router| router.layer(DefaultBodyLimit::max(most)));
    let routes = json.merge(uploads(app)).merge(hooks(app));
    routes.wrapped(|router| {
        router
            .layer(axum::middleware::map_response(as_problem))
            .layer(axum::middleware::from_fn(validators::answer))
    })
}

fn reads(routes: Routes) -> Routes {
    routes
        .get("/openapi.json", Open, Object::None, openapi::show)
        .get("/trees", Read, Object::None, trees::list)
        .get("/trees/{name}/resolve", Read, Object::None, trees::resolve)
        .get("/jobs", Read, Object::None, reads::jobs)
        .get("/jobs/{id}", Read, Object::Job, reads::job)
        .get("/jobs/{id}/audit", Read, Object::Job, amend::of_job)
        .get("/jobs/{id}/known", Read, Object::Job, known::show)
        .get("/jobs/{id}/report", Read, Object::Job, reads::report)
        .get("/jobs/{id}/report.eml", Read, Object::Job, reads::eml)
        .get("/jobs/{id}/mail", Read, Object::Job, reads::mail)
        .get("/patches", Read, Object::None, exports::patches)
        .get("/jobs/{id}/kcidb", Read, Object::Job, exports::kcidb)
        .get("/jobs/{id}/junit", Read, Object::Job, exports::junit)
        .get(
            "/jobs/{id}/bisect-log",
            Read,
            Object::Job,
            reads::bisect_log,
        )
        .get("/jobs/{id}/metric", Read, Object::Job, reads::metric)
        .get(
            "/jobs/{id}/metric/csv",
            Read,
            Object::Job,
            reads::metric_csv,
        )
        .get("/regressions", Read, Object::None, regressions::list)
        .get(
            "/regressions/{id}",
            Read,
            Object::Regression,
            regressions::show,
        )
        .get("/surveys", Read, Object::None, surveys::list)
        .get("/surveys/{id}", Read, Object::Survey, surveys::show)
        .get("/surveys/{id}/csv", Read, Object::Survey, surveys::csv)
        .get("/attempts/{id}", Read, Object::Attempt, reads::attempt)
        .get(
            "/attempts/{id}/reproduce.tar",
            Read,
            Object::Attempt,
            exports::reproduce,
        )
        .get(
            "/attempts/{id}/log/{name}",
            Read,
            Object::Attempt,
            reads::log,
        )
        .get(
            "/artefacts/{sha256}",
            Fetch,
            Object::Artefact,
            reads::artefact,
        )
        .get("/workers", Read, Object::None, reads::workers)
        .get("/live", Read, Object::Followed, live::stream)
}

fn users(routes: Routes) -> Routes {
    let routes = routes
        .get("/webhooks", Submit, Object::None, webhooks::list)
        .post("/webhooks", Submit, Object::None, webhooks::create)
        .delete("/webhooks/{id}", Submit, Object::None, webhooks::remove)
        .post("/webhooks/{id}/test", Submit, Object::None, webhooks::test)
        .get(
            "/webhooks/{id}/deliveries",
            Submit,
            Object::None,
            webhooks::deliveries,
        )
        .post(
            "/deliveries/{id}/replay",
            Submit,
            Object::None,
            webhooks::replay,
        );
    routes
        .get("/rules", Submit, Object::None, rules::list)
        .get("/rules/{id}/heads", Submit, Object::None, rules::heads)
        .get("/tokens", Submit, Object::None, tokens::list)
        .post("/tokens", Submit, Object::None, tokens::create)
        .delete("/tokens/{id}", Submit, Object::None, tokens::revoke)
        .get("/users", Administer, Object::None, users::list)
        .post("/users", Administer, Object::None, users::create)
        .patch("/users/{name}", Administer, Object::None, users::change)
}

fn work(routes: Routes) -> Routes {
    routes
        .post("/workers", Work, Object::None, leases::register)
        .post("/leases", Work, Object::None, leases::lease)
        .post("/attempts/renew", Work, Object::None, leases::renew)
        .post("/attempts/stage", Work, Object::None, leases::stage)
        .post("/attempts/finish", Work, Object::None, leases::finish)
}

/// What services tell: their signature says who they are.
fn hooks(app: &App) -> Routes {
    let routes = Routes::new(app, Surface::Program, "/api/v1")
        .post("/hooks/github/{id}", Open, Object::None, hooks::github)
        .post("/hooks/gitlab/{id}", Open, Object::None, hooks::gitlab)
        .post("/hooks/forgejo/{id}", Open, Object::None, hooks::forgejo);
    routes.wrapped(|router| router.layer(DefaultBodyLimit::max(limits::HOOK_BYTES)))
}

fn uploads(app: &App) -> Routes {
    let routes = || Routes::new(app, Surface::Program, "/api/v1");
    let chunks = routes().put("/attempts/log", Work, Object::None, uploads::log);
    let files = routes().put("/attempts/artefact", Work, Object::None, uploads::artefact);
    chunks
        .wrapped(|router| router.layer(DefaultBodyLimit::max(limits::CHUNK_BYTES)))
        .merge(files.wrapped(|router| router.layer(DefaultBodyLimit::disable())))
}

/// Refusals of the framework (a body of another shape, an unknown method) in the form of all others.
async fn as_problem(response: Response) -> Response {
    let status = response.status();
    let ours = response
        .headers()
        .get(header::CONTENT_TYPE)
        .is_some_and(|kind| kind == firstbad_api::problem::CONTENT_TYPE);
    if ours || !status.is_client_error() {
        return response;
    }
    let said = axum::body::to_bytes(response.into_body(), REFUSAL_BYTES).await;
    let said = String::from_utf8_lossy(&said.unwrap_or_default()).into_owned();
    let (kind, why) = match status {
        StatusCode::NOT_FOUND => ("not-found", "there is nothing at this address"),
        StatusCode::METHOD_NOT_ALLOWED => ("method-not-allowed", "this address has other methods"),
        StatusCode::PAYLOAD_TOO_LARGE => ("too-large", "the body is longer than allowed"),
        _ => (
            "bad-request",
            "the request has another shape than this address wants",
        ),
    };
    let detail = match said.is_empty() {
        true => why.to_owned(),
        false => format!("{why}: {said}"),
    };
    AppError::refused(status, kind, &pointer(&said), detail).into_response()
}

/// `signal.threshold: invalid type …` → `/signal/threshold`.
fn pointer(said: &str) -> String {
    let field = said
        .strip_prefix(WRONG_FIELD)
        .and_then(|rest| rest.split_once(": "))
        .map(|(path, _)| path)
        .filter(|path| !path.contains(' '));
    match field {
        Some(path) => format!(
            "/{}",
            path.replace("[", "/").replace(']', "").replace('.', "/")
        ),
        None => String::new(),
    }
}
