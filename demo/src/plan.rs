//! `plan.json`: what was planted and what a search must find.
//!
//! Owns the file's shape and the rule when a planted repository is complete.

use std::path::Path;

use anyhow::{Context, Result};
use firstbad_api::job::{Find, Signal};
use serde::{Deserialize, Serialize};

/// Rises whenever the same source gives other commits or another plan.
pub const GENERATOR: u32 = 7;
/// Name of the repository in the target directory.
pub const REPOSITORY: &str = "linux-demo.git";
/// Name of the plan, in the target directory and within the repository.
pub const PLAN: &str = "plan.json";

/// The whole file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    pub generator: u32,
    /// SHA-256 of the source archive.
    pub source_sha256: String,
    /// Repository, relative to the plan.
    pub repository: String,
    /// Commit of the untouched tree.
    pub base: String,
    pub scenarios: Vec<Planted>,
}

/// One planted history.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Planted {
    pub name: String,
    /// Tag of the good (old) end.
    pub good: String,
    /// Tag of the bad (new) end.
    pub bad: String,
    pub good_rev: String,
    pub bad_rev: String,
    /// Full id of the planted commit.
    pub culprit: String,
    pub subject: String,
    pub find: Find,
    pub suite: String,
    pub cases: Vec<String>,
    pub signal: Signal,
    pub expect: Expect,
    /// Commits after the good end, merges included.
    pub commits: usize,
    pub merges: usize,
    pub trouble: Trouble,
}

/// The outcome a search must end with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "kebab-case")]
pub enum Expect {
    Culprit {
        rev: String,
    },
    /// Exactly these candidates are left.
    Range {
        revs: Vec<String>,
    },
}

/// Commits that are in the way of a search; empty in a short history.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trouble {
    pub unbuildable: Vec<String>,
    pub panic: Option<String>,
    pub warning: Option<String>,
}

impl Plan {
    /// Reads a plan; `None` when there is none or another generator wrote it.
    pub fn read(path: &Path) -> Option<Plan> {
        let text = std::fs::read(path).ok()?;
        let plan: Plan = serde_json::from_slice(&text).ok()?;
        (plan.generator == GENERATOR).then_some(plan)
    }

    /// Writes the plan beside a temporary name and renames it.
    pub fn write(&self, path: &Path) -> Result<()> {
        let mut text = serde_json::to_vec_pretty(self)?;
        text.push(b'\n');
        let temporary = path.with_extension("json.new");
        std::fs::write(&temporary, text)
            .and_then(|()| std::fs::rename(&temporary, path))
            .with_context(|| format!("cannot write {}", path.display()))
    }

    /// Whether every named scenario is there.
    pub fn has_all(&self, names: &[&str]) -> bool {
        names
            .iter()
            .all(|n| self.scenarios.iter().any(|s| s.name == *n))
    }
}
