//! What an operator tells a worker.

use std::path::PathBuf;

/// Everything a worker process needs to know at start.
#[derive(Debug, Clone)]
pub struct WorkerConfig {
    /// Base URL of the server, such as `http://127.0.0.1:8080`.
    pub server: String,
    /// Bearer token for writes; empty when the server asks for none.
    pub token: String,
    /// The worker's own directory: sources, builds, caches, spool.
    pub dir: PathBuf,
    /// Shown to people, never an identity.
    pub name: String,
    /// Attempt kinds to take: `build`, `test`.
    pub kinds: Vec<String>,
    /// Do one attempt, then stop.
    pub once: bool,
    /// Where the guest's static binary is.
    pub guest_dir: PathBuf,
}

impl WorkerConfig {
    /// Whether attempts of `kind` are wanted.
    pub fn takes(&self, kind: &str) -> bool {
        self.kinds.iter().any(|k| k == kind)
    }
}
