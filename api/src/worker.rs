//! Workers as the server sees them.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::limits::Timing;

/// `POST /api/v1/workers`: a worker process introduces itself. A fresh UUID per process start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Register {
    pub worker: Uuid,
    /// Host name or a name given by the operator; shown, never an identity.
    pub name: String,
    pub caps: Capabilities,
}

/// What a worker can do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Capabilities {
    pub arch: String,
    pub cpus: u32,
    pub memory_mib: u64,
    /// `kvm` or `tcg`, as the canary boot decided.
    pub accel: String,
    /// The sentence that says why, such as "/dev/kvm opens but the canary kernel does not boot: …".
    pub accel_why: String,
    /// First lines of `gcc --version` and `ld --version`: part of the build identity.
    pub toolchain: String,
    /// First line of `qemu-system-x86_64 --version`: part of the test identity.
    pub qemu_version: String,
    /// SHA-256 over guest binary, the versions of the host programs suites use and how machines are
    /// made: part of the test identity.
    pub toolset: String,
    /// Attempt kinds this worker takes.
    pub kinds: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Registered {
    pub incarnation: Uuid,
    pub timing: Timing,
}

/// One worker as listed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Worker {
    pub worker: Uuid,
    pub name: String,
    pub caps: Capabilities,
    pub registered_at: String,
    pub seen_at: String,
    /// Seen within the lease time.
    pub live: bool,
    /// Who said that it is to get no more work: `POST /api/v1/workers/{id}/drain`, undone by `DELETE`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drained_by: Option<String>,
    /// Attempt and stage now running.
    pub doing: Option<String>,
    pub done: i64,
    pub infrastructure_failures: i64,
    /// Exact runs made twice in which it made one of the two, and how often they were not the same.
    #[serde(default)]
    pub repeated: i64,
    #[serde(default)]
    pub not_exact: i64,
}
