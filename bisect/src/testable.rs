//! How likely a revision can be tested at all, judged from the skipped ones around it.
//!
//! What breaks a revision usually breaks its neighbours, so a probe steps away from skipped ones:
//! chance = ds / (ds + dg), with ds the number of steps along ancestors or descendants to the
//! nearest skipped revision and dg to the nearest one known to work, at most [`REACH`]. Between two
//! skipped revisions the breakage must have been repaired and come back, so there the chance is
//! cubed: the search then looks for the edges of a broken stretch, not for holes in it. git takes a
//! pseudo-random step here; this one is computed.

use crate::live::Live;

const FAR: u32 = u32::MAX;
/// A working revision further away than this says no more. This and the cube were chosen by
/// simulation on 1024 revisions with stretches of 3 to 205 broken ones and with 20 % scattered ones.
const REACH: u32 = 32;

/// Distances that the skips imply.
pub(crate) struct Testable {
    older: Nearest,
    newer: Nearest,
}

/// Steps in one direction to the nearest revision of each kind.
struct Nearest {
    skip: Vec<u32>,
    works: Vec<u32>,
}

impl Testable {
    /// Positions of skipped and of bad revisions; what is outside the range counts as working.
    /// `None` without skips: then everything is testable.
    pub(crate) fn new(live: &Live, skipped: &[usize], bad: &[usize]) -> Option<Self> {
        if skipped.is_empty() {
            return None;
        }
        let edge: Vec<usize> = (0..live.len()).filter(|&at| live.is_edge(at)).collect();
        Some(Self {
            older: Nearest {
                skip: towards_ancestors(live, skipped, &[]),
                works: towards_ancestors(live, bad, &edge),
            },
            newer: Nearest {
                skip: towards_descendants(live, skipped),
                works: towards_descendants(live, bad),
            },
        })
    }

    /// Chance in (0, 1] that a revision which was not skipped can be tested.
    pub(crate) fn chance(&self, at: usize) -> f64 {
        let Some(skip) = self.steps_from_skip(at) else {
            return 1.0;
        };
        let works = self.older.works[at].min(self.newer.works[at]).min(REACH);
        let (skip, works) = (f64::from(skip.max(1)), f64::from(works));
        let chance = skip / (skip + works);
        let enclosed = self.older.skip_first(at) && self.newer.skip_first(at);
        if enclosed { chance.powi(3) } else { chance }
    }

    /// Steps to the nearest skipped revision among ancestors and descendants.
    pub(crate) fn steps_from_skip(&self, at: usize) -> Option<u32> {
        let steps = self.older.skip[at].min(self.newer.skip[at]);
        Some(steps).filter(|&steps| steps != FAR)
    }
}

impl Nearest {
    fn skip_first(&self, at: usize) -> bool {
        self.skip[at] < self.works[at]
    }
}

/// Steps to the nearest of `zero` among ancestors; members of `one` are at most one step away.
fn towards_ancestors(live: &Live, zero: &[usize], one: &[usize]) -> Vec<u32> {
    let mut steps = vec![FAR; live.len()];
    one.iter().for_each(|&at| steps[at] = 1);
    zero.iter().for_each(|&at| steps[at] = 0);
    for at in 0..live.len() {
        let parents = live.parents(at).iter().map(|&p| steps[p as usize]);
        let through = parents.min().map_or(FAR, |d| d.saturating_add(1));
        steps[at] = steps[at].min(through);
    }
    steps
}

/// Steps to the nearest of `zero` among descendants.
fn towards_descendants(live: &Live, zero: &[usize]) -> Vec<u32> {
    let mut steps = vec![FAR; live.len()];
    zero.iter().for_each(|&at| steps[at] = 0);
    for at in (0..live.len()).rev() {
        let through = steps[at].saturating_add(1);
        for &p in live.parents(at) {
            steps[p as usize] = steps[p as usize].min(through);
        }
    }
    steps
}
