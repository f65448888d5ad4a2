//! The guest's file system: PID 1, host programs, the suite, the plan.
//!
//! Owns what is in the guest before it starts. Two archives, one after the
//! other: a base that many runs share (guest binary, host programs) and one of
//! this run (suite files, plan). Must not know QEMU.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use firstbad_api::artefact::{INITRAMFS_BASE, INITRAMFS_RUN};
use firstbad_api::guest::{GuestCase, GuestPlan, PLAN_PATH};
use firstbad_api::lease::TestWork;
use firstbad_api::limits::SHIFT_MAX;
use firstbad_api::observation::GuestArchive;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

use super::cpio::Archive;
use super::tools;
use crate::error::{Context, InfraError};

/// Label of the key from which nonces are made; see [`nonce`].
const NONCE_LABEL: &[u8] = b"firstbad nonce 1";
/// Suite files of one run, bytes.
const SUITE_BYTES: usize = 16 << 20;

/// Bases kept in memory; some 20 MiB each.
const BASES: usize = 8;

/// The shared part of an initramfs.
pub struct Base {
    bytes: Vec<u8>,
    hash: Sha256,
    sha256: String,
}

/// Base archives by the programs they hold, made once per worker process.
#[derive(Default)]
pub struct Bases {
    /// Programs and hashes of archives, what was made of them.
    made: Mutex<BTreeMap<[Vec<String>; 2], Arc<Base>>>,
}

/// An initramfs on disk.
pub struct Initramfs {
    pub path: PathBuf,
    pub sha256: String,
    /// The archives it is made of, in order: name, hash, bytes.
    pub parts: [Part; 2],
    /// What the guest is to do.
    pub plan: GuestPlan,
}

/// One of the archives of an initramfs.
#[derive(Debug, Clone)]
pub struct Part {
    /// Its name as an artefact.
    pub name: &'static str,
    pub sha256: String,
    pub path: PathBuf,
}

impl Bases {
    /// The base with these host programs and archives, of which `files` are the files.
    pub fn get(
        &self,
        guest_dir: &Path,
        tools: &[String],
        archives: &[GuestArchive],
        files: &[PathBuf],
    ) -> Result<Arc<Base>, InfraError> {
        let mut tools = tools.to_vec();
        tools.push("busybox".to_owned());
        tools.sort();
        tools.dedup();
        let hashes = archives.iter().map(|a| a.sha256.clone()).collect();
        let key = [tools, hashes];
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(base) = made.get(&key) {
            return Ok(base.clone());
        }
        let mut bytes = base(guest_dir, &key[0])?.bytes();
        for (archive, file) in archives.iter().zip(files) {
            let more = read(file)?;
            if hex::encode(Sha256::digest(&more)) != archive.sha256 {
                return Err(InfraError::Failed(format!(
                    "{} is not the file that was asked for",
                    archive.name
                )));
            }
            bytes.extend(more);
        }
        let hash = Sha256::new().chain_update(&bytes);
        let base = Arc::new(Base {
            sha256: hex::encode(hash.clone().finalize()),
            bytes,
            hash,
        });
        if made.len() >= BASES {
            made.clear();
        }
        made.insert(key, base.clone());
        Ok(base)
    }
}

/// The programs of PID 1, which every toolset digest covers.
pub fn guest_programs(guest_dir: &Path) -> [PathBuf; 2] {
    ["firstbad-guest", "fbtool"].map(|name| guest_dir.join(name))
}

fn base(guest_dir: &Path, tools: &[String]) -> Result<Archive, InfraError> {
    let mut a = Archive::default();
    for dir in [
        "bin", "dev", "etc", "lib", "lib64", "mnt", "proc", "root", "run", "sbin", "suite", "sys",
        "tmp", "usr/bin", "usr/sbin", "var",
    ] {
        a.dir(dir);
    }
    a.char_device("/dev/console", 0o600, 5, 1);
    a.char_device("/dev/null", 0o666, 1, 3);
    let [guest, fbtool] = guest_programs(guest_dir);
    a.file("/init", 0o755, read(&guest)?);
    a.file("/bin/fbtool", 0o755, read(&fbtool)?);
    for (inside, host) in tools::closure(tools)? {
        a.file(&inside, 0o755, read(&host)?);
    }
    // PID 1 installs the other names; what is here already keeps its place.
    a.link("/bin/sh", "busybox");
    a.file(
        "/etc/passwd",
        0o644,
        b"root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n".to_vec(),
    );
    a.file(
        "/etc/group",
        0o644,
        b"root:x:0:\nnogroup:x:65534:\n".to_vec(),
    );
    Ok(a)
}

fn read(path: &Path) -> Result<Vec<u8>, InfraError> {
    std::fs::read(path).map_err(|e| {
        InfraError::failed(
            format!("cannot read {} for the initramfs", path.display()),
            e,
        )
    })
}

/// Writes the initramfs of one run, with the suite's `files`, into `dir`.
pub fn write(
    base: &Base,
    work: &TestWork,
    files: Vec<(String, Vec<u8>)>,
    dir: &Path,
) -> Result<Initramfs, InfraError> {
    let nonce = nonce(base, work)?;
    let plan = plan(work, &nonce)?;
    let mut a = Archive::default();
    let size: usize = files.iter().map(|(_, content)| content.len()).sum();
    if size > SUITE_BYTES {
        return Err(InfraError::Failed(format!(
            "the suite's files have {size} bytes; at most {SUITE_BYTES} are allowed"
        )));
    }
    for (path, content) in files {
        a.file(&suite_path(&path)?, 0o755, content);
    }
    let orders = serde_json::to_vec(&plan).context("cannot write the guest's plan")?;
    a.file(PLAN_PATH, 0o600, orders);
    let run = a.bytes();

    let path = dir.join("initramfs.cpio");
    let mut file = File::create(&path).context("cannot create the initramfs")?;
    file.write_all(&base.bytes)
        .and_then(|()| file.write_all(&run))
        .context("cannot write the initramfs")?;
    let sha256 = hex::encode(base.hash.clone().chain_update(&run).finalize());
    let part = |name: &'static str, bytes: &[u8], sha256: String| {
        let path = dir.join(name);
        std::fs::write(&path, bytes).context("cannot write the initramfs")?;
        Ok::<_, InfraError>(Part { name, sha256, path })
    };
    let parts = [
        part(INITRAMFS_BASE, &base.bytes, base.sha256.clone())?,
        part(INITRAMFS_RUN, &run, hex::encode(Sha256::digest(&run)))?,
    ];
    Ok(Initramfs {
        path,
        sha256,
        parts,
        plan,
    })
}

/// Where a suite's file lies in the guest; refuses a path that leaves `/suite`.
fn suite_path(path: &str) -> Result<String, InfraError> {
    let bad = |part: &str| part.is_empty() || part == "." || part == "..";
    if path.split('/').any(bad) || path.contains(|c: char| c.is_control()) || path.len() > 200 {
        return Err(InfraError::Failed(format!(
            "the suite holds a file with the path {path:?}, which is not a plain relative path"
        )));
    }
    Ok(format!("/suite/{path}"))
}

fn plan(work: &TestWork, nonce: &str) -> Result<GuestPlan, InfraError> {
    let spec = &work.suite.spec;
    let unknown = |name: &&String| !spec.case.iter().any(|c| c.name == **name);
    if let Some(name) = work.cases.iter().find(unknown) {
        return Err(InfraError::Failed(format!(
            "the suite {} has no case {name:?}",
            spec.name
        )));
    }
    let cases = spec
        .case
        .iter()
        .filter(|c| work.cases.is_empty() || work.cases.contains(&c.name))
        .map(|c| {
            Ok(GuestCase {
                name: c.name.clone(),
                script: suite_path(&c.script)?,
                // As many instructions as with the usual clock.
                timeout_s: c.timeout_s << work.shape.shift.min(SHIFT_MAX),
                versions: c.versions(),
                excluded: c.excluded.clone(),
                patterns: c.patterns.clone(),
            })
        })
        .collect::<Result<_, InfraError>>()?;
    Ok(GuestPlan {
        nonce: nonce.to_owned(),
        seed: work.seed,
        calm: work.shape.calm,
        cases,
    })
}

/// What the guest signs its frames with: a keyed hash of the run's inputs.
///
/// The same run must have the same nonce on every worker, or the console and
/// the initramfs would differ, so the key is a public label and not a secret.
/// A test script cannot compute it by accident, and not on purpose either as
/// long as it does not know the image's hash (the plan is unlinked before a
/// case runs). The limit: someone who knows the kernel image beforehand, or a
/// case that reads PID 1's memory as root, can forge frames about its own run.
fn nonce(base: &Base, work: &TestWork) -> Result<String, InfraError> {
    let mut mac =
        Hmac::<Sha256>::new_from_slice(NONCE_LABEL).context("cannot make the run's nonce")?;
    let cases = work.cases.join("\n");
    let seed = work.seed.to_string();
    for input in [
        &work.image_sha256,
        &base.sha256,
        &work.suite.digest,
        &cases,
        &seed,
    ] {
        mac.update(&(input.len() as u64).to_le_bytes());
        mac.update(input.as_bytes());
    }
    Ok(hex::encode(&mac.finalize().into_bytes()[..16]))
}
