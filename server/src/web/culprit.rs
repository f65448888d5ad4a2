//! The page of the commit that a job named: what it changes, and the mail about it.

use askama::Template;
use axum::extract::{Path, State};
use firstbad_api::job::{Job, Outcome};
use firstbad_api::known::{Known, Likeness, LookedThrough};

use super::error::{Page, PageError, id, page};
use super::format;
use crate::access::Principal;
use crate::report::Report;
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
    known: Known,
    report: &'a Report,
    mailto: String,
    /// Recipients beyond what one mail goes to.
    left_out: String,
    /// Others can follow the links of the report.
    reachable: bool,
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

    fn likeness(&self, how: &Likeness) -> &'static str {
        likeness(*how)
    }

    fn looked(&self) -> String {
        let told: Vec<String> = self.known.looked.iter().map(looked).collect();
        told.join("; ")
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
    let known = crate::known::of(&app, tree, &rev).await?;
    let report = crate::report::for_job(&app, number, None).await?;
    let report = report.ok_or_else(|| PageError::missing(&what, "The job is gone."))?;
    page(&CulpritPage {
        job: &job,
        change,
        known,
        mailto: report.mailto(&app),
        left_out: format::count(report.recipients.left_out, "recipient"),
        reachable: app.gate.url.is_some(),
        report: &report,
    })
}

/// Why two commits are held to be one change.
fn likeness(how: Likeness) -> &'static str {
    match how {
        Likeness::Commit => "the same commit",
        Likeness::Patch => "the same patch",
        Likeness::Named => "says it is a copy",
        Likeness::Title => "the same title alone",
    }
}

/// How far a tree was looked through, in words.
fn looked(tree: &LookedThrough) -> String {
    let commits = format::count(tree.commits, "commit");
    let name = &tree.tree;
    match (&tree.since, tree.done) {
        (_, false) => format!("{name}: {commits}, and it is still being read"),
        (None, true) => format!("{name}: all {commits}"),
        (Some(since), true) => {
            let day = since.get(..10).unwrap_or(since);
            format!("{name}: the newest {commits}, since {day}")
        }
    }
}
