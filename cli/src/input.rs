//! Files named on the command line. Must not know what they are for.

use std::path::Path;

use crate::fail::Fail;

/// The text of a file of at most `limit` bytes.
pub fn text(path: &Path, limit: usize) -> Result<String, Fail> {
    let bytes = std::fs::read(path)
        .map_err(|e| Fail::NoInput(format!("cannot read {}: {e}", path.display())))?;
    if bytes.len() > limit {
        return Err(Fail::Data(format!(
            "{} has {} bytes, at most {limit} are allowed",
            path.display(),
            bytes.len()
        )));
    }
    String::from_utf8(bytes)
        .map_err(|_| Fail::Data(format!("{} is not UTF-8 text", path.display())))
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
