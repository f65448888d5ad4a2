//! Reads a tar stream: regular files and symbolic links, in order.
//!
//! Owns the tar format as GNU tar and pax write it. Must not know git or what
//! the files are for.

use std::io::Read;

use anyhow::{Context, Result, bail};

const BLOCK: usize = 512;
/// A header record or a source file larger than this is refused.
const MAX_ENTRY: u64 = 256 << 20;

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A regular file without execute permission.
    File,
    /// A regular file that its owner may execute.
    Executable,
    /// A symbolic link; the content is its target.
    Symlink,
}

/// One file of the stream.
#[derive(Debug)]
pub struct Entry {
    /// Path as stored.
    pub path: Vec<u8>,
    pub kind: Kind,
    pub content: Vec<u8>,
}

/// A reader over a tar stream.
pub struct Reader<R> {
    input: R,
}

impl<R: Read> Reader<R> {
    /// Reads from `input`, which must stand at the first header.
    pub fn new(input: R) -> Reader<R> {
        Reader { input }
    }

    /// The next file or symbolic link; `None` at the end of the archive.
    pub fn next_entry(&mut self) -> Result<Option<Entry>> {
        let mut long_path: Option<Vec<u8>> = None;
        let mut long_link: Option<Vec<u8>> = None;
        loop {
            let mut header = [0u8; BLOCK];
            self.input
                .read_exact(&mut header)
                .context("the tar stream ends within a header")?;
            if header.iter().all(|b| *b == 0) {
                std::io::copy(&mut self.input, &mut std::io::sink())?;
                return Ok(None);
            }
            check_sum(&header)?;
            let size = number(&header[124..136])?;
            let kind = header[156];
            let content = self.content(size)?;
            match kind {
                b'L' => long_path = Some(until_nul(&content).to_vec()),
                b'K' => long_link = Some(until_nul(&content).to_vec()),
                b'x' => {
                    long_path = pax(&content, b"path")?.or(long_path);
                    long_link = pax(&content, b"linkpath")?.or(long_link);
                }
                b'g' => {}
                b'5' => (long_path, long_link) = (None, None),
                b'0' | 0 => {
                    let executable = number(&header[100..108])? & 0o100 != 0;
                    return Ok(Some(Entry {
                        path: long_path.unwrap_or_else(|| stored_path(&header)),
                        kind: if executable {
                            Kind::Executable
                        } else {
                            Kind::File
                        },
                        content,
                    }));
                }
                b'2' => {
                    return Ok(Some(Entry {
                        path: long_path.unwrap_or_else(|| stored_path(&header)),
                        kind: Kind::Symlink,
                        content: long_link.unwrap_or_else(|| until_nul(&header[157..257]).to_vec()),
                    }));
                }
                other => bail!("tar entry of unsupported type {:?}", char::from(other)),
            }
        }
    }

    fn content(&mut self, size: u64) -> Result<Vec<u8>> {
        if size > MAX_ENTRY {
            bail!("tar entry of {size} bytes is too large");
        }
        let size = usize::try_from(size)?;
        let mut content = vec![0u8; size.next_multiple_of(BLOCK)];
        self.input
            .read_exact(&mut content)
            .context("the tar stream ends within a file")?;
        content.truncate(size);
        Ok(content)
    }
}

fn until_nul(field: &[u8]) -> &[u8] {
    field.split(|b| *b == 0).next().unwrap_or(&[])
}

/// Name and, in POSIX (not GNU) headers, the prefix before it.
fn stored_path(header: &[u8; BLOCK]) -> Vec<u8> {
    let name = until_nul(&header[0..100]);
    let prefix = until_nul(&header[345..500]);
    if &header[257..263] != b"ustar\0" || prefix.is_empty() {
        return name.to_vec();
    }
    [prefix, name].join(&b'/')
}

fn number(field: &[u8]) -> Result<u64> {
    let text = std::str::from_utf8(until_nul(field)).context("tar number is not ASCII")?;
    u64::from_str_radix(text.trim(), 8).with_context(|| format!("tar number {text:?}"))
}

fn check_sum(header: &[u8; BLOCK]) -> Result<()> {
    let stored = number(&header[148..156])?;
    let sum: u64 = header
        .iter()
        .enumerate()
        .map(|(i, b)| {
            if (148..156).contains(&i) {
                32
            } else {
                u64::from(*b)
            }
        })
        .sum();
    if sum != stored {
        bail!("tar header with a wrong checksum");
    }
    Ok(())
}

/// The value of `key` in a pax record list (`LENGTH KEY=VALUE\n`).
fn pax(records: &[u8], key: &[u8]) -> Result<Option<Vec<u8>>> {
    let mut rest = records;
    let mut found = None;
    while !rest.is_empty() {
        let space = rest
            .iter()
            .position(|b| *b == b' ')
            .context("pax record without a length")?;
        let length: usize = std::str::from_utf8(&rest[..space])?.parse()?;
        if length <= space + 1 || length > rest.len() {
            bail!("pax record with a wrong length");
        }
        let record = &rest[space + 1..length - 1];
        if let Some(equals) = record.iter().position(|b| *b == b'=')
            && &record[..equals] == key
        {
            found = Some(record[equals + 1..].to_vec());
        }
        rest = &rest[length..];
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(name: &str, kind: u8, mode: u32, size: usize, link: &str) -> Vec<u8> {
        let mut h = vec![0u8; BLOCK];
        h[..name.len()].copy_from_slice(name.as_bytes());
        h[100..107].copy_from_slice(format!("{mode:07o}").as_bytes());
        h[124..135].copy_from_slice(format!("{size:011o}").as_bytes());
        h[156] = kind;
        h[157..157 + link.len()].copy_from_slice(link.as_bytes());
        h[257..263].copy_from_slice(b"ustar ");
        h[148..156].copy_from_slice(b"        ");
        let sum: u32 = h.iter().map(|b| u32::from(*b)).sum();
        h[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
        h
    }

    fn padded(content: &[u8]) -> Vec<u8> {
        let mut c = content.to_vec();
        c.resize(c.len().next_multiple_of(BLOCK), 0);
        c
    }

    fn read_all(stream: &[u8]) -> Result<Vec<(String, Kind, Vec<u8>)>> {
        let mut reader = Reader::new(stream);
        let mut all = Vec::new();
        while let Some(e) = reader.next_entry()? {
            all.push((
                String::from_utf8_lossy(&e.path).into_owned(),
                e.kind,
                e.content,
            ));
        }
        Ok(all)
    }

    #[test]
    fn reads_files_links_and_long_names() {
        let long = "d/".repeat(80) + "file";
        let mut s = header("d/", b'5', 0o755, 0, "");
        s.extend(header("d/a", b'0', 0o644, 3, ""));
        s.extend(padded(b"abc"));
        s.extend(header("d/run", b'0', 0o755, 0, ""));
        s.extend(header("d/link", b'2', 0o777, 0, "a"));
        s.extend(header("././@LongLink", b'L', 0, long.len() + 1, ""));
        s.extend(padded(format!("{long}\0").as_bytes()));
        s.extend(header("d/trunc", b'0', 0o644, 1, ""));
        s.extend(padded(b"x"));
        let record = b"16 path=d/paxes\n";
        s.extend(header("pax", b'x', 0, record.len(), ""));
        s.extend(padded(record));
        s.extend(header("d/p", b'0', 0o644, 0, ""));
        s.extend([0u8; 2 * BLOCK]);
        assert_eq!(
            read_all(&s).unwrap(),
            [
                ("d/a".to_owned(), Kind::File, b"abc".to_vec()),
                ("d/run".to_owned(), Kind::Executable, vec![]),
                ("d/link".to_owned(), Kind::Symlink, b"a".to_vec()),
                (long, Kind::File, b"x".to_vec()),
                ("d/paxes".to_owned(), Kind::File, vec![]),
            ]
        );
    }

    #[test]
    fn a_cut_or_damaged_stream_is_an_error() {
        let mut s = header("a", b'0', 0o644, 3, "");
        assert!(read_all(&s).is_err());
        s.extend(padded(b"abc"));
        assert!(read_all(&s).is_err(), "no end of archive");
        s[0] = b'b';
        assert!(read_all(&s).is_err(), "checksum");
    }
}
