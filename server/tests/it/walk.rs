//! Only the bad end known: releases are walked back over until one is good, and then searched.

use std::cell::RefCell;
use std::collections::BTreeSet;

use firstbad_api::job::{Job, Outcome, Range};
use firstbad_api::version::Version;
use firstbad_server::ladder::{Kind, Release};
use serde_json::{Value, json};

use crate::common::ladder::{finish, ladder, release};
use crate::common::{Seen, TestServer, git};

fn request(tree: &str, bad: &str) -> Value {
    json!({ "tree": tree, "bad": bad, "suite": "btrfs/direct-io" })
}

/// 7.0.1 to 7.0.N; those in `packaged` need no build.
fn row(n: usize, packaged: &[usize]) -> Vec<Release> {
    let kind = |i: &usize| match packaged.contains(i) {
        true => Kind::Packaged,
        false => Kind::Source,
    };
    (1..=n)
        .map(|i| release(&format!("7.0.{i}"), kind(&i)))
        .collect()
}

/// What the fake worker is asked to build is a commit that holds a release, and its tests have the
/// same name: the number of the release.
fn number(server: &TestServer, rev: &str) -> usize {
    let mirror = server.app.repos.path("deb");
    let subject = git(&mirror, &["log", "-1", "--format=%s", rev]);
    let version = subject.split(' ').nth(1).unwrap();
    version.rsplit('.').next().unwrap().parse().unwrap()
}

fn looked(job: &Job) -> Vec<(String, String)> {
    let walk = job.range.walk.as_ref().expect("a walk");
    let each = walk.looked.iter();
    each.map(|l| (l.release.clone(), l.verdict.clone()))
        .collect()
}

fn said(looked: &[(&str, &str)]) -> Vec<(String, String)> {
    let own = |(a, b): &(&str, &str)| ((*a).to_owned(), (*b).to_owned());
    looked.iter().map(own).collect()
}

fn culprit(job: &Job) -> &str {
    match &job.outcome {
        Some(Outcome::Culprit { subject, .. }) => subject,
        other => panic!("job {}: {other:?}", job.id),
    }
}

#[tokio::test]
async fn releases_are_walked_back_over_and_then_bisected_without_running_anything_twice() {
    let server = TestServer::start().await;
    ladder(&server, &row(20, &[10])).await;
    let answer = server
        .post("/jobs/preview", &request("deb", "7.0.20"))
        .await;
    let preview: Range = answer.json().await.unwrap();
    assert_eq!((preview.good.len(), preview.revisions), (0, 19));
    assert_eq!(preview.walk.unwrap().oldest, "7.0.1");

    let id = server.submit(&request("deb", "7.0.20")).await;
    let built = RefCell::new(Vec::new());
    let job = finish(&server, id, |rev, seed| {
        let n = number(&server, rev);
        built.borrow_mut().push((n, seed));
        match n {
            14.. => Seen::Fails,
            _ => Seen::Clean,
        }
    })
    .await;
    assert_eq!(culprit(&job), "Linux 7.0.14 (as source)");
    // 1, 2 and 4 back; then the packaged one 10 back, about as far as 8.
    let way = [
        ("7.0.19", "bad"),
        ("7.0.18", "bad"),
        ("7.0.16", "bad"),
        ("7.0.10", "good"),
    ];
    assert_eq!(looked(&job), said(&way));
    assert_eq!(job.range.good.len(), 1);
    assert_eq!(job.range.revisions, 10, "{:?}", job.range);
    assert!(job.request.good.is_empty());
    // The oracle is asked once for a build and once for each run.
    let built = built.into_inner();
    let releases: BTreeSet<usize> = built.iter().map(|(n, _)| *n).collect();
    assert_eq!(job.cost.builds as usize, releases.len(), "{releases:?}");
    let runs: BTreeSet<_> = built.iter().filter(|(_, seed)| *seed > 0).collect();
    assert_eq!(job.cost.boots as usize, runs.len());
    let asked = built.len() - releases.len() - job.exactness.repeated as usize;
    assert_eq!(asked, runs.len(), "{built:?}");
    // After 6 runs that failed and none that did not it takes 4 clean ones to be sure.
    let good = runs.iter().filter(|(n, _)| *n == 10).count();
    assert_eq!(good, 4);
    let page = server.http.get(format!("{}/jobs/{id}", server.url));
    let page = page.send().await.unwrap().text().await.unwrap();
    assert!(page.contains("7.0.16 bad, 7.0.10 good"), "{page}");
    assert!(page.contains("firstbad submit --tree deb --bad 7.0.20"));
}

#[tokio::test]
async fn the_tags_of_a_git_tree_that_the_bad_end_contains_are_releases() {
    let server = TestServer::start().await;
    let revs = server.tree_of("line", 40, |i| format!("f{i}")).await;
    let repo = server.dir.path().join("line");
    for (tag, at) in [
        ("v6.9", 3),
        ("v6.10", 8),
        ("v6.11-rc1", 10),
        ("v6.11", 14),
        ("v6.12", 20),
        ("v6.13", 27),
        ("nightly", 30),
    ] {
        git(&repo, &["tag", "-a", "-m", tag, tag, &revs[at]]);
    }
    // A stable release that the bad end does not contain.
    git(&repo, &["checkout", "-q", "-b", "stable", &revs[14]]);
    git(
        &repo,
        &["commit", "-q", "--allow-empty", "-m", "Linux 6.11.1"],
    );
    git(&repo, &["tag", "v6.11.1"]);
    git(&repo, &["checkout", "-q", "main"]);
    server.post("/trees/line/fetch", &json!({})).await;
    let id = server.submit(&request("line", &revs[39])).await;
    let mut worker = server.register().await;
    let oracle = |rev: &str, _: u64| match revs.iter().position(|r| r == rev) {
        // v6.12 does not build.
        Some(20) => Seen::DoesNotBuild,
        Some(17..) => Seen::Fails,
        _ => Seen::Clean,
    };
    worker.work_all(oracle).await;
    let job = server.job(id).await;
    assert_eq!(culprit(&job), "commit 17");
    let way = [("v6.13", "bad"), ("v6.12", "skip"), ("v6.11", "good")];
    assert_eq!(looked(&job), said(&way));
    assert_eq!(job.range.good, [revs[14].clone()]);
}

#[tokio::test]
async fn without_a_good_release_it_says_how_far_it_looked() {
    let server = TestServer::start().await;
    ladder(&server, &row(9, &[])).await;
    let id = server.submit(&request("deb", "7.0.9")).await;
    let job = finish(&server, id, |rev, _| match number(&server, rev) {
        1 => Seen::BootPanic,
        _ => Seen::Fails,
    })
    .await;
    let Some(Outcome::NoGoodEnd { why, checks }) = &job.outcome else {
        panic!("{:?}", job.outcome);
    };
    assert!(
        why.contains("of the 8 releases before it were looked at"),
        "{why}"
    );
    assert!(
        why.contains("the oldest 7.0.2; 7.0.1 cannot be tested"),
        "{why}"
    );
    assert_eq!(checks.len(), 1);
    assert!(job.range.good.is_empty());
    let report = server.http.get(format!("{}/jobs/{id}/report", server.url));
    let report = report.send().await.unwrap().text().await.unwrap();
    assert!(report.contains("7.0.2 bad"), "{report}");
}

#[tokio::test]
async fn a_release_that_we_failed_to_test_is_none_that_cannot_be_tested() {
    let server = TestServer::start().await;
    ladder(&server, &row(5, &[])).await;
    let id = server.submit(&request("deb", "7.0.5")).await;
    let job = finish(&server, id, |rev, _| match number(&server, rev) {
        3 => Seen::Lost,
        _ => Seen::Fails,
    })
    .await;
    let Some(Outcome::Unresolved { why }) = &job.outcome else {
        panic!("{:?}", job.outcome);
    };
    assert!(why.starts_with("infrastructure: 7.0.3 "), "{why}");
}

#[tokio::test]
async fn a_release_is_good_only_when_its_clean_runs_are_no_luck() {
    let server = TestServer::start().await;
    ladder(&server, &row(6, &[])).await;
    let id = server.submit(&request("deb", "7.0.6")).await;
    // Fails with every third seed or so from 7.0.5 on, and there not before the tenth.
    let shows = |n: usize, seed: u64| match n {
        5 => seed % 10 < 3 && seed > 3,
        n => n > 5 && seed.is_multiple_of(3),
    };
    let job = finish(&server, id, |rev, seed| {
        match shows(number(&server, rev), seed) {
            true => Seen::Fails,
            false => Seen::Clean,
        }
    })
    .await;
    let way = looked(&job);
    assert_eq!(way.last().unwrap().1, "good", "{way:?}");
    assert!(
        way.contains(&("7.0.5".to_owned(), "bad".to_owned())),
        "{way:?}"
    );
    assert_eq!(culprit(&job), "Linux 7.0.5 (as source)");
    let good = job.candidates.iter().find(|c| c.position < 0).unwrap();
    assert!(good.runs >= 14, "{} clean runs", good.runs);
}

#[tokio::test]
async fn any_process_may_die_and_marks_stay_with_their_release() {
    let server = TestServer::start().await;
    let described = ladder(&server, &row(12, &[])).await;
    let id = server.submit(&request("deb", "7.0.12")).await;
    let rev = |n: usize| {
        let version = format!("7.0.{n}");
        let mut all = described.iter();
        all.find(|d| d.release.version == version)
            .unwrap()
            .rev
            .clone()
    };
    // Somebody knows better, of one that is in the range later and of one that is not.
    for (n, word) in [(10, "skip"), (1, "skip")] {
        let mark = json!({ "rev": rev(n), "mark": word });
        let answer = server.post(&format!("/jobs/{id}/marks"), &mark).await;
        assert_eq!(answer.status(), 201);
    }
    let oracle = |rev: &str, _: u64| match number(&server, rev) {
        7.. => Seen::Fails,
        _ => Seen::Clean,
    };
    // Every pass is another process: nothing is kept but the rows.
    let job = finish(&server, id, oracle).await;
    assert_eq!(culprit(&job), "Linux 7.0.7 (as source)");
    let skipped = job.candidates.iter().find(|c| c.rev == rev(10)).unwrap();
    assert_eq!(skipped.verdict, "skip");
    assert!(!job.candidates.iter().any(|c| c.rev == rev(1)));
}

#[tokio::test]
async fn what_cannot_be_walked_names_the_field() {
    let server = TestServer::start().await;
    let revs = server.tree("line", 3).await;
    let refused = server.refusal("/jobs", &request("line", &revs[2])).await;
    assert_eq!(refused.pointer.as_deref(), Some("/good"));
    assert!(
        refused.detail.contains("tagged like v6.18"),
        "{}",
        refused.detail
    );
    let repo = server.dir.path().join("line");
    git(&repo, &["tag", "v6.18", &revs[0]]);
    server.post("/trees/line/fetch", &json!({})).await;
    for (more, why) in [
        (json!({ "find": "fix" }), "old end"),
        (json!({ "two_point": true }), "without a search"),
        (
            json!({ "signal": { "kind": "metric", "name": "mb_s" } }),
            "threshold",
        ),
    ] {
        let mut body = request("line", &revs[2]);
        body.as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        let refused = server.refusal("/jobs", &body).await;
        assert_eq!(refused.pointer.as_deref(), Some("/good"));
        assert!(refused.detail.contains(why), "{}", refused.detail);
    }
    let found = server
        .app
        .repos
        .releases_in("line", &revs[2])
        .await
        .unwrap();
    assert_eq!(found[0].name, "v6.18");
    assert_eq!(found[0].version, "6.18".parse::<Version>().unwrap());
    assert_eq!(found[0].author, "A U Thor");
}

#[tokio::test]
async fn a_person_may_know_the_ends_and_a_range_without_candidates_is_said() {
    let server = TestServer::start().await;
    let revs = server.tree_of("line", 8, |i| format!("f{i}")).await;
    let repo = server.dir.path().join("line");
    git(&repo, &["tag", "v6.18", &revs[2]]);
    server.post("/trees/line/fetch", &json!({})).await;
    let mut body = request("line", &revs[7]);
    body["paths"] = json!(["no/such"]);
    let mut jobs = Vec::new();
    for body in [request("line", &revs[7]), body] {
        let id = server.submit(&body).await;
        for (at, word) in [(2, "good"), (7, "bad")] {
            let mark = json!({ "rev": revs[at], "mark": word });
            let answer = server.post(&format!("/jobs/{id}/marks"), &mark).await;
            assert_eq!(answer.status(), 201);
        }
        jobs.push(id);
    }
    let mut worker = server.register().await;
    let oracle = |rev: &str, _: u64| match revs.iter().position(|r| r == rev) {
        Some(5..) => Seen::Fails,
        _ => Seen::Clean,
    };
    worker.work_all(oracle).await;
    assert_eq!(culprit(&server.job(jobs[0]).await), "commit 5");
    let job = server.job(jobs[1]).await;
    let Some(Outcome::Unresolved { why }) = &job.outcome else {
        panic!("{:?}", job.outcome);
    };
    assert!(why.contains("v6.18 is good, but paths:"), "{why}");
}
