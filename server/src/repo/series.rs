//! Patch series as commits of a mirror.
//!
//! git reads the mails; the commits are a function of the base and the mails, so that the same
//! series written twice is one.

use firstbad_api::job::RevSubject;
use firstbad_api::limits;
use firstbad_api::tree::History;

use super::git::{self, Bound};
use super::scratch::{Scratch, bad, check_bytes};
use super::{OUR_MAIL, OUR_NAME, RepoError, Repos, failed, full_id};

/// Longest name, address and date taken from a mail, in characters.
const HEADER_CHARS: usize = 300;

/// What a commit says.
struct Letter {
    author: String,
    mail: String,
    date: String,
    subject: String,
    body: String,
}

/// A mail with a diff.
struct Patch {
    letter: Letter,
    diff: Vec<u8>,
    /// `Message-ID:`, without its brackets.
    message_id: Option<String>,
}

/// The mails of an mbox.
struct Mails {
    /// Subject of the cover letter.
    cover: Option<String>,
    cover_id: Option<String>,
    patches: Vec<Patch>,
}

/// A history of a series, and the mails by what they became: commit, `Message-ID:`.
#[derive(Debug)]
pub struct Series {
    pub history: History,
    pub mails: Vec<(String, String)>,
}

impl Repos {
    /// Writes a series on top of the commit `base`, given by its full id: one commit a patch, or one
    /// of all with `squash`. A series that is refused changes nothing.
    ///
    /// # Errors
    /// Names the patch, and says what git said.
    pub async fn write_series(
        &self,
        name: &str,
        base: &str,
        mbox: &str,
        squash: bool,
    ) -> Result<Series, RepoError> {
        let mirror = self.mirror(name)?;
        let base = full_id(base)?;
        check_mbox(mbox)?;
        let scratch = Scratch::new(self, &mirror).await?;
        let mails = read(&scratch, mbox).await?;
        let ids: Vec<Option<String>> = mails.patches.iter().map(|p| p.message_id.clone()).collect();
        let cover_id = mails.cover_id.clone();
        scratch.read_tree(base).await?;
        let mut tree = self.tree_oid(name, base).await?;
        let mut commits: Vec<RevSubject> = Vec::new();
        for (index, patch) in mails.patches.iter().enumerate() {
            let applied = scratch.apply(index, &patch.diff, &tree).await;
            tree = applied.map_err(|e| titled(e, &patch.letter.subject))?;
            if !squash {
                let parent = commits.last().map_or(base, |c| c.rev.as_str());
                let made = commit(&scratch, index, &tree, parent, &patch.letter).await?;
                commits.push(made);
            }
        }
        if squash {
            let last = mails.patches.len() - 1;
            let made = commit(&scratch, last, &tree, base, &squashed(mails)).await?;
            commits.push(made);
        }
        let tip = commits.last().map_or(base, |c| c.rev.as_str()).to_owned();
        let reference = format!("refs/firstbad/series/{tip}");
        if self.resolve(name, &reference).await.is_err() {
            scratch.keep(base, &tip, &reference).await?;
        }
        let became = |n: usize| commits.get(n).or(commits.last()).map(|c| c.rev.clone());
        let patches = ids.into_iter().enumerate();
        let mut named: Vec<(String, String)> = patches
            .filter_map(|(n, id)| Some((became(n)?, id?)))
            .collect();
        // A cover letter stands for all of it.
        named.extend(cover_id.map(|id| (tip.clone(), id)));
        Ok(Series {
            history: History {
                base: base.to_owned(),
                tip,
                commits,
                reference,
            },
            mails: named,
        })
    }
}

fn check_mbox(mbox: &str) -> Result<(), RepoError> {
    check_bytes(0, mbox.len())?;
    // A line in a body may begin so too: then git counts fewer mails.
    let mails = mbox.lines().filter(|l| l.starts_with("From ")).count();
    if mails > limits::SERIES_MAILS {
        let why = format!("the series has more than {} mails", limits::SERIES_MAILS);
        return Err(bad(limits::SERIES_MAILS, why));
    }
    Ok(())
}

async fn read(scratch: &Scratch, mbox: &str) -> Result<Mails, RepoError> {
    let dir = scratch.file("mails");
    tokio::fs::create_dir(&dir)
        .await
        .map_err(|e| failed("cannot make", &dir, e))?;
    let mut split = scratch.command();
    // -b: one mail without a line "From …" before it is a series too.
    split.args(["mailsplit", "-b", "-d4"]);
    split.arg(format!("-o{}", dir.display()));
    let output = git::run(split, Some(mbox.as_bytes()), Bound::QUICK).await?;
    if !output.status.success() {
        return Err(bad(0, output.complaint()));
    }
    let count = String::from_utf8_lossy(&output.stdout).trim().parse();
    let count: usize =
        count.map_err(|_| RepoError::Failed("git mailsplit did not count".to_owned()))?;
    let mut mails = Mails {
        cover: None,
        cover_id: None,
        patches: Vec::new(),
    };
    for number in 1..=count {
        let path = dir.join(format!("{number:04}"));
        let mail = tokio::fs::read(&path)
            .await
            .map_err(|e| failed("cannot read", &path, e))?;
        let index = mails.patches.len();
        let (letter, diff) = open(scratch, index, &mail, "-u").await?;
        if has_diff(&diff) {
            let letter = complete(index, letter)?;
            let message_id = message_id(&mail);
            mails.patches.push(Patch {
                letter,
                diff,
                message_id,
            });
            continue;
        }
        let (whole, _) = open(scratch, index, &mail, "-k").await?;
        if !is_cover(&whole.subject) {
            let why = "it has no diff, and its subject does not say 0/n as a cover letter's does";
            return Err(titled(bad(index, why), &whole.subject));
        }
        mails.cover_id = message_id(&mail);
        mails.cover = Some(letter.subject).filter(|s| !s.is_empty());
    }
    if mails.patches.is_empty() {
        return Err(bad(0, "the mbox has no mail with a diff"));
    }
    Ok(mails)
}

/// `Message-ID:` of a mail, without its brackets; it may stand on the line after the name.
fn message_id(mail: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(mail);
    let head = text.lines().take_while(|line| !line.trim().is_empty());
    let mut head = head.skip_while(|line| {
        let name = line.split(':').next().unwrap_or_default();
        !name.eq_ignore_ascii_case("message-id")
    });
    let first = head.next()?.split_once(':')?.1;
    let next = head.next().filter(|l| l.starts_with([' ', '\t']));
    let id = [first, next.unwrap_or_default()]
        .into_iter()
        .map(|s| s.trim())
        .find(|s| !s.is_empty())?;
    let id = id.strip_prefix('<')?.split('>').next()?;
    (!id.is_empty() && id.len() <= HEADER_CHARS).then(|| id.to_owned())
}

/// What a mail says, and its diff.
async fn open(
    scratch: &Scratch,
    index: usize,
    mail: &[u8],
    option: &str,
) -> Result<(Letter, Vec<u8>), RepoError> {
    let (body, diff) = (scratch.file("body"), scratch.file("diff"));
    let mut info = scratch.command();
    // A base64 or quoted-printable body has the line ends of mails, which are not the file's.
    info.args(["mailinfo", "--quoted-cr=strip", option])
        .args([&body, &diff]);
    let output = git::run(info, Some(mail), Bound::QUICK).await?;
    if !output.status.success() {
        return Err(bad(index, output.complaint()));
    }
    let text = async |path| {
        let bytes = tokio::fs::read(path).await;
        bytes.map_err(|e| failed("cannot read", path, e))
    };
    let said = String::from_utf8_lossy(&output.stdout);
    let header = |name: &str| {
        let line = said.lines().find_map(|l| l.strip_prefix(name));
        let value = line.and_then(|l| l.strip_prefix(": ")).unwrap_or_default();
        // Encoded words may hold what would end a line or a string.
        let plain = value.chars().filter(|c| !c.is_control());
        let value: String = plain.take(HEADER_CHARS).collect();
        value.trim().to_owned()
    };
    let letter = Letter {
        author: header("Author"),
        mail: header("Email"),
        date: header("Date"),
        subject: header("Subject"),
        body: String::from_utf8_lossy(&text(&body).await?)
            .trim()
            .replace('\0', ""),
    };
    let diff = text(&diff).await?;
    Ok((letter, diff))
}

/// A commit needs an author, a date and a subject.
fn complete(index: usize, mut letter: Letter) -> Result<Letter, RepoError> {
    if letter.author.is_empty() {
        letter.author.clone_from(&letter.mail);
    }
    for (header, value) in [
        ("From", &letter.author),
        ("Date", &letter.date),
        ("Subject", &letter.subject),
    ] {
        if value.is_empty() {
            let why =
                format!("the mail has no {header}: line; `git format-patch --stdout` writes one");
            return Err(bad(index, why));
        }
    }
    Ok(letter)
}

fn has_diff(diff: &[u8]) -> bool {
    let mut lines = diff.split(|b| *b == b'\n').peekable();
    while let Some(line) = lines.next() {
        let next = lines.peek().copied().unwrap_or_default();
        if line.starts_with(b"diff --git ")
            || (line.starts_with(b"--- ") && next.starts_with(b"+++ "))
        {
            return true;
        }
    }
    false
}

/// `[PATCH v2 00/13] …`.
fn is_cover(subject: &str) -> bool {
    let tag = subject.strip_prefix('[').and_then(|s| s.split_once(']'));
    let digits = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
    tag.is_some_and(|(tag, _)| {
        tag.split_whitespace().any(|word| {
            word.split_once('/').is_some_and(|(part, of)| {
                digits(part) && digits(of) && part.bytes().all(|b| b == b'0')
            })
        })
    })
}

/// One letter for all patches: by the first author, of the last day.
fn squashed(mails: Mails) -> Letter {
    let Mails {
        cover, mut patches, ..
    } = mails;
    let list: Vec<String> = patches
        .iter()
        .map(|p| format!("- {}", p.letter.subject))
        .collect();
    let date = patches.last().map(|p| p.letter.date.clone());
    let first = patches.swap_remove(0).letter;
    if list.len() == 1 {
        return first;
    }
    Letter {
        subject: cover
            .unwrap_or_else(|| format!("{} (and {} more)", first.subject, list.len() - 1)),
        body: list.join("\n"),
        date: date.unwrap_or_default(),
        ..first
    }
}

async fn commit(
    scratch: &Scratch,
    index: usize,
    tree: &str,
    parent: &str,
    letter: &Letter,
) -> Result<RevSubject, RepoError> {
    let mut make = scratch.command();
    // A date without a zone must mean the same everywhere.
    make.env("TZ", "UTC")
        .env("GIT_AUTHOR_NAME", &letter.author)
        .env("GIT_AUTHOR_EMAIL", &letter.mail)
        .env("GIT_AUTHOR_DATE", &letter.date)
        .env("GIT_COMMITTER_NAME", OUR_NAME)
        .env("GIT_COMMITTER_EMAIL", OUR_MAIL)
        .env("GIT_COMMITTER_DATE", &letter.date)
        .args(["commit-tree", tree, "-p", parent, "-F", "-"]);
    let message = match letter.body.as_str() {
        "" => format!("{}\n", letter.subject),
        body => format!("{}\n\n{body}\n", letter.subject),
    };
    let output = git::run(make, Some(message.as_bytes()), Bound::QUICK).await?;
    if !output.status.success() {
        let why = output.complaint();
        let of_the_mail = ["invalid date", "ident ", "disallowed characters"];
        return Err(match of_the_mail.iter().any(|w| why.contains(w)) {
            true => titled(bad(index, why), &letter.subject),
            false => RepoError::Failed(format!("git: {why}")),
        });
    }
    Ok(RevSubject {
        rev: String::from_utf8_lossy(&output.stdout).trim().to_owned(),
        subject: letter.subject.clone(),
    })
}

/// The refusal with the patch's subject.
fn titled(error: RepoError, subject: &str) -> RepoError {
    let with = |why: String| format!("{why} (\"{subject}\")");
    match error {
        RepoError::BadPatch { index, why } => bad(index, with(why)),
        RepoError::PatchDoesNotApply { index, why } => RepoError::PatchDoesNotApply {
            index,
            why: with(why),
        },
        other => other,
    }
}
