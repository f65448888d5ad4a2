//! Files of attempts: artefacts by content, logs by attempt.
//!
//! Owns `<data>/artefacts` and `<data>/logs`. Must not know: Postgres, HTTP, what a file means.
//! Blocking work runs on blocking threads.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use firstbad_api::limits;
use futures_util::{Stream, StreamExt};
use regex::bytes::Regex;
use sha2::{Digest, Sha256};
use tokio::io::AsyncWriteExt;

/// Bytes of a log looked at at once.
const GREP_BYTES: u64 = 1 << 20;
/// A longer line is looked at in pieces.
const GREP_LINE: usize = 4 << 20;
/// Bytes kept of a line that was found.
const LINE_BYTES: usize = 1000;

/// Why a file was not stored or read.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("bytes before this offset are missing; send from {expected}")]
    Gap { expected: u64 },
    #[error("the log already holds other bytes at offset {offset}")]
    Conflict { offset: u64 },
    #[error("the file is longer than its limit")]
    TooLarge,
    #[error("the bytes have another SHA-256 than was announced")]
    Mismatch,
    #[error("the store failed: {0}")]
    Io(#[from] io::Error),
}

/// The artefact and log directories; cheap to clone.
#[derive(Debug, Clone)]
pub struct Store {
    artefacts: PathBuf,
    logs: PathBuf,
    artefact_bytes: u64,
    log_bytes: u64,
}

impl Store {
    /// Keeps its files under `data`, made when first needed.
    pub fn new(data: impl AsRef<Path>) -> Self {
        Self {
            artefacts: data.as_ref().join("artefacts"),
            logs: data.as_ref().join("logs"),
            artefact_bytes: limits::ARTEFACT_BYTES,
            log_bytes: limits::LOG_BYTES,
        }
    }

    /// The same with other limits, for drills.
    pub fn with_limits(mut self, artefact_bytes: u64, log_bytes: u64) -> Self {
        self.artefact_bytes = artefact_bytes;
        self.log_bytes = log_bytes;
        self
    }

    /// Stores a stream under its hash, durably, and tells its size; storing it again is fine.
    pub async fn put_artefact<B: AsRef<[u8]>>(
        &self,
        sha256: &str,
        stream: impl Stream<Item = io::Result<B>>,
    ) -> Result<u64, StoreError> {
        if !is_hash(sha256) {
            return Err(StoreError::Mismatch);
        }
        let path = self.artefact_path(sha256);
        let dir = path.parent().unwrap_or(&self.artefacts).to_owned();
        tokio::fs::create_dir_all(&dir).await?;
        let fresh = Fresh(dir.join(format!(".{}", uuid::Uuid::new_v4().simple())));
        let mut file = tokio::fs::File::create_new(&fresh.0).await?;
        let mut hash = Sha256::new();
        let mut size = 0_u64;
        let mut stream = std::pin::pin!(stream);
        while let Some(chunk) = stream.next().await {
            let chunk = chunk?;
            size += chunk.as_ref().len() as u64;
            if size > self.artefact_bytes {
                return Err(StoreError::TooLarge);
            }
            hash.update(chunk.as_ref());
            file.write_all(chunk.as_ref()).await?;
        }
        if hex::encode(hash.finalize()) != sha256 {
            return Err(StoreError::Mismatch);
        }
        // Readers see all of it or nothing, also after a power failure.
        file.sync_all().await?;
        tokio::fs::rename(&fresh.0, &path).await?;
        tokio::fs::File::open(&dir).await?.sync_all().await?;
        Ok(size)
    }

    /// Where the artefact with this hash is, or would be.
    pub fn artefact_path(&self, sha256: &str) -> PathBuf {
        if is_hash(sha256) {
            self.artefacts.join(&sha256[..2]).join(sha256)
        } else {
            self.artefacts.join("none")
        }
    }

    /// Adds `bytes` at `offset` of a log and tells the next offset wanted.
    ///
    /// Bytes that are already there are compared, not written, so a repeated request is
    /// harmless. What lies beyond the limit is accepted and dropped.
    pub async fn append_log(
        &self,
        attempt: i64,
        epoch: i32,
        name: &str,
        offset: u64,
        bytes: &[u8],
    ) -> Result<u64, StoreError> {
        let path = self.log_path(attempt, epoch, name)?;
        let (most, bytes) = (self.log_bytes, bytes.to_vec());
        blocking(move || append(&path, most, offset, &bytes)).await
    }

    /// At most `length` bytes of a log from `offset`, and the size of the whole; a log
    /// that has not begun is empty.
    pub async fn read_log(
        &self,
        attempt: i64,
        epoch: i32,
        name: &str,
        offset: u64,
        length: u64,
    ) -> Result<(Vec<u8>, u64), StoreError> {
        let path = self.log_path(attempt, epoch, name)?;
        blocking(move || {
            let mut file = match File::open(path) {
                Ok(file) => file,
                Err(e) if e.kind() == ErrorKind::NotFound => return Ok((Vec::new(), 0)),
                Err(e) => return Err(e.into()),
            };
            let total = file.metadata()?.len();
            let mut window = Vec::new();
            if offset < total {
                file.seek(SeekFrom::Start(offset))?;
                file.take(length.min(total - offset))
                    .read_to_end(&mut window)?;
            }
            Ok((window, total))
        })
        .await
    }

    /// The first lines of a log, from the one that begins at `from` on, in which `pattern` is: at most
    /// `most`, each cut after 1,000 bytes.
    pub async fn grep_log(
        &self,
        attempt: i64,
        epoch: i32,
        name: &str,
        pattern: Regex,
        from: u64,
        most: usize,
    ) -> Result<Grep, StoreError> {
        let path = self.log_path(attempt, epoch, name)?;
        blocking(move || match File::open(path) {
            Ok(file) => Ok(grep(file, &pattern, from, most)?),
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(Grep::default()),
            Err(e) => Err(e.into()),
        })
        .await
    }

    fn log_path(&self, attempt: i64, epoch: i32, name: &str) -> Result<PathBuf, StoreError> {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
        if (1..=64).contains(&name.len()) && name.bytes().all(plain) {
            Ok(self.logs.join(format!("{attempt}-{epoch}-{name}.log")))
        } else {
            let error = io::Error::new(ErrorKind::InvalidInput, "unusable log name");
            Err(StoreError::Io(error))
        }
    }
}

/// Lines that were found in a log.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Grep {
    /// Offset of each, and its bytes.
    pub lines: Vec<(u64, Vec<u8>)>,
    /// Where to go on, when not all of the log was looked at.
    pub more: Option<u64>,
}

fn grep(mut file: File, pattern: &Regex, from: u64, most: usize) -> io::Result<Grep> {
    let mut found = Grep::default();
    let mut base = file.seek(SeekFrom::Start(from))?;
    let mut held = Vec::new();
    loop {
        let fresh = (&mut file).take(GREP_BYTES).read_to_end(&mut held)?;
        // Whole lines only; the rest is looked at with what follows it, unless nothing does.
        let whole = match memchr::memrchr(b'\n', &held) {
            Some(last) if fresh > 0 => last + 1,
            None if fresh > 0 && held.len() < GREP_LINE => 0,
            _ => held.len(),
        };
        let mut at = 0;
        while let Some(hit) = pattern.find_at(&held[..whole], at) {
            let start = memchr::memrchr(b'\n', &held[..hit.start()]).map_or(0, |n| n + 1);
            let end = memchr::memchr(b'\n', &held[hit.start()..whole]);
            let end = end.map_or(whole, |n| hit.start() + n);
            if found.lines.len() == most {
                found.more = Some(base + start as u64);
                return Ok(found);
            }
            let line = &held[start..end.min(start + LINE_BYTES)];
            found.lines.push((base + start as u64, line.to_vec()));
            at = end + 1;
            if at >= whole {
                break;
            }
        }
        if fresh == 0 {
            return Ok(found);
        }
        held.drain(..whole);
        base += whole as u64;
    }
}

/// SHA-256 in lower-case hex.
fn is_hash(text: &str) -> bool {
    let lower_hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    text.len() == 64 && text.bytes().all(lower_hex)
}

/// A file being written: gone again unless it was renamed.
struct Fresh(PathBuf);

impl Drop for Fresh {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|e| StoreError::Io(io::Error::other(e)))?
}

fn append(path: &Path, most: u64, offset: u64, bytes: &[u8]) -> Result<u64, StoreError> {
    if let Some(dir) = path.parent() {
        fs::create_dir_all(dir)?;
    }
    let mut file = OpenOptions::new()
        .read(true)
        .append(true)
        .create(true)
        .open(path)?;
    file.lock()?;
    let size = file.metadata()?.len();
    let end = offset
        .checked_add(bytes.len() as u64)
        .ok_or(StoreError::Gap { expected: size })?;
    if offset > size && size < most {
        return Err(StoreError::Gap { expected: size });
    }
    let known = usize::try_from(size.saturating_sub(offset))
        .unwrap_or(usize::MAX)
        .min(bytes.len());
    let (old, new) = bytes.split_at(known);
    if !old.is_empty() {
        let mut stored = vec![0; old.len()];
        file.read_exact_at(&mut stored, offset)?;
        if let Some(at) = stored.iter().zip(old).position(|(a, b)| a != b) {
            let offset = offset + at as u64;
            return Err(StoreError::Conflict { offset });
        }
    }
    let room = usize::try_from(most.saturating_sub(size)).unwrap_or(usize::MAX);
    let new = &new[..new.len().min(room)];
    if !new.is_empty() {
        file.write_all(new)?;
        file.sync_data()?;
    }
    Ok(end.max(size))
}
