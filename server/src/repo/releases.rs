//! Releases as commits of a mirror: a line of commits that say what there is, and for each release
//! that somebody needed a commit that holds it.
//!
//! Owns how a release looks in git. All is a function of the releases, so that writing them again
//! changes nothing. Must not know where files come from.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use sha2::{Digest, Sha256};

use super::git::{self, Bound};
use super::read::read;
use super::scratch::Scratch;
use super::{OUR_MAIL, OUR_NAME, RemoveOnDrop, RepoError, Repos, failed, full_id};
use crate::ladder::{Kind, Release};

/// What a commit describes itself in.
const DESCRIPTION: &str = ".firstbad/release";
/// 2025-01-01: the ids of the commits do not depend on the clock.
const WHEN: u64 = 1_735_689_600;
/// A whole kernel tree.
const IMPORT: Bound = Bound {
    time: Duration::from_secs(1800),
    bytes: 1 << 20,
};
/// Largest file of a source archive, bytes.
const FILE_BYTES: u64 = 256 << 20;

/// A commit that describes a release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Described {
    pub rev: String,
    pub release: Release,
}

impl Repos {
    /// Makes the mirror `name` say that there are these releases, given in order. A tag with the
    /// version stands for the easiest form of each; `packaged/VERSION` and `source/VERSION` are lines
    /// of their own.
    pub async fn write_releases(
        &self,
        name: &str,
        releases: &[Release],
    ) -> Result<Vec<Described>, RepoError> {
        let _one = self.fetch_lock(name).await;
        let mirror = self.path(name);
        if !mirror.join("objects").is_dir() {
            self.init(name).await?;
        }
        let lines = lines(releases);
        let mut stream = Vec::new();
        for (prefix, line) in &lines {
            describe(&mut stream, prefix, line)?;
        }
        stream.extend_from_slice(b"done\n");
        let mut import = git::read(&mirror);
        import.args(["-c", "fastimport.unpackLimit=0"]);
        import.args(["fast-import", "--quiet", "--force", "--done"]);
        git::expect(import, Some(&stream), IMPORT).await?;
        let mut described = Vec::new();
        let mut kept = BTreeSet::new();
        for (prefix, line) in lines {
            for release in line {
                let tag = format!("refs/tags/{prefix}{}", release.version);
                let rev = self.resolve(name, &tag).await?.rev;
                kept.insert(tag);
                described.push(Described {
                    rev,
                    release: release.clone(),
                });
            }
        }
        self.drop_other_tags(name, &kept).await?;
        Ok(described)
    }

    async fn init(&self, name: &str) -> Result<(), RepoError> {
        tokio::fs::create_dir_all(&self.dir)
            .await
            .map_err(|e| failed("cannot make", &self.dir, e))?;
        let fresh = self.scratch(name, "new");
        let guard = RemoveOnDrop(fresh.clone());
        let mut init = git::command(None, "file");
        init.args(["init", "--quiet", "--bare", "--template="])
            .arg(&fresh);
        git::expect(init, None, Bound::QUICK).await?;
        self.place(name, guard).await
    }

    /// What the archive no longer has is no longer offered; commits that jobs know stay.
    async fn drop_other_tags(&self, name: &str, kept: &BTreeSet<String>) -> Result<(), RepoError> {
        let gone = self.refs(name, usize::MAX).await?;
        let mut script = String::new();
        for reference in gone.iter().map(|r| format!("refs/tags/{}", r.name)) {
            if !kept.contains(&reference) {
                script.push_str(&format!("delete {reference}\n"));
            }
        }
        let mut update = git::read(&self.path(name));
        update.args(["update-ref", "--stdin"]);
        git::expect(update, Some(script.as_bytes()), Bound::QUICK)
            .await
            .map(drop)
    }

    /// Whether a commit, given by its full id, only describes a release, whose source is not here yet.
    pub async fn describes_release(&self, name: &str, rev: &str) -> Result<bool, RepoError> {
        self.has_file(name, rev, DESCRIPTION).await
    }

    /// What a commit of the line describes.
    pub async fn described_release(&self, name: &str, rev: &str) -> Result<Release, RepoError> {
        let id = full_id(rev)?.to_owned();
        let text = read(self.mirror(name)?, move |repo| {
            let tree = repo.find_commit(git2::Oid::from_str(&id)?)?.tree()?;
            let entry = tree.get_path(Path::new(DESCRIPTION))?;
            let blob = repo.find_blob(entry.id())?;
            Ok(String::from_utf8_lossy(blob.content()).into_owned())
        });
        let text = text.await?;
        let broken = |e| RepoError::Failed(format!("{rev}: {DESCRIPTION}: {e}"));
        serde_json::from_str(&text).map_err(broken)
    }

    /// The commit that holds a release, once there is one.
    pub async fn held_release(
        &self,
        name: &str,
        release: &Release,
    ) -> Result<Option<String>, RepoError> {
        match self.resolve(name, &reference(release)?).await {
            Ok(found) => Ok(Some(found.rev)),
            Err(RepoError::UnknownRef { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Writes a commit that holds a release: its packages, or the source unpacked.
    ///
    /// # Errors
    /// When an archive cannot be read, or holds what git cannot.
    pub async fn hold_release(
        &self,
        name: &str,
        release: &Release,
        files: Vec<PathBuf>,
    ) -> Result<String, RepoError> {
        let mirror = self.mirror(name)?;
        let reference = reference(release)?;
        let scratch = Scratch::new(self, &mirror).await?;
        let file = scratch.file("import");
        let (to, of, said) = (file.clone(), release.clone(), reference.clone());
        let written = tokio::task::spawn_blocking(move || hold(&to, &of, &files, &said));
        written
            .await
            .map_err(|e| RepoError::Failed(e.to_string()))??;
        let open = std::fs::File::open(&file).map_err(|e| failed("cannot read", &file, e))?;
        let mut import = git::read(&mirror);
        import
            .args(["-c", "fastimport.unpackLimit=0"])
            .args(["fast-import", "--quiet", "--force", "--depth=0", "--done"])
            .stdin(open);
        git::expect(import, None, IMPORT).await?;
        Ok(self.resolve(name, &reference).await?.rev)
    }
}

/// Every line of releases with the prefix of its tags.
fn lines(releases: &[Release]) -> Vec<(&'static str, Vec<&Release>)> {
    let of = |kind: Kind| {
        releases
            .iter()
            .filter(|r| r.kind == kind)
            .collect::<Vec<_>>()
    };
    let mut easiest: BTreeMap<Vec<u32>, &Release> = BTreeMap::new();
    for release in releases {
        let known = easiest.entry(release.order()).or_insert(release);
        if release.kind < known.kind {
            *known = release;
        }
    }
    vec![
        ("", easiest.into_values().collect()),
        ("packaged/", of(Kind::Packaged)),
        ("source/", of(Kind::Source)),
    ]
}

fn describe(out: &mut Vec<u8>, prefix: &str, line: &[&Release]) -> Result<(), RepoError> {
    let mut before = None;
    for release in line {
        let reference = format!("refs/tags/{prefix}{}", release.version);
        let what = match release.kind {
            Kind::Packaged => "as Debian packages it",
            Kind::Source => "as source",
        };
        let mut message = format!("Linux {} ({what})\n\n", release.version);
        for file in &release.files {
            message.push_str(&format!("{} {}\n", file.package, file.version));
        }
        head(out, &reference, &message)?;
        if let Some(before) = before {
            write(out, format!("from {before}\n").as_bytes())?;
        }
        let text = serde_json::to_vec_pretty(release).map_err(unwritten)?;
        inline(
            out,
            "100644",
            DESCRIPTION,
            text.len() as u64,
            &mut text.as_slice(),
        )?;
        before = Some(reference);
    }
    Ok(())
}

fn hold(to: &Path, release: &Release, files: &[PathBuf], reference: &str) -> Result<(), RepoError> {
    let file = std::fs::File::create(to).map_err(|e| failed("cannot write", to, e))?;
    let mut out = BufWriter::with_capacity(1 << 20, file);
    head(&mut out, reference, &format!("Linux {}\n", release.version))?;
    for path in files {
        match release.kind {
            Kind::Packaged => package(&mut out, path)?,
            Kind::Source => source(&mut out, path)?,
        }
    }
    write(&mut out, b"done\n")?;
    out.flush().map_err(unwritten)
}

fn package(out: &mut impl Write, path: &Path) -> Result<(), RepoError> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let mut file = std::fs::File::open(path).map_err(|e| failed("cannot read", path, e))?;
    let bytes = file
        .metadata()
        .map_err(|e| failed("cannot read", path, e))?;
    let inside = format!("packages/{name}");
    inline(out, "100644", &inside, bytes.len(), &mut file)
}

/// The files of a compressed archive, without the folder that holds them all.
fn source(out: &mut impl Write, path: &Path) -> Result<(), RepoError> {
    let broken = |e: &dyn std::fmt::Display| failed("cannot read", path, e);
    let mut xz = std::process::Command::new("xz")
        .args(["--decompress", "--stdout", "--threads=0", "--"])
        .arg(path)
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|e| broken(&e))?;
    let stdout = xz
        .stdout
        .take()
        .ok_or_else(|| broken(&"xz has no output"))?;
    let mut input = BufReader::with_capacity(1 << 20, stdout);
    let written = unpack(out, &mut input, path);
    // An archive ends before its last block; xz fails when nobody reads that.
    let rest = std::io::copy(&mut input, &mut std::io::sink());
    drop(input);
    let ended = xz.wait().map_err(|e| broken(&e))?;
    rest.map_err(|e| broken(&e))?;
    // What is read of a program that failed is not what the archive holds.
    match ended.success() {
        true => written,
        false => Err(broken(&"xz failed")),
    }
}

fn unpack(out: &mut impl Write, input: impl Read, path: &Path) -> Result<(), RepoError> {
    let file = path.file_name().unwrap_or_default().to_string_lossy();
    let broken = |e: &dyn std::fmt::Display| RepoError::BadArchive(format!("{file}: {e}"));
    let mut archive = tar::Archive::new(input);
    for entry in archive.entries().map_err(|e| broken(&e))? {
        let mut entry = entry.map_err(|e| broken(&e))?;
        let name = entry.path().map_err(|e| broken(&e))?.into_owned();
        let Some(inside) = plain(&name) else {
            return Err(broken(&format!(
                "{}: such a name is not taken",
                name.display()
            )));
        };
        let header = entry.header();
        let mode = header.mode().map_err(|e| broken(&e))?;
        match header.entry_type() {
            tar::EntryType::Symlink => {
                let target = entry.link_name().map_err(|e| broken(&e))?;
                let target = target.unwrap_or_default().to_string_lossy().into_owned();
                inline(
                    out,
                    "120000",
                    &inside,
                    target.len() as u64,
                    &mut target.as_bytes(),
                )?;
            }
            tar::EntryType::Regular => {
                let size = entry.size();
                if size > FILE_BYTES {
                    return Err(broken(&format!("{inside}: {size} bytes")));
                }
                let mode = if mode & 0o100 == 0 {
                    "100644"
                } else {
                    "100755"
                };
                inline(out, mode, &inside, size, &mut entry)?;
            }
            _ => {}
        }
    }
    Ok(())
}

/// A path below the first folder that needs no quoting; empty for that folder itself.
fn plain(path: &Path) -> Option<String> {
    let text = path.to_str()?.trim_end_matches('/');
    let inside = text.split_once('/').map_or("", |(_, rest)| rest);
    let bad = |part: &str| matches!(part, "." | "..") || part.eq_ignore_ascii_case(".git");
    let strange = inside.contains(|c: char| c.is_control() || c == '"' || c == '\\');
    (!strange && !inside.split('/').any(bad)).then(|| inside.to_owned())
}

fn head(out: &mut impl Write, reference: &str, message: &str) -> Result<(), RepoError> {
    let mut text = format!("commit {reference}\n");
    for who in ["author", "committer"] {
        text.push_str(&format!("{who} {OUR_NAME} <{OUR_MAIL}> {WHEN} +0000\n"));
    }
    text.push_str(&format!("data {}\n{message}\n", message.len()));
    write(out, text.as_bytes())
}

fn inline(
    out: &mut impl Write,
    mode: &str,
    path: &str,
    bytes: u64,
    content: &mut impl Read,
) -> Result<(), RepoError> {
    write(
        out,
        format!("M {mode} inline {path}\ndata {bytes}\n").as_bytes(),
    )?;
    let copied = std::io::copy(&mut content.take(bytes), out).map_err(unwritten)?;
    if copied != bytes {
        return Err(RepoError::Failed(format!("{path}: it ends too early")));
    }
    write(out, b"\n")
}

fn write(out: &mut impl Write, bytes: &[u8]) -> Result<(), RepoError> {
    out.write_all(bytes).map_err(unwritten)
}

fn unwritten(error: impl std::fmt::Display) -> RepoError {
    RepoError::Failed(format!("cannot write what git imports: {error}"))
}

/// Keeps the commit that holds a release: another build of the same version is another.
fn reference(release: &Release) -> Result<String, RepoError> {
    let text = serde_json::to_vec(release).map_err(unwritten)?;
    let hash = hex::encode(Sha256::digest(text));
    let kind = release.kind.as_str();
    Ok(format!(
        "refs/firstbad/release/{}-{kind}-{}",
        release.version,
        &hash[..16]
    ))
}
