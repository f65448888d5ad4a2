//! JSON for programs. Handlers are split by who calls: users (`trees`, `histories`,
//! `jobs`, `surveys`, `marks`, `reads`) and workers (`leases`, `uploads`).

mod auth;
mod config;
mod fstests;
mod histories;
pub(crate) mod jobs;
mod leases;
mod marks;
pub(crate) mod ranges;
mod reads;
mod suite;
pub(crate) mod surveys;
mod trees;
mod uploads;

pub use auth::{make_token, put_token};

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use firstbad_api::limits;

use crate::error::AppError;
use crate::state::App;

/// Longest text of a refusal that is passed on, bytes.
const REFUSAL_BYTES: usize = 64 << 10;
/// How the framework begins to say which field of a body is wrong.
const WRONG_FIELD: &str = "Failed to deserialize the JSON body into the target type: ";

/// Every JSON route.
pub fn router(app: &App) -> Router<App> {
    let json = Router::new()
        .route("/trees", get(trees::list).post(trees::create))
        .route("/trees/{name}", axum::routing::delete(trees::remove))
        .route("/trees/{name}/fetch", post(trees::fetch))
        .route("/trees/{name}/resolve", get(trees::resolve))
        .route("/trees/{name}/series", post(histories::series))
        .route("/trees/{name}/configs", post(histories::configs))
        .route("/jobs", get(reads::jobs).post(jobs::create))
        .route("/jobs/preview", post(jobs::preview))
        .route("/jobs/{id}", get(reads::job))
        .route("/jobs/{id}/cancel", post(jobs::cancel))
        .route("/jobs/{id}/marks", post(marks::create))
        .route("/jobs/{id}/marks/{rev}", axum::routing::delete(marks::undo))
        .route("/jobs/{id}/report", get(reads::report))
        .route("/jobs/{id}/bisect-log", get(reads::bisect_log))
        .route("/surveys", get(surveys::list).post(surveys::create))
        .route("/surveys/{id}", get(surveys::show))
        .route("/surveys/{id}/csv", get(surveys::csv))
        .route("/surveys/{id}/releases", post(surveys::more))
        .route("/surveys/{id}/bisect", post(surveys::bisect))
        .route("/attempts/{id}", get(reads::attempt))
        .route("/attempts/{id}/log/{name}", get(reads::log))
        .route("/artefacts/{sha256}", get(reads::artefact))
        .route("/workers", get(reads::workers).post(leases::register))
        .route("/leases", post(leases::lease))
        .route("/attempts/renew", post(leases::renew))
        .route("/attempts/stage", post(leases::stage))
        .route("/attempts/finish", post(leases::finish))
        .layer(DefaultBodyLimit::max(
            limits::PATCH_BYTES + limits::JSON_BODY_BYTES,
        ));
    let bytes = Router::new()
        .route("/attempts/log", put(uploads::log))
        .layer(DefaultBodyLimit::max(limits::CHUNK_BYTES))
        .merge(
            Router::new()
                .route("/attempts/artefact", put(uploads::artefact))
                .layer(DefaultBodyLimit::disable()),
        );
    Router::new().nest(
        "/api/v1",
        json.merge(bytes)
            .route_layer(axum::middleware::from_fn_with_state(
                app.clone(),
                auth::require,
            ))
            .layer(axum::middleware::map_response(as_problem)),
    )
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
