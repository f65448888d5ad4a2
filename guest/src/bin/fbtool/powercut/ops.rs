//! The operations of a workload: a function of (mode, seed, number).

use super::model::Model;
use crate::Failure;
use crate::pattern::block;
use crate::seed::Rng;

/// Unit of the direct writes and of what is compared, bytes.
pub const PAGE: u64 = 4096;
/// Largest file of the buffered workloads, bytes.
const FILE_MAX: u64 = 192 << 10;
/// Largest single write, bytes.
const WRITE_MAX: u64 = 24 << 10;
/// Size of the files that are written with direct I/O, bytes.
pub const PLACE: u64 = 512 << 10;
/// Files that live at a time.
const FILES: usize = 8;
/// Names that are replaced again and again.
const TARGETS: u64 = 5;
/// Snapshots that live at a time.
const SNAPSHOTS: usize = 3;

/// One step; files, targets and snapshots are known by numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Op {
    Create {
        file: u64,
    },
    /// Creates a file of [`PLACE`] bytes whose data is overwritten in place.
    Place {
        file: u64,
    },
    Write {
        file: u64,
        offset: u64,
        bytes: u64,
        how: How,
    },
    Truncate {
        file: u64,
        size: u64,
    },
    Remove {
        file: u64,
    },
    Fsync {
        file: u64,
    },
    /// Writes and syncs a new file and renames it over the target.
    Replace {
        target: u64,
        bytes: u64,
        settle: Settle,
    },
    Snapshot {
        number: u64,
    },
    Delete {
        number: u64,
    },
    SyncAll,
}

/// How bytes are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    Buffered,
    Direct,
    /// Direct with O_DSYNC: durable when it returns.
    DirectSync,
}

/// What is synced after a rename.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settle {
    Nothing,
    File,
    Folder,
}

impl Op {
    /// Whether something is durable when this has returned.
    pub fn is_durable(&self) -> bool {
        match self {
            Op::Fsync { .. } | Op::Snapshot { .. } | Op::SyncAll => true,
            Op::Write { how, .. } => *how == How::DirectSync,
            Op::Replace { settle, .. } => *settle != Settle::Nothing,
            _ => false,
        }
    }

    /// The bytes it writes; `number` makes them unlike those of any other step.
    pub fn data(&self, seed: u64, number: u64) -> Vec<u8> {
        let bytes = match *self {
            Op::Write { bytes, .. } | Op::Replace { bytes, .. } => bytes,
            _ => 0,
        };
        let mut data: Vec<u8> = (0..bytes.div_ceil(PAGE))
            .flat_map(|page| block(seed, (number << 16) + page))
            .collect();
        data.truncate(usize::try_from(bytes).unwrap_or(0));
        data
    }
}

/// How the next step of a mode is chosen.
pub type Chooser = fn(&mut Rng, &Model) -> Op;

/// The chooser of a mode.
pub fn chooser(mode: &str) -> Result<Chooser, Failure> {
    match mode {
        "fsync" => Ok(files),
        "rename" => Ok(names),
        "direct" => Ok(direct),
        "snapshot" => Ok(snapshots),
        _ => Err(Failure::Call(format!("no mode {mode}"))),
    }
}

/// Files grow, are overwritten, cut and removed; half of the steps sync one.
fn files(rng: &mut Rng, model: &Model) -> Op {
    let live = model.live();
    let file = live.get(index(rng, live.len())).copied();
    let (Some(file), true) = (file, live.len() > 1) else {
        return Op::Create { file: model.next };
    };
    let size = model.size(file);
    match rng.below(24) {
        0 | 1 if live.len() < FILES => Op::Create { file: model.next },
        2 if live.len() > FILES / 2 => Op::Remove { file },
        3 | 4 => Op::Truncate {
            file,
            size: rng.below(size + PAGE),
        },
        5 => Op::SyncAll,
        6..=13 => {
            let offset = match rng.below(3) {
                0 => rng.below(size + 1),
                1 => size + rng.below(2) * rng.below(3 * PAGE),
                _ => size,
            };
            Op::Write {
                file,
                offset: offset.min(FILE_MAX),
                bytes: 1 + rng.below(WRITE_MAX),
                how: How::Buffered,
            }
        }
        _ => {
            let unsynced = model.unsynced();
            let file = unsynced.get(index(rng, unsynced.len())).copied();
            Op::Fsync {
                file: file.unwrap_or(live[0]),
            }
        }
    }
}

/// Whole files replaced by rename.
fn names(rng: &mut Rng, _: &Model) -> Op {
    if rng.below(16) == 0 {
        return Op::SyncAll;
    }
    Op::Replace {
        target: rng.below(TARGETS),
        bytes: 1 + rng.below(WRITE_MAX),
        settle: match rng.below(3) {
            0 => Settle::Nothing,
            1 => Settle::File,
            _ => Settle::Folder,
        },
    }
}

/// Direct writes to a file that is overwritten in place and to one that is copied on write.
fn direct(rng: &mut Rng, model: &Model) -> Op {
    match model.next {
        0 => return Op::Place { file: 0 },
        1 => return Op::Create { file: 1 },
        _ => {}
    }
    let file = rng.below(2);
    if model.is_new(file) {
        return Op::SyncAll;
    }
    let bytes = (1 + rng.below(8)) * PAGE;
    Op::Write {
        file,
        offset: rng.below(PLACE / PAGE - 8) * PAGE,
        bytes,
        how: match rng.below(8) {
            0..=2 => How::Direct,
            3 => return Op::Fsync { file },
            _ => How::DirectSync,
        },
    }
}

/// As [`files`], with snapshots taken and deleted.
fn snapshots(rng: &mut Rng, model: &Model) -> Op {
    let live = model.snapshots_live();
    match rng.below(8) {
        0 if live.len() < SNAPSHOTS => Op::Snapshot { number: model.next },
        1 if live.len() == SNAPSHOTS => Op::Delete {
            number: live[index(rng, live.len())],
        },
        _ => files(rng, model),
    }
}

fn index(rng: &mut Rng, length: usize) -> usize {
    usize::try_from(rng.below(length as u64)).unwrap_or(0)
}
