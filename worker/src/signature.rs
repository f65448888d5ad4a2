//! The kernel signature: two kernels with the same one behave the same.
//!
//! Owns a minimal reader of 64-bit little-endian ELF and the choice of what
//! counts: every section that is loaded (SHF_ALLOC), by name, size and content,
//! except notes (the build id). Debug information and symbols do not count.
//! The file is hostile input: every offset is checked.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};

use sha2::{Digest, Sha256};

const SHF_ALLOC: u64 = 2;
const SHT_NOTE: u32 = 7;
const SHT_NOBITS: u32 = 8;
const HEADER: usize = 64;
const SECTION: usize = 64;
const SECTIONS_MAX: usize = 65_535;
const NAMES_MAX: u64 = 4 << 20;

struct Section {
    name: u32,
    kind: u32,
    flags: u64,
    offset: u64,
    size: u64,
}

/// SHA-256 over the loaded sections of `vmlinux`, lower-case hex.
pub fn of_vmlinux(mut file: File) -> io::Result<String> {
    let sections = sections(&mut file)?;
    let names = names(&mut file, &sections)?;
    let mut hash = Sha256::new();
    for section in &sections.all {
        let name = name(&names, section.name)?;
        if section.flags & SHF_ALLOC == 0 || section.kind == SHT_NOTE || name.starts_with(b".note")
        {
            continue;
        }
        hash.update((name.len() as u64).to_le_bytes());
        hash.update(name);
        hash.update(section.size.to_le_bytes());
        if section.kind != SHT_NOBITS {
            feed(&mut file, section, &mut hash)?;
        }
    }
    Ok(hex::encode(hash.finalize()))
}

struct Sections {
    all: Vec<Section>,
    names: usize,
}

fn sections(file: &mut File) -> io::Result<Sections> {
    let mut header = [0u8; HEADER];
    file.seek(SeekFrom::Start(0))?;
    file.read_exact(&mut header)?;
    if header[..6] != *b"\x7fELF\x02\x01" {
        return Err(bad("not a 64-bit little-endian ELF file"));
    }
    let table = u64_at(&header, 40);
    let size = usize::from(u16_at(&header, 58));
    let count = usize::from(u16_at(&header, 60));
    if size != SECTION || count == 0 || count > SECTIONS_MAX {
        return Err(bad("no section table"));
    }
    let mut raw = vec![0u8; count * SECTION];
    file.seek(SeekFrom::Start(table))?;
    file.read_exact(&mut raw)?;
    let all = raw
        .chunks_exact(SECTION)
        .map(|s| Section {
            name: u32_at(s, 0),
            kind: u32_at(s, 4),
            flags: u64_at(s, 8),
            offset: u64_at(s, 24),
            size: u64_at(s, 32),
        })
        .collect();
    Ok(Sections {
        all,
        names: usize::from(u16_at(&header, 62)),
    })
}

fn names(file: &mut File, sections: &Sections) -> io::Result<Vec<u8>> {
    let table = sections
        .all
        .get(sections.names)
        .ok_or_else(|| bad("no section names"))?;
    if table.size > NAMES_MAX {
        return Err(bad("too many section names"));
    }
    let mut names = Vec::new();
    file.seek(SeekFrom::Start(table.offset))?;
    file.take(table.size).read_to_end(&mut names)?;
    Ok(names)
}

fn name(names: &[u8], at: u32) -> io::Result<&[u8]> {
    let rest = names
        .get(at as usize..)
        .ok_or_else(|| bad("a section name is missing"))?;
    rest.split(|b| *b == 0)
        .next()
        .ok_or_else(|| bad("a section name is missing"))
}

fn feed(file: &mut File, section: &Section, hash: &mut Sha256) -> io::Result<()> {
    file.seek(SeekFrom::Start(section.offset))?;
    let mut left = section.size;
    let mut buffer = vec![0u8; 1 << 20];
    while left > 0 {
        let want = buffer
            .len()
            .min(usize::try_from(left).unwrap_or(usize::MAX));
        let n = file.read(&mut buffer[..want])?;
        if n == 0 {
            return Err(bad("the file ends inside a section"));
        }
        hash.update(&buffer[..n]);
        left -= n as u64;
    }
    Ok(())
}

fn bad(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

fn u16_at(b: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([b[at], b[at + 1]])
}

fn u32_at(b: &[u8], at: usize) -> u32 {
    u32::from(u16_at(b, at)) | u32::from(u16_at(b, at + 2)) << 16
}

fn u64_at(b: &[u8], at: usize) -> u64 {
    u64::from(u32_at(b, at)) | u64::from(u32_at(b, at + 4)) << 32
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;
    use std::process::Command;

    fn compile(dir: &Path, source: &str, extra: &[&str]) -> String {
        std::fs::write(dir.join("a.c"), source).unwrap();
        let out = dir.join("a.out");
        let ok = Command::new("gcc")
            .args(["-O2", "-nostdlib", "-static", "-Wl,-e,go", "-o"])
            .arg(&out)
            .arg("a.c")
            .args(extra)
            .current_dir(dir)
            .status()
            .unwrap();
        assert!(ok.success());
        of_vmlinux(File::open(out).unwrap()).unwrap()
    }

    #[test]
    fn build_id_and_debug_do_not_count_but_code_does() {
        let dir = tempfile::tempdir().unwrap();
        let one = "int go(void) { return 1; }";
        let plain = compile(dir.path(), one, &["-Wl,--build-id=0x1234"]);
        assert_eq!(
            plain,
            compile(dir.path(), one, &["-Wl,--build-id=0x5678", "-g"])
        );
        assert_eq!(
            plain,
            compile(
                dir.path(),
                &format!("/* hello */ {one}"),
                &["-Wl,--build-id=0x9abc"]
            )
        );
        assert_ne!(
            plain,
            compile(
                dir.path(),
                "int go(void) { return 2; }",
                &["-Wl,--build-id=0x1234"]
            )
        );
    }

    #[test]
    fn damaged_files_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        compile(dir.path(), "int go(void) { return 1; }", &[]);
        let whole = std::fs::read(dir.path().join("a.out")).unwrap();
        let path = dir.path().join("bad");
        let mut cases = vec![
            b"#!/bin/sh".to_vec(),
            whole[..whole.len() / 2].to_vec(),
            vec![],
        ];
        let mut far = whole.clone();
        far[40..48].copy_from_slice(&u64::MAX.to_le_bytes());
        cases.push(far);
        for bytes in cases {
            std::fs::write(&path, bytes).unwrap();
            assert!(of_vmlinux(File::open(&path).unwrap()).is_err());
        }
    }
}
