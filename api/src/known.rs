//! What is known of a commit besides a job: where the same change lives, and what came after it.

use serde::{Deserialize, Serialize};

/// `GET /api/v1/jobs/{id}/known`, of a job that has named a commit.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Known {
    /// The same change elsewhere, surest first.
    pub same: Vec<Same>,
    /// Commits that repair it or take it back, oldest first.
    pub later: Vec<Later>,
    /// Where was looked, and how far.
    pub looked: Vec<LookedThrough>,
}

/// The same change as another commit, or the same commit in another tree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Same {
    pub tree: String,
    pub rev: String,
    pub subject: String,
    /// Commit time, RFC 3339, UTC.
    pub at: String,
    pub how: Likeness,
}

/// Why two commits are held to be the same change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Likeness {
    /// It is the same commit.
    Commit,
    /// `git patch-id --stable` says so.
    Patch,
    /// One names the other as what it was taken from.
    Named,
    /// The title alone: a hint.
    Title,
}

/// A commit that names the change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Later {
    pub tree: String,
    pub rev: String,
    pub subject: String,
    /// Commit time, RFC 3339, UTC.
    pub at: String,
    /// True: it takes the change back. False: it says that it repairs it (`Fixes:`).
    pub reverts: bool,
    /// The commit that it names, full id: the culprit, or the same change elsewhere.
    pub names: String,
}

/// How far a tree is looked through.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct LookedThrough {
    pub tree: String,
    /// Commits of its branches and tags.
    pub commits: i64,
    /// Older ones were left out; none: it is all of them.
    pub since: Option<String>,
    /// False while commits of the last fetch are still read.
    pub done: bool,
}

/// A job that has answered a question like this one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Answered {
    pub job: i64,
    /// The commit that it named: it lies in this range.
    pub rev: String,
    pub subject: String,
}
