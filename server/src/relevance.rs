//! Which files can change a kernel: those that were compiled into it, and what says how to build.
//!
//! Owns the reading of the workers' lists. Pure; must not know where they come from.

use std::collections::HashSet;

/// The sources of some kernels.
#[derive(Debug, Default)]
pub struct Compiled {
    files: HashSet<String>,
    /// Every directory above one of them, without a slash at the end; the root is "".
    dirs: HashSet<String>,
}

impl Compiled {
    /// Adds a list: paths in the tree, one on each line.
    pub fn add(&mut self, list: &str) {
        for path in list.lines().filter(|l| !l.is_empty()) {
            let mut above = path;
            while let Some((dir, _)) = above.rsplit_once('/') {
                if !self.dirs.insert(dir.to_owned()) {
                    break;
                }
                above = dir;
            }
            self.files.insert(path.to_owned());
        }
        self.dirs.insert(String::new());
    }

    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// Whether a change of this file may change one of the kernels: it was compiled, it configures,
    /// or it is a makefile or a linker script on the way to one that was.
    pub fn matters(&self, path: &str) -> bool {
        let (dir, name) = path.rsplit_once('/').unwrap_or(("", path));
        let builds = ["Makefile", "Kbuild"].iter().any(|n| name.starts_with(n));
        let links = name.ends_with(".lds") || name.ends_with(".lds.S");
        name.starts_with("Kconfig")
            || path.starts_with("scripts/")
            || ((builds || links) && self.dirs.contains(dir))
            || self.files.contains(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_compiled_and_what_builds_it_matters() {
        let mut compiled = Compiled::default();
        assert!(compiled.is_empty());
        compiled.add("fs/btrfs/file.c\ninclude/linux/fs.h\n");
        compiled.add("arch/x86/kernel/vmlinux.lds.S\n");
        for path in [
            "fs/btrfs/file.c",
            "include/linux/fs.h",
            "fs/btrfs/Makefile",
            "fs/Makefile",
            "Makefile",
            "drivers/scsi/Kconfig",
            "scripts/link-vmlinux.sh",
            "arch/x86/kernel/vmlinux.lds.S",
        ] {
            assert!(compiled.matters(path), "{path}");
        }
        for path in [
            "fs/btrfs/zoned.c",
            "drivers/scsi/Makefile",
            "Documentation/index.rst",
            "file.c",
            "fs/btrfs",
        ] {
            assert!(!compiled.matters(path), "{path}");
        }
    }
}
