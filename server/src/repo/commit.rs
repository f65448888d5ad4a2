//! One commit: its facts, files and diff.

use std::collections::BTreeSet;

use super::git::{self, Bound};
use super::read::read;
use super::{OUR_MAIL, RepoError, Repos, full_id};

/// What a commit says and touches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitInfo {
    pub rev: String,
    pub subject: String,
    /// `Name <mail>`.
    pub author: String,
    /// Written by this server: no other repository has it.
    pub ours: bool,
    /// Commit time, unix seconds.
    pub when: i64,
    /// The message after the subject.
    pub body: String,
    pub parents: Vec<String>,
    /// Against the first parent, at most 1,000.
    pub files: Vec<FileStat>,
}

/// Lines changed in one file; none for a binary one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileStat {
    pub path: String,
    pub added: Option<u32>,
    pub removed: Option<u32>,
}

const FILES: usize = 1000;

impl Repos {
    /// Id of the source tree of a commit, given by its full id.
    pub async fn tree_oid(&self, name: &str, rev: &str) -> Result<String, RepoError> {
        let id = full_id(rev)?.to_owned();
        read(self.mirror(name)?, move |repo| {
            let commit = repo.find_commit(git2::Oid::from_str(&id)?)?;
            Ok(commit.tree_id().to_string())
        })
        .await
    }

    /// Whether a commit, given by its full id, has a plain file at this path.
    pub async fn has_file(&self, name: &str, rev: &str, path: &str) -> Result<bool, RepoError> {
        let (id, path) = (full_id(rev)?.to_owned(), path.to_owned());
        let plain = |part: &str| !part.is_empty() && part != "." && part != "..";
        if !path.split('/').all(plain) || path.contains(char::is_control) {
            return Ok(false);
        }
        read(self.mirror(name)?, move |repo| {
            let tree = repo.find_commit(git2::Oid::from_str(&id)?)?.tree()?;
            let entry = tree.get_path(std::path::Path::new(&path));
            Ok(entry.is_ok_and(|e| matches!(e.filemode(), 0o100_644 | 0o100_755)))
        })
        .await
    }

    /// A plain file of a commit, given by its full id; `None` when it has none there, or one that is
    /// longer than `bytes`. What is not UTF-8 is replaced.
    pub async fn text(
        &self,
        name: &str,
        rev: &str,
        path: &str,
        bytes: usize,
    ) -> Result<Option<String>, RepoError> {
        let (id, path) = (full_id(rev)?.to_owned(), path.to_owned());
        read(self.mirror(name)?, move |repo| {
            let tree = repo.find_commit(git2::Oid::from_str(&id)?)?.tree()?;
            let Ok(entry) = tree.get_path(std::path::Path::new(&path)) else {
                return Ok(None);
            };
            if !matches!(entry.filemode(), 0o100_644 | 0o100_755) {
                return Ok(None);
            }
            let blob = repo.find_blob(entry.id())?;
            let fits = blob.size() <= bytes;
            Ok(fits.then(|| String::from_utf8_lossy(blob.content()).into_owned()))
        })
        .await
    }

    /// The first digits of a full id, at least so many, that no other object has.
    pub async fn abbreviated(
        &self,
        name: &str,
        rev: &str,
        digits: usize,
    ) -> Result<String, RepoError> {
        let id = full_id(rev)?.to_owned();
        read(self.mirror(name)?, move |repo| {
            let odb = repo.odb()?;
            let alone = |n: &usize| {
                let short = id.get(..*n).and_then(|s| git2::Oid::from_str(s).ok());
                short.is_some_and(|short| odb.exists_prefix(short, *n).is_ok())
            };
            let enough = (digits..id.len()).find(alone).unwrap_or(id.len());
            Ok(id.get(..enough).unwrap_or(&id).to_owned())
        })
        .await
    }

    /// The plain files of folders of a commit, given by its full id: path, and the beginning of the
    /// content of at most `bytes`. A folder that is not there has none.
    pub async fn heads(
        &self,
        name: &str,
        rev: &str,
        folders: &[String],
        bytes: usize,
    ) -> Result<Vec<(String, String)>, RepoError> {
        let (id, folders) = (full_id(rev)?.to_owned(), folders.to_vec());
        read(self.mirror(name)?, move |repo| {
            let tree = repo.find_commit(git2::Oid::from_str(&id)?)?.tree()?;
            let mut heads = Vec::new();
            for folder in folders {
                let Ok(entry) = tree.get_path(std::path::Path::new(&folder)) else {
                    continue;
                };
                let Ok(inside) = repo.find_tree(entry.id()) else {
                    continue;
                };
                for entry in &inside {
                    let plain = matches!(entry.filemode(), 0o100_644 | 0o100_755);
                    if let (true, Ok(file)) = (plain, entry.name()) {
                        let blob = repo.find_blob(entry.id())?;
                        let head = &blob.content()[..blob.size().min(bytes)];
                        let text = String::from_utf8_lossy(head).into_owned();
                        heads.push((format!("{folder}/{file}"), text));
                    }
                }
            }
            Ok(heads)
        })
        .await
    }

    /// The first line of a commit, given by its full id.
    pub async fn subject(&self, name: &str, rev: &str) -> Result<String, RepoError> {
        let id = full_id(rev)?.to_owned();
        read(self.mirror(name)?, move |repo| {
            let commit = repo.find_commit(git2::Oid::from_str(&id)?)?;
            let subject = commit.summary_bytes().unwrap_or_default();
            Ok(String::from_utf8_lossy(subject).into_owned())
        })
        .await
    }

    pub(super) async fn read_commit(&self, name: &str, rev: &str) -> Result<CommitInfo, RepoError> {
        let path = self.mirror(name)?;
        let text = show(&path, rev, "%P%x00%ct%x00%ce%x00%an <%ae>%x00%s%x00%b").await?;
        let mut fields = text.splitn(6, '\0').map(str::to_owned);
        let mut next = || fields.next().unwrap_or_default();
        let (parents, when, committer, author) = (next(), next(), next(), next());
        let (subject, body) = (next(), next());
        let mut diff = git::read(&path);
        diff.args(["diff-tree", "-z", "-r", "--root", "--numstat"])
            .args(["--no-ext-diff", "--no-textconv", "--no-renames"])
            .args(["--no-commit-id", "--diff-merges=first-parent"])
            .args(["--end-of-options", full_id(rev)?]);
        let stat = git::expect(diff, None, Bound::WALK).await?;
        Ok(CommitInfo {
            rev: rev.to_owned(),
            subject,
            author,
            ours: committer == OUR_MAIL,
            when: when.parse().unwrap_or(0),
            body: body.trim_end().to_owned(),
            parents: parents.split_whitespace().map(str::to_owned).collect(),
            files: String::from_utf8_lossy(&stat)
                .split('\0')
                .filter_map(parse_stat)
                .take(FILES)
                .collect(),
        })
    }

    /// What differs between the sources of two commits, given by their full ids.
    pub async fn stat(&self, name: &str, old: &str, new: &str) -> Result<Vec<FileStat>, RepoError> {
        let mut diff = git::read(&self.mirror(name)?);
        diff.args(["diff-tree", "-z", "-r", "--numstat", "--no-renames"])
            .args(["--no-ext-diff", "--no-textconv", "--end-of-options"])
            .args([full_id(old)?, full_id(new)?]);
        let stat = git::expect(diff, None, Bound::WALK).await?;
        let stat = String::from_utf8_lossy(&stat);
        Ok(stat.split('\0').filter_map(parse_stat).collect())
    }

    /// The patch that takes a commit back (of a merge: all that it brought in), made to apply on top
    /// of `on` after `fixups`.
    ///
    /// # Errors
    /// [`RepoError::PatchDoesNotApply`] and [`RepoError::BadPatch`] when it cannot be taken back there.
    pub async fn revert(
        &self,
        name: &str,
        rev: &str,
        on: &str,
        fixups: &[String],
    ) -> Result<String, RepoError> {
        let path = self.mirror(name)?;
        let rev = full_id(rev)?;
        let mut diff = git::read(&path);
        diff.args(["diff-tree", "-p", "-r", "--full-index", "--no-renames"])
            .args(["--no-color", "--no-ext-diff", "--no-textconv"])
            .args(["--end-of-options", rev, &format!("{rev}^1")]);
        let output = git::run(diff, None, Bound::WALK).await?;
        let bad = |why: &str| RepoError::BadPatch {
            index: fixups.len(),
            why: why.to_owned(),
        };
        if output.cut {
            return Err(bad("it changes too much"));
        }
        if !output.status.success() {
            return Err(RepoError::Failed(format!("git: {}", output.complaint())));
        }
        let patch = String::from_utf8(output.stdout)
            .map_err(|_| bad("it changes lines that are not UTF-8"))?;
        let mut all = fixups.to_vec();
        all.push(patch.clone());
        self.check_patches(name, on, &all).await?;
        Ok(patch)
    }

    /// The diff of a commit against its first parent, cut at `max_bytes`.
    pub async fn diff(&self, name: &str, rev: &str, max_bytes: usize) -> Result<String, RepoError> {
        let path = self.mirror(name)?;
        let mut diff = git::read(&path);
        diff.args(["diff-tree", "-p", "-r", "--root", "--no-color"])
            .args(["--no-ext-diff", "--no-textconv", "--no-commit-id"])
            .arg("--diff-merges=first-parent")
            .args(["--end-of-options", full_id(rev)?]);
        let bound = Bound {
            bytes: max_bytes as u64,
            ..Bound::WALK
        };
        let output = git::run(diff, None, bound).await?;
        if !output.status.success() {
            return Err(unknown(rev, &output));
        }
        let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
        if output.cut {
            text.push_str("\n[cut here: the diff is longer]\n");
        }
        Ok(text)
    }

    /// The merge on the first parents of `head` that brought a commit there, as id and subject; none if
    /// it was committed there.
    pub async fn brought_by(
        &self,
        name: &str,
        rev: &str,
        head: &str,
    ) -> Result<Option<(String, String)>, RepoError> {
        let list = async |paths: &[&str]| {
            let mut log = git::read(&self.mirror(name)?);
            log.args(["log", "--merges", "--no-show-signature", "--no-decorate"])
                .args(["--encoding=UTF-8", "--format=%H %s"])
                .args(paths)
                .args(["--end-of-options", full_id(head)?])
                .arg(format!("^{}", full_id(rev)?));
            let text = git::expect(log, None, Bound::WALK).await?;
            Ok::<_, RepoError>(String::from_utf8_lossy(&text).into_owned())
        };
        // git joins the two conditions in another way than is needed here.
        let (mainline, above) = (
            list(&["--first-parent"]).await?,
            list(&["--ancestry-path"]).await?,
        );
        let above: BTreeSet<&str> = above.lines().collect();
        let oldest = mainline.lines().rfind(|line| above.contains(line));
        let told = oldest.and_then(|line| line.split_once(' '));
        Ok(told.map(|(rev, subject)| (rev.to_owned(), subject.to_owned())))
    }

    /// The oldest tag that contains a commit.
    pub async fn first_tag(&self, name: &str, rev: &str) -> Result<Option<String>, RepoError> {
        let mut list = git::read(&self.mirror(name)?);
        list.args(["for-each-ref", "--sort=creatordate", "--count=1"])
            .arg(format!("--contains={}", full_id(rev)?))
            .args(["--format=%(refname:lstrip=2)", "refs/tags"]);
        let text = git::expect(list, None, Bound::WALK).await?;
        let text = String::from_utf8_lossy(&text).trim().to_owned();
        Ok((!text.is_empty()).then_some(text))
    }
}

async fn show(path: &std::path::Path, rev: &str, format: &str) -> Result<String, RepoError> {
    let mut log = git::read(path);
    log.args(["log", "-1", "--no-show-signature", "--no-decorate"])
        .args(["--encoding=UTF-8"])
        .arg(format!("--format={format}"))
        .args(["--end-of-options", full_id(rev)?]);
    let output = git::run(log, None, Bound::QUICK).await?;
    if !output.status.success() {
        return Err(unknown(rev, &output));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn unknown(rev: &str, output: &git::Output) -> RepoError {
    if output.stderr.contains("bad object") || output.stderr.contains("unknown revision") {
        RepoError::UnknownRef {
            reference: rev.to_owned(),
        }
    } else {
        RepoError::Failed(format!("git: {}", output.complaint()))
    }
}

fn parse_stat(line: &str) -> Option<FileStat> {
    let mut fields = line.splitn(3, '\t');
    let (added, removed, path) = (fields.next()?, fields.next()?, fields.next()?);
    Some(FileStat {
        path: path.to_owned(),
        added: added.parse().ok(),
        removed: removed.parse().ok(),
    })
}
