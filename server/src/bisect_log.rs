//! A job as `git bisect log` tells it: text that `git bisect replay` takes.
//!
//! Pure. Says of a revision only what holds: with a culprit, what contains it; without one, what
//! the runs said.

use std::fmt::Write;

use firstbad_api::job::{Find, Outcome};
use firstbad_bisect::{Mark, Node};

use crate::picture::Picture;

/// The log of a job, ends first, then in the order of testing.
pub fn render(picture: &Picture) -> String {
    let request = &picture.job.request;
    let mut out = String::from("git bisect start");
    if request.first_parent {
        out.push_str(" --first-parent");
    }
    if !request.paths.is_empty() {
        out.push_str(" --");
        for path in &request.paths {
            let _ = write!(out, " {}", quoted(path));
        }
    }
    out.push('\n');
    let culprit = culprit(picture);
    step(&mut out, picture, picture.bad(), Mark::Bad);
    for good in picture.goods() {
        step(&mut out, picture, good, Mark::Good);
    }
    let mut tested: Vec<(i64, i32)> = picture
        .sites
        .iter()
        .filter(|(position, _)| (0..picture.bad()).contains(*position))
        .filter_map(|(position, site)| Some((site.build.as_ref()?.attempt_id, *position)))
        .collect();
    tested.sort_unstable();
    for (_, position) in tested {
        if let Some(mark) = mark(picture, culprit, position) {
            step(&mut out, picture, position, mark);
        }
    }
    if let Some(at) = culprit {
        let _ = writeln!(
            out,
            "# first {} commit: {}",
            term(picture, Mark::Bad),
            named(picture, at)
        );
    }
    out
}

/// Position of the named culprit.
fn culprit(picture: &Picture) -> Option<i32> {
    let Some(Outcome::Culprit { rev, .. }) = picture.job.outcome.as_deref() else {
        return None;
    };
    let mut candidates = picture.revisions.range(0..);
    candidates.find(|(_, r)| r.rev == *rev).map(|(p, _)| *p)
}

/// A revision that flakes may have been clean by chance: with a culprit its place in the graph counts.
fn mark(picture: &Picture, culprit: Option<i32>, position: i32) -> Option<Mark> {
    let judged = picture.mark(position)?;
    let (Some(culprit), true) = (culprit, judged != Mark::Skip) else {
        let sure = judged != Mark::Good || picture.calibration.deterministic;
        return sure.then_some(judged);
    };
    let (culprit, node) = (
        Node::try_from(culprit).ok()?,
        Node::try_from(position).ok()?,
    );
    Some(match picture.graph.is_ancestor(culprit, node) {
        true => Mark::Bad,
        false => Mark::Good,
    })
}

fn term(picture: &Picture, mark: Mark) -> &'static str {
    match (mark, picture.find()) {
        (Mark::Skip, _) => "skip",
        (Mark::Bad, Find::Regression) => "bad",
        (Mark::Good, Find::Regression) => "good",
        (Mark::Bad, Find::Fix) => "new",
        (Mark::Good, Find::Fix) => "old",
    }
}

fn named(picture: &Picture, position: i32) -> String {
    let subject: String = picture
        .subject(position)
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    format!("[{}] {subject}", picture.rev(position))
}

fn step(out: &mut String, picture: &Picture, position: i32, mark: Mark) {
    let (term, rev) = (term(picture, mark), picture.rev(position));
    let _ = writeln!(out, "# {term}: {}", named(picture, position));
    let _ = writeln!(out, "git bisect {term} {rev}");
}

/// In single quotes, as git and the shell read it.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}
