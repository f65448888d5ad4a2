//! The suites of this repository on the tests' kernel.
//!
//! Owns what each must say of a good kernel. Must not know how a machine is run: that is the lab's.

use std::path::Path;
use std::time::Instant;

use firstbad_api::lease::RunMode;
use firstbad_api::observation::{BootOutcome, CaseStatus, RunEnd, TestObservation};
use firstbad_api::suite::{FileKind, SuiteBundle, SuiteFile};
use firstbad_worker::vm::Archive;

use super::{Lab, bundle};

/// A suite of this repository, as the server would send it.
fn shipped(name: &str) -> SuiteBundle {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../suites")
        .join(name);
    let text = std::fs::read_to_string(dir.join("suite.toml")).unwrap();
    let mut files: Vec<SuiteFile> = Vec::new();
    for (dir, inside) in [(dir.clone(), ""), (dir.join("../lib"), "lib/")] {
        let entries = std::fs::read_dir(dir).into_iter().flatten();
        for entry in entries.map(|entry| entry.unwrap()) {
            let name = entry.file_name().into_string().unwrap();
            if name != "suite.toml" {
                files.push(SuiteFile {
                    path: format!("{inside}{name}"),
                    content: std::fs::read_to_string(entry.path()).unwrap(),
                    kind: FileKind::Text,
                });
            }
        }
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    bundle(toml::from_str(&text).unwrap(), files)
}

#[tokio::test]
async fn the_shipped_suites_pass() {
    pass(&["btrfs/smoke", "btrfs/direct-io", "container/lifecycle"]).await;
}

/// The long ones (enospc, exit-race, exit-latency) are left to `make bench-determinism`,
/// the other power cuts to `make bench-powercut`.
#[tokio::test]
async fn the_further_suites_pass() {
    pass(&[
        "btrfs/dio-perf",
        "btrfs/qgroup-snapshot",
        "btrfs/raid",
        "container/cgroup-limits",
        "container/idmapped-mounts",
        "container/namespaces",
        "io/llm",
    ])
    .await;
}

#[tokio::test]
async fn power_cuts_lose_nothing_that_was_synced() {
    let lab = Lab::new().await;
    let mut work = lab.work(shipped("btrfs/crash-consistency"), RunMode::Exact, 1);
    work.cases = vec!["fsync".to_owned()];
    let seen = lab.run(&work).await.observation;
    let [case] = &seen.cases[..] else {
        panic!("{seen:#?}");
    };
    assert_eq!(case.status, CaseStatus::Pass, "{case:#?}");
    let metric = |name: &str| case.metrics.iter().find(|m| m.name == name).unwrap().value;
    assert_eq!((metric("fsync_cuts"), metric("fsync_wrong")), (40.0, 0.0));
    assert!(metric("fsync_replays") > 10.0, "{case:#?}");
}

#[tokio::test]
async fn selftests_are_run_and_what_is_not_there_is_skipped() {
    use CaseStatus::{Fail, Skip};
    let mut lab = Lab::new().await;
    let suite = shipped("container/kselftest");
    let statuses = |seen: &TestObservation| -> Vec<(String, CaseStatus)> {
        let cases = seen.cases.iter();
        cases.map(|c| (c.case.clone(), c.status)).collect()
    };
    let none = lab.run(&lab.work(suite.clone(), RunMode::Exact, 1)).await;
    for (case, status) in statuses(&none.observation) {
        assert_eq!(status, Skip, "{case}");
    }

    let mut archive = Archive::default();
    for (name, text) in [
        ("kselftest-list.txt", "nsfs:good\nnsfs:bad\npidfd:absent\n"),
        (
            "nsfs/good",
            "#!/bin/sh\nprintf 'TAP version 13\\n1..2\\nok 1 a\\nok 2 b # SKIP\\n'\n",
        ),
        ("nsfs/bad", "#!/bin/sh\nexit 1\n"),
        ("pidfd/config", ""),
    ] {
        archive.file(&format!("/kselftest/{name}"), 0o755, text.into());
    }
    let path = lab.dir.path().join("kselftest.cpio");
    std::fs::write(&path, archive.bytes()).unwrap();
    lab.kselftest = Some(path);
    let some = lab.run(&lab.work(suite, RunMode::Exact, 1)).await;
    let seen = some.observation;
    for (case, status) in statuses(&seen) {
        let wanted = if case == "nsfs" { Fail } else { Skip };
        assert_eq!(status, wanted, "{case}");
    }
    let nsfs = seen.cases.iter().find(|c| c.case == "nsfs").unwrap();
    assert_eq!(nsfs.ktap, Some([1, 1, 1]), "{nsfs:#?}");
    assert_eq!(seen.left, [] as [String; 0]);
    assert_ne!(
        seen.run.initramfs_sha256,
        none.observation.run.initramfs_sha256
    );
}

async fn pass(suites: &[&str]) {
    let lab = Lab::new().await;
    for name in suites {
        let began = Instant::now();
        let run = lab.run(&lab.work(shipped(name), RunMode::Exact, 1)).await;
        let seen = run.observation;
        println!(
            "{name}: {:.1} s, {} cases",
            began.elapsed().as_secs_f64(),
            seen.cases.len()
        );
        for case in &seen.cases {
            println!("  {} {:?} {} ms", case.case, case.status, case.duration_ms);
            assert_eq!(case.status, CaseStatus::Pass, "{name}: {case:#?}");
        }
        assert_eq!(
            (seen.boot, seen.end),
            (BootOutcome::Up, RunEnd::PowerOff),
            "{name}"
        );
        assert_eq!(seen.crashes, [], "{name}");
        assert_eq!(seen.left, [] as [String; 0], "{name}");
        assert_eq!(seen.cases.len(), shipped(name).spec.case.len());
    }
}
