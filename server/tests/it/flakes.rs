//! Jobs whose runs do not always tell the same, with a fake worker: the right commit or none.

use firstbad_api::job::{Job, Outcome};
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::common::{Seen, TestServer, request};

/// Whether a run fails that fails with this chance: the same run always tells the same.
fn fails(rev: &str, seed: u64, chance: f64) -> bool {
    let hash = Sha256::digest(format!("{rev} {seed}"));
    f64::from(u16::from_le_bytes([hash[0], hash[1]])) / 65536.0 < chance
}

fn at(revs: &[String], rev: &str) -> usize {
    revs.iter().position(|r| r == rev).unwrap()
}

fn named(job: &Job) -> Option<&str> {
    match &job.outcome {
        Some(Outcome::Culprit {
            rev,
            confidence,
            checks,
            ..
        }) => {
            assert!(*confidence >= 0.995, "{confidence}");
            assert!(checks.iter().all(|c| c.passed || !c.made), "{checks:?}");
            Some(rev)
        }
        _ => None,
    }
}

/// One job over a line of `n`: commits from `culprit` on fail with `chance`.
async fn search(find: &str, n: usize, culprit: usize, chance: f64, seed: u64) -> (Job, String) {
    let server = TestServer::start().await;
    let revs = server.tree("line", n).await;
    let mut body = request("line", &revs[0], &revs[n - 1]);
    body["seed"] = json!(seed);
    body["find"] = json!(find);
    let job = server.submit(&body).await;
    let mut worker = server.register().await;
    let seen = |rev: &str, seed: u64| {
        let shows = (at(&revs, rev) >= culprit) == (find == "regression");
        match shows && fails(rev, seed, chance) {
            true => Seen::Fails,
            false => Seen::Clean,
        }
    };
    (worker.work(job, seen).await, revs[culprit].clone())
}

#[tokio::test]
async fn failures_of_any_rate_are_traced_to_their_commit() {
    for (seed, chance) in [(1, 0.9), (100, 0.6), (200, 0.3)] {
        let (job, culprit) = search("regression", 24, 9, chance, seed).await;
        assert_eq!(named(&job), Some(culprit.as_str()), "{chance}: {job:#?}");
    }
}

#[tokio::test]
async fn the_repair_of_a_flaky_bug_is_found() {
    for (seed, chance) in [(1, 0.9), (300, 0.5)] {
        let (job, fix) = search("fix", 20, 12, chance, seed).await;
        assert_eq!(named(&job), Some(fix.as_str()), "{chance}: {job:#?}");
    }
}

#[tokio::test]
async fn a_flake_older_than_the_range_is_blamed_on_no_commit() {
    for seed in [1, 400, 800] {
        let (job, _) = search("regression", 20, 0, 0.4, seed).await;
        assert!(
            matches!(job.outcome, Some(Outcome::NotReproduced { .. })),
            "{:#?}",
            job.outcome
        );
    }
}

#[tokio::test]
async fn two_flaky_bugs_never_name_a_commit_between_them() {
    let server = TestServer::start().await;
    let revs = server.tree("line", 24).await;
    let job = server.submit(&request("line", &revs[0], &revs[23])).await;
    let mut worker = server.register().await;
    // Broken, repaired and broken again.
    let seen = |rev: &str, seed: u64| match at(&revs, rev) {
        6..=11 | 18.. if fails(rev, seed, 0.7) => Seen::Fails,
        _ => Seen::Clean,
    };
    let job = worker.work(job, seen).await;
    if let Some(rev) = named(&job) {
        assert!([6, 18].contains(&at(&revs, rev)), "{rev}");
    }
}

#[tokio::test]
async fn revisions_with_one_kernel_are_one_revision() {
    let server = TestServer::start().await;
    let revs = server.tree("line", 24).await;
    let job = server.submit(&request("line", &revs[0], &revs[23])).await;
    let mut worker = server.register().await;
    // Nothing that is built changes before the culprit: its parents are the good end's kernel.
    worker.same = revs[..9].to_vec();
    let seen = |rev: &str, seed: u64| match at(&revs, rev) >= 9 && fails(rev, seed, 0.3) {
        true => Seen::Fails,
        false => Seen::Clean,
    };
    let job = worker.work(job, seen).await;
    assert_eq!(named(&job), Some(revs[9].as_str()), "{job:#?}");
    assert!(job.cost.boots < 250, "{} boots", job.cost.boots);
    // One clean run of a flake says little: those that the search took for the parent's are told.
    let Some(Outcome::Culprit { checks, .. }) = job.outcome else {
        panic!("a commit was named");
    };
    let detail = |name: &str| &checks.iter().find(|c| c.name == name).unwrap().detail;
    let (own, good) = (detail("parent"), detail("good end"));
    let same = format!("; the good end has the same kernel: {good}");
    assert!(own.ends_with(&same), "{own}");
}
