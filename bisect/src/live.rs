//! The part of the graph that is still of interest, renumbered, with exact ancestor sums and
//! membership masks. Owns the fast arithmetic; must not know marks.
//!
//! Sums: the graph is cut into segments (runs of single parents with a single child), so that the
//! ancestors of a revision are whole segments plus a prefix of its own. Segment reachability is
//! computed for 64 segments at a time, one word per later segment, and summed through tables of 256
//! entries ("four Russians"). Nothing quadratic is ever stored.

use crate::graph::{Graph, Node};

/// Set of up to [`MASK_BITS`] marked revisions.
pub(crate) type Mask = u128;
/// How many revisions one mask can tell apart.
pub(crate) const MASK_BITS: usize = 128;

const OUTSIDE: u32 = u32::MAX;

/// A convex part of a graph. Positions are indices into [`Live::nodes`].
pub(crate) struct Live {
    nodes: Vec<Node>,
    start: Vec<usize>,
    flat: Vec<u32>,
    /// Whether a position has no parent or one outside, that is, touches what is known good.
    edge: Vec<bool>,
}

impl Live {
    /// `nodes` sorted. With `first_parent` only first parents connect them.
    pub(crate) fn new(graph: &Graph, nodes: Vec<Node>, first_parent: bool) -> Self {
        let mut local = vec![OUTSIDE; graph.len()];
        for (i, &n) in nodes.iter().enumerate() {
            local[n as usize] = i as u32;
        }
        let mut start = vec![0];
        let mut flat = Vec::with_capacity(nodes.len());
        let mut edge = Vec::with_capacity(nodes.len());
        for &n in &nodes {
            let parents = graph.parents(n);
            let parents = if first_parent {
                &parents[..parents.len().min(1)]
            } else {
                parents
            };
            let before = flat.len();
            flat.extend(
                parents
                    .iter()
                    .map(|&p| local[p as usize])
                    .filter(|&p| p != OUTSIDE),
            );
            edge.push(parents.is_empty() || flat.len() - before < parents.len());
            start.push(flat.len());
        }
        Self {
            nodes,
            start,
            flat,
            edge,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.nodes.len()
    }

    pub(crate) fn node(&self, at: usize) -> Node {
        self.nodes[at]
    }

    pub(crate) fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// Position of a node, if it is part of this graph.
    pub(crate) fn position(&self, node: Node) -> Option<usize> {
        self.nodes.binary_search(&node).ok()
    }

    pub(crate) fn parents(&self, at: usize) -> &[u32] {
        &self.flat[self.start[at]..self.start[at + 1]]
    }

    pub(crate) fn is_edge(&self, at: usize) -> bool {
        self.edge[at]
    }

    /// For every position the sum of `weight` over it and its ancestors. Exact for whole numbers.
    pub(crate) fn ancestor_sums(&self, weight: &[f64]) -> Vec<f64> {
        let segments = self.segments();
        // Sum of the own segment up to and including each position.
        let mut sums = weight.to_vec();
        let mut total = vec![0.0; segments.heads.len()];
        for at in 0..self.len() {
            let s = segments.of[at] as usize;
            if segments.heads[s] as usize != at {
                sums[at] += sums[self.parents(at)[0] as usize];
            }
            total[s] = sums[at];
        }
        let before = self.earlier_segments(&segments, &total);
        for (sum, &s) in sums.iter_mut().zip(&segments.of) {
            *sum += before[s as usize];
        }
        sums
    }

    /// For every segment the sum of `total` over all other segments that reach it.
    fn earlier_segments(&self, segments: &Segments, total: &[f64]) -> Vec<f64> {
        let count = segments.heads.len();
        let parents: Vec<Vec<u32>> = segments
            .heads
            .iter()
            .map(|&h| {
                self.parents(h as usize)
                    .iter()
                    .map(|&p| segments.of[p as usize])
                    .collect()
            })
            .collect();
        let mut before = vec![0.0; count];
        let mut words = vec![0u64; count];
        for first in (0..count).step_by(64) {
            let block = &total[first..count.min(first + 64)];
            let tables = Tables::new(block);
            let (mut last, mut last_sum) = (0u64, 0.0);
            for s in first..count {
                let mut word = 0u64;
                for &p in &parents[s] {
                    if p as usize >= first {
                        word |= words[p as usize];
                    }
                }
                // Neighbours mostly reach the same part of a block.
                if word != last {
                    (last, last_sum) = (word, tables.sum(word));
                }
                before[s] += last_sum;
                words[s] = if s < first + 64 {
                    word | 1 << (s - first)
                } else {
                    word
                };
            }
        }
        before
    }

    fn segments(&self) -> Segments {
        let mut children = vec![0u32; self.len()];
        for &p in &self.flat {
            children[p as usize] += 1;
        }
        let mut of = Vec::with_capacity(self.len());
        let mut heads = Vec::new();
        for at in 0..self.len() {
            match self.parents(at) {
                [p] if children[*p as usize] == 1 => of.push(of[*p as usize]),
                _ => {
                    of.push(heads.len() as u32);
                    heads.push(at as u32);
                }
            }
        }
        Segments { of, heads }
    }

    /// For every position, which of `marked` (at most [`MASK_BITS`] positions) contain it: bit `i` is
    /// set when the position is `marked[i]` or one of its ancestors.
    pub(crate) fn masks(&self, marked: &[usize]) -> Vec<Mask> {
        let mut masks = vec![0; self.len()];
        for (i, &at) in marked.iter().take(MASK_BITS).enumerate() {
            masks[at] |= 1 << i;
        }
        for at in (0..self.len()).rev() {
            let mask: Mask = masks[at];
            if mask != 0 {
                for &p in self.parents(at) {
                    masks[p as usize] |= mask;
                }
            }
        }
        masks
    }
}

/// Maximal runs of single parents with a single child, parents before children.
struct Segments {
    of: Vec<u32>,
    heads: Vec<u32>,
}

/// Sums over subsets of 64 weights, 8 at a time.
struct Tables(Vec<[f64; 256]>);

impl Tables {
    fn new(weights: &[f64]) -> Self {
        let tables = weights.chunks(8).map(|group| {
            let mut table = [0.0; 256];
            for (bit, &w) in group.iter().enumerate() {
                let half = 1 << bit;
                for low in 0..half {
                    table[half + low] = table[low] + w;
                }
            }
            table
        });
        Self(tables.collect())
    }

    fn sum(&self, mut word: u64) -> f64 {
        let mut sum = 0.0;
        for table in &self.0 {
            if word == 0 {
                break;
            }
            sum += table[(word & 255) as usize];
            word >>= 8;
        }
        sum
    }
}
