//! Files opened for direct I/O, and buffers that suit it.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;

use rustix::fs::{IFlags, OFlags, ioctl_getflags, ioctl_setflags};

use crate::Failure;

/// Alignment that every device here accepts.
pub const ALIGN: usize = 4096;

/// Memory from which a slice of chosen alignment can be taken.
pub struct Buffer {
    memory: Vec<u8>,
    start: usize,
}

impl Buffer {
    /// Room for `bytes` bytes at any shift below [`ALIGN`].
    pub fn new(bytes: usize) -> Buffer {
        let memory = vec![0; bytes + 2 * ALIGN];
        let start = memory.as_ptr().align_offset(ALIGN);
        Buffer { memory, start }
    }

    /// `bytes` bytes that begin `shift` bytes after an aligned address.
    pub fn at(&mut self, shift: usize, bytes: usize) -> &mut [u8] {
        let start = self.start + shift;
        &mut self.memory[start..start + bytes]
    }
}

/// Opens (and creates) a file for direct reads and writes.
pub fn open(path: &str) -> Result<File, Failure> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .custom_flags(OFlags::DIRECT.bits().cast_signed())
        .open(path)
        .map_err(|e| Failure::call(path, e))
}

/// Creates an empty file whose data is overwritten in place (Btrfs).
pub fn create_nocow(path: &str) -> Result<(), Failure> {
    let file = File::create(path).map_err(|e| Failure::call(path, e))?;
    let flags = ioctl_getflags(&file).map_err(|e| Failure::call(path, e))?;
    ioctl_setflags(&file, flags | IFlags::NOCOW).map_err(|e| Failure::call(path, e))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_are_aligned() {
        let mut buffer = Buffer::new(100);
        assert_eq!(buffer.at(0, 100).as_ptr().align_offset(ALIGN), 0);
        assert_eq!(buffer.at(513, 100).len(), 100);
    }
}
