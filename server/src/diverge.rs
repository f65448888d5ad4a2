//! Cases that fail together at one end need not have one cause.
//!
//! Owns the question which failing cases still have the same story. Pure; must not know what becomes
//! of those that have not.

use std::collections::BTreeMap;

use firstbad_api::job::Signal;
use firstbad_api::observation::CaseStatus;

use crate::picture::{Picture, Site};

/// A case is clean at a revision when chance gives its clean runs less often than this.
const LUCK: f64 = 0.01;

/// How a case ended in runs that did not crash: `[failed, passed]`.
type Tally = [u32; 2];

/// The failing cases in groups of one story each, the group this job should go on with first; fewer
/// than two groups when nothing has gone apart.
pub fn groups(picture: &Picture) -> Vec<Vec<String>> {
    let ends = picture.present_ends();
    let at_ends = || ends.iter().filter_map(|p| picture.sites.get(p));
    let crashed = at_ends().flat_map(|s| &s.tests).any(|t| {
        let observation = t.observation.as_deref();
        observation.is_some_and(|o| !o.crashes.is_empty())
    });
    let wanted = |case: &str| match picture.signal() {
        Signal::Failure => !crashed,
        Signal::Cases { cases } => cases.iter().any(|c| c == case),
        Signal::Crash { .. } | Signal::Metric { .. } => false,
    };
    let suite = &picture.job.suite.spec.case;
    let mut failing: Vec<(&str, f64)> = Vec::new();
    for case in suite.iter().map(|c| c.name.as_str()) {
        let mut total = [0, 0];
        for site in at_ends() {
            let [failed, passed] = tally(site, case);
            total = [total[0] + failed, total[1] + passed];
        }
        if total[0] > 0 && wanted(case) {
            failing.push((case, passes(total)));
        }
    }
    let stories: Vec<Vec<Option<bool>>> = failing
        .iter()
        .map(|(case, passes)| story(picture, case, *passes))
        .collect();
    let clean = |n: usize| {
        let ends = picture.absent_ends();
        let positions: Vec<i32> = picture.sites.keys().copied().collect();
        let told = positions.iter().zip(&stories[n]);
        !told
            .into_iter()
            .any(|(p, fails)| ends.contains(p) && *fails == Some(true))
    };
    let mut order: Vec<usize> = (0..failing.len()).collect();
    // A case that fails at the other end too tells nothing: it never leads.
    order.sort_by_key(|n| !clean(*n));
    let mut groups: Vec<Vec<usize>> = Vec::new();
    for n in order {
        let fits = |group: &&mut Vec<usize>| group.iter().all(|m| agree(&stories[n], &stories[*m]));
        match groups.iter_mut().find(fits) {
            Some(group) => group.push(n),
            None => groups.push(vec![n]),
        }
    }
    let names = |group: Vec<usize>| group.into_iter().map(|n| failing[n].0.to_owned()).collect();
    groups.into_iter().map(names).collect()
}

/// At each tested revision: does the case fail there? `None` where its runs do not tell. One failure
/// at an end that should be clean is enough to tell a case from those that did not fail there.
fn story(picture: &Picture, case: &str, passes: f64) -> Vec<Option<bool>> {
    let ends = picture.absent_ends();
    let tell = |(position, site): (&i32, &Site)| {
        let [failed, passed] = tally(site, case);
        let lucky = passes.powf(f64::from(passed)) >= LUCK && !ends.contains(position);
        match failed {
            0 if passed == 0 || lucky => None,
            n => Some(n > 0),
        }
    };
    picture.sites.iter().map(tell).collect()
}

fn agree(a: &[Option<bool>], b: &[Option<bool>]) -> bool {
    let known = a.iter().zip(b).filter_map(|(a, b)| a.zip(*b));
    known.into_iter().all(|(a, b)| a == b)
}

fn tally(site: &Site, case: &str) -> Tally {
    let mut ends: BTreeMap<bool, u32> = BTreeMap::new();
    let whole = site.tests.iter().filter_map(|t| t.observation.as_deref());
    for run in whole.filter(|o| o.crashes.is_empty()) {
        let result = run.cases.iter().find(|c| c.case == case);
        let failed = match result.map(|c| c.status) {
            Some(CaseStatus::Fail | CaseStatus::Timeout) => true,
            Some(CaseStatus::Pass) => false,
            Some(CaseStatus::Skip | CaseStatus::Broken) | None => continue,
        };
        *ends.entry(failed).or_default() += 1;
    }
    [true, false].map(|failed| ends.get(&failed).copied().unwrap_or(0))
}

/// Chance of a clean run where the case fails at all: 0 when none was seen, else Krichevsky and
/// Trofimov's estimate.
fn passes([failed, passed]: Tally) -> f64 {
    match passed {
        0 => 0.0,
        _ => (f64::from(passed) + 0.5) / (f64::from(failed + passed) + 1.0),
    }
}
