//! The worker's directory: its layout, its lock, what may be thrown away.
//!
//! Owns the names below [`Dirs::root`]. Everything here is a cache except
//! `spool/`, which holds finished work the server has not taken yet. `id` is who
//! this worker is: without it, it comes back as another one.

use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use uuid::Uuid;

use crate::error::{Context, InfraError};
use crate::sandbox::Sandbox;

/// Below this many free bytes what failed is blamed on the disk.
pub const DISK_FULL: u64 = 64 << 20;
/// Object directories kept, most recently used first.
const OBJECT_DIRS_KEPT: usize = 6;
/// Kernel images kept, most recently used first.
const IMAGES_KEPT: usize = 64;
/// Revisions of fstests kept, most recently used first.
const FSTESTS_KEPT: usize = 4;

/// The layout of a worker's directory.
#[derive(Debug, Clone)]
pub struct Dirs {
    root: PathBuf,
}

/// Held while a worker uses the directory; two cannot.
#[derive(Debug)]
pub struct DirLock {
    _file: File,
}

impl Dirs {
    /// Makes the directory if need be, locks it and sweeps what an earlier process left behind.
    pub fn open(root: &Path) -> Result<(Dirs, DirLock), InfraError> {
        let say = |what: &str| format!("worker directory {}: {what}", root.display());
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(root)
            .context(say("cannot make it"))?;
        let root = root.canonicalize().context(say("cannot resolve it"))?;
        let file = File::create(root.join("lock")).context(say("cannot make its lock file"))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(InfraError::Failed(say(
                    "another worker uses it; give this one a directory of its own",
                )));
            }
            Err(TryLockError::Error(why)) => return Err(InfraError::failed(say("lock"), why)),
        }
        let dirs = Dirs { root };
        for name in [
            "trees", "src", "build", "ccache", "fstests", "images", "spool", "scratch",
        ] {
            fs::create_dir_all(dirs.root.join(name)).context(say("cannot fill it"))?;
        }
        dirs.sweep_scratch();
        Ok((dirs, DirLock { _file: file }))
    }

    pub fn root(&self) -> &Path {
        &self.root
    }
    /// The identity of the worker that uses this directory, kept over restarts: the server
    /// then knows at once that the leases of its earlier process are lost.
    pub fn worker_id(&self) -> Result<Uuid, InfraError> {
        let path = self.root.join("id");
        if let Some(id) = fs::read_to_string(&path)
            .ok()
            .and_then(|text| Uuid::parse_str(text.trim()).ok())
        {
            return Ok(id);
        }
        let id = Uuid::new_v4();
        let new = self.root.join("id.new");
        fs::write(&new, format!("{id}\n"))
            .and_then(|()| fs::rename(&new, &path))
            .context("cannot store the worker's identity")?;
        Ok(id)
    }
    /// Bare mirror of a tree.
    pub fn mirror(&self, tree: &str) -> PathBuf {
        self.root.join("trees").join(format!("{tree}.git"))
    }
    /// Checked-out source of a tree.
    pub fn source(&self, tree: &str) -> PathBuf {
        self.root.join("src").join(tree)
    }
    /// Checked-out source of the revision whose selftests every candidate of a tree gets.
    pub fn pinned(&self, tree: &str) -> PathBuf {
        self.root.join("selftests").join(tree)
    }
    /// What was built of fstests, by its revision.
    pub fn fstests(&self) -> PathBuf {
        self.root.join("fstests")
    }
    /// Object directories of one tree, configuration and toolchain.
    pub fn objects(&self, key: &str) -> PathBuf {
        self.root.join("build").join(key)
    }
    /// Compiler cache of a tree; not shared, so that one tree cannot poison another.
    pub fn ccache(&self, tree: &str) -> PathBuf {
        self.root.join("ccache").join(tree)
    }
    /// Kernel images by SHA-256.
    pub fn images(&self) -> PathBuf {
        self.root.join("images")
    }
    /// Finish requests the server has not taken yet.
    pub fn spool(&self) -> PathBuf {
        self.root.join("spool")
    }
    /// Files of one lease.
    pub fn scratch(&self, attempt: i64, epoch: i32) -> PathBuf {
        self.root.join("scratch").join(format!("{attempt}-{epoch}"))
    }

    /// Takes the right to measure real time on this host, among the workers whose directories lie
    /// beside this one; `None` while another has it. It is given back when the file is dropped.
    pub fn measuring(&self) -> Result<Option<File>, InfraError> {
        let path = self.root.with_file_name("firstbad-measuring.lock");
        // Whoever could read it could hold it.
        let file = File::options()
            .create(true)
            .append(true)
            .mode(0o600)
            .open(&path)
            .context(format!("cannot make {}", path.display()))?;
        match file.try_lock() {
            Ok(()) => Ok(Some(file)),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(why)) => Err(InfraError::failed("cannot lock it", why)),
        }
    }

    /// Free bytes for unprivileged users on the file system of the directory.
    pub fn free_bytes(&self) -> Result<u64, InfraError> {
        free_bytes(&self.root)
    }

    /// Throws away the least recently used object directories and images.
    pub fn prune(&self) {
        keep_newest(&self.root.join("build"), OBJECT_DIRS_KEPT);
        keep_newest(&self.images(), IMAGES_KEPT);
        keep_newest(&self.fstests(), FSTESTS_KEPT);
    }

    /// Throws away every object directory and image: the disk is nearly full.
    pub fn prune_all(&self) {
        keep_newest(&self.root.join("build"), 0);
        keep_newest(&self.images(), 0);
        keep_newest(&self.fstests(), 0);
    }

    fn sweep_scratch(&self) {
        keep_newest(&self.root.join("scratch"), 0);
    }
}

/// Free bytes for unprivileged users on the file system of `path`.
pub fn free_bytes(path: &Path) -> Result<u64, InfraError> {
    let stat = rustix::fs::statvfs(path).context("free space of the worker directory")?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}

/// Makes a directory that only the sandbox (and the worker) may use.
pub fn sandbox_dir(sandbox: &Sandbox, path: &Path) -> Result<(), InfraError> {
    fs::create_dir_all(path)
        .and_then(|()| fs::set_permissions(path, fs::Permissions::from_mode(0o755)))
        .and_then(|()| sandbox.own(path))
        .context(format!("cannot make {}", path.display()))
}

/// Removes a directory and everything in it; absent is fine.
pub fn remove_dir(path: &Path) -> Result<(), InfraError> {
    let removed = match fs::remove_dir_all(path) {
        // A stranger's program may have closed its directories to their owner.
        Err(e) if e.kind() == io::ErrorKind::PermissionDenied => {
            unlock(path);
            fs::remove_dir_all(path)
        }
        done => done,
    };
    match removed {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(InfraError::failed(
            format!("cannot remove {}", path.display()),
            e,
        )),
        _ => Ok(()),
    }
}

/// Makes every directory below `path` usable by its owner; links are not followed.
fn unlock(path: &Path) {
    if !fs::symlink_metadata(path).is_ok_and(|m| m.is_dir()) {
        return;
    }
    // What cannot be opened cannot be removed either: the caller reports that.
    let _refused = fs::set_permissions(path, fs::Permissions::from_mode(0o700));
    for entry in fs::read_dir(path).into_iter().flatten().flatten() {
        unlock(&entry.path());
    }
}

fn keep_newest(dir: &Path, keep: usize) {
    let Ok(entries) = fs::read_dir(dir) else {
        return;
    };
    let mut found: Vec<(SystemTime, PathBuf)> = entries
        .filter_map(Result::ok)
        .map(|e| {
            let modified = e.metadata().and_then(|m| m.modified());
            (modified.unwrap_or(SystemTime::UNIX_EPOCH), e.path())
        })
        .collect();
    found.sort_by(|a, b| b.cmp(a));
    for (_, path) in found.into_iter().skip(keep) {
        let gone = match fs::symlink_metadata(&path) {
            Ok(m) if m.is_dir() => remove_dir(&path),
            _ => fs::remove_file(&path).context("cannot remove a file"),
        };
        if let Err(why) = gone {
            tracing::warn!(path = %path.display(), %why, "cannot remove a left-over");
        }
    }
}

/// A file that stands while a directory is in an undefined state.
///
/// A killed `make` leaves half-written objects that look finished, a killed
/// checkout leaves files git does not know. Whoever finds the mark starts over.
pub struct DirtyMark {
    path: PathBuf,
}

impl DirtyMark {
    /// Sets the mark on disk; true when it was already there.
    pub fn set(path: PathBuf) -> Result<(DirtyMark, bool), InfraError> {
        let was = path.exists();
        File::create(&path)
            .and_then(|f| f.sync_all())
            .context(format!("cannot write {}", path.display()))?;
        Ok((DirtyMark { path }, was))
    }

    /// The directory is whole again.
    pub fn clear(self) -> Result<(), InfraError> {
        fs::remove_file(&self.path).context(format!("cannot remove {}", self.path.display()))
    }
}
