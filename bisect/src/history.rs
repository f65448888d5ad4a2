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
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            workers: 1,
            first_parent: false,
            eligible: None,
        }
    }
}

impl Policy {
    pub(crate) fn allows(&self, node: Node) -> bool {
        self.eligible
            .as_ref()
            .is_none_or(|set| set.contains(node as usize))
    }
}
