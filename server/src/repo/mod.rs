//! Mirrors of kernel trees: the only module that runs git on the server.
//!
//! Owns `<data>/trees/<name>.git`, what is read from them and the hardening of
//! every git call. Must not know: Postgres, HTTP, jobs.
//! Sources, names, references and patches are hostile: full ids are checked by
//! shape, everything else reaches git through its standard input.

mod changes;
mod commit;
mod configs;
mod fetch;
mod git;
mod kconfig;
mod memo;
mod patches;
mod range;
mod read;
mod refs;
mod releases;
mod scratch;
mod series;
mod touched;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

pub use changes::Message;
pub use commit::{CommitInfo, FileStat};
pub use memo::Names;
pub use range::RangeCommit;
pub use refs::{RefInfo, Release};
pub use releases::Described;
pub use series::Series;

/// Why a tree could not be read or written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RepoError {
    #[error("no such tree is mirrored here")]
    NotFound,
    #[error("the tree has no tag, branch or commit named {reference:?}")]
    UnknownRef { reference: String },
    #[error("{reference:?} is not a usable reference: {why}")]
    BadRef { reference: String, why: String },
    #[error("{url:?} cannot be fetched: {why}")]
    Fetch { url: String, why: String },
    #[error("patch {} does not apply: {why}", index + 1)]
    PatchDoesNotApply { index: usize, why: String },
    #[error("patch {} is not acceptable: {why}", index + 1)]
    BadPatch { index: usize, why: String },
    /// The archive of a release holds what no tree can.
    #[error("{0}")]
    BadArchive(String),
    /// Our failure, not the request's.
    #[error("{0}")]
    Failed(String),
}

/// Who commits what this server writes.
const OUR_NAME: &str = "firstbad";
const OUR_MAIL: &str = "firstbad@localhost";

/// All mirrors; cheap to clone.
#[derive(Debug, Clone)]
pub struct Repos {
    dir: PathBuf,
    /// One fetch per tree at a time.
    fetching: Arc<Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>>,
    memo: Arc<Mutex<memo::Memo>>,
}

impl Repos {
    /// Mirrors kept in `dir`, which is made by the first fetch.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self {
            dir: dir.into(),
            fetching: Arc::default(),
            memo: Arc::default(),
        }
    }

    /// Where the mirror of `name` is, whether it exists or not.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.join(format!("{name}.git"))
    }

    /// The mirror of `name`, which exists.
    pub(crate) fn mirror(&self, name: &str) -> Result<PathBuf, RepoError> {
        let path = self.path(name);
        if is_tree_name(name) && path.join("objects").is_dir() {
            Ok(path)
        } else {
            Err(RepoError::NotFound)
        }
    }

    /// `git upload-pack` on a mirror, read-only and hardened, for the HTTP side.
    pub(crate) fn upload_pack(
        &self,
        name: &str,
        args: &[&str],
        protocol: Option<&str>,
    ) -> Result<tokio::process::Command, RepoError> {
        let path = self.mirror(name)?;
        let mut command = git::command(None, "https:file");
        command.arg("upload-pack").args(args).arg(&path);
        if let Some(protocol) = protocol {
            command.env("GIT_PROTOCOL", protocol);
        }
        Ok(command)
    }

    async fn fetch_lock(&self, name: &str) -> tokio::sync::OwnedMutexGuard<()> {
        let lock = self
            .fetching
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .entry(name.to_owned())
            .or_default()
            .clone();
        lock.lock_owned().await
    }
}

/// `[a-z0-9][a-z0-9._-]{0,62}`, not ending in `.git` or `.`.
fn is_tree_name(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    (1..=63).contains(&name.len())
        && name.bytes().next().is_some_and(plain)
        && name.bytes().all(|b| plain(b) || b"._-".contains(&b))
        && !name.ends_with(".git")
        && !name.contains("..")
}

/// A full object id: the only thing that reaches git as an argument.
fn is_full_id(text: &str) -> bool {
    matches!(text.len(), 40 | 64)
        && text
            .bytes()
            .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

fn full_id(text: &str) -> Result<&str, RepoError> {
    if is_full_id(text) {
        Ok(text)
    } else {
        Err(RepoError::BadRef {
            reference: text.chars().take(80).collect(),
            why: "a full commit id is wanted here".to_owned(),
        })
    }
}

fn failed(what: &str, path: &Path, why: impl std::fmt::Display) -> RepoError {
    RepoError::Failed(format!("{what} {}: {why}", path.display()))
}

/// Deletes a directory unless it was renamed away before.
struct RemoveOnDrop(PathBuf);

impl Drop for RemoveOnDrop {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
