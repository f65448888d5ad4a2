//! The suites of this repository on the tests' kernel.
//!
//! Owns what each must say of a good kernel. Must not know how a machine is run: that is the lab's.

use std::path::Path;
use std::time::Instant;

use firstbad_api::lease::RunMode;
use firstbad_api::observation::{BootOutcome, CaseStatus, RunEnd, TestObservation};
use firstbad_api::suite::{Excluded, FileKind, SuiteBundle, SuiteFile};
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

/// Four machines at once on fewer processors: their threads wait for each other at every point.
/// More than one vCPU is left to `make bench-determinism`: of those, it is nearly always so.
#[tokio::test]
async fn the_clock_of_an_idle_machine_is_exact() {
    let lab = Lab::new().await;
    let work = lab.work(shipped("explore/naps"), RunMode::Exact, 1);
    let runs = std::iter::repeat_with(|| lab.run(&work)).take(4);
    let runs = futures_util::future::join_all(runs).await;
    let first = &runs[0].observation;
    assert_eq!(first.cases[0].status, CaseStatus::Pass, "{first:#?}");
    for run in &runs {
        assert_eq!(run.observation, *first);
    }
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
    use CaseStatus::{Fail, Pass, Skip};
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
    for (sub, status) in [
        ("good", Pass),
        ("good/a", Pass),
        ("good/b", Skip),
        ("bad", Fail),
    ] {
        assert_eq!(
            nsfs.status_of(&format!("nsfs/{sub}")),
            Some(status),
            "{sub}"
        );
    }
    assert_eq!(seen.left, [] as [String; 0]);
    assert_ne!(
        seen.run.initramfs_sha256,
        none.observation.run.initramfs_sha256
    );
}

/// `fake` stands for fstests: its check runs the test itself, which ends as check would end.
#[tokio::test]
async fn tests_of_fstests_end_as_check_says() {
    use CaseStatus::{Broken, Fail, Pass, Skip};
    let mut lab = Lab::new().await;
    let mut fake = Archive::default();
    fake.file("/fstests/check", 0o755, b"#!/bin/bash\n. tests/$1\n".into());
    let mut suite = shipped("btrfs/fstests");
    let pattern = suite.spec.case.remove(0);
    let whole = "echo 'Passed all 1 tests'; exit 0";
    for (test, script, status, said) in [
        (
            "generic/001",
            "echo \"$1  1s\"; echo \"Ran: $1\"",
            Pass,
            "1s",
        ),
        (
            "generic/002",
            "mkdir -p $RESULT_BASE/generic; echo 'needs a tape' >$RESULT_BASE/$1.notrun",
            Skip,
            "was not run: needs a tape",
        ),
        (
            "generic/003",
            "printf '%s\\n' FSTYP \"$1 - output mismatch\" '+got' \"Ran: $1\" \"Failures: $1\"; exit 1",
            Fail,
            "generic/003 - output mismatch\n+got\n",
        ),
        (
            "generic/004",
            "echo 'check: failed to mount $TEST_DEV'; exit 1",
            Fail,
            "failed to mount",
        ),
        (
            "generic/005",
            "echo 'what is this?'; exit 1",
            Broken,
            "what is this?",
        ),
        ("generic/006", "", Skip, "is excluded: it is too long"),
        ("generic/007", "", Skip, "this fstests has no generic/007"),
    ] {
        let mut case = pattern.clone();
        case.name = test.to_owned();
        case.about = format!("{status:?} {said}");
        if test == "generic/006" {
            let why = "it is too long".to_owned();
            case.excluded = vec![Excluded {
                since: "6.1".parse().ok(),
                until: None,
                why,
            }];
        }
        if test != "generic/007" {
            let text = format!("[ \"$FSTYP\" = btrfs ] || exit 9\n{script}\n{whole}\n");
            fake.file(&format!("/fstests/tests/{test}"), 0o755, text.into());
        }
        suite.spec.case.push(case);
    }
    let path = lab.dir.path().join("fstests.cpio");
    std::fs::write(&path, fake.bytes()).unwrap();
    lab.kselftest = Some(path);
    let wanted = suite.spec.case.clone();
    let seen = lab
        .run(&lab.work(suite, RunMode::Exact, 1))
        .await
        .observation;
    assert_eq!(seen.end, RunEnd::PowerOff, "{seen:#?}");
    assert_eq!(seen.left, [] as [String; 0]);
    for (case, wanted) in seen.cases.iter().zip(&wanted) {
        let (status, said) = wanted.about.split_once(' ').unwrap();
        assert_eq!(format!("{:?}", case.status), status, "{case:#?}");
        let words = format!("{} {}", case.outside.clone().unwrap_or_default(), case.tail);
        assert!(words.contains(said), "{case:#?}");
    }
    assert_eq!(seen.cases.len(), wanted.len());
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
