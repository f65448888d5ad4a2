//! Sentences: where a job stands, and how it ended.

use firstbad_api::job::{Find, Outcome, Walk};

use crate::picture::Picture;
use crate::tasks::walk;

/// Of a job that has not begun.
pub(super) fn waiting(toolchain: Option<&str>) -> String {
    match toolchain {
        None => "Waiting for a worker: none is connected; the command firstbad worker starts one."
            .to_owned(),
        Some(name) => {
            format!("Waiting for a worker whose compiler is called {name:?}: none is connected.")
        }
    }
}

pub(super) fn running_sentence(
    picture: &Picture,
    left: usize,
    settled: usize,
    more: usize,
) -> String {
    if picture.job.state == "queued" {
        return waiting(picture.job.request.toolchain.as_deref());
    }
    if picture.job.request.survey {
        return format!("Running {} releases.", picture.surveyed().len());
    }
    if picture.job.request.two_point {
        return "Running the two ends until they differ for sure, or do not.".to_owned();
    }
    if let (true, Some(walk)) = (picture.walks(), walk::walk(picture)) {
        return walking_sentence(&walk);
    }
    let ends_open = picture
        .present_ends()
        .into_iter()
        .chain(picture.absent_ends());
    if ends_open.into_iter().any(|p| picture.mark(p).is_none()) {
        return format!(
            "Testing both ends of {} candidates.",
            picture.job.range.revisions
        );
    }
    if left == 1 {
        return "One candidate is left: verifying it and its parent.".to_owned();
    }
    format!("{left} candidates are left; {settled} revisions tested, about {more} to go.")
}

/// What a walk looked at, the newest first: `7.2.12 bad, 6.18.15 good`.
pub fn looked(walk: &Walk) -> String {
    let each = walk
        .looked
        .iter()
        .map(|l| format!("{} {}", l.release, l.verdict));
    each.collect::<Vec<_>>().join(", ")
}

fn walking_sentence(walk: &Walk) -> String {
    match walk.looked.iter().find(|l| l.verdict == "running") {
        Some(now) => format!(
            "Walking back to a good release: {}; now {}.",
            walk::told(walk),
            now.release
        ),
        None => format!("Walking back to a good release: {}.", walk::told(walk)),
    }
}

/// One sentence that tells an outcome.
pub fn outcome_sentence(outcome: &Outcome, find: Find) -> String {
    let verb = if find == Find::Fix {
        "repaired it"
    } else {
        "broke it"
    };
    match outcome {
        Outcome::Culprit {
            rev,
            subject,
            confidence,
            sides,
            ..
        } => {
            let short = short(rev);
            let both = match sides.is_empty() {
                true => "",
                false => " It is a merge, and each of its sides alone did not: they clash.",
            };
            format!(
                "{short} (\"{subject}\") {verb}, with {} confidence.{both}",
                percent(*confidence)
            )
        }
        Outcome::Range {
            candidates,
            confidence,
            ..
        } => format!(
            "One of {} commits {verb} ({} confidence); the rest between them cannot be tested.",
            candidates.len(),
            percent(*confidence)
        ),
        Outcome::Differs {
            why, confidence, ..
        } => format!(
            "The two ends differ, with {} confidence: {why}.",
            percent(*confidence)
        ),
        Outcome::Surveyed { releases } => format!("All {releases} releases were run."),
        Outcome::NotReproduced { why, .. } => format!("Not reproduced: {why}."),
        Outcome::NoGoodEnd { why, .. } => format!("No good release was found: {why}."),
        Outcome::Unresolved { why } => format!("Unresolved: {why}."),
        Outcome::Cancelled => "Cancelled.".to_owned(),
    }
}

/// What is said of an outcome that somebody took back.
pub(super) fn retracted_sentence(who: &str, why: &str, told: &str) -> String {
    let why = why.trim_end_matches('.');
    format!("Retracted by {who}: {why}. It had said: {told}")
}

/// The first twelve digits of a commit id or digest.
pub fn short(hash: &str) -> &str {
    hash.get(..12).unwrap_or(hash)
}

/// Never rounds up to certainty.
pub fn percent(p: f64) -> String {
    let p = (p * 10_000.0).floor() / 100.0;
    format!("{:.2} %", p.min(99.99))
}
