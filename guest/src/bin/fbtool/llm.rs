//! The file I/O of model work: checkpoints, weights, data sets.
//!
//! Every page of such a file begins with a stamp of seed, file and page, so that
//! a page of elsewhere or of another time is noticed.

use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

use crate::direct::{self, Buffer};
use crate::seed::Rng;
use crate::{Failure, mapped, stats};

const PAGE: usize = 4096;
/// One read or write of a whole file, bytes.
const CHUNK: usize = 1 << 20;

fn stamp(seed: u64, file: u64, page: u64) -> u64 {
    Rng::new(seed ^ file.rotate_left(48) ^ page, "stamp").next()
}

/// The chunk number `chunk` of a file.
fn fill(buffer: &mut [u8], seed: u64, file: u64, chunk: u64) {
    let pages = (CHUNK / PAGE) as u64;
    for (n, page) in (0..).zip(buffer.chunks_exact_mut(PAGE)) {
        page[..8].copy_from_slice(&stamp(seed, file, chunk * pages + n).to_le_bytes());
    }
}

fn check(path: &str, found: &[u8], seed: u64, file: u64, page: u64) -> Result<(), Failure> {
    let wanted = stamp(seed, file, page).to_le_bytes();
    if found.starts_with(&wanted) {
        return Ok(());
    }
    Err(Failure::Wrong(format!(
        "{path}: page {page} is not what was written"
    )))
}

/// Writes a checkpoint: `writers` threads, a shard of `mib` MiB each, written
/// sequentially, synced and renamed into place; prints throughput and sync times.
pub fn checkpoint(dir: &str, seed: u64, writers: u64, mib: u64, name: &str) -> Result<(), Failure> {
    let start = Instant::now();
    let shard = |file: u64| -> Result<Duration, Failure> {
        let (part, path) = (format!("{dir}/{file}.part"), format!("{dir}/{file}"));
        let err = |e| Failure::call(&part, e);
        let mut out = File::create(&part).map_err(err)?;
        let mut buffer = vec![0x5a; CHUNK];
        for chunk in 0..mib {
            fill(&mut buffer, seed, file, chunk);
            out.write_all(&buffer).map_err(err)?;
        }
        let began = Instant::now();
        out.sync_all().map_err(err)?;
        let took = began.elapsed();
        std::fs::rename(&part, &path).map_err(err)?;
        Ok(took)
    };
    let syncs = threads(writers, shard)?;
    File::open(dir)
        .and_then(|d| d.sync_all())
        .map_err(|e| Failure::call(dir, e))?;
    stats::throughput(name, writers * mib * CHUNK as u64, start.elapsed());
    stats::latency(&format!("{name}_fsync"), syncs)
}

/// Reads shard `file` as a loader does: `direct`, `buffered` in order, `mmap` at random.
pub fn weights(mode: &str, path: &str, seed: u64, file: u64, name: &str) -> Result<(), Failure> {
    let err = |e| Failure::call(path, e);
    let bytes = std::fs::metadata(path).map_err(err)?.len();
    let pages = bytes / PAGE as u64;
    let start = Instant::now();
    match mode {
        "direct" => {
            let source = direct::open(path)?;
            let mut buffer = Buffer::new(CHUNK);
            for chunk in 0..bytes / CHUNK as u64 {
                let data = buffer.at(0, CHUNK);
                source
                    .read_exact_at(data, chunk * CHUNK as u64)
                    .map_err(err)?;
                check_chunk(path, data, seed, file, chunk)?;
            }
        }
        "buffered" => {
            let mut source = File::open(path).map_err(err)?;
            let mut data = vec![0; CHUNK];
            for chunk in 0..bytes / CHUNK as u64 {
                source.read_exact(&mut data).map_err(err)?;
                check_chunk(path, &data, seed, file, chunk)?;
            }
        }
        "mmap" => {
            let source = File::open(path).map_err(err)?;
            let mut rng = Rng::new(seed, name);
            let order: Vec<u64> = (0..pages).map(|_| rng.below(pages)).collect();
            let offsets: Vec<u64> = order.iter().map(|p| p * PAGE as u64).collect();
            let words = mapped::load(&source, &offsets).map_err(err)?;
            for (page, word) in order.iter().zip(words) {
                check(path, &word.to_le_bytes(), seed, file, *page)?;
            }
        }
        _ => return Err(Failure::Call(format!("{mode}: direct, buffered or mmap"))),
    }
    stats::throughput(name, bytes, start.elapsed());
    Ok(())
}

fn check_chunk(path: &str, data: &[u8], seed: u64, file: u64, chunk: u64) -> Result<(), Failure> {
    let pages = (CHUNK / PAGE) as u64;
    for (n, page) in (0..).zip(data.chunks_exact(PAGE)) {
        check(path, page, seed, file, chunk * pages + n)?;
    }
    Ok(())
}

/// Reads `count` records of 16 KiB in an order shuffled by the seed, with two readers.
pub fn shuffle(path: &str, seed: u64, file: u64, count: u64, name: &str) -> Result<(), Failure> {
    let record = 4 * PAGE as u64;
    let bytes = std::fs::metadata(path)
        .map_err(|e| Failure::call(path, e))?
        .len();
    let start = Instant::now();
    let reader = |which: u64| -> Result<Vec<Duration>, Failure> {
        let source = File::open(path).map_err(|e| Failure::call(path, e))?;
        let mut rng = Rng::new(seed ^ which, name);
        let mut data = vec![0; 4 * PAGE];
        let mut times = Vec::new();
        for _ in 0..count / 2 {
            let number = rng.below(bytes / record);
            let began = Instant::now();
            source
                .read_exact_at(&mut data, number * record)
                .map_err(|e| Failure::call(path, e))?;
            times.push(began.elapsed());
            for (n, page) in (0..).zip(data.chunks_exact(PAGE)) {
                check(path, page, seed, file, number * 4 + n)?;
            }
        }
        Ok(times)
    };
    let times: Vec<Duration> = threads(2, reader)?.into_iter().flatten().collect();
    stats::throughput(name, times.len() as u64 * record, start.elapsed());
    stats::latency(name, times)
}

/// Runs the numbered work in as many threads and collects what they say.
fn threads<T: Send>(
    count: u64,
    work: impl Fn(u64) -> Result<T, Failure> + Sync,
) -> Result<Vec<T>, Failure> {
    std::thread::scope(|scope| {
        let work = &work;
        let started: Vec<_> = (0..count).map(|n| scope.spawn(move || work(n))).collect();
        let lost = || Failure::Call("a thread panicked".into());
        let ended = started.into_iter().map(|t| t.join().map_err(|_| lost())?);
        ended.collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checkpoint_reads_back_and_damage_is_seen() {
        let name = format!("fbtool-llm-{}", std::process::id());
        let dir = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&dir).unwrap();
        let at = dir.to_str().unwrap();
        checkpoint(at, 5, 2, 2, "c").unwrap();
        let shard = format!("{at}/1");
        for mode in ["buffered", "mmap"] {
            weights(mode, &shard, 5, 1, "w").unwrap();
            let other = weights(mode, &shard, 6, 1, "w");
            assert!(matches!(other, Err(Failure::Wrong(_))), "{mode}");
        }
        shuffle(&shard, 5, 1, 20, "s").unwrap();
        let other = shuffle(&shard, 5, 0, 20, "s");
        assert!(matches!(other, Err(Failure::Wrong(_))));
        std::fs::remove_dir_all(dir).unwrap();
    }
}
