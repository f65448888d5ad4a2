//! The decision: what to test next, whether to wait, or what was found. A pure function of the
//! history. Must not know how scores are computed.

use crate::batch::Field;
use crate::graph::{Graph, Node};
use crate::history::{History, Mark, Policy};
use crate::live::Live;
use crate::range::{Contradiction, marked, unlimited};
use crate::testable::Testable;
use serde::{Deserialize, Serialize};

/// A revision to test, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probe {
    pub node: Node,
    /// For people, for example "splits 23 candidates into 11 and 12".
    pub reason: String,
}

/// What to do now. `left` are the candidates, oldest first; `steps_left` counts rounds of tests
/// still to come if nothing is skipped, the present one included.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Plan {
    /// Start these, beside what is running. The most telling first.
    Probe {
        probes: Vec<Probe>,
        left: Vec<Node>,
        steps_left: u32,
    },
    /// Nothing to start before a running test ends.
    Wait {
        left: Vec<Node>,
        steps_left: u32,
    },
    Done(Found),
}

/// How a search ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Found {
    /// One candidate is left.
    Culprit { node: Node },
    /// Nothing that can be tested separates these: exactly the candidates left, oldest first.
    Range { nodes: Vec<Node> },
}

/// The next probes, or the outcome, for the range that ends at `bad`.
///
/// Running revisions that can no longer tell anything do not occupy a worker here: the caller may
/// cancel them.
pub fn plan(
    graph: &Graph,
    bad: Node,
    history: &History,
    policy: &Policy,
) -> Result<Plan, Contradiction> {
    let range = Range::new(graph, bad, history, policy)?;
    if let [node] = range.left[..] {
        return Ok(Plan::Done(Found::Culprit { node }));
    }
    let skipped = range.positions(&marked(history, Mark::Skip));
    let running = range.telling(&history.running);
    let usable = range.usable(policy, &skipped, &running);
    if usable.is_empty() && running.is_empty() {
        return Ok(Plan::Done(Found::Range { nodes: range.left }));
    }
    let mut tested = marked(history, Mark::Bad);
    tested.push(bad);
    let testable = Testable::new(&range.live, &skipped, &range.positions(&tested));
    let workers = policy.workers.max(1);
    let field = Field {
        live: &range.live,
        weight: &range.weight,
        reach: &range.reach,
        total: range.total,
        usable: &usable,
        running: &running,
        testable: testable.as_ref(),
    };
    let chosen = match workers.saturating_sub(running.len()) {
        0 => Vec::new(),
        free => field.choose(free),
    };
    let probe = |at: usize| Probe {
        node: range.live.node(at),
        reason: range.reason(at, testable.as_ref()),
    };
    let probes: Vec<Probe> = chosen.into_iter().map(probe).collect();
    let steps_left = range.steps_left(workers);
    let left = range.left;
    Ok(if probes.is_empty() {
        Plan::Wait { left, steps_left }
    } else {
        Plan::Probe {
            probes,
            left,
            steps_left,
        }
    })
}

/// git's distance, min(reach, n - reach), of every candidate, oldest first: what
/// `git rev-list --bisect-all` prints.
pub fn distances(
    graph: &Graph,
    bad: Node,
    history: &History,
    policy: &Policy,
) -> Result<Vec<(Node, u32)>, Contradiction> {
    let range = Range::new(graph, bad, history, policy)?;
    let n = range.left.len() as u32;
    let all = range.live.nodes().iter().zip(&range.older);
    let allowed = all.filter(|(node, _)| policy.allows(**node));
    Ok(allowed
        .map(|(&node, &reach)| (node, (reach as u32).min(n - reach as u32)))
        .collect())
}

/// Rounds of `workers` tests that tell `candidates` apart on a line.
pub fn steps_left(candidates: usize, workers: usize) -> u32 {
    let (mut apart, mut steps) = (1usize, 0);
    while apart < candidates {
        apart = apart.saturating_mul(workers.max(1).saturating_add(1));
        steps += 1;
    }
    steps
}

/// The candidates with what lies below each of them.
struct Range {
    live: Live,
    left: Vec<Node>,
    weight: Vec<f64>,
    /// Weight of a node and its ancestors.
    reach: Vec<f64>,
    /// Candidates among a node and its ancestors.
    older: Vec<f64>,
    /// Weight of all.
    total: f64,
}

impl Range {
    fn new(
        graph: &Graph,
        bad: Node,
        history: &History,
        policy: &Policy,
    ) -> Result<Self, Contradiction> {
        let left = crate::candidates(graph, bad, history, policy)?;
        let live = Live::new(
            graph,
            unlimited(graph, bad, history, policy)?,
            policy.first_parent,
        );
        let weight: Vec<f64> = live.nodes().iter().map(|&n| policy.weight(n)).collect();
        let reach = live.ancestor_sums(&weight);
        let older = match policy.weights {
            None => reach.clone(),
            Some(_) => {
                let one: Vec<f64> = weight.iter().map(|w| w.min(1.0)).collect();
                live.ancestor_sums(&one)
            }
        };
        Ok(Self {
            total: weight.iter().sum(),
            live,
            left,
            weight,
            reach,
            older,
        })
    }

    /// Rounds still to come: those of as many even candidates as have the same entropy.
    fn steps_left(&self, workers: usize) -> u32 {
        let share = |w: &f64| w / self.total;
        let bits: f64 = self
            .weight
            .iter()
            .map(share)
            .map(|p| if p > 0.0 { -p * p.log2() } else { 0.0 })
            .sum();
        // Rounded down by less than what sums of logarithms lose.
        steps_left((bits.exp2() - 1e-6).ceil() as usize, workers)
    }

    fn positions(&self, nodes: &[Node]) -> Vec<usize> {
        nodes
            .iter()
            .filter_map(|&n| self.live.position(n))
            .collect()
    }

    /// Whether a test there could rule out a candidate either way.
    fn splits(&self, at: usize) -> bool {
        0.0 < self.reach[at] && self.reach[at] < self.total
    }

    fn telling(&self, running: &[Node]) -> Vec<usize> {
        let mut at = self.positions(running);
        at.retain(|&at| self.splits(at));
        at.sort_unstable();
        at.dedup();
        at
    }

    fn usable(&self, policy: &Policy, skipped: &[usize], running: &[usize]) -> Vec<usize> {
        let free =
            |at: &usize| skipped.binary_search(at).is_err() && running.binary_search(at).is_err();
        let allowed = |at: &usize| policy.allows(self.live.node(*at)) && self.splits(*at);
        (0..self.live.len()).filter(allowed).filter(free).collect()
    }

    fn reason(&self, at: usize, testable: Option<&Testable>) -> String {
        let (n, older) = (self.left.len(), self.older[at] as usize);
        let splits = format!("splits {n} candidates into {older} and {}", n - older);
        match testable.and_then(|t| t.steps_from_skip(at)) {
            Some(1) => format!("{splits}, next to a skipped revision"),
            Some(steps) => format!("{splits}, {steps} steps from the nearest skipped revision"),
            None => splits,
        }
    }
}
