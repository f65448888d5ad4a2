//! What the forms of pages do: the same as the API, and then back to the page.

use askama::Template;
use axum::Form;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Redirect};
use firstbad_api::job::{HumanMark, Job, NewMark, Word};
use firstbad_api::survey::BisectEdge;
use serde::Deserialize;

use super::amend::Written;
use super::error::{Page, PageError, page};
use super::format::short;
use crate::access::Principal;
use crate::api::{jobs, marks, surveys};
use crate::error::AppError;
use crate::state::App;

#[derive(Deserialize)]
pub struct Reason {
    #[serde(default)]
    reason: String,
}

#[derive(Deserialize)]
pub struct Mark {
    rev: String,
    mark: Word,
    #[serde(default)]
    why: String,
}

#[derive(Deserialize)]
pub struct Unmark {
    rev: String,
}

/// A [`BisectEdge`] beside what every form carries.
#[derive(Deserialize)]
pub struct Edge {
    row: usize,
    column: usize,
}

/// `act.html`.
#[derive(Template)]
#[template(path = "act.html")]
pub struct ActPage {
    job: Job,
    /// What was wrong with a change, and its fields.
    pub(super) wrong: Option<String>,
    pub(super) written: Written,
}

impl ActPage {
    pub(super) async fn of(app: &App, who: &Principal, id: i64) -> Result<ActPage, AppError> {
        let job = crate::view::job(app, &who.sight(), id).await?;
        let job = job.ok_or_else(|| AppError::not_found(format!("there is no job {id}")))?;
        Ok(ActPage {
            job,
            wrong: None,
            written: Written::default(),
        })
    }

    /// It has a result that can be taken back.
    fn is_answered(&self) -> bool {
        self.job.state == "done"
    }

    fn confidence(&self) -> String {
        crate::view::percent(self.job.request.confidence)
    }

    fn marks(&self) -> impl Iterator<Item = (&str, &HumanMark)> {
        let marks = self.job.candidates.iter();
        marks.filter_map(|c| Some((c.rev.as_str(), c.mark.as_ref()?)))
    }
}

/// `GET /jobs/{id}/act`: apart from the job's page, which loads itself again under a reader.
pub(super) async fn show(State(app): State<App>, who: Principal, Path(id): Path<i64>) -> Page {
    page(&ActPage::of(&app, &who, id).await?)
}

pub(super) fn back_to(job: i64) -> Page {
    Ok(Redirect::to(&format!("/jobs/{job}")).into_response())
}

/// `POST /jobs/{id}/cancel`.
pub(super) async fn cancel(
    State(app): State<App>,
    who: Principal,
    Path(id): Path<i64>,
    Form(form): Form<Reason>,
) -> Page {
    jobs::stop(&app, who.name(), id, form.reason.trim()).await?;
    back_to(id)
}

/// `POST /jobs/{id}/marks`.
pub(super) async fn mark(
    State(app): State<App>,
    who: Principal,
    Path(id): Path<i64>,
    Form(form): Form<Mark>,
) -> Page {
    let new = NewMark {
        rev: form.rev.trim().to_owned(),
        mark: form.mark,
        why: form.why.trim().to_owned(),
    };
    let said = marks::set(&app, who.name(), id, &new).await;
    said.map_err(|error| PageError::from(error).about(id))?;
    back_to(id)
}

/// `POST /jobs/{id}/unmark`.
pub(super) async fn unmark(
    State(app): State<App>,
    who: Principal,
    Path(id): Path<i64>,
    Form(form): Form<Unmark>,
) -> Page {
    marks::take_back(&app, who.name(), id, form.rev.trim()).await?;
    back_to(id)
}

/// `POST /surveys/{id}/bisect`: leads to the job that looks into the change.
pub(super) async fn bisect(
    State(app): State<App>,
    who: Principal,
    Path(id): Path<i64>,
    Form(edge): Form<Edge>,
) -> Page {
    let wanted = BisectEdge {
        row: edge.row,
        column: edge.column,
    };
    let created = surveys::begin(&app, &who, id, &wanted).await?;
    back_to(created.id)
}
