//! What the steps so far leave behind: the state now, and all that a power cut may leave of it.

use std::collections::BTreeMap;

use super::ops::{How, Op, PAGE, PLACE, Settle};

/// A page as it may be found.
type Page = Vec<u8>;

/// All files, by number.
#[derive(Debug, Default)]
pub struct Model {
    pub files: BTreeMap<u64, FileState>,
    pub targets: BTreeMap<u64, Target>,
    pub snapshots: BTreeMap<u64, Snapshot>,
    /// The number of the next file or snapshot.
    pub next: u64,
}

/// One file.
#[derive(Debug, Default)]
pub struct FileState {
    pub now: Vec<u8>,
    /// It must be found.
    pub durable: bool,
    pub removed: bool,
    /// It must not be found.
    pub gone: bool,
    /// The bytes that are durable.
    floor: Vec<u8>,
    /// Least and largest size that may be found.
    pub sizes: (u64, u64),
    /// What pages have been since they were durable.
    since: BTreeMap<u64, Vec<Page>>,
}

/// A name that is replaced: each content is whole or not there.
#[derive(Debug, Default)]
pub struct Target {
    pub contents: Vec<Vec<u8>>,
    /// The first content that may be found; before there is one, no file may be found as well.
    pub durable: Option<usize>,
}

/// A snapshot and what is in it.
#[derive(Debug, Default)]
pub struct Snapshot {
    pub files: BTreeMap<u64, Vec<u8>>,
    pub durable: bool,
    pub deleted: bool,
    pub gone: bool,
}

impl Model {
    /// Files that can be worked on.
    pub fn live(&self) -> Vec<u64> {
        let live = self.files.iter().filter(|(_, f)| !f.removed);
        live.map(|(n, _)| *n).collect()
    }

    /// Live files that a cut may still change.
    pub fn unsynced(&self) -> Vec<u64> {
        let mut live = self.live();
        live.retain(|n| self.is_new(*n) || self.files.get(n).is_some_and(|f| !f.since.is_empty()));
        live
    }

    pub fn is_new(&self, file: u64) -> bool {
        self.files.get(&file).is_some_and(|f| !f.durable)
    }

    pub fn size(&self, file: u64) -> u64 {
        self.files.get(&file).map_or(0, |f| f.now.len() as u64)
    }

    pub fn snapshots_live(&self) -> Vec<u64> {
        let live = self.snapshots.iter().filter(|(_, s)| !s.deleted);
        live.map(|(n, _)| *n).collect()
    }

    /// One step is done or under way.
    pub fn apply(&mut self, op: &Op, data: &[u8]) {
        match *op {
            Op::Create { file } => {
                self.files.insert(file, FileState::default());
                self.next = file + 1;
            }
            Op::Place { file } => {
                let mut state = FileState::default();
                state.resize(PLACE);
                self.files.insert(file, state);
                self.next = file + 1;
            }
            Op::Write { file, offset, .. } => self.with(file, |f| f.write(offset, data)),
            Op::Truncate { file, size } => self.with(file, |f| f.resize(size)),
            Op::Remove { file } => self.with(file, |f| {
                f.removed = true;
                f.durable = false;
            }),
            Op::Replace { target, .. } => {
                let target = self.targets.entry(target).or_default();
                target.contents.push(data.to_vec());
            }
            Op::Snapshot { number } => {
                let live = self.files.iter().filter(|(_, f)| !f.removed);
                let files = live.map(|(n, f)| (*n, f.now.clone())).collect();
                let snapshot = Snapshot {
                    files,
                    ..Snapshot::default()
                };
                self.snapshots.insert(number, snapshot);
                self.next = number + 1;
            }
            Op::Delete { number } => {
                if let Some(snapshot) = self.snapshots.get_mut(&number) {
                    snapshot.deleted = true;
                    snapshot.durable = false;
                }
            }
            Op::Fsync { .. } | Op::SyncAll => {}
        }
    }

    /// A durable step has returned.
    pub fn settle(&mut self, op: &Op, data: &[u8]) {
        match *op {
            Op::Fsync { file } => self.with(file, FileState::settle),
            Op::Write {
                file,
                offset,
                how: How::DirectSync,
                ..
            } => self.with(file, |f| f.settle_range(offset, data)),
            Op::Replace {
                target,
                settle: Settle::File | Settle::Folder,
                ..
            } => {
                if let Some(target) = self.targets.get_mut(&target) {
                    target.settle();
                }
            }
            Op::Snapshot { number } => {
                self.settle_all();
                if let Some(snapshot) = self.snapshots.get_mut(&number) {
                    snapshot.durable = true;
                }
            }
            Op::SyncAll => self.settle_all(),
            _ => {}
        }
    }

    fn settle_all(&mut self) {
        for file in self.files.values_mut() {
            if file.removed {
                file.gone = true;
            } else {
                file.settle();
            }
        }
        self.targets.values_mut().for_each(Target::settle);
        for snapshot in self.snapshots.values_mut() {
            snapshot.gone = snapshot.deleted;
        }
    }

    fn with(&mut self, file: u64, change: impl FnOnce(&mut FileState)) {
        if let Some(file) = self.files.get_mut(&file) {
            change(file);
        }
    }
}

impl Target {
    fn settle(&mut self) {
        self.durable = self.contents.len().checked_sub(1);
    }
}

impl FileState {
    fn write(&mut self, offset: u64, data: &[u8]) {
        let start = usize_of(offset);
        let end = start + data.len();
        if self.now.len() < end {
            self.now.resize(end, 0);
        }
        self.now[start..end].copy_from_slice(data);
        self.changed(offset, end as u64);
    }

    fn resize(&mut self, size: u64) {
        let old = self.now.len() as u64;
        self.now.resize(usize_of(size), 0);
        self.changed(size.min(old), old);
    }

    /// The bytes from `start` to `end` are others now.
    fn changed(&mut self, start: u64, end: u64) {
        for page in start / PAGE..end.div_ceil(PAGE) {
            let now = page_of(&self.now, page);
            self.since.entry(page).or_default().push(now);
        }
        let size = self.now.len() as u64;
        self.sizes = (self.sizes.0.min(size), self.sizes.1.max(size));
    }

    fn settle(&mut self) {
        let size = self.now.len() as u64;
        self.floor.clone_from(&self.now);
        self.since.clear();
        self.sizes = (size, size);
        self.durable = true;
    }

    fn settle_range(&mut self, offset: u64, data: &[u8]) {
        let start = usize_of(offset);
        let end = start + data.len();
        if self.floor.len() < end {
            self.floor.resize(end, 0);
        }
        self.floor[start..end].copy_from_slice(data);
        for page in offset / PAGE..(end as u64).div_ceil(PAGE) {
            self.since.remove(&page);
        }
        self.sizes.0 = self.sizes.0.max(end as u64);
    }

    /// Whether a page may be found so, in a file that ends with it after `found` or goes on.
    pub fn allows(&self, page: u64, found: &[u8]) -> bool {
        let same = |wanted: &Page| wanted.starts_with(found);
        same(&page_of(&self.floor, page))
            || self
                .since
                .get(&page)
                .is_some_and(|all| all.iter().any(same))
    }
}

/// One page, filled up with zeros behind the end.
fn page_of(bytes: &[u8], page: u64) -> Page {
    let start = usize_of(page * PAGE).min(bytes.len());
    let end = (start + usize_of(PAGE)).min(bytes.len());
    let mut page = bytes[start..end].to_vec();
    page.resize(usize_of(PAGE), 0);
    page
}

fn usize_of(n: u64) -> usize {
    usize::try_from(n).unwrap_or(usize::MAX)
}
