//! Forms that change how a job goes on, or take its result back. Must not know how a change is checked.

use axum::Form;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Redirect};
use firstbad_api::amend::Amend;
use serde::Deserialize;

use super::action::{ActPage, back_to};
use super::error::{Page, page_as};
use crate::access::Principal;
use crate::api::amend;
use crate::error::AppError;
use crate::state::App;

/// The fields, as they were written.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Written {
    pub good: String,
    pub bad: String,
    pub runs: String,
    /// Per cent.
    pub confidence: String,
    pub max_runs: String,
    pub fixup: String,
    pub retry: Option<String>,
    pub why: String,
}

impl Written {
    fn amend(&self) -> Result<Amend, AppError> {
        let some = |text: &str| Some(text.trim().to_owned()).filter(|t| !t.is_empty());
        let confidence: Option<f64> =
            number("confidence", self.confidence.trim_end_matches(['%', ' ']))?;
        Ok(Amend {
            good: self.good.split_whitespace().map(str::to_owned).collect(),
            bad: some(&self.bad),
            runs: number("runs", &self.runs)?,
            confidence: confidence.map(|percent| (percent * 1e4).round() / 1e6),
            max_runs: number("max_runs", &self.max_runs)?,
            fixups: some(&self.fixup)
                .map(|_| self.patch())
                .into_iter()
                .collect(),
            retry: self.retry.is_some(),
            why: self.why.trim().to_owned(),
        })
    }

    /// The patch with the line ends it had before a browser sent it.
    fn patch(&self) -> String {
        let mut patch = self.fixup.replace("\r\n", "\n");
        if !patch.ends_with('\n') {
            patch.push('\n');
        }
        patch
    }
}

/// `None`: the field was left empty.
fn number<T: std::str::FromStr>(field: &str, text: &str) -> Result<Option<T>, AppError> {
    let text = text.trim();
    if text.is_empty() {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|_| {
        let why = format!("{field}: “{text}” is no number that fits here");
        AppError::bad("bad-number", &format!("/{field}"), why)
    })
}

/// `POST /jobs/{id}/amend`: leads to the job that goes on; a refused change is shown with its form.
pub(super) async fn amend(
    State(app): State<App>,
    who: Principal,
    Path(id): Path<i64>,
    Form(written): Form<Written>,
) -> Page {
    let done = match written.amend() {
        Ok(new) => amend::change(&app, who.name(), id, new).await,
        Err(error) => Err(error),
    };
    match done {
        Ok(created) => Ok(Redirect::to(&created.url).into_response()),
        Err(error @ AppError::Problem(_)) => {
            let problem = error.into_problem();
            let mut act = ActPage::of(&app, &who, id).await?;
            act.wrong = Some(problem.detail);
            act.written = written;
            page_as(problem.status, &act)
        }
        Err(error) => Err(error.into()),
    }
}

/// A reason.
#[derive(Deserialize)]
pub struct Reason {
    #[serde(default)]
    reason: String,
}

/// `POST /jobs/{id}/retract`.
pub(super) async fn retract(
    State(app): State<App>,
    who: Principal,
    Path(id): Path<i64>,
    Form(form): Form<Reason>,
) -> Page {
    amend::take_back(&app, who.name(), id, Some(form.reason.trim())).await?;
    back_to(id)
}

/// `POST /jobs/{id}/unretract`.
pub(super) async fn unretract(State(app): State<App>, who: Principal, Path(id): Path<i64>) -> Page {
    amend::take_back(&app, who.name(), id, None).await?;
    back_to(id)
}
