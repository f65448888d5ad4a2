//! The two serial ports of a running machine, read while it runs.
//!
//! Owns the bytes: a bounded copy of each port, the console's hash, the frames
//! and crashes found so far, and when the guest was last heard. Must not know
//! QEMU or decide how a run ended. The files belong to the sandbox and are only
//! ever read through handles opened before the guest ran.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use firstbad_api::limits::LOG_HEAD_BYTES;
use firstbad_api::observation::{CaseResult, Crash};
use rustix::fs::FallocateFlags;
use sha2::{Digest, Sha256};

use super::crash::Detector;
use super::frames::{Frames, Step};
use super::patterns::Patterns;

/// End of a log that is kept when its middle is dropped, bytes.
const TAIL_BYTES: usize = firstbad_api::limits::LOG_TAIL_BYTES as usize;
/// Bytes taken from a port before the other has its turn.
const TURN: usize = 4 << 20;
/// Pieces by which the part of a flood that was read is given back to the disk, bytes.
const PUNCH: u64 = 16 << 20;

/// A growing file, read from a handle that was there first.
struct Port {
    file: File,
    read: u64,
    punched: u64,
    copy: Bounded,
}

/// A copy that keeps the head and the tail of what was written.
struct Bounded {
    file: File,
    head: u64,
    room: u64,
    tail: VecDeque<u8>,
    dropped: u64,
}

/// What was heard from a machine.
pub struct Console {
    main: Port,
    results: Port,
    hash: Sha256,
    crashes: Detector,
    patterns: Patterns,
    /// What PID 1 said.
    pub frames: Frames,
}

/// A console that is at its end.
pub struct Ended {
    pub sha256: String,
    pub crashes: Vec<Crash>,
    pub frames: Frames,
    /// The cases' results, patterns counted in.
    pub cases: Vec<CaseResult>,
    /// The kernel said that it was asked to reboot or to power off.
    pub stopped: bool,
}

impl Console {
    /// Prepares the port files `console` and `frames`, and the copies beside them.
    ///
    /// Returns nothing that the sandbox could swap: the caller gives the files away afterwards.
    pub fn open(
        files: &[PathBuf; 2],
        copies: &[PathBuf; 2],
        frames: Frames,
        patterns: Patterns,
    ) -> io::Result<Console> {
        Ok(Console {
            main: Port::open(&files[0], &copies[0], LOG_HEAD_BYTES)?,
            results: Port::open(&files[1], &copies[1], LOG_HEAD_BYTES)?,
            hash: Sha256::new(),
            crashes: Detector::default(),
            patterns,
            frames,
        })
    }

    /// Reads what is new; returns how many bytes that was and the steps they hold.
    pub fn poll(&mut self) -> io::Result<(usize, Vec<Step>)> {
        let console = self.main.take()?;
        self.hash.update(&console);
        self.crashes.push(&console);
        self.patterns.push(&console);
        let results = self.results.take()?;
        let steps = self.frames.push(&results);
        Ok((console.len() + results.len(), steps))
    }

    /// Whether the kernel has panicked.
    pub fn panicked(&self) -> bool {
        self.crashes.panicked()
    }

    /// Reads the rest and finishes the copies; the machine must be gone.
    pub fn finish(mut self) -> io::Result<(Ended, Vec<Step>)> {
        let mut steps = Vec::new();
        loop {
            let (n, more) = self.poll()?;
            steps.extend(more);
            if n == 0 {
                break;
            }
        }
        self.frames.finish();
        self.main.copy.finish()?;
        self.results.copy.finish()?;
        let mut cases = std::mem::take(&mut self.frames.cases);
        self.patterns.decide(&mut cases);
        let ended = Ended {
            sha256: hex::encode(self.hash.finalize()),
            stopped: self.crashes.stopped(),
            crashes: self.crashes.finish(),
            frames: self.frames,
            cases,
        };
        Ok((ended, steps))
    }
}

impl Port {
    fn open(path: &Path, copy: &Path, room: u64) -> io::Result<Port> {
        // New: a leftover of an earlier run must not be read as this one's.
        let file = File::options()
            .read(true)
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)?;
        Ok(Port {
            file,
            read: 0,
            punched: room,
            copy: Bounded::create(copy, room)?,
        })
    }

    fn take(&mut self) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        (&self.file).take(TURN as u64).read_to_end(&mut bytes)?;
        self.read += bytes.len() as u64;
        self.copy.write(&bytes)?;
        if self.read >= self.punched + PUNCH {
            // Not every file system can; then the sandbox's file size limit holds.
            let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
            if let Err(why) =
                rustix::fs::fallocate(&self.file, flags, self.punched, self.read - self.punched)
            {
                tracing::debug!(%why, "cannot give back a console's middle");
            }
            self.punched = self.read;
        }
        Ok(bytes)
    }
}

impl Bounded {
    fn create(path: &Path, room: u64) -> io::Result<Bounded> {
        Ok(Bounded {
            file: File::create(path)?,
            head: 0,
            room,
            tail: VecDeque::new(),
            dropped: 0,
        })
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let fits = usize::try_from(self.room - self.head).unwrap_or(usize::MAX);
        let (head, rest) = bytes.split_at(bytes.len().min(fits));
        self.file.write_all(head)?;
        self.head += head.len() as u64;
        self.tail.extend(rest);
        let over = self.tail.len().saturating_sub(TAIL_BYTES);
        self.tail.drain(..over);
        self.dropped += over as u64;
        Ok(())
    }

    fn finish(&mut self) -> io::Result<()> {
        if self.dropped > 0 {
            let note = format!("\n[... {} bytes left out ...]\n", self.dropped);
            self.file.write_all(note.as_bytes())?;
        }
        let (a, b) = self.tail.as_slices();
        self.file.write_all(a)?;
        self.file.write_all(b)?;
        self.file.flush()
    }
}

/// The copies that [`Console::open`] makes in `scratch`.
pub fn copies(scratch: &Path) -> [PathBuf; 2] {
    ["console.log", "frames.log"].map(|name| scratch.join(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(files: [PathBuf; 2], copies: [PathBuf; 2]) -> io::Result<Console> {
        Console::open(&files, &copies, Frames::new("n", &[]), Patterns::default())
    }

    #[test]
    fn a_flood_keeps_its_head_and_its_tail() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let mut copy = Bounded::create(&path, 10).unwrap();
        copy.write(b"0123456789abc").unwrap();
        copy.write(&vec![b'x'; TAIL_BYTES]).unwrap();
        copy.write(b"the end").unwrap();
        copy.finish().unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.starts_with("0123456789\n[... 10 bytes left out ...]\nxxx"));
        assert!(text.ends_with("xxxthe end"));
    }

    #[test]
    fn the_middle_of_a_flood_is_given_back_to_the_disk() {
        use std::os::unix::fs::MetadataExt;
        let dir = tempfile::tempdir().unwrap();
        let (path, copy) = (dir.path().join("port"), dir.path().join("copy"));
        let mut port = Port::open(&path, &copy, 1 << 20).unwrap();
        let mut writer = File::options().append(true).open(&path).unwrap();
        for _ in 0..40 {
            writer.write_all(&[b'x'; 1 << 20]).unwrap();
            port.take().unwrap();
        }
        port.copy.finish().unwrap();
        let meta = path.metadata().unwrap();
        assert_eq!(meta.len(), 40 << 20);
        assert!(meta.blocks() * 512 < 20 << 20, "{} blocks", meta.blocks());
        let copied = copy.metadata().unwrap().len();
        assert!((2 << 20..(2 << 20) + 100).contains(&copied), "{copied}");
    }

    #[test]
    fn reads_what_another_writer_appends() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        let mut console = open([at("console"), at("frames")], [at("a"), at("b")]).unwrap();
        let mut writer = File::options()
            .write(true)
            .truncate(true)
            .open(at("console"))
            .unwrap();
        assert_eq!(console.poll().unwrap().0, 0);
        writer
            .write_all(b"[    1.000000] Kernel panic - not syncing: x\n")
            .unwrap();
        assert_eq!(console.poll().unwrap().0, 45);
        assert!(console.panicked());
        writer.write_all(b"last").unwrap();
        let (ended, _) = console.finish().unwrap();
        assert_eq!(ended.crashes[0].title, "kernel panic: x");
        assert_eq!(std::fs::read(at("a")).unwrap().len(), 49);
        assert_eq!(ended.sha256.len(), 64);
    }

    #[test]
    fn a_file_that_is_there_already_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        std::os::unix::fs::symlink("/etc/hostname", at("console")).unwrap();
        let opened = open([at("console"), at("frames")], [at("a"), at("b")]);
        assert!(opened.is_err());
    }
}
