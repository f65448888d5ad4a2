//! What the sources of two releases differ in, in a few lines. Pure.
//!
//! Owns what is shown of it. Must not know where sources and lists of files come from.

use std::collections::BTreeMap;

use firstbad_api::job::{Changed, Changes};

use crate::relevance::Compiled;
use crate::repo::FileStat;

/// Directories and files shown, those that changed most.
const DIRECTORIES: usize = 12;
const FILES: usize = 20;
/// A directory is so many names deep.
const DEPTH: usize = 2;

/// The changes; only those of files that the kernels were compiled from, if that is known.
pub fn changes(stats: &[FileStat], compiled: Option<&Compiled>) -> Changes {
    let of = |s: &FileStat| Changed {
        path: s.path.clone(),
        files: 1,
        added: s.added.map_or(0, u64::from),
        removed: s.removed.map_or(0, u64::from),
    };
    let matters = |s: &&FileStat| compiled.is_none_or(|c| c.matters(&s.path));
    let mut files: Vec<Changed> = stats.iter().filter(matters).map(of).collect();
    let mut total = Changed::default();
    let mut directories: BTreeMap<String, Changed> = BTreeMap::new();
    for file in &files {
        add(&mut total, file);
        let path = directory(&file.path);
        let at = directories.entry(path.clone()).or_default();
        at.path = path;
        add(at, file);
    }
    let mut directories: Vec<Changed> = directories.into_values().collect();
    most(&mut directories, DIRECTORIES);
    most(&mut files, FILES);
    Changes {
        limited: compiled.is_some(),
        all: stats.len(),
        total,
        directories,
        files,
    }
}

fn add(to: &mut Changed, file: &Changed) {
    to.files += file.files;
    to.added += file.added;
    to.removed += file.removed;
}

fn directory(path: &str) -> String {
    let (above, _) = path.rsplit_once('/').unwrap_or(("", path));
    match above {
        "" => "(top)".to_owned(),
        above => above.split('/').take(DEPTH).collect::<Vec<_>>().join("/"),
    }
}

fn most(changed: &mut Vec<Changed>, count: usize) {
    changed.sort_by(|a, b| {
        let size = |c: &Changed| c.added + c.removed;
        size(b).cmp(&size(a)).then_with(|| a.path.cmp(&b.path))
    });
    changed.truncate(count);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stat(path: &str, added: u32) -> FileStat {
        FileStat {
            path: path.to_owned(),
            added: Some(added),
            removed: Some(1),
        }
    }

    #[test]
    fn only_what_was_compiled_counts_and_the_largest_come_first() {
        let mut stats = vec![
            stat("fs/btrfs/tests/a.c", 2),
            stat("fs/btrfs/file.c", 5),
            stat("fs/ext4/file.c", 3),
            stat("Documentation/index.rst", 900),
            stat("Makefile", 1),
        ];
        let mut compiled = Compiled::default();
        compiled.add("fs/btrfs/file.c\nfs/btrfs/tests/a.c\nfs/ext4/file.c\n");
        let found = changes(&stats, Some(&compiled));
        assert_eq!((found.limited, found.all), (true, 5));
        let total = (found.total.files, found.total.added, found.total.removed);
        assert_eq!(total, (4, 11, 4));
        let directories: Vec<(&str, u64)> = found
            .directories
            .iter()
            .map(|d| (d.path.as_str(), d.added))
            .collect();
        assert_eq!(directories, [("fs/btrfs", 7), ("fs/ext4", 3), ("(top)", 1)]);
        assert_eq!(found.files[0].path, "fs/btrfs/file.c");
        stats.extend((0..100).map(|n| stat(&format!("drivers/d{n}/x/y.c"), n)));
        let all = changes(&stats, None);
        assert!(!all.limited && all.total.files == 105);
        assert_eq!(
            (all.directories.len(), all.files.len()),
            (DIRECTORIES, FILES)
        );
        assert_eq!(all.files[0].path, "Documentation/index.rst");
    }
}
