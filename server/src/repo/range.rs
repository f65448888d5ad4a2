//! The commits between good and bad.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use firstbad_api::limits;

use super::git::{self, Bound};
use super::{RepoError, Repos, full_id};

/// One commit of a range.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RangeCommit {
    pub rev: String,
    pub tree_oid: String,
    /// Positions in the range of all its parents that are in it, first parent first.
    pub parents: Vec<u32>,
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
        let mut range = parse(&text)?;
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
            let touching = select(&mirror, &revs, &["--full-history"], paths).await?;
            range
                .iter_mut()
                .for_each(|c| c.eligible &= touching.contains(&c.rev));
        }
        if first_parent {
            let line = select(&mirror, &revs, &["--first-parent"], &[]).await?;
            range
                .iter_mut()
                .for_each(|c| c.eligible &= line.contains(&c.rev));
        }
        Ok(range)
    }
}

/// Ids of the range that `rev-list` keeps with these options and paths.
async fn select(
    mirror: &Path,
    revs: &str,
    options: &[&str],
    paths: &[String],
) -> Result<HashSet<String>, RepoError> {
    let mut list = git::command(Some(mirror), "none");
    list.env("GIT_LITERAL_PATHSPECS", "1")
        .arg("rev-list")
        .args(options)
        .arg("--stdin");
    // Paths as arguments after "--" would make git treat standard input differently from
    // version to version: they follow the revisions there.
    let mut input = revs.to_owned();
    if !paths.is_empty() {
        input.push_str("--\n");
    }
    for path in paths {
        if path.is_empty() || path.contains(['\n', '\0']) || path.len() > 4096 {
            return Err(RepoError::BadRef {
                reference: path.chars().take(80).collect(),
                why: "it is not a path of the tree".to_owned(),
            });
        }
        input.push_str(path.trim_start_matches('/'));
        input.push('\n');
    }
    let text = git::expect(list, Some(input.as_bytes()), Bound::WALK).await?;
    Ok(String::from_utf8_lossy(&text)
        .lines()
        .map(str::to_owned)
        .collect())
}

fn parse(text: &[u8]) -> Result<Vec<RangeCommit>, RepoError> {
    let text = String::from_utf8_lossy(text);
    let mut positions: HashMap<&str, u32> = HashMap::new();
    let mut range = Vec::new();
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
        range.push(RangeCommit {
            rev: rev.to_owned(),
            tree_oid: tree_oid.to_owned(),
            parents: parents
                .split(' ')
                .filter_map(|p| positions.get(p).copied())
                .collect(),
            subject: subject.chars().take(TEXT_CHARS).collect(),
            author: author.chars().take(TEXT_CHARS).collect(),
            when: when.parse().unwrap_or(0),
            eligible: true,
        });
        positions.insert(rev, position);
    }
    Ok(range)
}
