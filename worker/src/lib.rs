//! The worker: leases an attempt, does it, reports what it saw.
//!
//! Owns the machine it runs on: the sandbox, the sources, the builds and the
//! virtual machines. Must not know Postgres, the graph of revisions or a
//! verdict: it reports observations and judges nothing.

pub mod error;
pub mod sandbox;
pub mod vm;
