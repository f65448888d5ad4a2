//! The workload on the disk: each step, and a mark after each that is durable.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FallocateFlags, OFlags, fallocate, syncfs};

use super::model::Model;
use super::ops::{How, Op, PAGE, PLACE, Settle, chooser};
use super::{DEVICE, call};
use crate::Failure;
use crate::direct::{Buffer, create_nocow};
use crate::seed::Rng;

/// Files in one folder: with the first of them the folder is made.
const PER_FOLDER: u64 = 4;

/// The steps of one workload; the same for whoever does them and whoever checks.
pub struct Steps {
    pub model: Model,
    choose: super::ops::Chooser,
    rng: Rng,
    seed: u64,
    number: u64,
}

impl Steps {
    /// `label` tells workloads apart that run side by side.
    pub fn new(mode: &str, label: &str, seed: u64) -> Result<Steps, Failure> {
        let mut rng = Rng::new(seed, &format!("{mode} {label}"));
        Ok(Steps {
            model: Model::default(),
            choose: chooser(mode)?,
            seed: rng.next(),
            rng,
            number: 0,
        })
    }

    /// The next step, applied to the model: its number, itself, its bytes.
    pub fn next(&mut self) -> (u64, Op, Vec<u8>) {
        let op = (self.choose)(&mut self.rng, &self.model);
        let number = self.number;
        let data = op.data(self.seed, number);
        self.model.apply(&op, &data);
        self.number += 1;
        (number, op, data)
    }
}

/// Does `steps` steps below `folder` and leaves the mark `LABEL:NUMBER` after each durable one.
pub fn run(mode: &str, folder: &str, label: &str, seed: u64, steps: u64) -> Result<(), Failure> {
    let mut work = Steps::new(mode, label, seed)?;
    let mut marks = 0;
    for _ in 0..steps {
        let (number, op, data) = work.next();
        apply(Path::new(folder), &op, &data)
            .map_err(|e| Failure::call(&format!("{label}: step {number} {op:?}"), e))?;
        if op.is_durable() {
            work.model.settle(&op, &data);
            let mark = format!("{label}:{number}");
            call("dmsetup", &["message", DEVICE, "0", "mark", &mark])?.map_err(Failure::Call)?;
            marks += 1;
        }
    }
    println!("fbtool: {label}: {steps} steps, {marks} of them durable");
    Ok(())
}

/// Where a file lies below the folder of its workload.
pub fn file_path(file: u64) -> String {
    format!("d{}/f{file}", file / PER_FOLDER)
}

/// Where a target lies.
pub fn target_path(target: u64) -> String {
    format!("t{target}")
}

/// Where a snapshot of `folder` lies.
pub fn snapshot_path(folder: &Path, number: u64) -> PathBuf {
    folder.with_file_name(format!("snapshot-{number}"))
}

fn apply(folder: &Path, op: &Op, data: &[u8]) -> std::io::Result<()> {
    let at = |file: u64| folder.join(file_path(file));
    let open = |path: &Path| OpenOptions::new().write(true).open(path);
    match *op {
        Op::Create { file } | Op::Place { file } => {
            create(&at(file), matches!(op, Op::Place { .. }))
        }
        Op::Write {
            file, offset, how, ..
        } => match how {
            How::Buffered => open(&at(file))?.write_all_at(data, offset),
            How::Direct => write_direct(&at(file), OFlags::DIRECT, offset, data),
            How::DirectSync => {
                write_direct(&at(file), OFlags::DIRECT | OFlags::DSYNC, offset, data)
            }
        },
        Op::Truncate { file, size } => open(&at(file))?.set_len(size),
        Op::Remove { file } => std::fs::remove_file(at(file)),
        Op::Fsync { file } => open(&at(file))?.sync_all(),
        Op::Replace { target, settle, .. } => {
            let target = folder.join(target_path(target));
            let new = target.with_extension("new");
            let file = File::create(&new)?;
            file.write_all_at(data, 0)?;
            file.sync_all()?;
            std::fs::rename(&new, &target)?;
            match settle {
                Settle::Nothing => Ok(()),
                Settle::File => file.sync_all(),
                Settle::Folder => File::open(folder)?.sync_all(),
            }
        }
        Op::Snapshot { number } => {
            let to = snapshot_path(folder, number);
            btrfs(&[
                "snapshot",
                "-r",
                &folder.to_string_lossy(),
                &to.to_string_lossy(),
            ])
        }
        Op::Delete { number } => {
            btrfs(&["delete", &snapshot_path(folder, number).to_string_lossy()])
        }
        Op::SyncAll => Ok(syncfs(File::open(folder)?)?),
    }
}

fn create(path: &Path, placed: bool) -> std::io::Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    if !placed {
        return File::create_new(path).map(drop);
    }
    create_nocow(&path.to_string_lossy()).map_err(|e| std::io::Error::other(format!("{e:?}")))?;
    let file = OpenOptions::new().write(true).open(path)?;
    Ok(fallocate(&file, FallocateFlags::empty(), 0, PLACE)?)
}

fn write_direct(path: &Path, flags: OFlags, offset: u64, data: &[u8]) -> std::io::Result<()> {
    debug_assert_eq!(data.len() as u64 % PAGE, 0);
    let file = OpenOptions::new()
        .write(true)
        .custom_flags(flags.bits().cast_signed())
        .open(path)?;
    let mut buffer = Buffer::new(data.len());
    let memory = buffer.at(0, data.len());
    memory.copy_from_slice(data);
    file.write_all_at(memory, offset)
}

fn btrfs(args: &[&str]) -> std::io::Result<()> {
    call("btrfs", &[&["subvolume"], args].concat())
        .map_err(|e| std::io::Error::other(format!("{e:?}")))?
        .map_err(std::io::Error::other)
}
