//! Observations: what an attempt saw. Facts, no judgement.

use serde::{Deserialize, Serialize};

/// How a case ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum CaseStatus {
    Pass,
    Fail,
    /// Exit 125, or KTAP that only skipped.
    Skip,
    /// The case ran out of guest time.
    Timeout,
    /// Exit 126, 127 or a signal: the test could not be run.
    Broken,
}

/// A number a case reported with `::metric`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Metric {
    pub name: String,
    pub value: f64,
    pub unit: String,
    /// `higher` or `lower`.
    pub better: String,
}

/// One KTAP result below a case.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Subtest {
    /// With its parents, such as `listns_test/global.listns_pagination`.
    pub name: String,
    /// Pass, fail or skip.
    pub status: CaseStatus,
}

impl CaseResult {
    /// What this case, or a sub-test of it named `CASE/SUB-TEST`, came to; `None` when it is neither.
    pub fn status_of(&self, name: &str) -> Option<CaseStatus> {
        if self.case == name {
            return Some(self.status);
        }
        let sub = name.strip_prefix(self.case.as_str())?.strip_prefix('/')?;
        let found = self.subtests.iter().find(|s| s.name == sub);
        found.map(|s| s.status)
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct CaseResult {
    pub case: String,
    pub status: CaseStatus,
    /// Exit code, or 128 + signal.
    pub exit: i32,
    /// Guest milliseconds.
    pub duration_ms: u64,
    #[serde(default)]
    pub metrics: Vec<Metric>,
    /// KTAP sub-results: passed, failed, skipped.
    #[serde(default)]
    pub ktap: Option<[u32; 3]>,
    /// The KTAP results one by one, as far as they fit; a parent before its children.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub subtests: Vec<Subtest>,
    /// What a pattern of the case found or missed, when that decided the status.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pattern: Option<String>,
    /// Why the case is no part of the run: it is for other kernels than this one, or says itself that
    /// it does not apply here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outside: Option<String>,
    /// The last lines the case printed, at most 4 KiB.
    #[serde(default)]
    pub tail: String,
    /// Kernel log lines at or above warning that appeared during the case, at most 20.
    #[serde(default)]
    pub dmesg: Vec<String>,
}

/// Kind of a crash found on the console.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum CrashKind {
    Panic,
    Oops,
    Bug,
    Warning,
    Kasan,
    HungTask,
    Lockdep,
    /// For instance "VFS: Busy inodes after unmount".
    Vfs,
    /// Soft lockup, RCU stall and the like.
    Stall,
    Other,
}

/// A crash with its normalised title (syzbot's style), such as `WARNING in foo`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Crash {
    pub kind: CrashKind,
    pub title: String,
    /// Byte offset in the console.
    pub offset: u64,
    /// The console lines around it, at most 8 KiB.
    pub excerpt: String,
}

/// A cpio archive that becomes part of the guest's file system; an artefact of the build.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct GuestArchive {
    /// Its name as an artefact.
    pub name: String,
    pub sha256: String,
}

/// What a build attempt saw.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "build", rename_all = "kebab-case")]
pub enum BuildObservation {
    Built {
        /// SHA-256 over the loaded sections of vmlinux, build id excluded: the kernel signature.
        signature: String,
        image_sha256: String,
        config_sha256: String,
        /// `make kernelrelease`.
        release: String,
        /// Requested symbols that did not survive `olddefconfig`, as `NAME: wanted X, got Y`.
        lost_symbols: Vec<String>,
        objects_built: u64,
        ccache_hits: u64,
        /// What the build has for the guest besides the image.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        archives: Vec<GuestArchive>,
    },
    /// The tree does not compile, link or configure. `first_error` is one line of the log.
    Failed { stage: String, first_error: String },
}

/// What a test attempt saw.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct TestObservation {
    pub boot: BootOutcome,
    pub end: RunEnd,
    pub cases: Vec<CaseResult>,
    /// In console order; the first is the cause more often than not.
    pub crashes: Vec<Crash>,
    /// Lines on the result port without the nonce.
    pub stray_lines: u64,
    /// Left behind after the last case, as PID 1 saw it.
    #[serde(default)]
    pub left: Vec<String>,
    pub run: RunInputs,
    /// SHA-256 of the whole console.
    pub console_sha256: String,
    /// Share of its time that the machine waited for a processor of the host. Of runs in real mode
    /// only: an exact run does not depend on it, and its observation must not either.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waited: Option<f64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum BootOutcome {
    /// PID 1 said hello.
    Up,
    /// The console shows a crash before hello.
    Crashed,
    /// No hello before the deadline, no crash seen.
    Silent,
}

/// How the machine stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum RunEnd {
    /// PID 1 said bye and powered off.
    PowerOff,
    /// The guest rebooted or powered off without bye.
    SilentReboot,
    /// A program in the guest, not PID 1, made it reboot or power off: the kernel's log says so.
    Stopped,
    Panic,
    /// No byte on either port for the silence limit.
    Hang,
    Deadline,
}

/// Everything a run is a function of (DESIGN §1): replaying it needs nothing else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct RunInputs {
    pub image_sha256: String,
    pub initramfs_sha256: String,
    pub cmdline: String,
    /// First line of `qemu-system-x86_64 --version`.
    pub qemu_version: String,
    /// `tcg-exact` or `kvm`.
    pub accel: String,
    pub vcpus: u32,
    pub memory_mib: u32,
    pub seed: u64,
    /// The full argument vector with `IMAGE` and `INITRAMFS` in place of paths.
    pub argv: Vec<String>,
}

/// Outcome of an attempt as sent with `finish`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Finish {
    Build {
        observation: BuildObservation,
    },
    Test {
        observation: TestObservation,
    },
    /// Our failure, never the kernel's: the attempt goes back to the queue, boundedly often.
    Infrastructure {
        what: String,
    },
    /// The worker was asked to stop: back to the queue, and nobody's failure.
    Released,
}
