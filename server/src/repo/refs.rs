//! References and ancestry.

use firstbad_api::rule::On;
use firstbad_api::tree::Resolved;
use firstbad_api::version::Version;

use super::git::{self, Bound};
use super::read::read;
use super::{RepoError, Repos, full_id, is_full_id};

const REFERENCE_BYTES: usize = 200;

/// One tag or branch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefInfo {
    /// Without `refs/tags/` or `refs/heads/`.
    pub name: String,
    /// The commit, tags peeled.
    pub rev: String,
    /// Unix seconds: of the tag if annotated, else of the commit.
    pub when: i64,
    /// Of the commit.
    pub subject: String,
}

/// A commit that is tagged as a release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Release {
    /// The tag.
    pub name: String,
    pub version: Version,
    pub rev: String,
    pub tree_oid: String,
    pub author: String,
}

impl Repos {
    /// The commit that a tag, a branch or an id (full, or at least 7 digits) names,
    /// in this order; `~2` and `^` may follow.
    pub async fn resolve(&self, name: &str, reference: &str) -> Result<Resolved, RepoError> {
        let path = self.mirror(name)?;
        let names = spellings(reference)?;
        let input: String = names.iter().map(|n| format!("{n}^{{commit}}\n")).collect();
        let mut check = git::read(&path);
        check.args(["cat-file", "--batch-check"]);
        let answers = git::expect(check, Some(input.as_bytes()), Bound::QUICK).await?;
        let answers = String::from_utf8_lossy(&answers);
        let rev = answers.lines().find_map(|line| {
            let mut words = line.split(' ');
            let id = words.next().filter(|id| is_full_id(id))?;
            (words.next() == Some("commit")).then_some(id)
        });
        let Some(rev) = rev else {
            if answers.lines().any(|l| l.ends_with(" ambiguous")) {
                return Err(bad(
                    reference,
                    "several objects begin with it; give more digits",
                ));
            }
            return Err(RepoError::UnknownRef {
                reference: reference.to_owned(),
            });
        };
        let mut log = git::read(&path);
        log.args(["log", "-1", "--no-show-signature", "--format=%s"])
            .args(["--end-of-options", rev]);
        let subject = git::expect(log, None, Bound::QUICK).await?;
        Ok(Resolved {
            rev: rev.to_owned(),
            subject: String::from_utf8_lossy(&subject).trim_end().to_owned(),
        })
    }

    /// The newest `limit` tags and branches that name a commit, newest first.
    pub async fn refs(&self, name: &str, limit: usize) -> Result<Vec<RefInfo>, RepoError> {
        self.refs_below(name, limit, &["refs/tags", "refs/heads"])
            .await
    }

    /// All branches, or all tags, that name a commit, newest first.
    pub async fn refs_of(&self, name: &str, on: On) -> Result<Vec<RefInfo>, RepoError> {
        let below = match on {
            On::Branch => "refs/heads",
            On::Tag => "refs/tags",
        };
        self.refs_below(name, usize::MAX, &[below]).await
    }

    async fn refs_below(
        &self,
        name: &str,
        limit: usize,
        below: &[&str],
    ) -> Result<Vec<RefInfo>, RepoError> {
        let path = self.mirror(name)?;
        let mut list = git::read(&path);
        let count = i32::try_from(limit).unwrap_or(i32::MAX).max(1);
        list.args(["for-each-ref", "--sort=-creatordate"])
            .arg(format!("--count={count}"))
            .arg(
                "--format=%(refname:lstrip=2)%00%(objecttype)%00%(objectname)%00%(subject)\
                 %00%(*objecttype)%00%(*objectname)%00%(*subject)%00%(creatordate:unix)",
            )
            .args(below);
        let text = git::expect(list, None, Bound::WALK).await?;
        let text = String::from_utf8_lossy(&text);
        Ok(text.lines().filter_map(parse_ref).take(limit).collect())
    }

    /// The releases that `rev`, a full id, contains: what is tagged with a version and nothing else,
    /// oldest version first.
    pub async fn releases_in(&self, name: &str, rev: &str) -> Result<Vec<Release>, RepoError> {
        let path = self.mirror(name)?;
        let mut list = git::read(&path);
        let field = |f: &str| format!("%({f})%00%(*{f})%00");
        list.args(["for-each-ref", &format!("--merged={}", full_id(rev)?)])
            .arg(format!(
                "--format={}{}{}{}%(refname:lstrip=2)",
                field("objecttype"),
                field("objectname"),
                field("tree"),
                field("authorname")
            ))
            .arg("refs/tags");
        let text = git::expect(list, None, Bound::WALK).await?;
        let text = String::from_utf8_lossy(&text);
        let mut releases: Vec<Release> = text.lines().filter_map(parse_release).collect();
        // Of several tags of one version the shortest: `7.2.6` and not `packaged/7.2.6`.
        releases.sort_by_key(|r| (r.version.order(), r.name.len()));
        releases.dedup_by_key(|r| r.version.order());
        releases.retain(|r| r.rev != rev);
        Ok(releases)
    }

    /// Whether `a` is `b` or an ancestor of it; both full ids.
    pub async fn is_ancestor(&self, name: &str, a: &str, b: &str) -> Result<bool, RepoError> {
        let path = self.mirror(name)?;
        let mut ask = git::read(&path);
        ask.args(["merge-base", "--is-ancestor", "--end-of-options"])
            .args([full_id(a)?, full_id(b)?]);
        let output = git::run(ask, None, Bound::WALK).await?;
        match output.code() {
            0 => Ok(true),
            1 => Ok(false),
            _ => Err(RepoError::Failed(format!("git: {}", output.complaint()))),
        }
    }

    /// A best common ancestor of two full ids, if their histories meet.
    pub async fn merge_base(
        &self,
        name: &str,
        a: &str,
        b: &str,
    ) -> Result<Option<String>, RepoError> {
        let (a, b) = (full_id(a)?.to_owned(), full_id(b)?.to_owned());
        read(self.mirror(name)?, move |repo| {
            let ids = (git2::Oid::from_str(&a)?, git2::Oid::from_str(&b)?);
            match repo.merge_base(ids.0, ids.1) {
                Ok(base) => Ok(Some(base.to_string())),
                Err(e) if e.code() == git2::ErrorCode::NotFound => Ok(None),
                Err(e) => Err(e),
            }
        })
        .await
    }
}

fn parse_ref(line: &str) -> Option<RefInfo> {
    let fields: Vec<&str> = line.split('\0').collect();
    let [
        name,
        kind,
        id,
        subject,
        peeled_kind,
        peeled,
        peeled_subject,
        when,
    ] = fields[..]
    else {
        return None;
    };
    let (kind, id, subject) = if peeled.is_empty() {
        (kind, id, subject)
    } else {
        (peeled_kind, peeled, peeled_subject)
    };
    (kind == "commit").then(|| RefInfo {
        name: name.to_owned(),
        rev: id.to_owned(),
        when: when.parse().unwrap_or(0),
        subject: subject.to_owned(),
    })
}

fn parse_release(line: &str) -> Option<Release> {
    let fields: Vec<&str> = line.split('\0').collect();
    let [kind, peeled_kind, ids @ .., name] = &fields[..] else {
        return None;
    };
    let of = |n: usize| {
        let (own, peeled) = (ids.get(2 * n)?, ids.get(2 * n + 1)?);
        Some(if peeled_kind.is_empty() { own } else { peeled }.to_string())
    };
    let commit = if peeled_kind.is_empty() {
        kind
    } else {
        peeled_kind
    };
    Some(Release {
        version: Version::of_release(name).filter(|_| *commit == "commit")?,
        name: (*name).to_owned(),
        rev: of(0)?,
        tree_oid: of(1)?,
        author: of(2)?,
    })
}

/// The full names a reference may stand for, best first.
fn spellings(reference: &str) -> Result<Vec<String>, RepoError> {
    let refuse = |why: &str| Err(bad(reference, why));
    if reference.is_empty() {
        return refuse("it is empty");
    }
    if reference.len() > REFERENCE_BYTES {
        return refuse("it is longer than 200 bytes");
    }
    if reference.starts_with('-') {
        return refuse("it begins with '-'");
    }
    if reference.contains("..") {
        return refuse("it contains '..', and one commit is wanted, not a range");
    }
    if reference.contains(|c: char| c.is_control() || c.is_whitespace()) {
        return refuse("it contains a space or a control character");
    }
    if reference.contains(['?', '*', '[', '\\', ':', '{', '}']) || reference.contains("@{") {
        return refuse("it contains one of ? * [ \\ : { }");
    }
    let base_len = reference.find(['~', '^']).unwrap_or(reference.len());
    let (base, steps) = reference.split_at(base_len);
    if base.is_empty() {
        return refuse("nothing stands before '~' or '^'");
    }
    if !steps
        .bytes()
        .all(|b| b == b'~' || b == b'^' || b.is_ascii_digit())
        || steps.split(['~', '^']).any(|n| n.len() > 7)
    {
        return refuse("after '~' or '^' only a number may stand");
    }
    let hex = base.bytes().all(|b| b.is_ascii_hexdigit());
    let mut names = Vec::new();
    if is_full_id(&base.to_ascii_lowercase()) {
        names.push(base.to_ascii_lowercase());
    }
    names.push(format!("refs/tags/{base}"));
    names.push(format!("refs/heads/{base}"));
    if base.starts_with("refs/") || base == "HEAD" {
        names.push(base.to_owned());
    }
    if hex && (7..40).contains(&base.len()) {
        names.push(base.to_ascii_lowercase());
    }
    Ok(names.into_iter().map(|n| n + steps).collect())
}

fn bad(reference: &str, why: &str) -> RepoError {
    RepoError::BadRef {
        reference: reference.chars().take(80).collect(),
        why: why.to_owned(),
    }
}
