//! How likely a revision can be tested at all, judged from the skipped ones around it.
//!
//! What breaks a revision usually breaks its neighbours, so a probe steps away from skipped ones:
//! chance = ds / (ds + dg), with ds the distance in the graph to the nearest skipped revision and
//! dg to the nearest one known to work. git takes a pseudo-random step here; this one is computed.

use crate::live::Live;
use std::collections::VecDeque;

const FAR: u32 = u32::MAX;

/// Distances that the skips imply. Without skips everything is testable.
pub(crate) struct Testable {
    from_skip: Vec<u32>,
    from_good: Vec<u32>,
}

impl Testable {
    /// Positions of skipped and of tested (bad) revisions; the edge of the range counts as tested.
    pub(crate) fn new(live: &Live, skipped: &[usize], tested: &[usize]) -> Option<Self> {
        if skipped.is_empty() {
            return None;
        }
        let children = Children::new(live);
        let none = std::iter::empty();
        let edge = (0..live.len()).filter(|&at| live.is_edge(at));
        Some(Self {
            from_skip: distances(live, &children, skipped, none),
            from_good: distances(live, &children, tested, edge),
        })
    }

    /// Chance in (0, 1] that a revision which was not skipped can be tested.
    pub(crate) fn chance(&self, at: usize) -> f64 {
        let (skip, good) = (self.from_skip[at], self.from_good[at]);
        if skip == FAR {
            return 1.0;
        }
        let (skip, good) = (f64::from(skip.max(1)), f64::from(good));
        skip / (skip + good)
    }

    /// Steps in the graph to the nearest skipped revision, if one is connected.
    pub(crate) fn steps_from_skip(&self, at: usize) -> Option<u32> {
        Some(self.from_skip[at]).filter(|&d| d != FAR)
    }
}

/// Breadth first in both directions. `zero` are at distance 0, `one` at 1.
fn distances(
    live: &Live,
    children: &Children,
    zero: &[usize],
    one: impl Iterator<Item = usize>,
) -> Vec<u32> {
    let mut distance = vec![FAR; live.len()];
    let mut queue = VecDeque::new();
    let starts = zero.iter().map(|&at| (at, 0)).chain(one.map(|at| (at, 1)));
    for (at, d) in starts {
        if distance[at] == FAR {
            distance[at] = d;
            queue.push_back(at);
        }
    }
    while let Some(at) = queue.pop_front() {
        let next = distance[at] + 1;
        for &other in live.parents(at).iter().chain(children.of(at)) {
            let other = other as usize;
            // A start at distance 1 may still be reached in one step: equal, never less.
            if distance[other] == FAR {
                distance[other] = next;
                queue.push_back(other);
            }
        }
    }
    distance
}

/// The parent arrays turned round.
struct Children {
    start: Vec<usize>,
    flat: Vec<u32>,
}

impl Children {
    fn new(live: &Live) -> Self {
        let mut start = vec![0usize; live.len() + 1];
        for at in 0..live.len() {
            for &p in live.parents(at) {
                start[p as usize + 1] += 1;
            }
        }
        for i in 1..start.len() {
            start[i] += start[i - 1];
        }
        let mut next = start.clone();
        let mut flat = vec![0u32; start[live.len()]];
        for at in 0..live.len() {
            for &p in live.parents(at) {
                flat[next[p as usize]] = at as u32;
                next[p as usize] += 1;
            }
        }
        Self { start, flat }
    }

    fn of(&self, at: usize) -> &[u32] {
        &self.flat[self.start[at]..self.start[at + 1]]
    }
}
