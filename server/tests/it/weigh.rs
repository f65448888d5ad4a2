//! Commits that touch what the kernels were compiled from are tested first.

use firstbad_api::job::{Job, Outcome};

use crate::common::{Seen, TestServer, request};

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

/// Searches for the commit `culprit`; those of `broken` do not build.
async fn run(
    culprit: usize,
    compiled: Option<&'static str>,
    broken: std::ops::Range<usize>,
) -> (Job, Vec<String>) {
    let server = TestServer::start().await;
    let revs = server.tree_of("line", COMMITS, file).await;
    let body = request("line", &revs[0], &revs[COMMITS - 1]);
    let id = server.submit(&body).await;
    let mut worker = server.register().await;
    worker.compiled = compiled;
    let oracle = |rev: &str, _: u64| match revs.iter().position(|r| r == rev) {
        Some(at) if broken.contains(&at) => Seen::DoesNotBuild,
        Some(at) if at >= culprit => Seen::Fails,
        _ => Seen::Clean,
    };
    (worker.work(id, oracle).await, revs)
}

async fn search(culprit: usize, compiled: Option<&'static str>) -> Job {
    let (job, revs) = run(culprit, compiled, 0..0).await;
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

#[tokio::test]
async fn a_range_is_exact_whatever_was_likely() {
    // The likely commit 69 is among those that do not build, the culprit is another of them.
    let (job, revs) = run(70, Some(COMPILED), 67..72).await;
    let Some(Outcome::Range { candidates, .. }) = &job.outcome else {
        panic!("{:#?}", job.outcome);
    };
    let left: Vec<&str> = candidates.iter().map(|c| c.rev.as_str()).collect();
    assert_eq!(left, revs[67..=72].iter().collect::<Vec<_>>());
}
