//! Patches on their way: what jobs say of them, to b4 and to Patchwork.

use serde::{Deserialize, Serialize};

/// A patch of a Patchwork that a job is about: its checks are told what becomes of the job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct PatchworkPatch {
    /// Of a Patchwork that has been made known, such as `https://patchwork.kernel.org/`, by who asks; an
    /// operator may use that of others.
    pub url: String,
    /// Number of the patch there.
    pub patch: i64,
}

/// Query of `GET /api/v1/patches`: one of both, or both.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PatchQuery {
    /// As `git patch-id --stable` tells it.
    pub patch_id: String,
    /// Of the mail, without brackets.
    pub message_id: String,
}

/// What a job says of a patch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct PatchVerdict {
    pub job: i64,
    /// Its page.
    pub path: String,
    /// `pass`, `warn` or `fail`.
    pub status: String,
    pub summary: String,
    /// The job's title, and what it found.
    pub details: String,
}
