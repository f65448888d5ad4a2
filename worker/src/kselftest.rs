//! The selftests of a tree, built in the sandbox with its kernel.
//!
//! Owns how they are built and what is taken: plain files below the directory
//! they were installed to, into an archive that can only add to `/kselftest` in
//! the guest. What a tree lacks or cannot build is not there, which is the
//! tests' to tell (skip) and never the kernel's failure. Must not know which
//! tests there are or how they are run.

use std::io::Read;
use std::path::Path;

use firstbad_api::artefact::KSELFTEST;
use firstbad_api::lease::BuildWork;
use firstbad_api::limits::KSELFTEST_BYTES;
use firstbad_api::observation::GuestArchive;
use sha2::{Digest, Sha256};

use crate::buildlines::BuildLines;
use crate::buildlog::BuildLog;
use crate::dirs::sandbox_dir;
use crate::error::{Context, InfraError};
use crate::kbuild::{Built, Kbuild, Step};
use crate::process::Until;
use crate::untrusted;
use crate::vm::Archive;

/// Builds them; see the file.
const SCRIPT: &str = include_str!("kselftest.sh");
/// Where they are in the object directory.
const INSTALLED: &str = "kselftest/installed";
/// The list of their files, one on each line.
const FILES: &str = "kselftest/files";
/// Bytes of that list, and of one path in it.
const FILES_BYTES: u64 = 1 << 20;
const PATH_BYTES: usize = 200;
/// Where they are in the guest.
const GUEST: &str = "/kselftest";

/// Refuses names that are no folder below `tools/testing/selftests`.
pub fn check(targets: &[String]) -> Result<(), InfraError> {
    match targets.iter().find(|t| !is_plain(t)) {
        Some(bad) => Err(InfraError::Failed(format!(
            "the suite names the selftests {bad:?}, which is not a folder's name"
        ))),
        None => Ok(()),
    }
}

/// Builds the selftests of `source`, with `objects` for what comes out, and archives them in `scratch`.
/// That they cannot be built is no failure of the kernel.
pub async fn build(
    kbuild: &Kbuild,
    work: &BuildWork,
    (source, objects): (&Path, &Path),
    scratch: &Path,
    log: &mut BuildLog,
    until: &Until,
) -> Result<GuestArchive, InfraError> {
    let targets = work.kselftest.join(" ");
    let mut args: Vec<String> = ["-c", SCRIPT, "kselftest", &targets]
        .map(str::to_owned)
        .into();
    args.extend(kbuild.make_args());
    let spec = kbuild.spec(&work.tree, source, objects, scratch);
    let command = kbuild.sandbox().command(&spec, "sh", &args);
    let mut lines = BuildLines::default();
    let what = "building selftests";
    let done = kbuild.run(command, what, &mut lines, log, until).await?;
    if let Step::Failed(line) = done {
        log.note(&format!("no selftests: {line}")).context("log")?;
    }
    collect(objects, scratch)
}

/// Builds those of another revision than the kernel's, apart from its objects, and makes them part of
/// what is tested.
pub async fn add_pinned(
    kbuild: &Kbuild,
    work: &BuildWork,
    source: &Path,
    scratch: &Path,
    built: &mut Built,
    log: &mut BuildLog,
    until: &Until,
) -> Result<(), InfraError> {
    check(&work.kselftest)?;
    let objects = scratch.join("selftests");
    for dir in kbuild.work_dirs(&work.tree, &objects, scratch) {
        sandbox_dir(kbuild.sandbox(), &dir)?;
    }
    let archive = build(kbuild, work, (source, &objects), scratch, log, until).await?;
    built.signature = signature(&built.signature, &archive);
    built.archives.push(archive);
    Ok(())
}

/// The signature of a kernel and the selftests that go with it.
pub fn signature(kernel: &str, tests: &GuestArchive) -> String {
    hex::encode(Sha256::digest(format!("{kernel} {:?}", [tests])))
}

/// Writes the archive of what was built to `scratch`. Nothing built makes an archive without tests.
fn collect(objects: &Path, scratch: &Path) -> Result<GuestArchive, InfraError> {
    let mut archive = Archive::default();
    archive.dir(GUEST);
    let list = untrusted::text(objects, FILES, FILES_BYTES).unwrap_or_default();
    let mut left = KSELFTEST_BYTES;
    for name in list.lines().filter(|name| is_plain(name)) {
        // From above what the sandbox can write: it may have put a link in a folder's place.
        let Ok(file) = untrusted::open(objects, &format!("{INSTALLED}/{name}")) else {
            continue;
        };
        let mut bytes = Vec::new();
        file.take(left + 1)
            .read_to_end(&mut bytes)
            .context("cannot read a selftest")?;
        // All of those that fit: which ones is a function of the tree.
        let Some(rest) = left.checked_sub(bytes.len() as u64) else {
            continue;
        };
        left = rest;
        archive.file(&format!("{GUEST}/{name}"), 0o755, bytes);
    }
    let bytes = archive.bytes();
    std::fs::write(scratch.join(KSELFTEST), &bytes)
        .context("cannot write the selftests' archive")?;
    Ok(GuestArchive {
        name: KSELFTEST.to_owned(),
        sha256: hex::encode(Sha256::digest(&bytes)),
    })
}

/// A relative path of ordinary words.
fn is_plain(path: &str) -> bool {
    let word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '+');
    path.len() <= PATH_BYTES
        && path
            .split('/')
            .all(|part| !part.starts_with(['.', '-']) && !part.is_empty() && part.chars().all(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_files_of_plain_names_are_taken() {
        let dir = tempfile::tempdir().unwrap();
        let installed = dir.path().join(INSTALLED);
        std::fs::create_dir_all(installed.join("a")).unwrap();
        std::fs::write(dir.path().join("secret"), "secret").unwrap();
        for name in ["a/test", "list.txt"] {
            std::fs::write(installed.join(name), name).unwrap();
        }
        std::os::unix::fs::symlink(dir.path().join("secret"), installed.join("a/link")).unwrap();
        let empty = collect(dir.path(), dir.path()).unwrap();
        let list = "a/test\na/link\n../../secret\n/etc/passwd\na/none\nlist.txt\n";
        std::fs::write(dir.path().join(FILES), list).unwrap();
        let made = collect(dir.path(), dir.path()).unwrap();
        assert_ne!(made.sha256, empty.sha256);
        let bytes = std::fs::read(dir.path().join(made.name)).unwrap();
        let text = String::from_utf8_lossy(&bytes);
        assert!(text.contains("kselftest/a/test") && text.contains("kselftest/list.txt"));
        assert!(!text.contains("secret") && !text.contains("passwd") && !text.contains("link"));
    }

    #[test]
    fn a_link_in_place_of_the_folder_is_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let objects = dir.path().join("obj");
        let installed = objects.join(INSTALLED);
        std::fs::create_dir_all(installed.parent().unwrap()).unwrap();
        std::fs::write(dir.path().join("token"), "secret").unwrap();
        std::os::unix::fs::symlink(dir.path(), &installed).unwrap();
        std::fs::write(objects.join(FILES), "token\n").unwrap();
        let made = collect(&objects, dir.path()).unwrap();
        let bytes = std::fs::read(dir.path().join(made.name)).unwrap();
        assert!(!String::from_utf8_lossy(&bytes).contains("secret"));
    }

    #[test]
    fn a_target_is_a_folder_below_the_selftests() {
        let check = |name: &str| check(&[name.to_owned()]);
        assert!(check("filesystems/statmount").is_ok());
        for bad in ["", "../x", "/x", "a b", "-k", "a//b", "$(x)", "a;b"] {
            assert!(check(bad).is_err(), "{bad}");
        }
    }
}
