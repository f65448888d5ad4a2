//! The narrowing view: where in the range the tested revisions lie and what they answered.
//!
//! Owns the geometry; the templates draw it as SVG. Must not know how a verdict is derived.

use firstbad_api::job::{Candidate, Find, Job, Outcome};

use super::format::short;

/// Drawing width in SVG units; the page scales or scrolls it.
const WIDTH: f64 = 960.0;
/// Room for the lane names on the left.
const LEFT: f64 = 84.0;
/// Room on the right.
const RIGHT: f64 = 24.0;
/// Height of a lane.
const LANE: f64 = 34.0;
/// Room for the axis below the lanes.
const AXIS: f64 = 30.0;
/// Radius of a dot.
const DOT: f64 = 10.0;
/// A range longer than this gets a second, zoomed panel.
const ZOOM: i32 = 60;

/// A band over part of the range.
pub struct Band {
    pub x: String,
    pub width: String,
}

/// One verdict's row.
pub struct Lane {
    pub y: String,
    pub text_y: String,
    pub label: &'static str,
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

/// A mark on the axis.
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
    pub lane_x: f64,
    pub lane_end: f64,
    pub axis_y: f64,
    pub label_y: f64,
    pub lanes: Vec<Lane>,
    pub survivors: Option<Band>,
    pub culprit: Option<String>,
    pub dots: Vec<Dot>,
    pub ticks: Vec<Tick>,
}

/// The drawings of a job: the whole range, and the neighbourhood of the answer when that is small.
pub fn panels(job: &Job) -> Vec<Panel> {
    let tested: Vec<&Candidate> = job
        .candidates
        .iter()
        .filter(|c| c.verdict != "untested")
        .collect();
    if tested.is_empty() {
        return Vec::new();
    }
    let (first, last) = ends(job);
    let mut panels = vec![panel(job, &tested, first, last, "Whole range")];
    if let (true, Some((low, high))) = (last - first > ZOOM, survivors(job)) {
        let pad = ((high - low) / 2).max(8);
        let (from, to) = ((low - pad).max(first), (high + pad).min(last));
        if to - from < (last - first) * 2 / 3 {
            panels.push(panel(job, &tested, from, to, "Around what is left"));
        }
    }
    panels
}

/// The share of the range already excluded, in bits, as 0 to 100: what a bar shows.
pub fn progress(job: &Job) -> u32 {
    let bits = |n: usize| (n.max(1) as f64).log2();
    match bits(job.range.revisions) {
        total if total > 0.0 => (100.0 * (1.0 - bits(job.left) / total))
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
        None => gap(job),
    }
}

fn gap(job: &Job) -> Option<(i32, i32)> {
    let (old, new) = match job.request.find {
        Find::Regression => ("good", "bad"),
        Find::Fix => ("bad", "good"),
    };
    let places = |verdict: &'static str| {
        let all = job.candidates.iter();
        all.filter(move |c| c.verdict == verdict)
            .map(|c| c.position)
    };
    let (first, last) = ends(job);
    let high = places(new).min().unwrap_or(last);
    let low = places(old).filter(|p| *p < high).max().unwrap_or(first);
    (high > low).then_some((low + 1, high))
}

fn panel(job: &Job, tested: &[&Candidate], from: i32, to: i32, name: &str) -> Panel {
    let step = (WIDTH - LEFT - RIGHT) / f64::from((to - from).max(1));
    let x = |position: i32| LEFT + f64::from(position - from) * step;
    let shown: Vec<&Candidate> = tested
        .iter()
        .filter(|c| (from..=to).contains(&c.position))
        .copied()
        .collect();
    let verdicts = lanes(job.request.find, &shown);
    let y = |lane: usize| 8.0 + LANE * (lane as f64 + 0.5);
    let mut dots = Vec::new();
    for (lane, (verdict, _, class, glyph)) in verdicts.iter().enumerate() {
        for c in shown.iter().filter(|c| c.verdict == *verdict) {
            dots.push(Dot {
                x: format!("{:.1}", x(c.position)),
                y: format!("{:.1}", y(lane)),
                text_y: format!("{:.1}", y(lane) + 4.5),
                class,
                glyph,
                row: format!("r-{}", short(&c.rev)),
                title: format!("{} {}: {}", short(&c.rev), c.subject, c.verdict),
            });
        }
    }
    let band = survivors(job).map(|(low, high)| {
        let (left, right) = (x(low.max(from)) - DOT, x(high.min(to)) + DOT);
        Band {
            x: format!("{left:.1}"),
            width: format!("{:.1}", (right - left).max(2.0)),
        }
    });
    let culprit = match (&job.outcome, survivors(job)) {
        (Some(Outcome::Culprit { .. }), Some((at, _))) => Some(format!("{:.1}", x(at))),
        _ => None,
    };
    let axis_y = 8.0 + LANE * verdicts.len() as f64;
    Panel {
        name: name.to_string(),
        width: WIDTH,
        height: axis_y + AXIS,
        lane_x: LEFT - DOT,
        lane_end: WIDTH - RIGHT + DOT,
        axis_y,
        label_y: axis_y + 20.0,
        lanes: verdicts
            .iter()
            .enumerate()
            .map(|(lane, (_, label, _, _))| Lane {
                y: format!("{:.1}", y(lane)),
                text_y: format!("{:.1}", y(lane) + 5.0),
                label,
            })
            .collect(),
        survivors: band,
        culprit,
        dots,
        ticks: ticks(from, to, x),
    }
}

/// Verdict, lane name, colour and glyph; the last three only when they occur.
type LaneKind = (&'static str, &'static str, &'static str, &'static str);

fn lanes(find: Find, shown: &[&Candidate]) -> Vec<LaneKind> {
    let (good, bad) = match find {
        Find::Regression => ("good", "bad"),
        Find::Fix => ("gone", "present"),
    };
    let all: [LaneKind; 5] = [
        ("bad", bad, "bad", "✖"),
        ("good", good, "good", "✔"),
        ("weak", "weak", "weak", "≈"),
        ("skip", "skip", "skip", "⤼"),
        ("running", "running", "run", "▶\u{fe0e}"),
    ];
    let wanted = |kind: &LaneKind| {
        kind.0 == "good" || kind.0 == "bad" || shown.iter().any(|c| c.verdict == kind.0)
    };
    all.into_iter().filter(wanted).collect()
}

fn ticks(from: i32, to: i32, x: impl Fn(i32) -> f64) -> Vec<Tick> {
    let middle = from + (to - from) / 2;
    let tick = |at: i32, anchor| Tick {
        x: format!("{:.1}", x(at)),
        label: at.to_string(),
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
            "metric": null, "reason": ""})
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
        let panels = panels(&job("regression", &all));
        assert_eq!(panels.len(), 2);
        assert_eq!(
            (panels[0].dots.len(), panels[0].ticks[0].label.as_str()),
            (5, "-2")
        );
        for dot in panels.iter().flat_map(|p| &p.dots) {
            let x: f64 = dot.x.parse().unwrap();
            assert!((LEFT..=WIDTH - RIGHT).contains(&x), "{x}");
        }
        assert!(super::panels(&job("regression", &[])).is_empty());
    }

    #[test]
    fn the_bar_counts_bits() {
        let mut job = job("regression", &[]);
        for (left, shown) in [(100, 0), (10, 50), (1, 100), (0, 100)] {
            job.left = left;
            assert_eq!(progress(&job), shown);
        }
    }
}
