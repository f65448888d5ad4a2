//! Where patches are tried: an index and new objects of its own, the mirror only read.
//!
//! Owns the rule what a patch may change. What is made here is gone with the value unless
//! [`Scratch::keep`] puts it into the mirror.

use std::path::{Path, PathBuf};

use firstbad_api::limits;
use tokio::process::Command;

use super::git::{self, Bound};
use super::{RemoveOnDrop, RepoError, Repos, failed};

/// A scratch directory beside the mirrors.
pub(super) struct Scratch {
    mirror: PathBuf,
    dir: RemoveOnDrop,
}

impl Scratch {
    pub async fn new(repos: &Repos, mirror: &Path) -> Result<Scratch, RepoError> {
        let name = format!(".patch-{}", uuid::Uuid::new_v4().simple());
        let path = repos.dir.join(name);
        tokio::fs::create_dir(&path)
            .await
            .map_err(|e| failed("cannot make", &path, e))?;
        Ok(Scratch {
            mirror: mirror.to_owned(),
            dir: RemoveOnDrop(path),
        })
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.dir.0.join(name)
    }

    /// A git that writes new objects here.
    pub fn command(&self) -> Command {
        let mut command = git::read(&self.mirror);
        command
            .env("GIT_INDEX_FILE", self.file("index"))
            .env("GIT_OBJECT_DIRECTORY", &self.dir.0)
            .env(
                "GIT_ALTERNATE_OBJECT_DIRECTORIES",
                self.mirror.join("objects"),
            );
        command
    }

    /// Begins with the files of a commit, given by its full id.
    pub async fn read_tree(&self, rev: &str) -> Result<(), RepoError> {
        let mut read = self.command();
        read.args(["read-tree", rev]);
        git::expect(read, None, Bound::QUICK).await.map(drop)
    }

    /// Applies a patch on top of those before it; the answer is the id of the tree.
    ///
    /// # Errors
    /// When it does not apply, or changes anything but plain text files: with its `index`.
    pub async fn apply(&self, index: usize, patch: &[u8], on: &str) -> Result<String, RepoError> {
        check_text(index, patch)?;
        let mut apply = self.command();
        apply.args(["apply", "--cached", "--whitespace=nowarn", "-"]);
        let output = git::run(apply, Some(patch), Bound::QUICK).await?;
        match output.code() {
            0 => {}
            1 => {
                let why = first_error(&output);
                return Err(RepoError::PatchDoesNotApply { index, why });
            }
            _ => return Err(bad(index, first_error(&output))),
        }
        let mut write = self.command();
        write.arg("write-tree");
        let tree = git::expect(write, None, Bound::QUICK).await?;
        let tree = String::from_utf8_lossy(&tree).trim().to_owned();
        self.check_changes(index, on, &tree).await?;
        Ok(tree)
    }

    /// Looks at what the patch did rather than at what it says.
    async fn check_changes(&self, index: usize, old: &str, new: &str) -> Result<(), RepoError> {
        let mut diff = self.command();
        diff.args(["diff-tree", "-r", "--raw", "-z", "--no-renames", old, new]);
        let raw = git::expect(diff, None, Bound::WALK).await?;
        let raw = String::from_utf8_lossy(&raw);
        let mut fields = raw.split('\0');
        while let (Some(modes), Some(path)) = (fields.next(), fields.next()) {
            let plain = |m: &str| matches!(m, "000000" | "100644" | "100755");
            if !modes.trim_start_matches(':').split(' ').take(2).all(plain) {
                return Err(bad(index, format!("{path} is not a plain file")));
            }
            if path.split('/').any(|p| p.eq_ignore_ascii_case(".git")) {
                return Err(bad(index, format!("{path} lies in a .git directory")));
            }
        }
        Ok(())
    }

    /// Puts the commits after `base` up to `tip` into the mirror, under a reference.
    pub async fn keep(&self, base: &str, tip: &str, reference: &str) -> Result<(), RepoError> {
        let mut pack = self.command();
        pack.args(["pack-objects", "--quiet", "--revs"])
            .arg(self.mirror.join("objects/pack/pack"));
        let revs = format!("{tip}\n^{base}\n");
        git::expect(pack, Some(revs.as_bytes()), Bound::WALK).await?;
        let mut name = git::read(&self.mirror);
        name.args(["update-ref", reference, tip]);
        git::expect(name, None, Bound::QUICK).await.map(drop)
    }
}

fn check_text(index: usize, patch: &[u8]) -> Result<(), RepoError> {
    if patch.contains(&0) {
        return Err(bad(index, "it contains a NUL byte"));
    }
    let binary = |l: &[u8]| {
        l.starts_with(b"GIT binary patch")
            || (l.starts_with(b"Binary files ") && l.trim_ascii_end().ends_with(b" differ"))
    };
    if patch.split(|b| *b == b'\n').any(binary) {
        return Err(bad(index, "it changes a binary file"));
    }
    Ok(())
}

/// Patches hold at most so many bytes.
pub(super) fn check_bytes(index: usize, bytes: usize) -> Result<(), RepoError> {
    if bytes > limits::PATCH_BYTES {
        let why = format!("the patches hold more than {} bytes", limits::PATCH_BYTES);
        return Err(bad(index, why));
    }
    Ok(())
}

/// The first complaint names the file and line; the later ones follow from it.
fn first_error(output: &git::Output) -> String {
    output
        .stderr
        .lines()
        .find_map(|l| l.strip_prefix("error: "))
        .map_or_else(|| output.complaint(), |l| l.chars().take(300).collect())
}

pub(super) fn bad(index: usize, why: impl Into<String>) -> RepoError {
    RepoError::BadPatch {
        index,
        why: why.into(),
    }
}
