//! Releases of the kernel that a Debian archive has: packaged kernels and source archives.
//!
//! Owns apt, which runs nowhere else and here with lists, cache and keys of its own, so that the
//! system's packages are never touched. apt checks every signature and hash. Must not know git, jobs
//! or Postgres.

mod apt;
mod index;

use std::path::{Path, PathBuf};
use std::time::Duration;

pub use index::{File, Kind, Release};

use sha2::{Digest, Sha256};

use apt::Apt;

/// Time for the lists of an archive.
const UPDATE: Duration = Duration::from_secs(600);
/// Time for reading them.
const READ: Duration = Duration::from_secs(120);
/// Time for the files of one release.
const DOWNLOAD: Duration = Duration::from_secs(3600);
/// How a tree of releases is named: `debian:sid,trixie-backports`.
const SCHEME: &str = "debian:";
const SUITES_MAX: usize = 8;

/// Why an archive could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LadderError {
    /// The request's fault.
    #[error("{0}")]
    Bad(String),
    /// The archive does not have it, or not any more.
    #[error("{0}")]
    Gone(String),
    /// Our failure, or the archive's for the moment: network, disk, time.
    #[error("{0}")]
    Failed(String),
}

/// The suites that a tree's URL names; `None` when it is no ladder.
///
/// # Errors
/// When it names none, too many, or something that is no suite.
pub fn suites(url: &str) -> Option<Result<Vec<String>, LadderError>> {
    let named = url.strip_prefix(SCHEME)?;
    let suites: Vec<String> = named.split(',').map(str::to_owned).collect();
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    let is_suite = |s: &String| !s.is_empty() && s.len() <= 40 && s.bytes().all(plain);
    if suites.len() > SUITES_MAX || !suites.iter().all(is_suite) {
        return Some(Err(LadderError::Bad(format!(
            "{url:?} names no suites of Debian; write such as debian:sid,trixie-backports, at most \
             {SUITES_MAX}"
        ))));
    }
    Some(Ok(suites))
}

/// The ladders of a server; their state is in one directory each.
#[derive(Debug, Clone)]
pub struct Ladders {
    dir: PathBuf,
}

impl Ladders {
    pub fn new(dir: PathBuf) -> Ladders {
        Ladders { dir }
    }

    /// Every release that the suites have now, oldest version first.
    ///
    /// # Errors
    /// What apt says.
    pub async fn discover(
        &self,
        name: &str,
        suites: &[String],
    ) -> Result<Vec<Release>, LadderError> {
        let apt = Apt::open(&self.dir.join(name), suites)?;
        apt.update(UPDATE).await?;
        let packages = apt.cache(&["dumpavail"], READ).await?;
        let sources = apt
            .cache(&["showsrc", "--only-source", "linux"], READ)
            .await?;
        let releases = index::releases(&packages, &sources);
        if releases.is_empty() {
            return Err(LadderError::Bad(format!(
                "{SCHEME}{} has no packaged cloud kernel and no source of Linux",
                suites.join(",")
            )));
        }
        Ok(releases)
    }

    /// Fetches the files of a release into `to`, which exists.
    ///
    /// # Errors
    /// What apt says: an archive may have dropped what its lists still name.
    pub async fn fetch(
        &self,
        name: &str,
        suites: &[String],
        release: &Release,
        to: &Path,
    ) -> Result<Vec<PathBuf>, LadderError> {
        let apt = Apt::open(&self.dir.join(name), suites)?;
        match release.kind {
            Kind::Packaged => {
                let wanted = release.files.iter();
                let wanted: Vec<String> = wanted
                    .map(|f| format!("{}={}", f.package, f.version))
                    .collect();
                apt.download(&wanted, to, DOWNLOAD).await?;
            }
            Kind::Source => {
                for file in &release.files {
                    let wanted = format!("{}={}", file.package, file.version);
                    apt.source(&wanted, to, DOWNLOAD).await?;
                }
            }
        }
        fetched(release, to)
    }
}

/// The files of the release below `to`, each with the hash that the lists tell.
fn fetched(release: &Release, to: &Path) -> Result<Vec<PathBuf>, LadderError> {
    let failed = |e: &dyn std::fmt::Display| LadderError::Failed(format!("{}: {e}", to.display()));
    let mut found = Vec::new();
    for entry in std::fs::read_dir(to).map_err(|e| failed(&e))? {
        let path = entry.map_err(|e| failed(&e))?.path();
        let bytes = std::fs::read(&path).map_err(|e| failed(&e))?;
        let hash = hex::encode(Sha256::digest(bytes));
        if release.files.iter().any(|f| f.sha256 == hash) {
            found.push(path);
        }
    }
    found.sort();
    if found.len() == release.files.len() {
        return Ok(found);
    }
    Err(LadderError::Gone(format!(
        "apt fetched {} of the {} files of {}",
        found.len(),
        release.files.len(),
        release.version
    )))
}
