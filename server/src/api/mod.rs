//! JSON for programs. Handlers are split by who calls: users (`trees`, `jobs`,
//! `reads`) and workers (`leases`, `uploads`).

mod auth;
mod jobs;
mod leases;
mod reads;
mod trees;
mod uploads;

pub use auth::{make_token, put_token};

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::{get, post, put};
use firstbad_api::limits;

use crate::state::App;

/// Every JSON route.
pub fn router(app: &App) -> Router<App> {
    let json = Router::new()
        .route("/trees", get(trees::list).post(trees::create))
        .route("/trees/{name}", axum::routing::delete(trees::remove))
        .route("/trees/{name}/fetch", post(trees::fetch))
        .route("/trees/{name}/resolve", get(trees::resolve))
        .route("/jobs", get(reads::jobs).post(jobs::create))
        .route("/jobs/preview", post(jobs::preview))
        .route("/jobs/{id}", get(reads::job))
        .route("/jobs/{id}/cancel", post(jobs::cancel))
        .route("/jobs/{id}/report", get(reads::report))
        .route("/jobs/{id}/bisect-log", get(reads::bisect_log))
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
            )),
    )
}
