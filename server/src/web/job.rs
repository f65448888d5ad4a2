//! The page of one job.

use askama::Template;
use axum::extract::{Path, Query, State};
use axum::http::header;
use axum::response::IntoResponse;
use firstbad_api::custom::{CustomKind, CustomTest};
use firstbad_api::job::{Candidate, Check, Find, Job, Outcome, Signal};
use firstbad_api::lease::{ConfigBase, RunMode};
use firstbad_api::regression::RegressionsQuery;
use serde::Deserialize;

use super::chart::{self, Landmark, Panel};
use super::chip::Chip;
use super::command::command;
use super::error::{Page, PageError, id, page};
use super::format::{self, short};
use super::record::{self, Entry};
use super::strip::{Strip, strip};
use super::tail::{self, Tail};
use crate::access::Principal;
use crate::api::regressions;
use crate::db;
use crate::error::AppError;
use crate::repo::CommitInfo;
use crate::state::App;

/// With more runs at a revision only their glyphs are shown.
const RUNS_IN_FULL: usize = 4;

/// Glyphs of runs on a page unless all are asked for: of all revisions together, and of one.
const RUNS_SHOWN: usize = 1_500;
const RUNS_OF_ONE: usize = 60;
/// Untested survivors listed on a job page.
const SURVIVORS_SHOWN: usize = 200;

fn is_busy(job: &Job) -> bool {
    matches!(job.state.as_str(), "queued" | "running")
}

/// One row of a small two-column table.
pub struct Fact {
    pub name: &'static str,
    pub value: String,
}

/// A stage and its share of the time, 0 to 100.
pub struct StageTime {
    pub name: String,
    pub time: String,
    pub share: u32,
}

/// `job.html`.
#[derive(Template)]
#[template(path = "job.html")]
pub struct JobPage<'a> {
    id: i64,
    job: &'a Job,
    /// The culprit, when there is one and its tree is readable.
    commit: Option<CommitInfo>,
    busy: bool,
    /// Numbers of the regressions that it looks into.
    regressions: Vec<i64>,
    /// Number of the survey that it belongs to.
    survey: Option<i64>,
    panels: Vec<Panel>,
    strip: Option<Strip>,
    /// Candidates that were built, tested or judged, by position.
    tested: Vec<&'a Candidate>,
    /// Survivors nobody looked at yet.
    untested: Vec<&'a Candidate>,
    untested_more: usize,
    /// Runs of one revision that are shown.
    runs_shown: usize,
    stages: Vec<StageTime>,
    command: String,
    /// What people and the server did with it.
    record: Vec<Entry>,
    /// The ends of the logs that are being written for it.
    tails: Vec<Tail>,
}

impl<'a> JobPage<'a> {
    /// `commit` is the culprit as the tree has it.
    pub fn new(
        job: &'a Job,
        commit: Option<CommitInfo>,
        landmarks: &[Landmark],
        record: Vec<Entry>,
    ) -> JobPage<'a> {
        let mut all: Vec<&Candidate> = job.candidates.iter().collect();
        all.sort_by_key(|c| c.position);
        let touched =
            |c: &&Candidate| c.verdict != "untested" || c.build.is_some() || !c.tests.is_empty();
        let (tested, mut untested): (Vec<_>, Vec<_>) = all.into_iter().partition(touched);
        let untested_more = untested.len().saturating_sub(SURVIVORS_SHOWN);
        untested.truncate(SURVIVORS_SHOWN);
        JobPage {
            id: job.id,
            job,
            commit,
            busy: is_busy(job),
            panels: chart::panels(job, landmarks),
            strip: strip(job),
            runs_shown: (RUNS_SHOWN / tested.len().max(1)).clamp(RUNS_IN_FULL, RUNS_OF_ONE),
            tested,
            untested,
            untested_more,
            stages: stages(job),
            command: command(&job.request),
            record,
            tails: Vec::new(),
            regressions: Vec::new(),
            survey: None,
        }
    }

    /// Every run is shown, however many there are.
    pub fn with_all_runs(mut self) -> JobPage<'a> {
        self.runs_shown = usize::MAX;
        self
    }

    fn shown(&self) -> usize {
        self.runs_shown
    }

    /// Runs of a revision that are not shown.
    fn more_runs(&self, tests: usize) -> usize {
        tests.saturating_sub(self.runs_shown)
    }

    fn find(&self) -> Find {
        self.job.request.find
    }

    /// Runs that are made a second time just now.
    fn running_again(&self) -> usize {
        let exactness = &self.job.exactness;
        let told = exactness.same as usize + exactness.differ.len();
        (exactness.repeated as usize).saturating_sub(told)
    }

    /// It looks for a commit between its ends.
    fn searches(&self) -> bool {
        !self.job.request.survey && !self.job.request.two_point
    }

    fn clone_link(&self) -> Option<String> {
        super::new::link(&self.job.request)
    }

    fn checks(&self) -> &[Check] {
        match &self.job.outcome {
            Some(
                Outcome::Culprit { checks, .. }
                | Outcome::Range { checks, .. }
                | Outcome::Differs { checks, .. }
                | Outcome::NotReproduced { checks, .. }
                | Outcome::NoGoodEnd { checks, .. },
            ) => checks,
            _ => &[],
        }
    }

    fn confidence(&self) -> Option<String> {
        match &self.job.outcome {
            Some(
                Outcome::Culprit { confidence, .. }
                | Outcome::Range { confidence, .. }
                | Outcome::Differs { confidence, .. },
            ) => Some(crate::view::percent(*confidence)),
            _ => None,
        }
    }

    fn facts(&self) -> Vec<Fact> {
        let request = &self.job.request;
        let mut facts = vec![
            fact("Signal", signal(&request.signal)),
            fact("Cases", or_all(&request.cases)),
            fact("Configuration", config(request.config.base.as_ref())),
            fact("Machine", machine(self.job)),
            fact("Runs per candidate", runs(request.runs, request.seed)),
        ];
        if let Some(test) = &request.custom {
            facts.extend(own_test(test));
        }
        if request.find == Find::Fix {
            facts.push(fact("Looks for", "the commit that repaired it".into()));
        }
        if !request.paths.is_empty() {
            facts.push(fact("Only paths", request.paths.join(", ")));
        }
        if request.two_point {
            facts.push(fact("History", "only the two ends are compared".into()));
        }
        if request.first_parent {
            facts.push(fact("History", "first parents only".into()));
        }
        if !request.skip.is_empty() {
            facts.push(fact("Not tested", request.skip.join(", ")));
        }
        if let Some(from) = &request.selftests_from {
            facts.push(fact("Selftests", format!("of {from} for every candidate")));
        }
        if let Some(fstests) = &request.fstests {
            let what = format!("{} of the tree {}", fstests.rev, fstests.tree);
            facts.push(fact("fstests", what));
            if !fstests.exclude.is_empty() {
                facts.push(fact("Left out", fstests.exclude.join(", ")));
            }
        }
        if !self.job.mends.is_empty() {
            let titles = self.job.mends.iter().map(|m| m.title.as_str());
            let titles: Vec<&str> = titles.collect();
            facts.push(fact(
                "For those that did not build or boot",
                titles.join(", "),
            ));
        }
        if !request.fixups.is_empty() {
            facts.push(fact(
                "Fix-ups",
                format!("{} applied to every candidate", request.fixups.len()),
            ));
        }
        facts
    }

    /// The text of the job's own test.
    fn source(&self) -> Option<&CustomTest> {
        let test = self.job.request.custom.as_ref();
        test.filter(|test| test.kind != CustomKind::Program)
    }

    fn needs_files(&self) -> bool {
        let config = &self.job.request.config;
        let base = matches!(config.base, Some(ConfigBase::File(_)));
        base || !config.fragment.is_empty() || !self.job.request.fixups.is_empty()
    }

    /// Whether it was asked for on other terms than most, or by others too.
    fn has_terms(&self) -> bool {
        let request = &self.job.request;
        let plain = request.labels.is_empty()
            && request.priority.is_normal()
            && request.budget.is_unlimited()
            && self.job.also_asked.is_empty();
        !plain
    }

    /// Why a job that ended without a commit did so, and what to do next.
    fn advice(&self) -> Option<&'static str> {
        Some(match self.job.outcome.as_ref()? {
            Outcome::Culprit { .. } | Outcome::Differs { .. } | Outcome::Surveyed { .. } => {
                return None;
            }
            Outcome::Range { .. } => {
                "These commits cannot be told apart because some of them do not build or boot. Read \
                 the skips below; go on from here with a patch that makes one of them build."
            }
            Outcome::NotReproduced { .. }
                if self.job.request.mode == RunMode::Exact && self.job.request.shift == 0 =>
            {
                "Open the runs at the ends below. If the bad end is clean and it is a race, ask again \
                 with a shift of the clock of 3, which reaches more schedules. Another configuration or \
                 another case may show it, or another bad end; if the good end is not clean, look for \
                 an older one."
            }
            Outcome::NotReproduced { .. } => {
                "Open the runs at the ends below. Another configuration or another case may show it; if \
                 the bad end is clean, look for one that is not, and if the good end is not, for an \
                 older one."
            }
            Outcome::NoGoodEnd { .. } => {
                "Every release that could be tested shows it. Name a good end yourself, or use a tree \
                 that has older releases; everything run here is reused."
            }
            Outcome::Unresolved { .. } => {
                "No commit is named without evidence. Open the attempts marked “held” or \
                 contradicting below, mend the cause, then submit the job again: everything \
                 already built and run is reused."
            }
            Outcome::Cancelled => {
                "Submit it again with the command below: what was built and run is reused."
            }
        })
    }
}

fn fact(name: &'static str, value: String) -> Fact {
    Fact { name, value }
}

/// What the user's own test is.
fn own_test(test: &CustomTest) -> Vec<Fact> {
    let kind = match test.kind {
        CustomKind::Script => "shell script",
        CustomKind::C => "C source, compiled by the worker",
        CustomKind::Program => "static program",
    };
    let time = format::count(test.timeout_s, "guest second");
    let mut facts = vec![
        fact("Test", format!("{}, {kind}", test.name)),
        fact("Its limits", format!("{time}, {} MiB", test.memory_mib)),
    ];
    let patterns = &test.patterns;
    facts.extend(
        patterns
            .fails_when
            .clone()
            .map(|p| fact("Fails when a line matches", p)),
    );
    facts.extend(
        patterns
            .passes_when
            .clone()
            .map(|p| fact("Fails unless a line matches", p)),
    );
    facts
}

fn signal(signal: &Signal) -> String {
    match signal {
        Signal::Failure => "a case fails".to_string(),
        Signal::Cases { cases } => format!("{} fails", cases.join(" or ")),
        Signal::Crash { title } => format!("a crash titled “{title}”"),
        Signal::Metric { name, threshold } => match threshold {
            Some(threshold) => format!("metric {name} beyond {threshold}"),
            None => format!("metric {name} as at the end that shows the behaviour"),
        },
    }
}

fn or_all(cases: &[String]) -> String {
    if cases.is_empty() {
        "all of the suite".to_string()
    } else {
        cases.join(", ")
    }
}

/// The configuration in words.
pub(super) fn config(base: Option<&ConfigBase>) -> String {
    let base = match base {
        None | Some(ConfigBase::Tinyconfig) => "tinyconfig",
        Some(ConfigBase::X8664Defconfig) => "x86_64_defconfig",
        Some(ConfigBase::File(_)) => "the .config of the request",
        Some(ConfigBase::Tree(path)) => &format!("{path} of each revision"),
    };
    format!("{base} + the suite's fragments")
}

fn machine(job: &Job) -> String {
    let mode = match job.request.mode {
        RunMode::Exact => "exact: a run is a function of kernel, suite and seed",
        RunMode::Real => "real: wall clock, repeated samples",
    };
    let shift = match job.request.shift {
        0 => String::new(),
        n => format!("; 2^{n} ns for an instruction"),
    };
    format!(
        "{}, {mode}{shift}",
        format::count(job.request.vcpus, "vCPU")
    )
}

fn runs(runs: u32, seed: u64) -> String {
    match runs {
        0 => format!("decided from the bad end, first seed {seed}"),
        n => format!("{n}, first seed {seed}"),
    }
}

fn stages(job: &Job) -> Vec<StageTime> {
    const ORDER: [&str; 6] = ["source", "configure", "build", "boot", "test", "upload"];
    let total = job.stage_ms.values().sum::<i64>().max(1);
    let mut stages: Vec<(&String, i64)> = job.stage_ms.iter().map(|(k, v)| (k, *v)).collect();
    stages.sort_by_key(|(name, _)| ORDER.iter().position(|o| o == name).unwrap_or(ORDER.len()));
    let row = |(name, ms): (&String, i64)| StageTime {
        name: name.clone(),
        time: format::duration(ms),
        share: u32::try_from(ms.max(0) * 100 / total).unwrap_or(0),
    };
    stages.into_iter().map(row).collect()
}

fn absent(number: i64) -> PageError {
    PageError::missing(
        &format!("Job {number}"),
        "It may have been made on another server; the list has all jobs of this one.",
    )
}

async fn culprit(app: &App, job: &Job) -> Option<CommitInfo> {
    let Some(Outcome::Culprit { rev, .. }) = &job.outcome else {
        return None;
    };
    match crate::view::commit(app, &job.request.tree, rev).await {
        Ok(commit) => commit,
        Err(error) => {
            tracing::warn!(job = job.id, rev = short(rev), %error, "commit not readable");
            None
        }
    }
}

/// Merges of the range, and tags and branches in it as far as they can be read.
async fn landmarks(app: &App, job: &Job) -> Result<Vec<Landmark>, PageError> {
    let found = crate::view::landmarks(app, job.id, &job.request.tree).await?;
    let mark = |(position, tag)| Landmark { position, tag };
    Ok(found.into_iter().map(mark).collect())
}

/// Query of the page of a job.
#[derive(Debug, Deserialize)]
pub(super) struct Shown {
    /// `all`: every run of every revision.
    #[serde(default)]
    runs: String,
}

/// `GET /jobs/{id}`.
pub(super) async fn show(
    State(app): State<App>,
    who: Principal,
    Path(text): Path<String>,
    Query(shown): Query<Shown>,
) -> Page {
    let number = id(&text, "Job")?;
    let job = crate::view::job(&app, &who.sight(), number).await?;
    let job = job.ok_or_else(|| absent(number))?;
    let commit = culprit(&app, &job).await;
    let landmarks = landmarks(&app, &job).await?;
    let record = record::of_job(&app, number).await.map_err(AppError::from)?;
    let told = JobPage {
        tails: tail::of(&app, number).await?,
        regressions: looked_into(&app, &who, number).await?,
        survey: survey(&app, number).await?,
        ..JobPage::new(&job, commit, &landmarks, record)
    };
    match shown.runs.as_str() {
        "all" => page(&told.with_all_runs()),
        _ => page(&told),
    }
}

async fn survey(app: &App, job: i64) -> Result<Option<i64>, AppError> {
    let mut conn = app.pool.acquire().await?;
    Ok(db::survey::of_job(&mut conn, job).await?)
}

/// Numbers of the regressions that a job looks into.
async fn looked_into(app: &App, who: &Principal, job: i64) -> Result<Vec<i64>, AppError> {
    let query = RegressionsQuery {
        job: Some(job),
        ..RegressionsQuery::default()
    };
    let all = regressions::of(app, &who.sight(), query).await?;
    Ok(all.into_iter().map(|g| g.id).collect())
}

/// `GET /jobs/{id}/bisect-log`: what `git bisect replay` takes.
pub(super) async fn bisect_log(State(app): State<App>, Path(text): Path<String>) -> Page {
    let number = id(&text, "Job")?;
    let log = crate::view::bisect_log(&app, number).await?;
    let log = log.ok_or_else(|| absent(number))?;
    let kind = [(header::CONTENT_TYPE, "text/plain; charset=utf-8")];
    Ok((kind, log).into_response())
}

/// `GET /jobs/{id}/report`: the mail draft.
pub(super) async fn report(State(app): State<App>, Path(text): Path<String>) -> Page {
    let number = id(&text, "Job")?;
    let report = crate::report::for_job(&app, number, None).await?;
    let report = report.ok_or_else(|| absent(number))?;
    let kind = [(header::CONTENT_TYPE, "text/plain; charset=utf-8")];
    Ok((kind, report.text()).into_response())
}
