//! The one run that tells most, with nothing else under way. Owns the gain of a run; must not know how
//! the posterior came about.
//!
//! The gain of a run of `v` is the mutual information of its answer and the hypothesis,
//! `h(S) - E`: `S` the chance that it fails, `E` the mean entropy of its answer once the hypothesis
//! is known. Along a piece both are linear in the mass passed, so the gain is concave there and its
//! top is known in closed form: `S = 1 / (1 + 2^(dE/dS))`.

use super::belief::{Belief, Masses, Piece};
use super::model::{Mean, entropy};
use crate::graph::Node;

/// Scores that differ by less than this share are equal; the lowest node is taken.
const TIE: f64 = 1e-12;
/// Numbers of runs of one revision that a build is weighed against.
const RUNS_PER_BUILD: [u32; 6] = [1, 2, 3, 5, 8, 13];

/// A run and what it is worth.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Choice {
    pub node: Node,
    /// Expected information in bits.
    pub gain: f64,
    /// What was maximised: gain by cost and by the chance that the revision can be tested.
    pub score: f64,
}

/// What makes one revision dearer than another.
#[derive(Default)]
pub(super) struct Terms<'a> {
    /// Cost of building a revision that was not tested, in runs.
    pub build: f64,
    /// Chance by position that a revision can be tested; `None`: all can.
    pub testable: Option<&'a dyn Fn(usize) -> f64>,
}

/// `U`, `V` and `W`: mass times the rise of `S`, of `E`, and the mass itself.
type Sums = [f64; 3];

/// The posterior with its sums over ancestors.
pub(super) struct Field<'a> {
    belief: &'a Belief,
    masses: &'a Masses,
    /// By class, per unit of mass.
    slope: Vec<Sums>,
    /// `S` and `E` times the total, when no culprit is contained.
    base: (f64, f64),
    /// Sums before each piece, of its own segment and all below.
    before: Vec<Sums>,
    mean: Mean,
}

impl<'a> Field<'a> {
    pub(super) fn new(belief: &'a Belief, masses: &'a Masses) -> Self {
        let slope: Vec<Sums> = masses.mean.iter().map(|m| slope(*m)).collect();
        let mut field = Self {
            belief,
            masses,
            base: (0.0, 0.0),
            before: Vec::new(),
            mean: Mean::default(),
            slope,
        };
        let mut segments = vec![[0.0; 3]; belief.layout.segments()];
        let mut starts = Vec::with_capacity(belief.pieces.len());
        let (mut bad, mut good) = (0.0, masses.none * masses.none_rate);
        let mut good_entropy = masses.none * entropy(masses.none_rate);
        for p in &belief.pieces {
            let total = &mut segments[belief.layout.segment(p.lo as usize)];
            starts.push(*total);
            let mass = field.mass(p);
            if mass == 0.0 {
                continue;
            }
            let mean = masses.mean[p.class as usize];
            bad += mass * mean.bad;
            good += mass * mean.good;
            good_entropy += mass * entropy(mean.good);
            add(total, field.slope[p.class as usize], mass);
        }
        field.sum_ancestors(segments, &mut starts);
        field.before = starts;
        field.base = (good, good_entropy);
        let culprit = (masses.total - masses.none).max(f64::MIN_POSITIVE);
        field.mean = Mean {
            bad: bad / culprit,
            good: good / masses.total,
        };
        field
    }

    fn sum_ancestors(&self, segments: Vec<Sums>, starts: &mut [Sums]) {
        let layout = &self.belief.layout;
        if self.belief.model.is_known() {
            // One sum is enough: the slopes of all classes agree.
            let masses: Vec<[f64; 1]> = segments.iter().map(|s| [s[2]]).collect();
            let below = layout.sums_below(&masses);
            let slope = self.slope[0];
            for (start, p) in starts.iter_mut().zip(&self.belief.pieces) {
                let segment = layout.segment(p.lo as usize);
                start[2] += below[segment][0];
                start[0] = start[2] * slope[0];
                start[1] = start[2] * slope[1];
            }
            return;
        }
        let below = layout.sums_below(&segments);
        for (start, p) in starts.iter_mut().zip(&self.belief.pieces) {
            add(start, below[layout.segment(p.lo as usize)], 1.0);
        }
    }

    fn mass(&self, p: &Piece) -> f64 {
        let (lo, hi) = p.range();
        self.masses.likelihood[p.class as usize] * self.belief.prior.between(lo, hi)
    }

    /// Posterior means of the rates over all hypotheses.
    pub(super) fn mean(&self) -> Mean {
        self.mean
    }

    fn sums(&self, piece: usize, at: usize) -> Sums {
        let p = &self.belief.pieces[piece];
        let class = p.class as usize;
        let mass = self.masses.likelihood[class] * self.belief.prior.between(p.lo as usize, at + 1);
        let mut sums = self.before[piece];
        add(&mut sums, self.slope[class], mass);
        sums
    }

    fn gain_of(&self, sums: Sums) -> f64 {
        let total = self.masses.total;
        (entropy((self.base.0 + sums[0]) / total) - (self.base.1 + sums[1]) / total).max(0.0)
    }

    /// Gain of a run at a position of a piece, with the pull of its own earlier runs.
    fn gain(&self, piece: usize, at: usize) -> f64 {
        let p = &self.belief.pieces[piece];
        let sums = self.sums(piece, at);
        match p.tested() {
            Some(index) if at + 1 == p.hi as usize && self.belief.model.is_dispersed() => {
                let tally = &self.belief.tested[index].tally;
                let bad = self.belief.model.next_fails(self.mean.bad, tally);
                bits(sums[2] / self.masses.total, bad, self.mean.good)
            }
            _ => self.gain_of(sums),
        }
    }

    /// The position of each piece where the gain is largest by the untested formula, with its
    /// neighbour on the other side of the top; `hi` is one past the last to be considered.
    fn top(&self, piece: usize, hi: usize) -> (usize, usize) {
        let p = &self.belief.pieces[piece];
        let (class, lo) = (p.class as usize, p.lo as usize);
        let [rise, cost, _] = self.slope[class];
        let likelihood = self.masses.likelihood[class];
        let failing = 1.0 / (1.0 + (cost / rise).exp2());
        let wanted = failing * self.masses.total - self.base.0 - self.before[piece][0];
        let mass = wanted / (rise * likelihood);
        let at = match mass.is_finite() {
            true => self.belief.prior.reaching(lo, hi, mass).min(hi - 1),
            false => hi - 1,
        };
        (at.max(lo + 1) - 1, at)
    }

    /// The run with the highest score; `None` when no run tells anything.
    pub(super) fn best(&self, terms: &Terms) -> Option<Choice> {
        let unbuilt = self.worth_of_a_build(terms.build);
        let mut best = Best::default();
        for (i, p) in self.belief.pieces.iter().enumerate() {
            let (lo, mut hi) = p.range();
            if p.tested().is_some() {
                hi -= 1;
                best.offer(self.choice(i, hi, terms, 1.0));
            }
            if lo == hi {
                continue;
            }
            if terms.testable.is_some() {
                for at in lo..hi {
                    best.offer(self.choice(i, at, terms, unbuilt));
                }
            } else {
                let (a, b) = self.top(i, hi);
                best.offer(self.choice(i, a, terms, unbuilt));
                if a != b {
                    best.offer(self.choice(i, b, terms, unbuilt));
                }
            }
        }
        best.0.filter(|c| c.score > 0.0)
    }

    /// The same as [`Field::best`] when all cost the same and the rates are given: then the gain
    /// depends on the mass alone, and the revision nearest to the top on either side is the best.
    pub(super) fn best_by_mass(&self) -> Option<Choice> {
        let [rise, cost, _] = self.slope[0];
        let failing = 1.0 / (1.0 + (cost / rise).exp2());
        let wanted = (failing * self.masses.total - self.base.0) / rise;
        let mut under: Option<(f64, Node, usize, usize)> = None;
        let mut over: Option<(f64, Node, usize, usize)> = None;
        let layout = &self.belief.layout;
        let mut offer = |mass: f64, i: usize, at: usize| {
            let node = layout.node(at);
            let equal = |m: f64| (m - mass).abs() <= TIE * self.masses.total;
            if mass <= wanted {
                if under.is_none_or(|(m, n, ..)| if equal(m) { node < n } else { mass > m }) {
                    under = Some((mass, node, i, at));
                }
            } else if over.is_none_or(|(m, n, ..)| if equal(m) { node < n } else { mass < m }) {
                over = Some((mass, node, i, at));
            }
        };
        for (i, p) in self.belief.pieces.iter().enumerate() {
            let (lo, hi) = p.range();
            let start = self.before[i][2];
            let likelihood = self.masses.likelihood[p.class as usize];
            let end = start + likelihood * self.belief.prior.between(lo, hi);
            let first = start + likelihood * self.belief.prior.between(lo, lo + 1);
            if end <= wanted {
                // Of equal ones the first counts.
                let at = if end == first { lo } else { hi - 1 };
                offer(end, i, at);
            } else if first > wanted {
                offer(first, i, lo);
            } else {
                let at = self
                    .belief
                    .prior
                    .reaching(lo, hi, (wanted - start) / likelihood);
                for at in at.saturating_sub(1).max(lo)..(at + 2).min(hi) {
                    let mass = start + likelihood * self.belief.prior.between(lo, at + 1);
                    offer(mass, i, at);
                }
            }
        }
        let mut best = Best::default();
        for (_, _, i, at) in [under, over].into_iter().flatten() {
            best.offer(self.choice(i, at, &Terms::default(), 1.0));
        }
        best.0.filter(|c| c.score > 0.0)
    }

    /// The largest gain any run could have, testable or not.
    pub(super) fn best_gain(&self) -> f64 {
        let tops = self.belief.pieces.iter().enumerate().map(|(i, p)| {
            let (a, b) = self.top(i, p.hi as usize);
            self.gain(i, a).max(self.gain(i, b))
        });
        tops.fold(0.0, f64::max)
    }

    /// Gain of a run of one revision.
    pub(super) fn gain_at(&self, node: Node) -> f64 {
        let at = self.belief.layout.position(node);
        self.gain(self.piece_of(at), at)
    }

    /// Mass of a revision and its ancestors, as a share of everything: `W(v)`.
    pub(super) fn share_below(&self, node: Node) -> f64 {
        let at = self.belief.layout.position(node);
        self.sums(self.piece_of(at), at)[2] / self.masses.total
    }

    fn piece_of(&self, at: usize) -> usize {
        self.belief.pieces.partition_point(|p| p.hi as usize <= at)
    }

    fn choice(&self, piece: usize, at: usize, terms: &Terms, worth: f64) -> Choice {
        let gain = self.gain(piece, at);
        let chance = terms.testable.map_or(1.0, |t| t(at));
        Choice {
            node: self.belief.layout.node(at),
            gain,
            score: gain * worth * chance,
        }
    }

    /// A run of a revision that must be built first is worth this share of one that is built: the best
    /// gain per cost over numbers of runs, against the gain of one run at no cost.
    fn worth_of_a_build(&self, build: f64) -> f64 {
        if build <= 0.0 {
            return 1.0;
        }
        let Mean { bad, good } = self.mean;
        let [rise, cost, _] = slope(self.mean);
        let failing = 1.0 / (1.0 + (cost / rise).exp2());
        let share = ((failing - good) / (bad - good)).clamp(0.01, 0.99);
        let one = bits(share, bad, good);
        let per_cost = RUNS_PER_BUILD
            .map(|runs| repeated_bits(runs, share, bad, good) / (build + f64::from(runs)));
        per_cost.into_iter().fold(0.0, f64::max) / one.max(f64::MIN_POSITIVE)
    }
}

fn slope(mean: Mean) -> Sums {
    [
        mean.bad - mean.good,
        entropy(mean.bad) - entropy(mean.good),
        1.0,
    ]
}

fn add(sums: &mut Sums, more: Sums, factor: f64) {
    for (s, m) in sums.iter_mut().zip(more) {
        *s += m * factor;
    }
}

/// Information in bits of one run of a revision that contains the culprit with chance `share`.
pub(super) fn bits(share: f64, bad: f64, good: f64) -> f64 {
    let fails = share * bad + (1.0 - share) * good;
    (entropy(fails) - share * entropy(bad) - (1.0 - share) * entropy(good)).max(0.0)
}

/// The most that one run can tell, in bits.
pub(super) fn capacity(mean: Mean) -> f64 {
    let [rise, cost, _] = slope(mean);
    let failing = 1.0 / (1.0 + (cost / rise).exp2());
    bits(
        ((failing - mean.good) / rise).clamp(0.0, 1.0),
        mean.bad,
        mean.good,
    )
}

/// Information of the number of failures in `runs` runs.
fn repeated_bits(runs: u32, share: f64, bad: f64, good: f64) -> f64 {
    let mut choose = 1.0;
    let mut sum = 0.0;
    for failed in 0..=runs {
        let clean = (runs - failed) as i32;
        let chance = |p: f64| choose * p.powi(failed as i32) * (1.0 - p).powi(clean);
        let (b, g) = (chance(bad), chance(good));
        let both = share * b + (1.0 - share) * g;
        for (weight, p) in [(share, b), (1.0 - share, g)] {
            if p > 0.0 {
                sum += weight * p * (p / both).log2();
            }
        }
        choose *= f64::from(runs - failed) / f64::from(failed + 1);
    }
    sum
}

/// Keeps the best of what it is offered, whatever the order.
#[derive(Default)]
pub(super) struct Best(pub Option<Choice>);

impl Best {
    pub(super) fn offer(&mut self, new: Choice) {
        let better = self.0.is_none_or(|old| {
            let least = TIE * old.score.max(new.score);
            match (new.score - old.score).abs() <= least {
                true => new.node < old.node,
                false => new.score > old.score,
            }
        });
        if better {
            self.0 = Some(new);
        }
    }
}
