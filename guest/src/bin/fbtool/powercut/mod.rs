//! Power cuts: what was durable before the cut must be there after it.
//!
//! A workload writes to a file system on a `log-writes` device, which records
//! each write, flush and FUA write with its bytes. After each call that makes
//! something durable the workload leaves a mark in that record. From it the
//! device is made again as a power cut could have left it, many times, mounted
//! and compared with what the marks before the cut promise.

mod check;
mod cuts;
mod model;
mod ops;
mod record;
mod work;

pub use cuts::{Recorded, run as cuts};
pub use work::run as work;

use crate::Failure;

/// The name of the `log-writes` device.
const DEVICE: &str = "cut";

/// Runs a program; how it ended and what it said when it did not succeed.
fn call(program: &str, args: &[&str]) -> Result<Result<(), String>, Failure> {
    let out = std::process::Command::new(program)
        .args(args)
        .output()
        .map_err(|e| Failure::call(program, e))?;
    if out.status.success() {
        return Ok(Ok(()));
    }
    let said = [out.stdout, out.stderr].concat();
    Ok(Err(format!(
        "{program} {}: {}: {}",
        args.join(" "),
        out.status,
        String::from_utf8_lossy(&said).trim()
    )))
}
