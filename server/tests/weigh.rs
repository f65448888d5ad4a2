//! Commits that touch what the kernels were compiled from are tested first.
#![allow(clippy::unwrap_used)]

mod common;

use common::{Seen, TestServer, request};
use firstbad_api::job::{Job, Outcome};

const COMMITS: usize = 128;
const COMPILED: &str = "fs/btrfs/file.c\nkernel/fork.c\n";

/// Two commits of 32 touch a compiled file, and one of these what the suite is about.
fn file(i: usize) -> String {
    match i % 32 {
        5 => "fs/btrfs/file.c".to_owned(),
        20 => "kernel/fork.c".to_owned(),
        _ => format!("drivers/driver{}.c", i % 7),
    }
}

async fn search(culprit: usize, compiled: Option<&'static str>) -> Job {
    let server = TestServer::start().await;
    let revs = server.tree_of("line", COMMITS, file).await;
    let body = request("line", &revs[0], &revs[COMMITS - 1]);
    let id = server.submit(&body).await;
    let mut worker = server.register().await;
    worker.compiled = compiled;
    let oracle = |rev: &str, _: u64| match revs.iter().position(|r| r == rev) {
        Some(at) if at >= culprit => Seen::Fails,
        _ => Seen::Clean,
    };
    let job = worker.work(id, oracle).await;
    let outcome = &job.outcome;
    assert!(
        matches!(outcome, Some(Outcome::Culprit { rev, .. }) if *rev == revs[culprit]),
        "{outcome:#?}"
    );
    job
}

#[tokio::test]
async fn a_likely_commit_is_found_sooner_and_an_unlikely_one_still() {
    let (plain, likely, unlikely) = tokio::join!(
        search(69, None),
        search(69, Some(COMPILED)),
        search(75, Some(COMPILED)),
    );
    assert_eq!((plain.relevant, likely.relevant), (None, Some(8)));
    // log2(4 + 4 / 4 + 119 / 64) = 2.8 bits instead of 7.
    let builds = (plain.cost.builds, likely.cost.builds);
    assert!(builds.1 + 2 <= builds.0, "{builds:?}");
    let more = unlikely.cost.builds;
    assert!(more <= builds.0 + 5, "{more}");
}
