//! Tests of fstests as the cases of a job: what is asked, what is stored, what is refused.

use firstbad_api::fstests::SUITE;
use firstbad_api::lease::{BuildWork, TestWork, Work};
use firstbad_api::limits::{FSTESTS_CASES, TEST_DEADLINE_S};
use firstbad_server::ladder::Kind;
use firstbad_server::tasks::advance_jobs;
use serde_json::{Value, json};

use crate::common::ladder::{fetch, ladder, release};
use crate::common::{self, FakeWorker, Seen, TestServer, git};

/// A tree of the layout of fstests; the first of its two revisions lacks btrfs/002.
async fn fstests(server: &TestServer) -> Vec<String> {
    let repo = server.dir.path().join("fs");
    for folder in ["generic", "btrfs", "xfs"] {
        std::fs::create_dir_all(repo.join("tests").join(folder)).unwrap();
    }
    let write = |test: &str, text: &str| std::fs::write(repo.join("tests").join(test), text);
    let test = |test: &str, groups: &str| {
        let text = format!("#! /bin/bash\n# FS QA Test\n. ./common/preamble\n{groups}\necho\n");
        write(test, &text).unwrap();
    };
    test("generic/001", "_begin_fstest rw dir auto quick");
    test("generic/475", "_begin_fstest shutdown auto log");
    test("btrfs/001", "_begin_fstest auto quick subvol");
    test("xfs/001", "_begin_fstest auto quick");
    test("generic/Makefile", "_begin_fstest quick");
    for n in 0..=FSTESTS_CASES {
        test(&format!("generic/{}", 1000 + n), "_begin_fstest many");
    }
    write("generic/001.out", "QA output created by 001\n").unwrap();
    write("generic/900", "no test\n").unwrap();
    git(&repo, &["init", "-q", "-b", "main"]);
    let mut revs = Vec::new();
    for tag in ["v1", "v2"] {
        git(&repo, &["add", "."]);
        git(&repo, &["commit", "-q", "-m", tag]);
        git(&repo, &["tag", tag]);
        revs.push(git(&repo, &["rev-parse", "HEAD"]));
        test("btrfs/002", "_begin_fstest quick");
    }
    let body = json!({ "name": "fs", "url": repo.to_str().unwrap() });
    assert_eq!(server.post("/trees", &body).await.status(), 201);
    revs
}

fn request(revs: &[String], cases: Value, fstests: Value) -> Value {
    json!({
        "tree": "line", "good": [revs[0]], "bad": revs.last().unwrap(), "suite": SUITE,
        "cases": cases, "fstests": fstests,
    })
}

/// What is to be built, then what is to be run of it.
async fn leased(
    server: &TestServer,
    worker: &mut FakeWorker<'_>,
) -> (Vec<BuildWork>, Vec<TestWork>) {
    let (mut builds, mut tests) = (Vec::new(), Vec::new());
    for _ in 0..2 {
        advance_jobs::tick(&server.app).await.unwrap();
        while let Some(lease) = worker.lease().await {
            match &lease.work {
                Work::Build(work) => {
                    builds.push(work.clone());
                    let built =
                        common::build(&Seen::Clean, &work.rev, work.rev.repeat(2)[..64].to_owned());
                    let finish = firstbad_api::observation::Finish::Build { observation: built };
                    assert!(worker.finish(&lease, finish).await.is_success());
                }
                Work::Test(work) => tests.push(work.clone()),
            }
        }
    }
    (builds, tests)
}

#[tokio::test]
async fn tests_and_groups_become_cases_of_a_pinned_revision() {
    let server = TestServer::start().await;
    let fs = fstests(&server).await;
    let revs = server.tree("line", 4).await;
    let mut worker = server.register().await;
    let asked = json!({
        "tree": "fs", "rev": "v1", "groups": ["quick"], "exclude": ["btrfs/001"],
    });
    let id = server
        .submit(&request(&revs, json!(["generic/475"]), asked))
        .await;
    let stored = server.job(id).await.request;
    assert_eq!(stored.cases, ["generic/001", "generic/475", "btrfs/001"]);
    let pinned = stored.fstests.unwrap();
    assert_eq!(
        (pinned.rev.as_str(), pinned.tree.as_str()),
        (fs[0].as_str(), "fs")
    );
    assert!(pinned.groups.is_empty());

    let (builds, tests) = leased(&server, &mut worker).await;
    assert!(!builds.is_empty() && !tests.is_empty());
    for work in &builds {
        assert_eq!(work.fstests.as_ref().unwrap().rev, fs[0]);
    }
    let spec = &tests[0].suite.spec;
    let cases: Vec<(&str, Vec<&str>)> = spec
        .case
        .iter()
        .map(|c| {
            (
                c.name.as_str(),
                c.excluded.iter().map(|e| e.why.as_str()).collect(),
            )
        })
        .collect();
    assert_eq!(
        cases,
        [
            ("generic/001", vec![]),
            ("generic/475", vec![]),
            ("btrfs/001", vec!["the job leaves it out"]),
        ]
    );
    assert!(tests[0].deadline_s > TEST_DEADLINE_S);

    // Another revision is another build; so is none.
    let asked = json!({ "tree": "fs", "rev": "v2" });
    server
        .submit(&request(&revs, json!(["btrfs/002"]), asked))
        .await;
    let (again, tests) = leased(&server, &mut worker).await;
    assert_eq!(again.len(), builds.len());
    assert_eq!(tests[0].suite.spec.case.len(), 1);
    // The same revision by its id, and other tests of it: nothing is built again.
    let asked = json!({ "tree": "fs", "rev": fs[1] });
    server
        .submit(&request(&revs, json!(["generic/001"]), asked))
        .await;
    let (none, tests) = leased(&server, &mut worker).await;
    assert!(none.is_empty() && !tests.is_empty());

    let page = server.http.get(format!("{}/jobs/{id}", server.url));
    let page = page.send().await.unwrap().text().await.unwrap();
    assert!(page.contains(&format!("--fstests fs@{}", fs[0])), "{page}");
    assert!(page.contains("--exclude btrfs/001"), "{page}");
    let gone = server
        .http
        .delete(format!("{}/api/v1/trees/fs", server.url))
        .bearer_auth(&server.token)
        .send()
        .await
        .unwrap();
    assert_eq!(gone.status(), 409, "its jobs need it");
}

#[tokio::test]
async fn what_cannot_be_run_is_refused_by_field() {
    let server = TestServer::start().await;
    fstests(&server).await;
    let revs = server.tree("line", 3).await;
    let v1 = |more: Value| {
        let mut asked = json!({ "tree": "fs", "rev": "v1" });
        asked
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        asked
    };
    let quick = json!({ "groups": ["quick"] });
    for (cases, fstests, pointer, why) in [
        (
            json!(["generic/001"]),
            Value::Null,
            "/fstests",
            "tree add --preset fstests",
        ),
        (
            json!([]),
            v1(json!({})),
            "/cases",
            "such as generic/001, or a group",
        ),
        (
            json!(["generic/002"]),
            v1(json!({})),
            "/cases/0",
            "has no test \"generic/002\"",
        ),
        (
            json!(["xfs/001"]),
            v1(json!({})),
            "/cases/0",
            "generic and btrfs",
        ),
        (
            json!(["btrfs/002"]),
            v1(json!({})),
            "/cases/0",
            "has no test",
        ),
        (
            json!(["generic/900"]),
            v1(json!({})),
            "/cases/0",
            "has no test",
        ),
        (
            json!([]),
            v1(json!({ "groups": ["quick", "slow"] })),
            "/fstests/groups/1",
            "auto, dir, log",
        ),
        (
            json!([]),
            v1(json!({ "groups": ["many"] })),
            "/fstests/groups",
            "at most 100",
        ),
        (
            json!([]),
            v1(json!({ "groups": ["dir"], "exclude": ["btrfs/001"] })),
            "/fstests/exclude/0",
            "not among",
        ),
        (
            json!([]),
            v1(json!({ "groups": ["dir"], "exclude": ["generic/1"] })),
            "/fstests/exclude/0",
            "no test",
        ),
        (
            json!([]),
            v1(json!({ "groups": ["dir"], "exclude": ["generic/001"] })),
            "/fstests/exclude",
            "nothing is left",
        ),
        (
            json!([]),
            json!({ "tree": "fs", "rev": "v9", "groups": ["quick"] }),
            "/fstests/rev",
            "v9",
        ),
        (
            json!([]),
            json!({ "tree": "none", "rev": "v1", "groups": ["quick"] }),
            "/fstests/tree",
            "register fstests",
        ),
        (
            json!([]),
            json!({ "tree": "line", "rev": "main", "groups": ["quick"] }),
            "/fstests/rev",
            "has no tests",
        ),
    ] {
        let refused = server
            .refusal("/jobs", &request(&revs, cases, fstests))
            .await;
        assert_eq!(
            refused.pointer.as_deref(),
            Some(pointer),
            "{}",
            refused.detail
        );
        assert!(refused.detail.contains(why), "{}", refused.detail);
    }
    let mut other = request(&revs, json!([]), v1(quick));
    other["suite"] = json!("btrfs/smoke");
    let refused = server.refusal("/jobs", &other).await;
    assert_eq!(refused.pointer.as_deref(), Some("/fstests"));
    let survey = json!({
        "tree": "line", "releases": [revs[0], revs[2]], "suites": [SUITE],
    });
    let refused = server.refusal("/surveys", &survey).await;
    assert!(refused.detail.contains("fstests"), "{}", refused.detail);
}

#[tokio::test]
async fn packaged_kernels_get_fstests_too() {
    let server = TestServer::start().await;
    let fs = fstests(&server).await;
    let releases = [
        release("6.18.5", Kind::Packaged),
        release("7.2.6", Kind::Packaged),
    ];
    ladder(&server, &releases).await;
    let body = json!({
        "tree": "deb", "good": ["6.18.5"], "bad": "7.2.6", "suite": SUITE,
        "cases": ["generic/001"], "fstests": { "tree": "fs", "rev": "v1" },
    });
    server.submit(&body).await;
    let mut worker = server.register().await;
    assert!(leased(&server, &mut worker).await.0.is_empty());
    assert!(fetch(&server).await > 0);
    let (builds, _) = leased(&server, &mut worker).await;
    assert_eq!(builds.len(), 2);
    for work in builds {
        assert!(work.packaged.is_some());
        assert_eq!(work.fstests.unwrap().rev, fs[0]);
    }
}
