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
    let last = last_position(job);
    let mut panels = vec![panel(job, &tested, 0, last, "Whole range")];
    if let (true, Some((low, high))) = (last > ZOOM, survivors(job)) {
        let pad = ((high - low) / 2).max(8);
        let (from, to) = ((low - pad).max(0), (high + pad).min(last));
        if to - from < last * 2 / 3 {
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

fn last_position(job: &Job) -> i32 {
    let revisions = i32::try_from(job.range.revisions).unwrap_or(i32::MAX);
    let seen = job.candidates.iter().map(|c| c.position).max();
    seen.unwrap_or(0).max(revisions).max(1)
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
    let high = places(new).min().unwrap_or_else(|| last_position(job));
    let low = places(old).filter(|p| *p < high).max().unwrap_or(0);
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
