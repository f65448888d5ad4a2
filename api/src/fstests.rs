//! fstests: the tests of file systems, from a checkout that is a registered tree.

use serde::{Deserialize, Serialize};

/// Name of the suite whose cases are tests of fstests.
pub const SUITE: &str = "btrfs/fstests";

/// Which fstests a job runs, and which of its tests besides the request's `cases`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Fstests {
    /// The registered tree that holds fstests.
    pub tree: String,
    /// A revision of it; stored as the full id.
    pub rev: String,
    /// Groups, such as `quick`: their tests of `generic` and `btrfs` are added to the cases. Stored
    /// as the cases they stand for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
    /// Tests that are skipped, whatever the kernel.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exclude: Vec<String>,
}

/// The fstests that a build brings along.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Pinned {
    /// Name of the tree.
    pub tree: String,
    /// Full commit id.
    pub rev: String,
}
