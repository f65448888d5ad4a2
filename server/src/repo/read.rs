//! Reads inside the process, with git2: single objects and merge bases.
//!
//! Whatever walks much history or writes goes through the git program, which uses
//! the commit-graph.

use std::path::PathBuf;

use super::RepoError;

/// Runs `f` on a mirror on a thread where it may block.
pub async fn read<T: Send + 'static>(
    mirror: PathBuf,
    f: impl FnOnce(&git2::Repository) -> Result<T, git2::Error> + Send + 'static,
) -> Result<T, RepoError> {
    let wrong = |e: git2::Error| RepoError::Failed(format!("git: {}", e.message()));
    tokio::task::spawn_blocking(move || {
        let repo = git2::Repository::open_bare(mirror).map_err(wrong)?;
        f(&repo).map_err(wrong)
    })
    .await
    .map_err(|e| RepoError::Failed(e.to_string()))?
}
