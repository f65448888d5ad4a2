//! The worker: leases an attempt, does it, reports what it saw.
//!
//! Owns the machine it runs on: the sandbox, the sources, the builds and the
//! virtual machines. Must not know Postgres, the graph of revisions or a
//! verdict: it reports observations and judges nothing.

mod agent;
mod apart;
mod attempt;
pub mod buildlines;
pub mod buildlog;
pub mod client;
mod compiled;
pub mod config;
pub mod dirs;
pub mod error;
pub mod fstests;
mod git;
mod images;
mod installed;
pub mod kbuild;
pub mod kconfig;
pub mod kselftest;
mod lease;
pub mod packaged;
pub mod process;
pub mod sandbox;
pub mod selftest;
pub mod signature;
pub mod source;
mod spool;
mod stages;
pub mod untrusted;
mod upload;
pub mod vm;

pub use agent::run;
pub use config::WorkerConfig;
