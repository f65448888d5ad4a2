//! A program that mostly sleeps: is the clock of an idle machine exact?
//!
//! Owns short sleeps with work between them. In each the processor idles and QEMU's clock jumps to
//! the next timer; a digest tells apart any two runs whose clock ever differed.

use std::time::{Duration, Instant};

use crate::Failure;
use crate::seed::Rng;

/// Length of a sleep, microseconds: the least, and how far they lie apart.
const SLEEP: (u64, u64) = (50, 400);
/// Turns of a loop between two sleeps at most.
const WORK: u64 = 20_000;

/// `times` sleeps; prints the time they took and the digest of what the clock said after each.
pub fn run(seed: u64, times: u64) -> Result<(), Failure> {
    let mut rng = Rng::new(seed, "naps");
    let began = Instant::now();
    let mut digest = 0xcbf2_9ce4_8422_2325_u64; // FNV-1a
    for _ in 0..times {
        std::thread::sleep(Duration::from_micros(SLEEP.0 + rng.below(SLEEP.1)));
        crate::race::spin(rng.below(WORK));
        let clock = began.elapsed().as_nanos() as u64;
        digest = (digest ^ clock).wrapping_mul(0x0100_0000_01b3);
    }
    println!(
        "clock {digest:016x} after {times} sleeps, {:?}",
        began.elapsed()
    );
    Ok(())
}
