//! Which revisions to test next. Owns the score of a probe and of several probes together; must not
//! know marks.
//!
//! One probe alone: git's rule, the largest min(reach, n - reach). Several at once, counting those
//! already running: the set whose outcomes together tell most about a deterministic signal, so that
//! k probes cut a line into k + 1 equal parts and use side branches where these cut better. The set
//! is found on a short list of revisions spread over the range, by greedy choice and exchange.

use crate::live::{Live, MASK_BITS, Mask};
use crate::testable::Testable;
use std::collections::BTreeMap;

/// More than this in flight is not planned at once.
const MAX_FREE: usize = 64;
const MAX_RUNNING: usize = 48;
/// Length of the short list unless many workers need the longer one.
const SHORT: usize = 64;
const EXCHANGES: usize = 8;
/// A probe must tell at least this many bits.
const LEAST_GAIN: f64 = 1e-9;

/// A range of `total` candidates and the revisions that may be tested.
pub(crate) struct Field<'a> {
    pub live: &'a Live,
    /// 1 for a candidate, 0 for a revision that only connects.
    pub weight: &'a [f64],
    /// Candidates that each position contains.
    pub reach: &'a [f64],
    pub total: f64,
    /// Positions that may be proposed, sorted.
    pub usable: &'a [usize],
    /// Positions under test that can still tell something.
    pub running: &'a [usize],
    pub testable: Option<&'a Testable>,
}

impl Field<'_> {
    /// Up to `free` positions to test next, best first. Empty when none would tell anything.
    pub(crate) fn choose(&self, free: usize) -> Vec<usize> {
        if free == 1 && self.running.is_empty() {
            return self.best_single().into_iter().collect();
        }
        self.best_set(free.min(MAX_FREE))
    }

    fn chance(&self, at: usize) -> f64 {
        self.testable.map_or(1.0, |t| t.chance(at))
    }

    fn best_single(&self) -> Option<usize> {
        let score = |at: usize| match self.testable {
            None => self.reach[at].min(self.total - self.reach[at]),
            Some(t) => entropy(self.reach[at], self.total) * t.chance(at),
        };
        let mut best: Option<(f64, usize)> = None;
        for &at in self.usable {
            let s = score(at);
            if best.is_none_or(|(b, _)| s > b) {
                best = Some((s, at));
            }
        }
        best.map(|(_, at)| at)
    }

    fn best_set(&self, free: usize) -> Vec<usize> {
        let fixed = self.running.len().min(MAX_RUNNING);
        let limit = if fixed + free > SHORT / 4 {
            MASK_BITS
        } else {
            SHORT
        };
        let mut marked = self.running[..fixed].to_vec();
        marked.extend(self.short_list(limit - fixed, free));
        let search = Search::new(self, marked, fixed);
        let mut best = search.improve(search.greedy(free));
        if fixed == 0 {
            let spread = search.improve(search.spread(free));
            if search.value(&spread) > search.value(&best) + LEAST_GAIN {
                best = spread;
            }
        }
        best.into_iter().map(|i| search.marked[i]).collect()
    }

    /// At most `limit` usable positions, spread evenly over the reach, among them those nearest to
    /// the cuts into 2 .. `free` + `running` + 1 equal parts.
    fn short_list(&self, limit: usize, free: usize) -> Vec<usize> {
        if self.usable.len() <= limit {
            return self.usable.to_vec();
        }
        let mut order: Vec<usize> = self.usable.to_vec();
        order.sort_by(|&a, &b| self.reach[a].total_cmp(&self.reach[b]).then(a.cmp(&b)));
        let parts = free + self.running.len().min(MAX_RUNNING) + 1;
        let cuts = (1..parts).map(|i| i as f64 / parts as f64);
        let grid = (0..limit).map(|i| (i as f64 + 0.5) / limit as f64);
        let mut list: Vec<usize> = Vec::with_capacity(limit);
        for target in cuts.chain(grid).map(|share| share * self.total) {
            let after = order.partition_point(|&at| self.reach[at] < target);
            let near = [after.checked_sub(1), Some(after)];
            let near = near
                .into_iter()
                .flatten()
                .filter_map(|i| order.get(i).copied());
            let nearest = near.min_by(|&a, &b| {
                let off = |at: usize| (self.reach[at] - target).abs();
                off(a).total_cmp(&off(b)).then(a.cmp(&b))
            });
            if let Some(at) = nearest.filter(|at| list.len() < limit && !list.contains(at)) {
                list.push(at);
            }
        }
        list
    }
}

/// Bits that a yes/no answer tells when `part` of `whole` equally likely candidates say yes.
fn entropy(part: f64, whole: f64) -> f64 {
    let bits = |x: f64| if x > 0.0 { -x * x.log2() } else { 0.0 };
    bits(part / whole) + bits(1.0 - part / whole)
}

/// The short list, and the candidates grouped by which of the list contain them.
struct Search<'a> {
    field: &'a Field<'a>,
    marked: Vec<usize>,
    /// The first so many of `marked` are running.
    fixed: usize,
    /// Groups that no member of the list tells apart, with their sizes.
    atoms: Vec<(Mask, f64)>,
}

impl<'a> Search<'a> {
    fn new(field: &'a Field<'a>, marked: Vec<usize>, fixed: usize) -> Self {
        let mut sizes: BTreeMap<Mask, f64> = BTreeMap::new();
        let masks = field.live.masks(&marked);
        for (mask, &w) in masks
            .into_iter()
            .zip(field.weight)
            .filter(|(_, w)| **w > 0.0)
        {
            *sizes.entry(mask).or_insert(0.0) += w;
        }
        let atoms = sizes.into_iter().collect();
        Self {
            field,
            marked,
            fixed,
            atoms,
        }
    }

    fn bits(&self, chosen: &[usize]) -> Mask {
        (0..self.fixed)
            .chain(chosen.iter().copied())
            .fold(0, |bits, i| bits | 1 << i)
    }

    /// The list member that adds most to what `known` tells, and how much it adds.
    fn best(&self, known: Mask) -> Option<(f64, usize)> {
        let classes = Classes::new(&self.atoms, known);
        let mut best: Option<(f64, usize)> = None;
        for i in (self.fixed..self.marked.len()).filter(|i| known >> i & 1 == 0) {
            let gain = self.gain(&classes, i);
            if gain > LEAST_GAIN && best.is_none_or(|(b, _)| gain > b + LEAST_GAIN) {
                best = Some((gain, i));
            }
        }
        best
    }

    fn gain(&self, classes: &Classes, i: usize) -> f64 {
        let mut inside = vec![0.0; classes.size.len()];
        for (&(mask, w), &class) in self.atoms.iter().zip(&classes.of) {
            if mask >> i & 1 == 1 {
                inside[class] += w;
            }
        }
        let split = inside
            .iter()
            .zip(&classes.size)
            .map(|(&part, &size)| size * entropy(part, size));
        split.sum::<f64>() / self.field.total * self.field.chance(self.marked[i])
    }

    fn greedy(&self, free: usize) -> Vec<usize> {
        let mut chosen = Vec::new();
        while chosen.len() < free {
            match self.best(self.bits(&chosen)) {
                Some((_, i)) => chosen.push(i),
                None => break,
            }
        }
        chosen
    }

    /// The members nearest to the cuts into equal parts.
    fn spread(&self, free: usize) -> Vec<usize> {
        let mut chosen: Vec<usize> = Vec::new();
        for cut in 1..=free {
            let target = self.field.total * cut as f64 / (free + 1) as f64;
            let off = |i: usize| (self.field.reach[self.marked[i]] - target).abs();
            let left = (self.fixed..self.marked.len()).filter(|i| !chosen.contains(i));
            if let Some(i) = left.min_by(|&a, &b| off(a).total_cmp(&off(b))) {
                chosen.push(i);
            }
        }
        chosen
    }

    /// Replaces one member after the other by a better one until nothing changes.
    fn improve(&self, mut chosen: Vec<usize>) -> Vec<usize> {
        for _ in 0..EXCHANGES {
            let mut changed = false;
            for slot in 0..chosen.len() {
                let old = chosen[slot];
                let others = self.bits(&chosen) & !(1 << old);
                let keep = self.gain(&Classes::new(&self.atoms, others), old);
                if let Some((_, new)) = self
                    .best(others)
                    .filter(|&(gain, _)| gain > keep + LEAST_GAIN)
                {
                    chosen[slot] = new;
                    changed = true;
                }
            }
            if !changed {
                break;
            }
        }
        self.useful(chosen)
    }

    /// Best first, without members that add nothing to the ones before.
    fn useful(&self, mut rest: Vec<usize>) -> Vec<usize> {
        let mut kept = Vec::new();
        while !rest.is_empty() {
            let classes = Classes::new(&self.atoms, self.bits(&kept));
            let gains = rest.iter().map(|&i| self.gain(&classes, i)).enumerate();
            match gains.max_by(|a, b| a.1.total_cmp(&b.1).then(b.0.cmp(&a.0))) {
                Some((slot, gain)) if gain > LEAST_GAIN => kept.push(rest.remove(slot)),
                _ => break,
            }
        }
        kept
    }

    fn value(&self, chosen: &[usize]) -> f64 {
        let steps = (0..chosen.len()).map(|n| {
            let classes = Classes::new(&self.atoms, self.bits(&chosen[..n]));
            self.gain(&classes, chosen[n])
        });
        steps.sum()
    }
}

/// Atoms grouped by the outcomes of the known probes.
struct Classes {
    of: Vec<usize>,
    size: Vec<f64>,
}

impl Classes {
    fn new(atoms: &[(Mask, f64)], known: Mask) -> Self {
        let mut index: BTreeMap<Mask, usize> = BTreeMap::new();
        let mut size: Vec<f64> = Vec::new();
        let mut of = Vec::with_capacity(atoms.len());
        for &(mask, w) in atoms {
            let class = *index.entry(mask & known).or_insert(size.len());
            if class == size.len() {
                size.push(0.0);
            }
            size[class] += w;
            of.push(class);
        }
        Self { of, size }
    }
}
