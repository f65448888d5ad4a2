//! Plants on a small stand-in for the kernel tree with the real git, and asks
//! git whether the histories are what the plan says.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::edits;
use crate::import::git;
use crate::plan::{Expect, PLAN, Plan, Planted, REPOSITORY};
use crate::plant::plant;

/// A source archive that holds every text the edits look for.
fn source(dir: &Path) -> PathBuf {
    let edits = edits::load().unwrap();
    let hunks = || edits.values().flat_map(|e| &e.hunks);
    let mut files: BTreeMap<&str, String> = BTreeMap::new();
    for hunk in hunks() {
        let made = hunks().any(|h| h != hunk && h.file == hunk.file && h.new.contains(&hunk.old));
        let text = files.entry(&hunk.file).or_default();
        if !made && !text.contains(&hunk.old) {
            text.push_str(&format!("/* before */\n/* {} */\n", text.len()).repeat(3));
            text.push_str(&hunk.old);
            text.push('\n');
        }
    }
    let top = dir.join("linux");
    for (file, text) in files {
        let path = top.join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    let archive = dir.join("linux.tar.xz");
    let status = Command::new("tar")
        .arg("--create")
        .arg("--xz")
        .args(["--sort=name", "--mtime=@0", "--owner=0", "--group=0"])
        .arg("--file")
        .arg(&archive)
        .arg("--directory")
        .arg(dir)
        .arg("linux")
        .status()
        .unwrap();
    assert!(status.success());
    archive
}

fn ask(repository: &Path, args: &[&str]) -> String {
    let out = git(repository).args(args).output().unwrap();
    assert!(
        out.status.success(),
        "git {args:?}: {}",
        String::from_utf8_lossy(&out.stderr)
    );
    String::from_utf8(out.stdout).unwrap().trim().to_owned()
}

fn lines(repository: &Path, args: &[&str]) -> Vec<String> {
    ask(repository, args).lines().map(str::to_owned).collect()
}

fn check_history(repository: &Path, planted: &Planted) {
    let range = format!("{}..{}", planted.good, planted.bad);
    let all = lines(repository, &["rev-list", &range]);
    assert_eq!(all.len(), planted.commits, "{}", planted.name);
    assert!(all.contains(&planted.culprit), "{}", planted.name);
    assert_eq!(
        ask(repository, &["log", "-1", "--format=%s", &planted.culprit]),
        planted.subject
    );
    let merges = lines(repository, &["rev-list", "--merges", &range]);
    assert_eq!(merges.len(), planted.merges);
    assert_eq!(
        ask(repository, &["rev-parse", &planted.bad]),
        planted.bad_rev
    );
    let main = lines(repository, &["rev-list", "--first-parent", &range]);
    let on_main = main.contains(&planted.culprit);
    assert_eq!(on_main, planted.name == "in-broken", "{}", planted.name);
    // The verification reverts the culprit on the tip.
    let parent = format!("{}^", planted.culprit);
    let revert = ask(repository, &["diff", "--binary", &planted.culprit, &parent]);
    let patch = repository.with_file_name("revert.patch");
    std::fs::write(&patch, revert + "\n").unwrap();
    ask(repository, &["read-tree", &planted.bad]);
    ask(repository, &["apply", "--cached", patch.to_str().unwrap()]);
}

fn check_full(repository: &Path, planted: &Planted) {
    assert!(planted.commits >= 48 && planted.merges >= 3);
    let range = format!("{}..{}", planted.good, planted.bad);
    let built = lines(
        repository,
        &[
            "log",
            "--no-merges",
            "--format=%H",
            &range,
            "--",
            "fs/btrfs",
            "fs/overlayfs",
            "fs/*.c",
        ],
    );
    let built: BTreeSet<String> = built.into_iter().collect();
    assert!(2 * built.len() < planted.commits, "{}", planted.name);
    let main = lines(
        repository,
        &["rev-list", "--first-parent", "--reverse", &range],
    );
    let stretch = &planted.trouble.unbuildable;
    let first = main.iter().position(|c| *c == stretch[0]).unwrap();
    assert_eq!(main[first..first + 3], stretch[..]);
    if let Expect::Range { revs } = &planted.expect {
        assert_eq!(revs[..3], stretch[..]);
        assert_eq!(revs[3], main[first + 3]);
        assert!(stretch.contains(&planted.culprit));
    }
    for rev in [&planted.trouble.panic, &planted.trouble.warning] {
        assert!(main.contains(rev.as_ref().unwrap()));
    }
}

#[test]
fn histories_are_what_the_plan_says() {
    let scratch = tempfile::tempdir().unwrap();
    let source = source(scratch.path());
    let dir = scratch.path().join("one");
    let first = plant(&source, &dir, &[], true).unwrap();
    assert!(first.took.is_some());
    let repository = dir.join(REPOSITORY);
    ask(&repository, &["fsck", "--strict", "--no-dangling"]);
    for planted in &first.plan.scenarios {
        check_history(&repository, planted);
        if planted.name != "short" {
            check_full(&repository, planted);
        }
    }
    assert_eq!(first.plan.scenarios.len(), 8);

    let again = plant(&source, &dir, &[], true).unwrap();
    assert!(again.took.is_none(), "complete, so nothing is done");
    assert_eq!(again.plan, first.plan);
    assert_eq!(Plan::read(&dir.join(PLAN)), Some(first.plan.clone()));

    // Elsewhere, and one by one: the same ids, and what was there stays.
    let other = scratch.path().join("other");
    plant(&source, &other, &["fix".to_owned()], false).unwrap();
    let both = plant(&source, &other, &["direct-io".to_owned()], false).unwrap();
    assert_eq!(both.plan.scenarios.len(), 2);
    for planted in &both.plan.scenarios {
        assert!(first.plan.scenarios.contains(planted), "{}", planted.name);
    }
}

#[test]
fn a_tree_that_does_not_fit_is_refused_by_file() {
    let scratch = tempfile::tempdir().unwrap();
    let archive = source(scratch.path());
    let file = scratch.path().join("linux/fs/btrfs/ulist.c");
    std::fs::write(&file, "something else\n").unwrap();
    let other = scratch.path().join("other.tar.xz");
    let status = Command::new("tar")
        .args(["--create", "--xz", "--file"])
        .arg(&other)
        .arg("--directory")
        .arg(scratch.path())
        .arg("linux")
        .status()
        .unwrap();
    assert!(status.success());
    let dir = scratch.path().join("out");
    let error = plant(&other, &dir, &[], false).unwrap_err();
    assert!(
        format!("{error:#}").contains("fs/btrfs/ulist.c: "),
        "{error:#}"
    );
    assert!(!dir.join(REPOSITORY).exists() && !dir.join(PLAN).exists());
    // The left-over of the failure is in nobody's way.
    plant(&archive, &dir, &["direct-io".to_owned()], false).unwrap();
    let unknown = plant(&archive, &dir, &["nothing".to_owned()], false).unwrap_err();
    assert!(unknown.to_string().contains("--culprit nothing"));
}
