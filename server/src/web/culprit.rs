//! The page of the commit that a job named: what it changes, and the mail about it.

use askama::Template;
use axum::extract::{Path, State};
use firstbad_api::job::{Job, Outcome};

use super::error::{Page, PageError, id, page};
use super::format;
use crate::access::Principal;
use crate::state::App;
use crate::view::Change;

/// A line of a diff with its class.
struct Line<'a> {
    class: &'static str,
    text: &'a str,
}

/// `culprit.html`.
#[derive(Template)]
#[template(path = "culprit.html")]
pub struct CulpritPage<'a> {
    job: &'a Job,
    change: Change,
    report: String,
}

impl CulpritPage<'_> {
    fn lines(&self) -> Vec<Line<'_>> {
        let class = |line: &str| match line.as_bytes() {
            [b'd', b'i', b'f', b'f', ..] => "file",
            [b'@', b'@', ..] => "hunk",
            [b'+', b'+', b'+', ..] | [b'-', b'-', b'-', ..] => "name",
            [b'+', ..] => "add",
            [b'-', ..] => "del",
            _ => "",
        };
        let lines = self.change.diff.lines();
        lines
            .map(|text| Line {
                class: class(text),
                text,
            })
            .collect()
    }

    fn confidence(&self) -> String {
        match &self.job.outcome {
            Some(Outcome::Culprit { confidence, .. }) => crate::view::percent(*confidence),
            _ => String::new(),
        }
    }
}

/// `GET /jobs/{id}/culprit`.
pub(super) async fn show(State(app): State<App>, who: Principal, Path(text): Path<String>) -> Page {
    let number = id(&text, "Job")?;
    let what = format!("The culprit of job {number}");
    let job = crate::view::job(&app, &who.sight(), number).await?;
    let Some((job, rev)) = job.and_then(|job| match &job.outcome {
        Some(Outcome::Culprit { rev, .. }) => {
            let rev = rev.clone();
            Some((job, rev))
        }
        _ => None,
    }) else {
        return Err(PageError::missing(
            &what,
            "It is there once the job has named a commit; its page says how far it is.",
        ));
    };
    let tree = &job.request.tree;
    let change = crate::view::change(&app, tree, &rev, &job.range.bad).await?;
    let Some(change) = change else {
        return Err(PageError::missing(
            &what,
            "Its tree does not have the commit any more.",
        ));
    };
    let report = crate::report::for_job(&app, number).await?;
    page(&CulpritPage {
        job: &job,
        change,
        report: report.unwrap_or_default(),
    })
}
