//! fstests, built in the sandbox once for each revision of it.
//!
//! Owns how it is built, and the archives of what was built, which every
//! candidate of a job and later jobs are given. That it cannot be built is the
//! failure of that revision; that this machine lacks what it needs is ours.
//! Must not know which tests there are or how they are run.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use firstbad_api::artefact::FSTESTS;
use firstbad_api::fstests::Pinned;
use firstbad_api::limits::FSTESTS_BYTES;
use firstbad_api::observation::GuestArchive;
use sha2::{Digest, Sha256};

use crate::apart::Apart;
use crate::buildlines::BuildLines;
use crate::buildlog::BuildLog;
use crate::client::Client;
use crate::dirs::{Dirs, remove_dir, sandbox_dir};
use crate::error::{Context, InfraError};
use crate::installed::{Installed, signature};
use crate::kbuild::{Built, Kbuild, Step};
use crate::process::Until;
use crate::sandbox::Sandbox;
use crate::{source, vm};

/// Builds it; see the file.
const SCRIPT: &str = include_str!("fstests.sh");
/// What it leaves in its directory.
const INSTALLED: Installed = Installed {
    dir: "fstests",
    list: "files",
    guest: "/fstests",
    name: FSTESTS,
    bytes: FSTESTS_BYTES,
};
/// What its build needs beyond that of a kernel, with the Debian package of each.
const NEEDED: &[(&str, &str)] = &[
    ("/usr/bin/aclocal", "automake"),
    ("/usr/bin/autoconf", "autoconf"),
    ("/usr/bin/libtoolize", "libtool"),
    ("/usr/include/libaio.h", "libaio-dev"),
    ("/usr/include/liburing.h", "liburing-dev"),
    ("/usr/include/btrfsutil.h", "libbtrfsutil-dev"),
    ("/usr/include/sys/acl.h", "libacl1-dev"),
    ("/usr/include/sys/capability.h", "libcap-dev"),
    ("/usr/include/uuid/uuid.h", "uuid-dev"),
    ("/usr/include/xfs/xfs.h", "xfslibs-dev"),
];

/// Its archive, from an earlier build of this worker or from a new one, under its name in `scratch`.
pub async fn archive(
    kbuild: &Kbuild,
    (dirs, client): (&Dirs, &Client),
    pinned: &Pinned,
    scratch: &Path,
    log: &mut BuildLog,
    until: &Until,
) -> Result<Step<GuestArchive>, InfraError> {
    let kept = kept(dirs, kbuild, &pinned.rev)?;
    let to = scratch.join(FSTESTS);
    if let Ok(bytes) = fs::read(&kept) {
        log.note(&format!("fstests {}: built before", pinned.rev))
            .context("log")?;
        fs::write(&to, &bytes).context("cannot write the archive of fstests")?;
        // The time stamp says when it was last of use.
        let _best_effort = fs::File::open(&kept).and_then(|f| f.set_modified(SystemTime::now()));
        return Ok(Step::Done(GuestArchive {
            name: FSTESTS.to_owned(),
            sha256: hex::encode(Sha256::digest(&bytes)),
        }));
    }
    log.note(&format!("fstests {}", pinned.rev))
        .context("log")?;
    let source = source::pinned(dirs, client, (&pinned.tree, &pinned.rev), until).await?;
    let built = build(kbuild, &pinned.tree, &source, scratch, log, until).await?;
    if let Step::Done(_) = &built {
        let new = kept.with_extension("new");
        // Whole or absent, also after a power failure: nobody looks into it again.
        fs::copy(&to, &new)
            .and_then(|_| fs::File::open(&new)?.sync_all())
            .and_then(|()| fs::rename(&new, &kept))
            .context("cannot keep the archive of fstests")?;
        dirs.prune();
    }
    Ok(built)
}

/// Where the archive of a revision is kept: what it is made with is in the name.
fn kept(dirs: &Dirs, kbuild: &Kbuild, rev: &str) -> Result<PathBuf, InfraError> {
    source::check_id(rev)?;
    let mut hash = Sha256::new();
    for part in [SCRIPT, kbuild.toolchain(), &vm::programs_digest()?] {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    let key = &hex::encode(hash.finalize())[..16];
    Ok(dirs.fstests().join(format!("{rev}-{key}.cpio")))
}

/// Builds the checkout `source` and archives it in `scratch`; `tree` names the caches.
pub async fn build(
    kbuild: &Kbuild,
    tree: &str,
    source: &Path,
    scratch: &Path,
    log: &mut BuildLog,
    until: &Until,
) -> Result<Step<GuestArchive>, InfraError> {
    check_host()?;
    let objects = scratch.join("fstests");
    for dir in kbuild.work_dirs(tree, &objects, scratch) {
        sandbox_dir(kbuild.sandbox(), &dir)?;
    }
    let jobs = kbuild.jobs().to_string();
    let args = ["-c", SCRIPT, "fstests", &jobs].map(str::to_owned);
    let spec = kbuild.spec(tree, source, &objects, scratch);
    let command = kbuild.sandbox().command(&spec, "sh", &args);
    let mut lines = BuildLines::default();
    let what = "building fstests";
    let done = kbuild.run(command, what, &mut lines, log, until).await?;
    if let Step::Failed(line) = done {
        return Ok(Step::Failed(format!("fstests cannot be built: {line}")));
    }
    let archive = INSTALLED.archive(&objects, scratch)?;
    remove_dir(&objects)?;
    Ok(Step::Done(archive))
}

/// Builds a checkout with the compilers of this machine and without a worker's caches; the archive is
/// then in `dir` under its name.
pub async fn of_checkout(
    sandbox: &Sandbox,
    checkout: &Path,
    dir: &Path,
) -> Result<Step<GuestArchive>, InfraError> {
    let mut apart = Apart::new(sandbox, dir, "fstests.log").await?;
    let Apart {
        kbuild, log, until, ..
    } = &mut apart;
    let built = build(kbuild, "fstests", checkout, dir, log, until).await?;
    apart.close()?;
    Ok(built)
}

/// Makes it part of what is tested.
pub fn add(built: &mut Built, archive: GuestArchive) {
    built.signature = signature(&built.signature, &archive);
    built.archives.push(archive);
}

fn check_host() -> Result<(), InfraError> {
    let missing: Vec<&str> = NEEDED
        .iter()
        .filter(|(file, _)| !Path::new(file).exists())
        .map(|(_, package)| *package)
        .collect();
    match missing.as_slice() {
        [] => Ok(()),
        packages => Err(InfraError::Failed(format!(
            "building fstests needs more than this worker has: run `apt-get install {}`",
            packages.join(" ")
        ))),
    }
}
