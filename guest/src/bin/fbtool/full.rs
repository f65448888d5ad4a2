//! Writing where space may end: many small files, and overwrites in place.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read};
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::Failure;
use crate::direct::{self, Buffer};
use crate::pattern::{block, compare};

const BLOCK: usize = 4096;
/// One direct write, bytes.
const DIRECT: usize = 64 << 10;

/// Creates files of `bytes` bytes until `most` are there or no space is left; the file
/// that did not fit is removed. Any other error than ENOSPC is a wrong result.
pub fn create(dir: &str, seed: u64, most: u64, bytes: u64) -> Result<(), Failure> {
    std::fs::create_dir(dir).map_err(|e| Failure::call(dir, e))?;
    let mut done = 0;
    while done < most {
        let path = Path::new(dir).join(done.to_string());
        match std::fs::write(&path, content(seed, done, bytes)) {
            Ok(()) => done += 1,
            Err(e) if e.kind() == ErrorKind::StorageFull => {
                if path.exists() {
                    std::fs::remove_file(&path)
                        .map_err(|e| Failure::Wrong(format!("remove on a full device: {e}")))?;
                }
                break;
            }
            Err(e) => return Err(Failure::Wrong(format!("create file {done}: {e}"))),
        }
    }
    println!("fbtool: {done} files");
    Ok(())
}

/// Checks the first `count` files that [`create`] made.
pub fn verify(dir: &str, seed: u64, count: u64, bytes: u64) -> Result<(), Failure> {
    for number in 0..count {
        let path = Path::new(dir).join(number.to_string());
        let name = path.to_string_lossy();
        let found = std::fs::read(&path).map_err(|e| Failure::Wrong(format!("{name}: {e}")))?;
        compare(&name, 0, &found, &content(seed, number, bytes))?;
    }
    Ok(())
}

fn content(seed: u64, number: u64, bytes: u64) -> Vec<u8> {
    let wanted = usize::try_from(bytes).unwrap_or(BLOCK);
    block(seed.wrapping_add(number), 0)
        .iter()
        .copied()
        .cycle()
        .take(wanted)
        .collect()
}

/// Overwrites an existing file with the pattern of `seed`, in place, and syncs it.
pub fn over(path: &str, seed: u64, bytes: u64) -> Result<(), Failure> {
    let err = |e| Failure::call(path, e);
    let file = OpenOptions::new().write(true).open(path).map_err(err)?;
    for number in 0..bytes / BLOCK as u64 {
        file.write_all_at(&block(seed, number), number * BLOCK as u64)
            .map_err(err)?;
    }
    file.sync_all().map_err(err)
}

/// The same with direct writes.
pub fn over_direct(path: &str, seed: u64, bytes: u64) -> Result<(), Failure> {
    let err = |e| Failure::call(path, e);
    let file = direct::open(path)?;
    let mut buffer = Buffer::new(DIRECT);
    let per_write = (DIRECT / BLOCK) as u64;
    for write in 0..bytes / DIRECT as u64 {
        let data = buffer.at(0, DIRECT);
        for (n, part) in (0..).zip(data.chunks_mut(BLOCK)) {
            part.copy_from_slice(&block(seed, write * per_write + n));
        }
        file.write_all_at(data, write * DIRECT as u64)
            .map_err(err)?;
    }
    file.sync_all().map_err(err)
}

/// Checks that each block is that of one seed or of the other.
pub fn either(path: &str, old: u64, new: u64, bytes: u64) -> Result<(), Failure> {
    let err = |e| Failure::call(path, e);
    let mut file = File::open(path).map_err(err)?;
    let mut buffer = [0; BLOCK];
    let mut renewed = 0;
    for number in 0..bytes / BLOCK as u64 {
        file.read_exact(&mut buffer).map_err(err)?;
        if buffer == block(new, number) {
            renewed += 1;
        } else {
            compare(path, number * BLOCK as u64, &buffer, &block(old, number))?;
        }
    }
    println!(
        "fbtool: {renewed} of {} blocks are new",
        bytes / BLOCK as u64
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pattern;

    #[test]
    fn old_and_new_blocks_are_told_from_torn_ones() {
        let name = format!("fbtool-full-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let path = path.to_str().unwrap();
        pattern::write(path, 1, 40_960).unwrap();
        either(path, 1, 2, 40_960).unwrap();
        over(path, 2, 20_480).unwrap();
        either(path, 1, 2, 40_960).unwrap();
        pattern::corrupt(path, 8192, 10).unwrap();
        assert!(matches!(either(path, 1, 2, 40_960), Err(Failure::Wrong(_))));
        std::fs::remove_file(path).unwrap();
    }

    #[test]
    fn small_files_are_checked_one_by_one() {
        let name = format!("fbtool-files-{}", std::process::id());
        let dir = std::env::temp_dir().join(name);
        let path = dir.to_str().unwrap();
        create(path, 3, 5, 5000).unwrap();
        verify(path, 3, 5, 5000).unwrap();
        assert!(matches!(verify(path, 4, 5, 5000), Err(Failure::Wrong(_))));
        std::fs::write(dir.join("4"), "short").unwrap();
        assert!(matches!(verify(path, 3, 5, 5000), Err(Failure::Wrong(_))));
        std::fs::remove_dir_all(dir).unwrap();
    }
}
