//! Many power cuts of one record: cut, mount, compare, check.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::call;
use super::check::check;
use super::record::{Entry, Record};
use crate::Failure;
use crate::seed::Rng;

/// The device as of a cut, and where it is mounted.
const IMAGE: &str = "/tmp/cut.img";
const FOLDER: &str = "/mnt/cut";
/// Where the super block of Btrfs names the root of the log tree.
const LOG_ROOT: u64 = 0x10000 + 0x60;

/// What was recorded.
pub struct Recorded<'a> {
    /// What the metrics begin with.
    pub name: &'a str,
    /// The device that holds the record.
    pub record: &'a str,
    /// Size of the recorded device, bytes.
    pub bytes: u64,
    pub mode: &'a str,
    pub seed: u64,
    pub steps: u64,
    /// Labels of the workloads, which are their folders too.
    pub labels: &'a [&'a str],
}

/// Cuts the power `cuts` times; after each all that was durable must be there.
pub fn run(recorded: &Recorded, cuts: u64) -> Result<(), Failure> {
    std::fs::create_dir_all(FOLDER).map_err(|e| Failure::call(FOLDER, e))?;
    let record = Record::open(recorded.record)?;
    let marks: Vec<usize> = (0..)
        .zip(&record.entries)
        .filter_map(|(n, e)| matches!(e, Entry::Mark(_)).then_some(n + 1))
        .collect();
    let (Some(first), Some(last)) = (marks.first(), marks.last()) else {
        return Err(Failure::Call("the record has no mark".into()));
    };
    let mut rng = Rng::new(recorded.seed, "cuts");
    let (mut replays, mut wrong) = (0, 0);
    for number in 0..cuts {
        let at =
            |rng: &mut Rng, bound: usize| usize::try_from(rng.below(bound as u64)).unwrap_or(0);
        // Right after a promise, or anywhere.
        let cut = match rng.below(2) {
            0 => marks[at(&mut rng, marks.len())],
            _ => first + at(&mut rng, last - first),
        };
        let keep = [0, 4, 7, 8][at(&mut rng, 4)];
        let made = record.make(cut, keep, &mut rng, IMAGE, recorded.bytes)?;
        let replay = has_log()?;
        replays += u64::from(replay);
        println!(
            "cut {number}: after {cut} of {} entries, {} of {} pieces kept{}",
            record.entries.len(),
            made.kept,
            made.volatile,
            if replay { ", log" } else { "" }
        );
        match one(recorded, &record.entries[..cut]) {
            Err(Failure::Wrong(what)) => {
                wrong += 1;
                println!("cut {number}: WRONG: {what}");
            }
            done => done?,
        }
    }
    let _best_effort = std::fs::remove_file(IMAGE);
    for (name, value, better) in [
        ("cuts", cuts, "higher"),
        ("replays", replays, "higher"),
        ("wrong", wrong, "lower"),
    ] {
        println!(
            "::metric name={}_{name} value={value} unit=count better={better}",
            recorded.name
        );
    }
    match wrong {
        0 => Ok(()),
        _ => Err(Failure::Wrong(format!(
            "after {wrong} of {cuts} power cuts"
        ))),
    }
}

/// Mounts the device, compares, unmounts and checks it.
fn one(recorded: &Recorded, before: &[Entry]) -> Result<(), Failure> {
    // An older state of a device that the kernel still knows would be refused.
    call("btrfs", &["device", "scan", "--forget"])?.map_err(Failure::Call)?;
    call("mount", &["-t", "btrfs", "-o", "loop", IMAGE, FOLDER])?.map_err(Failure::Wrong)?;
    let compared = recorded.labels.iter().try_for_each(|label| {
        let (mode, seed, steps) = (recorded.mode, recorded.seed, recorded.steps);
        let last = last_mark(before, label);
        let folder = Path::new(FOLDER).join(label);
        check(mode, &folder, label, seed, steps, last)
    });
    let unmounted = call("umount", &[FOLDER])?.map_err(Failure::Wrong);
    compared.and(unmounted)?;
    call("btrfs", &["check", "--readonly", IMAGE])?.map_err(Failure::Wrong)
}

/// The number in the last mark `LABEL:NUMBER`.
fn last_mark(before: &[Entry], label: &str) -> Option<u64> {
    before.iter().rev().find_map(|entry| match entry {
        Entry::Mark(mark) => {
            let number = mark.strip_prefix(label)?.strip_prefix(':')?;
            number.parse().ok()
        }
        _ => None,
    })
}

fn has_log() -> Result<bool, Failure> {
    let mut root = [0; 8];
    File::open(IMAGE)
        .and_then(|f| f.read_exact_at(&mut root, LOG_ROOT))
        .map_err(|e| Failure::call(IMAGE, e))?;
    Ok(root != [0; 8])
}
