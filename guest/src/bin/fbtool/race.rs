//! Writers that race on purpose: which schedules does a run see?
//!
//! Owns a race that loses updates and a digest of the order in which the writers came. Whatever
//! happens is no failure: the order and the losses are printed.

use std::fs::OpenOptions;
use std::io::Write;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::Failure;
use crate::seed::digest;

/// Instructions between reading the shared number and writing it back, about.
const GAP: u64 = 200;
/// Instructions between two turns of a writer, about.
const PAUSE: u64 = 20_000;

/// `writers` threads add one to a shared number and write their own to `file`, `turns` times each.
pub fn run(file: &str, writers: u64, turns: u64) -> Result<(), Failure> {
    let shared = AtomicU64::new(0);
    let order = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..writers)
            .map(|who| {
                scope.spawn({
                    let (shared, order) = (&shared, &order);
                    move || write(file, who, turns, shared, order)
                })
            })
            .collect();
        threads.into_iter().try_for_each(|t| match t.join() {
            Ok(done) => done,
            Err(_) => Err(Failure::Call("a writer panicked".into())),
        })
    })?;
    let order = order.into_inner().map_err(|e| Failure::call("order", e))?;
    let lost = writers * turns - shared.load(Ordering::Relaxed);
    let order = digest(order);
    println!("interleaving {order:016x} lost {lost}");
    Ok(())
}

fn write(
    file: &str,
    who: u64,
    turns: u64,
    shared: &AtomicU64,
    order: &Mutex<Vec<u64>>,
) -> Result<(), Failure> {
    let mut out = OpenOptions::new()
        .append(true)
        .create(true)
        .open(file)
        .map_err(|e| Failure::call(file, e))?;
    for _ in 0..turns {
        // Two steps where one is needed: another writer in between loses its turn.
        let seen = shared.load(Ordering::Relaxed);
        spin(GAP);
        shared.store(seen + 1, Ordering::Relaxed);
        out.write_all(&[b'a' + who as u8])
            .map_err(|e| Failure::call(file, e))?;
        order
            .lock()
            .map_err(|e| Failure::call("order", e))?
            .push(who);
        spin(PAUSE);
    }
    Ok(())
}

/// Passes the time of `steps` turns of a loop.
pub fn spin(steps: u64) {
    for i in 0..steps {
        std::hint::black_box(i);
    }
}
