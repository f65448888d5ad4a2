//! The commits between good and bad.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use firstbad_api::limits;
use tokio::process::Command;

use super::git::{self, Bound};
use super::{RepoError, Repos, full_id, is_full_id};

/// One commit of a range.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RangeCommit {
    pub rev: String,
    pub tree_oid: String,
    /// Positions in the range of all its parents that are in it, first parent first.
    pub parents: Vec<u32>,
    /// Has several parents, inside of the range or not.
    pub merge: bool,
    pub subject: String,
    /// `Name <mail>`.
    pub author: String,
    /// Commit time, unix seconds.
    pub when: i64,
    /// May be an answer: touches one of the paths, and is on the first-parent line if that was asked.
    pub eligible: bool,
}

/// Longest subject and author kept.
const TEXT_CHARS: usize = 500;

impl Repos {
    /// The ancestors of `bad` that are no ancestor of a good one: parents first, `bad` last.
    ///
    /// The graph is always whole; `first_parent` and `paths` only say which commits are eligible.
    pub async fn range(
        &self,
        name: &str,
        goods: &[String],
        bad: &str,
        first_parent: bool,
        paths: &[String],
    ) -> Result<Vec<RangeCommit>, RepoError> {
        let mirror = self.mirror(name)?;
        let mut revs = full_id(bad)?.to_owned() + "\n";
        for good in goods {
            revs.push_str(&format!("^{}\n", full_id(good)?));
        }
        let mut log = git::read(&mirror);
        log.args(["log", "-z", "--topo-order", "--reverse", "--stdin"])
            .args(["--no-show-signature", "--no-decorate", "--encoding=UTF-8"])
            .arg(format!("--max-count={}", limits::RANGE_REVISIONS + 1))
            .arg("--format=%H%x00%T%x00%P%x00%ct%x00%an <%ae>%x00%s");
        let text = git::expect(log, Some(revs.as_bytes()), Bound::WALK).await?;
        let (mut range, parents) = parse(&text)?;
        if range.len() > limits::RANGE_REVISIONS {
            return Err(RepoError::BadRef {
                reference: bad.to_owned(),
                why: format!(
                    "more than {} revisions lie between good and bad; take a nearer good one",
                    limits::RANGE_REVISIONS
                ),
            });
        }
        if !paths.is_empty() {
            check_paths(paths)?;
            let touching = select(&mirror, &revs, "--full-history", paths).await?;
            range
                .iter_mut()
                .for_each(|c| c.eligible &= touching.contains(&c.rev));
            drop_clean_merges(&mirror, &mut range, &parents, paths).await?;
        }
        if first_parent {
            let line = select(&mirror, &revs, "--first-parent", &[]).await?;
            range
                .iter_mut()
                .for_each(|c| c.eligible &= line.contains(&c.rev));
        }
        Ok(range)
    }
}

fn check_paths(paths: &[String]) -> Result<(), RepoError> {
    let unusable = |p: &&String| p.is_empty() || p.contains(['\n', '\0']) || p.len() > 4096;
    match paths.iter().find(unusable) {
        None => Ok(()),
        Some(path) => Err(RepoError::BadRef {
            reference: path.chars().take(80).collect(),
            why: "it is not a path of the tree".to_owned(),
        }),
    }
}

/// A git command limited to these paths, taken literally.
fn limited(mut command: Command, paths: &[String]) -> Command {
    command.env("GIT_LITERAL_PATHSPECS", "1").arg("--");
    command.args(paths.iter().map(|p| p.trim_matches('/')));
    command
}

/// Ids of the range that `rev-list` keeps with this option and paths.
async fn select(
    mirror: &Path,
    revs: &str,
    option: &str,
    paths: &[String],
) -> Result<HashSet<String>, RepoError> {
    let mut list = git::read(mirror);
    list.args(["rev-list", option, "--stdin"]);
    let list = limited(list, paths);
    let text = git::expect(list, Some(revs.as_bytes()), Bound::WALK).await?;
    Ok(String::from_utf8_lossy(&text)
        .lines()
        .map(str::to_owned)
        .collect())
}

/// A merge that took the paths from one of its parents cannot be the answer; git's full
/// history keeps it. Eligible stay those that differ from every parent.
async fn drop_clean_merges(
    mirror: &Path,
    range: &mut [RangeCommit],
    parents: &[usize],
    paths: &[String],
) -> Result<(), RepoError> {
    let merges: String = (range.iter().zip(parents))
        .filter(|(c, n)| c.eligible && **n > 1)
        .map(|(c, _)| format!("{}\n", c.rev))
        .collect();
    if merges.is_empty() {
        return Ok(());
    }
    let mut diff = git::read(mirror);
    diff.args(["diff-tree", "--stdin", "-m", "-r", "--raw", "--no-renames"]);
    let diff = limited(diff, paths);
    let text = git::expect(diff, Some(merges.as_bytes()), Bound::WALK).await?;
    let text = String::from_utf8_lossy(&text);
    // One line with the commit's id for each parent that it differs from.
    let mut differs: HashMap<&str, usize> = HashMap::new();
    for id in text.lines().filter(|l| is_full_id(l)) {
        *differs.entry(id).or_default() += 1;
    }
    for (commit, parents) in range.iter_mut().zip(parents).filter(|(_, n)| **n > 1) {
        commit.eligible &= differs.get(commit.rev.as_str()) == Some(parents);
    }
    Ok(())
}

/// The commits, and how many parents each has inside and outside the range.
fn parse(text: &[u8]) -> Result<(Vec<RangeCommit>, Vec<usize>), RepoError> {
    let text = String::from_utf8_lossy(text);
    let mut positions: HashMap<&str, u32> = HashMap::new();
    let (mut range, mut counts) = (Vec::new(), Vec::new());
    let mut fields = text.strip_suffix('\0').unwrap_or(&text).split('\0');
    while let Some(rev) = fields.next().filter(|f| !f.is_empty()) {
        let [tree_oid, parents, when, author, subject] = std::array::from_fn(|_| fields.next());
        let (Some(tree_oid), Some(parents), Some(when), Some(author), Some(subject)) =
            (tree_oid, parents, when, author, subject)
        else {
            return Err(RepoError::Failed(format!("git log broke off at {rev}")));
        };
        let position = u32::try_from(range.len())
            .map_err(|_| RepoError::Failed("too many revisions".to_owned()))?;
        let count = parents.split_whitespace().count();
        counts.push(count);
        range.push(RangeCommit {
            rev: rev.to_owned(),
            tree_oid: tree_oid.to_owned(),
            parents: parents
                .split(' ')
                .filter_map(|p| positions.get(p).copied())
                .collect(),
            merge: count > 1,
            subject: subject.chars().take(TEXT_CHARS).collect(),
            author: author.chars().take(TEXT_CHARS).collect(),
            when: when.parse().unwrap_or(0),
            eligible: true,
        });
        positions.insert(rev, position);
    }
    Ok((range, counts))
}
