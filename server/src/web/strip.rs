//! A metric as a strip: each run a dot, each revision a row.
//!
//! Owns the geometry. Must not know how a number is judged.

use firstbad_api::job::{Candidate, Find, Job, Signal};

use super::format::{self, short};

/// Drawing width in SVG units, and the room for names.
const WIDTH: f64 = 960.0;
const LEFT: f64 = 190.0;
const RIGHT: f64 = 30.0;
const TOP: f64 = 24.0;
const ROW: f64 = 24.0;
const AXIS: f64 = 30.0;
/// More rows are left to the table.
const ROWS: usize = 40;
/// More runs of a revision are left to the table.
const RUNS: usize = 200;

pub struct Run {
    pub x: String,
    pub attempt: i64,
    pub title: String,
}

pub struct Row {
    pub y: String,
    pub text_y: String,
    pub name: String,
    pub class: &'static str,
    pub runs: Vec<Run>,
    /// Of the mean, if there is more than one run; with its ends up and down.
    pub mean: Option<(String, String, String)>,
    /// Both ends of the interval of the mean.
    pub interval: Option<(String, String)>,
}

/// A number on the axis.
pub struct Line {
    pub x: String,
    pub label: String,
    pub class: &'static str,
}

pub struct Strip {
    pub name: String,
    /// The job whose runs these are.
    pub job: i64,
    pub width: f64,
    pub height: f64,
    pub top: f64,
    pub axis_y: f64,
    pub label_y: f64,
    pub from_x: f64,
    pub to_x: f64,
    /// The numbers at both ends of the axis.
    pub least: String,
    pub most: String,
    pub rows: Vec<Row>,
    pub lines: Vec<Line>,
    /// Revisions that are not drawn.
    pub more: usize,
}

/// A revision to be drawn.
pub struct Revision<'a> {
    pub rev: &'a str,
    pub verdict: &'a str,
    pub mean: Option<f64>,
    /// Of the mean.
    pub interval: Option<(f64, f64)>,
    /// Value, attempt, seed.
    pub runs: Vec<(f64, i64, i64)>,
}

/// The strip of a job that looks at a number; `None` while there are no numbers.
pub fn strip(job: &Job) -> Option<Strip> {
    let Signal::Metric { name, threshold } = &job.request.signal else {
        return None;
    };
    let mut rows: Vec<&Candidate> = job
        .candidates
        .iter()
        .filter(|c| c.tests.iter().any(|t| t.value.is_some()))
        .collect();
    rows.sort_by_key(|c| c.position);
    let bad = rows.iter().find(|c| c.rev == job.range.bad)?.metric;
    let good = rows
        .iter()
        .find(|c| job.range.good.contains(&c.rev))?
        .metric;
    let middle = threshold.or_else(|| Some(good?.midpoint(bad?)));
    let (old, new) = match job.request.find {
        Find::Regression => ("good end", "bad end"),
        Find::Fix => ("old end", "new end"),
    };
    let lines = [
        (good, old, "good"),
        (bad, new, "bad"),
        (middle, "threshold", "middle"),
    ];
    let lines = lines
        .into_iter()
        .filter_map(|(v, what, class)| Some((v?, what, class)));
    let rows = rows.into_iter().map(|c| Revision {
        rev: &c.rev,
        verdict: &c.verdict,
        mean: c.metric,
        interval: None,
        runs: c
            .tests
            .iter()
            .filter_map(|t| Some((t.value?, t.attempt, t.seed)))
            .collect(),
    });
    draw(name, job.id, rows.collect(), lines.collect())
}

/// The strip of some revisions, oldest first, with numbers on its axis; `None` without numbers.
pub fn draw(
    name: &str,
    job: i64,
    mut rows: Vec<Revision<'_>>,
    lines: Vec<(f64, &str, &'static str)>,
) -> Option<Strip> {
    let more = rows.len().saturating_sub(ROWS);
    // The ends stay.
    if more > 0 {
        rows.drain(ROWS / 2..ROWS / 2 + more);
    }
    let values = rows.iter().flat_map(|r| &r.runs).map(|run| run.0);
    let all: Vec<f64> = values.chain(lines.iter().map(|l| l.0)).collect();
    let least = all.iter().copied().reduce(f64::min)?;
    let most = all.iter().copied().reduce(f64::max)?;
    let pad = ((most - least) * 0.05).max(most.abs() * 1e-4).max(1e-9);
    let (least, most) = (least - pad, most + pad);
    let x = |v: f64| {
        let v = v.clamp(least, most);
        format!(
            "{:.1}",
            LEFT + (v - least) / (most - least) * (WIDTH - LEFT - RIGHT)
        )
    };
    let axis_y = TOP + ROW * rows.len() as f64;
    let row = |(n, r): (usize, &Revision)| {
        let y = TOP + ROW * (n as f64 + 0.5);
        let run = |(value, attempt, seed): &(f64, i64, i64)| Run {
            x: x(*value),
            attempt: *attempt,
            title: format!("{} with seed {seed}", format::value(*value)),
        };
        let drawn = r.runs.iter().take(RUNS);
        Row {
            y: format!("{y:.1}"),
            text_y: format!("{:.1}", y + 4.5),
            name: short(r.rev).to_owned(),
            class: match r.verdict {
                "bad" => "bad",
                "good" => "good",
                _ => "skip",
            },
            mean: r.mean.filter(|_| r.runs.len() > 1).map(|mean| {
                let ends = (y - ROW * 0.4, y + ROW * 0.4);
                (x(mean), format!("{:.1}", ends.0), format!("{:.1}", ends.1))
            }),
            interval: r.interval.map(|(low, high)| (x(low), x(high))),
            runs: drawn.map(run).collect(),
        }
    };
    let line = |(v, what, class): (f64, &str, &'static str)| Line {
        x: x(v),
        label: format!("{what} {}", format::value(v)),
        class,
    };
    Some(Strip {
        name: name.to_owned(),
        job,
        width: WIDTH,
        height: axis_y + AXIS,
        top: TOP,
        axis_y,
        label_y: axis_y + 20.0,
        least: format::value(least),
        most: format::value(most),
        from_x: LEFT,
        to_x: WIDTH - RIGHT,
        rows: rows.iter().enumerate().map(row).collect(),
        lines: lines.into_iter().map(line).collect(),
        more,
    })
}
