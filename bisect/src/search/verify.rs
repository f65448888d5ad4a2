//! Whether an answer can be believed. Owns the runs that a culprit and its parents still need and the
//! test of whether a single change explains the runs; must not know how probes are chosen.

use super::belief::{Belief, Masses};
use super::model::{Log, Mean, from_nats, to_nats};
use crate::graph::Node;

/// A verdict about one revision may be wrong this often, whatever the history: only its own runs
/// count. When the good rate is 0, a parent needs `ln EPS / ln(1 - p)` clean runs.
pub(super) const EPS: f64 = 1e-6;
/// Share of revisions whose answer the alternative lets differ from what one change implies.
const ODD: f64 = 0.05;
/// By how much the alternative must explain the runs better. If one change is the truth this happens
/// at most once in as many searches, however long they run (Ville's inequality).
const MISFIT: f64 = 1000.0;

/// Runs that the most likely commit still needs before it may be named. Where one change explains the
/// runs worse than the alternative does, the search meets many wrong commits, and any of them may be
/// named by luck: the evidence asked for rises by as much as the alternative explains better.
pub(super) fn wanted(
    belief: &Belief,
    masses: &Masses,
    culprit: Node,
    class: usize,
    misfit: &Misfit,
    testable: &dyn Fn(Node) -> bool,
) -> Vec<(Node, u32)> {
    let rates = masses.mean[class];
    let enough = misfit.excess.max(0.0) - EPS.ln();
    let mut wanted = Vec::new();
    if testable(culprit) {
        let real = against_none(belief, masses);
        let missing = enough - belief.own_evidence(class, culprit).min(real);
        if missing > 0.0 {
            wanted.push((culprit, runs(missing, rates.bad, rates.good)));
        }
    }
    for &parent in belief.layout.graph().parents(culprit) {
        let missing = enough + belief.own_evidence(class, parent);
        if missing > 0.0 && testable(parent) {
            wanted.push((parent, runs(missing, rates.good, rates.bad)));
        }
    }
    wanted
}

/// How much better any culprit explains the runs than none, in nats.
fn against_none(belief: &Belief, masses: &Masses) -> f64 {
    let culprit = masses.total - masses.none;
    let prior = belief.prior.between(0, belief.layout.len()) / belief.prior.none;
    match masses.none > 0.0 {
        true => (culprit / masses.none / prior).ln(),
        false => f64::INFINITY,
    }
}

/// Runs expected to bring `nats` of evidence when the chance to fail is `is` and not `other`.
fn runs(nats: f64, is: f64, other: f64) -> u32 {
    let part = |p: f64, q: f64| if p > 0.0 { p * (p / q).ln() } else { 0.0 };
    let each = part(is, other) + part(1.0 - is, 1.0 - other);
    (nats / each).ceil().clamp(1.0, 1000.0) as u32
}

/// An alternative that lets a small share of the revisions answer at odds with the change.
pub(super) struct Misfit {
    /// How much better than any single change it explains the runs, in nats.
    excess: f64,
    /// Logarithm of the likelihood of each class under it.
    loose: Vec<f64>,
    top: f64,
}

impl Misfit {
    pub(super) fn new(belief: &Belief, masses: &Masses, rates: Mean) -> Self {
        let terms: Vec<[Log; 4]> = (0..belief.tested.len())
            .map(|t| {
                let (bad, good) = belief.nearest_terms(t, rates);
                let odd = |expected, odd| from_nats(mixed(to_nats(expected), to_nats(odd)));
                [bad, good, odd(bad, good), odd(good, bad)]
            })
            .collect();
        let sums = |inside: &dyn Fn(usize) -> bool| {
            let each = terms.iter().enumerate().map(|(t, term)| match inside(t) {
                true => (term[0], term[2]),
                false => (term[1], term[3]),
            });
            let (strict, loose) = each.fold((0, 0), |sum, t| (sum.0 + t.0, sum.1 + t.1));
            (to_nats(strict), to_nats(loose))
        };
        let (strict, loose): (Vec<f64>, Vec<f64>) = (0..belief.classes())
            .map(|class| sums(&|t| belief.contains(t, class)))
            .unzip();
        let none = match masses.none > 0.0 {
            true => sums(&|_| false),
            false => (f64::NEG_INFINITY, f64::NEG_INFINITY),
        };
        let (explained, top) = mixture(belief, &loose, none.1);
        Self {
            excess: explained - mixture(belief, &strict, none.0).0,
            loose,
            top,
        }
    }

    /// Whether no single change explains the runs.
    pub(super) fn is_certain(&self) -> bool {
        self.excess > MISFIT.ln()
    }

    /// The likelihood of each class under the alternative, relative to the best.
    pub(super) fn likelihood(&self) -> Vec<f64> {
        self.loose.iter().map(|l| (l - self.top).exp()).collect()
    }
}

/// Logarithm of the chance of runs at a revision that answers as it should but for a share [`ODD`].
fn mixed(expected: f64, odd: f64) -> f64 {
    let top = expected.max(odd);
    ((1.0 - ODD) * (expected - top).exp() + ODD * (odd - top).exp()).ln() + top
}

/// Logarithm of the mean likelihood over the prior, and the largest logarithm.
fn mixture(belief: &Belief, log: &[f64], none: f64) -> (f64, f64) {
    let top = log.iter().copied().fold(none, f64::max);
    let pieces = belief.pieces.iter().map(|p| {
        let (lo, hi) = p.range();
        belief.prior.between(lo, hi) * (log[p.class as usize] - top).exp()
    });
    let sum = pieces.sum::<f64>() + belief.prior.none * (none - top).exp();
    (sum.ln() + top, top)
}
