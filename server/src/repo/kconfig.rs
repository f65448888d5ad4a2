//! Kernel configuration fragments, and the symbols a tree knows.

use std::collections::HashSet;

use firstbad_api::limits;

use super::git::{self, Bound};
use super::{RepoError, Repos, full_id};

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

    /// The symbols (`CONFIG_…`) that a configuration fragment sets, in order.
    /// The error is the number of the line, from 1, and why it is refused.
    pub fn parse_fragment(text: &str) -> Result<Vec<String>, (usize, String)> {
        if text.len() > limits::CONFIG_BYTES {
            let why = format!("the fragment is longer than {} bytes", limits::CONFIG_BYTES);
            return Err((1, why));
        }
        let mut symbols = Vec::new();
        for (index, line) in text.lines().enumerate() {
            match parse_line(line.trim()) {
                Ok(Some(symbol)) => symbols.push(symbol.to_owned()),
                Ok(None) => {}
                Err(why) => return Err((index + 1, why)),
            }
        }
        Ok(symbols)
    }
}

fn parse_line(line: &str) -> Result<Option<&str>, String> {
    if let Some(comment) = line.strip_prefix('#') {
        let unset = comment.trim().strip_suffix(" is not set");
        return Ok(unset.map(str::trim).filter(|s| is_symbol(s)));
    }
    if line.is_empty() {
        return Ok(None);
    }
    let shown: String = line.chars().take(60).collect();
    let Some((symbol, value)) = line.split_once('=') else {
        return Err(format!("{shown:?} is not CONFIG_NAME=value"));
    };
    if !is_symbol(symbol) {
        let symbol: String = symbol.chars().take(60).collect();
        return Err(format!("{symbol:?} is not a CONFIG_ symbol"));
    }
    if is_value(value) {
        Ok(Some(symbol))
    } else {
        Err(format!(
            "the value of {symbol} is not y, m, n, a number or a quoted string without $ and `"
        ))
    }
}

fn is_symbol(text: &str) -> bool {
    text.strip_prefix("CONFIG_").is_some_and(|name| {
        (1..=120).contains(&name.len())
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
    })
}

fn is_value(value: &str) -> bool {
    if let Some(quoted) = value.strip_prefix('"') {
        // The kernel's make files read this text: nothing that make or a shell expands.
        let Some(inner) = quoted.strip_suffix('"') else {
            return false;
        };
        let mut escaped = false;
        let closed_early = inner.chars().any(|c| {
            let stray = c == '"' && !escaped;
            escaped = c == '\\' && !escaped;
            stray
        });
        return !closed_early
            && !escaped
            && !inner.contains(|c: char| c == '$' || c == '`' || c.is_control());
    }
    let digits = value.strip_prefix('-').unwrap_or(value);
    let hex = value
        .strip_prefix("0x")
        .or_else(|| value.strip_prefix("0X"));
    matches!(value, "y" | "m" | "n")
        || (!digits.is_empty() && digits.len() <= 20 && digits.bytes().all(|b| b.is_ascii_digit()))
        || hex.is_some_and(|h| {
            (1..=16).contains(&h.len()) && h.bytes().all(|b| b.is_ascii_hexdigit())
        })
}
