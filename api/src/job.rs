//! Jobs: between good and bad, which revision changed the answer?

use serde::{Deserialize, Serialize};

use crate::amend::{Mend, Retraction};
use crate::custom::CustomTest;
use crate::fstests::Fstests;
use crate::known::Answered;
use crate::lease::{ConfigBase, RunMode, is_zero};
use crate::patch::PatchworkPatch;
use crate::terms::{Budget, Callback, Priority};

/// `POST /api/v1/jobs`. Header `Idempotency-Key` optional.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct NewJob {
    pub tree: String,
    /// Revisions without the behaviour looked for (the *old* end when `find` is `fix`). None: the
    /// releases before `bad` are walked back over until one is good.
    #[serde(default)]
    pub good: Vec<String>,
    /// The revision with it (the *new* end).
    pub bad: String,
    #[serde(default)]
    pub find: Find,
    /// `area/name`, or `custom` for a test of one's own.
    pub suite: String,
    // Absent without one: the digests of requests made before must stay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub custom: Option<CustomTest>,
    /// Cases of the suite; empty = all.
    #[serde(default)]
    pub cases: Vec<String>,
    #[serde(default)]
    pub signal: Signal,
    #[serde(default)]
    pub config: JobConfig,
    #[serde(default = "default_mode")]
    pub mode: RunMode,
    #[serde(default = "default_vcpus")]
    pub vcpus: u32,
    /// Exact mode: an instruction takes 2^shift ns of guest time, 0 to 8. Timers come more often then,
    /// so the seeds reach more schedules.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub shift: u8,
    /// Runs per candidate; 0 = decided from the rate seen at the bad end.
    #[serde(default)]
    pub runs: u32,
    /// A commit is named at this chance, 0.9 to 0.9999.
    #[serde(default = "default_confidence")]
    pub confidence: f64,
    /// After so many runs the job ends with the best answer so far.
    #[serde(default = "default_max_runs")]
    pub max_runs: u32,
    /// First seed; further runs count up from it.
    #[serde(default = "default_seed")]
    pub seed: u64,
    /// Revisions not to test.
    #[serde(default)]
    pub skip: Vec<String>,
    /// Only commits that touch one of these paths are candidates.
    #[serde(default)]
    pub paths: Vec<String>,
    #[serde(default)]
    pub first_parent: bool,
    /// Search the first parents; when the answer is a merge, a second job looks into it.
    #[serde(default)]
    pub merge_first: bool,
    /// When the answer changed more than once, search every change with a job of its own.
    #[serde(default)]
    pub every_flip: bool,
    /// Patches applied to every candidate.
    #[serde(default)]
    pub fixups: Vec<String>,
    /// Compare the ends alone; `good` need not be an ancestor of `bad`.
    // Absent when false: the digests of requests made before must stay.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub two_point: bool,
    /// Only these revisions between the ends are candidates.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub only: Vec<String>,
    /// The suite's selftests are those of this revision (of a tree of releases: a source release) for
    /// every candidate, and not each candidate's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selftests_from: Option<String>,
    /// Of the suite `btrfs/fstests`: where its tests come from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fstests: Option<Fstests>,
    /// Run everything `runs` times and search nothing: one row of suites in a survey.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub survey: bool,
    /// Seen by who submits it and by operators only; so are the jobs it leads to.
    // Absent when false: the digests of requests made before must stay.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub private: bool,
    #[serde(default)]
    pub title: Option<String>,
    /// Words to find it by: letters, digits and `._:/-`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<String>,
    #[serde(default, skip_serializing_if = "Priority::is_normal")]
    pub priority: Priority,
    #[serde(default, skip_serializing_if = "Budget::is_unlimited")]
    pub budget: Budget,
    /// The search is planned for so many workers, even if there are more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parallelism: Option<u32>,
    /// Only workers whose compiler is called so (a part of what they say, such as `gcc (Debian 12.2`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub toolchain: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub callback: Option<Callback>,
    /// A patch that is told what becomes of the job. Not of a private one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub patchwork: Option<PatchworkPatch>,
    /// A job of its own, even while another one looks for the same answer.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub fresh: bool,
}

impl NewJob {
    /// A request that says nothing but this, with no ends yet.
    pub fn of(tree: &str, suite: &str) -> NewJob {
        NewJob {
            tree: tree.to_owned(),
            good: Vec::new(),
            bad: String::new(),
            find: Find::default(),
            suite: suite.to_owned(),
            custom: None,
            cases: Vec::new(),
            signal: Signal::default(),
            config: JobConfig::default(),
            mode: default_mode(),
            vcpus: default_vcpus(),
            shift: 0,
            runs: 0,
            confidence: default_confidence(),
            max_runs: default_max_runs(),
            seed: default_seed(),
            skip: Vec::new(),
            paths: Vec::new(),
            first_parent: false,
            merge_first: false,
            every_flip: false,
            fixups: Vec::new(),
            two_point: false,
            only: Vec::new(),
            survey: false,
            selftests_from: None,
            fstests: None,
            private: false,
            title: None,
            labels: Vec::new(),
            priority: Priority::default(),
            budget: Budget::default(),
            parallelism: None,
            toolchain: None,
            callback: None,
            patchwork: None,
            fresh: false,
        }
    }
}

/// `POST /api/v1/jobs/{id}/cancel`; the body may be left out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Cancel {
    #[serde(default)]
    pub reason: String,
}

fn default_mode() -> RunMode {
    RunMode::Exact
}
fn default_vcpus() -> u32 {
    1
}
fn default_confidence() -> f64 {
    0.995
}
fn default_max_runs() -> u32 {
    2000
}
fn default_seed() -> u64 {
    1
}

/// What the search looks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Find {
    /// The commit that broke it: good is old, bad is new.
    #[default]
    Regression,
    /// The commit that repaired it: the behaviour is present at `good`'s end and gone at `bad`'s.
    Fix,
}

/// What counts as bad.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case", tag = "kind", deny_unknown_fields)]
pub enum Signal {
    /// A case fails; the failing cases and crash titles of the bad end are the reference.
    #[default]
    Failure,
    /// One of these cases fails; how the others end does not matter.
    Cases { cases: Vec<String> },
    /// A crash with this title (substring).
    Crash { title: String },
    /// A metric beyond a threshold; without one, nearer to what it is at the end that shows the
    /// behaviour. Direction comes from the metric's own `better`.
    Metric {
        name: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        threshold: Option<f64>,
    },
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct JobConfig {
    /// Default: that of the tree, whose fragment then comes before the user's; if the tree has none,
    /// tinyconfig.
    #[serde(default)]
    pub base: Option<ConfigBase>,
    /// User's fragment, after the suite's.
    #[serde(default)]
    pub fragment: String,
}

/// `POST /api/v1/jobs/preview` and part of [`Job`]: what the request means before it costs anything.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Range {
    /// Resolved ends; no good one while it is looked for.
    pub good: Vec<String>,
    pub bad: String,
    /// Candidates, or the releases among which a good one is looked for.
    pub revisions: usize,
    pub merges: usize,
    /// ceil(log2(candidates)).
    pub steps: u32,
    /// Of a request without a good end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub walk: Option<Walk>,
    /// Of a preview: a job that has answered this already.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answered: Option<Answered>,
}

/// The way back over releases to a good one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Walk {
    /// Releases there are before the bad end.
    pub releases: usize,
    /// The oldest of them.
    pub oldest: String,
    /// Those looked at, newest first.
    pub looked: Vec<Looked>,
}

/// A release that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Looked {
    /// Its tag.
    pub release: String,
    /// `good`, `bad`, `skip` or `running`.
    pub verdict: String,
}

/// How a job ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "outcome", rename_all = "kebab-case")]
pub enum Outcome {
    /// One commit, verified.
    Culprit {
        rev: String,
        subject: String,
        author: String,
        /// Probability, 0..1.
        confidence: f64,
        checks: Vec<Check>,
        /// When it is a merge of which every side alone answers as before: these sides.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        sides: Vec<RevSubject>,
    },
    /// Skips hide it: exactly these are left.
    Range {
        candidates: Vec<RevSubject>,
        confidence: f64,
        checks: Vec<Check>,
    },
    /// Two points were compared, and they differ as asked.
    Differs {
        why: String,
        /// Probability that the clean ends are not clean by chance, 0..1.
        confidence: f64,
        checks: Vec<Check>,
    },
    /// Everything a survey asked for was run.
    Surveyed {
        releases: usize,
    },
    /// The ends do not differ.
    NotReproduced {
        why: String,
        checks: Vec<Check>,
    },
    /// The good end was left out, and no release before the bad one turned out to be good.
    NoGoodEnd {
        why: String,
        checks: Vec<Check>,
    },
    /// The evidence contradicts itself or the infrastructure failed for good.
    Unresolved {
        why: String,
    },
    Cancelled,
}

impl Outcome {
    /// Its name, as it is written.
    pub fn name(&self) -> &'static str {
        match self {
            Outcome::Culprit { .. } => "culprit",
            Outcome::Range { .. } => "range",
            Outcome::Differs { .. } => "differs",
            Outcome::Surveyed { .. } => "surveyed",
            Outcome::NotReproduced { .. } => "not-reproduced",
            Outcome::NoGoodEnd { .. } => "no-good-end",
            Outcome::Unresolved { .. } => "unresolved",
            Outcome::Cancelled => "cancelled",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct RevSubject {
    pub rev: String,
    pub subject: String,
}

/// A commit and its chance to be the answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Likely {
    pub rev: String,
    pub subject: String,
    /// Probability, 0..1.
    pub chance: f64,
}

/// One check of the verification.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Check {
    /// `good end`, `bad end`, `parent`, `culprit`.
    pub name: String,
    pub passed: bool,
    /// False when it could not be made: then it says nothing, and `detail` says why.
    #[serde(default = "made")]
    pub made: bool,
    /// Such as "12 of 12 runs passed".
    pub detail: String,
    /// Attempts that it rests on, where no revision of the range has them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attempts: Vec<i64>,
}

fn made() -> bool {
    true
}

/// What a person says of a revision. For `find: fix` bad means "still present", as in [`Candidate`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Word {
    Good,
    Bad,
    /// Cannot be tested.
    Skip,
}

impl Word {
    pub fn as_str(self) -> &'static str {
        match self {
            Word::Good => "good",
            Word::Bad => "bad",
            Word::Skip => "skip",
        }
    }

    /// The word spelt so.
    pub fn read(text: &str) -> Option<Word> {
        [Word::Good, Word::Bad, Word::Skip]
            .into_iter()
            .find(|w| w.as_str() == text)
    }
}

/// `POST /api/v1/jobs/{id}/marks`; `DELETE …/marks/{rev}` takes it back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct NewMark {
    /// Commit id, at least seven digits of it.
    pub rev: String,
    pub mark: Word,
    #[serde(default)]
    pub why: String,
}

/// A mark that counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct HumanMark {
    pub mark: Word,
    /// Name of the token.
    pub who: String,
    pub why: String,
    pub at: String,
}

/// One tested revision of a job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Candidate {
    pub rev: String,
    pub subject: String,
    /// Topological position in the range, ends included.
    pub position: i32,
    /// `good`, `bad`, `skip`, `running`, `untested`, or `weak`: tested, but not often enough. For `find: fix` bad means "still present".
    pub verdict: String,
    /// Why, in one sentence.
    pub why: String,
    /// What a person says of it: it counts, whatever its runs say.
    #[serde(default)]
    pub mark: Option<HumanMark>,
    pub bad_runs: u32,
    pub runs: u32,
    pub build: Option<i64>,
    /// `ready`, `leased`, `done`, `held`, `failed`.
    pub build_state: String,
    /// True when an earlier job had built it.
    pub build_reused: bool,
    pub signature: Option<String>,
    /// Test attempts.
    pub tests: Vec<CandidateTest>,
    pub metric: Option<f64>,
    /// Why it was chosen.
    pub reason: String,
    /// In which round of choices, from 1; those of a round were chosen at once. 0: by none.
    #[serde(default)]
    pub round: u32,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct CandidateTest {
    pub attempt: i64,
    pub seed: i64,
    pub state: String,
    /// `good`, `bad`, `skip` or empty while running.
    pub verdict: String,
    pub why: String,
    /// True when another job, or another commit with the same kernel, had run it.
    pub reused: bool,
    /// The job's metric in this run, beside what the machine measured at that time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<f64>,
}

/// A job that led to another, or that it led to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Related {
    pub id: i64,
    /// Why there is a second job, in a few words.
    pub why: String,
    /// As in [`Job::state`].
    pub state: String,
    /// As in [`Job::sentence`], once it has ended.
    pub sentence: Option<String>,
}

/// Somebody who asked what a job was looking for already.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Requester {
    pub who: String,
    pub at: String,
}

/// Cost of a job so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Cost {
    pub builds: i64,
    pub builds_reused: i64,
    pub boots: i64,
    pub boots_reused: i64,
    pub build_ms: i64,
    pub test_ms: i64,
}

/// What became of the exact runs of a job that were run again.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Exactness {
    /// Second runs asked for; each of them costs one boot.
    pub repeated: u32,
    /// Those that gave the same bytes and numbers.
    pub same: u32,
    /// Those that did not: an alarm. Such a run is no evidence.
    pub differ: Vec<NotExact>,
}

/// An exact run that was not the same when it was run again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct NotExact {
    pub attempt: i64,
    /// The attempt that ran it again.
    pub again: i64,
    /// What differed first.
    pub what: String,
}

/// What the two ends of a performance job have not in common besides their commits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Confounder {
    /// `compiler`, `configuration`, `command line` or `QEMU`.
    pub what: String,
    /// The option, word or program that differs.
    pub name: String,
    /// At the good (old) and at the bad (new) end; empty: not there.
    pub good: String,
    pub bad: String,
}

/// What a guilty release differs in from the one before, when no tree has the commits between them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Difference {
    /// Versions.
    pub old: String,
    pub new: String,
    /// None: there is no source of both.
    pub changes: Option<Changes>,
    /// What the changes are limited to, or why there are none.
    pub note: String,
    /// What is needed to go on.
    pub needs: String,
}

/// A diffstat, bounded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Changes {
    /// Only of files that one of the two kernels was compiled from, and of what says how to build.
    pub limited: bool,
    /// Files that differ at all.
    pub all: usize,
    /// Of those that count.
    pub total: Changed,
    /// Those that changed most, first.
    pub directories: Vec<Changed>,
    pub files: Vec<Changed>,
}

/// A file or directory and how much of it changed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Changed {
    /// Empty: all of it.
    pub path: String,
    pub files: usize,
    /// Lines.
    pub added: u64,
    pub removed: u64,
}

/// `GET /api/v1/jobs/{id}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Job {
    pub id: i64,
    pub title: String,
    /// Who asked, `user:NAME` or `token:NAME`; empty: it was asked before there were accounts.
    #[serde(default)]
    pub owner: String,
    /// `queued`, `running`, `done` or `cancelled`.
    pub state: String,
    /// One sentence about where it stands.
    pub sentence: String,
    pub request: NewJob,
    pub range: Range,
    /// Candidates that could still be the answer.
    pub left: usize,
    /// Revisions with a verdict, and the expected total.
    pub step: usize,
    pub steps: usize,
    pub eta_s: Option<u64>,
    pub outcome: Option<Outcome>,
    pub cost: Cost,
    pub candidates: Vec<Candidate>,
    /// The likeliest commits, most likely first, once both ends are known.
    #[serde(default)]
    pub likely: Vec<Likely>,
    /// Commits that touch what the kernels at the ends were compiled from, once that is known: they
    /// are tested first.
    #[serde(default)]
    pub relevant: Option<usize>,
    /// Failing cases that went apart: this job goes on with these, others in [`Job::further`] jobs.
    #[serde(default)]
    pub narrowed: Vec<String>,
    /// Exact runs that were run again.
    #[serde(default)]
    pub exactness: Exactness,
    /// Of a metric: what differs between the ends besides their commits; null until both are built,
    /// and for other signals.
    #[serde(default)]
    pub confounders: Option<Vec<Confounder>>,
    /// Of a guilty release that could not be looked into.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub difference: Option<Difference>,
    /// Patches for candidates that could not be built or run without them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mends: Vec<Mend>,
    /// Attempts given up because of failures of ours.
    #[serde(default)]
    pub held: usize,
    /// Somebody took the result back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retracted: Option<Retraction>,
    /// Who asked the same while it went on, and when: `user:NAME` or `token:NAME`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub also_asked: Vec<Requester>,
    /// The job that led to this one.
    #[serde(default)]
    pub origin: Option<Related>,
    /// The jobs that this one led to.
    #[serde(default)]
    pub further: Vec<Related>,
    /// Milliseconds spent by stage: `source`, `configure`, `build`, `boot`, `test`, `upload`.
    pub stage_ms: std::collections::BTreeMap<String, i64>,
    pub created_at: String,
    pub ended_at: Option<String>,
}

/// `POST /api/v1/jobs` answers 201 with this, or 200 when another request had made the job: one with
/// the same idempotency key, or one that asks the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Created {
    pub id: i64,
    pub url: String,
    pub created: bool,
    /// Somebody else had asked the same, and this is their job.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub joined: bool,
    /// What deliveries to the callback are signed with, when the server made it. It is told only here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub callback_secret: Option<String>,
    /// A job that has answered this already.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answered: Option<Answered>,
}
