//! The report a maintainer can mail: plain text, tags never wrapped.
//!
//! Block order follows syzbot's; `#regzbot` lines follow the kernel's
//! Documentation/process/handling-regressions.

use std::fmt::Write;

use firstbad_api::artefact::{INITRAMFS_BASE, INITRAMFS_RUN};
use firstbad_api::attempt::Attempt;
use firstbad_api::job::{Changed, Difference, Find, Job, Outcome};
use firstbad_api::observation::TestObservation;

use crate::db::sight::Sight;
use crate::error::AppError;
use crate::repo::CommitInfo;
use crate::state::App;
use crate::view;

/// The report of a job; `None` when there is no such job.
pub async fn for_job(app: &App, id: i64) -> Result<Option<String>, AppError> {
    let Some(job) = view::job(app, &Sight::nobody(), id).await? else {
        return Ok(None);
    };
    let culprit = match &job.outcome {
        Some(Outcome::Culprit { rev, .. }) => view::commit(app, &job.request.tree, rev).await?,
        _ => None,
    };
    let failing = job
        .candidates
        .iter()
        .flat_map(|c| &c.tests)
        .find(|t| t.verdict == "bad")
        .map(|t| t.attempt);
    let run = match failing {
        Some(id) => view::attempt(app, id).await?.and_then(Shown::of),
        None => None,
    };
    Ok(Some(text(&job, culprit.as_ref(), run.as_ref())))
}

/// A run that showed the behaviour.
pub struct Shown {
    attempt: Attempt,
    seen: TestObservation,
}

impl Shown {
    /// `None` for an attempt that is no finished test of this version.
    pub fn of(attempt: Attempt) -> Option<Shown> {
        let seen = serde_json::from_value(attempt.observation.clone()?).ok()?;
        Some(Shown { attempt, seen })
    }
}

/// Renders a report from a job, its culprit's commit and one run that showed the behaviour.
pub fn text(job: &Job, culprit: Option<&CommitInfo>, run: Option<&Shown>) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = write(&mut out, job, culprit, run);
    out
}

fn write(
    out: &mut String,
    job: &Job,
    culprit: Option<&CommitInfo>,
    run: Option<&Shown>,
) -> std::fmt::Result {
    let tag = match job.request.find {
        _ if job.retracted.is_some() => "RETRACTED",
        Find::Fix => "FIXED",
        Find::Regression => "REGRESSION",
    };
    writeln!(out, "Subject: [{tag}] {}", one_line(&job.title))?;
    writeln!(out)?;
    writeln!(out, "{}", job.sentence)?;
    writeln!(out)?;
    if let Some(commit) = culprit {
        writeln!(out, "commit {}", commit.rev)?;
        writeln!(out, "Author: {}", one_line(&commit.author))?;
        writeln!(out, "\n    {}\n", one_line(&commit.subject))?;
    }
    let checks = match &job.outcome {
        Some(
            Outcome::Culprit { checks, .. }
            | Outcome::Range { checks, .. }
            | Outcome::Differs { checks, .. }
            | Outcome::NotReproduced { checks, .. }
            | Outcome::NoGoodEnd { checks, .. },
        ) => checks.as_slice(),
        _ => &[],
    };
    if !checks.is_empty() {
        writeln!(out, "Checks:")?;
        for check in checks {
            let word = match (check.made, check.passed) {
                (false, _) => "NOT POSSIBLE",
                (true, true) => "PASS",
                (true, false) => "FAIL",
            };
            writeln!(out, "  {}: {word} ({})", check.name, check.detail)?;
        }
        writeln!(out)?;
    }
    if let Some(Outcome::Range { candidates, .. }) = &job.outcome {
        writeln!(out, "The commit is one of:")?;
        for c in candidates {
            writeln!(out, "  {} {}", c.rev, one_line(&c.subject))?;
        }
        writeln!(out)?;
    }
    write!(
        out,
        "Tree: {}   suite: {}",
        job.request.tree, job.request.suite
    )?;
    match job.request.two_point {
        true => writeln!(
            out,
            "   {} against {}",
            job.range.bad,
            job.range.good.join(", ")
        )?,
        false => writeln!(out, "   {} candidates", job.range.revisions)?,
    }
    if let Some(from) = &job.request.selftests_from {
        writeln!(out, "Selftests of {from} for every candidate")?;
    }
    if let Some(fstests) = &job.request.fstests {
        writeln!(out, "fstests {} of the tree {}", fstests.rev, fstests.tree)?;
    }
    if let Some(walk) = job.range.walk.as_ref().filter(|w| !w.looked.is_empty()) {
        writeln!(out, "Walked back over releases: {}", view::looked(walk))?;
    }
    writeln!(out, "{} builds, {} boots", job.cost.builds, job.cost.boots)?;
    evidence(out, job)?;
    if let Some(difference) = &job.difference {
        releases(out, difference)?;
    }
    if let Some(run) = run {
        reproduce(out, run)?;
    }
    if job.request.two_point {
        return Ok(());
    }
    bisect_log(out, job)?;
    if let Some(Outcome::Culprit { rev, .. }) = &job.outcome
        && job.request.find == Find::Regression
        && job.retracted.is_none()
        && !culprit.is_some_and(|c| c.ours)
    {
        writeln!(out, "\n#regzbot introduced: {rev}")?;
    }
    writeln!(
        out,
        "\nThe named commit changed the answer of this test; the root cause may lie elsewhere."
    )
}

/// What the numbers rest on: runs made again, and what differs between the ends.
fn evidence(out: &mut String, job: &Job) -> std::fmt::Result {
    let exactness = &job.exactness;
    if exactness.repeated > 0 {
        let (all, same) = (exactness.repeated, exactness.same);
        writeln!(out, "Exact runs made again: {all}, {same} of them the same")?;
    }
    for not in &exactness.differ {
        let what = one_line(&not.what);
        writeln!(
            out,
            "  NOT EXACT: attempts {} and {}: {what}",
            not.attempt, not.again
        )?;
    }
    let confounders = job.confounders.as_deref().unwrap_or_default();
    if !confounders.is_empty() {
        writeln!(out, "The ends differ in more than their commits:")?;
    }
    for c in confounders {
        let side = |text: &str| match text {
            "" => "not there".to_owned(),
            text => one_line(text),
        };
        let (good, bad) = (side(&c.good), side(&c.bad));
        writeln!(
            out,
            "  {}: {}: {good}, then {bad}",
            c.what,
            one_line(&c.name)
        )?;
    }
    Ok(())
}

/// What is known inside of a guilty release.
fn releases(out: &mut String, difference: &Difference) -> std::fmt::Result {
    let (old, new) = (&difference.old, &difference.new);
    writeln!(out, "\nBetween {old} and {new} ({}):", difference.note)?;
    if let Some(changes) = &difference.changes {
        let mut line = |path: &str, c: &Changed| {
            let path = one_line(path);
            writeln!(
                out,
                "  {path}: {} files, +{} -{}",
                c.files, c.added, c.removed
            )
        };
        line("in all", &changes.total)?;
        for directory in &changes.directories {
            line(&directory.path, directory)?;
        }
    }
    writeln!(out, "To go on: {}", difference.needs)
}

fn reproduce(out: &mut String, shown: &Shown) -> std::fmt::Result {
    let Shown { attempt, seen: run } = shown;
    if run.run.accel == "tcg-exact" {
        writeln!(out, "\nTo reproduce, byte for byte:")?;
        writeln!(out, "  firstbad replay {}", attempt.id)?;
        writeln!(out, "or, with the files of this server and QEMU alone:")?;
    } else {
        writeln!(out, "\nTo reproduce:")?;
    }
    let address = |sha256: &str| format!("/api/v1/artefacts/{sha256}");
    writeln!(out, "  IMAGE is {}", address(&run.run.image_sha256))?;
    let part = |name: &str| attempt.artefacts.iter().find(|a| a.name == name);
    if let (Some(base), Some(own)) = (part(INITRAMFS_BASE), part(INITRAMFS_RUN)) {
        writeln!(
            out,
            "  INITRAMFS is {} and after it {}",
            address(&base.sha256),
            address(&own.sha256)
        )?;
    }
    writeln!(
        out,
        "  {}",
        run.run
            .argv
            .iter()
            .map(|a| quote(a))
            .collect::<Vec<_>>()
            .join(" ")
    )?;
    writeln!(out, "  with {}", run.run.qemu_version)?;
    if let Some(crash) = run.crashes.first() {
        writeln!(out, "\n{}\n{}", crash.title, crash.excerpt.trim_end())?;
    }
    Ok(())
}

/// `git bisect replay` reads this part.
fn bisect_log(out: &mut String, job: &Job) -> std::fmt::Result {
    writeln!(out, "\ngit bisect log:")?;
    let fix = job.request.find == Find::Fix;
    let (new, old) = if fix { ("new", "old") } else { ("bad", "good") };
    writeln!(
        out,
        "git bisect start{}",
        if fix {
            " '--term-new=new' '--term-old=old'"
        } else {
            ""
        }
    )?;
    for c in &job.candidates {
        // In a search for a fix, "bad" (still present) is the old behaviour.
        let term = match (c.verdict.as_str(), fix) {
            ("bad", false) | ("good", true) => new,
            ("good", false) | ("bad", true) => old,
            ("skip", _) => "skip",
            _ => continue,
        };
        writeln!(out, "# {term}: [{}] {}", c.rev, one_line(&c.subject))?;
        writeln!(out, "git bisect {term} {}", c.rev)?;
    }
    Ok(())
}

fn one_line(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

fn quote(arg: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_=.,:/+".contains(c);
    if !arg.is_empty() && arg.chars().all(plain) {
        arg.to_owned()
    } else {
        format!("'{}'", arg.replace('\'', "'\\''"))
    }
}
