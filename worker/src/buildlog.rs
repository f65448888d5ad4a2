//! A log of bounded size: its head goes to disk as it comes, its tail is kept in memory.
//!
//! Owns the file a person reads. Must not know what the lines mean.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use firstbad_api::limits::{LOG_HEAD_BYTES, LOG_TAIL_BYTES};

/// [`LOG_TAIL_BYTES`] as a length in memory.
const TAIL_BYTES: usize = LOG_TAIL_BYTES as usize;

/// A log file: the first 64 MiB and the last 1 MiB of what was written.
#[derive(Debug)]
pub struct BuildLog {
    path: PathBuf,
    file: File,
    head_left: u64,
    tail: VecDeque<u8>,
    left_out: u64,
}

impl BuildLog {
    /// Starts an empty log at `path`.
    pub fn create(path: &Path) -> io::Result<BuildLog> {
        BuildLog::with_head(path, LOG_HEAD_BYTES)
    }

    fn with_head(path: &Path, head: u64) -> io::Result<BuildLog> {
        Ok(BuildLog {
            path: path.to_owned(),
            file: File::create(path)?,
            head_left: head,
            tail: VecDeque::new(),
            left_out: 0,
        })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Appends raw bytes.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let fits = bytes
            .len()
            .min(usize::try_from(self.head_left).unwrap_or(usize::MAX));
        let (head, rest) = bytes.split_at(fits);
        self.file.write_all(head)?;
        self.head_left -= fits as u64;
        self.tail.extend(rest);
        let over = self.tail.len().saturating_sub(TAIL_BYTES);
        self.tail.drain(..over);
        self.left_out += over as u64;
        Ok(())
    }

    /// Appends a line of the worker's own, marked as such.
    pub fn note(&mut self, text: &str) -> io::Result<()> {
        self.write(format!("firstbad: {text}\n").as_bytes())
    }

    /// Writes the tail; the file is complete afterwards.
    pub fn close(mut self) -> io::Result<()> {
        if self.left_out > 0 {
            writeln!(
                self.file,
                "\nfirstbad: {} bytes left out here",
                self.left_out
            )?;
        }
        let (a, b) = self.tail.as_slices();
        self.file.write_all(a)?;
        self.file.write_all(b)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_head_and_tail_and_says_what_is_missing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let mut log = BuildLog::with_head(&path, 10).unwrap();
        log.write(b"0123456789abc").unwrap();
        log.write(&vec![b'x'; TAIL_BYTES]).unwrap();
        log.write(b"the end\n").unwrap();
        log.close().unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(
            text.starts_with("0123456789\nfirstbad: 11 bytes left out here\nxxx"),
            "{}",
            &text[..60]
        );
        assert!(text.ends_with("xthe end\n"));
        assert_eq!(text.len(), 10 + 34 + TAIL_BYTES);
    }

    #[test]
    fn a_short_log_is_kept_whole() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = BuildLog::create(&dir.path().join("log")).unwrap();
        log.write(b"a\n").unwrap();
        log.note("b").unwrap();
        let path = log.path().to_owned();
        log.close().unwrap();
        assert_eq!(std::fs::read(path).unwrap(), b"a\nfirstbad: b\n");
    }
}
