//! What the runs say about each hypothesis. Owns the posterior; must not know how probes are chosen.
//!
//! Segments are cut into pieces at the revisions that were tested, so that every test covers whole
//! pieces. Pieces covered by the same tested revisions form a class and share one likelihood.

use super::layout::Layout;
use super::model::{Log, Mean, Model, Outcome, Tally, to_nats};
use crate::graph::Node;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Mark of a piece that does not end at a tested revision.
const UNTESTED: u32 = u32::MAX;

/// Prior weight of each commit, by position, and of there being no culprit.
#[derive(Debug)]
pub(super) struct Prior {
    weight: Vec<f64>,
    /// Sum of the weights of all positions before.
    before: Vec<f64>,
    pub none: f64,
    equal: bool,
}

impl Prior {
    /// `weight` by node, each above 0. `none` is the share of the whole.
    pub(super) fn new(layout: &Layout, weight: Option<&[f64]>, none: f64) -> Self {
        let by_position: Vec<f64> = (0..layout.len())
            .map(|at| weight.map_or(1.0, |w| w[layout.node(at) as usize]))
            .collect();
        let mut before = Vec::with_capacity(layout.len() + 1);
        let mut sum = 0.0;
        before.push(sum);
        for w in &by_position {
            sum += w;
            before.push(sum);
        }
        Self {
            weight: by_position,
            before,
            none: sum * none / (1.0 - none),
            equal: weight.is_none(),
        }
    }

    pub(super) fn between(&self, lo: usize, hi: usize) -> f64 {
        self.before[hi] - self.before[lo]
    }

    pub(super) fn weight(&self, position: usize) -> f64 {
        self.weight[position]
    }

    /// The first position in `lo..hi` up to which, itself included, at least `mass` lies; `hi` if none.
    pub(super) fn reaching(&self, lo: usize, hi: usize, mass: f64) -> usize {
        let target = self.before[lo] + mass;
        lo + self.before[lo + 1..=hi].partition_point(|&b| b < target)
    }
}

/// Positions `lo..hi` of one segment.
#[derive(Debug, Clone, Copy)]
pub(super) struct Piece {
    pub lo: u32,
    pub hi: u32,
    pub class: u32,
    tested: u32,
}

impl Piece {
    pub(super) fn range(&self) -> (usize, usize) {
        (self.lo as usize, self.hi as usize)
    }

    /// Index of the tested revision at its end.
    pub(super) fn tested(&self) -> Option<usize> {
        (self.tested != UNTESTED).then_some(self.tested as usize)
    }
}

/// A revision that was tested or is being tested.
#[derive(Debug, Clone)]
pub(super) struct Tested {
    pub node: Node,
    pub tally: Tally,
    bad: Vec<Log>,
    good: Vec<Log>,
}

/// Hypotheses that no run so far tells apart.
#[derive(Debug, Clone)]
struct Class {
    /// Sums over the tested revisions that contain it, at each bad and each good rate.
    bad: Vec<Log>,
    good: Vec<Log>,
    /// Those revisions, as bits.
    inside: Vec<u64>,
    pieces: u32,
}

/// All evidence so far.
#[derive(Debug, Clone)]
pub(super) struct Belief {
    pub layout: Arc<Layout>,
    pub prior: Arc<Prior>,
    pub model: Arc<Model>,
    pub pieces: Vec<Piece>,
    pub tested: Vec<Tested>,
    index: BTreeMap<Node, usize>,
    classes: Vec<Class>,
    good: Vec<Log>,
}

/// The posterior, not normalised: mass of a piece is its class's likelihood times its prior.
#[derive(Debug, Clone)]
pub(super) struct Masses {
    pub likelihood: Vec<f64>,
    pub mean: Vec<Mean>,
    pub none: f64,
    pub none_rate: f64,
    /// Mass of everything.
    pub total: f64,
}

impl Belief {
    pub(super) fn new(layout: Arc<Layout>, prior: Arc<Prior>, model: Arc<Model>) -> Self {
        let pieces = (0..layout.segments()).scan(0, |lo, s| {
            let hi = layout.end(s);
            let piece = Piece {
                lo: *lo as u32,
                hi: hi as u32,
                class: 0,
                tested: UNTESTED,
            };
            *lo = hi;
            Some(piece)
        });
        let pieces: Vec<Piece> = pieces.collect();
        let (bad, good) = model.terms(&Tally::default());
        let class = Class {
            bad,
            good: good.clone(),
            inside: Vec::new(),
            pieces: pieces.len() as u32,
        };
        Self {
            pieces,
            tested: Vec::new(),
            index: BTreeMap::new(),
            classes: vec![class],
            good,
            layout,
            prior,
            model,
        }
    }

    /// Index of a tested revision.
    pub(super) fn find(&self, node: Node) -> Option<usize> {
        self.index.get(&node).copied()
    }

    /// Runs of one revision.
    pub(super) fn tally(&self, node: Node) -> Tally {
        self.find(node)
            .map_or(Tally::default(), |t| self.tested[t].tally)
    }

    /// Makes a revision one of the tested ones, without a run.
    pub(super) fn touch(&mut self, node: Node) -> usize {
        if let Some(index) = self.find(node) {
            return index;
        }
        let index = self.tested.len();
        let (bad, good) = self.model.terms(&Tally::default());
        self.tested.push(Tested {
            node,
            tally: Tally::default(),
            bad,
            good,
        });
        self.index.insert(node, index);
        let at = self.layout.position(node);
        self.cut(at, index);
        self.split_classes(at, index);
        index
    }

    /// Adds one result.
    pub(super) fn record(&mut self, node: Node, outcome: Outcome) {
        let index = self.touch(node);
        let tested = &mut self.tested[index];
        self.model.add(&mut tested.tally, outcome);
        let (bad, good) = self.model.terms(&tested.tally);
        let change = |new: &[Log], old: &[Log]| -> Vec<Log> {
            new.iter().zip(old).map(|(n, o)| n - o).collect()
        };
        let more = (change(&bad, &tested.bad), change(&good, &tested.good));
        (tested.bad, tested.good) = (bad, good);
        add(&mut self.good, &more.1);
        for class in &mut self.classes {
            if class.contains(index) {
                add(&mut class.bad, &more.0);
                add(&mut class.good, &more.1);
            }
        }
    }

    fn cut(&mut self, at: usize, index: usize) {
        let p = self.pieces.partition_point(|p| p.hi as usize <= at);
        let end = at as u32 + 1;
        let piece = self.pieces[p];
        if piece.hi == end {
            self.pieces[p].tested = index as u32;
            return;
        }
        self.pieces[p].lo = end;
        let older = Piece {
            hi: end,
            tested: index as u32,
            ..piece
        };
        self.pieces.insert(p, older);
        self.classes[piece.class as usize].pieces += 1;
    }

    fn split_classes(&mut self, at: usize, index: usize) {
        let own = self.layout.segment(at);
        let below = self.layout.below(own);
        let layout = &self.layout;
        let inside = |p: &Piece| {
            let segment = layout.segment(p.lo as usize);
            below.contains(segment) || (segment == own && p.hi as usize <= at + 1)
        };
        let mut covered = vec![0u32; self.classes.len()];
        for p in self.pieces.iter().filter(|p| inside(p)) {
            covered[p.class as usize] += 1;
        }
        let mut moved: Vec<u32> = (0..self.classes.len() as u32).collect();
        for c in 0..covered.len() {
            if covered[c] == 0 {
                continue;
            }
            if covered[c] == self.classes[c].pieces {
                self.classes[c].insert(index);
                continue;
            }
            self.classes[c].pieces -= covered[c];
            let mut class = self.classes[c].clone();
            class.pieces = covered[c];
            class.insert(index);
            moved[c] = self.classes.len() as u32;
            self.classes.push(class);
        }
        for p in self.pieces.iter_mut().filter(|p| inside(p)) {
            p.class = moved[p.class as usize];
        }
    }

    /// The posterior. Its sums run over the pieces in their order, which does not depend on the order
    /// of the results.
    pub(super) fn masses(&self) -> Masses {
        let weighed: Vec<(f64, Mean)> = self
            .classes
            .iter()
            .map(|c| self.model.evidence(&c.bad, &self.without(c)))
            .collect();
        let (none, none_rate) = self.model.evidence_without(&self.good);
        let mut top = weighed
            .iter()
            .fold(f64::NEG_INFINITY, |top, w| top.max(w.0));
        if self.prior.none > 0.0 {
            top = top.max(none);
        }
        let likelihood: Vec<f64> = weighed.iter().map(|w| (w.0 - top).exp()).collect();
        let none = match self.prior.none > 0.0 {
            true => (none - top).exp() * self.prior.none,
            false => 0.0,
        };
        let mass = |p: &Piece| {
            likelihood[p.class as usize] * self.prior.between(p.lo as usize, p.hi as usize)
        };
        let total = self.pieces.iter().map(mass).sum::<f64>() + none;
        Masses {
            mean: weighed.into_iter().map(|w| w.1).collect(),
            likelihood,
            none,
            none_rate,
            total,
        }
    }

    /// Terms of the good rates over the tested revisions that do not contain a class.
    fn without(&self, class: &Class) -> Vec<Log> {
        self.good
            .iter()
            .zip(&class.good)
            .map(|(all, inside)| all - inside)
            .collect()
    }

    /// Whether a tested revision contains a class.
    pub(super) fn contains(&self, tested: usize, class: usize) -> bool {
        self.classes[class].contains(tested)
    }

    /// Number of classes; some may be empty of pieces.
    pub(super) fn classes(&self) -> usize {
        self.classes.len()
    }

    /// How much more likely the runs of a revision are if it is bad than if it is good, in nats: the
    /// rates from all other runs under the hypothesis of a class, repeats counted in full.
    pub(super) fn own_evidence(&self, class: usize, node: Node) -> f64 {
        let class = &self.classes[class];
        let (mut bad, mut good) = (class.bad.clone(), self.without(class));
        let Some(index) = self.find(node) else {
            return 0.0;
        };
        let tested = &self.tested[index];
        if class.contains(index) {
            subtract(&mut bad, &tested.bad);
        } else {
            subtract(&mut good, &tested.good);
        }
        let (own_bad, own_good) = self.model.plain_terms(&tested.tally);
        let mut as_bad = bad.clone();
        add(&mut as_bad, &own_bad);
        let mut as_good = good.clone();
        add(&mut as_good, &own_good);
        self.model.evidence(&as_bad, &good).0 - self.model.evidence(&bad, &as_good).0
    }

    /// The most likely commit and its share of the mass; the lowest node of equals.
    pub(super) fn best(&self, masses: &Masses) -> Option<(Node, usize, f64)> {
        let mut best: Option<(f64, Node, usize)> = None;
        for p in &self.pieces {
            let likelihood = masses.likelihood[p.class as usize];
            let (lo, hi) = p.range();
            let end = if self.prior.equal { lo + 1 } else { hi };
            for at in lo..end {
                let mass = likelihood * self.prior.weight(at);
                let node = self.layout.node(at);
                if best.is_none_or(|(m, n, _)| mass > m || (mass == m && node < n)) {
                    best = Some((mass, node, p.class as usize));
                }
            }
        }
        best.map(|(mass, node, class)| (node, class, mass / masses.total))
    }

    /// Chance of each commit, by node, and of there being no culprit.
    pub(super) fn by_node(&self, masses: &Masses) -> (Vec<f64>, f64) {
        let mut chance = vec![0.0; self.layout.len()];
        for p in &self.pieces {
            let likelihood = masses.likelihood[p.class as usize];
            for at in p.lo as usize..p.hi as usize {
                chance[self.layout.node(at) as usize] =
                    likelihood * self.prior.weight(at) / masses.total;
            }
        }
        (chance, masses.none / masses.total)
    }

    /// Log likelihood of a tested revision's runs if it is bad and if it is good, at these rates.
    pub(super) fn nearest_terms(&self, index: usize, rates: Mean) -> (f64, f64) {
        let tested = &self.tested[index];
        let bad = self.model.nearest_bad(rates.bad);
        let good = self.model.nearest_good(rates.good);
        (to_nats(tested.bad[bad]), to_nats(tested.good[good]))
    }
}

impl Class {
    fn contains(&self, tested: usize) -> bool {
        self.inside
            .get(tested / 64)
            .is_some_and(|word| word >> (tested % 64) & 1 == 1)
    }

    fn insert(&mut self, tested: usize) {
        if self.inside.len() <= tested / 64 {
            self.inside.resize(tested / 64 + 1, 0);
        }
        self.inside[tested / 64] |= 1 << (tested % 64);
    }
}

fn add(sum: &mut [Log], more: &[Log]) {
    sum.iter_mut().zip(more).for_each(|(s, m)| *s += m);
}

fn subtract(sum: &mut [Log], less: &[Log]) {
    sum.iter_mut().zip(less).for_each(|(s, l)| *s -= l);
}
