//! Files named on the command line. Must not know what they are for.

use std::io::Read;
use std::path::Path;

use crate::fail::Fail;

/// The text of a file of at most `limit` bytes.
pub fn text(path: &Path, limit: usize) -> Result<String, Fail> {
    is_text(&path.display().to_string(), bytes(path, limit)?)
}

/// A file of at most `limit` bytes.
pub fn bytes(path: &Path, limit: usize) -> Result<Vec<u8>, Fail> {
    let shown = path.display().to_string();
    let bytes =
        std::fs::read(path).map_err(|e| Fail::NoInput(format!("cannot read {shown}: {e}")))?;
    bounded(&shown, bytes, limit)
}

/// The text of standard input, of at most `limit` bytes.
pub fn standard(limit: usize) -> Result<String, Fail> {
    let mut bytes = Vec::new();
    std::io::stdin()
        .lock()
        .take(limit as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(|e| Fail::NoInput(format!("cannot read standard input: {e}")))?;
    let shown = "standard input";
    is_text(shown, bounded(shown, bytes, limit)?)
}

fn bounded(shown: &str, bytes: Vec<u8>, limit: usize) -> Result<Vec<u8>, Fail> {
    if bytes.len() > limit {
        return Err(Fail::Data(format!(
            "{shown} has {} bytes, at most {limit} are allowed",
            bytes.len()
        )));
    }
    Ok(bytes)
}

fn is_text(shown: &str, bytes: Vec<u8>) -> Result<String, Fail> {
    String::from_utf8(bytes).map_err(|_| Fail::Data(format!("{shown} is not UTF-8 text")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_large_and_binary_files_are_told_apart() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("f");
        assert_eq!(text(&file, 9).unwrap_err().code(), 66);
        std::fs::write(&file, "0123456789").unwrap();
        assert_eq!(text(&file, 9).unwrap_err().code(), 65);
        assert_eq!(text(&file, 10).unwrap(), "0123456789");
        std::fs::write(&file, [0xff]).unwrap();
        assert_eq!(text(&file, 10).unwrap_err().code(), 65);
    }
}
