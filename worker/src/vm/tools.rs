//! Host programs a suite uses, with the shared libraries they need.
//!
//! Owns finding them and their digest, which is part of the test identity.
//! Must not know archives or suites. The programs are the worker's own and
//! trusted; only their *names* come from a suite.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use firstbad_api::qemu;
use sha2::{Digest, Sha256};

use crate::error::{Context, InfraError};

/// The programs whose versions make up the toolset of a worker.
pub const USUAL: &[&str] = &[
    "/lib/x86_64-linux-gnu/libacl.so.1",
    "/lib/x86_64-linux-gnu/libaio.so.1",
    "/lib/x86_64-linux-gnu/libattr.so.1",
    "/lib/x86_64-linux-gnu/libbtrfsutil.so.1",
    "/lib/x86_64-linux-gnu/libcap.so.2",
    "/lib/x86_64-linux-gnu/libgcc_s.so.1",
    "/lib/x86_64-linux-gnu/libhandle.so.1",
    "/lib/x86_64-linux-gnu/liburing.so.2",
    "/lib/x86_64-linux-gnu/libuuid.so.1",
    "attr",
    "b2sum",
    "base64",
    "basename",
    "bash",
    "bc",
    "blkdiscard",
    "blkid",
    "blockdev",
    "btrfs",
    "btrfs-convert",
    "btrfs-image",
    "btrfs-map-logical",
    "btrfstune",
    "busybox",
    "capsh",
    "cat",
    "chacl",
    "chattr",
    "chgrp",
    "chmod",
    "chown",
    "cksum",
    "cmp",
    "comm",
    "cp",
    "crun",
    "cut",
    "date",
    "dd",
    "debugfs",
    "df",
    "diff",
    "dirname",
    "dmesg",
    "dmsetup",
    "du",
    "dumpe2fs",
    "e2fsck",
    "env",
    "expand",
    "expr",
    "fallocate",
    "filefrag",
    "find",
    "findmnt",
    "flock",
    "fold",
    "free",
    "fsfreeze",
    "fstrim",
    "gawk",
    "getcap",
    "getfacl",
    "getfattr",
    "getopt",
    "grep",
    "gzip",
    "head",
    "hostname",
    "id",
    "install",
    "ionice",
    "join",
    "link",
    "ln",
    "losetup",
    "ls",
    "lsattr",
    "md5sum",
    "mkdir",
    "mkfifo",
    "mkfs",
    "mkfs.btrfs",
    "mkfs.ext4",
    "mknod",
    "mkswap",
    "mktemp",
    "mount",
    "mountpoint",
    "mv",
    "nl",
    "nproc",
    "od",
    "paste",
    "perl",
    "pgrep",
    "pkill",
    "printf",
    "ps",
    "pwd",
    "readlink",
    "realpath",
    "renice",
    "resize2fs",
    "rm",
    "rmdir",
    "sed",
    "seq",
    "setcap",
    "setfacl",
    "setfattr",
    "setpriv",
    "sha1sum",
    "sha256sum",
    "shuf",
    "sleep",
    "sort",
    "split",
    "stat",
    "stdbuf",
    "stty",
    "sum",
    "swapoff",
    "swapon",
    "sync",
    "sysctl",
    "tac",
    "tail",
    "tar",
    "taskset",
    "tee",
    "test",
    "timeout",
    "touch",
    "tr",
    "truncate",
    "tune2fs",
    "umount",
    "uname",
    "uniq",
    "unlink",
    "unshare",
    "uuidgen",
    "wc",
    "wipefs",
    "xargs",
    "xfs_freeze",
    "xfs_io",
    "yes",
];
/// Loaded by glibc at run time for `pthread_cancel`, so that `ldd` does not show it.
const HIDDEN: &str = "libgcc_s.so.1";
/// Tools one suite may name.
const COUNT_MAX: usize = 256;

/// A shared library that a suite names by its absolute path, because it is
/// loaded at run time; nothing but the system's own libraries.
fn library(path: &str) -> Result<PathBuf, InfraError> {
    let refused = || {
        InfraError::Failed(format!(
            "the suite names the host file {path:?}, which is not a library of the system"
        ))
    };
    let real = std::fs::canonicalize(path).map_err(|_| refused())?;
    let is_library = path.contains(".so")
        && !path.contains("/../")
        && ["/lib/", "/lib64/", "/usr/lib/", "/usr/lib64/"]
            .iter()
            .any(|dir| path.starts_with(dir) && real.starts_with("/usr/lib"));
    is_library.then_some(real).ok_or_else(refused)
}

/// Finds a program in `PATH` and in the system's own directories.
pub fn find(name: &str) -> Result<PathBuf, InfraError> {
    if !is_plain(name) {
        return Err(InfraError::Failed(format!(
            "the suite names the host program {name:?}, which is not a plain file name"
        )));
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let system = ["/usr/bin", "/usr/sbin", "/bin", "/sbin"].map(PathBuf::from);
    std::env::split_paths(&path)
        .filter(|dir| dir.is_absolute())
        .chain(system)
        .map(|dir| dir.join(name))
        .find(|file| file.is_file())
        .ok_or_else(|| {
            InfraError::Failed(format!(
                "the suite needs the host program `{name}`, which is not installed on this worker"
            ))
        })
}

fn is_plain(name: &str) -> bool {
    let ok = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '+');
    name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.len() <= 64
        && name.chars().all(ok)
}

/// Resolves programs and every library they load: path in the guest → file of the host.
pub fn closure(names: &[String]) -> Result<BTreeMap<String, PathBuf>, InfraError> {
    if names.len() > COUNT_MAX {
        return Err(InfraError::Failed(format!(
            "the suite names {} host programs; at most {COUNT_MAX} are allowed",
            names.len()
        )));
    }
    let mut files = BTreeMap::new();
    let mut programs = Vec::new();
    for name in names {
        if name.starts_with('/') {
            files.insert(name.clone(), library(name)?);
            continue;
        }
        let program = find(name)?;
        programs.push(program.clone());
        files.insert(format!("/bin/{name}"), program);
    }
    for library in libraries(&programs)? {
        files.insert(library.to_string_lossy().into_owned(), library);
    }
    Ok(files)
}

/// The shared libraries of programs, loader included; none for static ones and scripts.
fn libraries(programs: &[PathBuf]) -> Result<Vec<PathBuf>, InfraError> {
    if programs.is_empty() {
        return Ok(Vec::new());
    }
    // Its exit code says that one of them is no dynamic program.
    let out = Command::new("ldd")
        .arg("--")
        .args(programs)
        .env("LC_ALL", "C")
        .output()
        .context("cannot run ldd")?;
    let text = String::from_utf8_lossy(&out.stdout);
    let mut found = Vec::new();
    let mut program = programs[0].to_string_lossy();
    for line in text.lines() {
        if let Some(next) = line.strip_suffix(':').filter(|l| l.starts_with('/')) {
            program = next.into();
            continue;
        }
        if line.contains("not found") {
            return Err(InfraError::Failed(format!(
                "the host program {program} lacks a library: {}",
                line.trim()
            )));
        }
        found.extend(library_of(line).map(PathBuf::from));
    }
    let hidden = found
        .iter()
        .find(|l| l.file_name().is_some_and(|n| n == "libc.so.6"))
        .map(|libc| libc.with_file_name(HIDDEN))
        .filter(|path| path.is_file());
    found.extend(hidden);
    Ok(found)
}

/// The path in one line of `ldd`: `name => /path (0x…)` or `/path (0x…)`.
fn library_of(line: &str) -> Option<&str> {
    let line = line.trim();
    let path = line.split_once(" => ").map_or(line, |(_, path)| path);
    let path = path.split_once(" (").map_or(path, |(path, _)| path);
    path.starts_with('/').then_some(path)
}

/// SHA-256 over the named files, the usual host programs with their libraries, what compiles
/// a user's C source, and how a machine is made: a job keeps to one toolset, so none of its runs is
/// compared with one of other flags when workers are upgraded meanwhile.
///
/// A program that is missing counts as missing: installing it changes the toolset.
pub fn digest(own: &[PathBuf]) -> Result<String, InfraError> {
    let mut hash = Sha256::new();
    for path in own {
        add(&mut hash, &file_name(path), path)?;
    }
    hash.update(programs_digest()?);
    hash.update(qemu::recipe());
    Ok(hex::encode(hash.finalize()))
}

/// The same over the host's own programs.
pub fn programs_digest() -> Result<String, InfraError> {
    let mut hash = Sha256::new();
    let mut there = Vec::new();
    for name in USUAL {
        let found = match name.starts_with('/') {
            true => library(name).is_ok(),
            false => find(name).is_ok(),
        };
        match found {
            true => there.push((*name).to_owned()),
            false => hash.update(format!("{name} absent\n")),
        }
    }
    for (inside, host) in closure(&there)? {
        add(&mut hash, &inside, &host)?;
    }
    add_compiler(&mut hash)?;
    Ok(hex::encode(hash.finalize()))
}

/// The compiler by its version, and the library that it links into every static program.
fn add_compiler(hash: &mut Sha256) -> Result<(), InfraError> {
    let ask = |option: &str| {
        let out = Command::new("gcc").arg(option).env("LC_ALL", "C").output();
        out.map(|out| String::from_utf8_lossy(&out.stdout).into_owned())
    };
    let Ok(version) = ask("--version") else {
        hash.update("gcc absent\n");
        return Ok(());
    };
    hash.update(version.lines().next().unwrap_or_default());
    let library = ask("-print-file-name=libc.a").context("cannot run gcc")?;
    match Path::new(library.trim()) {
        path if path.is_absolute() => add(hash, "libc.a", path),
        _ => {
            hash.update("libc.a absent\n");
            Ok(())
        }
    }
}

fn file_name(path: &Path) -> String {
    path.file_name()
        .map(|n| n.to_string_lossy().into_owned())
        .unwrap_or_default()
}

fn add(hash: &mut Sha256, name: &str, path: &Path) -> Result<(), InfraError> {
    let data =
        std::fs::read(path).map_err(|e| InfraError::failed(format!("cannot read {path:?}"), e))?;
    hash.update(format!("{name} {}\n", data.len()));
    hash.update(data);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_lines_of_ldd() {
        assert_eq!(
            library_of("\tlibc.so.6 => /lib/x/libc.so.6 (0x00007f)"),
            Some("/lib/x/libc.so.6")
        );
        assert_eq!(
            library_of("\t/lib64/ld-linux-x86-64.so.2 (0x00007f)"),
            Some("/lib64/ld-linux-x86-64.so.2")
        );
        assert_eq!(library_of("\tlinux-vdso.so.1 (0x00007f)"), None);
    }

    #[test]
    fn a_name_with_a_path_or_an_option_is_refused() {
        for name in ["../evil", "/bin/sh", "-rf", "", ".", "a b", &"a".repeat(65)] {
            let error = find(name).unwrap_err().to_string();
            assert!(error.contains("not a plain file name"), "{error}");
        }
    }

    #[test]
    fn only_libraries_may_be_named_by_path() {
        let libc = "/lib/x86_64-linux-gnu/libc.so.6".to_owned();
        assert!(
            closure(std::slice::from_ref(&libc))
                .unwrap()
                .contains_key(&libc)
        );
        for path in ["/etc/shadow", "/usr/lib/../../etc/x.so", "/lib/missing.so"] {
            let error = closure(&[path.to_owned()]).unwrap_err().to_string();
            assert!(error.contains("not a library of the system"), "{error}");
        }
    }

    #[test]
    fn what_the_suites_name_is_part_of_the_toolset() {
        let suites = Path::new(env!("CARGO_MANIFEST_DIR")).join("../suites");
        let below = |dir: PathBuf| std::fs::read_dir(dir).into_iter().flatten().flatten();
        let mut named = 0;
        for area in below(suites) {
            for suite in below(area.path()) {
                let Ok(text) = std::fs::read_to_string(suite.path().join("suite.toml")) else {
                    continue;
                };
                let spec: firstbad_api::suite::SuiteSpec = toml::from_str(&text).unwrap();
                for tool in &spec.tools {
                    assert!(USUAL.contains(&tool.as_str()), "{}: {tool}", spec.name);
                    named += 1;
                }
            }
        }
        assert!(named > 100, "{named}");
    }

    #[test]
    fn a_missing_program_is_named() {
        let error = find("no-such-program-anywhere").unwrap_err().to_string();
        assert!(error.contains("`no-such-program-anywhere`"), "{error}");
    }

    #[test]
    fn the_closure_of_a_dynamic_program_holds_its_loader() {
        let files = closure(&["ls".to_owned()]).unwrap();
        assert!(files.contains_key("/bin/ls"), "{files:?}");
        assert!(files.keys().any(|p| p.contains("ld-linux")), "{files:?}");
        assert!(files.keys().any(|p| p.ends_with("/libc.so.6")), "{files:?}");
    }
}
