//! Plants the scenarios: base import, histories, plan, and the final rename.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::edits;
use crate::history::{self, History};
use crate::import::{self, Import};
use crate::plan::{Expect, GENERATOR, PLAN, Plan, Planted, REPOSITORY, Trouble};
use crate::scenario::{self, Expected, STRETCH, STRETCH_DEFAULT, Scenario};

/// What `plant` did.
#[derive(Debug)]
pub struct Done {
    pub plan: Plan,
    /// Time of the base import and of the whole; `None` when all was there.
    pub took: Option<(Duration, Duration)>,
}

/// Makes `dir/linux-demo.git` and `dir/plan.json` unless both are complete for
/// this source. Scenarios planted before are kept.
pub fn plant(source: &Path, dir: &Path, culprits: &[String], short: bool) -> Result<Done> {
    let started = Instant::now();
    let mut wanted = choose(culprits, short)?;
    std::fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
    let sha256 = sha256(source)?;
    let repository = dir.join(REPOSITORY);
    if let Some(plan) = Plan::read(&repository.join(PLAN)).filter(|p| p.source_sha256 == sha256) {
        let names: Vec<&str> = wanted.iter().map(|s| s.name).collect();
        if plan.has_all(&names) {
            plan.write(&dir.join(PLAN))?;
            return Ok(Done { plan, took: None });
        }
        for old in scenario::all().into_iter().chain([scenario::short()]) {
            if plan.has_all(&[old.name]) && !names.contains(&old.name) {
                wanted.push(old);
            }
        }
    }
    let temporary = dir.join(format!("{REPOSITORY}.new"));
    remove(&temporary)?;
    let (plan, base_time) = build(source, &sha256, &temporary, &wanted)?;
    plan.write(&temporary.join(PLAN))?;
    remove(&repository)?;
    std::fs::rename(&temporary, &repository).context("cannot rename the new repository")?;
    plan.write(&dir.join(PLAN))?;
    Ok(Done {
        plan,
        took: Some((base_time, started.elapsed())),
    })
}

fn choose(culprits: &[String], short: bool) -> Result<Vec<Scenario>> {
    let mut all = scenario::all();
    if let Some(unknown) = culprits.iter().find(|c| all.iter().all(|s| s.name != **c)) {
        let names: Vec<&str> = all.iter().map(|s| s.name).collect();
        bail!(
            "--culprit {unknown}: unknown; there are {}",
            names.join(", ")
        );
    }
    if !culprits.is_empty() {
        all.retain(|s| culprits.iter().any(|c| c == s.name));
    }
    if short {
        all.push(scenario::short());
    }
    Ok(all)
}

fn build(
    source: &Path,
    sha256: &str,
    repository: &Path,
    wanted: &[Scenario],
) -> Result<(Plan, Duration)> {
    let status = Command::new("git")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .args(["init", "--quiet", "--bare", "--object-format=sha1"])
        .args(["--initial-branch=base", "--template=", "--"])
        .arg(repository)
        .status()
        .context("cannot start git")?;
    if !status.success() {
        bail!("git init failed in {}", repository.display());
    }
    let edits = edits::load()?;
    let marks_path = repository.join("marks");
    let started = Instant::now();
    let mut import = Import::start(repository, &std::path::absolute(&marks_path)?)?;
    let base = import.base(source, &edits::files(&edits))?;
    let base_time = started.elapsed();
    let base: BTreeMap<String, String> = base.into_iter().map(|(k, v)| (k, v.0)).collect();
    let mut laid = Vec::new();
    for scenario in wanted {
        let slots: Vec<(&str, &str)> = [scenario.culprit]
            .into_iter()
            .chain(scenario.beside)
            .collect();
        let history = history::lay_out(scenario.script, scenario.prelude, &slots, &edits, &base)
            .with_context(|| format!("scenario {}", scenario.name))?;
        let marks = import.history(scenario.name, &history)?;
        laid.push((scenario, history, marks));
    }
    import.finish()?;
    let ids = import::read_marks(&marks_path)?;
    std::fs::remove_file(&marks_path)?;
    let base_id = ids
        .get(&import::base_mark())
        .context("the base commit has no id")?;
    let mut scenarios = Vec::new();
    for (scenario, history, marks) in &laid {
        let revs: Vec<&String> = marks
            .iter()
            .map(|m| ids.get(m).context("a commit has no id"))
            .collect::<Result<_>>()?;
        scenarios.push(describe(scenario, history, &revs, base_id)?);
    }
    let plan = Plan {
        generator: GENERATOR,
        source_sha256: sha256.to_owned(),
        repository: REPOSITORY.to_owned(),
        base: base_id.clone(),
        scenarios,
    };
    Ok((plan, base_time))
}

fn describe(
    scenario: &Scenario,
    history: &History,
    revs: &[&String],
    base: &str,
) -> Result<Planted> {
    let rev = |edit: &str| -> Result<String> { Ok(revs[history.find(edit)?].clone()) };
    let culprit = history.find(scenario.culprit.1)?;
    let in_stretch = scenario.culprit.0 == "stretch";
    let mut stretch = Vec::new();
    let mut trouble = Trouble::default();
    if history.find(STRETCH[0]).is_ok() {
        for edit in STRETCH {
            stretch.push(match edit {
                "slot" if in_stretch => rev(scenario.culprit.1)?,
                "slot" => rev(STRETCH_DEFAULT)?,
                edit => rev(edit)?,
            });
        }
        trouble = Trouble {
            unbuildable: stretch[..STRETCH.len() - 1].to_vec(),
            panic: Some(rev("boot-panic")?),
            warning: Some(rev("mount-warning")?),
        };
    }
    let before = history.good.map_or(0, |g| g + 1);
    Ok(Planted {
        name: scenario.name.to_owned(),
        good: format!("demo/{}/good", scenario.name),
        bad: format!("demo/{}/bad", scenario.name),
        good_rev: history
            .good
            .map_or_else(|| base.to_owned(), |g| revs[g].clone()),
        bad_rev: revs[history.bad].clone(),
        culprit: revs[culprit].clone(),
        subject: history.commits[culprit].subject.clone(),
        find: scenario.find,
        suite: scenario.suite.to_owned(),
        cases: scenario.cases.iter().map(|c| (*c).to_owned()).collect(),
        signal: scenario.signal.clone(),
        expect: match scenario.expected {
            Expected::Culprit => Expect::Culprit {
                rev: revs[culprit].clone(),
            },
            Expected::Stretch => Expect::Range { revs: stretch },
        },
        commits: history.commits.len() - before,
        merges: history
            .commits
            .iter()
            .filter(|c| c.merged.is_some())
            .count(),
        trouble,
    })
}

fn sha256(path: &Path) -> Result<String> {
    let output = Command::new("sha256sum")
        .arg("--")
        .arg(path)
        .output()
        .context("cannot start sha256sum")?;
    let text = String::from_utf8_lossy(&output.stdout);
    // A name with special characters is announced by a leading backslash.
    match text.trim_start_matches('\\').split_whitespace().next() {
        Some(sum) if output.status.success() => Ok(sum.to_owned()),
        _ => bail!(
            "--source {}: {}",
            path.display(),
            String::from_utf8_lossy(&output.stderr).trim()
        ),
    }
}

fn remove(path: &PathBuf) -> Result<()> {
    match std::fs::remove_dir_all(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
            Err(e).with_context(|| format!("cannot remove {}", path.display()))
        }
        _ => Ok(()),
    }
}
