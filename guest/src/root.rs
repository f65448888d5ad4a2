//! The root file system: from the initramfs to a tmpfs that can be pivoted away from.
//!
//! The kernel's rootfs cannot be the old root of `pivot_root(2)`, which every
//! container runtime calls; so everything moves to a tmpfs first.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::mount::{MountFlags, mount, mount_move};

const NEW_ROOT: &str = "/newroot";
const BUSYBOX: &str = "/bin/busybox";

/// Moves to a tmpfs root and mounts the file systems that every case expects.
pub fn enter() -> Result<(), String> {
    make_dir(NEW_ROOT)?;
    mount_at("tmpfs", NEW_ROOT, "tmpfs", MountFlags::empty(), "mode=755")?;
    for name in sorted_names(Path::new("/"))? {
        let from = Path::new("/").join(&name);
        if from != Path::new(NEW_ROOT) {
            move_tree(&from, &Path::new(NEW_ROOT).join(&name))?;
        }
    }
    std::env::set_current_dir(NEW_ROOT).map_err(|e| format!("enter {NEW_ROOT}: {e}"))?;
    mount_move(".", "/").map_err(|e| format!("move {NEW_ROOT} to /: {e}"))?;
    rustix::process::chroot(".").map_err(|e| format!("chroot to the tmpfs: {e}"))?;
    std::env::set_current_dir("/").map_err(|e| format!("enter /: {e}"))?;
    mount_all()
}

fn mount_all() -> Result<(), String> {
    let none = MountFlags::empty();
    let safe = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    for (what, target, kind, flags, data) in [
        ("proc", "/proc", "proc", safe, ""),
        ("sysfs", "/sys", "sysfs", safe, ""),
        ("devtmpfs", "/dev", "devtmpfs", none, "mode=755"),
        (
            "devpts",
            "/dev/pts",
            "devpts",
            none,
            "ptmxmode=666,mode=620",
        ),
        ("tmpfs", "/dev/shm", "tmpfs", none, "mode=1777"),
        ("tmpfs", "/tmp", "tmpfs", none, "mode=1777"),
        ("tmpfs", "/run", "tmpfs", none, "mode=755"),
    ] {
        make_dir(target)?;
        mount_at(what, target, kind, flags, data)?;
    }
    // A kernel without cgroups can still run suites that need none.
    if fs::read_to_string("/proc/filesystems").is_ok_and(|t| t.contains("cgroup2")) {
        mount_at("cgroup2", "/sys/fs/cgroup", "cgroup2", safe, "")?;
    }
    for (name, target) in [
        ("fd", "/proc/self/fd"),
        ("stdin", "fd/0"),
        ("stdout", "fd/1"),
    ] {
        let _ = symlink(target, Path::new("/dev").join(name));
    }
    Ok(())
}

/// Creates the applet links of busybox; programs already there keep their place.
pub fn install_applets() -> Result<(), String> {
    Command::new(BUSYBOX)
        .args(["--install", "-s", "/bin"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .map(|_| ())
        .map_err(|e| format!("run {BUSYBOX} --install: {e}"))
}

fn make_dir(path: &str) -> Result<(), String> {
    fs::create_dir_all(path).map_err(|e| format!("create {path}: {e}"))
}

fn mount_at(
    what: &str,
    target: &str,
    kind: &str,
    flags: MountFlags,
    data: &str,
) -> Result<(), String> {
    let data = std::ffi::CString::new(data).map_err(|e| format!("mount data: {e}"))?;
    mount(what, target, kind, flags, data.as_c_str())
        .map_err(|e| format!("mount {kind} at {target}: {e}"))
}

fn sorted_names(dir: &Path) -> Result<Vec<std::ffi::OsString>, String> {
    let mut names = Vec::new();
    for entry in fs::read_dir(dir).map_err(|e| format!("list {}: {e}", dir.display()))? {
        names.push(
            entry
                .map_err(|e| format!("list {}: {e}", dir.display()))?
                .file_name(),
        );
    }
    names.sort();
    Ok(names)
}

/// Moves files, folders and links; device nodes stay (devtmpfs has them).
fn move_tree(from: &Path, to: &Path) -> Result<(), String> {
    let err = |e: std::io::Error| format!("move {}: {e}", from.display());
    let meta = fs::symlink_metadata(from).map_err(err)?;
    if meta.is_dir() {
        fs::create_dir(to).map_err(err)?;
        for name in sorted_names(from)? {
            move_tree(&from.join(&name), &to.join(&name))?;
        }
        fs::set_permissions(to, fs::Permissions::from_mode(meta.mode() & 0o7777)).map_err(err)?;
        // A folder with device nodes is not empty and stays.
        let _ = fs::remove_dir(from);
        return Ok(());
    }
    if meta.is_symlink() {
        symlink(fs::read_link(from).map_err(err)?, to).map_err(err)?;
    } else if meta.is_file() {
        fs::copy(from, to).map_err(err)?;
    } else {
        return Ok(());
    }
    fs::remove_file(from).map_err(err)
}
