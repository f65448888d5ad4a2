//! Other commits that a message names.

use std::sync::LazyLock;

use regex::Regex;

/// As what a commit is named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// It is repaired: `Fixes:`.
    Fixes,
    /// It is taken back, as `git revert` writes it.
    Reverts,
    /// This is a copy of it, as `git cherry-pick -x` and the stable trees write it.
    Copies,
}

impl How {
    pub fn as_str(self) -> &'static str {
        match self {
            How::Fixes => "fixes",
            How::Reverts => "reverts",
            How::Copies => "copies",
        }
    }
}

/// A commit that a message names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mention {
    pub how: How,
    /// At least twelve digits.
    pub named: String,
    /// As it is written beside; empty: nothing is.
    pub title: String,
}

/// Named commits of one message, at most.
const MOST: usize = 50;
/// Longest title kept, characters.
const TITLE: usize = 300;

/// Source: Documentation/process/submitting-patches.rst and stable-kernel-rules.rst.
static PATTERNS: LazyLock<Vec<(How, Regex)>> = LazyLock::new(|| {
    let patterns = [
        (
            How::Fixes,
            r#"(?mi)^[ \t]*Fixes:[ \t]*(?:commit[ \t]+)?([0-9a-f]{12,64})\b(?:[ \t]*\(?"?(.*?)"?\)?)?[ \t]*$"#,
        ),
        (
            How::Reverts,
            r"(?i)\bThis reverts commit\s+([0-9a-f]{12,64})\b",
        ),
        (
            How::Copies,
            r"(?mi)^[ \t]*(?:\[[ \t]*)?(?:upstream commit|commit)[ \t]+([0-9a-f]{40,64})(?:[ \t]+upstream\b|[ \t]*\])",
        ),
        (
            How::Copies,
            r"(?i)\(cherry picked from commit[ \t]+([0-9a-f]{40,64})\b",
        ),
    ];
    let compiled = patterns.into_iter().filter_map(|(how, text)| {
        let regex = Regex::new(text);
        regex.ok().map(|regex| (how, regex))
    });
    compiled.collect()
});

/// The commits that a message names, each once.
pub fn mentions(message: &str) -> Vec<Mention> {
    let mut found: Vec<Mention> = Vec::new();
    for (how, pattern) in PATTERNS.iter() {
        for hit in pattern.captures_iter(message) {
            let title = hit.get(2).map_or("", |t| t.as_str()).trim();
            let mention = Mention {
                how: *how,
                named: hit[1].to_ascii_lowercase(),
                title: title.chars().take(TITLE).collect(),
            };
            let known = |m: &Mention| m.how == mention.how && m.named == mention.named;
            if found.len() < MOST && !found.iter().any(known) {
                found.push(mention);
            }
        }
    }
    found
}

/// Whether a title beside an id is that of the commit: as it is, cut, or left out.
pub fn agrees(written: &str, subject: &str) -> bool {
    let plain = |text: &str| {
        let words: Vec<&str> = text.split_whitespace().collect();
        words.join(" ").to_lowercase()
    };
    let written = plain(written.trim_end_matches(['.', '…']));
    plain(subject).starts_with(&written)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_name_what_they_repair_take_back_and_copy() {
        let id = "0123456789abcdef0123456789abcdef01234567";
        let message = format!(
            "btrfs: do it right\n\ncommit {id} upstream.\n\nThis reverts commit\n{id}.\n\n\
             Fixes: 0123456789ab (\"btrfs: do (it) \"wrong\"\")\nFixes: 01234567 (\"too short\")\n\
             Fixes: 0123456789ab (\"again\")\n(cherry picked from commit {id})\n"
        );
        let found = mentions(&message);
        let told: Vec<_> = found
            .iter()
            .map(|m| (m.how, m.named.as_str(), m.title.as_str()))
            .collect();
        assert_eq!(
            told,
            [
                (How::Fixes, "0123456789ab", "btrfs: do (it) \"wrong\""),
                (How::Reverts, id, ""),
                (How::Copies, id, ""),
            ]
        );
        assert_eq!(mentions(&format!("[ Upstream commit {id} ]\n")).len(), 1);
        assert!(mentions(&format!("see commit {id} for why\n")).is_empty());
    }

    #[test]
    fn a_title_beside_an_id_is_the_commits_own_or_cut() {
        let subject = "btrfs: do it  right";
        for same in [
            "btrfs: do it right",
            "Btrfs: do it...",
            "",
            "btrfs: do it …",
        ] {
            assert!(agrees(same, subject), "{same}");
        }
        assert!(!agrees("btrfs: something else", subject));
    }
}
