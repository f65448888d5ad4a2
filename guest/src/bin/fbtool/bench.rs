//! Throughput of direct overwrites, in the guest's own time.

use std::os::unix::fs::FileExt;
use std::time::Instant;

use crate::Failure;
use crate::direct::{ALIGN, Buffer, open};
use crate::seed::Rng;

/// One write, bytes.
const BLOCK: usize = 64 << 10;
/// Blocks of the file.
const BLOCKS: u64 = 256;
/// Writes measured: random, over the whole file several times.
const WRITES: u64 = 2048;

/// Fills a file once, then overwrites random blocks with direct writes, timed.
pub fn run(path: &str, seed: u64, name: &str) -> Result<(), Failure> {
    let err = |e| Failure::call(path, e);
    let file = open(path)?;
    let mut rng = Rng::new(seed, "bench");
    let mut buffer = Buffer::new(BLOCK);
    let block = buffer.at(0, BLOCK);
    for word in block.chunks_exact_mut(8) {
        word.copy_from_slice(&rng.next().to_le_bytes());
    }
    debug_assert_eq!(block.len() % ALIGN, 0);
    for number in 0..BLOCKS {
        file.write_all_at(block, number * BLOCK as u64)
            .map_err(err)?;
    }
    file.sync_all().map_err(err)?;
    let start = Instant::now();
    for _ in 0..WRITES {
        file.write_all_at(block, rng.below(BLOCKS) * BLOCK as u64)
            .map_err(err)?;
    }
    let seconds = start.elapsed().as_secs_f64().max(1e-9);
    let megabytes = (WRITES * BLOCK as u64) as f64 / 1e6;
    println!(
        "::metric name={name} value={:.3} unit=MB/s better=higher",
        megabytes / seconds
    );
    Ok(())
}
