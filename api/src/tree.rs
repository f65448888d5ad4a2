//! Trees: mirrored kernel repositories.

use serde::{Deserialize, Serialize};

/// `POST /api/v1/trees`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewTree {
    /// `[a-z0-9][a-z0-9._-]{0,62}`.
    pub name: String,
    /// `https://` URL, or an absolute path on the server (admin token).
    pub url: String,
}

/// One tree as listed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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
}

/// A reference resolved to a commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resolved {
    /// Full commit id, 40 hex digits.
    pub rev: String,
    pub subject: String,
}
