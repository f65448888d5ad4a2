//! A run that showed the behaviour: what broke in it, and how to see it again.

use std::collections::BTreeSet;
use std::fmt::Write;

use firstbad_api::artefact::{INITRAMFS_BASE, INITRAMFS_RUN};
use firstbad_api::attempt::Attempt;
use firstbad_api::job::{Candidate, Find, Job, Signal};
use firstbad_api::observation::{CaseResult, CaseStatus, TestObservation};
use firstbad_api::qemu;

use super::{address, one_line};
use crate::error::AppError;
use crate::state::App;
use crate::view;

/// Last lines of a failing case that are quoted, and characters of each.
const LINES: usize = 5;
const CHARS: usize = 200;

/// A run that showed the behaviour.
pub struct Shown<'a> {
    pub candidate: &'a Candidate,
    pub attempt: Attempt,
    seen: TestObservation,
    /// How it showed it.
    why: &'a str,
    /// The cases, or sub-tests, that the job is about; the others may have failed for other reasons.
    counts: BTreeSet<String>,
}

impl<'a> Shown<'a> {
    /// That of the first revision that showed it, or where what counts did not fail in that run, the
    /// end's. `None`: no finished run of this version showed it.
    pub async fn of(app: &App, job: &'a Job) -> Result<Option<Shown<'a>>, AppError> {
        let is_end = |c: &Candidate| match job.request.find {
            Find::Regression => c.rev == job.range.bad,
            Find::Fix => job.range.good.contains(&c.rev),
        };
        let end = job.candidates.iter().find(|c| is_end(c));
        let Some(first) = first_bad(app, job.candidates.iter()).await? else {
            return Ok(None);
        };
        let counts = match (&job.request.signal, &job.narrowed[..]) {
            (Signal::Cases { cases }, []) => cases.iter().cloned().collect(),
            (Signal::Failure, []) => {
                let end = first_bad(app, end.into_iter()).await?;
                let Some(end) = end.filter(|end| end.attempt.id != first.attempt.id) else {
                    return Ok(Some(first.all_count()));
                };
                let end = end.all_count();
                match first.failing().any(|c| end.counts.contains(&c.case)) {
                    true => end.counts,
                    false => return Ok(Some(end)),
                }
            }
            (Signal::Crash { .. } | Signal::Metric { .. }, []) => BTreeSet::new(),
            (_, narrowed) => narrowed.iter().cloned().collect(),
        };
        Ok(Some(Shown { counts, ..first }))
    }

    fn failing(&self) -> impl Iterator<Item = &CaseResult> {
        let failed = |s| matches!(s, CaseStatus::Fail | CaseStatus::Timeout);
        self.seen.cases.iter().filter(move |c| failed(c.status))
    }

    fn all_count(self) -> Shown<'a> {
        let counts = self.failing().map(|c| c.case.clone()).collect();
        Shown { counts, ..self }
    }

    /// What is wrong, in the words of the run: the cases that count and failed, and the last lines of
    /// the first of them.
    pub fn symptom(&self) -> Option<String> {
        let failed = |name: &&String| {
            let status = self.seen.cases.iter().find_map(|c| c.status_of(name));
            matches!(status, Some(CaseStatus::Fail | CaseStatus::Timeout))
        };
        let names: Vec<&str> = self
            .counts
            .iter()
            .filter(failed)
            .map(String::as_str)
            .collect();
        let first = *names.first()?;
        let case = self
            .seen
            .cases
            .iter()
            .find(|c| c.status_of(first).is_some())?;
        let suite = self.attempt.suite.as_deref().unwrap_or("the test");
        let mut said: Vec<String> = case.tail.lines().map(|l| one_line(l.trim_end())).collect();
        said.retain(|line| !line.is_empty() && !line.starts_with("::"));
        let said = said.split_off(said.len().saturating_sub(LINES));
        let mut out = format!("What fails in {suite}: {}.", names.join(", "));
        if !said.is_empty() {
            let _ = write!(out, " {} says:", case.case);
        }
        for line in said {
            let line: String = line.chars().take(CHARS).collect();
            let _ = write!(out, "\n    {line}");
        }
        Some(out)
    }

    /// Commands that make the run again.
    pub fn reproduce(&self, out: &mut String, server: Option<&str>) -> std::fmt::Result {
        let Shown { attempt, seen, .. } = self;
        let (run, id, server) = (&seen.run, attempt.id, address(server));
        if run.accel == "tcg-exact" {
            writeln!(out, "To reproduce, byte for byte:")?;
            writeln!(out, "  firstbad replay --server {server} {id}")?;
            writeln!(out, "or, with QEMU alone:")?;
        } else {
            writeln!(out, "To reproduce:")?;
        }
        writeln!(
            out,
            "  curl -sSf {server}/api/v1/attempts/{id}/reproduce.tar | tar x && firstbad-attempt-{id}/run.sh"
        )?;
        writeln!(out, "which is:")?;
        let artefact = |sha256: &str| format!("{server}/api/v1/artefacts/{sha256}");
        writeln!(out, "  IMAGE is {}", artefact(&run.image_sha256))?;
        let part = |name: &str| attempt.artefacts.iter().find(|a| a.name == name);
        if let (Some(base), Some(own)) = (part(INITRAMFS_BASE), part(INITRAMFS_RUN)) {
            writeln!(
                out,
                "  INITRAMFS is {} and after it {}",
                artefact(&base.sha256),
                artefact(&own.sha256)
            )?;
        }
        let words: Vec<String> = run.argv.iter().map(|a| quote(a)).collect();
        writeln!(out, "  {}", words.join(" "))?;
        if qemu::wants_together(&run.argv) {
            writeln!(
                out,
                "  bound to one CPU, the thread of the vCPUs behind the others, as run.sh does it"
            )?;
        }
        writeln!(out, "  with {}", run.qemu_version)
    }

    /// The crash that was it, else the first beside it.
    pub fn crash(&self, out: &mut String) -> std::fmt::Result {
        let crashes = &self.seen.crashes;
        let it = crashes.iter().find(|c| c.title == self.why);
        match it.or(crashes.first()) {
            Some(crash) => {
                writeln!(out, "{}", one_line(&crash.title))?;
                let mut lines = crash.excerpt.trim_end().lines();
                lines.try_for_each(|line| writeln!(out, "{}", one_line(line)))
            }
            None => Ok(()),
        }
    }
}

/// The first run of these candidates that showed the behaviour.
async fn first_bad<'a>(
    app: &App,
    mut candidates: impl Iterator<Item = &'a Candidate>,
) -> Result<Option<Shown<'a>>, AppError> {
    let found = candidates.find_map(|c| Some((c, c.tests.iter().find(|t| t.verdict == "bad")?)));
    let Some((candidate, test)) = found else {
        return Ok(None);
    };
    let Some(attempt) = view::attempt(app, test.attempt).await? else {
        return Ok(None);
    };
    let seen = attempt.observation.clone();
    let seen = seen.and_then(|seen| serde_json::from_value(seen).ok());
    Ok(seen.map(|seen| Shown {
        candidate,
        attempt,
        seen,
        why: &test.why,
        counts: BTreeSet::new(),
    }))
}

fn quote(arg: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_=.,:/+".contains(c);
    if !arg.is_empty() && arg.chars().all(plain) {
        arg.to_owned()
    } else {
        format!("'{}'", arg.replace('\'', "'\\''"))
    }
}
