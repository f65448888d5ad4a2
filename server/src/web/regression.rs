//! The pages of regressions.

use askama::Template;
use axum::Form;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Redirect};
use firstbad_api::regression::{Fix, FixedBy, Regression, RegressionsQuery, STATES, SetState};
use serde::Deserialize;

use super::error::{Page, PageError, id, page};
use super::format;
use crate::access::Principal;
use crate::api::regressions;
use crate::state::App;

/// `regressions.html`.
#[derive(Template)]
#[template(path = "regressions.html")]
pub struct RegressionsPage {
    regressions: Vec<Regression>,
    query: RegressionsQuery,
}

impl RegressionsPage {
    fn states(&self) -> &'static [&'static str] {
        &STATES
    }

    fn is(&self, value: &str, choice: &str) -> bool {
        value == choice
    }
}

/// The query, in which an empty number is none.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Asked {
    state: String,
    tree: String,
}

/// `GET /regressions`.
pub(super) async fn list(
    State(app): State<App>,
    who: Principal,
    Query(asked): Query<Asked>,
) -> Page {
    let query = RegressionsQuery {
        state: asked.state,
        tree: asked.tree,
        ..RegressionsQuery::default()
    };
    let regressions = regressions::of(&app, &who.sight(), query.clone()).await?;
    page(&RegressionsPage { regressions, query })
}

/// `regression.html`.
#[derive(Template)]
#[template(path = "regression.html")]
pub struct RegressionPage {
    regression: Regression,
    /// What its job says.
    says: Option<String>,
}

impl RegressionPage {
    fn how(&self, fix: &Fix) -> &'static str {
        match fix.how {
            FixedBy::Fixes => "says that it repairs the culprit (Fixes:)",
            FixedBy::Reverts => "takes the culprit back",
            FixedBy::Job => "was found by a job",
            FixedBy::Passes => "passes again",
        }
    }

    fn others(&self) -> Vec<&'static str> {
        let now = self.regression.state.as_str();
        STATES.into_iter().filter(|s| *s != now).collect()
    }
}

/// `GET /regressions/{id}`.
pub(super) async fn show(State(app): State<App>, who: Principal, Path(text): Path<String>) -> Page {
    let number = id(&text, "Regression")?;
    let regression = regressions::one(&app, &who.sight(), number).await?;
    let says = match regression.job {
        Some(job) => crate::view::job(&app, &who.sight(), job)
            .await?
            .map(|j| j.sentence),
        None => None,
    };
    page(&RegressionPage { regression, says })
}

/// What somebody says of one, as it was written.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Said {
    state: String,
    reason: String,
}

/// `POST /regressions/{id}/state`.
pub(super) async fn set(
    State(app): State<App>,
    who: Principal,
    Path(number): Path<i64>,
    Form(said): Form<Said>,
) -> Page {
    let set = SetState {
        state: said.state,
        reason: said.reason.trim().to_owned(),
    };
    regressions::set(&app, &who, number, &set)
        .await
        .map_err(PageError::from)?;
    Ok(Redirect::to(&format!("/regressions/{number}")).into_response())
}
