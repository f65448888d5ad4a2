//! Files full of a seeded pattern, and damage done to devices below them.

use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Read, Write};
use std::os::unix::fs::FileExt;

use crate::Failure;
use crate::seed::Rng;

/// Unit of the pattern: each block depends on the seed and its own number.
const BLOCK: usize = 4096;
/// Blocks read in one go while searching a device.
const SEARCH: usize = 256;

/// One block of the pattern of `seed`.
pub fn block(seed: u64, number: u64) -> [u8; BLOCK] {
    let mut rng = Rng::new(seed ^ number.rotate_left(32), "pattern");
    let mut bytes = [0; BLOCK];
    for word in bytes.chunks_exact_mut(8) {
        word.copy_from_slice(&rng.next().to_le_bytes());
    }
    bytes
}

/// Writes a file of `bytes` bytes and syncs it.
pub fn write(path: &str, seed: u64, bytes: u64) -> Result<(), Failure> {
    let err = |e| Failure::call(path, e);
    let mut file = BufWriter::with_capacity(1 << 18, File::create(path).map_err(err)?);
    for (number, length) in blocks(bytes) {
        file.write_all(&block(seed, number)[..length])
            .map_err(err)?;
    }
    let file = file
        .into_inner()
        .map_err(|e| Failure::call(path, e.error()))?;
    file.sync_all().map_err(err)
}

/// Compares a file with the pattern, length included.
pub fn verify(path: &str, seed: u64, bytes: u64) -> Result<(), Failure> {
    let err = |e| Failure::call(path, e);
    let mut file = File::open(path).map_err(err)?;
    let size = file.metadata().map_err(err)?.len();
    if size != bytes {
        return Err(Failure::Wrong(format!(
            "{path} has {size} bytes, not {bytes}"
        )));
    }
    let mut buffer = [0; BLOCK];
    for (number, length) in blocks(bytes) {
        file.read_exact(&mut buffer[..length]).map_err(err)?;
        compare(
            path,
            number * BLOCK as u64,
            &buffer[..length],
            &block(seed, number)[..length],
        )?;
    }
    Ok(())
}

/// Tells the first difference between what is there and what must be.
pub fn compare(path: &str, offset: u64, found: &[u8], wanted: &[u8]) -> Result<(), Failure> {
    if found == wanted {
        return Ok(());
    }
    let at = found.iter().zip(wanted).position(|(a, b)| a != b);
    let bad = found.iter().zip(wanted).filter(|(a, b)| a != b).count();
    let at = at.unwrap_or(found.len().min(wanted.len()));
    let byte = |of: &[u8]| {
        of.get(at)
            .map_or("nothing".to_owned(), |b| format!("{b:02x}"))
    };
    Err(Failure::Wrong(format!(
        "{path} at byte {}: found {}, wanted {}; {bad} of {} bytes differ",
        offset + at as u64,
        byte(found),
        byte(wanted),
        wanted.len()
    )))
}

/// Inverts `bytes` bytes of a device at `offset`.
pub fn corrupt(path: &str, offset: u64, bytes: u64) -> Result<(), Failure> {
    let err = |e| Failure::call(path, e);
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .open(path)
        .map_err(err)?;
    let length = usize::try_from(bytes).map_err(|e| Failure::call(path, e))?;
    let mut buffer = vec![0; length.min(1 << 20)];
    file.read_exact_at(&mut buffer, offset).map_err(err)?;
    buffer.iter_mut().for_each(|b| *b = !*b);
    file.write_all_at(&buffer, offset).map_err(err)?;
    file.sync_all().map_err(err)?;
    println!(
        "fbtool: inverted {} bytes of {path} at {offset}",
        buffer.len()
    );
    Ok(())
}

/// Finds the first block of the pattern of `seed` on a device and inverts it.
pub fn corrupt_pattern(path: &str, seed: u64) -> Result<(), Failure> {
    let err = |e| Failure::call(path, e);
    let wanted = block(seed, 0);
    let mut device = File::open(path).map_err(err)?;
    let mut buffer = vec![0; SEARCH * BLOCK];
    let mut offset = 0;
    loop {
        let n = device.read(&mut buffer).map_err(err)?;
        if n == 0 {
            return Err(Failure::Call(format!("{path} does not hold the pattern")));
        }
        if let Some(found) = buffer[..n].chunks(BLOCK).position(|b| b == wanted) {
            return corrupt(path, offset + (found * BLOCK) as u64, BLOCK as u64);
        }
        offset += n as u64;
    }
}

/// Block numbers and lengths that make up `bytes`.
fn blocks(bytes: u64) -> impl Iterator<Item = (u64, usize)> {
    let size = BLOCK as u64;
    (0..bytes.div_ceil(size)).map(move |n| {
        let length = (bytes - n * size).min(size);
        (n, usize::try_from(length).unwrap_or(BLOCK))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damage_is_seen() {
        let name = format!("fbtool-pattern-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let path = path.to_str().unwrap();
        write(path, 7, 10_000).unwrap();
        verify(path, 7, 10_000).unwrap();
        assert!(matches!(verify(path, 8, 10_000), Err(Failure::Wrong(_))));
        assert!(matches!(verify(path, 7, 9_999), Err(Failure::Wrong(_))));
        corrupt_pattern(path, 7).unwrap();
        assert!(matches!(verify(path, 7, 10_000), Err(Failure::Wrong(_))));
        assert!(matches!(corrupt_pattern(path, 7), Err(Failure::Call(_))));
        std::fs::remove_file(path).unwrap();
    }
}
