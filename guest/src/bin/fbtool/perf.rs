//! Direct reads and writes of one size in one order, timed one by one.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::time::{Duration, Instant};

use rustix::fs::OFlags;

use crate::Failure;
use crate::direct::Buffer;
use crate::seed::Rng;
use crate::stats;

/// What is done to the file: `ORDER-ACTION` of the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Kind {
    random: bool,
    read: bool,
    dsync: bool,
}

impl Kind {
    fn parse(text: &str) -> Option<Kind> {
        let (order, action) = text.split_once('-')?;
        let random = match order {
            "rand" => true,
            "seq" => false,
            _ => return None,
        };
        let (read, dsync) = match action {
            "read" => (true, false),
            "write" => (false, false),
            "dsync" => (false, true),
            _ => return None,
        };
        Some(Kind {
            random,
            read,
            dsync,
        })
    }
}

/// Touches each block of a file of `bytes` bytes once; prints throughput and latencies.
pub fn run(
    kind: &str,
    path: &str,
    seed: u64,
    block: u64,
    bytes: u64,
    name: &str,
) -> Result<(), Failure> {
    let Some(kind) = Kind::parse(kind) else {
        return Err(Failure::Call(format!(
            "{kind}: ORDER is rand or seq, ACTION is read, write or dsync"
        )));
    };
    let size = usize::try_from(block).map_err(|e| Failure::call(path, e))?;
    if size == 0 || !bytes.is_multiple_of(block) {
        return Err(Failure::Call(format!(
            "{bytes} bytes are no whole blocks of {block}"
        )));
    }
    let file = open(path, kind)?;
    let mut rng = Rng::new(seed, name);
    let mut buffer = Buffer::new(size);
    let data = buffer.at(0, size);
    for word in data.chunks_exact_mut(8) {
        word.copy_from_slice(&rng.next().to_le_bytes());
    }
    let mut times = Vec::new();
    let start = Instant::now();
    for number in order(kind, bytes / block, &mut rng) {
        let began = Instant::now();
        let offset = number * block;
        let done = if kind.read {
            file.read_exact_at(data, offset)
        } else {
            file.write_all_at(data, offset)
        };
        done.map_err(|e| Failure::call(path, e))?;
        times.push(began.elapsed());
    }
    finish(&file, path, kind)?;
    report(name, bytes, start.elapsed(), times)
}

fn open(path: &str, kind: Kind) -> Result<File, Failure> {
    let sync = if kind.dsync {
        OFlags::DSYNC
    } else {
        OFlags::empty()
    };
    let flags = OFlags::DIRECT | sync;
    OpenOptions::new()
        .read(true)
        .write(!kind.read)
        .custom_flags(flags.bits().cast_signed())
        .open(path)
        .map_err(|e| Failure::call(path, e))
}

/// The block numbers, each once: upwards, or shuffled by the seed.
fn order(kind: Kind, blocks: u64, rng: &mut Rng) -> Vec<u64> {
    let mut numbers: Vec<u64> = (0..blocks).collect();
    if kind.random {
        for last in (1..numbers.len()).rev() {
            let other = rng.below(last as u64 + 1);
            numbers.swap(last, usize::try_from(other).unwrap_or(last));
        }
    }
    numbers
}

fn finish(file: &File, path: &str, kind: Kind) -> Result<(), Failure> {
    match kind.read {
        true => Ok(()),
        false => file.sync_data().map_err(|e| Failure::call(path, e)),
    }
}

fn report(name: &str, bytes: u64, took: Duration, times: Vec<Duration>) -> Result<(), Failure> {
    stats::throughput(name, bytes, took);
    stats::latency(name, times)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_read_whole() {
        let kind = Kind::parse("rand-dsync").unwrap();
        assert!(kind.random && kind.dsync && !kind.read);
        for text in ["", "rand", "rand-", "up-write", "seq-sync"] {
            assert_eq!(Kind::parse(text), None, "{text}");
        }
    }

    #[test]
    fn every_block_comes_once() {
        let kind = Kind::parse("rand-write").unwrap();
        let mut rng = Rng::new(1, "t");
        let mut numbers = order(kind, 100, &mut rng);
        assert_ne!(numbers, (0..100).collect::<Vec<_>>());
        numbers.sort_unstable();
        assert_eq!(numbers, (0..100).collect::<Vec<_>>());
    }
}
