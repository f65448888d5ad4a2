//! Attempts as shown to people and programs.

use serde::{Deserialize, Serialize};

use crate::artefact::Artefact;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Stage {
    pub epoch: i32,
    pub stage: String,
    pub duration_ms: i64,
    pub ok: bool,
    pub ended_at: String,
}

/// `GET /api/v1/attempts/{id}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Attempt {
    pub id: i64,
    /// `build` or `test`.
    pub kind: String,
    /// `ready`, `leased`, `done`, `held` or `cancelled`.
    pub state: String,
    pub epoch: i32,
    pub tree: String,
    pub rev: String,
    pub suite: Option<String>,
    pub seed: Option<i64>,
    pub worker: Option<String>,
    pub stage: Option<String>,
    pub lease_losses: i32,
    pub infra_failures: i32,
    /// The last infrastructure failure.
    pub infra_what: Option<String>,
    /// [`crate::observation::BuildObservation`] or [`crate::observation::TestObservation`].
    pub observation: Option<serde_json::Value>,
    pub created_at: String,
    pub started_at: Option<String>,
    pub ended_at: Option<String>,
    pub stages: Vec<Stage>,
    pub artefacts: Vec<Artefact>,
    /// Names of the logs: `build`, `console`.
    pub logs: Vec<String>,
}
