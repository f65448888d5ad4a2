//! The report a maintainer can mail: plain text, tags never wrapped, and who it goes to.
//!
//! Order of the parts follows syzbot's; recipients, `#regzbot` and subject follow the kernel's
//! Documentation/admin-guide/reporting-regressions and Documentation/process/handling-regressions,
//! tags its Documentation/process/submitting-patches.

mod mail;
mod recipients;
mod shown;

use std::fmt::Write;

use firstbad_api::bidi;
use firstbad_api::job::{Candidate, Changed, Check, Difference, Find, Job, Outcome};

use crate::db::sight::Sight;
use crate::error::AppError;
use crate::maintainers::Mailbox;
use crate::repo::CommitInfo;
use crate::state::App;
use crate::view;

pub use mail::Report;
pub use recipients::Recipients;
use shown::Shown;

/// Stands for the address of a server that others cannot reach.
const NOWHERE: &str = "http://SERVER";
/// Digits of a commit's id in `Fixes:`, at least.
const FIXES_DIGITS: usize = 12;
/// Who has to put a name there before the mail is sent.
const NOBODY: &str = "YOUR NAME <YOUR ADDRESS>";

/// What a report is made of.
struct Facts<'a> {
    job: &'a Job,
    culprit: Option<CommitInfo>,
    /// Its id as `Fixes:` has it.
    fixes: Option<String>,
    /// A run that showed the behaviour.
    run: Option<Shown<'a>>,
    /// SHA-256 of that kernel's configuration.
    config: Option<String>,
    bisect_log: String,
    /// Address of this server, without a slash at the end, if it has one that others can use.
    server: Option<&'a str>,
    from: Option<&'a Mailbox>,
}

/// The report of a job; `None` when there is no such job. `from`: whose mail it will be.
pub async fn for_job(
    app: &App,
    id: i64,
    from: Option<Mailbox>,
) -> Result<Option<Report>, AppError> {
    let Some(job) = view::job(app, &Sight::nobody(), id).await? else {
        return Ok(None);
    };
    let culprit = match &job.outcome {
        Some(Outcome::Culprit { rev, .. }) => view::commit(app, &job.request.tree, rev).await?,
        _ => None,
    };
    let recipients = recipients::of(app, &job, culprit.as_ref()).await;
    let run = Shown::of(app, &job).await?;
    let config = match &run {
        Some(run) => config(app, run.candidate).await?,
        None => None,
    };
    let fixes = match &culprit {
        Some(commit) => Some(abbreviated(app, &job, &commit.rev).await),
        None => None,
    };
    let facts = Facts {
        culprit,
        fixes,
        run,
        config,
        bisect_log: view::bisect_log(app, id).await?.unwrap_or_default(),
        server: app.gate.url.as_deref(),
        from: from.as_ref(),
        job: &job,
    };
    let host = facts.server.and_then(|server| server.split("://").nth(1));
    let host = host.unwrap_or("firstbad.invalid");
    Ok(Some(Report {
        job: id,
        subject: subject(&job),
        parts: parts(&facts),
        message_id: format!(
            "job-{id}.{}@{}",
            app.incarnation.simple(),
            host.replace(':', ".")
        ),
        from,
        recipients,
    }))
}

/// The `.config` of the kernel of a candidate.
async fn config(app: &App, candidate: &Candidate) -> Result<Option<String>, AppError> {
    let Some(build) = candidate.build else {
        return Ok(None);
    };
    let build = view::attempt(app, build).await?;
    let artefacts = build.map(|b| b.artefacts).unwrap_or_default();
    let config = artefacts.into_iter().find(|a| a.name == "config");
    Ok(config.map(|a| a.sha256))
}

/// A commit's id as short as it may be in `Fixes:`.
async fn abbreviated(app: &App, job: &Job, rev: &str) -> String {
    let short = app.repos.abbreviated(&job.request.tree, rev, FIXES_DIGITS);
    short.await.unwrap_or_else(|_| rev.to_owned())
}

fn subject(job: &Job) -> String {
    let tag = match job.request.find {
        _ if job.retracted.is_some() => "RETRACTED",
        _ if job.outcome.is_none() => "UNFINISHED",
        Find::Fix => "FIXED",
        Find::Regression => "REGRESSION",
    };
    format!("[{tag}] {}", one_line(&job.title))
}

/// Paragraphs, those that say least last.
fn parts(facts: &Facts) -> Vec<String> {
    let job = facts.job;
    let mut parts = vec![job.sentence.clone()];
    if job.outcome.is_none() {
        parts.push("This job goes on: no commit is named yet.".to_owned());
    }
    parts.extend(facts.run.as_ref().and_then(Shown::symptom));
    parts.extend(commit(facts));
    parts.extend(regzbot(facts));
    parts.extend(tags(facts));
    let mut add = |write: &dyn Fn(&mut String) -> std::fmt::Result| {
        let mut part = String::new();
        // Writing to a String cannot fail.
        let _ = write(&mut part);
        if !part.trim().is_empty() {
            parts.push(part.trim_matches('\n').to_owned());
        }
    };
    add(&|out| checks(out, job));
    add(&|out| possible(out, job));
    add(&|out| asked(out, job));
    add(&|out| links(out, facts));
    add(&|out| match &job.difference {
        Some(difference) => releases(out, difference),
        None => Ok(()),
    });
    add(&|out| match &facts.run {
        Some(run) => run.reproduce(out, facts.server),
        None => Ok(()),
    });
    add(&|out| match &facts.run {
        Some(run) => run.crash(out),
        None => Ok(()),
    });
    if !job.request.two_point {
        parts.push(format!("git bisect log:\n{}", facts.bisect_log.trim_end()));
    }
    if let Some(Outcome::Culprit { .. }) = &job.outcome {
        let end =
            "The named commit changed the answer of this test; the root cause may lie elsewhere.";
        parts.push(end.to_owned());
    }
    parts
}

fn commit(facts: &Facts) -> Option<String> {
    let commit = facts.culprit.as_ref()?;
    Some(format!(
        "commit {}\nAuthor: {}\n\n    {}",
        commit.rev,
        one_line(&commit.author),
        one_line(&commit.subject)
    ))
}

/// Whether the report is of a regression in what other repositories have too.
fn is_public_regression(facts: &Facts) -> bool {
    facts.job.request.find == Find::Regression
        && facts.job.retracted.is_none()
        && !facts.culprit.as_ref().is_some_and(|c| c.ours)
}

/// What the kernel's tracker of regressions reads: a paragraph of its own.
fn regzbot(facts: &Facts) -> Option<String> {
    let job = facts.job;
    let since = match &job.outcome {
        Some(Outcome::Culprit { rev, .. }) => rev.clone(),
        Some(Outcome::Range { .. }) => match &job.range.good[..] {
            [good] => format!("{good}..{}", job.range.bad),
            _ => return None,
        },
        _ => return None,
    };
    is_public_regression(facts).then(|| format!("#regzbot introduced: {since}"))
}

/// What a fix should say.
fn tags(facts: &Facts) -> Option<String> {
    let commit = facts.culprit.as_ref()?;
    let fixes = facts.fixes.as_ref()?;
    if !is_public_regression(facts) {
        return None;
    }
    let by = facts
        .from
        .map_or_else(|| NOBODY.to_owned(), Mailbox::to_string);
    let mut tags = format!(
        "If you fix this, please add:\nFixes: {fixes} (\"{}\")\nReported-by: {by}",
        one_line(&commit.subject)
    );
    if let Some(server) = facts.server
        && !facts.job.request.private
    {
        let _ = write!(tags, "\nCloses: {server}/jobs/{}", facts.job.id);
    }
    Some(tags)
}

fn checks(out: &mut String, job: &Job) -> std::fmt::Result {
    let (confidence, checks): (Option<f64>, &[Check]) = match &job.outcome {
        Some(
            Outcome::Culprit {
                checks, confidence, ..
            }
            | Outcome::Range {
                checks, confidence, ..
            }
            | Outcome::Differs {
                checks, confidence, ..
            },
        ) => (Some(*confidence), checks),
        Some(Outcome::NotReproduced { checks, .. } | Outcome::NoGoodEnd { checks, .. }) => {
            (None, checks)
        }
        _ => (None, &[]),
    };
    if let Some(confidence) = confidence {
        writeln!(out, "Confidence: {}", view::percent(confidence))?;
    }
    if !checks.is_empty() {
        writeln!(out, "Checks:")?;
    }
    for check in checks {
        let word = match (check.made, check.passed) {
            (false, _) => "NOT POSSIBLE",
            (true, true) => "as expected",
            (true, false) => "NOT AS EXPECTED",
        };
        writeln!(out, "  {}: {word} ({})", check.name, check.detail)?;
    }
    Ok(())
}

/// The commits that the answer is one of.
fn possible(out: &mut String, job: &Job) -> std::fmt::Result {
    let Some(Outcome::Range { candidates, .. }) = &job.outcome else {
        return Ok(());
    };
    writeln!(out, "The commit is one of:")?;
    for c in candidates {
        writeln!(out, "  {} {}", c.rev, one_line(&c.subject))?;
    }
    Ok(())
}

/// A revision as it was asked for, with its id.
fn end(asked: &str, rev: &str) -> String {
    match asked == rev {
        true => rev.to_owned(),
        false => format!("{} ({rev})", one_line(asked)),
    }
}

/// What was compared, and what it cost.
fn asked(out: &mut String, job: &Job) -> std::fmt::Result {
    let request = &job.request;
    let (before, after) = match request.find {
        Find::Regression => ("Worked with", "Broken with"),
        Find::Fix => ("Broken with", "Works with"),
    };
    for (asked, rev) in request.good.iter().zip(&job.range.good) {
        writeln!(out, "{before}: {}", end(asked, rev))?;
    }
    writeln!(out, "{after}: {}", end(&request.bad, &job.range.bad))?;
    write!(out, "Tree: {}   suite: {}", request.tree, request.suite)?;
    match request.two_point {
        true => writeln!(
            out,
            "   {} against {}",
            job.range.bad,
            job.range.good.join(", ")
        )?,
        false => writeln!(out, "   {} candidates", job.range.revisions)?,
    }
    if let Some(from) = &request.selftests_from {
        writeln!(out, "Selftests of {from} for every candidate")?;
    }
    if let Some(fstests) = &request.fstests {
        writeln!(out, "fstests {} of the tree {}", fstests.rev, fstests.tree)?;
    }
    if let Some(walk) = job.range.walk.as_ref().filter(|w| !w.looked.is_empty()) {
        writeln!(out, "Walked back over releases: {}", view::looked(walk))?;
    }
    writeln!(out, "{} builds, {} boots", job.cost.builds, job.cost.boots)?;
    evidence(out, job)
}

/// Where more is to be found.
fn links(out: &mut String, facts: &Facts) -> std::fmt::Result {
    let server = address(facts.server);
    if facts.server.is_none() {
        writeln!(
            out,
            "SERVER stands for a firstbad server that has no public address."
        )?;
    }
    if let Some(config) = &facts.config {
        writeln!(out, "Configuration: {server}/api/v1/artefacts/{config}")?;
    }
    if let Some(run) = &facts.run {
        let id = run.attempt.id;
        writeln!(out, "Console: {server}/attempts/{id}/log/console/raw")?;
    }
    writeln!(out, "All of it: {server}/jobs/{}", facts.job.id)
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
    writeln!(out, "Between {old} and {new} ({}):", difference.note)?;
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

/// The address of a server, or what stands for it.
fn address(server: Option<&str>) -> &str {
    server.unwrap_or(NOWHERE)
}

/// Without what ends a line or turns the direction of reading.
fn one_line(text: &str) -> String {
    let hidden = |c: char| c.is_control() || bidi::is_control(c);
    text.chars()
        .map(|c| if hidden(c) { ' ' } else { c })
        .collect()
}
