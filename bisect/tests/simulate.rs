//! Whole searches against the built-in tester: accuracy, number of runs, calibration, what is said when
//! there is no single culprit. Bounds are those of the bench with room for fewer seeds.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use firstbad_bisect::search::simulate::{Case, Hint, Plan, Run, Tester, Vote, capacity};
use firstbad_bisect::search::{Ending, Layout, Settings, Signal};
use firstbad_bisect::{Graph, Node};
use std::sync::Arc;

fn line(n: usize) -> Graph {
    let parents = (0..n).map(|i| i.checked_sub(1).map(|p| p as Node).into_iter().collect());
    Graph::new(parents.collect()).unwrap()
}

/// A main line with side branches of five commits that begin every six and are merged.
fn branchy(n: usize) -> Graph {
    let mut parents: Vec<Vec<Node>> = vec![vec![]];
    let mut main: Node = 0;
    while parents.len() + 7 <= n {
        let fork = main;
        let at = |p: &Vec<Vec<Node>>| p.len() as Node;
        for i in 0..5 {
            let tip = at(&parents) - 1;
            parents.push(vec![if i == 0 { fork } else { tip }]);
        }
        let side = at(&parents) - 1;
        parents.push(vec![fork]);
        parents.push(vec![side + 1, side]);
        main = at(&parents) - 1;
    }
    Graph::new(parents).unwrap()
}

fn known(bad: f64, good: f64) -> Signal {
    Signal::Known { bad, good }
}

fn plan(graph: Graph, signal: Signal, settings: Settings) -> Plan {
    Plan {
        layout: Arc::new(Layout::new(graph)),
        settings,
        tester: Tester {
            case: Case::One,
            culprit: None,
            signal,
            vary: None,
            skip_rate: 0.0,
            stretch: 0.2,
        },
        hint: Hint::None,
        time_sigma: None,
        build_charged: 0.0,
    }
}

fn bare(signal: Signal) -> Settings {
    Settings {
        none_prior: 0.0,
        verify: false,
        confidence: 0.99,
        ..Settings::new(signal)
    }
}

fn runs(plan: &Plan, seeds: u64) -> Vec<Run> {
    (1..=seeds).map(|seed| plan.run(seed)).collect()
}

fn mean(runs: &[Run], f: impl Fn(&Run) -> f64) -> f64 {
    runs.iter().map(f).sum::<f64>() / runs.len() as f64
}

fn right(runs: &[Run]) -> f64 {
    mean(runs, |r| f64::from(u8::from(r.right)))
}

/// `log2 N / C + log2(1 / d) / D`: Burnashev's figure to first order.
fn burnashev(n: usize, bad: f64, good: f64, error: f64) -> f64 {
    let part = |p: f64, q: f64| if p > 0.0 { p * (p / q).log2() } else { 0.0 };
    let apart = |p: f64, q: f64| part(p, q) + part(1.0 - p, 1.0 - q);
    let most = apart(bad, good).max(apart(good, bad));
    (n as f64).log2() / capacity(known(bad, good)) + (1.0 / error).log2() / most
}

#[test]
fn known_rates_need_few_runs_and_say_how_sure_they_are() {
    for (graph, bad, good) in [
        (line(1024), 0.9, 0.05),
        (line(1024), 0.5, 0.01),
        (branchy(700), 0.5, 0.05),
    ] {
        let n = graph.len();
        let signal = known(bad, good);
        let all = runs(&plan(graph, signal, bare(signal)), 150);
        let confidence = mean(&all, |r| r.confidence);
        assert!(right(&all) >= 0.965, "{bad}/{good}: {}", right(&all));
        assert!((right(&all) - confidence).abs() < 0.03);
        let most = burnashev(n, bad, good, 0.01) * 1.16;
        let took = mean(&all, |r| f64::from(r.test_runs));
        assert!(took < most, "{bad}/{good}: {took} of {most}");
    }
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let signal = known(0.5, 0.01);
    let mut settings = Settings::new(Signal::Unknown);
    settings.workers = 3;
    let mut p = plan(branchy(300), signal, settings);
    p.time_sigma = Some(1.0);
    assert_eq!(p.run(7), p.run(7));
    assert_ne!(p.run(7), p.run(8));
}

#[test]
fn workers_shorten_the_search() {
    let signal = known(0.5, 0.01);
    let rounds = |workers, time_sigma| {
        let mut p = plan(line(1024), signal, bare(signal));
        p.settings.workers = workers;
        p.time_sigma = time_sigma;
        mean(&runs(&p, 25), |r| r.rounds)
    };
    assert!(rounds(4, None) < 15.5);
    assert!(rounds(4, Some(1.0)) < 15.5);
}

#[test]
fn unknown_rates_and_rates_of_their_own_are_survived() {
    let signal = known(0.5, 0.01);
    let unknown = runs(&plan(line(512), signal, Settings::new(Signal::Unknown)), 60);
    assert!(right(&unknown) >= 0.97, "{}", right(&unknown));
    let mut p = plan(line(512), signal, bare(signal));
    p.settings.dispersion = Some(20.0);
    p.tester.vary = Some(20.0);
    let varied = runs(&p, 100);
    assert!(right(&varied) >= 0.96, "{}", right(&varied));
}

#[test]
fn a_prior_helps_when_right_and_costs_little_when_not() {
    let signal = known(0.5, 0.01);
    let took = |hint| {
        let mut p = plan(line(1024), signal, bare(signal));
        p.hint = hint;
        mean(&runs(&p, 120), |r| f64::from(r.test_runs))
    };
    let even = took(Hint::None);
    assert!(took(Hint::Right) < 0.87 * even);
    assert!(took(Hint::Useless) < 1.17 * even);
}

#[test]
fn dear_builds_are_used_more_often() {
    let signal = known(0.5, 0.01);
    let cost = |weighed| {
        let mut p = plan(line(1024), signal, bare(signal));
        p.settings.build_cost = weighed;
        p.build_charged = 10.0;
        mean(&runs(&p, 60), |r| r.cost)
    };
    assert!(cost(10.0) < 0.65 * cost(0.0));
}

#[test]
fn a_stretch_that_does_not_build_is_named_as_a_range() {
    let signal = known(1.0, 0.0);
    let mut p = plan(line(1024), signal, bare(signal));
    p.tester.case = Case::Broken;
    let all = runs(&p, 150);
    assert_eq!(right(&all), 1.0);
    assert!(all.iter().all(|r| r.set_size >= r.smallest_set));
    assert!(mean(&all, |r| f64::from(r.test_runs)) < 22.0);
    assert!(all.iter().all(|r| r.test_runs <= 55));
    let excess = mean(&all, |r| r.set_size as f64 - r.smallest_set as f64);
    assert!(excess <= 3.0, "{excess}");
}

#[test]
fn measured_numbers_are_searched_by_their_likelihood() {
    let signal = Signal::Samples { shift: 1.0 };
    let all = runs(&plan(line(1024), signal, bare(signal)), 100);
    assert!(right(&all) >= 0.97);
    assert!(mean(&all, |r| f64::from(r.test_runs)) < 82.0);
}

#[test]
fn without_a_culprit_none_is_named() {
    for flake in [0.02, 0.1] {
        let signal = known(0.5, flake);
        let mut p = plan(line(1024), signal, Settings::new(signal));
        p.tester.case = Case::None;
        for run in runs(&p, 60) {
            assert_eq!(run.outcome, Ending::NotReproduced, "seed {}", run.seed);
        }
    }
}

#[test]
fn histories_with_more_than_one_change_never_yield_an_innocent_commit() {
    let cases = [
        Case::Two,
        Case::Refixed,
        Case::HalfHidden,
        Case::InBroken,
        Case::Merge,
    ];
    for case in cases {
        let signal = known(0.9, 0.01);
        let mut p = plan(branchy(400), signal, Settings::new(signal));
        p.tester.case = case;
        let all = runs(&p, 60);
        assert!(right(&all) >= 0.95, "{case:?}: {}", right(&all));
        assert!(!all.iter().any(|r| r.wrong_name), "{case:?}");
    }
}

#[test]
fn votes_are_worse_than_the_search_at_half_the_failures() {
    let signal = known(0.5, 0.01);
    let p = plan(line(1024), signal, bare(signal));
    let votes: Vec<Run> = (1..=60)
        .map(|seed| p.run_votes(Vote::Majority(5), seed))
        .collect();
    assert!(right(&votes) < 0.3);
}
