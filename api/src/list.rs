//! The list of jobs: what can be asked of it, and what it tells.

use serde::{Deserialize, Serialize};

/// Longest text to look for, characters.
pub const TEXT_CHARS: usize = 200;
/// Jobs in one answer: unless said, and at most.
pub const JOBS: usize = 50;
pub const JOBS_MOST: usize = 200;
/// What a job can be.
pub const STATES: [&str; 4] = ["running", "queued", "done", "cancelled"];
/// How it can have ended, as [`crate::job::Outcome`] is written.
pub const OUTCOMES: [&str; 8] = [
    "culprit",
    "range",
    "differs",
    "surveyed",
    "not-reproduced",
    "no-good-end",
    "unresolved",
    "cancelled",
];
/// What it can look for, as [`crate::job::Signal`] is written.
pub const SIGNALS: [&str; 4] = ["failure", "cases", "crash", "metric"];
/// What somebody has to do with it: look into it, wait, or read it.
pub const GROUPS: [&str; 3] = ["person", "now", "answered"];

/// Query of `GET /api/v1/jobs`; what is left out or empty narrows nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct JobsQuery {
    /// Words: each has to begin a word of the job's title, suite, tree, ends or signal, or of the
    /// subject or author of commits that stand together in its range. A word may be the beginning of a
    /// commit's id, at least five digits; `#7` is job 7.
    pub q: String,
    /// One of [`GROUPS`].
    pub group: String,
    /// One of [`STATES`].
    pub state: String,
    pub tree: String,
    pub suite: String,
    /// One of [`OUTCOMES`].
    pub outcome: String,
    /// One of [`SIGNALS`].
    pub signal: String,
    /// Those with this label.
    pub label: String,
    /// `1`: only those of who asks.
    pub mine: String,
    /// At most so many jobs.
    pub limit: String,
    /// Goes on where an answer said [`JobList::next`].
    pub cursor: String,
}

impl JobsQuery {
    /// Names and values of what is given.
    pub fn given(&self) -> Vec<(&'static str, &str)> {
        let all = [
            ("q", &self.q),
            ("group", &self.group),
            ("state", &self.state),
            ("tree", &self.tree),
            ("suite", &self.suite),
            ("outcome", &self.outcome),
            ("signal", &self.signal),
            ("label", &self.label),
            ("mine", &self.mine),
            ("limit", &self.limit),
            ("cursor", &self.cursor),
        ];
        let given = all.into_iter().filter(|(_, value)| !value.is_empty());
        given.map(|(name, value)| (name, value.as_str())).collect()
    }

    /// The same as part of an address.
    pub fn encoded(&self) -> String {
        let given = self.given().into_iter();
        let pairs = given.map(|(name, value)| format!("{name}={}", escaped(value)));
        pairs.collect::<Vec<_>>().join("&")
    }
}

/// A value as it stands in an address.
fn escaped(value: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.~".contains(&b);
    let bytes = value.bytes().map(|b| match plain(b) {
        true => char::from(b).to_string(),
        false => format!("%{b:02X}"),
    });
    bytes.collect()
}

/// `GET /api/v1/jobs`: newest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct JobList {
    pub jobs: Vec<Listed>,
    /// The cursor of the jobs after these; none: there are no more.
    pub next: Option<String>,
    /// All that match, on this page or not.
    pub counts: Counts,
}

/// Jobs in each group.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Counts {
    /// Ended without an answer.
    pub person: i64,
    /// Going on.
    pub now: i64,
    pub answered: i64,
}

/// One job in the list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Listed {
    pub id: i64,
    pub title: String,
    /// As in [`crate::job::Job::owner`].
    pub owner: String,
    pub private: bool,
    pub state: String,
    /// One of [`GROUPS`].
    pub group: String,
    /// One sentence about where it stands.
    pub sentence: String,
    pub tree: String,
    /// Ends as asked; resolved, where none was named.
    pub good: Vec<String>,
    pub bad: String,
    pub two_point: bool,
    /// It runs a row of releases for a survey and searches nothing.
    #[serde(default)]
    pub survey: bool,
    /// The suite, or the name of the user's own test.
    pub suite: String,
    /// One of [`SIGNALS`].
    pub signal: String,
    /// One of [`OUTCOMES`].
    pub outcome: Option<String>,
    /// Candidates, and those that could still be the answer.
    pub revisions: usize,
    pub left: usize,
    /// Revisions with a verdict and the expected total, of a job that goes on.
    pub step: usize,
    pub steps: usize,
    pub eta_s: Option<u64>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<String>,
    pub created_at: String,
    pub ended_at: Option<String>,
}
