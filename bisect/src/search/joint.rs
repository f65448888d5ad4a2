//! Several runs under way at once. Owns the joint information of runs whose answers are not in yet;
//! must not know how the posterior came about.
//!
//! With runs under way, the gain of one more run of `v` is its expected gain over their answers `x`:
//! `sum B_x h(S_x) - E`, with `B_x` the chance of `x` and `S_x` the chance that `v` fails after `x`.
//! Hypotheses contained in the same of these revisions weigh alike, so one sum over ancestors for
//! each such set is enough. Rates are taken at their posterior means. A batch is found by greedy
//! choice, then each member is chosen again in view of the others until nothing improves.

use super::belief::{Belief, Masses};
use super::choose::{Best, Choice};
use super::model::{Mean, entropy};
use crate::graph::Node;
use fixedbitset::FixedBitSet;
use std::collections::BTreeMap;

/// Answers of up to this many runs are all looked at; of more, [`SAMPLES`] are drawn.
const EXACT: usize = 7;
const SAMPLES: usize = 64;
/// Groups whose sums over ancestors are made in one pass.
const GROUPS_PER_PASS: usize = 8;
/// Revisions whose masses by group agree to this share of everything tell nearly the same: one of
/// them stands for all, and the members of the [`REFINED`] best such sets are looked at one by one.
const ALIKE: f64 = 1.0 / 256.0;
/// Members of such a set that are looked at.
const MEMBERS: usize = 256;
/// Pieces whose inside is searched, best ends first.
const REFINED: usize = 8;
const EXCHANGES: usize = 4;
/// With more parts than this the members are chosen again only once.
const MANY_PARTS: usize = 4096;
/// An exchange must raise the joint information by this share.
const LEAST_RISE: f64 = 1e-3;

/// Part of a piece, cut where a run is under way or planned.
struct Part {
    lo: usize,
    hi: usize,
    segment: usize,
    likelihood: f64,
}

/// A run that is not answered yet.
#[derive(Clone)]
struct Pending {
    at: usize,
    segment: usize,
    below: FixedBitSet,
    /// Chance to fail with the culprit.
    bad: f64,
}

/// The posterior as parts, with runs under way.
pub(super) struct Joint<'a> {
    belief: &'a Belief,
    masses: &'a Masses,
    mean: Mean,
    /// Chance by position that a revision can be tested; 0: never chosen.
    testable: &'a dyn Fn(usize) -> f64,
    pending: Vec<Pending>,
}

impl<'a> Joint<'a> {
    pub(super) fn new(
        belief: &'a Belief,
        masses: &'a Masses,
        mean: Mean,
        testable: &'a dyn Fn(usize) -> f64,
        running: &[Node],
    ) -> Self {
        let mut joint = Self {
            belief,
            masses,
            mean,
            testable,
            pending: Vec::new(),
        };
        for &node in running {
            joint.push(node);
        }
        joint
    }

    /// Up to `free` runs to start beside those under way, each worth at least `least` bits.
    pub(super) fn choose(&mut self, free: usize, least: f64) -> Vec<Choice> {
        let fixed = self.pending.len();
        let mut chosen = Vec::new();
        for _ in 0..free {
            let Some(choice) = self.next().filter(|c| c.gain >= least) else {
                break;
            };
            self.push(choice.node);
            chosen.push(choice);
        }
        if chosen.len() > 1 {
            self.exchange(fixed, &mut chosen);
        }
        chosen
    }

    fn exchange(&mut self, fixed: usize, chosen: &mut [Choice]) {
        let rounds = match self.belief.pieces.len() > MANY_PARTS {
            true => 1,
            false => EXCHANGES,
        };
        for _ in 0..rounds {
            let mut rise = 0.0;
            for (i, member) in chosen.iter_mut().enumerate() {
                let own = self.pending.remove(fixed + i);
                let view = View::new(self);
                let before = view.gain_at(own.at) * (self.testable)(own.at);
                match view.best().filter(|c| c.score > before + 1e-12) {
                    Some(better) => {
                        rise += better.score - before;
                        *member = better;
                        self.push(better.node);
                        if let Some(new) = self.pending.pop() {
                            self.pending.insert(fixed + i, new);
                        }
                    }
                    None => self.pending.insert(fixed + i, own),
                }
            }
            let whole: f64 = chosen.iter().map(|c| c.gain).sum();
            if rise < LEAST_RISE * whole {
                break;
            }
        }
    }

    /// The best run beside those under way.
    fn next(&self) -> Option<Choice> {
        View::new(self).best()
    }

    fn push(&mut self, node: Node) {
        let at = self.belief.layout.position(node);
        let segment = self.belief.layout.segment(at);
        let tally = self.belief.tally(node);
        self.pending.push(Pending {
            at,
            segment,
            below: self.belief.layout.below(segment),
            bad: self.belief.model.next_fails(self.mean.bad, &tally),
        });
    }

    fn parts(&self) -> Vec<Part> {
        let mut cuts: Vec<usize> = self.pending.iter().map(|p| p.at + 1).collect();
        cuts.sort_unstable();
        let mut parts = Vec::with_capacity(self.belief.pieces.len() + cuts.len());
        for p in &self.belief.pieces {
            let (mut lo, hi) = p.range();
            let segment = self.belief.layout.segment(lo);
            let likelihood = self.masses.likelihood[p.class as usize];
            let from = cuts.partition_point(|&c| c <= lo);
            let inner = cuts[from..].iter().copied().take_while(|&c| c < hi);
            for end in inner.chain([hi]) {
                if end > lo {
                    parts.push(Part {
                        lo,
                        hi: end,
                        segment,
                        likelihood,
                    });
                }
                lo = end;
            }
        }
        parts
    }
}

/// One state of the runs under way, ready to weigh one more.
struct View<'a> {
    joint: &'a Joint<'a>,
    parts: Vec<Part>,
    /// Set of runs under way that contain each part, as an index.
    group: Vec<u32>,
    groups: usize,
    /// Mass before each part by group: `before[part * groups + group]`.
    before: Vec<f64>,
    /// Chance of each answer by group: `chance[group * answers + answer]`.
    chance: Vec<f64>,
    answers: usize,
    /// Weight of each answer in the sum: 1, or more when answers are drawn.
    weight: Vec<f64>,
    /// Chance of each answer.
    total: Vec<f64>,
}

impl<'a> View<'a> {
    fn new(joint: &'a Joint<'a>) -> Self {
        let parts = joint.parts();
        let mut index: BTreeMap<u128, u32> = BTreeMap::from([(0, 0)]);
        let mut masks = vec![0u128];
        let mut group = Vec::with_capacity(parts.len());
        for part in &parts {
            let mask = mask(&joint.pending, part);
            let next = index.len() as u32;
            let g = *index.entry(mask).or_insert(next);
            if g == next {
                masks.push(mask);
            }
            group.push(g);
        }
        let groups = masks.len();
        let mut view = View {
            before: Vec::new(),
            chance: Vec::new(),
            answers: 0,
            weight: Vec::new(),
            total: Vec::new(),
            joint,
            parts,
            group,
            groups,
        };
        let totals = view.sum_ancestors();
        view.look_at_answers(&masks, &totals);
        view
    }

    fn mass(&self, part: &Part) -> f64 {
        part.likelihood * self.joint.belief.prior.between(part.lo, part.hi)
    }

    /// Fills `before`; the answer is the whole mass of each group.
    fn sum_ancestors(&mut self) -> Vec<f64> {
        let layout = &self.joint.belief.layout;
        let mut before = vec![0.0; self.parts.len() * self.groups];
        let mut totals = vec![0.0; self.groups];
        totals[0] += self.joint.masses.none;
        for first in (0..self.groups).step_by(GROUPS_PER_PASS) {
            let inside = |g: usize| (first..first + GROUPS_PER_PASS).contains(&g);
            let mut segments = vec![[0.0; GROUPS_PER_PASS]; layout.segments()];
            let last = self.groups.min(first + GROUPS_PER_PASS) - first;
            for (i, part) in self.parts.iter().enumerate() {
                let row = i * self.groups + first;
                let sums = &mut segments[part.segment];
                before[row..row + last].copy_from_slice(&sums[..last]);
                let g = self.group[i] as usize;
                if inside(g) {
                    sums[g - first] += self.mass(part);
                    totals[g] += self.mass(part);
                }
            }
            let below = layout.sums_below(&segments);
            for (i, part) in self.parts.iter().enumerate() {
                let row = i * self.groups + first;
                for (b, more) in before[row..row + last].iter_mut().zip(below[part.segment]) {
                    *b += more;
                }
            }
        }
        self.before = before;
        totals
    }

    fn look_at_answers(&mut self, masks: &[u128], totals: &[f64]) {
        let pending = &self.joint.pending;
        let good = self.joint.mean.good;
        let whole = self.joint.masses.total;
        let answers = answers(pending, good, masks, totals);
        self.answers = answers.len();
        for &mask in masks {
            for &answer in &answers {
                self.chance
                    .push(likelihood(pending, good, mask, answer) / whole);
            }
        }
        for a in 0..self.answers {
            let sum = totals
                .iter()
                .enumerate()
                .map(|(g, t)| t * self.chance[g * self.answers + a])
                .sum();
            self.total.push(sum);
        }
        // Drawn answers stand for all: each has the weight one over its chance over their number.
        self.weight = match pending.len() <= EXACT {
            true => vec![1.0; self.answers],
            false => self
                .total
                .iter()
                .map(|t| 1.0 / (t * self.answers as f64).max(f64::MIN_POSITIVE))
                .collect(),
        };
    }

    fn gain(&self, part: usize, at: usize, inside: &mut Vec<f64>) -> f64 {
        let joint = self.joint;
        let p = &self.parts[part];
        let own = p.likelihood * joint.belief.prior.between(p.lo, at + 1);
        inside.clear();
        inside.resize(self.answers, 0.0);
        let mut share = 0.0;
        for g in 0..self.groups {
            let mut mass = self.before[part * self.groups + g];
            if self.group[part] as usize == g {
                mass += own;
            }
            if mass > 0.0 {
                share += mass / joint.masses.total;
                let chance = &self.chance[g * self.answers..(g + 1) * self.answers];
                for (sum, c) in inside.iter_mut().zip(chance) {
                    *sum += mass * c;
                }
            }
        }
        let (bad, good) = (self.bad(at), joint.mean.good);
        let mut sum = 0.0;
        for ((&a, &b), &w) in inside.iter().zip(&self.total).zip(&self.weight) {
            if b > 0.0 {
                sum += w * b * entropy((a * (bad - good) / b + good).clamp(0.0, 1.0));
            }
        }
        sum - share * entropy(bad) - (1.0 - share) * entropy(good)
    }

    fn bad(&self, at: usize) -> f64 {
        let belief = self.joint.belief;
        if !belief.model.is_dispersed() {
            return self.joint.mean.bad;
        }
        let tally = belief.tally(belief.layout.node(at));
        belief.model.next_fails(self.joint.mean.bad, &tally)
    }

    fn gain_at(&self, at: usize) -> f64 {
        let part = self.parts.partition_point(|p| p.hi <= at);
        self.gain(part, at, &mut Vec::new())
    }

    /// Looks at the end of every part, or of one in each set of similar ones; then at all of the
    /// best sets, and inside the most promising parts, where the gain is concave.
    fn best(&self) -> Option<Choice> {
        let mut scratch = Vec::new();
        let mut best = Best::default();
        let sets = self.alike();
        let mut ranked: Vec<(f64, usize)> = Vec::with_capacity(sets.len());
        for (i, set) in sets.iter().enumerate() {
            let end = self.parts[set[0] as usize].hi - 1;
            let gain = self.offer(&mut best, set[0] as usize, end, &mut scratch);
            ranked.push((gain, i));
        }
        ranked.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        for &(_, i) in ranked.iter().take(REFINED) {
            for &part in sets[i].iter().skip(1).take(MEMBERS) {
                let end = self.parts[part as usize].hi - 1;
                self.offer(&mut best, part as usize, end, &mut scratch);
            }
        }
        // Within one part the gain cannot rise by more than its mass allows.
        let whole = self.joint.masses.total;
        let mut long: Vec<(f64, u32)> = Vec::new();
        for &(gain, i) in &ranked {
            for &part in &sets[i] {
                let p = &self.parts[part as usize];
                let room = entropy((self.mass(p) / whole).min(0.5));
                if p.hi - p.lo > 1 && best.0.is_none_or(|b| gain + room > b.gain) {
                    long.push((gain + room, part));
                }
            }
        }
        long.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        for &(_, part) in long.iter().take(REFINED) {
            self.climb(&mut best, part as usize, &mut scratch);
        }
        best.0.filter(|c| c.score > 0.0)
    }

    /// The parts in sets whose masses by group, at their ends, are alike; in order of their first.
    fn alike(&self) -> Vec<Vec<u32>> {
        let step = self.joint.masses.total * ALIKE;
        let mut index: BTreeMap<u64, usize> = BTreeMap::new();
        let mut sets: Vec<Vec<u32>> = Vec::new();
        for (i, part) in self.parts.iter().enumerate() {
            let row = &self.before[i * self.groups..(i + 1) * self.groups];
            let mut key = 0xcbf2_9ce4_8422_2325u64;
            for (g, &mass) in row.iter().enumerate() {
                let own = match self.group[i] as usize == g {
                    true => self.mass(part),
                    false => 0.0,
                };
                key = (key ^ ((mass + own) / step) as u64).wrapping_mul(0x0000_0100_0000_01b3);
            }
            let next = sets.len();
            let set = *index.entry(key).or_insert(next);
            if set == next {
                sets.push(Vec::new());
            }
            sets[set].push(i as u32);
        }
        sets
    }

    fn climb(&self, best: &mut Best, part: usize, scratch: &mut Vec<f64>) {
        let p = &self.parts[part];
        let (mut lo, mut hi) = (p.lo, p.hi - 1);
        while lo < hi {
            let middle = lo + (hi - lo) / 2;
            let left = self.offer(best, part, middle, scratch);
            let right = self.offer(best, part, middle + 1, scratch);
            if left < right {
                lo = middle + 1;
            } else {
                hi = middle;
            }
        }
    }

    fn offer(&self, best: &mut Best, part: usize, at: usize, scratch: &mut Vec<f64>) -> f64 {
        let gain = self.gain(part, at, scratch);
        best.offer(Choice {
            node: self.joint.belief.layout.node(at),
            gain,
            score: gain * (self.joint.testable)(at),
        });
        gain
    }
}

/// Which of the runs under way contain a part, as bits.
fn mask(pending: &[Pending], part: &Part) -> u128 {
    let inside = |p: &Pending| {
        p.below.contains(part.segment) || (p.segment == part.segment && part.hi <= p.at + 1)
    };
    pending
        .iter()
        .take(128)
        .enumerate()
        .filter(|(_, p)| inside(p))
        .fold(0, |mask, (i, _)| mask | 1 << i)
}

/// Chance of an answer (bits: failed) of all runs under way for the hypotheses inside `mask`.
fn likelihood(pending: &[Pending], good: f64, mask: u128, answer: u128) -> f64 {
    let chance = |(i, p): (usize, &Pending)| {
        let fails = if mask >> i & 1 == 1 { p.bad } else { good };
        if answer >> i & 1 == 1 {
            fails
        } else {
            1.0 - fails
        }
    };
    pending.iter().take(128).enumerate().map(chance).product()
}

/// All answers of few runs; of many, a fixed draw from what is expected.
fn answers(pending: &[Pending], good: f64, masks: &[u128], totals: &[f64]) -> Vec<u128> {
    if pending.len() <= EXACT {
        return (0..1 << pending.len()).collect();
    }
    let mut state = 0x9E37_79B9_7F4A_7C15u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 11) as f64 / (1u64 << 53) as f64
    };
    let whole: f64 = totals.iter().sum();
    let mut draw = || {
        let mut left = next() * whole;
        let hit = totals.iter().position(|t| {
            left -= t;
            left < 0.0
        });
        let mask = masks[hit.unwrap_or(masks.len() - 1)];
        let fails = |i: usize, p: &Pending| if mask >> i & 1 == 1 { p.bad } else { good };
        pending
            .iter()
            .take(128)
            .enumerate()
            .filter(|&(i, p)| next() < fails(i, p))
            .fold(0, |answer, (i, _)| answer | 1 << i)
    };
    (0..SAMPLES).map(|_| draw()).collect()
}
