//! Surveys: cases × releases, and what changed between neighbours.

use serde::{Deserialize, Serialize};

use crate::job::JobConfig;
use crate::lease::RunMode;

/// `POST /api/v1/surveys`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct NewSurvey {
    pub tree: String,
    /// Tags or commits, oldest first, each an ancestor of the next.
    pub releases: Vec<String>,
    /// `area/name`, at least one.
    pub suites: Vec<String>,
    #[serde(default)]
    pub config: JobConfig,
    #[serde(default = "default_mode")]
    pub mode: RunMode,
    #[serde(default = "default_vcpus")]
    pub vcpus: u32,
    /// Runs of each suite on each release.
    #[serde(default = "default_runs")]
    pub runs: u32,
    /// So many changes, the largest first, are bisected without being asked.
    #[serde(default)]
    pub bisect: u32,
    /// Seen by who submits it and by operators only; so are its jobs.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub private: bool,
    #[serde(default)]
    pub title: Option<String>,
}

fn default_mode() -> RunMode {
    RunMode::Exact
}
fn default_vcpus() -> u32 {
    1
}
fn default_runs() -> u32 {
    3
}

/// `POST /api/v1/surveys/{id}/releases`: more columns. What was run is not run again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct MoreReleases {
    pub releases: Vec<String>,
}

/// `POST /api/v1/surveys/{id}/bisect`: which release, or commit, made this change?
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct BisectEdge {
    /// Number of the row in [`Matrix::rows`].
    pub row: usize,
    /// Number of the column after the change in [`Matrix::columns`].
    pub column: usize,
}

/// One survey as listed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Survey {
    pub id: i64,
    pub title: String,
    /// As in [`crate::job::Job::owner`].
    #[serde(default)]
    pub owner: String,
    pub request: NewSurvey,
    /// `running` or `done`.
    pub state: String,
    /// One job of each suite.
    pub jobs: Vec<i64>,
    pub created_at: String,
}

/// `GET /api/v1/surveys/{id}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Matrix {
    pub survey: Survey,
    pub columns: Vec<Column>,
    pub rows: Vec<Row>,
}

/// A release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Column {
    /// As it was asked for.
    pub release: String,
    pub rev: String,
    /// What the kernel calls itself, once it is here.
    pub kernel: Option<String>,
    /// The compiler, as the configuration names it.
    pub compiler: Option<String>,
    /// Options that reach the image and differ from the column before; none if that is not known.
    pub options_changed: Option<usize>,
}

/// A case, or a metric of a suite.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Row {
    pub suite: String,
    /// The job whose runs these are.
    pub job: i64,
    pub what: What,
    /// One of each column.
    pub cells: Vec<Cell>,
    pub edges: Vec<Edge>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum What {
    Case {
        case: String,
    },
    Metric {
        name: String,
        unit: String,
        higher_is_better: bool,
    },
}

/// What one release did.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum Cell {
    /// Not run yet.
    Open,
    /// The runs of a case.
    Runs {
        passed: u32,
        failed: u32,
        /// Such as "fail", "timeout", a crash's title; empty when all pass.
        why: String,
        /// One of them; the first that failed if one did.
        attempt: i64,
    },
    /// Values of a metric, one of each run.
    Values { values: Vec<f64>, attempt: i64 },
    /// It says nothing: skipped, not built, not booted.
    Nothing { why: String },
}

/// A change between a column and the last one before it that says something.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Edge {
    /// Numbers of columns.
    pub from: usize,
    pub to: usize,
    /// For the worse, or for the better.
    pub worse: bool,
    /// Such as "passes → fails", or "−3.1 %".
    pub text: String,
    /// Of a metric: change as a share of the value before.
    pub change: Option<f64>,
    /// Of a metric: deviation between runs as a share of the value before.
    pub noise: Option<f64>,
    /// False: no more than the noise, or than anyone looks for.
    pub significant: bool,
    /// The job that looks into it.
    pub job: Option<i64>,
    /// What it found, or where it stands.
    pub found: Option<String>,
}
