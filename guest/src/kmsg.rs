//! The kernel log during a case: lines at warning level and above.

use std::fs::{File, OpenOptions};
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;

use rustix::fs::OFlags;

/// Lines kept of one case.
const LINES: usize = 20;
/// Characters kept of one line.
const LINE_CHARS: usize = 400;
/// Level 4 is `KERN_WARNING`.
const WARNING: u64 = 4;
/// Records read at most in one go, so that a flood cannot hold PID 1.
const RECORDS: usize = 100_000;

/// A reader of the kernel log that starts now.
pub struct Watch {
    log: File,
}

impl Watch {
    /// Opens the log and passes over what is already in it.
    pub fn start() -> Result<Watch, String> {
        let log = OpenOptions::new()
            .read(true)
            .custom_flags(OFlags::NONBLOCK.bits().cast_signed())
            .open("/dev/kmsg")
            .map_err(|e| format!("open /dev/kmsg: {e}"))?;
        let mut watch = Watch { log };
        watch.records(|_| {});
        Ok(watch)
    }

    /// The warnings since the start, the first [`LINES`] of them.
    pub fn finish(mut self) -> Vec<String> {
        let mut lines = Vec::new();
        self.records(|record| {
            if lines.len() < LINES
                && let Some(line) = warning(record)
            {
                lines.push(line);
            }
        });
        lines
    }

    fn records(&mut self, mut each: impl FnMut(&[u8])) {
        let mut buffer = [0_u8; 8192];
        for _ in 0..RECORDS {
            match self.log.read(&mut buffer) {
                Ok(0) => return,
                Ok(n) => each(&buffer[..n]),
                // The record was overwritten before it was read: the next one is there.
                Err(e) if e.raw_os_error() == Some(rustix::io::Errno::PIPE.raw_os_error()) => {}
                Err(_) => return,
            }
        }
    }
}

/// The text of a record `prio,seq,time,flags;text` when it is a warning or worse.
fn warning(record: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(record);
    let (head, body) = text.split_once(';')?;
    let priority: u64 = head.split(',').next()?.parse().ok()?;
    // The rest of the number is the facility; 0 is the kernel itself.
    if priority & 7 > WARNING || priority >> 3 != 0 {
        return None;
    }
    Some(body.lines().next()?.chars().take(LINE_CHARS).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_kernel_warnings() {
        let line = |s: &str| warning(s.as_bytes());
        assert_eq!(
            line("4,120,998,-;BTRFS warning: x\n SUBSYSTEM=y\n").unwrap(),
            "BTRFS warning: x"
        );
        assert_eq!(
            line("2,1,9,-;VFS: Busy inodes").unwrap(),
            "VFS: Busy inodes"
        );
        assert_eq!(line("6,1,9,-;info"), None);
        assert_eq!(line("12,1,9,-;from user space"), None);
        assert_eq!(line("junk"), None);
    }
}
