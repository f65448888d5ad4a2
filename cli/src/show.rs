//! Answers of the server as text for people.

use std::fmt::Write;

use firstbad_api::job::{Changed, Check, Difference, Job, JobConfig, Outcome, Range, RevSubject};
use firstbad_api::known::Answered;
use firstbad_api::lease::ConfigBase;
use firstbad_api::list::Listed;
use firstbad_api::tree::Tree;
use firstbad_api::worker::Worker;
use serde::Serialize;

use crate::fail::{Done, Fail};
use crate::text::{self, line};

/// Prints an API type as it is.
pub fn json<T: Serialize>(value: &T) -> Done {
    let text = serde_json::to_string_pretty(value)
        .map_err(|e| Fail::Infrastructure(format!("cannot print the answer: {e}")))?;
    println!("{text}");
    Ok(0)
}

/// `52 candidates (4 merges), about 6 steps`.
pub fn range(range: &Range) -> String {
    if let (true, Some(walk)) = (range.good.is_empty(), &range.walk) {
        return format!(
            "{} releases before {}, back to {}, are walked back over until one is good; then the \
             commits between are searched",
            walk.releases,
            text::short(&range.bad),
            line(&walk.oldest)
        );
    }
    format!(
        "{} candidates ({} merges) between {} and {}, about {} steps",
        range.revisions,
        range.merges,
        range
            .good
            .iter()
            .map(|rev| text::short(rev))
            .collect::<Vec<_>>()
            .join(" "),
        text::short(&range.bad),
        range.steps
    )
}

/// A job that has answered the same question.
pub fn answered(answered: &Answered) -> String {
    format!(
        "answered already: job {} named {} {}",
        answered.job,
        text::short(&answered.rev),
        line(&answered.subject)
    )
}

/// One job: outcome, evidence, cost, page.
pub fn job(job: &Job, page: &str) -> String {
    let mut out = String::new();
    let _ = writeln!(out, "job {}: {}", job.id, line(&job.title));
    match &job.outcome {
        Some(outcome) => out.push_str(&self::outcome(outcome)),
        None => {
            let _ = writeln!(out, "{}", line(&job.sentence));
        }
    }
    if let Some(walk) = job.range.walk.as_ref().filter(|w| !w.looked.is_empty()) {
        let each = walk.looked.iter();
        let each: Vec<String> = each
            .map(|l| format!("{} {}", l.release, l.verdict))
            .collect();
        let _ = writeln!(
            out,
            "walked back {} ({} of {} releases)",
            line(&each.join(", ")),
            each.len(),
            walk.releases
        );
    }
    if !job.narrowed.is_empty() {
        let _ = writeln!(out, "cases       {}", line(&job.narrowed.join(", ")));
    }
    if let Some(origin) = &job.origin {
        let _ = writeln!(out, "from        job {}: {}", origin.id, line(&origin.why));
    }
    for next in &job.further {
        let told = next.sentence.as_deref().unwrap_or(&next.state);
        let _ = writeln!(
            out,
            "led to      job {}: {}: {}",
            next.id,
            line(&next.why),
            line(told)
        );
    }
    out.push_str(&evidence(job));
    if let Some(difference) = &job.difference {
        out.push_str(&releases(difference));
    }
    let cost = &job.cost;
    let _ = writeln!(
        out,
        "builds      {} ({} more reused), {}",
        cost.builds,
        cost.builds_reused,
        text::millis(cost.build_ms)
    );
    let _ = writeln!(
        out,
        "boots       {} ({} more reused), {}",
        cost.boots,
        cost.boots_reused,
        text::millis(cost.test_ms)
    );
    let stages: Vec<String> = ["source", "configure", "build", "boot", "test", "upload"]
        .iter()
        .filter_map(|stage| {
            let ms = job.stage_ms.get(*stage)?;
            Some(format!("{stage} {}", text::millis(*ms)))
        })
        .collect();
    if !stages.is_empty() {
        let _ = writeln!(out, "stages      {}", stages.join(", "));
    }
    let _ = write!(out, "page        {page}");
    out
}

/// What is known inside of a guilty release.
fn releases(difference: &Difference) -> String {
    let (old, new) = (line(&difference.old), line(&difference.new));
    let mut out = format!("between     {old} and {new}: {}\n", line(&difference.note));
    if let Some(changes) = &difference.changes {
        let mut row = |path: &str, c: &Changed| {
            let (files, added, removed) = (c.files, c.added, c.removed);
            let path = line(path);
            let _ = writeln!(
                out,
                "            {path}: {files} files, +{added} -{removed}"
            );
        };
        row("in all", &changes.total);
        for directory in &changes.directories {
            row(&directory.path, directory);
        }
    }
    let _ = writeln!(out, "to go on    {}", line(&difference.needs));
    out
}

/// What the numbers rest on: runs made again, and what differs between the ends.
fn evidence(job: &Job) -> String {
    let mut out = String::new();
    let exactness = &job.exactness;
    if exactness.repeated > 0 {
        let (all, same) = (exactness.repeated, exactness.same);
        let _ = writeln!(out, "run again   {all}, {same} the same");
    }
    for not in &exactness.differ {
        let (first, again) = (not.attempt, not.again);
        let what = line(&not.what);
        let _ = writeln!(out, "NOT EXACT   attempts {first} and {again}: {what}");
    }
    let Some(confounders) = &job.confounders else {
        return out;
    };
    if confounders.is_empty() {
        out.push_str("ends        nothing but the commits differs between them\n");
    }
    for c in confounders {
        let side = |text: &str| match text {
            "" => "not there".to_owned(),
            text => line(text),
        };
        let (good, bad) = (side(&c.good), side(&c.bad));
        let (what, name) = (line(&c.what), line(&c.name));
        let _ = writeln!(out, "ends differ {what}: {name}: {good}, then {bad}");
    }
    out
}

fn outcome(outcome: &Outcome) -> String {
    let mut out = String::new();
    match outcome {
        Outcome::Culprit {
            rev,
            subject,
            author,
            confidence,
            checks,
            sides,
        } => {
            let _ = writeln!(out, "culprit     {} {}", line(rev), line(subject));
            let _ = writeln!(out, "author      {}", line(author));
            for side in sides {
                let (rev, subject) = (line(&side.rev), line(&side.subject));
                let _ = writeln!(out, "clash of    {rev} {subject}");
            }
            let _ = writeln!(out, "confidence  {}", percent(*confidence));
            out.push_str(&self::checks(checks));
        }
        Outcome::Range {
            candidates,
            confidence,
            checks,
        } => {
            let _ = writeln!(out, "range       one of these {}:", candidates.len());
            for RevSubject { rev, subject } in candidates {
                let _ = writeln!(out, "            {} {}", line(rev), line(subject));
            }
            let _ = writeln!(out, "confidence  {}", percent(*confidence));
            out.push_str(&self::checks(checks));
        }
        Outcome::Differs {
            why,
            confidence,
            checks,
        } => {
            let _ = writeln!(out, "the ends differ: {}", line(why));
            let _ = writeln!(out, "confidence  {}", percent(*confidence));
            out.push_str(&self::checks(checks));
        }
        Outcome::Surveyed { releases } => {
            let _ = writeln!(out, "surveyed    {releases} releases");
        }
        Outcome::NotReproduced { why, checks } => {
            let _ = writeln!(out, "not reproduced: {}", line(why));
            out.push_str(&self::checks(checks));
        }
        Outcome::NoGoodEnd { why, checks } => {
            let _ = writeln!(out, "no good release: {}", line(why));
            out.push_str(&self::checks(checks));
        }
        Outcome::Unresolved { why } => {
            let _ = writeln!(out, "unresolved: {}", line(why));
        }
        Outcome::Cancelled => out.push_str("cancelled\n"),
    }
    out
}

fn checks(checks: &[Check]) -> String {
    let mut out = String::new();
    for check in checks {
        let mark = match (check.made, check.passed) {
            (false, _) => "not possible",
            (true, true) => "ok",
            (true, false) => "FAILED",
        };
        let _ = writeln!(
            out,
            "check       {}: {mark}, {}",
            line(&check.name),
            line(&check.detail)
        );
    }
    out
}

/// For scripts: `culprit ID`, `range ID` (one line each), or the outcome's name alone.
pub fn answer(job: &Job) -> String {
    match &job.outcome {
        Some(Outcome::Culprit { rev, .. }) => format!("culprit {}\n", line(rev)),
        Some(Outcome::Range { candidates, .. }) => candidates
            .iter()
            .map(|c| format!("range {}\n", line(&c.rev)))
            .collect(),
        Some(Outcome::Differs { .. }) => "differs\n".into(),
        Some(Outcome::Surveyed { .. }) => "surveyed\n".into(),
        Some(Outcome::NotReproduced { .. }) => "not-reproduced\n".into(),
        Some(Outcome::NoGoodEnd { .. }) => "no-good-end\n".into(),
        Some(Outcome::Unresolved { .. }) => "unresolved\n".into(),
        Some(Outcome::Cancelled) => "cancelled\n".into(),
        None => "running\n".into(),
    }
}

/// Never rounds up to certainty.
fn percent(p: f64) -> String {
    if p >= 1.0 {
        return "100 %".into();
    }
    format!("{:.2} %", (p.max(0.0) * 10_000.0).floor() / 100.0)
}

/// One line a job.
pub fn jobs(jobs: &[Listed]) -> String {
    let rows = jobs.iter().map(|job| {
        vec![
            job.id.to_string(),
            line(&job.state),
            line(&job.tree),
            line(&job.suite),
            text::cut(&line(&job.sentence), 100),
        ]
    });
    table(&["job", "state", "tree", "suite", ""], rows)
}

/// One line a tree.
pub fn trees(trees: &[Tree]) -> String {
    let rows = trees.iter().map(|tree| {
        let fetched = match (&tree.fetch_error, &tree.fetched_at) {
            (Some(error), _) => format!("FAILED: {}", line(error)),
            (None, Some(at)) => line(at),
            (None, None) => "never".into(),
        };
        vec![
            line(&tree.name),
            tree.refs.to_string(),
            line(&tree.url),
            fetched,
        ]
    });
    table(&["tree", "refs", "from", "fetched"], rows)
}

/// What jobs on a tree are configured with.
pub fn configured(config: &JobConfig) -> String {
    let base = match &config.base {
        None | Some(ConfigBase::Tinyconfig) => "tinyconfig".to_owned(),
        Some(ConfigBase::X8664Defconfig) => "x86_64_defconfig".to_owned(),
        Some(ConfigBase::File(_)) => "a whole .config".to_owned(),
        Some(ConfigBase::Tree(path)) => format!("{} of each revision", line(path)),
    };
    let fragment = match config.fragment.trim().is_empty() {
        true => "",
        false => " and a fragment",
    };
    format!("jobs that name no base begin with {base}{fragment}")
}

/// One line a worker.
pub fn workers(workers: &[Worker]) -> String {
    let rows = workers.iter().map(|worker| {
        vec![
            line(&worker.name),
            match (worker.live, &worker.drained_by) {
                (false, _) => "gone",
                (true, None) => "live",
                (true, Some(_)) => "drained",
            }
            .into(),
            format!("{} CPUs", worker.caps.cpus),
            line(&worker.caps.accel),
            line(&worker.caps.kinds.join(",")),
            format!("{} done", worker.done),
            match worker.not_exact {
                0 => String::new(),
                n => format!("{n} runs NOT EXACT"),
            },
            line(worker.doing.as_deref().unwrap_or("idle")),
        ]
    });
    table(&["worker", "", "", "accel", "kinds", "", "", "doing"], rows)
}

/// Columns side by side.
pub fn table(head: &[&str], rows: impl Iterator<Item = Vec<String>>) -> String {
    let mut all = vec![head.iter().map(|h| h.to_string()).collect::<Vec<_>>()];
    all.extend(rows);
    let width = |column: usize| {
        all.iter()
            .filter_map(|row| row.get(column))
            .map(|cell| cell.chars().count())
            .max()
            .unwrap_or(0)
    };
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let lines: Vec<String> = all
        .iter()
        .map(|row| {
            let cells: Vec<String> = row
                .iter()
                .zip(&widths)
                .map(|(cell, width)| format!("{cell:width$}"))
                .collect();
            cells.join("  ").trim_end().to_string()
        })
        .collect();
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn confidence_is_never_rounded_up_to_certainty() {
        assert_eq!(percent(0.99999), "99.99 %");
        assert_eq!(percent(1.0), "100 %");
        assert_eq!(percent(0.5), "50.00 %");
    }

    #[test]
    fn outcomes_show_full_ids_and_checks() {
        let rev = "0123456789012345678901234567890123456789".to_string();
        let text = outcome(&Outcome::Culprit {
            rev: rev.clone(),
            subject: "btrfs: break\x1b[31m it".into(),
            author: "A <a@example>".into(),
            confidence: 0.9951,
            checks: vec![Check {
                name: "parent".into(),
                passed: true,
                made: true,
                detail: "1 of 1 runs passed".into(),
                attempts: vec![],
            }],
            sides: vec![],
        });
        assert!(text.contains(&rev), "{text}");
        assert!(!text.contains('\x1b'), "{text}");
        assert!(text.contains("99.51 %"), "{text}");
        assert!(text.contains("check       parent: ok, 1 of 1"), "{text}");
    }

    #[test]
    fn tables_line_up() {
        let rows = vec![
            vec!["ä".into(), "b".into()],
            vec!["long".into(), "c".into()],
        ];
        assert_eq!(
            table(&["x", "y"], rows.into_iter()),
            "x     y\nä     b\nlong  c"
        );
    }
}
