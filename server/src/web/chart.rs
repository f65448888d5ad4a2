//! The narrowing view: which revisions were tested, round by round, and what is left after each.
//!
//! Owns the geometry; the templates draw it as SVG. Must not know how a verdict is derived.

use firstbad_api::job::{Candidate, Find, Job, Outcome};

use super::format::short;

/// Drawing width in SVG units; the page scales or scrolls it.
const WIDTH: f64 = 960.0;
/// Room for the numbers of the rounds on the left.
const LEFT: f64 = 64.0;
/// Room on the right.
const RIGHT: f64 = 24.0;
/// Room above the first round, for the names of tags.
const TOP: f64 = 26.0;
/// Height of a round, at most and at least, and of all of them if they fit.
const ROUND: (f64, f64) = (28.0, 14.0);
const ROUNDS: f64 = 420.0;
/// Room for the axis below the rounds.
const AXIS: f64 = 30.0;
/// Radius of a dot, at most.
const DOT: f64 = 10.0;
/// A range longer than this gets a second, zoomed panel.
const ZOOM: i32 = 60;
/// Merges are drawn up to this many, tags with their names up to this many.
const MERGES: usize = 400;
const TAGS: usize = 12;

/// A revision that tells where one is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Landmark {
    pub position: i32,
    /// The name of a tag; none of a merge.
    pub tag: Option<String>,
}

/// A band over part of the range.
pub struct Band {
    pub x: String,
    pub y: String,
    pub width: String,
    pub height: String,
}

/// What was chosen at once, and what was left after it.
pub struct Round {
    pub number: u32,
    pub text_y: String,
    pub line_y: String,
    pub left: Option<Band>,
}

/// One tested revision.
pub struct Dot {
    pub x: String,
    pub y: String,
    pub text_y: String,
    pub class: &'static str,
    pub glyph: &'static str,
    /// Fragment of the table row.
    pub row: String,
    pub title: String,
}

/// A mark on the axis or above the rounds.
pub struct Tick {
    pub x: String,
    pub label: String,
    pub anchor: &'static str,
}

/// One drawing.
pub struct Panel {
    pub name: String,
    pub width: f64,
    pub height: f64,
    pub top: f64,
    pub from_x: f64,
    pub to_x: f64,
    pub axis_y: f64,
    pub label_y: f64,
    pub radius: String,
    pub rounds: Vec<Round>,
    pub culprit: Option<String>,
    pub dots: Vec<Dot>,
    pub ticks: Vec<Tick>,
    pub merges: Vec<String>,
    pub tags: Vec<Tick>,
}

/// The drawings of a job: the whole range, and the neighbourhood of the answer when that is small.
pub fn panels(job: &Job, landmarks: &[Landmark]) -> Vec<Panel> {
    let tested: Vec<&Candidate> = job
        .candidates
        .iter()
        .filter(|c| c.verdict != "untested")
        .collect();
    if tested.is_empty() {
        return Vec::new();
    }
    let (first, last) = ends(job);
    let draw = |from, to, name| panel(job, &tested, landmarks, (from, to), name);
    let mut panels = vec![draw(first, last, "Whole range")];
    if let (true, Some((low, high))) = (last - first > ZOOM, survivors(job)) {
        let pad = ((high - low) / 2).max(8);
        let (from, to) = ((low - pad).max(first), (high + pad).min(last));
        if to - from < (last - first) * 2 / 3 {
            panels.push(draw(from, to, "Around what is left"));
        }
    }
    panels
}

/// The share of the range already excluded, in bits, as 0 to 100: what a bar shows.
pub fn progress(revisions: usize, left: usize) -> u32 {
    let bits = |n: usize| (n.max(1) as f64).log2();
    match bits(revisions) {
        total if total > 0.0 => (100.0 * (1.0 - bits(left) / total))
            .clamp(0.0, 100.0)
            .round() as u32,
        _ => 100,
    }
}

/// The outermost positions: good ends lie below zero, the bad end is the last candidate.
fn ends(job: &Job) -> (i32, i32) {
    let places = || job.candidates.iter().map(|c| c.position);
    let first = places().min().unwrap_or(0).min(0);
    let last = i32::try_from(job.range.revisions).unwrap_or(i32::MAX) - 1;
    (first, places().max().unwrap_or(0).max(last).max(first + 1))
}

/// Positions that bound what could still be the answer: the named candidates when the job ended,
/// else the gap between the nearest tested revisions on both sides.
fn survivors(job: &Job) -> Option<(i32, i32)> {
    let place = |rev: &str| {
        let found = job.candidates.iter().find(|c| c.rev == rev);
        found.map(|c| c.position)
    };
    match &job.outcome {
        Some(Outcome::Culprit { rev, .. }) => place(rev).map(|p| (p, p)),
        Some(Outcome::Range { candidates, .. }) => {
            let places: Vec<i32> = candidates.iter().filter_map(|c| place(&c.rev)).collect();
            Some((*places.iter().min()?, *places.iter().max()?))
        }
        Some(_) => None,
        None => gap(job, u32::MAX),
    }
}

/// The gap between the nearest answers of both kinds, of revisions chosen up to a round.
fn gap(job: &Job, round: u32) -> Option<(i32, i32)> {
    let (old, new) = match job.request.find {
        Find::Regression => ("good", "bad"),
        Find::Fix => ("bad", "good"),
    };
    let places = |verdict: &'static str| {
        let all = job.candidates.iter();
        all.filter(move |c| c.verdict == verdict && c.round <= round)
            .map(|c| c.position)
    };
    let (first, last) = ends(job);
    let high = places(new).min().unwrap_or(last);
    let low = places(old).filter(|p| *p < high).max().unwrap_or(first);
    (high > low).then_some((low + 1, high))
}

fn panel(
    job: &Job,
    tested: &[&Candidate],
    landmarks: &[Landmark],
    (from, to): (i32, i32),
    name: &str,
) -> Panel {
    let step = (WIDTH - LEFT - RIGHT) / f64::from((to - from).max(1));
    let x = |position: i32| LEFT + f64::from(position - from) * step;
    let inside = |position: i32| (from..=to).contains(&position);
    let shown: Vec<&Candidate> = tested
        .iter()
        .filter(|c| inside(c.position))
        .copied()
        .collect();
    // Rounds in which nothing was chosen here are left out.
    let mut numbers: Vec<u32> = shown.iter().map(|c| c.round).collect();
    numbers.sort_unstable();
    numbers.dedup();
    let height = (ROUNDS / numbers.len().max(1) as f64).clamp(ROUND.1, ROUND.0);
    let radius = DOT.min(height / 2.0 - 1.0);
    let y = |round: u32| {
        let row = numbers.iter().position(|n| *n == round).unwrap_or(0);
        TOP + height * (row as f64 + 0.5)
    };
    let dot = |c: &&Candidate| {
        let (class, glyph) = look(&c.verdict);
        Dot {
            x: format!("{:.1}", x(c.position)),
            y: format!("{:.1}", y(c.round)),
            text_y: format!("{:.1}", y(c.round) + radius * 0.45),
            class,
            glyph,
            row: format!("r-{}", short(&c.rev)),
            title: format!(
                "round {}: {} {}: {}",
                c.round,
                short(&c.rev),
                c.subject,
                word(job.request.find, &c.verdict)
            ),
        }
    };
    let round = |number: &u32| {
        let last = numbers.last() == Some(number);
        let left = match last {
            true => survivors(job),
            false => gap(job, *number),
        };
        let left = left.filter(|(low, high)| *high >= from && *low <= to);
        Round {
            number: *number,
            text_y: format!("{:.1}", y(*number) + 4.5),
            line_y: format!("{:.1}", y(*number)),
            left: left.map(|(low, high)| {
                let (left, right) = (x(low.max(from)) - radius, x(high.min(to)) + radius);
                Band {
                    x: format!("{left:.1}"),
                    y: format!("{:.1}", y(*number) - height / 2.0),
                    width: format!("{:.1}", (right - left).max(2.0)),
                    height: format!("{height:.1}"),
                }
            }),
        }
    };
    let culprit = match (&job.outcome, survivors(job)) {
        (Some(Outcome::Culprit { .. }), Some((at, _))) => Some(format!("{:.1}", x(at))),
        _ => None,
    };
    let axis_y = TOP + height * numbers.len() as f64;
    let here = landmarks.iter().filter(|l| inside(l.position));
    let (tags, merges): (Vec<&Landmark>, Vec<&Landmark>) = here.partition(|l| l.tag.is_some());
    Panel {
        name: name.to_string(),
        width: WIDTH,
        height: axis_y + AXIS,
        top: TOP,
        from_x: LEFT - DOT,
        to_x: WIDTH - RIGHT + DOT,
        axis_y,
        label_y: axis_y + 20.0,
        radius: format!("{radius:.1}"),
        dots: shown.iter().map(dot).collect(),
        rounds: numbers.iter().map(round).collect(),
        culprit,
        ticks: ticks(from, to, job.request.find, x),
        merges: match merges.len() {
            0..=MERGES => merges
                .iter()
                .map(|l| format!("{:.1}", x(l.position)))
                .collect(),
            _ => Vec::new(),
        },
        tags: spread(&tags, x),
    }
}

/// The tags whose names fit beside each other, the last ones first.
fn spread(tags: &[&Landmark], x: impl Fn(i32) -> f64) -> Vec<Tick> {
    let mut free = f64::INFINITY;
    let mut out = Vec::new();
    for mark in tags.iter().rev() {
        let label = mark.tag.clone().unwrap_or_default();
        let at = x(mark.position);
        let half = label.len() as f64 * 3.6;
        let fits = at - half >= LEFT && at + half <= WIDTH;
        if fits && at + half < free && out.len() < TAGS {
            free = at - half - 8.0;
            out.push(Tick {
                x: format!("{at:.1}"),
                label,
                anchor: "middle",
            });
        }
    }
    out
}

/// Colour and glyph of a verdict.
fn look(verdict: &str) -> (&'static str, &'static str) {
    match verdict {
        "bad" => ("bad", "✖"),
        "good" => ("good", "✔"),
        "weak" => ("weak", "≈"),
        "skip" => ("skip", "⤼"),
        // Not answered yet: hollow.
        _ => ("open", ""),
    }
}

/// The verdict as people say it of what is looked for.
fn word(find: Find, verdict: &str) -> &str {
    match (find, verdict) {
        (Find::Fix, "bad") => "still there",
        (Find::Fix, "good") => "gone",
        (_, verdict) => verdict,
    }
}

/// Positions on the axis; those before the range are ends that were given.
fn ticks(from: i32, to: i32, find: Find, x: impl Fn(i32) -> f64) -> Vec<Tick> {
    let middle = from + (to - from) / 2;
    let tick = |at: i32, anchor| Tick {
        x: format!("{:.1}", x(at)),
        label: match (at, find) {
            (0.., _) => at.to_string(),
            (_, Find::Fix) => "old end".to_owned(),
            (_, Find::Regression) => "good end".to_owned(),
        },
        anchor,
    };
    let mut ticks = vec![tick(from, "start")];
    if middle > from && middle < to {
        ticks.push(tick(middle, "middle"));
    }
    ticks.push(tick(to, "end"));
    ticks
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A job with these (position, verdict) tested.
    fn job(find: &str, tested: &[(i32, &str)]) -> Job {
        let candidates: Vec<_> = tested
            .iter()
            .map(|(position, verdict)| {
                serde_json::json!({
            "rev": format!("{position:040}"), "subject": "s", "position": position,
            "verdict": verdict, "why": "", "bad_runs": 0, "runs": 1, "build": null,
            "build_state": "done", "build_reused": false, "signature": null, "tests": [],
            "metric": null, "reason": "", "round": 1 + position.unsigned_abs() % 4})
            })
            .collect();
        serde_json::from_value(serde_json::json!({
            "id": 1, "title": "t", "state": "running", "sentence": "",
            "request": {"tree": "t", "good": ["a"], "bad": "b", "suite": "s/s", "find": find},
            "range": {"good": ["a"], "bad": "b", "revisions": 100, "merges": 0, "steps": 7},
            "left": 25, "step": 0, "steps": 7, "eta_s": null, "outcome": null,
            "cost": {"builds": 0, "builds_reused": 0, "boots": 0, "boots_reused": 0,
                     "build_ms": 0, "test_ms": 0},
            "candidates": candidates, "stage_ms": {}, "created_at": "", "ended_at": null}))
        .unwrap()
    }

    #[test]
    fn the_gap_lies_between_the_nearest_answers() {
        let both = [
            (-1, "good"),
            (40, "good"),
            (60, "skip"),
            (70, "bad"),
            (99, "bad"),
        ];
        assert_eq!(survivors(&job("regression", &both)), Some((41, 70)));
        let fix = [(-1, "bad"), (40, "bad"), (70, "good"), (99, "good")];
        assert_eq!(survivors(&job("fix", &fix)), Some((41, 70)));
        assert_eq!(survivors(&job("regression", &[])), Some((1, 99)));
    }

    #[test]
    fn every_dot_lies_on_the_drawing() {
        let all = [
            (-2, "good"),
            (-1, "good"),
            (40, "good"),
            (42, "bad"),
            (99, "bad"),
        ];
        let panels = panels(&job("regression", &all), &[]);
        assert_eq!(panels.len(), 2);
        assert_eq!(
            (panels[0].dots.len(), panels[0].ticks[0].label.as_str()),
            (5, "good end")
        );
        for dot in panels.iter().flat_map(|p| &p.dots) {
            let x: f64 = dot.x.parse().unwrap();
            assert!((LEFT..=WIDTH - RIGHT).contains(&x), "{x}");
        }
        assert!(super::panels(&job("regression", &[]), &[]).is_empty());
    }

    #[test]
    fn the_bar_counts_bits() {
        let mut job = job("regression", &[]);
        for (left, shown) in [(100, 0), (10, 50), (1, 100), (0, 100)] {
            job.left = left;
            assert_eq!(progress(job.range.revisions, job.left), shown);
        }
    }

    #[test]
    fn each_round_shows_what_was_left_after_it() {
        let mut job = job(
            "regression",
            &[(-1, "good"), (99, "bad"), (50, "bad"), (25, "good")],
        );
        for (candidate, round) in job.candidates.iter_mut().zip([1, 1, 2, 3]) {
            candidate.round = round;
        }
        assert_eq!(gap(&job, 1), Some((0, 99)));
        assert_eq!(gap(&job, 2), Some((0, 50)));
        assert_eq!(gap(&job, 3), Some((26, 50)));
        let marks = [
            Landmark {
                position: 10,
                tag: None,
            },
            Landmark {
                position: 40,
                tag: Some("v6.18".into()),
            },
            Landmark {
                position: 41,
                tag: Some("v6.18.1".into()),
            },
        ];
        let panel = &panels(&job, &marks)[0];
        let numbers: Vec<u32> = panel.rounds.iter().map(|r| r.number).collect();
        assert_eq!(numbers, [1, 2, 3]);
        assert_eq!(panel.merges.len(), 1);
        // The names of neighbours would lie on each other.
        assert_eq!(panel.tags.len(), 1);
        assert_eq!(panel.tags[0].label, "v6.18.1");
    }
}
