//! A writer of `newc` cpio archives, the only format the kernel unpacks.
//!
//! Owns determinism: entries sorted by path, one fixed time, uid 0, inode
//! numbers in order. The same entries give the same bytes on every machine.
//! Must not know what the files are for.

use std::collections::BTreeMap;

/// 2025-01-01T00:00:00Z, the same instant the virtual clock starts at.
const MTIME: u32 = 1_735_689_600;
/// The kernel reads concatenated archives when each begins on a 4 byte boundary.
const BLOCK: usize = 512;
/// The magic and thirteen numbers of eight digits.
const HEADER: usize = 6 + 13 * 8;

enum Node {
    Dir,
    File { mode: u32, data: Vec<u8> },
    Link(String),
    Char { mode: u32, major: u32, minor: u32 },
}

/// An archive in the making.
#[derive(Default)]
pub struct Archive {
    nodes: BTreeMap<String, Node>,
}

impl Archive {
    /// Adds a directory and its parents; what is there already stays.
    pub fn dir(&mut self, path: &str) {
        self.parents(path);
        self.nodes
            .entry(relative(path).to_owned())
            .or_insert(Node::Dir);
    }

    /// Adds a file with its permission bits; a later file of the same path wins.
    pub fn file(&mut self, path: &str, mode: u32, data: Vec<u8>) {
        self.add(path, Node::File { mode, data });
    }

    /// Adds a symbolic link.
    pub fn link(&mut self, path: &str, target: &str) {
        self.add(path, Node::Link(target.to_owned()));
    }

    /// Adds a character device.
    pub fn char_device(&mut self, path: &str, mode: u32, major: u32, minor: u32) {
        self.add(path, Node::Char { mode, major, minor });
    }

    fn add(&mut self, path: &str, node: Node) {
        self.parents(path);
        self.nodes.insert(relative(path).to_owned(), node);
    }

    fn parents(&mut self, path: &str) {
        let path = relative(path);
        for (at, _) in path.match_indices('/') {
            self.nodes.entry(path[..at].to_owned()).or_insert(Node::Dir);
        }
    }

    /// The archive's bytes, padded so that another archive may follow.
    pub fn bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for (ino, (path, node)) in (1u32..).zip(&self.nodes) {
            let (mode, links, dev, data): (u32, u32, (u32, u32), &[u8]) = match node {
                Node::Dir => (0o040_755, 2, (0, 0), &[]),
                Node::File { mode, data } => (0o100_000 | mode, 1, (0, 0), data),
                Node::Link(target) => (0o120_777, 1, (0, 0), target.as_bytes()),
                Node::Char { mode, major, minor } => (0o020_000 | mode, 1, (*major, *minor), &[]),
            };
            entry(&mut out, ino, mode, links, dev, path, data);
        }
        entry(&mut out, 0, 0, 1, (0, 0), "TRAILER!!!", &[]);
        pad(&mut out, BLOCK);
        out
    }
}

/// The content of a file in an archive made by [`Archive`]; hostile bytes give `None`.
pub fn find<'a>(archive: &'a [u8], path: &str) -> Option<&'a [u8]> {
    let mut at = 0;
    loop {
        let head = archive.get(at..at + HEADER)?;
        let field = |n: usize| {
            let digits = head.get(6 + 8 * n..14 + 8 * n)?;
            usize::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
        };
        let (size, name) = (field(6)?, field(11)?);
        let start = (at + HEADER + name).next_multiple_of(4);
        let named = archive.get(at + HEADER..(at + HEADER + name).checked_sub(1)?)?;
        if !head.starts_with(b"070701") || named == b"TRAILER!!!" {
            return None;
        }
        if named == relative(path).as_bytes() {
            return archive.get(start..start + size);
        }
        at = (start + size).next_multiple_of(4);
    }
}

fn relative(path: &str) -> &str {
    path.trim_start_matches('/')
}

fn entry(
    out: &mut Vec<u8>,
    ino: u32,
    mode: u32,
    links: u32,
    (major, minor): (u32, u32),
    name: &str,
    data: &[u8],
) {
    let mtime = if ino == 0 { 0 } else { MTIME };
    let fields = [
        ino,
        mode,
        0,
        0,
        links,
        mtime,
        data.len() as u32,
        0,
        0,
        major,
        minor,
        name.len() as u32 + 1,
        0,
    ];
    out.extend_from_slice(b"070701");
    for field in fields {
        out.extend_from_slice(format!("{field:08x}").as_bytes());
    }
    out.extend_from_slice(name.as_bytes());
    out.push(0);
    pad(out, 4);
    out.extend_from_slice(data);
    pad(out, 4);
}

fn pad(out: &mut Vec<u8>, to: usize) {
    out.resize(out.len().next_multiple_of(to), 0);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(order: bool) -> Archive {
        let mut a = Archive::default();
        let mut files = [("/b/c/x", "one"), ("/a", "two"), ("/b/a", "three")];
        if order {
            files.reverse();
        }
        for (path, data) in files {
            a.file(path, 0o755, data.into());
        }
        a.link("/bin/sh", "busybox");
        a.char_device("/dev/console", 0o600, 5, 1);
        a.dir("/proc");
        a
    }

    #[test]
    fn the_order_of_adding_does_not_matter() {
        assert_eq!(sample(false).bytes(), sample(true).bytes());
        assert_eq!(sample(false).bytes().len() % 512, 0);
    }

    #[test]
    fn a_file_is_found_again_and_nonsense_is_not_followed() {
        let bytes = sample(true).bytes();
        assert_eq!(find(&bytes, "/b/c/x"), Some(&b"one"[..]));
        assert_eq!(find(&bytes, "/b/a"), Some(&b"three"[..]));
        assert_eq!(find(&bytes, "/b/b"), None);
        for cut in 0..bytes.len() {
            let _no_panic = find(&bytes[..cut], "/b/c/x");
            let mut wild = bytes.clone();
            wild[cut] = b'f';
            let _no_panic = find(&wild, "/nothing");
        }
    }

    #[test]
    fn the_systems_cpio_reads_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.cpio");
        std::fs::write(&path, sample(false).bytes()).unwrap();
        let out = std::process::Command::new("cpio")
            .args(["-itv", "--quiet", "-F"])
            .arg(&path)
            .output()
            .unwrap();
        assert!(out.status.success(), "{out:?}");
        let names: Vec<String> = String::from_utf8(out.stdout)
            .unwrap()
            .lines()
            .map(|l| l.split_whitespace().skip(8).collect::<Vec<_>>().join(" "))
            .collect();
        assert_eq!(names[..5], ["a", "b", "b/a", "b/c", "b/c/x"]);
        assert_eq!(names[5..8], ["bin", "bin/sh -> busybox", "dev"]);
        assert!(names[8].ends_with("dev/console"), "{names:?}");
    }

    #[test]
    fn parents_come_before_children_and_a_file_is_aligned() {
        let bytes = sample(false).bytes();
        let at = |needle: &[u8]| bytes.windows(needle.len()).position(|w| w == needle);
        assert!(at(b"b\0").unwrap() < at(b"b/c\0").unwrap());
        assert!(at(b"b/c\0").unwrap() < at(b"b/c/x\0").unwrap());
        assert_eq!(at(b"three").unwrap() % 4, 0);
    }
}
