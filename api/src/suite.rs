//! Suites: what `suites/<area>/<name>/suite.toml` says, and how it travels to a worker.

use serde::{Deserialize, Serialize};

use crate::version::{Version, Versions};

/// The parsed `suite.toml`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
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
    /// Selftests of the candidate's own tree (`TARGETS` of tools/testing/selftests): built after
    /// the kernel, in the guest below `/kselftest`. A target that a tree lacks is not there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kselftest: Vec<String>,
    /// Time for a run of it, wall seconds; none: that of every test.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline_s: Option<u64>,
    /// Extra kernel command line.
    #[serde(default)]
    pub cmdline: String,
    pub case: Vec<CaseSpec>,
}

/// One test in a suite.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct CaseSpec {
    pub name: String,
    pub about: String,
    /// Script file beside `suite.toml`, run with the guest's `/bin/sh`.
    pub script: String,
    /// Guest seconds (virtual in exact mode).
    #[serde(default = "default_timeout_s")]
    pub timeout_s: u64,
    /// Kernels it is for, by the version of the running one: outside of these it is skipped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Version>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Version>,
    /// Kernels that it is skipped on although it is for them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub excluded: Vec<Excluded>,
    /// What its lines say besides its exit code.
    #[serde(default, skip_serializing_if = "Patterns::is_empty")]
    pub patterns: Patterns,
}

impl CaseSpec {
    pub fn versions(&self) -> Versions {
        Versions {
            since: self.since,
            until: self.until,
        }
    }
}

/// Kernels that a case is skipped on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Excluded {
    /// From this version on; none: from the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Version>,
    /// Up to this version; none: to the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Version>,
    /// A few words for people.
    pub why: String,
}

impl Excluded {
    /// Whether a kernel that names its release so is one of them.
    pub fn holds(&self, release: &str) -> bool {
        self.versions().outside(release).is_none()
    }

    pub fn versions(&self) -> Versions {
        Versions {
            since: self.since,
            until: self.until,
        }
    }
}

/// Regular expressions on the lines that a case prints and that the kernel logs meanwhile.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Patterns {
    /// The case failed if a line matches.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fails_when: Option<String>,
    /// The case failed unless a line matches.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub passes_when: Option<String>,
}

impl Patterns {
    pub fn is_empty(&self) -> bool {
        *self == Patterns::default()
    }
}

fn default_timeout_s() -> u64 {
    120
}

/// One file of a suite as sent with a lease.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SuiteFile {
    /// Relative path without `..`.
    pub path: String,
    pub content: String,
    #[serde(default, skip_serializing_if = "FileKind::is_text")]
    pub kind: FileKind,
}

/// What a file's content is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum FileKind {
    /// The file itself.
    #[default]
    Text,
    /// The file in base64.
    Base64,
    /// A C source; the file is what the worker compiles from it.
    C,
}

impl FileKind {
    fn is_text(&self) -> bool {
        *self == FileKind::Text
    }
}

/// A suite as sent with a lease: everything the guest needs besides host programs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SuiteBundle {
    pub spec: SuiteSpec,
    /// The spec's scripts and their helpers, sorted by path.
    pub files: Vec<SuiteFile>,
    /// SHA-256 over spec and files, lower-case hex: part of the test identity.
    pub digest: String,
}
