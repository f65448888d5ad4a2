//! The edits that make up the planted commits, kept as text under `data/`.
//!
//! Owns their format and how one is applied. Must not know git.
//!
//! ```text
//! @commit NAME
//! @author Name <mail>
//! @subject one line
//! body, any number of lines
//! @file path
//! @old
//! text that occurs exactly once in the file
//! @new
//! text that takes its place
//! @end
//! ```

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, bail};

const DATA: [(&str, &str); 4] = [
    ("noise.edits", include_str!("../data/noise.edits")),
    ("harmless.edits", include_str!("../data/harmless.edits")),
    ("trouble.edits", include_str!("../data/trouble.edits")),
    ("culprits.edits", include_str!("../data/culprits.edits")),
];

/// One replacement in one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hunk {
    pub file: String,
    pub old: String,
    pub new: String,
}

/// One commit to plant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edit {
    pub author: String,
    pub subject: String,
    pub body: String,
    pub hunks: Vec<Hunk>,
}

impl Hunk {
    /// The file's content with this replacement made.
    pub fn apply(&self, content: &str) -> Result<String> {
        match content.matches(&self.old).count() {
            1 => Ok(content.replacen(&self.old, &self.new, 1)),
            n => bail!(
                "{}: the text to replace occurs {n} times, not once; this kernel is too \
                 different from the one the demo was written for. The text begins: {}",
                self.file,
                self.old.trim_start().lines().next().unwrap_or_default()
            ),
        }
    }
}

/// All edits by name.
pub fn load() -> Result<BTreeMap<String, Edit>> {
    let mut all = BTreeMap::new();
    for (source, text) in DATA {
        parse(text, &mut all).with_context(|| format!("demo/data/{source}"))?;
    }
    Ok(all)
}

/// Every file that some edit touches.
pub fn files(edits: &BTreeMap<String, Edit>) -> BTreeSet<&str> {
    edits
        .values()
        .flat_map(|e| e.hunks.iter().map(|h| h.file.as_str()))
        .collect()
}

fn parse(text: &str, all: &mut BTreeMap<String, Edit>) -> Result<()> {
    let mut lines = text.lines().enumerate().peekable();
    while let Some((number, line)) = lines.next() {
        let at = number + 1;
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let name = line
            .strip_prefix("@commit ")
            .with_context(|| format!("line {at}: expected @commit"))?;
        let mut field = |key: &str| -> Result<String> {
            let (_, line) = lines.next().context("ends within a commit")?;
            Ok(line
                .strip_prefix(key)
                .with_context(|| format!("{name}: expected {key}"))?
                .to_owned())
        };
        let author = field("@author ")?;
        let subject = field("@subject ")?;
        let mut body = String::new();
        let mut hunks = Vec::new();
        while let Some((_, line)) = lines.next_if(|(_, l)| !l.starts_with("@commit ")) {
            let Some(file) = line.strip_prefix("@file ") else {
                if !(hunks.is_empty() || line.is_empty() || line.starts_with('#')) {
                    bail!("{name}: unexpected line {line:?}");
                }
                body.push_str(line);
                body.push('\n');
                continue;
            };
            let mut block = |open: &str, close: &str| -> Result<String> {
                let mut taken = Vec::new();
                if !open.is_empty() && lines.next().map(|(_, l)| l) != Some(open) {
                    bail!("{name}: expected {open}");
                }
                loop {
                    match lines.next() {
                        Some((_, l)) if l == close => return Ok(taken.join("\n")),
                        Some((_, l)) => taken.push(l),
                        None => bail!("{name}: no {close}"),
                    }
                }
            };
            hunks.push(Hunk {
                file: file.to_owned(),
                old: block("@old", "@new")?,
                new: block("", "@end")?,
            });
        }
        let edit = Edit {
            author,
            subject,
            body: body.trim().to_owned(),
            hunks,
        };
        if edit.hunks.iter().any(|h| h.old.is_empty()) || edit.hunks.is_empty() {
            bail!("{name}: nothing to replace");
        }
        if all.insert(name.to_owned(), edit).is_some() {
            bail!("{name}: defined twice");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_data_parses_and_gives_no_hint() {
        let all = load().unwrap();
        assert!(all.len() > 60, "{}", all.len());
        for (name, edit) in &all {
            for word in ["plant", "bug", "culprit", "demo", "firstbad"] {
                let text = format!("{} {}", edit.subject, edit.body).to_lowercase();
                let mut words = text.split(|c: char| !c.is_alphanumeric());
                assert!(words.all(|w| w != word), "{name} says {word}");
            }
            assert!(edit.author.ends_with('>'), "{name}");
            assert!(edit.subject.contains(": "), "{name}");
            assert!(edit.subject.len() <= 75, "{name}: subject too long");
        }
    }

    #[test]
    fn an_ambiguous_or_missing_anchor_names_the_file() {
        let hunk = Hunk {
            file: "fs/x.c".to_owned(),
            old: "a".to_owned(),
            new: "b".to_owned(),
        };
        assert_eq!(hunk.apply("xay").unwrap(), "xby");
        for bad in ["xx", "aa"] {
            let error = hunk.apply(bad).unwrap_err().to_string();
            assert!(error.starts_with("fs/x.c: "), "{error}");
        }
    }
}
