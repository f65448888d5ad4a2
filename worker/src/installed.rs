//! Files that a stranger's program installed, as an archive for the guest.
//!
//! Owns what is taken: plain files of plain names below one directory, which the
//! program lists, into an archive that can only add to one folder of the guest.
//! Must not know what the files are.

use std::io::Read;
use std::path::Path;

use firstbad_api::observation::GuestArchive;
use sha2::{Digest, Sha256};

use crate::error::{Context, InfraError};
use crate::untrusted;
use crate::vm::Archive;

/// Bytes of the list of files, and of one path in it.
const LIST_BYTES: u64 = 1 << 20;
const PATH_BYTES: usize = 200;

/// Where the files are and what becomes of them.
pub struct Installed<'a> {
    /// Their directory, below what the sandbox can write.
    pub dir: &'a str,
    /// The list of them, one path below `dir` on each line.
    pub list: &'a str,
    /// Where they are in the guest.
    pub guest: &'a str,
    /// The archive's name as an artefact.
    pub name: &'a str,
    /// Bytes of them in all: the guest holds them in memory.
    pub bytes: u64,
}

impl Installed<'_> {
    /// Writes the archive of what is below `objects` to `scratch`. No file makes an empty one.
    pub fn archive(&self, objects: &Path, scratch: &Path) -> Result<GuestArchive, InfraError> {
        let mut archive = Archive::default();
        archive.dir(self.guest);
        let list = untrusted::text(objects, self.list, LIST_BYTES).unwrap_or_default();
        let mut left = self.bytes;
        for name in list.lines().filter(|name| is_plain(name)) {
            // From above what the sandbox can write: it may have put a link in a folder's place.
            let Ok(file) = untrusted::open(objects, &format!("{}/{name}", self.dir)) else {
                continue;
            };
            let mut bytes = Vec::new();
            file.take(left + 1)
                .read_to_end(&mut bytes)
                .context("cannot read what was installed")?;
            // All of those that fit: which ones is a function of the tree.
            let Some(rest) = left.checked_sub(bytes.len() as u64) else {
                continue;
            };
            left = rest;
            archive.file(&format!("{}/{name}", self.guest), 0o755, bytes);
        }
        let bytes = archive.bytes();
        std::fs::write(scratch.join(self.name), &bytes)
            .context("cannot write an archive for the guest")?;
        Ok(GuestArchive {
            name: self.name.to_owned(),
            sha256: hex::encode(Sha256::digest(&bytes)),
        })
    }
}

/// The signature of a kernel and of what goes with it into the guest.
pub fn signature(kernel: &str, archive: &GuestArchive) -> String {
    hex::encode(Sha256::digest(format!("{kernel} {:?}", [archive])))
}

/// A relative path of ordinary words.
pub fn is_plain(path: &str) -> bool {
    let word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '+');
    path.len() <= PATH_BYTES
        && path
            .split('/')
            .all(|part| !part.starts_with(['.', '-']) && !part.is_empty() && part.chars().all(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHAT: Installed = Installed {
        dir: "kselftest/installed",
        list: "kselftest/files",
        guest: "/kselftest",
        name: "kselftest.cpio",
        bytes: 1 << 20,
    };

    #[test]
    fn only_plain_files_of_plain_names_are_taken() {
        let dir = tempfile::tempdir().unwrap();
        let installed = dir.path().join(WHAT.dir);
        std::fs::create_dir_all(installed.join("a")).unwrap();
        std::fs::write(dir.path().join("secret"), "secret").unwrap();
        for name in ["a/test", "list.txt"] {
            std::fs::write(installed.join(name), name).unwrap();
        }
        std::os::unix::fs::symlink(dir.path().join("secret"), installed.join("a/link")).unwrap();
        let empty = WHAT.archive(dir.path(), dir.path()).unwrap();
        let list = "a/test\na/link\n../../secret\n/etc/passwd\na/none\nlist.txt\n";
        std::fs::write(dir.path().join(WHAT.list), list).unwrap();
        let made = WHAT.archive(dir.path(), dir.path()).unwrap();
        assert_ne!(made.sha256, empty.sha256);
        let bytes = std::fs::read(dir.path().join(made.name)).unwrap();
        let text = String::from_utf8_lossy(&bytes);
        assert!(text.contains("kselftest/a/test") && text.contains("kselftest/list.txt"));
        assert!(!text.contains("secret") && !text.contains("passwd") && !text.contains("link"));
    }

    #[test]
    fn a_link_in_place_of_the_folder_is_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let objects = dir.path().join("obj");
        let installed = objects.join(WHAT.dir);
        std::fs::create_dir_all(installed.parent().unwrap()).unwrap();
        std::fs::write(dir.path().join("token"), "secret").unwrap();
        std::os::unix::fs::symlink(dir.path(), &installed).unwrap();
        std::fs::write(objects.join(WHAT.list), "token\n").unwrap();
        let made = WHAT.archive(&objects, dir.path()).unwrap();
        let bytes = std::fs::read(dir.path().join(made.name)).unwrap();
        assert!(!String::from_utf8_lossy(&bytes).contains("secret"));
    }
}
