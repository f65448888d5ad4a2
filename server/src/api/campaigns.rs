//! Campaigns of kci-bisect, taken as jobs: the same request again joins the first job.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use firstbad_api::campaign::{Campaign, NewCampaign};
use firstbad_api::job::NewJob;

use super::jobs;
use super::sent::Sent;
use crate::access::Principal;
use crate::campaign::{self, Refused};
use crate::db;
use crate::error::AppError;
use crate::state::App;

/// `POST /campaigns`.
pub async fn create(
    State(app): State<App>,
    who: Principal,
    Sent(new): Sent<NewCampaign>,
) -> Result<(StatusCode, Json<Campaign>), AppError> {
    let trees = db::tree::list(&mut *app.pool.acquire().await?).await?;
    let url = &new.source_tree.url;
    let tree = trees
        .iter()
        .find(|t| campaign::same_repository(&t.url, url));
    let Some(tree) = tree else {
        let why =
            "source_tree.url: no tree with this address is mirrored here; an operator can add it";
        return Err(AppError::bad("unknown-tree", "/source_tree/url", why));
    };
    let job = campaign::job(&new, &tree.name).map_err(refused)?;
    let job: NewJob =
        serde_json::from_value(job).map_err(|e| AppError::Internal(format!("campaign: {e}")))?;
    let key = format!("campaign {}", jobs::digest(&new)?);
    let submitted = jobs::submit(&app, &who, Some(&key), job).await;
    let (status, Json(made)) = submitted.map_err(renamed)?;
    Ok((
        status,
        Json(Campaign {
            campaign_ref: made.id.to_string(),
            created: made.created,
        }),
    ))
}

fn refused(refused: Refused) -> AppError {
    let field = refused.pointer.trim_start_matches('/').replace('/', ".");
    let why = format!("{field}: {}", refused.why);
    AppError::bad("not-understood", refused.pointer, why)
}

/// A refusal of the job, with the fields as the campaign has them.
fn renamed(error: AppError) -> AppError {
    let AppError::Problem(mut problem) = error else {
        return error;
    };
    let names = [
        ("/good", "/boundaries/good/commit"),
        ("/bad", "/boundaries/bad/commit"),
        ("/suite", "/scope/workload/name"),
        ("/cases", "/scope/workload/configuration"),
        ("/signal", "/expected_signal"),
        ("/config", "/scope/kernel_config"),
    ];
    let pointer = problem.pointer.as_deref().unwrap_or_default();
    let known = names.iter().find(|(ours, _)| pointer.starts_with(ours));
    if let Some((_, theirs)) = known {
        problem.pointer = Some((*theirs).to_owned());
    }
    AppError::Problem(problem)
}
