//! Direct writes mixed with other kinds, checked against a model byte for byte.
//!
//! The operations are a function of (mode, seed, number): the writer applies
//! them to a file, the verifier to memory alone, so a check after a remount
//! needs nothing from the first run.

use std::fs::File;
use std::os::unix::fs::FileExt;

use crate::Failure;
use crate::direct::{ALIGN, Buffer, open};
use crate::mapped;
use crate::pattern::compare;
use crate::seed::Rng;

/// Largest file of a run, bytes.
const FILE_MAX: u64 = 8 << 20;
/// Size at the start for the modes that do not grow the file, bytes.
const FILE_START: u64 = 2 << 20;
/// Largest single write, bytes.
const WRITE_MAX: u64 = 128 << 10;
/// Every so many operations the whole file is compared.
const CHECK_EVERY: u64 = 16;

/// One step.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Op {
    /// `shift`: distance of the memory from alignment.
    Direct {
        offset: u64,
        bytes: u64,
        shift: u64,
    },
    Buffered {
        offset: u64,
        bytes: u64,
    },
    Mapped {
        offset: u64,
        bytes: u64,
    },
    Truncate {
        size: u64,
    },
    Sync,
}

/// Applies the operations to a file and compares as it goes.
pub fn write(mode: &str, path: &str, seed: u64, ops: u64) -> Result<(), Failure> {
    let direct = open(path)?;
    let buffered = File::options()
        .read(true)
        .write(true)
        .open(path)
        .map_err(|e| Failure::call(path, e))?;
    let mut files = Files {
        path,
        direct,
        buffered,
        buffer: Buffer::new(usize_of(FILE_MAX + WRITE_MAX)?),
    };
    let mut counts = [0_u32; 5];
    let model = replay(mode, seed, ops, |number, op, model, data| {
        counts[op.kind()] += 1;
        files
            .apply(op, data)
            .map_err(|e| Failure::call(&format!("{path}: operation {number} {op:?}"), e))?;
        if number % CHECK_EVERY == CHECK_EVERY - 1 {
            files.check(number, op, model)?;
        }
        Ok(())
    })?;
    files.check(ops, &Op::Sync, &model)?;
    files
        .buffered
        .sync_all()
        .map_err(|e| Failure::call(path, e))?;
    println!(
        "fbtool: {mode} {path}: {ops} operations [direct, buffered, mapped, truncate, sync] {counts:?}, {} bytes",
        model.len()
    );
    Ok(())
}

/// Compares a file with the model after the same operations.
pub fn verify(mode: &str, path: &str, seed: u64, ops: u64) -> Result<(), Failure> {
    let model = replay(mode, seed, ops, |_, _, _, _| Ok(()))?;
    let found = std::fs::read(path).map_err(|e| Failure::call(path, e))?;
    same(path, "after remount", &found, &model)?;
    println!(
        "fbtool: {mode} {path}: {} bytes as they must be",
        model.len()
    );
    Ok(())
}

struct Files<'a> {
    path: &'a str,
    direct: File,
    buffered: File,
    buffer: Buffer,
}

impl Files<'_> {
    fn apply(&mut self, op: &Op, data: &[u8]) -> std::io::Result<()> {
        match *op {
            Op::Direct { offset, shift, .. } => {
                let shift = usize::try_from(shift).map_err(std::io::Error::other)?;
                let memory = self.buffer.at(shift, data.len());
                memory.copy_from_slice(data);
                self.direct.write_all_at(memory, offset)
            }
            Op::Buffered { offset, .. } => self.buffered.write_all_at(data, offset),
            Op::Mapped { offset, .. } => mapped::store(&self.buffered, offset, data),
            Op::Truncate { size } => self.buffered.set_len(size),
            Op::Sync => self.buffered.sync_data(),
        }
    }

    /// Reads the whole file both ways.
    fn check(&mut self, number: u64, op: &Op, model: &[u8]) -> Result<(), Failure> {
        let what = format!("after operation {number} {op:?}");
        let size = model.len();
        let memory = self.buffer.at(0, size.next_multiple_of(ALIGN) + ALIGN);
        for (file, how) in [(&self.direct, "direct"), (&self.buffered, "buffered")] {
            let found = read_all(file, memory).map_err(|e| Failure::call(self.path, e))?;
            same(self.path, &format!("{how} read {what}"), found, model)?;
        }
        Ok(())
    }
}

fn read_all<'b>(file: &File, memory: &'b mut [u8]) -> std::io::Result<&'b [u8]> {
    let mut have = 0;
    while have < memory.len() {
        match file.read_at(&mut memory[have..], have as u64)? {
            0 => break,
            n => have += n,
        }
        // A direct read ends unaligned only at the end of the file.
        if have % ALIGN != 0 {
            break;
        }
    }
    Ok(&memory[..have])
}

fn same(path: &str, what: &str, found: &[u8], model: &[u8]) -> Result<(), Failure> {
    let result = compare(path, 0, found, model);
    match result {
        Err(Failure::Wrong(how)) if found.len() != model.len() => Err(Failure::Wrong(format!(
            "{what}: {} bytes, not {}; {how}",
            found.len(),
            model.len()
        ))),
        Err(Failure::Wrong(how)) => Err(Failure::Wrong(format!("{what}: {how}"))),
        other => other,
    }
}

/// Runs the operations on a model in memory; `each` sees every one after the model.
fn replay(
    mode: &str,
    seed: u64,
    ops: u64,
    mut each: impl FnMut(u64, &Op, &[u8], &[u8]) -> Result<(), Failure>,
) -> Result<Vec<u8>, Failure> {
    let choose = chooser(mode)?;
    let mut rng = Rng::new(seed, mode);
    let mut model: Vec<u8> = Vec::new();
    for number in 0..ops {
        let op = if number == 0 {
            Op::Buffered {
                offset: 0,
                bytes: FILE_START,
            }
        } else {
            choose(&mut rng, model.len() as u64)
        };
        let data = content(&mut rng, op.bytes())?;
        match op {
            Op::Direct { offset, .. } | Op::Buffered { offset, .. } | Op::Mapped { offset, .. } => {
                let start = usize_of(offset)?;
                let end = start + data.len();
                if end > model.len() {
                    model.resize(end, 0);
                }
                model[start..end].copy_from_slice(&data);
            }
            Op::Truncate { size } => model.resize(usize_of(size)?, 0),
            Op::Sync => {}
        }
        each(number, &op, &model, &data)?;
    }
    Ok(model)
}

type Chooser = fn(&mut Rng, u64) -> Op;

fn chooser(mode: &str) -> Result<Chooser, Failure> {
    match mode {
        "aligned" => Ok(aligned),
        "unaligned" => Ok(unaligned),
        "eof" => Ok(at_end),
        "mixed" => Ok(mixed),
        _ => Err(Failure::Call(format!("no mode {mode}"))),
    }
}

/// Whole blocks from aligned memory, inside the file.
fn aligned(rng: &mut Rng, size: u64) -> Op {
    let unit = ALIGN as u64;
    let bytes = (1 + rng.below(WRITE_MAX / unit)) * unit;
    let offset = rng.below((size.saturating_sub(bytes) / unit).max(1)) * unit;
    let shift = 0;
    Op::Direct {
        offset,
        bytes,
        shift,
    }
}

/// Any offset, length and memory address, inside the file.
fn unaligned(rng: &mut Rng, size: u64) -> Op {
    let bytes = match rng.below(4) {
        0 => 1 + rng.below(511),
        1 => 512 * (1 + rng.below(32)),
        _ => 1 + rng.below(WRITE_MAX),
    };
    let grain = if rng.below(3) == 0 { 512 } else { 1 };
    let offset = rng.below(size.saturating_sub(bytes).max(1)) / grain * grain;
    let shift = rng.below(ALIGN as u64) / grain * grain;
    Op::Direct {
        offset,
        bytes,
        shift,
    }
}

/// Writes across and beyond the end, and truncations.
fn at_end(rng: &mut Rng, size: u64) -> Op {
    let unit = ALIGN as u64;
    let bytes = 1 + rng.below(WRITE_MAX / 2);
    let room = FILE_MAX - WRITE_MAX;
    match rng.below(8) {
        _ if size > room => Op::Truncate { size: FILE_START },
        0 => Op::Truncate {
            size: rng.below(size + 1),
        },
        1 => Op::Truncate {
            size: (size + rng.below(3 * unit)).min(room),
        },
        // Whole blocks at the first block boundary after the end.
        2 => Op::Direct {
            offset: size.next_multiple_of(unit),
            bytes: bytes.next_multiple_of(unit),
            shift: 0,
        },
        // A hole before the write.
        3 => Op::Direct {
            offset: size + rng.below(4 * unit),
            bytes,
            shift: rng.below(unit),
        },
        4 => Op::Buffered {
            offset: size.saturating_sub(rng.below(unit)),
            bytes,
        },
        // Across the end.
        _ => Op::Direct {
            offset: size.saturating_sub(rng.below(2 * unit)),
            bytes,
            shift: if rng.below(2) == 0 {
                0
            } else {
                rng.below(unit)
            },
        },
    }
}

/// Every way of writing in turn, overlapping.
fn mixed(rng: &mut Rng, size: u64) -> Op {
    match rng.below(10) {
        0..=2 => aligned(rng, size),
        3 | 4 => unaligned(rng, size),
        5 | 6 => {
            let bytes = 1 + rng.below(WRITE_MAX / 2);
            let offset = rng.below(size.saturating_sub(bytes).max(1));
            Op::Buffered { offset, bytes }
        }
        7 | 8 => {
            let bytes = (1 + rng.below(WRITE_MAX / 4)).min(size.max(1));
            let offset = rng.below(size.saturating_sub(bytes).max(1));
            Op::Mapped { offset, bytes }
        }
        _ => Op::Sync,
    }
}

impl Op {
    fn bytes(&self) -> u64 {
        match *self {
            Op::Direct { bytes, .. } | Op::Buffered { bytes, .. } | Op::Mapped { bytes, .. } => {
                bytes
            }
            Op::Truncate { .. } | Op::Sync => 0,
        }
    }

    fn kind(&self) -> usize {
        match self {
            Op::Direct { .. } => 0,
            Op::Buffered { .. } => 1,
            Op::Mapped { .. } => 2,
            Op::Truncate { .. } => 3,
            Op::Sync => 4,
        }
    }
}

/// Bytes that differ from write to write and from place to place.
fn content(rng: &mut Rng, bytes: u64) -> Result<Vec<u8>, Failure> {
    let length = usize_of(bytes)?;
    let mut word = rng.next();
    let mut data = Vec::with_capacity(length + 8);
    while data.len() < length {
        word = word
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        data.extend_from_slice(&word.to_le_bytes());
    }
    data.truncate(length);
    Ok(data)
}

fn usize_of(n: u64) -> Result<usize, Failure> {
    usize::try_from(n).map_err(|e| Failure::call("size", e))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn model_is_a_function_of_mode_and_seed() {
        for mode in ["aligned", "unaligned", "eof", "mixed"] {
            let run = |seed| replay(mode, seed, 200, |_, _, _, _| Ok(())).unwrap();
            assert_eq!(run(1), run(1), "{mode}");
            assert_ne!(run(1), run(2), "{mode}");
            assert!(run(3).len() as u64 <= FILE_MAX);
        }
    }

    #[test]
    fn damage_is_told() {
        let name = format!("fbtool-dio-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let path = path.to_str().unwrap();
        for mode in ["aligned", "eof"] {
            std::fs::write(path, replay(mode, 5, 100, |_, _, _, _| Ok(())).unwrap()).unwrap();
            verify(mode, path, 5, 100).unwrap();
            let file = File::options().write(true).open(path).unwrap();
            file.write_all_at(b"damage", 1000).unwrap();
            assert!(matches!(verify(mode, path, 5, 100), Err(Failure::Wrong(_))));
        }
        std::fs::remove_file(path).unwrap();
    }
}
