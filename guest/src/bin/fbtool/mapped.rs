//! Reads and writes through a shared memory mapping: the one place with unsafe code.
#![allow(unsafe_code)]

use std::fs::File;
use std::os::fd::AsFd;

use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

const PAGE: u64 = 4096;

/// Stores `bytes` at `offset` of the file through a mapping. The range must lie inside the file.
pub fn store(file: &File, offset: u64, bytes: &[u8]) -> std::io::Result<()> {
    let size = file.metadata()?.len();
    if bytes.is_empty() || offset + bytes.len() as u64 > size {
        return Err(std::io::ErrorKind::InvalidInput.into());
    }
    let base = offset / PAGE * PAGE;
    let skip = usize::try_from(offset - base).map_err(std::io::Error::other)?;
    let length = skip + bytes.len();
    let (read_write, shared) = (ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED);
    // SAFETY: a null hint lets the kernel choose a free range; the mapping is
    // used only below and no reference to it is made.
    let map = unsafe {
        mmap(
            std::ptr::null_mut(),
            length,
            read_write,
            shared,
            file.as_fd(),
            base,
        )?
    };
    // SAFETY: `map` is valid for `length` bytes, `skip + bytes.len() == length`,
    // and the source is ordinary memory that cannot overlap a fresh mapping.
    unsafe {
        std::ptr::copy_nonoverlapping(bytes.as_ptr(), map.cast::<u8>().add(skip), bytes.len());
    }
    // SAFETY: the range is exactly the mapping made above, not used afterwards.
    unsafe { munmap(map, length)? };
    Ok(())
}

/// Reads the eight bytes at each offset through one mapping of the whole file.
pub fn load(file: &File, offsets: &[u64]) -> std::io::Result<Vec<u64>> {
    let size = file.metadata()?.len();
    if size == 0 || offsets.iter().any(|o| o % 8 != 0 || o + 8 > size) {
        return Err(std::io::ErrorKind::InvalidInput.into());
    }
    let length = usize::try_from(size).map_err(std::io::Error::other)?;
    // SAFETY: a null hint lets the kernel choose a free range; the mapping is
    // used only below and no reference to it is made.
    let map = unsafe {
        mmap(
            std::ptr::null_mut(),
            length,
            ProtFlags::READ,
            MapFlags::SHARED,
            file.as_fd(),
            0,
        )?
    };
    let word = |offset: &u64| {
        let at = usize::try_from(*offset).unwrap_or_default();
        // SAFETY: `offset + 8 <= length` and alignment were checked above, and
        // nothing shortens the file meanwhile.
        unsafe { map.cast::<u8>().add(at).cast::<u64>().read_volatile() }
    };
    let words = offsets.iter().map(word).collect();
    // SAFETY: the range is exactly the mapping made above, not used afterwards.
    unsafe { munmap(map, length)? };
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stores_inside_the_file_only() {
        let path = std::env::temp_dir().join(format!("fbtool-map-{}", std::process::id()));
        std::fs::write(&path, vec![0; 10_000]).unwrap();
        let file = File::options().read(true).write(true).open(&path).unwrap();
        store(&file, 4090, b"0123456789").unwrap();
        assert!(store(&file, 9_995, b"0123456789").is_err());
        let text = std::fs::read(&path).unwrap();
        assert_eq!(&text[4089..4101], b"\x000123456789\0");
        assert_eq!(
            load(&file, &[4096]).unwrap(),
            [u64::from_le_bytes(*b"6789\0\0\0\0")]
        );
        assert!(load(&file, &[9_996]).is_err() && load(&file, &[4]).is_err());
        std::fs::remove_file(path).unwrap();
    }
}
