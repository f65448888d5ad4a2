//! The files that the commits of a range touch, and those that define a function.

use std::collections::HashMap;

use super::git::{self, Bound};
use super::{RepoError, Repos, full_id, is_full_id};

/// Begins a commit in git's output.
const COMMIT: char = '\u{1}';

impl Repos {
    /// The weight of the heaviest file that each ancestor of `bad` touches that is no ancestor of a
    /// good one. A merge touches what differs from all its parents, or, with `first_parent`, from the
    /// first.
    pub async fn heaviest(
        &self,
        name: &str,
        goods: &[String],
        bad: &str,
        first_parent: bool,
        weight: impl Fn(&str) -> i32,
    ) -> Result<HashMap<String, i32>, RepoError> {
        let mirror = self.mirror(name)?;
        let mut revs = full_id(bad)?.to_owned() + "\n";
        for good in goods {
            revs.push_str(&format!("^{}\n", full_id(good)?));
        }
        let mut log = git::read(&mirror);
        log.args(["log", "-z", "--stdin", "--name-only", "--no-renames"])
            .args(["--no-show-signature", "--no-ext-diff", "--format=%x01%H"])
            .args(match first_parent {
                true => ["--first-parent", "-m"].as_slice(),
                false => ["-c"].as_slice(),
            });
        let text = git::expect(log, Some(revs.as_bytes()), Bound::WALK).await?;
        let text = String::from_utf8_lossy(&text);
        let mut heaviest: HashMap<String, i32> = HashMap::new();
        let mut commit = None;
        for field in text.split('\0') {
            let field = field.trim_start_matches('\n');
            if let Some(id) = field.strip_prefix(COMMIT).filter(|id| is_full_id(id)) {
                commit = Some(id);
            } else if let Some(id) = commit.filter(|_| !field.is_empty()) {
                let held = heaviest.entry(id.to_owned()).or_default();
                *held = weight(field).max(*held);
            }
        }
        Ok(heaviest)
    }

    /// The C files of `rev` in which one of these functions seems to be defined; `functions` are
    /// identifiers.
    pub async fn defining(
        &self,
        name: &str,
        rev: &str,
        functions: &[String],
    ) -> Result<Vec<String>, RepoError> {
        let mirror = self.mirror(name)?;
        if functions.is_empty() {
            return Ok(Vec::new());
        }
        let rev = full_id(rev)?;
        let mut grep = git::read(&mirror);
        grep.args(["grep", "-z", "-I", "-F", "-w"]);
        for function in functions {
            grep.args(["-e", function]);
        }
        grep.args([rev, "--", "*.c"]);
        let output = git::run(grep, None, Bound::WALK).await?;
        // 1: found nothing.
        if !output.status.success() && output.code() != 1 {
            return Err(RepoError::Failed(format!("git: {}", output.complaint())));
        }
        // One line for each match: commit, path, text.
        let text = String::from_utf8_lossy(&output.stdout);
        let found = text.lines().filter_map(|line| {
            let (place, code) = line.split_once('\0')?;
            let (_, path) = place.split_once(':')?;
            defines(code, functions).then(|| path.to_owned())
        });
        Ok(found.collect())
    }
}

/// Whether a line of C begins the definition of one of these functions, in the kernel's style.
fn defines(line: &str, functions: &[String]) -> bool {
    let begins = line.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    let whole = |before: &str| !before.ends_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
    let opens = |f: &String| {
        let found = line.split_once(&format!("{f}("));
        found.is_some_and(|(before, _)| whole(before))
    };
    begins && !line.contains(';') && functions.iter().any(opens)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn definitions_are_told_from_calls_and_declarations() {
        let functions = ["ovl_release".to_owned(), "__fput".to_owned()];
        for line in [
            "static int ovl_release(struct inode *inode, struct file *file)",
            "__fput(struct file *file)",
        ] {
            assert!(defines(line, &functions), "{line}");
        }
        for line in [
            "\treturn ovl_release(inode, file);",
            "int ovl_release(struct inode *, struct file *);",
            "static int my_ovl_release(struct inode *inode)",
            " * ovl_release() ends it",
        ] {
            assert!(!defines(line, &functions), "{line}");
        }
    }
}
