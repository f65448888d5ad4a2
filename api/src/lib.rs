//! Wire types shared by server, worker, guest and command line.
//!
//! Owns the shapes that cross a process boundary and the one file of limits.
//! Must not know: SQL, git, QEMU, or how a verdict is derived.

pub mod artefact;
pub mod attempt;
pub mod guest;
pub mod job;
pub mod lease;
pub mod limits;
pub mod observation;
pub mod problem;
pub mod suite;
pub mod tree;
pub mod worker;
