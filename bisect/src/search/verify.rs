//! Whether an answer can be believed. Owns the runs that a culprit and its parents still need and the
//! test of whether a single change explains the runs; must not know how probes are chosen.

use super::belief::{Belief, Masses};
use super::model::Mean;
use crate::graph::Node;

/// With given rates a search may name a wrong commit about this often, whatever the history: never
/// more than this by the logarithm of the number of tested revisions.
const EPS: f64 = 1e-6;
/// With unknown rates a verdict about one revision may be wrong this often, over all rates that the
/// runs leave possible. Far lower rates than the true one are among these and ask for more runs than
/// [`EPS`] does.
const EPS_UNKNOWN: f64 = 1e-5;
/// Share of revisions whose answer the alternative lets differ from what one change implies.
const ODD: f64 = 0.05;
/// By how much the alternative must explain the runs better. If one change is the truth this happens
/// at most once in as many searches, however long they run (Ville's inequality).
const MISFIT: f64 = 1000.0;

/// Evidence in nats that one revision's own runs must give. With given rates luck has as many chances
/// as there are tested revisions: any bad one that seems good for long enough can bring the search to
/// name its child. When the good rate is 0, a parent needs `enough / -ln(1 - p)` clean runs.
pub(super) fn enough(belief: &Belief) -> f64 {
    if !belief.model.is_known() {
        return -EPS_UNKNOWN.ln();
    }
    let tested = belief.tested.iter().filter(|t| t.tally.runs > 0).count();
    (tested.max(1) as f64 / EPS).ln()
}

/// Runs that the most likely commit still needs before it may be named.
pub(super) fn wanted(
    belief: &Belief,
    masses: &Masses,
    culprit: Node,
    class: usize,
    testable: &dyn Fn(Node) -> bool,
) -> Vec<(Node, u32)> {
    let rates = masses.mean[class];
    let enough = enough(belief);
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

/// Whether no single change explains the runs: an alternative that lets a small share of the
/// revisions answer at odds with the change explains them far better. The answer is the likelihood
/// of each class under that alternative, relative to the best.
pub(super) fn misfit(belief: &Belief, masses: &Masses, rates: Mean) -> Option<Vec<f64>> {
    let terms: Vec<(f64, f64, f64, f64)> = (0..belief.tested.len())
        .map(|t| {
            let (bad, good) = belief.nearest_terms(t, rates);
            (bad, good, mixed(bad, good), mixed(good, bad))
        })
        .collect();
    let mut strict = Vec::with_capacity(belief.classes());
    let mut loose = Vec::with_capacity(belief.classes());
    for class in 0..belief.classes() {
        let (mut s, mut l) = (0.0, 0.0);
        for (t, &(bad, good, odd_bad, odd_good)) in terms.iter().enumerate() {
            let inside = belief.contains(t, class);
            s += if inside { bad } else { good };
            l += if inside { odd_bad } else { odd_good };
        }
        strict.push(s);
        loose.push(l);
    }
    let none: (f64, f64) = match masses.none > 0.0 {
        true => terms.iter().fold((0.0, 0.0), |n, t| (n.0 + t.1, n.1 + t.3)),
        false => (f64::NEG_INFINITY, f64::NEG_INFINITY),
    };
    let excess = mixture(belief, &loose, none.1).0 - mixture(belief, &strict, none.0).0;
    (excess > MISFIT.ln()).then(|| {
        let top = mixture(belief, &loose, none.1).1;
        loose.iter().map(|l| (l - top).exp()).collect()
    })
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
