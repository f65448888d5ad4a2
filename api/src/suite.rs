//! Suites: what `suites/<area>/<name>/suite.toml` says, and how it travels to a worker.

use serde::{Deserialize, Serialize};

/// The parsed `suite.toml`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SuiteSpec {
    /// `area/name`, equal to the folder.
    pub name: String,
    /// What it catches, one sentence.
    pub about: String,
    /// Guest memory, MiB.
    pub memory_mib: u32,
    /// Host programs copied (with their libraries) into the initramfs, such as `mkfs.btrfs`.
    #[serde(default)]
    pub tools: Vec<String>,
    /// Kernel configuration fragments, file names beside `suite.toml` or `../` in the area folder.
    #[serde(default)]
    pub config: Vec<String>,
    /// Sources of the kernel that the suite is about, files and folders (with a slash at the end):
    /// commits that touch them are suspected first.
    #[serde(default)]
    pub sources: Vec<String>,
    /// Extra kernel command line.
    #[serde(default)]
    pub cmdline: String,
    pub case: Vec<CaseSpec>,
}

/// One test in a suite.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CaseSpec {
    pub name: String,
    pub about: String,
    /// Script file beside `suite.toml`, run with the guest's `/bin/sh`.
    pub script: String,
    /// Guest seconds (virtual in exact mode).
    #[serde(default = "default_timeout_s")]
    pub timeout_s: u64,
}

fn default_timeout_s() -> u64 {
    120
}

/// One file of a suite as sent with a lease.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SuiteFile {
    /// Relative path without `..`.
    pub path: String,
    pub content: String,
}

/// A suite as sent with a lease: everything the guest needs besides host programs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SuiteBundle {
    pub spec: SuiteSpec,
    /// The spec's scripts and their helpers, sorted by path.
    pub files: Vec<SuiteFile>,
    /// SHA-256 over spec and files, lower-case hex: part of the test identity.
    pub digest: String,
}
