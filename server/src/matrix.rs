//! A survey as a matrix: what each release did, and what changed between neighbours.
//!
//! Owns when a change is more than noise. Pure; must not know how a survey is stored.

use std::collections::BTreeMap;

use firstbad_api::observation::{BootOutcome, CaseStatus, TestObservation};
use firstbad_api::survey::{Cell, Edge, Row, What};

use crate::judge;
use crate::picture::{Picture, Standing};
use crate::scale;

/// A smaller change of a metric is nothing that anyone looks for.
const LEAST_CHANGE: f64 = 0.01;
/// Means this many standard errors apart differ (Welch 1947), with few samples.
const ERRORS: f64 = 5.0;
/// With one run on a side the noise is unknown, and a change has to be this large.
const UNKNOWN_NOISE: f64 = 0.05;

/// The runs of one suite on one release.
struct Runs<'a> {
    /// Attempt and what it saw.
    seen: Vec<(i64, &'a TestObservation)>,
    /// Why there is nothing to be seen, or that it is not there yet.
    nothing: Cell,
}

/// The rows of one suite: its cases, then its metrics.
pub fn rows(picture: &Picture) -> Vec<Row> {
    let columns: Vec<Runs> = picture
        .surveyed()
        .into_iter()
        .map(|p| runs(picture, p))
        .collect();
    let suite = &picture.job.suite.spec;
    let cases = suite.case.iter().map(|case| {
        let cells: Vec<Cell> = columns.iter().map(|c| case_cell(c, &case.name)).collect();
        let case = case.name.clone();
        (What::Case { case }, cells)
    });
    let metrics = metrics(&columns).into_iter().map(|(name, what)| {
        let cells = columns.iter().map(|c| metric_cell(c, &name)).collect();
        (what, cells)
    });
    let rows = cases.chain(metrics);
    rows.map(|(what, cells)| Row {
        suite: suite.name.clone(),
        job: picture.job.id,
        edges: edges(&what, &cells),
        what,
        cells,
    })
    .collect()
}

fn runs(picture: &Picture, position: i32) -> Runs<'_> {
    let tests = picture.site(position).map_or(&[][..], |s| &s.tests);
    let seen = tests
        .iter()
        .filter_map(|t| Some((t.probe.attempt_id, t.observation.as_deref()?)))
        .collect();
    let nothing = match picture.standing(position) {
        Standing::Unusable(why) | Standing::Held(why) => Cell::Nothing { why },
        _ => Cell::Open,
    };
    Runs { seen, nothing }
}

fn case_cell(column: &Runs, case: &str) -> Cell {
    let mut passed = 0;
    let mut failures: Vec<(i64, String)> = Vec::new();
    let mut others: Vec<String> = Vec::new();
    for (attempt, run) in &column.seen {
        let ended = run.cases.iter().find(|c| c.case == case);
        let outside = ended.and_then(|c| c.outside.clone());
        let ended = ended.map(|c| c.status);
        let crash = run.crashes.first().map(|c| c.title.clone());
        match (ended, crash) {
            (Some(CaseStatus::Pass), _) => passed += 1,
            (Some(CaseStatus::Fail), _) => failures.push((*attempt, "fails".to_owned())),
            (Some(CaseStatus::Timeout), _) => failures.push((*attempt, "times out".to_owned())),
            (Some(CaseStatus::Skip), _) => {
                others.push(outside.unwrap_or_else(|| "skipped".to_owned()))
            }
            (Some(CaseStatus::Broken), _) => others.push("cannot be run".to_owned()),
            (None, Some(crash)) => failures.push((*attempt, crash)),
            (None, None) if run.boot != BootOutcome::Up => others.push("does not boot".to_owned()),
            (None, None) => others.push("not reached".to_owned()),
        }
    }
    let first = column.seen.first().map(|(attempt, _)| *attempt);
    let failed = u32::try_from(failures.len()).unwrap_or(u32::MAX);
    match (first, failures.into_iter().next()) {
        (_, Some((attempt, why))) => Cell::Runs {
            passed,
            failed,
            why,
            attempt,
        },
        (Some(attempt), None) if passed > 0 => Cell::Runs {
            passed,
            failed: 0,
            why: String::new(),
            attempt,
        },
        (Some(_), None) => Cell::Nothing {
            why: others.into_iter().next().unwrap_or_default(),
        },
        (None, None) => column.nothing.clone(),
    }
}

/// Every metric that a run told, by name.
fn metrics(columns: &[Runs]) -> BTreeMap<String, What> {
    let runs = columns.iter().flat_map(|c| &c.seen);
    let all = runs.flat_map(|(_, run)| run.cases.iter().flat_map(|c| &c.metrics));
    all.map(|m| {
        let what = What::Metric {
            name: m.name.clone(),
            unit: m.unit.clone(),
            higher_is_better: m.better != "lower",
        };
        (m.name.clone(), what)
    })
    .collect()
}

fn metric_cell(column: &Runs, name: &str) -> Cell {
    let mut values = Vec::new();
    let mut told = None;
    for (attempt, run) in &column.seen {
        if let Some((value, _)) = judge::metric_value(name, run)
            && judge::busy(run).is_none()
        {
            values.push(value);
            told = told.or(Some(*attempt));
        }
    }
    match (told, column.seen.is_empty()) {
        (Some(attempt), _) => Cell::Values { values, attempt },
        (None, true) => column.nothing.clone(),
        (None, false) => Cell::Nothing {
            why: "not told".to_owned(),
        },
    }
}

/// The changes of a row, between columns that say something.
fn edges(what: &What, cells: &[Cell]) -> Vec<Edge> {
    let mut edges = Vec::new();
    let mut before: Option<(usize, &Cell)> = None;
    for (to, cell) in cells.iter().enumerate() {
        if matches!(cell, Cell::Open | Cell::Nothing { .. }) {
            continue;
        }
        if let Some((from, old)) = before
            && let Some(edge) = edge(what, from, to, old, cell)
        {
            edges.push(edge);
        }
        before = Some((to, cell));
    }
    edges
}

fn edge(what: &What, from: usize, to: usize, old: &Cell, new: &Cell) -> Option<Edge> {
    let edge = |worse: bool, text: String| Edge {
        from,
        to,
        worse,
        text,
        change: None,
        noise: None,
        significant: true,
        job: None,
        found: None,
    };
    match (what, old, new) {
        (_, Cell::Runs { failed: a, .. }, Cell::Runs { failed: b, .. }) => match (*a > 0, *b > 0) {
            (false, true) => Some(edge(true, "passes → fails".to_owned())),
            (true, false) => Some(edge(false, "fails → passes".to_owned())),
            _ => None,
        },
        (
            What::Metric {
                higher_is_better, ..
            },
            Cell::Values { values: a, .. },
            Cell::Values { values: b, .. },
        ) => {
            let step = step(a, b)?;
            let change = format!("{:+.1}\u{a0}%", step.change * 100.0).replace('-', "−");
            Some(Edge {
                change: Some(step.change),
                noise: step.noise,
                significant: step.significant,
                ..edge((step.change < 0.0) == *higher_is_better, change)
            })
        }
        _ => None,
    }
}

/// Whether a number got worse by more than its noise.
pub fn worse(old: &[f64], new: &[f64], higher_is_better: bool) -> bool {
    let step = step(old, new).filter(|s| s.significant);
    step.is_some_and(|s| (s.change < 0.0) == higher_is_better)
}

/// From one mean to the next.
struct Step {
    /// Shares of the mean before.
    change: f64,
    noise: Option<f64>,
    significant: bool,
}

/// `None` when nothing moved at all.
fn step(old: &[f64], new: &[f64]) -> Option<Step> {
    let (Some((a, spread_a)), Some((b, spread_b))) = (scale::summary(old), scale::summary(new))
    else {
        return None;
    };
    if a == b || a == 0.0 {
        return None;
    }
    let change = (b - a) / a;
    let (noise, significant) = match (spread_a, spread_b) {
        (Some(x), Some(y)) => {
            let error = (x / old.len() as f64 + y / new.len() as f64).sqrt();
            let noise = ((x + y) / 2.0).sqrt() / a.abs();
            let clear = (b - a).abs() >= ERRORS * error && change.abs() >= LEAST_CHANGE;
            (Some(noise), clear)
        }
        _ => (None, change.abs() >= UNKNOWN_NOISE),
    };
    Some(Step {
        change,
        noise,
        significant,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(of: &[f64]) -> Cell {
        Cell::Values {
            values: of.to_vec(),
            attempt: 1,
        }
    }

    fn told(passed: u32, failed: u32) -> Cell {
        Cell::Runs {
            passed,
            failed,
            why: String::new(),
            attempt: 1,
        }
    }

    fn nothing() -> Cell {
        Cell::Nothing {
            why: "skipped".to_owned(),
        }
    }

    #[test]
    fn every_flip_of_a_case_is_a_change_and_gaps_are_stepped_over() {
        let case = What::Case {
            case: "c".to_owned(),
        };
        let cells = [
            told(3, 0),
            told(2, 1),
            nothing(),
            told(3, 0),
            Cell::Open,
            told(0, 3),
        ];
        let found: Vec<_> = edges(&case, &cells)
            .into_iter()
            .map(|e| (e.from, e.to, e.worse))
            .collect();
        assert_eq!(found, [(0, 1, true), (1, 3, false), (3, 5, true)]);
    }

    #[test]
    fn a_metric_moves_when_it_is_more_than_its_noise_and_worth_a_look() {
        let metric = |higher_is_better| What::Metric {
            name: "m".to_owned(),
            unit: "MB/s".to_owned(),
            higher_is_better,
        };
        let base = values(&[100.0, 100.4, 99.6]);
        for (new, significant, worse) in [
            (values(&[95.0, 95.4, 94.6]), true, true),
            (values(&[105.0, 105.4, 104.6]), true, false),
            (values(&[99.5, 99.9, 99.1]), false, true),
            (values(&[98.0, 110.0, 70.0]), false, true),
            (values(&[97.0]), false, true),
            (values(&[80.0]), true, true),
        ] {
            let found = edges(&metric(true), &[base.clone(), new.clone()]);
            let [edge] = found.as_slice() else {
                panic!("{new:?}");
            };
            assert_eq!(
                (edge.significant, edge.worse),
                (significant, worse),
                "{new:?}"
            );
            let lower = edges(&metric(false), &[base.clone(), new]);
            assert_eq!(lower[0].worse, !worse);
        }
        assert!(edges(&metric(true), &[base.clone(), base]).is_empty());
    }
}
