//! Whether patches apply, without touching the mirror.

use std::path::Path;

use firstbad_api::limits;

use super::git::{self, Bound};
use super::{RepoError, Repos, failed, full_id};

impl Repos {
    /// Whether the patches (plain diffs or mails), in order, apply to the commit `rev`
    /// and change nothing but plain text files.
    pub async fn check_patches(
        &self,
        name: &str,
        rev: &str,
        patches: &[String],
    ) -> Result<(), RepoError> {
        let mirror = self.mirror(name)?;
        let rev = full_id(rev)?;
        if patches.is_empty() {
            return Ok(());
        }
        check_shape(patches)?;
        let scratch = self.patch_scratch().await?;
        let answer = try_patches(&mirror, &scratch, rev, patches).await;
        let _ = tokio::fs::remove_dir_all(&scratch).await;
        answer
    }

    async fn patch_scratch(&self) -> Result<std::path::PathBuf, RepoError> {
        let path = self
            .dir
            .join(format!(".patch-{}", uuid::Uuid::new_v4().simple()));
        tokio::fs::create_dir(&path)
            .await
            .map_err(|e| failed("cannot make", &path, e))?;
        Ok(path)
    }
}

fn check_shape(patches: &[String]) -> Result<(), RepoError> {
    if patches.len() > limits::PATCH_COUNT {
        return Err(bad(
            limits::PATCH_COUNT,
            format!("more than {} patches", limits::PATCH_COUNT),
        ));
    }
    let mut bytes = 0;
    for (index, patch) in patches.iter().enumerate() {
        bytes += patch.len();
        if bytes > limits::PATCH_BYTES {
            let why = format!("the patches hold more than {} bytes", limits::PATCH_BYTES);
            return Err(bad(index, why));
        }
        if patch.contains('\0') {
            return Err(bad(index, "it contains a NUL byte"));
        }
        let binary = |l: &str| {
            l.starts_with("GIT binary patch")
                || (l.starts_with("Binary files ") && l.trim_end().ends_with(" differ"))
        };
        if patch.lines().any(binary) {
            return Err(bad(index, "it changes a binary file"));
        }
    }
    Ok(())
}

/// New blobs go to `scratch`, the mirror's objects are only read.
fn command(mirror: &Path, scratch: &Path) -> tokio::process::Command {
    let mut command = git::read(mirror);
    command
        .env("GIT_INDEX_FILE", scratch.join("index"))
        .env("GIT_OBJECT_DIRECTORY", scratch)
        .env("GIT_ALTERNATE_OBJECT_DIRECTORIES", mirror.join("objects"));
    command
}

async fn try_patches(
    mirror: &Path,
    scratch: &Path,
    rev: &str,
    patches: &[String],
) -> Result<(), RepoError> {
    let mut read = command(mirror, scratch);
    read.args(["read-tree", rev]);
    git::expect(read, None, Bound::QUICK).await?;
    for (index, patch) in patches.iter().enumerate() {
        let mut apply = command(mirror, scratch);
        apply.args(["apply", "--cached", "--whitespace=nowarn", "-"]);
        let output = git::run(apply, Some(patch.as_bytes()), Bound::QUICK).await?;
        match output.code() {
            0 => {}
            1 => {
                let why = first_error(&output);
                return Err(RepoError::PatchDoesNotApply { index, why });
            }
            _ => return Err(bad(index, first_error(&output))),
        }
        check_result(mirror, scratch, rev, index).await?;
    }
    Ok(())
}

/// Looks at what the patch did rather than at what it says.
async fn check_result(
    mirror: &Path,
    scratch: &Path,
    rev: &str,
    index: usize,
) -> Result<(), RepoError> {
    let mut diff = command(mirror, scratch);
    diff.args(["diff-index", "--cached", "--raw", "-z", "--no-renames", rev]);
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

/// The first complaint names the file and line; the later ones follow from it.
fn first_error(output: &git::Output) -> String {
    output
        .stderr
        .lines()
        .find_map(|l| l.strip_prefix("error: "))
        .map_or_else(|| output.complaint(), |l| l.chars().take(300).collect())
}

fn bad(index: usize, why: impl Into<String>) -> RepoError {
    RepoError::BadPatch {
        index,
        why: why.into(),
    }
}
