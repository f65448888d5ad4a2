//! One number of a job's runs, revision by revision.

use std::collections::BTreeMap;

use firstbad_api::job::Signal;
use firstbad_api::metric::{MetricOfJob, MetricRow, MetricRun};
use firstbad_api::observation::Metric;

use super::show::verdict;
use crate::error::AppError;
use crate::judge::{busy, metric_value};
use crate::picture::{Picture, Test};
use crate::scale::{self, Ends};
use crate::state::App;

/// The metric `name` of a job, or the one it is about; `None` when there is no such job.
///
/// # Errors
/// When no run told this metric, naming those there are.
pub async fn metric(app: &App, job: i64, name: &str) -> Result<Option<MetricOfJob>, AppError> {
    let mut conn = app.pool.acquire().await?;
    let picture = Picture::load(&mut conn, job)
        .await
        .map_err(|e| AppError::Internal(format!("{e:#}")))?;
    picture.map(|picture| told(&picture, name)).transpose()
}

fn told(picture: &Picture, name: &str) -> Result<MetricOfJob, AppError> {
    let known = known(picture);
    let (own, wanted) = match &picture.job.request.signal {
        Signal::Metric { name, threshold } => (Some(name.as_str()), *threshold),
        _ => (None, None),
    };
    let first = known.keys().next().map(String::as_str);
    let name = Some(name)
        .filter(|name| !name.is_empty())
        .or(own)
        .or(first)
        .unwrap_or_default();
    let names: Vec<String> = known.keys().cloned().collect();
    let Some(metric) = known.get(name) else {
        let has = match names.is_empty() {
            true => "no run of this job told a metric yet".to_owned(),
            false => format!("use one of {}", names.join(", ")),
        };
        return Err(AppError::bad("no-metric", "/name", format!("name: {has}")));
    };
    let is_own = own == Some(name);
    let sites = picture.sites.iter();
    let rows = sites.filter_map(|(position, site)| {
        let runs = site.tests.iter();
        let runs = runs.filter_map(|test| run(picture, test, name, is_own));
        row(picture, *position, runs.collect())
    });
    let ends = match &picture.ends {
        Ends::Differ(scale) => Some(scale.threshold()),
        Ends::Open | Ends::Alike(_) => None,
    };
    Ok(MetricOfJob {
        job: picture.job.id,
        title: picture.job.title.clone(),
        name: name.to_owned(),
        unit: metric.unit.clone(),
        higher_is_better: metric.better != "lower",
        threshold: wanted.or(ends).filter(|_| is_own),
        rows: rows.collect(),
        names,
    })
}

/// Every metric that a run told, by name.
fn known(picture: &Picture) -> BTreeMap<String, &Metric> {
    let tests = picture.sites.values().flat_map(|site| &site.tests);
    let cases = tests
        .filter_map(|t| t.observation.as_deref())
        .flat_map(|o| &o.cases);
    let metrics = cases.flat_map(|case| &case.metrics);
    metrics.map(|m| (m.name.clone(), m)).collect()
}

fn run(picture: &Picture, test: &Test, name: &str, is_own: bool) -> Option<MetricRun> {
    let seen = test.observation.as_deref().filter(|o| busy(o).is_none())?;
    let (measured, _) = metric_value(name, seen)?;
    let value = match is_own {
        true => picture.number(test)?,
        false => measured,
    };
    (measured.is_finite() && value.is_finite()).then(|| MetricRun {
        attempt: test.probe.attempt_id,
        seed: test.probe.seed.unwrap_or_default(),
        measured,
        value,
    })
}

fn row(picture: &Picture, position: i32, runs: Vec<MetricRun>) -> Option<MetricRow> {
    let values: Vec<f64> = runs.iter().map(|run| run.value).collect();
    let (mean, _) = scale::summary(&values)?;
    Some(MetricRow {
        rev: picture.rev(position).to_owned(),
        subject: picture.subject(position).to_owned(),
        position,
        verdict: verdict(picture, position).0.to_owned(),
        mean,
        interval: scale::interval(&values),
        runs,
    })
}

/// For a spreadsheet: one line a run.
pub fn metric_csv(metric: &MetricOfJob) -> String {
    let quoted = |text: &str| {
        // What a spreadsheet would take for a formula is text.
        let formula = text.starts_with(['=', '+', '-', '@', '\t', '\r']);
        let guard = if formula { "'" } else { "" };
        format!("\"{guard}{}\"", text.replace('"', "\"\""))
    };
    let mut out = format!(
        "position,revision,subject,verdict,attempt,seed,{},compared\n",
        quoted(&format!("{} ({})", metric.name, metric.unit))
    );
    for row in &metric.rows {
        for run in &row.runs {
            let fields = [
                row.position.to_string(),
                row.rev.clone(),
                quoted(&row.subject),
                row.verdict.clone(),
                run.attempt.to_string(),
                run.seed.to_string(),
                run.measured.to_string(),
                run.value.to_string(),
            ];
            out += &(fields.join(",") + "\n");
        }
    }
    out
}
