//! Accounts of people, and what they may do.

use serde::{Deserialize, Serialize};

/// What somebody may do; each may do all that those before it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Reads.
    Viewer,
    /// Submits jobs and surveys, and acts on those of its own.
    Submitter,
    /// Acts on all jobs, sees private ones, manages trees.
    Operator,
    /// Manages accounts.
    Admin,
}

impl Role {
    pub const ALL: [Role; 4] = [Role::Viewer, Role::Submitter, Role::Operator, Role::Admin];

    pub fn as_str(self) -> &'static str {
        match self {
            Role::Viewer => "viewer",
            Role::Submitter => "submitter",
            Role::Operator => "operator",
            Role::Admin => "admin",
        }
    }

    /// The role spelt so.
    pub fn read(text: &str) -> Option<Role> {
        Role::ALL.into_iter().find(|r| r.as_str() == text)
    }
}

/// `POST /api/v1/users`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct NewUser {
    /// 1 to 40 of a-z, 0-9, `.`, `_` and `-`, beginning with a letter.
    pub name: String,
    pub role: Role,
    /// 10 to 200 characters.
    pub password: String,
}

/// `PATCH /api/v1/users/{name}`: what is left out stays.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct UserChange {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<Role>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
    /// A disabled account is signed out, and its tokens do nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disabled: Option<bool>,
}

/// `GET /api/v1/users`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct User {
    pub name: String,
    pub role: String,
    pub disabled: bool,
    /// The identity provider it signs in with; without one it has a password here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
    pub created_at: String,
    /// When one of its sessions was last used.
    pub seen_at: Option<String>,
}

/// `POST /api/v1/tokens`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct NewToken {
    /// What it is for: 1 to 40 of a-z, 0-9, `.`, `_` and `-`, beginning with a letter.
    pub name: String,
    /// At most the role of who makes it; `worker` is for operators to make.
    pub role: TokenRole,
    /// Until it expires, 1 to 3650.
    #[serde(default = "default_days")]
    pub days: u32,
}

/// Default of [`NewToken::days`].
pub fn default_days() -> u32 {
    365
}

/// What a token may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum TokenRole {
    Viewer,
    Submitter,
    Operator,
    Admin,
    /// Builds, runs and reports, and nothing else.
    Worker,
}

impl TokenRole {
    /// The same of an account; none: it is a worker's.
    pub fn role(self) -> Option<Role> {
        match self {
            TokenRole::Viewer => Some(Role::Viewer),
            TokenRole::Submitter => Some(Role::Submitter),
            TokenRole::Operator => Some(Role::Operator),
            TokenRole::Admin => Some(Role::Admin),
            TokenRole::Worker => None,
        }
    }
}

/// Answer to [`NewToken`]: the only time that the token is told.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct MadeToken {
    pub id: String,
    /// `fb_<id>_<secret>`.
    pub token: String,
}

/// `GET /api/v1/tokens`: those of who asks, and all of them for an admin. `DELETE …/{id}` revokes one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Token {
    pub id: String,
    /// As in the record of what was done: who made it, and what for.
    pub name: String,
    /// As [`TokenRole`] spells it.
    pub role: String,
    pub created_at: String,
    pub expires_at: Option<String>,
    pub revoked_at: Option<String>,
    /// To the minute.
    pub used_at: Option<String>,
}
