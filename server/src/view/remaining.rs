//! How much of a search is left.

use firstbad_bisect::{Found, Node, Plan};

use crate::picture::Picture;
use crate::search::Chances;

/// How often a run fails without the culprit, for estimates.
const CLEAN_FAILS: f64 = 0.01;

/// Candidates left, and the revisions still to be tested as far as one can say.
pub(super) fn remaining(picture: &Picture, chances: Option<&Chances>) -> (usize, usize) {
    if let (true, Some(walk)) = (picture.walks(), &picture.job.range.walk) {
        let left = walk
            .releases
            .saturating_sub(picture.sites.len().saturating_sub(1));
        return (left, (left + 1).ilog2() as usize + 1);
    }
    let bad = Node::try_from(picture.bad()).unwrap_or_default();
    let open_ends = picture
        .present_ends()
        .into_iter()
        .chain(picture.absent_ends())
        .filter(|p| picture.mark(*p).is_none())
        .count();
    if let Some(chances) = chances.filter(|_| !picture.calibration.deterministic) {
        return remaining_under_flakes(picture, chances);
    }
    match firstbad_bisect::plan(&picture.graph, bad, &picture.history(), &picture.policy(1)) {
        Ok(
            Plan::Probe {
                left, steps_left, ..
            }
            | Plan::Wait { left, steps_left },
        ) => (left.len(), steps_left as usize + open_ends),
        Ok(Plan::Done(Found::Culprit { .. })) => (1, 1),
        Ok(Plan::Done(Found::Range { nodes })) => (nodes.len(), 0),
        Err(_) => (0, 0),
    }
}

/// The smallest set that holds the answer nearly surely, and the revisions still to test at as many
/// runs each as so far.
fn remaining_under_flakes(picture: &Picture, chances: &Chances) -> (usize, usize) {
    let mut sorted: Vec<f64> = chances.culprit.values().copied().collect();
    sorted.sort_by(|a, b| b.total_cmp(a));
    let mut held = 0.0;
    let enough = sorted.iter().position(|p| {
        held += p;
        held >= picture.job.request.confidence
    });
    let left = enough.map_or(sorted.len(), |last| last + 1);
    let (shown, all) = picture.pooled();
    let rate = (f64::from(shown) + 1.0) / (f64::from(all) + 2.0);
    let made: usize = picture.sites.values().map(|s| s.tests.len()).sum();
    let each = made as f64 / picture.sites.len().max(1) as f64;
    let doubt = 1.0 - picture.job.request.confidence;
    let more = runs_to_go(chances.entropy, rate, doubt) / each.max(1.0);
    (left, (more.ceil() as usize).max(1))
}

/// Runs that a search needs with feedback: bits / C + log2(1 / error) / D (Burnashev 1976), of a
/// test that fails with `rate` where the culprit is and hardly ever elsewhere.
fn runs_to_go(bits: f64, rate: f64, doubt: f64) -> f64 {
    let h = |p: f64| match p > 0.0 && p < 1.0 {
        true => -p * p.log2() - (1.0 - p) * (1.0 - p).log2(),
        false => 0.0,
    };
    let clean = CLEAN_FAILS;
    let mixed = |share: f64| {
        h(share * rate + (1.0 - share) * clean) - share * h(rate) - (1.0 - share) * h(clean)
    };
    let capacity = (1..100)
        .map(|percent| mixed(f64::from(percent) / 100.0))
        .fold(1e-3, f64::max);
    let distance =
        rate * (rate / clean).log2() + (1.0 - rate) * ((1.0 - rate) / (1.0 - clean)).log2();
    bits / capacity - doubt.log2() / distance.max(1e-3)
}
