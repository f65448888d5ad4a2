//! How sure the search can be. Owns the probability model; must not know how probes are chosen.
//!
//! Hypotheses: each candidate is the culprit, or none is (the failure at the bad end was a flake).
//! If `c` is the culprit, a run at a revision that contains `c` fails with rate pb, any other run with
//! rate pg; without a culprit every run fails with rate pg. Neither rate is known, so both are
//! integrated out:
//!
//! post(c) ~ prior(c) * Int pb^f (1-pb)^s dBeta(pb) * Int pg^(F-f) (1-pg)^(S-s) dBeta(pg)
//!
//! with f and s the failed and clean runs at revisions that contain c, F and S those of all runs.
//! pb ~ Beta(1, 1) *before* the runs at the bad end, which are counted once, in f and s: after them it
//! is Beta(1+f, 1+s). pg ~ Beta(0.5, 200) with a floor of 1e-3, and pb > pg + 0.02. The prior of "none"
//! is 0.02, the rest is uniform. Model: Henderson et al., "Flake Aware Culprit Finding", ICST 2023, with
//! both kinds of error and on the whole graph. Skips carry no factor. The order of the
//! observations cannot matter, only sums are used.

use crate::graph::{Graph, Node};
use crate::history::{History, Mark, Observation, Policy};
use crate::live::{Live, MASK_BITS};
use std::collections::BTreeMap;

/// Prior probability that there is no culprit in the range.
const NONE_PRIOR: f64 = 0.02;
/// Shape of the prior of the failure rate without the culprit.
const GOOD_FAILS: f64 = 0.5;
const GOOD_PASSES: f64 = 200.0;
const GOOD_FLOOR: f64 = 1e-3;
/// The culprit raises the failure rate by at least this much.
const LEAST_RISE: f64 = 0.02;
const GRID: usize = 128;

/// Probabilities that sum to 1.
#[derive(Debug, Clone, PartialEq)]
pub struct Posterior {
    /// That this revision is the culprit, for every node of the graph.
    pub by_node: Vec<f64>,
    /// That no revision of the range is.
    pub none: f64,
}

impl Posterior {
    /// The most probable culprit, the older one of equals; `None` for a graph without candidates.
    pub fn best(&self) -> Option<(Node, f64)> {
        let mut best: Option<(Node, f64)> = None;
        for (n, &p) in self.by_node.iter().enumerate().filter(|(_, p)| **p > 0.0) {
            if best.is_none_or(|(_, b)| p > b) {
                best = Some((n as Node, p));
            }
        }
        best
    }
}

/// Probability of each revision to be the culprit, given all runs. Marks are not taken as truth: every
/// eligible ancestor of `bad` is a hypothesis, whatever the marks say. A mark without runs counts as
/// one run. Observations at revisions that the graph does not have are left out.
pub fn posterior(graph: &Graph, bad: Node, history: &History, policy: &Policy) -> Posterior {
    let mut by_node = vec![0.0; graph.len()];
    let hypotheses: Vec<Node> = match (bad as usize) < graph.len() {
        true if policy.first_parent => graph.first_parent_chain(bad),
        true => graph.ancestors(bad).ones().map(|n| n as Node).collect(),
        false => Vec::new(),
    };
    let hypotheses: Vec<Node> = hypotheses
        .into_iter()
        .filter(|&n| policy.allows(n))
        .collect();
    if hypotheses.is_empty() {
        return Posterior { by_node, none: 1.0 };
    }
    let runs = runs_by_node(graph, history);
    let total = runs.values().fold(Runs::default(), |sum, r| sum.plus(*r));
    let covered = runs_containing(graph, &runs);
    let mut model = Model::new(total);
    let none = NONE_PRIOR.ln() + model.without_culprit();
    let prior = ((1.0 - NONE_PRIOR) / hypotheses.len() as f64).ln();
    let logs: Vec<f64> = hypotheses
        .iter()
        .map(|&c| prior + model.with_culprit(covered[c as usize]))
        .collect();
    let top = logs.iter().copied().fold(none, f64::max);
    let sum = logs.iter().map(|l| (l - top).exp()).sum::<f64>() + (none - top).exp();
    for (&c, l) in hypotheses.iter().zip(&logs) {
        by_node[c as usize] = (l - top).exp() / sum;
    }
    Posterior {
        by_node,
        none: (none - top).exp() / sum,
    }
}

/// Failed and clean runs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Runs {
    failed: u64,
    clean: u64,
}

impl Runs {
    fn of(o: &Observation) -> Self {
        let (failed, clean) = match (o.mark, o.runs) {
            (Mark::Skip, _) => (0, 0),
            (Mark::Bad, 0) => (1, 0),
            (Mark::Good, 0) => (0, 1),
            (_, runs) => (o.bad_runs.min(runs), runs - o.bad_runs.min(runs)),
        };
        Self {
            failed: failed.into(),
            clean: clean.into(),
        }
    }

    fn plus(self, other: Self) -> Self {
        Self {
            failed: self.failed + other.failed,
            clean: self.clean + other.clean,
        }
    }
}

fn runs_by_node(graph: &Graph, history: &History) -> BTreeMap<Node, Runs> {
    let mut runs = BTreeMap::new();
    for o in history
        .marks
        .iter()
        .filter(|o| (o.node as usize) < graph.len())
    {
        let sum: &mut Runs = runs.entry(o.node).or_default();
        *sum = sum.plus(Runs::of(o));
    }
    runs
}

/// For every node the runs at revisions that contain it.
fn runs_containing(graph: &Graph, runs: &BTreeMap<Node, Runs>) -> Vec<Runs> {
    let whole = Live::new(graph, (0..graph.len() as Node).collect(), false);
    let tested: Vec<(usize, Runs)> = runs.iter().map(|(&n, &r)| (n as usize, r)).collect();
    let mut covered = vec![Runs::default(); graph.len()];
    for part in tested.chunks(MASK_BITS) {
        let positions: Vec<usize> = part.iter().map(|t| t.0).collect();
        for (sum, mut mask) in covered.iter_mut().zip(whole.masks(&positions)) {
            while mask != 0 {
                *sum = sum.plus(part[mask.trailing_zeros() as usize].1);
                mask &= mask - 1;
            }
        }
    }
    covered
}

/// The two integrals on a grid. Nodes covered by the same runs share one value.
struct Model {
    total: Runs,
    bad: Rates,
    good: Rates,
    known: BTreeMap<Runs, f64>,
}

impl Model {
    fn new(total: Runs) -> Self {
        let middle = |i: usize| (i as f64 + 0.5) / GRID as f64;
        let bad = Rates::new((0..GRID).map(|i| (middle(i), 1.0)));
        // With pg = x^2 the density of Beta(0.5, 200) has no pole: it is (1 - x^2)^199, up to a factor.
        let good = Rates::new((0..GRID).map(|i| {
            let x = middle(i) * 0.5;
            let weight = x.powf(2.0 * GOOD_FAILS - 1.0) * (1.0 - x * x).powf(GOOD_PASSES - 1.0);
            ((x * x).max(GOOD_FLOOR), weight)
        }));
        Self {
            total,
            bad,
            good,
            known: BTreeMap::new(),
        }
    }

    /// Log likelihood when the culprit is contained in the revisions of `inside`.
    fn with_culprit(&mut self, inside: Runs) -> f64 {
        if let Some(&known) = self.known.get(&inside) {
            return known;
        }
        let outside = Runs {
            failed: self.total.failed - inside.failed,
            clean: self.total.clean - inside.clean,
        };
        let (bad, bad_scale) = self.bad.likelihood(inside);
        let (good, good_scale) = self.good.likelihood(outside);
        let (mut sum, mut norm) = (0.0, 0.0);
        let (mut below, mut below_norm, mut j) = (0.0, 0.0, 0);
        for (i, &rate) in self.bad.rate.iter().enumerate() {
            while j < GRID && self.good.rate[j] + LEAST_RISE < rate {
                below += good[j];
                below_norm += self.good.weight[j];
                j += 1;
            }
            sum += bad[i] * below;
            norm += self.bad.weight[i] * below_norm;
        }
        let value = (sum / norm).ln() + bad_scale + good_scale;
        self.known.insert(inside, value);
        value
    }

    /// Log likelihood when there is no culprit.
    fn without_culprit(&self) -> f64 {
        let (good, scale) = self.good.likelihood(self.total);
        (good.iter().sum::<f64>() / self.good.weight.iter().sum::<f64>()).ln() + scale
    }
}

/// A grid of rates, rising, with prior weights.
struct Rates {
    rate: Vec<f64>,
    weight: Vec<f64>,
}

impl Rates {
    fn new(points: impl Iterator<Item = (f64, f64)>) -> Self {
        let (rate, weight) = points.unzip();
        Self { rate, weight }
    }

    /// Prior weight times likelihood at each point, divided by exp of the second value.
    fn likelihood(&self, runs: Runs) -> (Vec<f64>, f64) {
        let log = |r: &f64| runs.failed as f64 * r.ln() + runs.clean as f64 * (1.0 - r).ln();
        let logs: Vec<f64> = self.rate.iter().map(log).collect();
        let top = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        (
            logs.iter()
                .zip(&self.weight)
                .map(|(l, w)| (l - top).exp() * w)
                .collect(),
            top,
        )
    }
}
