//! Names of the functions that a change is about, so that it is found by them.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use regex::Regex;

/// Names kept of one change.
const MOST: usize = 500;
/// What is written like a call in C and is none.
const KEYWORDS: [&str; 7] = [
    "defined", "for", "if", "return", "sizeof", "switch", "while",
];

/// The functions of a unified diff: those its hunks' headings name, and those that changed lines define
/// or call.
pub fn of(diff: &str) -> BTreeSet<&str> {
    static CALL: LazyLock<Option<Regex>> =
        LazyLock::new(|| Regex::new(r"([A-Za-z_][A-Za-z0-9_]*) ?\(").ok());
    let Some(call) = CALL.as_ref() else {
        return BTreeSet::new();
    };
    let told = |line: &str| {
        let file = line.starts_with("+++ ") || line.starts_with("--- ");
        !file && (line.starts_with("@@ ") || line.starts_with(['+', '-']))
    };
    let lines = diff.lines().filter(|line| told(line));
    let named = lines.flat_map(|line| call.captures_iter(line));
    let names = named.filter_map(|found| Some(found.get(1)?.as_str()));
    names
        .filter(|name| !KEYWORDS.contains(name))
        .take(MOST)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::of;

    #[test]
    fn a_change_is_found_by_what_it_touches_calls_and_defines() {
        let diff = "--- a/fs/btrfs/file.c (old)\n+++ b/fs/btrfs/file.c (new)\n\
                    @@ -10,6 +10,8 @@ static ssize_t btrfs_direct_write(struct kiocb *iocb,\n\
                    \x20\tuntouched(inode);\n\
                    -\tif (ret) forget_block(inode);\n\
                    +\tret = btrfs_truncate_block (inode, sizeof(pos));\n";
        let names: Vec<&str> = of(diff).into_iter().collect();
        let wanted = ["btrfs_direct_write", "btrfs_truncate_block", "forget_block"];
        assert_eq!(names, wanted);
    }
}
