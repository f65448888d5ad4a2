//! What pages ask for again and again, kept for a while: each answer costs a process.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::{CommitInfo, RepoError, Repos};

/// The newest tags and branches that a revision is named by.
const REFS_READ: usize = 2_000;
/// Names are read again after this time; a fetch by this server forgets them at once.
const FRESH: Duration = Duration::from_secs(60);
/// Commits kept. What a commit is never changes.
const COMMITS: usize = 1_000;

/// Names of the revisions of a tree, by full id.
pub type Names = Arc<BTreeMap<String, String>>;

#[derive(Debug, Default)]
pub(super) struct Memo {
    names: HashMap<String, (Instant, Names)>,
    commits: HashMap<(String, String), CommitInfo>,
}

impl Repos {
    /// The tags and branches of a tree by the commit that they name, up to a minute old.
    pub async fn names(&self, tree: &str) -> Result<Names, RepoError> {
        let kept = self.memo().names.get(tree).cloned();
        if let Some((_, names)) = kept.filter(|(at, _)| at.elapsed() < FRESH) {
            return Ok(names);
        }
        let refs = self.refs(tree, REFS_READ).await?;
        let names: Names = Arc::new(refs.into_iter().map(|r| (r.rev, r.name)).collect());
        let kept = (Instant::now(), names.clone());
        self.memo().names.insert(tree.to_owned(), kept);
        Ok(names)
    }

    /// Facts about a commit, given by its full id.
    pub async fn commit(&self, name: &str, rev: &str) -> Result<CommitInfo, RepoError> {
        let key = (name.to_owned(), rev.to_owned());
        if let Some(known) = self.memo().commits.get(&key) {
            return Ok(known.clone());
        }
        let read = self.read_commit(name, rev).await?;
        let mut memo = self.memo();
        if memo.commits.len() >= COMMITS {
            memo.commits.clear();
        }
        memo.commits.insert(key, read.clone());
        Ok(read)
    }

    /// Something wrote to a mirror, or it is gone.
    pub(super) fn forget(&self, tree: &str) {
        let mut memo = self.memo();
        memo.names.remove(tree);
        memo.commits.retain(|(of, _), _| of != tree);
    }

    fn memo(&self) -> MutexGuard<'_, Memo> {
        self.memo.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
