//! Selftests of one revision for every candidate.

use firstbad_api::lease::{BuildWork, Work};
use firstbad_server::ladder::Kind;
use firstbad_server::tasks::advance_jobs;
use serde_json::{Value, json};

use crate::common::ladder::{fetch, ladder, release};
use crate::common::{FakeWorker, TestServer};

const SUITE: &str = "container/kselftest";

fn request(tree: &str, good: &str, bad: &str, from: &str) -> Value {
    json!({ "tree": tree, "good": [good], "bad": bad, "suite": SUITE, "selftests_from": from })
}

/// What is to be built now.
async fn builds(server: &TestServer, worker: &mut FakeWorker<'_>) -> Vec<BuildWork> {
    advance_jobs::tick(&server.app).await.unwrap();
    let mut builds = Vec::new();
    while let Some(lease) = worker.lease().await {
        match lease.work {
            Work::Build(work) => builds.push(work),
            Work::Test(_) => panic!("nothing is built yet"),
        }
    }
    builds
}

#[tokio::test]
async fn a_revision_of_a_git_tree_is_pinned_and_part_of_the_build() {
    let server = TestServer::start().await;
    let revs = server.tree("line", 6).await;
    let mut worker = server.register().await;
    let with = request("line", &revs[0], &revs[5], "main~2");
    let id = server.submit(&with).await;
    let pinned = builds(&server, &mut worker).await;
    assert!(!pinned.is_empty());
    for work in &pinned {
        assert_eq!(work.kselftest_rev.as_ref(), Some(&revs[3]));
        assert!(work.kselftest.contains(&"pidfd".to_owned()));
    }
    // Another pin, or none, is another build.
    let other = request("line", &revs[0], &revs[5], &revs[4]);
    server.submit(&other).await;
    let again = builds(&server, &mut worker).await;
    assert_eq!(again.len(), pinned.len());
    assert_eq!(again[0].kselftest_rev.as_ref(), Some(&revs[4]));
    let page = server.http.get(format!("{}/jobs/{id}", server.url));
    let page = page.send().await.unwrap().text().await.unwrap();
    assert!(
        page.contains(&format!("--selftests-from {}", revs[3])),
        "{page}"
    );
    assert!(page.contains("for every candidate"));

    let mut wrong = with.clone();
    wrong["suite"] = json!("btrfs/smoke");
    let refused = server.refusal("/jobs", &wrong).await;
    assert_eq!(refused.pointer.as_deref(), Some("/selftests_from"));
    assert!(
        refused.detail.contains("has no selftests"),
        "{}",
        refused.detail
    );
    let unknown = request("line", &revs[0], &revs[5], "v9");
    let refused = server.refusal("/jobs", &unknown).await;
    assert_eq!(refused.pointer.as_deref(), Some("/selftests_from"));
}

#[tokio::test]
async fn packaged_kernels_get_the_selftests_of_a_source_release() {
    let server = TestServer::start().await;
    let releases = [
        release("6.18.5", Kind::Packaged),
        release("6.19.6", Kind::Source),
        release("7.2.6", Kind::Packaged),
    ];
    let mut described = ladder(&server, &releases).await.into_iter();
    let refused = request("deb", "6.18.5", "7.2.6", "packaged/7.2.6");
    let refused = server.refusal("/jobs", &refused).await;
    assert_eq!(refused.pointer.as_deref(), Some("/selftests_from"));
    assert!(
        refused.detail.contains("such as source/7.2.6"),
        "{}",
        refused.detail
    );

    let body = request("deb", "6.18.5", "7.2.6", "source/6.19.6");
    server.submit(&body).await;
    let mut worker = server.register().await;
    // The kernels come first, and then the source of the tests.
    for _ in 0..2 {
        assert!(builds(&server, &mut worker).await.is_empty());
        assert!(fetch(&server).await > 0);
    }
    let builds = builds(&server, &mut worker).await;
    let source = described.find(|d| d.release.kind == Kind::Source).unwrap();
    let held = server.app.repos.held_release("deb", &source.release).await;
    for work in &builds {
        assert!(work.packaged.is_some());
        assert_eq!(work.kselftest_rev, held.clone().unwrap());
    }
    assert_eq!(builds.len(), 2);
}
