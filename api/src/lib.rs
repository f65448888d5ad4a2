//! Wire types shared by server, worker, guest and command line.
//!
//! Owns the shapes that cross a process boundary, the one file of limits, and
//! the machine that a requested run means ([`qemu`]), so that worker and server
//! agree on it. Must not know: SQL, git, processes, or how a verdict is derived.

pub mod amend;
pub mod artefact;
pub mod attempt;
pub mod bidi;
pub mod bisect_log;
pub mod campaign;
pub mod custom;
pub mod fstests;
pub mod guest;
pub mod job;
pub mod known;
pub mod lease;
pub mod limits;
pub mod list;
pub mod metric;
pub mod observation;
pub mod patch;
pub mod problem;
pub mod qemu;
pub mod regression;
pub mod report;
pub mod rule;
pub mod suite;
pub mod survey;
pub mod terms;
pub mod tree;
pub mod user;
pub mod version;
pub mod webhook;
pub mod worker;
