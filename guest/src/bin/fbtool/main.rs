//! `fbtool`: what the suites' scripts need and busybox lacks.
//!
//! Owns file patterns, direct writes with a byte-for-byte model, a small
//! benchmark and media corruption. Exits 0 when all is well, 1 when data is
//! wrong, 2 when it could not do its work.

mod bench;
mod dio;
mod direct;
mod mapped;
mod pattern;
#[path = "../../seed.rs"]
mod seed;

use std::process::ExitCode;

const USAGE: &str = "usage:
  fbtool dio MODE FILE SEED OPS        write; MODE: aligned unaligned eof mixed
  fbtool dio-verify MODE FILE SEED OPS compare FILE with what `dio` must have left
  fbtool dio-bench FILE SEED NAME      direct 64 KiB overwrites, prints ::metric NAME
  fbtool pattern-write FILE SEED BYTES
  fbtool pattern-verify FILE SEED BYTES
  fbtool corrupt DEVICE OFFSET BYTES   inverts bytes
  fbtool corrupt-pattern DEVICE SEED   inverts the first block of that pattern on DEVICE
  fbtool fsync PATH                    a file or a folder
  fbtool nocow FILE                    creates FILE with the no-copy-on-write flag";

/// Why the tool does not exit 0.
#[derive(Debug)]
pub enum Failure {
    /// The data is not what it must be: the kernel's failure.
    Wrong(String),
    /// A call failed.
    Call(String),
}

impl Failure {
    /// A failed call on `what`.
    pub fn call(what: &str, error: impl std::fmt::Display) -> Failure {
        Failure::Call(format!("{what}: {error}"))
    }
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match run(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Wrong(what)) => {
            println!("fbtool: WRONG DATA: {what}");
            ExitCode::from(1)
        }
        Err(Failure::Call(what)) => {
            println!("fbtool: {what}");
            ExitCode::from(2)
        }
    }
}

fn run(args: &[&str]) -> Result<(), Failure> {
    match args {
        ["dio", mode, file, seed, ops] => dio::write(mode, file, number(seed)?, number(ops)?),
        ["dio-verify", mode, file, seed, ops] => {
            dio::verify(mode, file, number(seed)?, number(ops)?)
        }
        ["dio-bench", file, seed, name] => bench::run(file, number(seed)?, name),
        ["pattern-write", file, seed, bytes] => pattern::write(file, number(seed)?, number(bytes)?),
        ["pattern-verify", file, seed, bytes] => {
            pattern::verify(file, number(seed)?, number(bytes)?)
        }
        ["corrupt", device, offset, bytes] => {
            pattern::corrupt(device, number(offset)?, number(bytes)?)
        }
        ["corrupt-pattern", device, seed] => pattern::corrupt_pattern(device, number(seed)?),
        ["fsync", path] => std::fs::File::open(path)
            .and_then(|f| f.sync_all())
            .map_err(|e| Failure::call(path, e)),
        ["nocow", file] => direct::create_nocow(file),
        _ => Err(Failure::Call(USAGE.into())),
    }
}

fn number(text: &str) -> Result<u64, Failure> {
    text.parse().map_err(|e| Failure::call(text, e))
}
