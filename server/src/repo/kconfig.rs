//! Kernel configuration fragments, and the symbols a tree knows.

use std::collections::HashSet;

use firstbad_api::limits;

use super::git::{self, Bound};
use super::read::read;
use super::{RepoError, Repos, full_id};
use crate::kconfig::{self, Symbols, setting};

/// One Kconfig file, bytes: longer ones are taken for something else.
const FILE_BYTES: usize = 1 << 20;

impl Repos {
    /// Those of `symbols` (with or without `CONFIG_`) that no Kconfig file of `rev` defines.
    pub async fn unknown_symbols(
        &self,
        name: &str,
        rev: &str,
        symbols: &[String],
    ) -> Result<Vec<String>, RepoError> {
        let path = self.mirror(name)?;
        let rev = full_id(rev)?;
        if symbols.is_empty() {
            return Ok(Vec::new());
        }
        let mut grep = git::read(&path);
        grep.args(["grep", "-h", "-a", "-E"])
            .args(["-e", "^[[:space:]]*(menu)?config[[:space:]]+[A-Za-z0-9_]+"])
            .args([rev, "--", "*Kconfig*", ":(exclude)scripts/kconfig/tests"]);
        let output = git::run(grep, None, Bound::WALK).await?;
        // 1: nothing found, so every symbol is unknown.
        if !matches!(output.code(), 0 | 1) {
            return Err(RepoError::Failed(format!("git: {}", output.complaint())));
        }
        let text = String::from_utf8_lossy(&output.stdout);
        let known: HashSet<&str> = text
            .lines()
            .filter_map(|l| l.split_whitespace().nth(1))
            .collect();
        Ok(symbols
            .iter()
            .filter(|s| !known.contains(s.strip_prefix("CONFIG_").unwrap_or(s)))
            .cloned()
            .collect())
    }

    /// What the Kconfig files of a commit, given by its full id, say for x86; `None` without a file
    /// `Kconfig` at its root.
    pub async fn symbols(&self, name: &str, rev: &str) -> Result<Option<Symbols>, RepoError> {
        let rev = full_id(rev)?.to_owned();
        read(self.mirror(name)?, move |repo| {
            let tree = repo.find_commit(git2::Oid::from_str(&rev)?)?.tree()?;
            let mut load = |path: &str| {
                let entry = tree.get_path(std::path::Path::new(path)).ok()?;
                let blob = repo.find_blob(entry.id()).ok()?;
                (blob.size() <= FILE_BYTES)
                    .then(|| String::from_utf8_lossy(blob.content()).into_owned())
            };
            Ok(kconfig::parse(&mut load))
        })
        .await
    }

    /// The symbols (`CONFIG_…`) that a configuration fragment sets, in order.
    /// The error is the number of the line, from 1, and why it is refused.
    pub fn parse_fragment(text: &str) -> Result<Vec<String>, (usize, String)> {
        if text.len() > limits::CONFIG_BYTES {
            let why = format!("the fragment is longer than {} bytes", limits::CONFIG_BYTES);
            return Err((1, why));
        }
        let mut symbols = Vec::new();
        for (index, line) in text.lines().enumerate() {
            match setting(line.trim()) {
                Ok(Some((symbol, _))) => symbols.push(symbol.to_owned()),
                Ok(None) => {}
                Err(why) => return Err((index + 1, why)),
            }
        }
        Ok(symbols)
    }
}
