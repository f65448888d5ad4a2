//! Spreads schedules: another seed, another interleaving, each of them repeatable.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::seed::Rng;

/// A thread that wakes at seeded moments and takes the processor for a little
/// while; it costs about half a per cent of one vCPU. Stops when dropped.
pub struct Jitter {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Jitter {
    /// Waits a seeded while, then disturbs until dropped.
    pub fn start(seed: u64, case: &str) -> Result<Jitter, String> {
        let mut rng = Rng::new(seed, case);
        std::thread::sleep(Duration::from_micros(rng.below(20_000)));
        let stop = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&stop);
        let thread = std::thread::Builder::new()
            .name("jitter".into())
            .spawn(move || {
                while !seen.load(Ordering::Relaxed) {
                    std::thread::sleep(Duration::from_micros(500 + rng.below(15_000)));
                    spin(rng.below(40_000));
                }
            })
            .map_err(|e| format!("start the jitter thread: {e}"))?;
        Ok(Jitter {
            stop,
            thread: Some(thread),
        })
    }
}

impl Drop for Jitter {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Counts instructions, not time: the same length in every exact run.
fn spin(steps: u64) {
    let mut x = 0_u64;
    for i in 0..steps {
        x = std::hint::black_box(x ^ i);
    }
}
