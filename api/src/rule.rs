//! Rules: what is run when a branch moves or a tag appears, and who may say that one did.

use serde::{Deserialize, Serialize};

use crate::job::{JobConfig, Signal};
use crate::lease::RunMode;

/// Services that tell of pushes and take a status; Gitea is `forgejo`.
pub const SERVICES: [&str; 3] = ["github", "gitlab", "forgejo"];
/// Jobs of one rule in a day, at most.
pub const BUDGET_MOST: u32 = 1000;
/// Minutes between two fetches of a tree: least and most.
pub const FETCH_MINUTES: (u32, u32) = (1, 7 * 24 * 60);

/// `POST /api/v1/rules`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct NewRule {
    pub tree: String,
    /// `[a-z0-9][a-z0-9._-]{0,62}`, once in a tree.
    pub name: String,
    /// Names of branches or tags; `*` stands for anything.
    pub refs: String,
    #[serde(default)]
    pub on: On,
    pub run: Template,
    /// Jobs a day: checks and bisections.
    #[serde(default = "default_budget")]
    pub budget: u32,
    #[serde(default = "yes")]
    pub enabled: bool,
    /// Where the state of a check is written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<StatusTo>,
}

/// What a rule watches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum On {
    /// Branches that move.
    #[default]
    Branch,
    /// Tags that appear.
    Tag,
}

/// What is run on a head, and then between the last good one and it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Template {
    /// `area/name`.
    pub suite: String,
    /// Cases of the suite; empty = all.
    #[serde(default)]
    pub cases: Vec<String>,
    /// What counts. `failure`: any case that fails, any crash.
    #[serde(default)]
    pub signal: Signal,
    #[serde(default)]
    pub config: JobConfig,
    #[serde(default = "default_mode")]
    pub mode: RunMode,
    #[serde(default = "default_vcpus")]
    pub vcpus: u32,
    /// Runs of a check, 1 to 50.
    #[serde(default = "default_runs")]
    pub runs: u32,
    /// Its jobs and regressions are seen by its owner and by operators only.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub private: bool,
}

/// Where the state of a check is written: a commit status of a service.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct StatusTo {
    /// One of [`SERVICES`].
    pub service: String,
    /// Such as `https://api.github.com`, `https://gitlab.com` or `https://codeberg.org`.
    pub url: String,
    /// `OWNER/REPOSITORY`; of GitLab a path or a number.
    pub project: String,
    /// May write statuses there. It is told to nobody again.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub token: String,
}

/// Without the token.
impl std::fmt::Debug for StatusTo {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {} {}", self.service, self.url, self.project)
    }
}

fn default_budget() -> u32 {
    20
}
fn yes() -> bool {
    true
}
fn default_mode() -> RunMode {
    RunMode::Exact
}
fn default_vcpus() -> u32 {
    1
}
fn default_runs() -> u32 {
    3
}

/// `PATCH /api/v1/rules/{id}`: what is left out stays.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct RuleChange {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refs: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<Template>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<StatusTo>,
}

/// Answer to [`NewRule`] and `POST /api/v1/rules/{id}/secret`: the only time that the secret is told.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct MadeRule {
    pub id: i64,
    /// `whsec_<base64>`: what pushes to the hooks of the rule are signed with.
    pub secret: String,
}

/// Where a service posts its pushes.
pub fn hook_path(service: &str, rule: i64) -> String {
    format!("/api/v1/hooks/{service}/{rule}")
}

/// `GET /api/v1/rules`: those of who asks, for operators all.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Rule {
    pub id: i64,
    pub owner: String,
    /// Without the token of its status.
    pub rule: NewRule,
    pub created_at: String,
    /// Jobs that it made in the last 24 hours.
    pub jobs_today: i64,
    /// Heads that wait for the budget.
    pub waiting: i64,
}

/// `GET /api/v1/rules/{id}/heads`, newest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Head {
    pub id: i64,
    /// Of the branch or tag.
    #[serde(rename = "ref")]
    pub reference: String,
    pub rev: String,
    pub subject: String,
    /// `fetch`, `trigger`, or the service that it was pushed to.
    pub told_by: String,
    pub seen_at: String,
    /// `known` (there before the rule was, and not run), `waiting`, `running`, `done`, or `left-out`
    /// (another one came before it was run).
    pub state: String,
    /// `good`, `bad` or `nothing`, once it is done.
    pub verdict: Option<String>,
    /// What fails, or why it says nothing.
    pub why: String,
    /// The check.
    pub job: Option<i64>,
}

/// `POST /api/v1/triggers/{id}`: without a revision, what the branch or tag names; without both, every
/// branch or tag of the rule is looked at.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Trigger {
    #[serde(default, rename = "ref", skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rev: Option<String>,
}

/// Answer to a trigger or a push.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Triggered {
    /// `accepted` (202), `ignored` (202) or `known` (200: this very message was told before).
    pub state: String,
    /// Why it is ignored.
    pub why: String,
}

/// `PUT /api/v1/trees/{name}/schedule`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Schedule {
    /// Minutes between two fetches; null: only when somebody asks.
    pub minutes: Option<u32>,
}

/// Whether a name is one that a pattern means: `*` stands for any characters, `?` for one.
pub fn matches(pattern: &str, name: &str) -> bool {
    let pattern: Vec<char> = pattern.chars().collect();
    let name: Vec<char> = name.chars().collect();
    let (mut p, mut n) = (0, 0);
    // Where to go on when the last `*` has to stand for one more character.
    let mut back: Option<(usize, usize)> = None;
    while n < name.len() {
        match pattern.get(p) {
            Some('*') => {
                p += 1;
                back = Some((p, n));
            }
            Some(c) if *c == '?' || *c == name[n] => {
                p += 1;
                n += 1;
            }
            _ => {
                let Some((after, from)) = back else {
                    return false;
                };
                back = Some((after, from + 1));
                (p, n) = (after, from + 1);
            }
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_mean_names() {
        for (pattern, name, means) in [
            ("main", "main", true),
            ("main", "main2", false),
            ("*", "a/b", true),
            ("v7.*", "v7.2-rc1", true),
            ("v7.*", "v6.18", false),
            ("linux-?.*.y", "linux-6.12.y", true),
            ("linux-?.*.y", "linux-6.12.z", false),
            ("*-rc*", "v7.2-rc1", true),
            ("", "", true),
            ("", "a", false),
            ("**", "", true),
        ] {
            assert_eq!(matches(pattern, name), means, "{pattern} {name}");
        }
    }
}
