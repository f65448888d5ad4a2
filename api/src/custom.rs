//! A test that a user brings along instead of naming a suite.

use serde::{Deserialize, Serialize};

use crate::suite::Patterns;

/// Name of the suite that a user's own test becomes, and of its one case.
pub const NAME: &str = "custom";

/// A user's own test: `suite` is then [`NAME`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct CustomTest {
    pub kind: CustomKind,
    /// File name shown to people, such as `repro.c`.
    pub name: String,
    /// The file: text, or base64 of a program.
    pub content: String,
    /// Guest memory, MiB.
    #[serde(default = "default_memory_mib")]
    pub memory_mib: u32,
    /// Guest seconds (virtual in exact mode) after which the test has failed.
    #[serde(default = "default_timeout_s")]
    pub timeout_s: u64,
    #[serde(default, skip_serializing_if = "Patterns::is_empty")]
    pub patterns: Patterns,
}

/// Default of [`CustomTest::memory_mib`].
pub fn default_memory_mib() -> u32 {
    1024
}

/// Default of [`CustomTest::timeout_s`].
pub fn default_timeout_s() -> u64 {
    60
}

/// What the file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum CustomKind {
    /// A shell script, run by the guest's `/bin/sh` (busybox).
    Script,
    /// One C source, compiled statically by the worker.
    C,
    /// A static x86-64 program.
    Program,
}
