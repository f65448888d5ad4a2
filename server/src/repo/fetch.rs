//! Making, refreshing and removing mirrors.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::git::{self, Bound};
use super::{RemoveOnDrop, RepoError, Repos, failed, is_tree_name};

/// A first clone of a kernel tree over a slow line.
const CLONE: Bound = Bound {
    time: Duration::from_secs(4 * 3600),
    bytes: 1 << 20,
};
/// The commit-graph of a million commits, without path filters.
const GRAPH: Bound = Bound {
    time: Duration::from_secs(300),
    bytes: 1 << 20,
};
/// Path filters: worth minutes, never hours. The next fetch goes on where this one stopped.
const FILTERS: Bound = Bound {
    time: Duration::from_secs(600),
    bytes: 1 << 20,
};
/// New path filters of one fetch.
const FILTERS_MAX: u32 = 100_000;
/// A lock file this old belongs to a git that died.
const STALE_LOCK: Duration = Duration::from_secs(15 * 60);

/// Cheap serving: deltas of the existing packs are reused, none is searched.
const SETTINGS: [(&str, &str); 6] = [
    ("uploadpack.allowAnySHA1InWant", "true"),
    ("pack.window", "0"),
    ("core.compression", "1"),
    ("gc.auto", "0"),
    ("maintenance.auto", "false"),
    ("fetch.unpackLimit", "1"),
];

impl Repos {
    /// Mirrors branches and tags of `url` as `name`: a clone the first time, then a fetch that prunes.
    ///
    /// `url` is `https://…` or an absolute path on this machine. A failed first
    /// clone leaves nothing; a failed later fetch leaves the mirror as it was.
    pub async fn fetch(&self, name: &str, url: &str) -> Result<(), RepoError> {
        let refuse = |why: &str| RepoError::Fetch {
            url: redacted(url),
            why: why.to_owned(),
        };
        if !is_tree_name(name) {
            return Err(refuse("the tree's name is not [a-z0-9][a-z0-9._-]{0,62}"));
        }
        let protocols = allowed_protocols(url).map_err(refuse)?;
        let _one = self.fetch_lock(name).await;
        let path = self.path(name);
        if path.join("objects").is_dir() {
            remove_stale_locks(&path).await;
            update(&path, url, protocols).await?;
        } else {
            self.clone_new(name, url, protocols).await?;
        }
        write_graph(&path).await;
        self.forget(name);
        Ok(())
    }

    /// Deletes the mirror of `name`; one that is not there is an error.
    pub async fn remove(&self, name: &str) -> Result<(), RepoError> {
        let _one = self.fetch_lock(name).await;
        let path = self.mirror(name)?;
        self.forget(name);
        // Out of sight first: a half-deleted mirror must not be read as a tree.
        let grave = self.scratch(name, "gone");
        tokio::fs::rename(&path, &grave)
            .await
            .map_err(|e| failed("cannot remove", &path, e))?;
        tokio::fs::remove_dir_all(&grave)
            .await
            .map_err(|e| failed("cannot delete", &grave, e))
    }

    async fn clone_new(&self, name: &str, url: &str, protocols: &str) -> Result<(), RepoError> {
        tokio::fs::create_dir_all(&self.dir)
            .await
            .map_err(|e| failed("cannot make", &self.dir, e))?;
        self.sweep(name).await;
        let fresh = self.scratch(name, "new");
        let guard = RemoveOnDrop(fresh.clone());
        let mut clone = git::command(None, protocols);
        clone.args(["clone", "--quiet", "--bare", "--reject-shallow"]);
        clone.args(["--template=", "--upload-pack", LOCAL_UPLOAD_PACK]);
        clone.args(["--end-of-options", url]).arg(&fresh);
        fetched(git::run(clone, None, CLONE).await, url)?;
        self.place(name, guard).await
    }

    /// Gives a new repository the settings of a mirror, and its place.
    pub(super) async fn place(&self, name: &str, fresh: RemoveOnDrop) -> Result<(), RepoError> {
        for (key, value) in SETTINGS {
            let mut config = git::read(&fresh.0);
            config.args(["config", key, value]);
            git::expect(config, None, Bound::QUICK).await?;
        }
        tokio::fs::rename(&fresh.0, self.path(name))
            .await
            .map_err(|e| failed("cannot place", &self.path(name), e))
    }

    pub(super) fn scratch(&self, name: &str, what: &str) -> PathBuf {
        self.dir
            .join(format!(".{what}-{name}-{}", uuid::Uuid::new_v4().simple()))
    }

    /// Removes what a killed server left of earlier clones and removals of this tree.
    async fn sweep(&self, name: &str) {
        let Ok(mut entries) = tokio::fs::read_dir(&self.dir).await else {
            return;
        };
        let left = [format!(".new-{name}-"), format!(".gone-{name}-")];
        while let Ok(Some(entry)) = entries.next_entry().await {
            let file = entry.file_name();
            let file = file.to_string_lossy();
            // 32 hex digits follow, so `a` never sweeps `a-b`.
            if left
                .iter()
                .any(|l| file.strip_prefix(l.as_str()).is_some_and(|r| r.len() == 32))
            {
                let _ = tokio::fs::remove_dir_all(entry.path()).await;
            }
        }
    }
}

/// A local source may belong to another user: the environment that says so does not
/// reach the other side of the pipe by itself. Unused for https.
const LOCAL_UPLOAD_PACK: &str = "git -c safe.directory=* upload-pack";

async fn update(path: &Path, url: &str, protocols: &str) -> Result<(), RepoError> {
    let mut fetch = git::command(Some(path), protocols);
    fetch.args(["fetch", "--quiet", "--prune", "--force", "--no-tags"]);
    fetch.args(["--no-write-fetch-head", "--no-recurse-submodules"]);
    fetch.args(["--no-auto-maintenance", "--upload-pack", LOCAL_UPLOAD_PACK]);
    fetch.args(["--end-of-options", url]);
    // Branches and tags only: no pull requests, stashes or replacement objects.
    fetch.args(["+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*"]);
    fetched(git::run(fetch, None, CLONE).await, url)
}

fn fetched(ended: Result<git::Output, RepoError>, url: &str) -> Result<(), RepoError> {
    let why = match ended {
        Ok(output) if output.status.success() => return Ok(()),
        Ok(output) => output.complaint(),
        Err(RepoError::Failed(why)) => why,
        Err(other) => return Err(other),
    };
    Err(RepoError::Fetch {
        url: redacted(url),
        why: why.replace(url, &redacted(url)),
    })
}

/// Only makes reading faster, so a failure is told and passed over.
async fn write_graph(path: &Path) {
    let mut plain = git::read(path);
    plain.args(["commit-graph", "write", "--reachable", "--split=replace"]);
    let mut filters = git::read(path);
    filters.args(["commit-graph", "write", "--reachable", "--split=replace"]);
    filters.arg("--changed-paths");
    filters.arg(format!("--max-new-filters={FILTERS_MAX}"));
    for (command, bound) in [(plain, GRAPH), (filters, FILTERS)] {
        if let Err(error) = git::expect(command, None, bound).await {
            tracing::warn!(tree = %path.display(), %error, "commit-graph not written");
            return;
        }
    }
}

/// The protocols git may use for `url`; redirects cannot leave them.
fn allowed_protocols(url: &str) -> Result<&'static str, &'static str> {
    if url.len() > 2000 || url.contains(|c: char| c.is_control() || c.is_whitespace()) {
        return Err("it contains a space or a control character, or is longer than 2,000 bytes");
    }
    if url.starts_with("https://") {
        return Ok("https");
    }
    if url.starts_with('/') {
        return Ok("file");
    }
    let loopback = url.strip_prefix("http://").is_some_and(|rest| {
        let host = rest.split('/').next().unwrap_or_default();
        let host = host.split(':').next().unwrap_or_default();
        matches!(host, "127.0.0.1" | "localhost")
    });
    if loopback {
        return Ok("http");
    }
    Err("only https:// and an absolute path on the server are accepted")
}

/// Without the user and password a URL may carry.
fn redacted(url: &str) -> String {
    match url.split_once("://") {
        Some((scheme, rest)) => {
            let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
            let host = host.rsplit('@').next().unwrap_or_default();
            format!("{scheme}://{host}{path}")
        }
        None => url.to_owned(),
    }
}

/// A git that was killed leaves lock files that would fail every later fetch.
async fn remove_stale_locks(path: &Path) {
    let mut dirs = vec![path.to_owned()];
    while let Some(dir) = dirs.pop() {
        let Ok(mut entries) = tokio::fs::read_dir(&dir).await else {
            continue;
        };
        while let Ok(Some(entry)) = entries.next_entry().await {
            let Ok(meta) = entry.metadata().await else {
                continue;
            };
            let name = entry.file_name();
            let name = name.to_string_lossy();
            if meta.is_dir() {
                // Object directories are many and hold no locks, except these.
                let inside_objects = dir.ends_with("objects");
                if !inside_objects || name == "info" {
                    dirs.push(entry.path());
                }
            } else if name.ends_with(".lock")
                && meta.modified().is_ok_and(|t| {
                    SystemTime::now()
                        .duration_since(t)
                        .is_ok_and(|d| d > STALE_LOCK)
                })
            {
                tracing::warn!(file = %entry.path().display(), "removing a lock that a killed git left");
                let _ = tokio::fs::remove_file(entry.path()).await;
            }
        }
    }
}
