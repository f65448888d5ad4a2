//! The file system after a power cut against what the marks before it promise.

use std::io::ErrorKind;
use std::path::Path;

use super::model::{FileState, Model, Snapshot, Target};
use super::ops::PAGE;
use super::work::{Steps, file_path, snapshot_path, target_path};
use crate::Failure;
use crate::pattern::compare;

/// Compares all below `folder`; `last` is the step of the last mark before the cut.
pub fn check(
    mode: &str,
    folder: &Path,
    label: &str,
    seed: u64,
    steps: u64,
    last: Option<u64>,
) -> Result<(), Failure> {
    let model = model(mode, label, seed, steps, last)?;
    for (number, file) in &model.files {
        let path = folder.join(file_path(*number));
        check_file(&path, file)?;
    }
    for (number, target) in &model.targets {
        check_target(&folder.join(target_path(*number)), target)?;
    }
    for (number, snapshot) in &model.snapshots {
        check_snapshot(&snapshot_path(folder, *number), snapshot)?;
    }
    Ok(())
}

/// Durable as far as `last`; the steps up to the next mark may have begun.
fn model(
    mode: &str,
    label: &str,
    seed: u64,
    steps: u64,
    last: Option<u64>,
) -> Result<Model, Failure> {
    let mut work = Steps::new(mode, label, seed)?;
    let mut settled = Steps::new(mode, label, seed)?;
    for _ in 0..steps {
        // What is chosen next depends on what is durable, so one copy goes through all.
        let (number, op, data) = work.next();
        settled.model.apply(&op, &data);
        if op.is_durable() {
            work.model.settle(&op, &data);
            if last.is_none_or(|last| number > last) {
                break;
            }
            settled.model.settle(&op, &data);
        }
    }
    Ok(settled.model)
}

fn check_file(path: &Path, file: &FileState) -> Result<(), Failure> {
    let name = path.display();
    let Some(found) = read(path)? else {
        return match file.durable {
            true => Err(Failure::Wrong(format!("{name} is lost"))),
            false => Ok(()),
        };
    };
    if file.gone {
        return Err(Failure::Wrong(format!("{name} was removed and is back")));
    }
    let (least, largest) = file.sizes;
    let size = found.len() as u64;
    if size < least || size > largest {
        return Err(Failure::Wrong(format!(
            "{name} has {size} bytes, not {least} to {largest}"
        )));
    }
    let page = usize::try_from(PAGE).unwrap_or(4096);
    for (number, bytes) in (0..).zip(found.chunks(page)) {
        if !file.allows(number, bytes) {
            let zero = bytes.iter().all(|b| *b == 0);
            return Err(Failure::Wrong(format!(
                "{name}: the page at {} holds nothing that was written there since it was durable{}",
                number * PAGE,
                if zero { ", it is empty" } else { "" }
            )));
        }
    }
    Ok(())
}

fn check_target(path: &Path, target: &Target) -> Result<(), Failure> {
    let name = path.display();
    let Some(found) = read(path)? else {
        return match target.durable {
            Some(_) => Err(Failure::Wrong(format!("{name} is lost"))),
            None => Ok(()),
        };
    };
    let first = target.durable.unwrap_or(0);
    match target.contents.iter().rposition(|c| *c == found) {
        Some(at) if at >= first => Ok(()),
        Some(at) => Err(Failure::Wrong(format!(
            "{name} has its content {at}, but {first} was durable"
        ))),
        None => Err(Failure::Wrong(format!(
            "{name}: its {} bytes are no whole content",
            found.len()
        ))),
    }
}

fn check_snapshot(path: &Path, snapshot: &Snapshot) -> Result<(), Failure> {
    let name = path.display();
    if !path.is_dir() {
        return match snapshot.durable {
            true => Err(Failure::Wrong(format!("{name} is lost"))),
            false => Ok(()),
        };
    }
    if snapshot.gone {
        return Err(Failure::Wrong(format!("{name} was deleted and is back")));
    }
    for (number, wanted) in &snapshot.files {
        let path = path.join(file_path(*number));
        let name = path.to_string_lossy();
        let found = read(&path)?;
        let found = found.ok_or_else(|| Failure::Wrong(format!("{name} is lost")))?;
        compare(&name, 0, &found, wanted)?;
    }
    Ok(())
}

/// The content; None when there is no such file. Any other error is a wrong result.
fn read(path: &Path) -> Result<Option<Vec<u8>>, Failure> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
        Err(e) => Err(Failure::Wrong(format!("{}: {e}", path.display()))),
    }
}
