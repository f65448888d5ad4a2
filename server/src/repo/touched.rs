//! The files that the commits of a range touch.

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
}
