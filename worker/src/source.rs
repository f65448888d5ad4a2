//! Puts the source of one candidate on disk.
//!
//! Owns, per tree, a bare mirror that grows by one shallow fetch per commit and
//! one work tree that is switched from candidate to candidate: files that do
//! not change keep their time stamps, so that `make` stays incremental. Must
//! not know how a kernel is built. Nothing of the tree is executed here.

use std::fs;
use std::path::{Path, PathBuf};

use crate::client::Client;
use crate::dirs::{Dirs, DirtyMark};
use crate::error::{Context, InfraError};
use crate::git::Git;
use crate::process::Until;
use firstbad_api::lease::BuildWork;

/// How preparing a candidate's source ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// The directory that holds it.
    Ready(PathBuf),
    /// The fix-ups cannot be applied to this revision: a fact about the revision.
    Unpatchable(String),
}

/// Fetches and checks out what `work` asks for.
pub async fn prepare(
    dirs: &Dirs,
    client: &Client,
    work: &BuildWork,
    until: &Until,
) -> Result<Source, InfraError> {
    check_names(work)?;
    let tree = dirs.source(&work.tree);
    fs::create_dir_all(&tree).context("cannot make the source directory")?;
    let git = mirrored(dirs, client, (&work.tree, &work.rev), &tree, until).await?;
    let commit = match apply(&git, dirs, work, until).await? {
        Ok(commit) => commit,
        Err(why) => return Ok(Source::Unpatchable(why)),
    };
    checkout(&git, dirs, &work.tree, &commit, until).await?;
    Ok(Source::Ready(tree))
}

/// Checks a revision out for its tests alone; it stays until another one is asked for.
pub async fn pinned(
    dirs: &Dirs,
    client: &Client,
    (tree, rev): (&str, &str),
    until: &Until,
) -> Result<PathBuf, InfraError> {
    check_tree(tree)?;
    check_id(rev)?;
    let dir = dirs.pinned(tree);
    let (source, whole) = (dir.join("source"), dir.join("whole"));
    if fs::read_to_string(&whole).is_ok_and(|there| there == rev) {
        return Ok(source);
    }
    crate::dirs::remove_dir(&dir)?;
    fs::create_dir_all(&source).context("cannot make the directory of the selftests' source")?;
    let git = mirrored(dirs, client, (tree, rev), &source, until).await?;
    let git = git.with_index(&dir.join("index"));
    git.run(&["read-tree", rev], until).await?;
    git.run(&["checkout-index", "--all", "--force", "--quiet"], until)
        .await?;
    fs::write(&whole, rev).context("cannot note the selftests' source")?;
    Ok(source)
}

/// The mirror of a tree with a revision in it, and `source` as its work tree.
async fn mirrored(
    dirs: &Dirs,
    client: &Client,
    (tree, rev): (&str, &str),
    source: &Path,
    until: &Until,
) -> Result<Git, InfraError> {
    let mirror = dirs.mirror(tree);
    let git = Git::new(&mirror, source, client.token());
    if !mirror.join("HEAD").exists() {
        crate::dirs::remove_dir(&mirror)?;
        git.run(&["init", "--quiet"], until).await?;
    }
    // We hold the directory's lock: these belong to nobody.
    for stale in ["index.lock", "HEAD.lock", "shallow.lock"] {
        let _absent = fs::remove_file(mirror.join(stale));
    }
    fetch(&git, &client.git_url(tree), rev, until).await?;
    Ok(git)
}

/// The server checks these too; here they become paths and arguments.
fn check_names(work: &BuildWork) -> Result<(), InfraError> {
    check_tree(&work.tree)?;
    check_id(&work.rev)
}

fn check_tree(name: &str) -> Result<(), InfraError> {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-".contains(&b);
    let name_ok = !name.is_empty()
        && name.len() <= 63
        && !name.starts_with(['.', '-'])
        && name.bytes().all(plain);
    match name_ok {
        true => Ok(()),
        false => Err(InfraError::Failed(
            "the server sent an impossible tree name".to_owned(),
        )),
    }
}

/// Refuses what is no full commit id.
pub(crate) fn check_id(rev: &str) -> Result<(), InfraError> {
    match matches!(rev.len(), 40 | 64) && rev.bytes().all(|b| b.is_ascii_hexdigit()) {
        true => Ok(()),
        false => Err(InfraError::Failed(
            "the server sent an impossible commit id".to_owned(),
        )),
    }
}

async fn fetch(git: &Git, url: &str, rev: &str, until: &Until) -> Result<(), InfraError> {
    let commit = format!("{rev}^{{tree}}");
    let have = git
        .run(
            &[
                "rev-parse",
                "--quiet",
                "--verify",
                "--end-of-options",
                &commit,
            ],
            until,
        )
        .await;
    match have {
        Ok(_) => return Ok(()),
        Err(InfraError::Cancelled) => return Err(InfraError::Cancelled),
        Err(_) => {}
    }
    let spec = format!("{rev}:refs/firstbad/{rev}");
    git.run(
        &[
            "fetch",
            "--quiet",
            "--depth=1",
            "--no-tags",
            "--no-write-fetch-head",
            "--no-recurse-submodules",
            "--end-of-options",
            url,
            &spec,
        ],
        until,
    )
    .await
    .map(drop)
}

/// The commit to check out: the revision, or a commit with the fix-ups on top of it.
async fn apply(
    git: &Git,
    dirs: &Dirs,
    work: &BuildWork,
    until: &Until,
) -> Result<Result<String, String>, InfraError> {
    if work.fixups.is_empty() {
        return Ok(Ok(work.rev.clone()));
    }
    let index = dirs.mirror(&work.tree).join("fixup-index");
    for stale in [index.clone(), index.with_extension("lock")] {
        let _absent = fs::remove_file(stale);
    }
    let scratch = git.with_index(&index);
    scratch.run(&["read-tree", &work.rev], until).await?;
    for (n, patch) in work.fixups.iter().enumerate() {
        let args = ["apply", "--cached", "--whitespace=nowarn", "-"];
        if let Err(said) = scratch.feed(&args, patch.as_bytes(), until).await? {
            let why = said.lines().next().unwrap_or("no reason given");
            return Ok(Err(format!("fix-up {} does not apply: {why}", n + 1)));
        }
    }
    let tree = scratch.run(&["write-tree"], until).await?.trim().to_owned();
    let changes = scratch
        .run(
            &["diff-tree", "-r", "-z", "--no-renames", &work.rev, &tree],
            until,
        )
        .await?;
    if let Some(mode) = forbidden_mode(&changes) {
        return Ok(Err(format!(
            "a fix-up makes a file of mode {mode}; only plain files are allowed"
        )));
    }
    let message = "fix-ups";
    let args = ["commit-tree", "-p", &work.rev, "-m", message, &tree];
    Ok(Ok(scratch.run(&args, until).await?.trim().to_owned()))
}

/// The first new mode in raw `diff-tree -z` output that is not a plain file's (or a removal).
fn forbidden_mode(raw: &str) -> Option<&str> {
    raw.split('\0')
        .filter_map(|field| field.strip_prefix(':'))
        .filter_map(|field| field.split(' ').nth(1))
        .find(|mode| !["100644", "100755", "000000"].contains(mode))
}

async fn checkout(
    git: &Git,
    dirs: &Dirs,
    tree: &str,
    commit: &str,
    until: &Until,
) -> Result<(), InfraError> {
    let (mark, was_dirty) = DirtyMark::set(dirs.mirror(tree).join("firstbad-dirty"))?;
    git.run(
        &["checkout", "--quiet", "--detach", "--force", commit],
        until,
    )
    .await?;
    if was_dirty {
        git.run(&["clean", "--quiet", "-ffdx"], until).await?;
    }
    mark.clear()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn symlinks_and_submodules_are_seen() {
        let plain = ":100644 100755 a b M\0f\0:100644 000000 a b D\0g\0";
        assert_eq!(forbidden_mode(plain), None);
        let link = format!("{plain}:000000 120000 a b A\0h\0");
        assert_eq!(forbidden_mode(&link), Some("120000"));
        assert_eq!(
            forbidden_mode(":000000 160000 a b A\0sub\0"),
            Some("160000")
        );
    }

    #[test]
    fn names_that_would_leave_the_directory_are_refused() {
        let work = |tree: &str, rev: &str| BuildWork {
            tree: tree.to_owned(),
            rev: rev.to_owned(),
            config: firstbad_api::lease::ConfigRequest {
                base: firstbad_api::lease::ConfigBase::Tinyconfig,
                fragments: vec![],
            },
            fixups: vec![],
            packaged: None,
            kselftest: vec![],
            kselftest_rev: None,
            fstests: None,
            deadline_s: 1,
        };
        let id = "0123456789012345678901234567890123456789";
        assert!(check_names(&work("linux-6.12", id)).is_ok());
        for (tree, rev) in [
            ("../x", id),
            ("", id),
            ("a/b", id),
            (".git", id),
            ("a", "--upload-pack=x"),
            ("a", "HEAD"),
        ] {
            assert!(check_names(&work(tree, rev)).is_err(), "{tree} {rev}");
        }
    }
}
