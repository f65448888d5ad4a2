//! A history as data: the order of commits, forks and merges.
//!
//! Owns the script format (`data/*.history`) and the file contents along each
//! branch. Must not know git or what is right and wrong about an edit.
//!
//! Lines: `prelude` (the scenario's own commits before the good end), `good`,
//! `bad`, `commit EDIT`, `slot NAME EDIT` (a scenario's culprit may stand
//! here), `fork BRANCH`, `main`, `merge BRANCH`.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};

use crate::edits::Edit;

/// One step of a script.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Prelude,
    Good,
    Bad,
    Commit(String),
    Slot(String, String),
    Fork(String),
    Main,
    Merge(String),
}

/// A commit ready to be written; parents are indices into the same list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commit {
    /// Name of the edit; for a merge the name of the branch.
    pub name: String,
    /// `None` stands for the base import.
    pub parent: Option<usize>,
    /// The second parent of a merge.
    pub merged: Option<usize>,
    pub author: String,
    pub subject: String,
    pub body: String,
    /// Files whose content differs from the first parent's.
    pub files: BTreeMap<String, String>,
}

/// A laid-out history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct History {
    pub commits: Vec<Commit>,
    /// Index of the good end; `None` is the base import.
    pub good: Option<usize>,
    pub bad: usize,
}

impl History {
    /// Index of the commit made from an edit.
    pub fn find(&self, edit: &str) -> Result<usize> {
        self.commits
            .iter()
            .position(|c| c.merged.is_none() && c.name == edit)
            .with_context(|| format!("the history has no commit {edit}"))
    }
}

/// Who merges and commits.
pub const MAINTAINER: &str = "Astrid Holm <astrid.holm@example.org>";

fn parse(script: &str) -> Result<Vec<Step>> {
    let mut steps = Vec::new();
    for line in script.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        steps.push(match words.as_slice() {
            [] => continue,
            [first, ..] if first.starts_with('#') => continue,
            ["prelude"] => Step::Prelude,
            ["good"] => Step::Good,
            ["bad"] => Step::Bad,
            ["main"] => Step::Main,
            ["commit", edit] => Step::Commit((*edit).to_owned()),
            ["slot", slot, edit] => Step::Slot((*slot).to_owned(), (*edit).to_owned()),
            ["fork", branch] => Step::Fork((*branch).to_owned()),
            ["merge", branch] => Step::Merge((*branch).to_owned()),
            _ => bail!("history script: cannot read {line:?}"),
        });
    }
    Ok(steps)
}

/// The tip of a branch while it is laid out.
#[derive(Clone, Default)]
struct Tip {
    at: Option<usize>,
    files: BTreeMap<String, String>,
    /// Edits since the fork.
    since_fork: Vec<String>,
}

struct Layout<'a> {
    edits: &'a BTreeMap<String, Edit>,
    base: &'a BTreeMap<String, String>,
    commits: Vec<Commit>,
}

impl Layout<'_> {
    fn edit(&self, name: &str) -> Result<&Edit> {
        self.edits
            .get(name)
            .with_context(|| format!("no edit is called {name}"))
    }

    /// Applies an edit to a tip's files and returns what it changed.
    fn apply(&self, name: &str, tip: &mut Tip) -> Result<BTreeMap<String, String>> {
        let mut changed = BTreeMap::new();
        for hunk in &self.edit(name)?.hunks {
            let before = tip
                .files
                .get(&hunk.file)
                .or_else(|| self.base.get(&hunk.file))
                .with_context(|| format!("{}: not in this kernel tree", hunk.file))?;
            let after = hunk.apply(before).with_context(|| format!("edit {name}"))?;
            tip.files.insert(hunk.file.clone(), after.clone());
            changed.insert(hunk.file.clone(), after);
        }
        Ok(changed)
    }

    fn commit(&mut self, name: &str, tip: &mut Tip) -> Result<()> {
        let files = self.apply(name, tip)?;
        let edit = self.edit(name)?;
        let commit = Commit {
            name: name.to_owned(),
            parent: tip.at,
            merged: None,
            author: edit.author.clone(),
            subject: edit.subject.clone(),
            body: edit.body.clone(),
            files,
        };
        self.commits.push(commit);
        tip.at = Some(self.commits.len() - 1);
        tip.since_fork.push(name.to_owned());
        Ok(())
    }

    /// Replays the side branch's edits on the main line, as a merge would.
    fn merge(&mut self, branch: &str, side: &Tip, main: &mut Tip) -> Result<()> {
        let mut files = BTreeMap::new();
        let mut subjects = String::new();
        for name in &side.since_fork {
            files.extend(self.apply(name, main)?);
            subjects.push_str(&format!("  {}\n", self.edit(name)?.subject));
        }
        self.commits.push(Commit {
            name: branch.to_owned(),
            parent: main.at,
            merged: side.at,
            author: MAINTAINER.to_owned(),
            subject: format!("Merge branch '{branch}'"),
            body: format!("* {branch}:\n{subjects}").trim_end().to_owned(),
            files,
        });
        main.at = Some(self.commits.len() - 1);
        main.since_fork.extend(side.since_fork.iter().cloned());
        Ok(())
    }
}

/// Lays a script out. `prelude` are commits before the good end; `slots` are
/// (slot, edit); `base` holds the base content of every file the edits touch.
pub fn lay_out(
    script: &str,
    prelude: &[&str],
    slots: &[(&str, &str)],
    edits: &BTreeMap<String, Edit>,
    base: &BTreeMap<String, String>,
) -> Result<History> {
    let mut layout = Layout {
        edits,
        base,
        commits: Vec::new(),
    };
    let mut main = Tip::default();
    let mut sides: BTreeMap<String, Tip> = BTreeMap::new();
    let mut on: Option<String> = None;
    let mut good = None;
    let mut bad = None;
    for step in parse(script)? {
        let tip = match &on {
            None => &mut main,
            Some(branch) => sides.get_mut(branch).context("unknown branch")?,
        };
        match step {
            Step::Prelude => {
                for name in prelude {
                    layout.commit(name, tip)?;
                }
            }
            Step::Good => good = tip.at,
            Step::Bad => bad = tip.at,
            Step::Commit(name) => layout.commit(&name, tip)?,
            Step::Slot(slot, default) => {
                let taken = slots.iter().find(|s| s.0 == slot);
                layout.commit(taken.map_or(&default, |s| s.1), tip)?;
            }
            Step::Fork(branch) => {
                let mut side = tip.clone();
                side.since_fork.clear();
                sides.insert(branch.clone(), side);
                on = Some(branch);
            }
            Step::Main => on = None,
            Step::Merge(branch) => {
                let side = sides
                    .remove(&branch)
                    .with_context(|| format!("merge of unknown branch {branch}"))?;
                layout.merge(&branch, &side, &mut main)?;
            }
        }
    }
    Ok(History {
        commits: layout.commits,
        good,
        bad: bad.context("the history script has no bad end")?,
    })
}
