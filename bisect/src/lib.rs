//! Pure search over a commit graph: same history in, same plan out.
//!
//! Owns: the graph of revisions, the candidates that verdicts leave and equal sections of them
//! ([`plan`]), and the search under flakes ([`search`]).
//! Must not know: git, Postgres, files, the clock, randomness, or how a verdict was derived from a run.

mod batch;
mod graph;
mod history;
mod live;
mod plan;
mod range;
pub mod search;
mod testable;

pub use fixedbitset::FixedBitSet;
pub use graph::{Graph, GraphError, Node};
pub use history::{History, Mark, Observation, Policy};
pub use plan::{Found, Plan, Probe, distances, plan, steps_left};
pub use range::{Contradiction, candidates};
