//! `fbtool`: what the suites' scripts need and busybox lacks.
//!
//! Owns file patterns, direct writes with a byte-for-byte model, benchmarks in
//! the guest's own time and media corruption. Exits 0 when all is well, 1 when data is
//! wrong, 2 when it could not do its work.

mod bench;
mod dio;
mod direct;
mod full;
mod llm;
mod mapped;
mod naps;
mod pattern;
mod perf;
mod powercut;
mod race;
#[path = "../../seed.rs"]
mod seed;
mod stats;

use std::process::ExitCode;

const USAGE: &str = "usage:
  fbtool dio MODE FILE SEED OPS        write; MODE: aligned unaligned eof mixed
  fbtool dio-verify MODE FILE SEED OPS compare FILE with what `dio` must have left
  fbtool dio-bench FILE SEED NAME      direct 64 KiB overwrites, prints ::metric NAME
  fbtool dio-perf KIND FILE SEED BLOCK BYTES NAME
                                       KIND: rand-read seq-read rand-write seq-write rand-dsync seq-dsync
  fbtool pattern-write FILE SEED BYTES
  fbtool pattern-verify FILE SEED BYTES
  fbtool pattern-over FILE SEED BYTES  overwrites FILE in place
  fbtool dio-over FILE SEED BYTES      the same with direct writes
  fbtool pattern-either FILE SEED SEED BYTES
                                       each block of one seed or of the other
  fbtool create-files FOLDER SEED MOST BYTES
                                       until there are MOST or no space is left
  fbtool verify-files FOLDER SEED COUNT BYTES
  fbtool corrupt DEVICE OFFSET BYTES   inverts bytes
  fbtool corrupt-pattern DEVICE SEED   inverts the first block of that pattern on DEVICE
  fbtool fsync PATH                    a file or a folder
  fbtool nocow FILE                    creates FILE with the no-copy-on-write flag
  fbtool timed FILE COMMAND...         adds the nanoseconds COMMAND took to FILE
  fbtool percentiles FILE NAME         prints ::metric NAME_p50_us and NAME_p99_us of them
  fbtool checkpoint FOLDER SEED WRITERS MIB NAME
  fbtool weights MODE FILE SEED SHARD NAME
                                       MODE: direct buffered mmap
  fbtool shuffle FILE SEED SHARD COUNT NAME
  fbtool race FILE WRITERS TURNS       prints the order of the turns and what was lost
  fbtool naps SEED TIMES               sleeps, prints a digest of the clock
  fbtool power-work MODE FOLDER LABEL SEED STEPS
                                       MODE: fsync rename direct snapshot; marks the device `cut`
  fbtool power-cuts NAME RECORD BYTES MODE SEED STEPS CUTS LABEL...
                                       the recorded device after CUTS power cuts,
                                       prints ::metric NAME_cuts and others";

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
        ["timed", file, command @ ..] => stats::timed(file, command),
        ["percentiles", file, name] => stats::percentiles(file, name),
        [
            "pattern-over" | "dio-over" | "pattern-either" | "create-files" | "verify-files",
            ..,
        ] => space(args),
        ["dio-perf" | "checkpoint" | "weights" | "shuffle", ..] => measure(args),
        ["race", file, writers, turns] => race::run(file, number(writers)?, number(turns)?),
        ["naps", seed, times] => naps::run(number(seed)?, number(times)?),
        ["nocow", file] => direct::create_nocow(file),
        ["power-work" | "power-cuts", ..] => power(args),
        _ => Err(Failure::Call(USAGE.into())),
    }
}

fn space(args: &[&str]) -> Result<(), Failure> {
    match args {
        ["pattern-over", file, seed, bytes] => full::over(file, number(seed)?, number(bytes)?),
        ["dio-over", file, seed, bytes] => full::over_direct(file, number(seed)?, number(bytes)?),
        ["pattern-either", file, old, new, bytes] => {
            full::either(file, number(old)?, number(new)?, number(bytes)?)
        }
        ["create-files", dir, seed, most, bytes] => {
            full::create(dir, number(seed)?, number(most)?, number(bytes)?)
        }
        ["verify-files", dir, seed, count, bytes] => {
            full::verify(dir, number(seed)?, number(count)?, number(bytes)?)
        }
        _ => Err(Failure::Call(USAGE.into())),
    }
}

fn power(args: &[&str]) -> Result<(), Failure> {
    match args {
        ["power-work", mode, folder, label, seed, steps] => {
            powercut::work(mode, folder, label, number(seed)?, number(steps)?)
        }
        [
            "power-cuts",
            name,
            record,
            bytes,
            mode,
            seed,
            steps,
            cuts,
            labels @ ..,
        ] => {
            let recorded = powercut::Recorded {
                name,
                record,
                bytes: number(bytes)?,
                mode,
                seed: number(seed)?,
                steps: number(steps)?,
                labels,
            };
            powercut::cuts(&recorded, number(cuts)?)
        }
        _ => Err(Failure::Call(USAGE.into())),
    }
}

fn measure(args: &[&str]) -> Result<(), Failure> {
    match args {
        ["dio-perf", kind, file, seed, block, bytes, name] => perf::run(
            kind,
            file,
            number(seed)?,
            number(block)?,
            number(bytes)?,
            name,
        ),
        ["checkpoint", dir, seed, writers, mib, name] => {
            llm::checkpoint(dir, number(seed)?, number(writers)?, number(mib)?, name)
        }
        ["weights", mode, file, seed, shard, name] => {
            llm::weights(mode, file, number(seed)?, number(shard)?, name)
        }
        ["shuffle", file, seed, shard, count, name] => {
            llm::shuffle(file, number(seed)?, number(shard)?, number(count)?, name)
        }
        _ => Err(Failure::Call(USAGE.into())),
    }
}

fn number(text: &str) -> Result<u64, Failure> {
    text.parse().map_err(|e| Failure::call(text, e))
}
