//! Which revisions can still be the culprit. Owns the meaning of a mark; must not know how the next
//! probe is chosen.

use crate::graph::{Graph, Node};
use crate::history::{History, Mark, Policy};
use fixedbitset::FixedBitSet;

/// Marks that no single change can explain.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Contradiction {
    /// The same revision was judged both ways.
    #[error("revision {node} is marked both good and bad")]
    Both { node: Node },
    /// A change that is in `bad` is in `good` too.
    #[error("bad revision {bad} is an ancestor of good revision {good}")]
    BadBeforeGood { bad: Node, good: Node },
    /// No candidate is an ancestor of both.
    #[error(
        "bad revisions {first} and {second} have no candidate in common: there is more than one cause"
    )]
    NoCommonCause { first: Node, second: Node },
    /// The path limit left no candidate; `good` is a good revision near the bad one, if any is marked.
    #[error("no revision between the good ones and bad revision {bad} touches the chosen paths")]
    NothingEligible { bad: Node, good: Option<Node> },
    /// A mark for a revision that the graph does not have.
    #[error("revision {node} is not one of the {len} revisions of the range")]
    OutOfRange { node: Node, len: usize },
}

/// The revisions that can still be the culprit, oldest first: ancestors of every bad revision,
/// ancestors of no good one, allowed by the policy. Never empty.
pub fn candidates(
    graph: &Graph,
    bad: Node,
    history: &History,
    policy: &Policy,
) -> Result<Vec<Node>, Contradiction> {
    let live = unlimited(graph, bad, history, policy)?;
    let left: Vec<Node> = live.into_iter().filter(|&n| policy.allows(n)).collect();
    if left.is_empty() {
        let good = marked(history, Mark::Good).into_iter().next_back();
        return Err(Contradiction::NothingEligible { bad, good });
    }
    Ok(left)
}

/// Candidates before the path limit. They are convex: whatever lies between two of them is one too,
/// so reachability inside the list is reachability in the graph.
pub(crate) fn unlimited(
    graph: &Graph,
    bad: Node,
    history: &History,
    policy: &Policy,
) -> Result<Vec<Node>, Contradiction> {
    let len = graph.len();
    let named = history
        .marks
        .iter()
        .map(|o| o.node)
        .chain(history.running.iter().copied());
    if let Some(node) = named.chain([bad]).find(|&n| n as usize >= len) {
        return Err(Contradiction::OutOfRange { node, len });
    }
    let goods = marked(history, Mark::Good);
    let mut bads = marked(history, Mark::Bad);
    bads.push(bad);
    bads.sort_unstable();
    bads.dedup();
    let excluded = graph.ancestors_of(goods.iter().copied());
    if let Some(&bad) = bads.iter().find(|&&b| excluded.contains(b as usize)) {
        return Err(explain(graph, bad, &goods));
    }
    if policy.first_parent {
        Ok(main_line(graph, bad, &bads, &excluded))
    } else {
        common(graph, bad, &bads, &excluded)
    }
}

/// Nodes with this mark, sorted, once each.
pub(crate) fn marked(history: &History, mark: Mark) -> Vec<Node> {
    let mut nodes: Vec<Node> = history
        .marks
        .iter()
        .filter(|o| o.mark == mark)
        .map(|o| o.node)
        .collect();
    nodes.sort_unstable();
    nodes.dedup();
    nodes
}

fn explain(graph: &Graph, bad: Node, goods: &[Node]) -> Contradiction {
    if goods.contains(&bad) {
        return Contradiction::Both { node: bad };
    }
    let good = goods
        .iter()
        .copied()
        .find(|&g| graph.is_ancestor(bad, g))
        .unwrap_or(bad);
    Contradiction::BadBeforeGood { bad, good }
}

/// Ancestors of all bad revisions that no good one has.
fn common(
    graph: &Graph,
    bad: Node,
    bads: &[Node],
    excluded: &FixedBitSet,
) -> Result<Vec<Node>, Contradiction> {
    let mut live = graph.ancestors(bad);
    live.difference_with(excluded);
    for (i, &b) in bads.iter().enumerate().filter(|&(_, &b)| b != bad) {
        let own = graph.ancestors(b);
        live.intersect_with(&own);
        if live.is_clear() {
            let earlier = bads[..i]
                .iter()
                .copied()
                .filter(|&o| o != b)
                .find(|&other| {
                    let mut both = graph.ancestors(other);
                    both.intersect_with(&own);
                    both.difference_with(excluded);
                    both.is_clear()
                });
            let first = earlier.or_else(|| bads[..i].last().copied()).unwrap_or(bad);
            return Err(Contradiction::NoCommonCause { first, second: b });
        }
    }
    Ok(live.ones().map(|n| n as Node).collect())
}

/// The main line up to the first revision that contains a bad one. A bad revision of a side branch
/// says only that the merge which brought it in is not before the change.
fn main_line(graph: &Graph, bad: Node, bads: &[Node], excluded: &FixedBitSet) -> Vec<Node> {
    let mut chain = graph.first_parent_chain(bad);
    for &b in bads {
        let inside = descendants(graph, b);
        if let Some(end) = chain.iter().position(|&n| inside.contains(n as usize)) {
            chain.truncate(end + 1);
        }
    }
    chain.retain(|&n| !excluded.contains(n as usize));
    chain
}

/// `node` and everything that contains it.
fn descendants(graph: &Graph, node: Node) -> FixedBitSet {
    let mut inside = FixedBitSet::with_capacity(graph.len());
    inside.insert(node as usize);
    for n in node as usize + 1..graph.len() {
        if graph
            .parents(n as Node)
            .iter()
            .any(|&p| inside.contains(p as usize))
        {
            inside.insert(n);
        }
    }
    inside
}
