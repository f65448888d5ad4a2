//! What a case leaves behind: processes, mounts, cgroups. Found, told, removed.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::mount::{UnmountFlags, unmount};

use crate::procs;

/// Entries told at most.
pub const REPORTED: usize = 50;
const CGROUPS: &str = "/sys/fs/cgroup";
/// Cgroups looked at, at most.
const CGROUP_SCAN: usize = 10_000;
/// Time for processes that are about to end, guest time.
const SETTLE: Duration = Duration::from_millis(200);
const NAME_CHARS: usize = 200;

/// The machine before the first case.
pub struct Baseline {
    mounts: BTreeSet<String>,
    cgroups: BTreeSet<PathBuf>,
}

impl Baseline {
    /// Remembers what is there now.
    pub fn take() -> Result<Baseline, String> {
        Ok(Baseline {
            mounts: mount_points()?.into_iter().collect(),
            cgroups: cgroups().into_iter().collect(),
        })
    }

    /// Lists what was not there at the start, then removes it, so that the
    /// next case does not answer for this one.
    pub fn sweep(&self) -> Result<Vec<String>, String> {
        let settled = Instant::now() + SETTLE;
        while !procs::list().is_empty() && Instant::now() < settled {
            std::thread::sleep(SETTLE / 20);
            procs::reap(0);
        }
        let mut left: Vec<String> = procs::list()
            .into_iter()
            .map(|p| format!("process {}", p.name))
            .collect();
        let (stuck, _) = procs::kill_all(0);
        left.extend(stuck.into_iter().map(|p| format!("unkillable {}", p.name)));
        for point in mount_points()?.into_iter().rev() {
            if !self.mounts.contains(&point) {
                left.push(format!("mount {}", short(&point)));
                if unmount(point.as_str(), UnmountFlags::empty()).is_err() {
                    let _ = unmount(point.as_str(), UnmountFlags::DETACH);
                }
            }
        }
        for group in cgroups().into_iter().rev() {
            if !self.cgroups.contains(&group) {
                left.push(format!("cgroup {}", short(&group.to_string_lossy())));
                let _ = fs::remove_dir(&group);
            }
        }
        left.truncate(REPORTED);
        Ok(left)
    }
}

fn short(text: &str) -> String {
    text.chars().take(NAME_CHARS).collect()
}

/// Mount points of this namespace, in mount order.
fn mount_points() -> Result<Vec<String>, String> {
    let table = fs::read_to_string("/proc/self/mounts")
        .map_err(|e| format!("read /proc/self/mounts: {e}"))?;
    Ok(table
        .lines()
        .filter_map(|l| l.split(' ').nth(1).map(unescape))
        .collect())
}

/// Undoes the octal escapes of `/proc/self/mounts`.
fn unescape(text: &str) -> String {
    let mut out = text.to_owned();
    for (code, plain) in [
        ("\\040", " "),
        ("\\011", "\t"),
        ("\\012", "\n"),
        ("\\134", "\\"),
    ] {
        out = out.replace(code, plain);
    }
    out
}

/// All cgroups below the root, parents before children.
fn cgroups() -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut todo = vec![Path::new(CGROUPS).to_path_buf()];
    while let Some(dir) = todo.pop() {
        let Ok(entries) = fs::read_dir(&dir) else {
            continue;
        };
        let mut inside: Vec<PathBuf> = entries
            .flatten()
            .filter(|e| e.file_type().is_ok_and(|t| t.is_dir()))
            .map(|e| e.path())
            .collect();
        inside.sort();
        if found.len() + inside.len() > CGROUP_SCAN {
            break;
        }
        found.extend(inside.iter().cloned());
        todo.extend(inside);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_of_mount_points() {
        assert_eq!(unescape("/a\\040b\\134c"), "/a b\\c");
    }
}
