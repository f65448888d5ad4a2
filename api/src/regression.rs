//! Regressions: failures that the last good head of a branch did not have.

use serde::{Deserialize, Serialize};

/// What a regression can be.
pub const STATES: [&str; 3] = ["open", "fixed", "invalid"];

/// What is seen since then and was not before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum Signature {
    /// These cases fail.
    Cases { cases: Vec<String> },
    /// The kernel crashes with this title.
    Crash { title: String },
    /// This number got worse.
    Metric { name: String },
}

impl std::fmt::Display for Signature {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Signature::Cases { cases } if cases.len() == 1 => write!(f, "{} fails", cases.concat()),
            Signature::Cases { cases } => write!(f, "{} fail", cases.join(", ")),
            Signature::Crash { title } => f.write_str(title),
            Signature::Metric { name } => write!(f, "{name} got worse"),
        }
    }
}

/// How it is known that a regression is repaired.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum FixedBy {
    /// A commit says so (`Fixes:`).
    Fixes,
    /// A commit takes the culprit back.
    Reverts,
    /// A job that looked for it.
    Job,
    /// A later head passes.
    Passes,
}

/// What repaired a regression, or says that it does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Fix {
    pub how: FixedBy,
    pub tree: String,
    pub rev: String,
    pub subject: String,
    /// The job that named it or checked it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<i64>,
}

/// The commit that a regression's job named.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Culprit {
    pub rev: String,
    pub subject: String,
}

/// `GET /api/v1/regressions/{id}`; `GET /api/v1/regressions` lists them, newest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Regression {
    pub id: i64,
    pub title: String,
    pub tree: String,
    /// Branch or tag.
    #[serde(rename = "ref")]
    pub reference: String,
    pub suite: String,
    pub signature: Signature,
    /// None: it was removed.
    pub rule: Option<i64>,
    pub owner: String,
    pub private: bool,
    /// The last head without it.
    pub good: String,
    /// The head at which it was seen first, and last.
    pub bad: String,
    pub first_seen: String,
    pub last_rev: String,
    pub last_seen: String,
    /// The bisection.
    pub job: Option<i64>,
    /// Why there is none yet, or what is special about it.
    pub job_why: String,
    pub culprit: Option<Culprit>,
    pub fix: Option<Fix>,
    /// One of [`STATES`].
    pub state: String,
    /// Who set it, and why.
    pub state_by: Option<String>,
    pub state_why: Option<String>,
    /// Others with the same culprit.
    pub duplicates: Vec<i64>,
}

/// Query of `GET /api/v1/regressions`; what is left out narrows nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct RegressionsQuery {
    /// One of [`STATES`].
    pub state: String,
    pub tree: String,
    /// Only those that this job looks into.
    pub job: Option<i64>,
    /// Only those before this one.
    pub before: Option<i64>,
}

/// `POST /api/v1/regressions/{id}/state`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct SetState {
    /// One of [`STATES`].
    pub state: String,
    /// One line.
    pub reason: String,
}
