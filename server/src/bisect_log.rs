//! A job as `git bisect log` tells it, text that `git bisect replay` takes; and such text read.
//!
//! Pure. Says of a revision only what holds: with a culprit, what contains it; without one, what
//! the runs said.

use std::fmt::Write;

use firstbad_api::job::{Find, Outcome};
use firstbad_bisect::{Mark, Node};

use crate::picture::Picture;

/// What a `git bisect log` says of revisions.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Steps {
    pub good: Vec<String>,
    /// The last one counts: it is the nearest.
    pub bad: Vec<String>,
    pub skip: Vec<String>,
    /// The log's own words for the ends say that a repair was looked for.
    pub fix: bool,
}

/// Reads the log of a bisection by hand.
///
/// # Errors
/// One sentence on the first line that it does not understand.
pub fn read(text: &str) -> Result<Steps, String> {
    let mut steps = Steps::default();
    let (mut old, mut new) = ("old".to_owned(), "new".to_owned());
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        // Subjects stand in comments; each step is there once more as a command.
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let odd = || {
            format!(
                "line {}: “{line}” is no line of a git bisect log",
                number + 1
            )
        };
        let words: Vec<&str> = line.split_whitespace().collect();
        let Some((word, rest)) = words
            .strip_prefix(&["git", "bisect"])
            .and_then(|w| w.split_first())
        else {
            return Err(odd());
        };
        let revs = rest.iter().map(|rev| rev.trim_matches('\'').to_owned());
        match *word {
            "start" => {
                for pair in rest.windows(2) {
                    let value = || pair[1].trim_matches('\'').to_owned();
                    match pair[0].trim_matches('\'') {
                        "--term-old" | "--term-good" => old = value(),
                        "--term-new" | "--term-bad" => new = value(),
                        _ => {}
                    }
                }
            }
            "good" => steps.good.extend(revs),
            "bad" => steps.bad.extend(revs),
            "skip" => steps.skip.extend(revs),
            word if word == old => {
                steps.fix = true;
                steps.good.extend(revs);
            }
            word if word == new => {
                steps.fix = true;
                steps.bad.extend(revs);
            }
            _ => return Err(odd()),
        }
    }
    if steps.bad.is_empty() {
        return Err("the log names no bad (new) revision".to_owned());
    }
    Ok(steps)
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_of_a_bisection_by_hand_is_read() {
        let log = "git bisect start\n# status: waiting\n# bad: [b1] x\ngit bisect bad b1\n\
                   git bisect good g1\ngit bisect skip s1 s2\ngit bisect bad b2\n\
                   # first bad commit: [b2] y\n";
        let all = |revs: &[&str]| revs.iter().map(|r| (*r).to_owned()).collect::<Vec<_>>();
        let steps = read(log).unwrap();
        assert_eq!((steps.good, steps.bad), (all(&["g1"]), all(&["b1", "b2"])));
        assert_eq!((steps.skip, steps.fix), (all(&["s1", "s2"]), false));
        let fix = "git bisect start '--term-old' 'broken' '--term-new' 'fixed'\n\
                   git bisect fixed f\ngit bisect broken o\n";
        let steps = read(fix).unwrap();
        assert_eq!((steps.good, steps.bad), (all(&["o"]), all(&["f"])));
        assert!(steps.fix);
        assert!(read("git bisect good g\n").unwrap_err().contains("no bad"));
        assert!(read("rm -rf /\n").unwrap_err().starts_with("line 1"));
    }
}
