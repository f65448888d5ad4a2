//! What people do to a job after it was submitted: change how it goes on, and take back its result.

use serde::{Deserialize, Serialize};

/// `POST /api/v1/jobs/{id}/amend`: at least one change. Nothing that was built or run is lost.
///
/// A job that is searching goes on with it (200). One that has ended, or that gets other ends, goes
/// on as another job, which knows all that was observed for the first (201).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Amend {
    /// Other good (old) ends; empty: as they are.
    pub good: Vec<String>,
    /// Another bad (new) end.
    pub bad: Option<String>,
    /// As in the request.
    pub runs: Option<u32>,
    pub confidence: Option<f64>,
    pub max_runs: Option<u32>,
    /// Patches for the candidates that could not be built or run as they are, and for no other.
    pub fixups: Vec<String>,
    /// Attempts that were given up because of failures of ours are tried again.
    pub retry: bool,
    /// Why, in at most 500 characters.
    pub why: String,
}

/// A patch for candidates that could not be built or run without it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Mend {
    /// Its subject, or the first file it touches.
    pub title: String,
    pub who: String,
    pub at: String,
}

/// `POST /api/v1/jobs/{id}/retract`: nobody should rely on the result. `DELETE` takes that back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Retract {
    /// 1 to 500 characters.
    pub reason: String,
}

/// A result that nobody should rely on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Retraction {
    pub who: String,
    pub why: String,
    pub at: String,
}

/// One line of the record of what was done: `GET /api/v1/jobs/{id}/audit`, `GET /api/v1/audit`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Done {
    pub id: i64,
    pub at: String,
    /// Name of an account or token, a worker's id, or `server`.
    pub who: String,
    pub what: String,
    pub job: Option<i64>,
    pub attempt: Option<i64>,
    pub detail: serde_json::Value,
}
