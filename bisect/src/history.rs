//! What the caller tells the search. Plain data; must not know how a verdict came about.

use crate::graph::Node;
use fixedbitset::FixedBitSet;
use serde::{Deserialize, Serialize};

/// What a revision was judged to be. `Bad` is the changed behaviour: a search for a fix inverts
/// its marks once, at the edge, before they come here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mark {
    Good,
    Bad,
    /// Cannot be tested: says nothing about the revision.
    Skip,
}

impl Mark {
    /// Good for bad and bad for good: the edge of a search for a fix.
    pub fn invert(self) -> Self {
        match self {
            Self::Good => Self::Bad,
            Self::Bad => Self::Good,
            Self::Skip => Self::Skip,
        }
    }
}

/// One judged revision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observation {
    pub node: Node,
    pub mark: Mark,
}

/// Everything known so far. The order of either list has no meaning.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct History {
    pub marks: Vec<Observation>,
    /// Revisions being tested now.
    pub running: Vec<Node>,
}

/// How to search.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// Probes wanted in flight at once; 0 counts as 1.
    pub workers: usize,
    /// Only first parents count: the answer is a revision of the main line.
    pub first_parent: bool,
    /// Path limit: only these can be the culprit or be probed. `None` allows all.
    pub eligible: Option<FixedBitSet>,
    /// How likely each node is the culprit, at least 1, by node; `None`: all alike. Only the order of
    /// tests depends on it, never the answer.
    pub weights: Option<Vec<u32>>,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            workers: 1,
            first_parent: false,
            eligible: None,
            weights: None,
        }
    }
}

impl Policy {
    pub(crate) fn allows(&self, node: Node) -> bool {
        self.eligible
            .as_ref()
            .is_none_or(|set| set.contains(node as usize))
    }

    /// Weight of a node; 0 when it is not allowed.
    pub(crate) fn weight(&self, node: Node) -> f64 {
        let weight = |weights: &Vec<u32>| weights.get(node as usize).map_or(1, |w| (*w).max(1));
        match self.allows(node) {
            true => f64::from(self.weights.as_ref().map_or(1, weight)),
            false => 0.0,
        }
    }
}
