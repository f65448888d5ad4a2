//! Reads files that a stranger's program wrote.
//!
//! Owns the rule that a result is a plain file inside the directory it is
//! looked for in: the worker may be root, and a planted symlink must not make
//! it read its own secrets and upload them. Must not know what is read.

use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat2};
use sha2::{Digest, Sha256};

use crate::error::{Context, InfraError};

/// Opens `dir`/`name` without following any symlink below `dir`; plain files only.
pub fn open(dir: &Path, name: &str) -> Result<File, String> {
    let say = |why: &dyn std::fmt::Display| format!("{name}: {why}");
    let dir = openat2(
        CWD,
        dir,
        OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
        ResolveFlags::empty(),
    )
    .map_err(|e| say(&e))?;
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let beneath = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    let file = File::from(openat2(dir, name, flags, Mode::empty(), beneath).map_err(|e| say(&e))?);
    let meta = file.metadata().map_err(|e| say(&e))?;
    if meta.is_file() {
        Ok(file)
    } else {
        Err(say(&"not a plain file"))
    }
}

/// Reads at most `limit` bytes as text.
pub fn text(dir: &Path, name: &str, limit: u64) -> Result<String, String> {
    let mut bytes = Vec::new();
    open(dir, name)?
        .take(limit)
        .read_to_end(&mut bytes)
        .map_err(|e| format!("{name}: {e}"))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Copies `from` to `to` and returns the SHA-256 of what was copied; refuses more than `limit` bytes.
pub fn copy(from: File, to: &Path, limit: u64) -> Result<String, InfraError> {
    let say = || format!("cannot copy to {}", to.display());
    let mut source = from.take(limit + 1);
    let mut target = File::create(to).context(say())?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0u8; 1 << 20];
    let mut total = 0u64;
    loop {
        let n = source.read(&mut buffer).context(say())?;
        if n == 0 {
            return Ok(hex::encode(hash.finalize()));
        }
        total += n as u64;
        if total > limit {
            return Err(InfraError::failed(
                say(),
                format!("it is larger than {limit} bytes"),
            ));
        }
        hash.update(&buffer[..n]);
        target.write_all(&buffer[..n]).context(say())?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn a_planted_link_is_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let inside = dir.path().join("obj/arch");
        std::fs::create_dir_all(&inside).unwrap();
        std::fs::write(dir.path().join("token"), "secret").unwrap();
        std::fs::write(inside.join("image"), "kernel").unwrap();
        symlink(dir.path().join("token"), inside.join("link")).unwrap();
        symlink(dir.path(), inside.join("up")).unwrap();
        let obj = dir.path().join("obj");
        assert_eq!(text(&obj, "arch/image", 100).unwrap(), "kernel");
        for bad in [
            "arch/link",
            "arch/up/token",
            "../token",
            "arch",
            "arch/none",
        ] {
            assert!(open(&obj, bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn copies_are_hashed_and_bounded() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("a"), "abc").unwrap();
        let to = dir.path().join("b");
        let sum = copy(open(dir.path(), "a").unwrap(), &to, 3).unwrap();
        assert_eq!(
            sum,
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        assert!(copy(open(dir.path(), "a").unwrap(), &to, 2).is_err());
    }
}
