//! The commit graph as plain arrays. Owns reachability; must not know marks, policies or git.

use fixedbitset::FixedBitSet;

/// Index of a revision in topological order: parents have smaller numbers than their children.
pub type Node = u32;

/// Why a list of parents is not a graph this crate can search.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GraphError {
    /// A parent does not come before its child.
    #[error("revision {node} names parent {parent}, which does not come before it")]
    Order { node: usize, parent: Node },
    /// More revisions than a node number can count.
    #[error("{0} revisions are more than this search can number")]
    TooLarge(usize),
}

/// Revisions and their parents, parents before children. Parents outside the range are left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Graph {
    /// `flat[start[n]..start[n + 1]]` are the parents of `n`, in commit order.
    start: Vec<usize>,
    flat: Vec<Node>,
}

impl Graph {
    /// Takes the parents of every revision in topological order.
    pub fn new(parents: Vec<Vec<Node>>) -> Result<Self, GraphError> {
        if Node::try_from(parents.len()).is_err() {
            return Err(GraphError::TooLarge(parents.len()));
        }
        let mut start = Vec::with_capacity(parents.len() + 1);
        let mut flat = Vec::with_capacity(parents.len() + parents.len() / 8);
        start.push(0);
        for (node, list) in parents.iter().enumerate() {
            if let Some(&parent) = list.iter().find(|&&p| p as usize >= node) {
                return Err(GraphError::Order { node, parent });
            }
            flat.extend_from_slice(list);
            start.push(flat.len());
        }
        Ok(Self { start, flat })
    }

    /// Number of revisions.
    pub fn len(&self) -> usize {
        self.start.len() - 1
    }

    /// Whether there is no revision at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Parents of `node` inside the range, first parent first. Panics when `node` is out of range.
    pub fn parents(&self, node: Node) -> &[Node] {
        let n = node as usize;
        &self.flat[self.start[n]..self.start[n + 1]]
    }

    /// Whether `a` is `b` or one of its ancestors.
    pub fn is_ancestor(&self, a: Node, b: Node) -> bool {
        if a == b {
            return true;
        }
        let mut seen = FixedBitSet::with_capacity(self.len());
        let mut todo = vec![b];
        while let Some(node) = todo.pop() {
            for &p in self.parents(node) {
                if p == a {
                    return true;
                }
                // Everything below `a` in the order cannot reach it.
                if p > a && !seen.put(p as usize) {
                    todo.push(p);
                }
            }
        }
        false
    }

    /// `node` and all its ancestors.
    pub fn ancestors(&self, node: Node) -> FixedBitSet {
        self.ancestors_of([node])
    }

    /// All `nodes` and their ancestors.
    pub fn ancestors_of(&self, nodes: impl IntoIterator<Item = Node>) -> FixedBitSet {
        let mut seen = FixedBitSet::with_capacity(self.len());
        let mut todo = Vec::new();
        for node in nodes {
            if !seen.put(node as usize) {
                todo.push(node);
            }
        }
        while let Some(node) = todo.pop() {
            for &p in self.parents(node) {
                if !seen.put(p as usize) {
                    todo.push(p);
                }
            }
        }
        seen
    }

    /// The first-parent chain that ends at `tip`, oldest first.
    pub(crate) fn first_parent_chain(&self, tip: Node) -> Vec<Node> {
        let mut chain = vec![tip];
        let mut at = tip;
        while let Some(&p) = self.parents(at).first() {
            chain.push(p);
            at = p;
        }
        chain.reverse();
        chain
    }
}
