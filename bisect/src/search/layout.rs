//! The graph prepared for the search: an order of the revisions in which the ancestors of any one are
//! few contiguous stretches, and exact sums over ancestors. Must not know runs or probabilities.
//!
//! The graph is cut into segments: maximal chains of single parents with a single child. The
//! ancestors of a revision are its own segment up to itself and whole other segments. Which
//! segments reach which is computed for 64 of them at a time, one word per later segment, and
//! summed through tables of 256 entries ("four Russians"); nothing quadratic is stored.

use crate::graph::{Graph, Node};
use fixedbitset::FixedBitSet;

/// The graph of one search, prepared once.
#[derive(Debug, Clone)]
pub struct Layout {
    graph: Graph,
    /// Position to node and back. The positions of a segment are contiguous, oldest first.
    order: Vec<Node>,
    position: Vec<u32>,
    segment: Vec<u32>,
    /// First position of each segment, and one past the last of all.
    first: Vec<u32>,
    /// `parents[start[s]..start[s + 1]]` are the segments that end at a parent of segment `s`.
    start: Vec<u32>,
    parents: Vec<u32>,
}

impl Layout {
    /// Takes time and memory linear in the size of the graph.
    pub fn new(graph: Graph) -> Self {
        let n = graph.len();
        let (segment_of, heads) = segments(&graph);
        let mut first = vec![0u32; heads.len() + 1];
        for &s in &segment_of {
            first[s as usize + 1] += 1;
        }
        for s in 0..heads.len() {
            first[s + 1] += first[s];
        }
        let mut next = first.clone();
        let mut order = vec![0; n];
        let mut position = vec![0; n];
        for (node, &s) in segment_of.iter().enumerate() {
            let at = next[s as usize];
            next[s as usize] += 1;
            order[at as usize] = node as Node;
            position[node] = at;
        }
        let mut start = Vec::with_capacity(heads.len() + 1);
        let mut parents = Vec::with_capacity(heads.len() * 2);
        start.push(0);
        for &head in &heads {
            let from = parents.len();
            for &p in graph.parents(head) {
                let s = segment_of[p as usize];
                if !parents[from..].contains(&s) {
                    parents.push(s);
                }
            }
            start.push(parents.len() as u32);
        }
        let segment = order.iter().map(|&v| segment_of[v as usize]).collect();
        Self {
            graph,
            order,
            position,
            segment,
            first,
            start,
            parents,
        }
    }

    /// The graph this was made from.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// Number of revisions.
    pub fn len(&self) -> usize {
        self.order.len()
    }

    /// Whether there is no revision at all.
    pub fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    pub(super) fn node(&self, position: usize) -> Node {
        self.order[position]
    }

    pub(super) fn position(&self, node: Node) -> usize {
        self.position[node as usize] as usize
    }

    pub(super) fn segment(&self, position: usize) -> usize {
        self.segment[position] as usize
    }

    pub(super) fn segments(&self) -> usize {
        self.first.len() - 1
    }

    /// One past the last position of a segment.
    pub(super) fn end(&self, segment: usize) -> usize {
        self.first[segment + 1] as usize
    }

    fn parents(&self, segment: usize) -> &[u32] {
        &self.parents[self.start[segment] as usize..self.start[segment + 1] as usize]
    }

    /// The other segments that lie below a segment, all of each.
    pub(super) fn below(&self, segment: usize) -> FixedBitSet {
        let mut seen = FixedBitSet::with_capacity(self.segments());
        let mut todo = vec![segment as u32];
        while let Some(s) = todo.pop() {
            for &p in self.parents(s as usize) {
                if !seen.put(p as usize) {
                    todo.push(p);
                }
            }
        }
        seen
    }

    /// For every segment the sums over all other segments below it. `totals` and the answer hold `R`
    /// numbers a segment. Exact for whole numbers.
    pub(super) fn sums_below<const R: usize>(&self, totals: &[[f64; R]]) -> Vec<[f64; R]> {
        let count = self.segments();
        let mut sums = vec![[0.0; R]; count];
        let mut words = vec![0u64; count];
        for block in (0..count).step_by(64) {
            let members = &totals[block..count.min(block + 64)];
            if members.iter().all(|t| t.iter().all(|&x| x == 0.0)) {
                continue;
            }
            let tables = Tables::new(members);
            let (mut last, mut last_sum) = (0u64, [0.0; R]);
            for s in block..count {
                let mut word = 0u64;
                for &p in self.parents(s) {
                    if p as usize >= block {
                        word |= words[p as usize];
                    }
                }
                if word != 0 {
                    // Neighbours mostly reach the same part of a block.
                    if word != last {
                        (last, last_sum) = (word, tables.sum(word));
                    }
                    for (sum, x) in sums[s].iter_mut().zip(last_sum) {
                        *sum += x;
                    }
                }
                if s < block + 64 {
                    word |= 1 << (s - block);
                }
                words[s] = word;
            }
        }
        sums
    }
}

/// The segment of each node, and the oldest node of each segment; both parents first.
fn segments(graph: &Graph) -> (Vec<u32>, Vec<Node>) {
    let n = graph.len();
    let mut children = vec![0u32; n];
    for node in 0..n {
        for &p in graph.parents(node as Node) {
            children[p as usize] += 1;
        }
    }
    let mut of = Vec::with_capacity(n);
    let mut heads = Vec::new();
    for node in 0..n {
        match graph.parents(node as Node) {
            [p] if children[*p as usize] == 1 => of.push(of[*p as usize]),
            _ => {
                of.push(heads.len() as u32);
                heads.push(node as Node);
            }
        }
    }
    (of, heads)
}

/// Sums over subsets of 64 members, 8 at a time.
struct Tables<const R: usize>(Vec<[[f64; R]; 256]>);

impl<const R: usize> Tables<R> {
    fn new(members: &[[f64; R]]) -> Self {
        let tables = members.chunks(8).map(|group| {
            let mut table = [[0.0; R]; 256];
            for (bit, member) in group.iter().enumerate() {
                let half = 1 << bit;
                for low in 0..half {
                    for r in 0..R {
                        table[half + low][r] = table[low][r] + member[r];
                    }
                }
            }
            table
        });
        Self(tables.collect())
    }

    fn sum(&self, mut word: u64) -> [f64; R] {
        let mut sum = [0.0; R];
        for table in &self.0 {
            if word == 0 {
                break;
            }
            for (s, x) in sum.iter_mut().zip(table[(word & 255) as usize]) {
                *s += x;
            }
            word >>= 8;
        }
        sum
    }
}
