//! What is known of the commit that a job named.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use firstbad_api::job::Outcome;
use firstbad_api::known::Known;

use crate::error::AppError;
use crate::state::App;
use crate::{db, known};

/// `GET /jobs/{id}/known`.
pub async fn show(State(app): State<App>, Path(id): Path<i64>) -> Result<Json<Known>, AppError> {
    let missing = || AppError::not_found(format!("there is no job {id}"));
    let job = db::job::find(&mut *app.pool.acquire().await?, id).await?;
    let job = job.ok_or_else(missing)?;
    let Some(Outcome::Culprit { rev, .. }) = job.outcome.as_deref() else {
        return Err(AppError::refused(
            StatusCode::NOT_FOUND,
            "no-culprit",
            "/id",
            format!("id: job {id} has named no commit"),
        ));
    };
    Ok(Json(known::of(&app, &job.tree, rev).await?))
}
