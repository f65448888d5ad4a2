//! A program that mostly sleeps: is the clock of an idle machine exact?
//!
//! Owns short sleeps with work between them. In each the processor idles and QEMU's clock jumps to
//! the next timer; a digest tells apart any two runs whose clock ever differed.

use std::time::{Duration, Instant};

use crate::Failure;
use crate::seed::{Rng, digest};

/// Length of a sleep, microseconds: the least, and how far they lie apart.
const SLEEP: (u64, u64) = (50, 400);
/// Turns of a loop between two sleeps at most.
const WORK: u64 = 20_000;

/// `times` sleeps; prints the time they took and the digest of what the clock said after each.
pub fn run(seed: u64, times: u64) -> Result<(), Failure> {
    let mut rng = Rng::new(seed, "naps");
    let began = Instant::now();
    let clock = digest((0..times).map(|_| {
        std::thread::sleep(Duration::from_micros(SLEEP.0 + rng.below(SLEEP.1)));
        crate::race::spin(rng.below(WORK));
        began.elapsed().as_nanos() as u64
    }));
    println!(
        "clock {clock:016x} after {times} sleeps, {:?}",
        began.elapsed()
    );
    Ok(())
}
