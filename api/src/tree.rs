//! Trees: mirrored kernel repositories.

use serde::{Deserialize, Serialize};

use crate::job::{JobConfig, RevSubject};

/// `POST /api/v1/trees`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct NewTree {
    /// `[a-z0-9][a-z0-9._-]{0,62}`.
    pub name: String,
    /// `https://` URL, an absolute path on the server (admin token), or `debian:SUITE,SUITE`: the
    /// releases that Debian's archive has.
    pub url: String,
    /// For jobs on this tree that name no base.
    #[serde(default)]
    pub config: JobConfig,
}

/// One tree as listed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Tree {
    pub id: i64,
    pub name: String,
    pub url: String,
    /// RFC 3339, UTC.
    pub created_at: String,
    pub fetched_at: Option<String>,
    /// Why the last fetch failed.
    pub fetch_error: Option<String>,
    pub refs: i64,
    /// For jobs on this tree that name no base.
    #[serde(default)]
    pub config: JobConfig,
    /// Minutes between two fetches; none: only when somebody asks.
    #[serde(default)]
    pub fetch_minutes: Option<u32>,
}

/// A reference resolved to a commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Resolved {
    /// Full commit id, 40 hex digits.
    pub rev: String,
    pub subject: String,
}

/// `POST /api/v1/trees/{name}/series`: a patch series as commits of the mirror.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct NewSeries {
    /// The revision that the first patch applies to.
    pub base: String,
    /// Mails as `git format-patch --stdout` writes them, in order.
    pub mbox: String,
    /// One commit of all patches.
    #[serde(default)]
    pub squash: bool,
}

/// `POST /api/v1/trees/{name}/configs`: the way between two configurations as commits of the mirror.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct NewConfigs {
    /// The revision to be configured.
    pub rev: String,
    /// A whole .config without the behaviour looked for.
    pub good: String,
    /// A whole .config with it.
    pub bad: String,
}

/// A history that the server wrote into its mirror, to be searched like any other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct History {
    /// The good end: what the series applies to, or the commit that holds the good configuration.
    pub base: String,
    /// The bad end.
    pub tip: String,
    /// From the first after `base` to `tip`.
    pub commits: Vec<RevSubject>,
    /// Keeps them in the mirror.
    pub reference: String,
}

/// Where [`NewConfigs`] puts the configuration in the tree.
pub const CONFIG_PATH: &str = ".firstbad/config";
