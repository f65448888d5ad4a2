//! Writes the base tree and the histories as one `git fast-import` stream.
//!
//! Owns the stream, dates and marks: commit ids depend on the source and the
//! data alone, never on the clock, the user or git's configuration.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufReader, BufWriter, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::history::{Commit, History, MAINTAINER};
use crate::tar;

/// Seconds since 1970 of the base import: 2025-01-01, midnight UTC.
const EPOCH: u64 = 1_735_689_600;
/// Seconds between two commits of a history.
const INTERVAL: u64 = 5_400;
/// Mark of the base import; commits follow.
const BASE_MARK: usize = 1;

/// Text and git mode of the files the edits touch.
pub type BaseFiles = BTreeMap<String, (String, &'static str)>;

/// A child that does not outlive its owner, so that after an error nothing
/// still writes to the directory.
struct Reaped(Child);

impl Drop for Reaped {
    fn drop(&mut self) {
        // Both fail only when the child is gone already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A running `git fast-import`.
pub struct Import {
    child: Reaped,
    out: BufWriter<ChildStdin>,
    next_mark: usize,
    modes: BTreeMap<String, &'static str>,
}

/// `git` that reads no configuration of the user or the system.
pub fn git(repository: &Path) -> Command {
    let mut command = Command::new("git");
    command
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .arg("--git-dir")
        .arg(repository);
    command
}

impl Import {
    /// Starts the import into an initialised bare repository.
    pub fn start(repository: &Path, marks: &Path) -> Result<Import> {
        let mut export = std::ffi::OsString::from("--export-marks=");
        export.push(marks);
        let child = git(repository)
            .args(["-c", "pack.compression=1", "-c", "core.compression=1"])
            .args(["fast-import", "--quiet", "--depth=0", "--done"])
            .arg(export)
            .stdin(Stdio::piped())
            .spawn()
            .context("cannot start git fast-import")?;
        let mut child = Reaped(child);
        let stdin = child
            .0
            .stdin
            .take()
            .context("git fast-import has no input")?;
        Ok(Import {
            child,
            out: BufWriter::with_capacity(1 << 20, stdin),
            next_mark: BASE_MARK,
            modes: BTreeMap::new(),
        })
    }

    /// Imports the whole source archive as one commit and returns the content
    /// of the `wanted` files.
    pub fn base(&mut self, source: &Path, wanted: &BTreeSet<&str>) -> Result<BaseFiles> {
        let xz = Command::new("xz")
            .args(["--decompress", "--stdout", "--threads=0", "--"])
            .arg(source)
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start xz")?;
        let mut xz = Reaped(xz);
        let stdout = xz.0.stdout.take().context("xz has no output")?;
        self.head("refs/heads/base", MAINTAINER, 0, &base_message(source))?;
        let files = self.tree(BufReader::with_capacity(1 << 20, stdout), wanted)?;
        if !xz.0.wait()?.success() {
            bail!("xz could not read {}", source.display());
        }
        if let Some(missing) = wanted.iter().find(|w| !files.contains_key(**w)) {
            bail!("{missing}: not in {}", source.display());
        }
        self.modes = files.iter().map(|(k, v)| (k.clone(), v.1)).collect();
        Ok(files)
    }

    fn tree(&mut self, input: impl Read, wanted: &BTreeSet<&str>) -> Result<BaseFiles> {
        let mut reader = tar::Reader::new(input);
        let mut files = BaseFiles::new();
        while let Some(entry) = reader.next_entry()? {
            let path = std::str::from_utf8(&entry.path).context("file name is not UTF-8")?;
            let path = below_top(path)?;
            let mode = match entry.kind {
                tar::Kind::File => "100644",
                tar::Kind::Executable => "100755",
                tar::Kind::Symlink => "120000",
            };
            self.file(path, mode, &entry.content)?;
            if wanted.contains(path) {
                let text = String::from_utf8(entry.content)
                    .with_context(|| format!("{path}: not UTF-8"))?;
                files.insert(path.to_owned(), (text, mode));
            }
        }
        Ok(files)
    }

    /// Writes a history under `refs/heads/demo/NAME` with its two tags and
    /// returns the mark of each commit.
    pub fn history(&mut self, name: &str, history: &History) -> Result<Vec<usize>> {
        let branch = format!("refs/heads/demo/{name}");
        let mut marks: Vec<usize> = Vec::with_capacity(history.commits.len());
        for (index, commit) in history.commits.iter().enumerate() {
            let of = |parent: Option<usize>| parent.map_or(BASE_MARK, |p| marks[p]);
            let (parent, merged) = (of(commit.parent), commit.merged.map(|m| of(Some(m))));
            marks.push(self.next_mark);
            self.commit(&branch, index, commit, parent, merged)?;
        }
        let good = history.good.map_or(BASE_MARK, |g| marks[g]);
        writeln!(self.out, "reset refs/tags/demo/{name}/good\nfrom :{good}\n")?;
        let bad = marks[history.bad];
        writeln!(self.out, "reset refs/tags/demo/{name}/bad\nfrom :{bad}\n")?;
        Ok(marks)
    }

    fn commit(
        &mut self,
        branch: &str,
        index: usize,
        commit: &Commit,
        parent: usize,
        merged: Option<usize>,
    ) -> Result<()> {
        let at = EPOCH + INTERVAL * (u64::try_from(index)? + 1);
        let mut message = format!("{}\n\n", commit.subject);
        if !commit.body.is_empty() {
            message.push_str(&format!("{}\n\n", commit.body));
        }
        message.push_str(&format!("Signed-off-by: {}\n", commit.author));
        self.head(branch, &commit.author, at - EPOCH, &message)?;
        writeln!(self.out, "from :{parent}")?;
        if let Some(merged) = merged {
            writeln!(self.out, "merge :{merged}")?;
        }
        for (path, content) in &commit.files {
            let mode = self.modes.get(path).copied().unwrap_or("100644");
            self.file(path, mode, content.as_bytes())?;
        }
        Ok(())
    }

    fn head(&mut self, branch: &str, author: &str, after: u64, message: &str) -> Result<()> {
        let at = EPOCH + after;
        writeln!(self.out, "commit {branch}\nmark :{}", self.next_mark)?;
        writeln!(self.out, "author {author} {at} +0000")?;
        writeln!(self.out, "committer {MAINTAINER} {at} +0000")?;
        writeln!(self.out, "data {}\n{message}", message.len())?;
        self.next_mark += 1;
        Ok(())
    }

    fn file(&mut self, path: &str, mode: &str, content: &[u8]) -> Result<()> {
        writeln!(self.out, "M {mode} inline {path}\ndata {}", content.len())?;
        self.out.write_all(content)?;
        self.out.write_all(b"\n")?;
        Ok(())
    }

    /// Ends the stream and waits for git.
    pub fn finish(mut self) -> Result<()> {
        writeln!(self.out, "done")?;
        self.out.flush()?;
        drop(self.out);
        if !self.child.0.wait()?.success() {
            bail!("git fast-import failed");
        }
        Ok(())
    }
}

fn base_message(source: &Path) -> String {
    let name = source
        .file_name()
        .map(|n| n.to_string_lossy().into_owned())
        .unwrap_or_default();
    format!("Linux, as in {name}\n")
}

/// The path below the archive's top directory, refused when git could not
/// take it as it stands.
fn below_top(path: &str) -> Result<&str> {
    let path = path.strip_prefix("./").unwrap_or(path);
    let below = path.split_once('/').map(|(_, below)| below);
    match below {
        Some(p) if !p.is_empty() && !p.starts_with('"') && !p.contains(['\n', '\0']) => Ok(p),
        _ => bail!("unexpected path {path:?} in the archive"),
    }
}

/// Reads the marks file: mark to commit id.
pub fn read_marks(path: &Path) -> Result<BTreeMap<usize, String>> {
    let text = std::fs::read_to_string(path).context("git fast-import left no marks")?;
    let mut marks = BTreeMap::new();
    for line in text.lines() {
        let (mark, id) = line
            .strip_prefix(':')
            .and_then(|l| l.split_once(' '))
            .with_context(|| format!("marks file: {line:?}"))?;
        marks.insert(mark.parse()?, id.to_owned());
    }
    Ok(marks)
}

/// Mark of the base import.
pub fn base_mark() -> usize {
    BASE_MARK
}
