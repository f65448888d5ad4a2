//! The sources that went into a kernel, from the dependency files that the build left.
//!
//! Owns their form (kbuild's `.NAME.cmd`). The object directory is a stranger's: links are not
//! followed, sizes are bounded. Must not know what the list is for.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use crate::untrusted;

/// Where the sandbox sees the source.
const SOURCE: &str = "/src/";
/// Dependency files read, at most, and bytes of each.
const FILES: usize = 100_000;
const BYTES: u64 = 4 << 20;
/// Directories below each other, at most.
const DEPTH: usize = 40;
/// Longest path, bytes.
const PATH: usize = 400;

/// Paths in the tree, sorted; what cannot be read is left out.
pub fn sources(objects: &Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut left = FILES;
    walk(objects, "", DEPTH, &mut left, &mut found);
    found
}

fn walk(objects: &Path, below: &str, depth: usize, left: &mut usize, found: &mut BTreeSet<String>) {
    let Ok(entries) = std::fs::read_dir(objects.join(below)) else {
        return;
    };
    for entry in entries.flatten() {
        let (Ok(kind), Ok(name)) = (entry.file_type(), entry.file_name().into_string()) else {
            continue;
        };
        let path = match below {
            "" => name.clone(),
            _ => format!("{below}/{name}"),
        };
        if kind.is_dir() && depth > 0 {
            walk(objects, &path, depth - 1, left, found);
        } else if kind.is_file() && name.starts_with('.') && name.ends_with(".cmd") && *left > 0 {
            *left -= 1;
            read(objects, &path, found);
        }
    }
}

/// A dependency is a word of its own line; the source is what `source_NAME` is set to.
fn read(objects: &Path, name: &str, found: &mut BTreeSet<String>) {
    let Ok(file) = untrusted::open(objects, name) else {
        return;
    };
    for line in BufReader::new(file.take(BYTES))
        .split(b'\n')
        .map_while(Result::ok)
    {
        let Ok(line) = str::from_utf8(&line) else {
            continue;
        };
        let value = match line.strip_prefix("source_") {
            Some(source) => source.split_once(" := ").map_or("", |(_, value)| value),
            None if line.starts_with([' ', '\t']) => line,
            None => continue,
        };
        let word = value.trim().trim_end_matches('\\').trim();
        if let Some(path) = word.strip_prefix(SOURCE).filter(|p| is_path(p)) {
            found.insert(path.to_owned());
        }
    }
}

fn is_path(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_graphic() && !"$()*\\".contains(c);
    (1..=PATH).contains(&text.len()) && text.chars().all(plain) && !text.contains("/../")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_and_headers_are_read_and_links_are_not() {
        let dir = tempfile::tempdir().unwrap();
        let (obj, other) = (dir.path().join("obj"), dir.path().join("other"));
        std::fs::create_dir_all(obj.join("fs/btrfs")).unwrap();
        std::fs::create_dir(&other).unwrap();
        let text = "savedcmd_x := gcc /src/no.c\n\nsource_fs/btrfs/file.o := /src/fs/btrfs/file.c\n\n\
                    deps_fs/btrfs/file.o := \\\n    $(wildcard include/config/X) \\\n  \
                    /src/include/linux/fs.h \\\n  include/generated/a.h \\\n  /src/$(evil) \\\n  \
                    /src/a/../../b \\\n  /usr/include/x.h \\\n";
        std::fs::write(obj.join("fs/btrfs/.file.o.cmd"), text).unwrap();
        std::fs::write(obj.join("fs/btrfs/file.cmd"), "  /src/not-hidden.h\n").unwrap();
        std::fs::write(other.join(".o.cmd"), "  /src/secret.h\n").unwrap();
        std::os::unix::fs::symlink(&other, obj.join("link")).unwrap();
        std::os::unix::fs::symlink(other.join(".o.cmd"), obj.join(".l.cmd")).unwrap();
        let found: Vec<String> = sources(&obj).into_iter().collect();
        assert_eq!(found, ["fs/btrfs/file.c", "include/linux/fs.h"]);
    }
}
