//! The protocol between guest and worker on the second serial port.
//!
//! One frame a line: `FB1 <nonce> <json>\n`, at most [`crate::limits::FRAME_BYTES`].
//! The nonce is a keyed hash of the run's inputs: unguessable to a test script
//! that is not PID 1, and the same for the same run, so exact runs stay exact.
//! Lines without the nonce are ignored and counted.

use serde::{Deserialize, Serialize};

use crate::suite::Excluded;
use crate::version::Versions;

/// First word of every frame.
pub const MAGIC: &str = "FB1";
/// Where PID 1 reads its orders, in the initramfs. Unlinked before any case runs.
pub const PLAN_PATH: &str = "/firstbad/plan.json";

/// What PID 1 must do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct GuestPlan {
    pub nonce: String,
    /// Seed of this run: cases read it as `$FIRSTBAD_SEED`.
    pub seed: u64,
    /// No jitter beside the cases.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub calm: bool,
    pub cases: Vec<GuestCase>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct GuestCase {
    pub name: String,
    /// Absolute path of the script in the guest.
    pub script: String,
    pub timeout_s: u64,
    /// Kernels it is for.
    #[serde(default, skip_serializing_if = "Versions::is_all")]
    pub versions: Versions,
    /// Kernels of those that it is not for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub excluded: Vec<Excluded>,
    /// Not for the guest: whoever reads its ports looks for these.
    #[serde(default, skip_serializing_if = "crate::suite::Patterns::is_empty")]
    pub patterns: crate::suite::Patterns,
}

impl GuestCase {
    /// Why it is not run on a kernel that names its release so; `None` when it is.
    pub fn outside(&self, release: &str) -> Option<String> {
        let excluded = || self.excluded.iter().find(|e| e.holds(release));
        let why = || excluded().map(|e| format!("is excluded: {}", e.why));
        self.versions.outside(release).or_else(why)
    }
}

/// A report from PID 1.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "frame", rename_all = "kebab-case")]
pub enum Frame {
    /// First frame: the kernel reached PID 1.
    Hello {
        release: String,
        version: String,
    },
    CaseStart {
        case: String,
    },
    CaseEnd(crate::observation::CaseResult),
    /// Last frame; `clean` is false when mounts or processes were left.
    Bye {
        clean: bool,
        left: Vec<String>,
    },
    /// PID 1 itself failed (missing mount, no memory): infrastructure.
    Fault {
        what: String,
    },
}
