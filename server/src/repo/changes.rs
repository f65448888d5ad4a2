//! What many commits change and say: their patch ids and messages.

use std::collections::HashMap;

use super::git::{self, Bound};
use super::{RepoError, Repos, full_id, is_full_id};

/// What a commit says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    pub rev: String,
    /// Commit time, unix seconds.
    pub when: i64,
    pub subject: String,
    /// All of it.
    pub text: String,
}

/// Longest subject kept, characters.
const SUBJECT: usize = 500;

impl Repos {
    /// The newest `most` commits that branches and tags contain and none of `known`, newest first.
    /// What is not there any more of `known` excludes nothing.
    pub async fn newest(
        &self,
        name: &str,
        heads: &[String],
        known: &[String],
        most: usize,
    ) -> Result<Vec<String>, RepoError> {
        let mut revs = String::new();
        for head in heads {
            revs.push_str(&format!("{}\n", full_id(head)?));
        }
        for rev in known {
            revs.push_str(&format!("^{}\n", full_id(rev)?));
        }
        let mut list = git::read(&self.mirror(name)?);
        list.args(["rev-list", "--ignore-missing", "--stdin"]);
        list.arg(format!("--max-count={most}"));
        let text = git::expect(list, Some(revs.as_bytes()), Bound::WALK).await?;
        let text = String::from_utf8_lossy(&text);
        Ok(text.lines().map(str::to_owned).collect())
    }

    /// What these commits say, given by their full ids.
    pub async fn messages(&self, name: &str, revs: &[String]) -> Result<Vec<Message>, RepoError> {
        let mut log = git::read(&self.mirror(name)?);
        log.args(["log", "-z", "--no-walk=unsorted", "--stdin"])
            .args(["--no-show-signature", "--no-decorate", "--encoding=UTF-8"])
            .arg("--format=%H%x00%ct%x00%s%x00%B");
        let text = git::expect(log, Some(lines(revs)?.as_bytes()), Bound::WALK).await?;
        let text = String::from_utf8_lossy(&text);
        let fields: Vec<&str> = text
            .strip_suffix('\0')
            .unwrap_or(&text)
            .split('\0')
            .collect();
        let message = |fields: &[&str]| match *fields {
            [rev, when, subject, text] if is_full_id(rev) => Ok(Message {
                rev: rev.to_owned(),
                when: when.parse().unwrap_or(0),
                subject: subject.chars().take(SUBJECT).collect(),
                text: text.to_owned(),
            }),
            _ => Err(RepoError::Failed("git log told no commit".to_owned())),
        };
        match text.is_empty() {
            true => Ok(Vec::new()),
            false => fields.chunks(4).map(message).collect(),
        }
    }

    /// The patch ids (`git patch-id --stable`) of these commits, given by their full ids. Merges and
    /// empty commits have none.
    pub async fn patch_ids(
        &self,
        name: &str,
        revs: &[String],
    ) -> Result<HashMap<String, String>, RepoError> {
        let mirror = self.mirror(name)?;
        let mut diff = git::read(&mirror);
        diff.args(["diff-tree", "--stdin", "-p", "-r", "--root", "--no-renames"])
            .args(["--no-color", "--no-ext-diff", "--no-textconv"]);
        let mut ids = git::read(&mirror);
        ids.args(["patch-id", "--stable"]);
        let text = git::pipe(diff, ids, lines(revs)?.as_bytes(), Bound::WALK).await?;
        let text = String::from_utf8_lossy(&text);
        let pairs = text.lines().filter_map(|line| line.split_once(' '));
        Ok(pairs
            .map(|(id, rev)| (rev.to_owned(), id.to_owned()))
            .collect())
    }

    /// Whether the mirror holds a commit, given by its full id.
    pub async fn has_commit(&self, name: &str, rev: &str) -> Result<bool, RepoError> {
        let mut check = git::read(&self.mirror(name)?);
        check.args(["cat-file", "-e", &format!("{}^{{commit}}", full_id(rev)?)]);
        Ok(git::run(check, None, Bound::QUICK).await?.status.success())
    }
}

fn lines(revs: &[String]) -> Result<String, RepoError> {
    let mut text = String::new();
    for rev in revs {
        text.push_str(full_id(rev)?);
        text.push('\n');
    }
    Ok(text)
}
