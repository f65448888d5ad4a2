//! The last check of a named commit: the last end without it.

use firstbad_api::job::{Check, Job, Outcome};
use serde_json::json;

use crate::common::{REVERTED, Seen, TestServer, request};

/// A search over 24 commits of which the 17th changes the answer; `reverted` is seen without it.
async fn search(find: &str, file: impl Fn(usize) -> String, reverted: Seen) -> Job {
    let server = TestServer::start().await;
    let revs = server.tree_of("line", 24, file).await;
    let mut body = request("line", &revs[0], &revs[23]);
    body["find"] = json!(find);
    let job = server.submit(&body).await;
    let mut worker = server.register().await;
    let seen = |rev: &str, _: u64| match revs.iter().position(|r| r == rev) {
        None => {
            assert_eq!(rev, REVERTED);
            reverted
        }
        Some(at) if (at >= 17) == (find == "regression") => Seen::Fails,
        Some(_) => Seen::Clean,
    };
    let ended = worker.work(job, seen).await;
    assert!(
        matches!(&ended.outcome, Some(Outcome::Culprit { rev, .. }) if *rev == revs[17]),
        "{:#?}",
        ended.outcome
    );
    ended
}

fn revert(job: &Job) -> Check {
    let Some(Outcome::Culprit { checks, .. }) = &job.outcome else {
        panic!("{:?}", job.outcome);
    };
    let found = checks.iter().find(|c| c.name.starts_with("revert on the"));
    found.unwrap().clone()
}

fn own(i: usize) -> String {
    format!("f{i}")
}

#[tokio::test]
async fn the_behaviour_goes_with_its_commit() {
    let check = revert(&search("regression", own, Seen::Clean).await);
    assert!(check.made && check.passed, "{check:?}");
    assert_eq!(check.name, "revert on the bad end");
    assert!(check.detail.ends_with("runs are clean"), "{check:?}");
}

#[tokio::test]
async fn another_cause_on_top_is_shown() {
    let check = revert(&search("regression", own, Seen::Fails).await);
    assert!(check.made && !check.passed, "{check:?}");
}

#[tokio::test]
async fn without_its_repair_the_bug_is_back() {
    let check = revert(&search("fix", own, Seen::Fails).await);
    assert!(check.made && check.passed, "{check:?}");
    assert_eq!(check.name, "revert on the new end");
}

#[tokio::test]
async fn what_cannot_be_taken_back_says_why() {
    let job = search("regression", |_| "f".to_owned(), Seen::Clean).await;
    let check = revert(&job);
    assert!(!check.made, "{check:?}");
    assert!(check.detail.contains("patch failed: f:1"), "{check:?}");
    let check = revert(&search("regression", own, Seen::DoesNotBuild).await);
    assert!(!check.made, "{check:?}");
    assert!(check.detail.contains("build fails"), "{check:?}");
}
