//! The page of one number of a job's runs: drawn, and as a table.

use askama::Template;
use axum::extract::{Path, Query, State};
use firstbad_api::job::Find;
use firstbad_api::metric::{MetricOfJob, MetricQuery};

use super::chip::Chip;
use super::error::{Page, PageError, id, page};
use super::format;
use super::strip::{self, Revision, Strip};
use crate::scale::round;
use crate::state::App;

/// `metric.html`.
#[derive(Template)]
#[template(path = "metric.html")]
struct MetricPage {
    metric: MetricOfJob,
    strip: Option<Strip>,
}

impl MetricPage {
    fn new(metric: MetricOfJob) -> MetricPage {
        let rows = metric.rows.iter().map(|row| Revision {
            rev: &row.rev,
            verdict: &row.verdict,
            mean: Some(row.mean),
            interval: row.interval,
            runs: row
                .runs
                .iter()
                .map(|run| (run.value, run.attempt, run.seed))
                .collect(),
        });
        let threshold = metric.threshold.map(|v| (v, "threshold", "middle"));
        let lines = threshold.into_iter().collect();
        let strip = strip::draw(&metric.name, metric.job, rows.collect(), lines);
        MetricPage { metric, strip }
    }

    /// Whether what is compared is not what was measured.
    fn adjusted(&self) -> bool {
        let mut runs = self.metric.rows.iter().flat_map(|row| &row.runs);
        runs.any(|run| run.value != run.measured)
    }
}

fn told(value: &f64) -> String {
    round(*value)
}

/// `GET /jobs/{id}/metric?name=mb_s`.
pub(super) async fn show(
    State(app): State<App>,
    Path(text): Path<String>,
    Query(query): Query<MetricQuery>,
) -> Page {
    let number = id(&text, "Job")?;
    let metric = crate::view::metric(&app, number, &query.name).await?;
    let metric = metric.ok_or_else(|| {
        PageError::missing(&format!("Job {number}"), "Open it from the list of jobs.")
    })?;
    page(&MetricPage::new(metric))
}
