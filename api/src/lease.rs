//! Leases: an expiring right to one attempt, fenced by epoch and incarnation.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::fstests::Pinned;
use crate::observation::{Finish, GuestArchive};
use crate::suite::SuiteBundle;

/// Names one lease; every worker write carries it and must change exactly one row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Fence {
    pub attempt: i64,
    /// Rises by one at each claim; never lowered.
    pub epoch: i32,
    /// The database this lease was made by; a restored backup has another.
    pub incarnation: Uuid,
    pub worker: Uuid,
}

/// `POST /api/v1/leases`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct LeaseRequest {
    pub worker: Uuid,
    /// Attempt kinds wanted: `build`, `test`.
    pub kinds: Vec<String>,
    pub free_bytes: u64,
}

/// The answer: work, or nothing yet (204).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Lease {
    pub fence: Fence,
    pub ttl_ms: u64,
    pub work: Work,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Work {
    Build(BuildWork),
    Test(TestWork),
}

/// Build one revision.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct BuildWork {
    /// Name of the tree; fetched from `GET /git/<tree>.git` of the server.
    pub tree: String,
    /// Full commit id.
    pub rev: String,
    pub config: ConfigRequest,
    /// Patches (mbox or plain diff) applied in order before the build.
    pub fixups: Vec<String>,
    /// The revision holds a packaged kernel, which is unpacked and not built.
    // Absent in work that was stored before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub packaged: Option<Packaged>,
    /// Selftests of the tree that are built with the kernel.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kselftest: Vec<String>,
    /// The revision whose selftests these are, if not the candidate's own. A packaged kernel has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kselftest_rev: Option<String>,
    /// The fstests that the suite runs, built apart from the kernel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fstests: Option<Pinned>,
    pub deadline_s: u64,
}

/// What is taken out of a packaged kernel besides its image: `packages/*.deb` of the revision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Packaged {
    /// Modules that suites need, by name; those they depend on come with them.
    pub modules: Vec<String>,
}

/// How the kernel is configured.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ConfigRequest {
    pub base: ConfigBase,
    /// Fragments in order: suites' first, then the user's.
    pub fragments: Vec<Fragment>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum ConfigBase {
    Tinyconfig,
    X8664Defconfig,
    /// A whole .config.
    File(String),
    /// The plain file at this path of the revision.
    Tree(String),
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Fragment {
    /// Shown in messages, such as `btrfs/kernel.config` or `user`.
    pub name: String,
    pub text: String,
}

/// Boot a built kernel and run a suite.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct TestWork {
    /// SHA-256 of the bzImage; fetched from `GET /api/v1/artefacts/<sha256>`.
    pub image_sha256: String,
    /// The build's archives for the guest.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub archives: Vec<GuestArchive>,
    pub suite: SuiteBundle,
    /// Names of the cases to run; empty = all.
    pub cases: Vec<String>,
    pub shape: VmShape,
    pub seed: u64,
    pub deadline_s: u64,
}

/// The machine a test runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct VmShape {
    pub mode: RunMode,
    pub vcpus: u32,
    pub memory_mib: u32,
    /// Exact mode: an instruction takes 2^shift ns of guest time, so that timers come more often.
    // What is not asked for is left out: identities made before must stay.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub shift: u8,
    /// PID 1 does not disturb the cases with its jitter.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub calm: bool,
}

pub(crate) fn is_zero(n: &u8) -> bool {
    *n == 0
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum RunMode {
    /// TCG with virtual time: a function of (kernel, suite, seed).
    Exact,
    /// KVM where the canary boots, else plain TCG; wall clock.
    Real,
}

/// `POST /api/v1/attempts/renew`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Renew {
    pub fence: Fence,
    /// Stage now running: source, configure, build, boot, test, upload.
    pub stage: String,
}

/// Answer to a renewal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Renewed {
    /// True when the attempt is no longer wanted: stop and do not report.
    pub cancel: bool,
}

/// `POST /api/v1/attempts/stage`: a stage ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct StageEnd {
    pub fence: Fence,
    pub stage: String,
    pub duration_ms: u64,
    /// False when the stage failed (by the kernel's fault or ours).
    pub ok: bool,
}

/// `POST /api/v1/attempts/finish`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct FinishRequest {
    pub fence: Fence,
    pub finish: Finish,
}
