//! The record that `dm-log-writes` leaves: reading it, and the device as of a power cut.

use std::fs::File;
use std::os::unix::fs::FileExt;

use crate::Failure;
use crate::seed::Rng;

const MAGIC: u64 = 0x006a_7366_7773_6872;
const FLUSH: u64 = 1;
const FUA: u64 = 2;
const DISCARD: u64 = 4;
const MARK: u64 = 8;
/// The last entry of a whole record: the kernel writes it when the device is removed.
const END: &str = "dm-log-writes-end";
/// What a torn write is torn into, bytes.
const PIECE: usize = 4096;

/// One entry, in the order in which the kernel wrote them: a write that was
/// complete when a flush was sent stands before that flush, a FUA write stands
/// where it completed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// `at`: offset of the data in the record.
    Write {
        offset: u64,
        bytes: u64,
        at: u64,
        flush: bool,
        fua: bool,
    },
    Mark(String),
    /// Leaves bytes undefined, so it may as well leave the old ones.
    Discard,
}

/// A whole record.
pub struct Record {
    file: File,
    pub entries: Vec<Entry>,
}

/// How the device was made.
#[derive(Debug, Default)]
pub struct Made {
    /// Pieces that were in the cache of the device at the cut, and how many of them it had kept.
    pub volatile: u64,
    pub kept: u64,
}

impl Record {
    /// Reads the entries of the record on `path`.
    pub fn open(path: &str) -> Result<Record, Failure> {
        let file = File::open(path).map_err(|e| Failure::call(path, e))?;
        let mut head = [0; 28];
        read(&file, &mut head, 0)?;
        if word(&head, 0) != MAGIC || word(&head, 8) != 1 {
            return Err(Failure::Call(format!("{path} holds no record of writes")));
        }
        let sector = word(&head, 24) & 0xffff_ffff;
        let mut entries = Vec::new();
        let mut at = sector;
        for _ in 0..word(&head, 16) {
            let mut head = [0; 512];
            read(&file, &mut head, at)?;
            at += sector;
            let (bytes, flags) = (word(&head, 8) * sector, word(&head, 16));
            if flags & MARK != 0 {
                let length = usize::try_from(word(&head, 24)).unwrap_or(usize::MAX);
                let text = head[32..].get(..length).unwrap_or_default();
                let text = String::from_utf8_lossy(text);
                entries.push(Entry::Mark(text.trim_end_matches('\0').to_owned()));
            } else if flags & DISCARD != 0 {
                entries.push(Entry::Discard);
            } else {
                entries.push(Entry::Write {
                    offset: word(&head, 0) * sector,
                    bytes,
                    at,
                    flush: flags & FLUSH != 0,
                    fua: flags & FUA != 0,
                });
                at += bytes;
            }
        }
        if entries.last() != Some(&Entry::Mark(END.to_owned())) {
            return Err(Failure::Call(format!(
                "the record on {path} is not whole: {} entries",
                entries.len()
            )));
        }
        Ok(Record { file, entries })
    }

    /// Makes the device as of a cut after the first `cut` entries.
    ///
    /// All that the last flush covers is there, and so is every FUA write; of the
    /// other writes each piece is there with a chance of `keep` in 8.
    pub fn make(
        &self,
        cut: usize,
        keep: u64,
        rng: &mut Rng,
        path: &str,
        bytes: u64,
    ) -> Result<Made, Failure> {
        let device = File::create(path).map_err(|e| Failure::call(path, e))?;
        device.set_len(bytes).map_err(|e| Failure::call(path, e))?;
        let entries = &self.entries[..cut];
        let is_flush = |e: &Entry| matches!(e, Entry::Write { flush: true, .. });
        let flushed = entries.iter().rposition(is_flush).unwrap_or(0);
        let mut made = Made::default();
        let mut data = Vec::new();
        for (number, entry) in entries.iter().enumerate() {
            let &Entry::Write {
                offset,
                bytes,
                at,
                fua,
                ..
            } = entry
            else {
                continue;
            };
            data.resize(usize::try_from(bytes).unwrap_or(0), 0);
            read(&self.file, &mut data, at)?;
            for (n, piece) in (0..).zip(data.chunks(PIECE)) {
                if number >= flushed && !fua {
                    made.volatile += 1;
                    if rng.below(8) >= keep {
                        continue;
                    }
                    made.kept += 1;
                }
                device
                    .write_all_at(piece, offset + n * PIECE as u64)
                    .map_err(|e| Failure::call(path, e))?;
            }
        }
        Ok(made)
    }
}

fn read(file: &File, buffer: &mut [u8], at: u64) -> Result<(), Failure> {
    file.read_exact_at(buffer, at)
        .map_err(|e| Failure::call("the record of writes", e))
}

fn word(bytes: &[u8], at: usize) -> u64 {
    let mut word = [0; 8];
    let there = &bytes[at..bytes.len().min(at + 8)];
    word[..there.len()].copy_from_slice(there);
    u64::from_le_bytes(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECTOR: usize = 512;

    /// A record as the kernel writes it: (sector, flags, data), marks without data.
    fn record(entries: &[(u64, u64, &[u8])]) -> Vec<u8> {
        let mut out = [MAGIC, 1, entries.len() as u64, SECTOR as u64]
            .map(u64::to_le_bytes)
            .concat();
        out.resize(SECTOR, 0);
        for &(sector, flags, data) in entries {
            let start = out.len();
            let (mark, length) = (flags & MARK != 0, data.len() as u64);
            let sectors = if mark { 0 } else { length / SECTOR as u64 };
            let head = [sector, sectors, flags, if mark { length } else { 0 }];
            out.extend(head.map(u64::to_le_bytes).concat());
            if mark {
                out.extend(data);
            }
            out.resize(start + SECTOR, 0);
            if !mark {
                out.extend(data);
            }
        }
        out
    }

    fn made(record: &Record, cut: usize, keep: u64) -> (Vec<u8>, Made) {
        let dir = std::env::temp_dir().join(format!("fbtool-cut-{}-{cut}", std::process::id()));
        let path = dir.to_str().unwrap();
        let made = record.make(cut, keep, &mut Rng::new(1, "cut"), path, 1 << 16);
        let bytes = std::fs::read(path).unwrap();
        std::fs::remove_file(path).unwrap();
        (bytes, made.unwrap())
    }

    #[test]
    fn only_what_a_flush_or_fua_made_stable_is_surely_there() {
        let page = |byte: u8| vec![byte; PIECE];
        let (a, b, c, d) = (page(1), page(2), [page(3), page(4)].concat(), page(5));
        let bytes = record(&[
            (0, 0, &a),
            (0, FLUSH, &[]),
            (8, 0, &b),
            (16, 0, &c),
            (32, FUA, &d),
            (0, MARK, b"w 1\0"),
            (0, FLUSH, &[]),
            (0, MARK, END.as_bytes()),
        ]);
        let name = format!("fbtool-record-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::write(&path, bytes).unwrap();
        let record = Record::open(path.to_str().unwrap()).unwrap();
        assert_eq!(record.entries[5], Entry::Mark("w 1".to_owned()));
        let firsts =
            |bytes: &[u8]| -> Vec<u8> { bytes.chunks(PIECE).take(5).map(|p| p[0]).collect() };

        let (bytes, lost) = made(&record, 6, 0);
        assert_eq!(firsts(&bytes), [1, 0, 0, 0, 5]);
        assert_eq!((lost.volatile, lost.kept), (3, 0));
        let (bytes, all) = made(&record, 6, 8);
        assert_eq!(firsts(&bytes), [1, 2, 3, 4, 5]);
        assert_eq!((all.volatile, all.kept), (3, 3));
        assert_eq!(firsts(&made(&record, 7, 0).0), [1, 2, 3, 4, 5]);
        std::fs::write(&path, self::record(&[(0, 0, &a)])).unwrap();
        assert!(Record::open(path.to_str().unwrap()).is_err());
        std::fs::remove_file(path).unwrap();
    }
}
