//! The truth behind a simulated search: which revisions show the behaviour, how often, and which
//! cannot be tested. Must not know how the search works.

use super::dice::Dice;
use crate::graph::{Graph, Node};
use crate::search::{Outcome, Signal};
use fixedbitset::FixedBitSet;
use serde::{Deserialize, Serialize};

/// What kind of history is searched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Case {
    /// One commit, drawn evenly if not given.
    One,
    /// No commit: every run fails as often as a good one.
    None,
    /// Two commits, neither below the other where the graph has such.
    Two,
    /// Broken, fixed and broken again on the main line.
    Refixed,
    /// One commit, and an unrelated crash hides a stretch of half of the revisions.
    HalfHidden,
    /// One commit inside a stretch that does not build.
    InBroken,
    /// One commit anywhere, and a stretch that does not build.
    Broken,
    /// The commit is a merge.
    Merge,
}

/// What the tester is like.
#[derive(Debug, Clone, PartialEq)]
pub struct Tester {
    pub case: Case,
    /// The commit of [`Case::One`].
    pub culprit: Option<Node>,
    /// `Known` or `Samples`: how runs come out.
    pub signal: Signal,
    /// Concentration of each bad revision's own failure rate; `None`: all alike.
    pub vary: Option<f64>,
    /// Chance that a revision cannot be tested, each for itself.
    pub skip_rate: f64,
    /// Share of the revisions in the stretch of [`Case::InBroken`] and [`Case::Broken`].
    pub stretch: f64,
}

/// One drawn truth.
pub(super) struct World {
    /// Commits that may be named.
    pub culprits: Vec<Node>,
    bad: FixedBitSet,
    hidden: FixedBitSet,
    signal: Signal,
    vary: Option<f64>,
    seed: u64,
}

impl World {
    /// `hint`: weights that the commit is drawn by.
    pub(super) fn draw(graph: &Graph, tester: &Tester, hint: Option<&[f64]>, seed: u64) -> Self {
        let mut dice = Dice::new(seed, 1);
        let n = graph.len();
        let one = match (tester.culprit, hint) {
            (Some(culprit), _) => culprit,
            (None, Some(weights)) => weighted(weights, &mut dice),
            (None, None) => dice.below(n) as Node,
        };
        let mut hidden = FixedBitSet::with_capacity(n);
        let mut culprits = vec![one];
        let mut bad = descendants(graph, one);
        match tester.case {
            Case::One => {}
            Case::None => {
                culprits.clear();
                bad.clear();
            }
            Case::Two => {
                let other = apart(graph, one, &bad, &mut dice);
                bad.union_with(&descendants(graph, other));
                culprits.push(other);
                if graph.is_ancestor(one, other) {
                    culprits.pop();
                } else if graph.is_ancestor(other, one) {
                    culprits.remove(0);
                }
            }
            Case::Refixed => (culprits, bad) = refixed(graph, &mut dice),
            Case::HalfHidden => hide(&mut hidden, 0.5, None, &mut dice),
            Case::InBroken => hide(&mut hidden, tester.stretch, Some(one), &mut dice),
            Case::Broken => hide(&mut hidden, tester.stretch, None, &mut dice),
            Case::Merge => {
                let merges: Vec<Node> = (0..n as Node)
                    .filter(|&v| graph.parents(v).len() > 1)
                    .collect();
                if !merges.is_empty() {
                    culprits = vec![merges[dice.below(merges.len())]];
                    bad = descendants(graph, culprits[0]);
                }
            }
        }
        for node in 0..n.saturating_sub(1) {
            if tester.skip_rate > 0.0 && dice.unit() < tester.skip_rate {
                hidden.insert(node);
            }
        }
        Self {
            culprits,
            bad,
            hidden,
            signal: tester.signal,
            vary: tester.vary,
            seed,
        }
    }

    /// The answer of one run.
    pub(super) fn run(&self, node: Node, dice: &mut Dice) -> Outcome {
        if self.hidden.contains(node as usize) {
            return Outcome::Skip;
        }
        let is_bad = self.bad.contains(node as usize);
        let rate = match self.signal {
            Signal::Samples { shift } => {
                let mean = if is_bad { shift } else { 0.0 };
                return Outcome::Sample(mean + dice.normal());
            }
            Signal::Unknown => 0.0,
            Signal::Known { good, .. } if !is_bad => good,
            Signal::Known { bad, .. } => match self.vary {
                Some(k) if 0.0 < bad && bad < 1.0 => {
                    let own = &mut Dice::new(self.seed, u64::from(node) + 1000);
                    own.beta(k * bad, k * (1.0 - bad))
                }
                _ => bad,
            },
        };
        match dice.unit() < rate {
            true => Outcome::Fail,
            false => Outcome::Pass,
        }
    }

    /// On a line: how many commits no test can tell from the first culprit, itself included.
    pub(super) fn smallest_set(&self, graph: &Graph) -> usize {
        let Some(&culprit) = self.culprits.first() else {
            return 0;
        };
        let hidden = |n: usize| self.hidden.contains(n);
        let mut last = culprit as usize;
        while last + 1 < graph.len() && hidden(last) {
            last += 1;
        }
        let mut first = last;
        while first > 0 && hidden(first - 1) {
            first -= 1;
        }
        last - first + 1
    }
}

fn descendants(graph: &Graph, node: Node) -> FixedBitSet {
    let mut inside = FixedBitSet::with_capacity(graph.len());
    inside.insert(node as usize);
    for n in node as usize + 1..graph.len() {
        let parents = graph.parents(n as Node);
        if parents.iter().any(|&p| inside.contains(p as usize)) {
            inside.insert(n);
        }
    }
    inside
}

/// A commit neither above nor below, if a few hundred draws find one.
fn apart(graph: &Graph, one: Node, above: &FixedBitSet, dice: &mut Dice) -> Node {
    let below = graph.ancestors(one);
    let mut other = one;
    for _ in 0..400 {
        other = dice.below(graph.len()) as Node;
        if !above.contains(other as usize) && !below.contains(other as usize) {
            break;
        }
    }
    other
}

/// Breaks at the first, is fixed at the second and breaks again at the third of three commits of the
/// main line; each stretch is at least a twentieth of it.
fn refixed(graph: &Graph, dice: &mut Dice) -> (Vec<Node>, FixedBitSet) {
    let chain = graph.first_parent_chain((graph.len() - 1) as Node);
    let least = (chain.len() / 20).max(1);
    let mut at;
    loop {
        at = [0; 3].map(|_| dice.below(chain.len()));
        at.sort_unstable();
        if chain.len() < 4 || (at[1] - at[0] >= least && at[2] - at[1] >= least) {
            break;
        }
    }
    let mut bad = descendants(graph, chain[at[0]]);
    bad.difference_with(&descendants(graph, chain[at[1]]));
    bad.union_with(&descendants(graph, chain[at[2]]));
    (vec![chain[at[0]], chain[at[2]]], bad)
}

/// Hides a contiguous share of the revisions, around `inside` if given, never the tip.
fn hide(hidden: &mut FixedBitSet, share: f64, inside: Option<Node>, dice: &mut Dice) {
    let n = hidden.len();
    let length = ((n as f64 * share).round() as usize).clamp(1, n.max(2) - 1);
    let start = match inside {
        Some(node) => (node as usize).saturating_sub(dice.below(length)),
        None => dice.below(n - length + 1),
    };
    for node in start..(start + length).min(n.saturating_sub(1)) {
        hidden.insert(node);
    }
}

fn weighted(weights: &[f64], dice: &mut Dice) -> Node {
    let mut left = dice.unit() * weights.iter().sum::<f64>();
    let hit = weights.iter().position(|w| {
        left -= w;
        left < 0.0
    });
    hit.unwrap_or(weights.len() - 1) as Node
}
