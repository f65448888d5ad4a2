//! One number of a job's runs, revision by revision.

use serde::{Deserialize, Serialize};

/// Query of `GET /api/v1/jobs/{id}/metric`; `…/metric/csv` says the same for a spreadsheet.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MetricQuery {
    /// As the cases call it; empty: the one that the job looks at, else the first of all.
    pub name: String,
}

/// Every run of a job that told a metric.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct MetricOfJob {
    pub job: i64,
    pub title: String,
    pub name: String,
    pub unit: String,
    pub higher_is_better: bool,
    /// Beyond it a run counts as showing the behaviour; of the metric that the job looks at.
    pub threshold: Option<f64>,
    /// Oldest first.
    pub rows: Vec<MetricRow>,
    /// Names of all metrics that runs of this job told.
    pub names: Vec<String>,
}

/// A revision.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct MetricRow {
    pub rev: String,
    pub subject: String,
    pub position: i32,
    /// As of a candidate.
    pub verdict: String,
    pub mean: f64,
    /// The 95 % confidence interval of the mean, of more than one run.
    pub interval: Option<(f64, f64)>,
    pub runs: Vec<MetricRun>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct MetricRun {
    pub attempt: i64,
    pub seed: i64,
    /// As the run told it.
    pub measured: f64,
    /// Beside what the machine, or the seed, measured at the ends: what is compared.
    pub value: f64,
}
