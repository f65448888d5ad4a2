//! The selftests of a tree, built in the sandbox with its kernel.
//!
//! Owns how they are built: into an archive that can only add to `/kselftest` in
//! the guest. What a tree lacks or cannot build is not there, which is the
//! tests' to tell (skip) and never the kernel's failure. Must not know which
//! tests there are or how they are run.

use std::path::{Path, PathBuf};

use firstbad_api::artefact::KSELFTEST;
use firstbad_api::lease::BuildWork;
use firstbad_api::limits::KSELFTEST_BYTES;
use firstbad_api::observation::GuestArchive;

use crate::apart::Apart;
use crate::buildlines::BuildLines;
use crate::buildlog::BuildLog;
use crate::dirs::{remove_dir, sandbox_dir};
use crate::error::{Context, InfraError};
use crate::installed::{Installed, is_plain, signature};
use crate::kbuild::{Built, Kbuild, Step};
use crate::process::Until;
use crate::sandbox::Sandbox;

/// Where a kernel's source has them.
pub const TESTS: &str = "tools/testing/selftests";
/// Builds them; see the file.
const SCRIPT: &str = include_str!("kselftest.sh");
/// What it leaves in the object directory.
const INSTALLED: Installed = Installed {
    dir: "kselftest/installed",
    list: "kselftest/files",
    guest: "/kselftest",
    name: KSELFTEST,
    bytes: KSELFTEST_BYTES,
};

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
    let tests = (work.tree.as_str(), work.kselftest.as_slice());
    let done = make(kbuild, tests, (source, objects), scratch, log, until).await?;
    if let Step::Failed(line) = done {
        log.note(&format!("no selftests: {line}")).context("log")?;
    }
    INSTALLED.archive(objects, scratch)
}

/// Builds `targets` of a kernel's source with the compilers of this machine and without a worker's
/// caches; the archive is then in `dir` under its name.
pub async fn of_source(
    sandbox: &Sandbox,
    source: &Path,
    targets: &[String],
    dir: &Path,
) -> Result<Step<GuestArchive>, InfraError> {
    let mut apart = Apart::new(sandbox, dir, "kselftest.log").await?;
    let Apart {
        kbuild, log, until, ..
    } = &mut apart;
    let objects = objects(kbuild, "kselftest", dir)?;
    let tests = ("kselftest", targets);
    let done = make(kbuild, tests, (source, &objects), dir, log, until).await?;
    apart.close()?;
    if let Step::Failed(line) = done {
        return Ok(Step::Failed(format!("no selftests: {line}")));
    }
    let archive = INSTALLED.archive(&objects, dir)?;
    remove_dir(&objects)?;
    Ok(Step::Done(archive))
}

/// Builds the targets of `tests`; its tree names the caches.
async fn make(
    kbuild: &Kbuild,
    (tree, targets): (&str, &[String]),
    (source, objects): (&Path, &Path),
    scratch: &Path,
    log: &mut BuildLog,
    until: &Until,
) -> Result<Step<()>, InfraError> {
    let mut args: Vec<String> = ["-c", SCRIPT, "kselftest", &targets.join(" ")]
        .map(str::to_owned)
        .into();
    args.extend(kbuild.make_args());
    let spec = kbuild.spec(tree, source, objects, scratch);
    let command = kbuild.sandbox().command(&spec, "sh", &args);
    let mut lines = BuildLines::default();
    let what = "building selftests";
    kbuild.run(command, what, &mut lines, log, until).await
}

/// A directory in `scratch` for selftests that are built apart from a kernel.
fn objects(kbuild: &Kbuild, tree: &str, scratch: &Path) -> Result<PathBuf, InfraError> {
    let objects = scratch.join("selftests");
    for dir in kbuild.work_dirs(tree, &objects, scratch) {
        sandbox_dir(kbuild.sandbox(), &dir)?;
    }
    Ok(objects)
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
    let objects = objects(kbuild, &work.tree, scratch)?;
    let archive = build(kbuild, work, (source, &objects), scratch, log, until).await?;
    built.signature = signature(&built.signature, &archive);
    built.archives.push(archive);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_a_folder_below_the_selftests() {
        let check = |name: &str| check(&[name.to_owned()]);
        assert!(check("filesystems/statmount").is_ok());
        for bad in ["", "../x", "/x", "a b", "-k", "a//b", "$(x)", "a;b"] {
            assert!(check(bad).is_err(), "{bad}");
        }
    }
}
