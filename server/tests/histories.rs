//! Jobs on histories that the server wrote, and jobs about two points.
#![allow(clippy::unwrap_used)]

mod common;

use common::{REVERTED, Seen, TestServer, git, request};
use firstbad_api::job::Outcome;
use firstbad_api::tree::{CONFIG_PATH, History};
use reqwest::StatusCode;
use serde_json::{Value, json};

async fn written(server: &TestServer, path: &str, body: &Value) -> History {
    let answer = server.post(path, body).await;
    let status = answer.status();
    let text = answer.text().await.unwrap();
    assert_eq!(status, StatusCode::CREATED, "{text}");
    serde_json::from_str(&text).unwrap()
}

/// Eight patches on the last revision of the tree, as an mbox.
fn mbox(server: &TestServer, base: &str) -> String {
    let repo = server.dir.path().join("line");
    git(&repo, &["checkout", "-q", "-b", "topic", base]);
    for i in 0..8 {
        std::fs::write(repo.join(format!("new{i}")), format!("{i}\n")).unwrap();
        git(&repo, &["add", "."]);
        git(&repo, &["commit", "-q", "-m", &format!("patch {i}")]);
    }
    git(&repo, &["format-patch", "--stdout", base]) + "\n"
}

/// The same with a symbolic link in place of the first new file.
fn link(mbox: &str) -> String {
    mbox.replacen("new file mode 100644", "new file mode 120000", 1)
}

fn place(history: &History, rev: &str) -> usize {
    match rev == history.base {
        true => 0,
        false => 1 + history.commits.iter().position(|c| c.rev == rev).unwrap(),
    }
}

#[tokio::test]
async fn the_patch_of_a_series_that_breaks_it_is_named() {
    let server = TestServer::start().await;
    let revs = server.tree("line", 3).await;
    let mut body = json!({ "base": "main", "mbox": mbox(&server, &revs[2]) });
    let history = written(&server, "/trees/line/series", &body).await;
    assert_eq!(
        (history.base.as_str(), history.commits.len()),
        (revs[2].as_str(), 8)
    );
    let job = server
        .submit(&request("line", &history.base, &history.tip))
        .await;
    let mut worker = server.register().await;
    let seen = |rev: &str, _: u64| match rev != REVERTED && place(&history, rev) >= 5 {
        true => Seen::Fails,
        false => Seen::Clean,
    };
    let ended = worker.work(job, seen).await;
    let Some(Outcome::Culprit {
        subject, checks, ..
    }) = ended.outcome
    else {
        panic!("{:?}", ended.outcome);
    };
    assert_eq!(subject, "patch 4", "the fifth");
    assert!(checks.iter().all(|c| c.passed), "{checks:?}");

    // All in one: two points.
    body["squash"] = json!(true);
    let squashed = written(&server, "/trees/line/series", &body).await;
    let mut body = request("line", &squashed.base, &squashed.tip);
    body["two_point"] = json!(true);
    let job = server.submit(&body).await;
    let seen = |rev: &str, _: u64| match rev == squashed.tip {
        true => Seen::Fails,
        false => Seen::Clean,
    };
    let ended = worker.work(job, seen).await;
    assert!(
        matches!(ended.outcome, Some(Outcome::Differs { .. })),
        "{:?}",
        ended.outcome
    );
}

/// Twelve options below two menus, with a choice; the tenth to change breaks it.
#[tokio::test]
async fn the_option_between_two_configurations_is_named() {
    let server = TestServer::start().await;
    let revs = server.tree("line", 2).await;
    let repo = server.dir.path().join("line");
    let mut kconfig =
        "config BTRFS_FS\n\tbool \"b\"\nmenuconfig Z_BLOCK\n\tbool \"z\"\nif Z_BLOCK\n".to_owned();
    for i in 0..10 {
        kconfig += &format!("config OPTION_{i}\n\tbool \"o\"\n\tdepends on Z_NET\n");
    }
    kconfig += "config Z_NET\n\tbool \"n\"\nendif\n";
    std::fs::write(repo.join("Kconfig"), kconfig).unwrap();
    git(&repo, &["commit", "-q", "-a", "-m", "Kconfig"]);
    let answer = server.post("/trees/line/fetch", &json!({})).await;
    assert_eq!(answer.status(), StatusCode::OK);
    let all: String = (0..10).map(|i| format!("CONFIG_OPTION_{i}=y\n")).collect();
    let bad = format!("{all}CONFIG_Z_NET=y\nCONFIG_Z_BLOCK=y\n");
    let body = json!({ "rev": "main", "good": "# CONFIG_Z_BLOCK is not set\n", "bad": bad });
    let history = written(&server, "/trees/line/configs", &body).await;
    let subjects: Vec<&str> = history.commits.iter().map(|c| c.subject.as_str()).collect();
    assert_eq!(subjects.len(), 12);
    assert_eq!(
        subjects[..3],
        [
            "CONFIG_Z_BLOCK: n -> y",
            "CONFIG_Z_NET: n -> y",
            "CONFIG_OPTION_0: n -> y"
        ]
    );

    let mut body = request("line", &history.base, &history.tip);
    body["config"] = json!({ "base": { "tree": CONFIG_PATH } });
    let job = server.submit(&body).await;
    let mut worker = server.register().await;
    let seen = |rev: &str, _: u64| match rev != REVERTED && place(&history, rev) >= 10 {
        true => Seen::Fails,
        false => Seen::Clean,
    };
    let ended = worker.work(job, seen).await;
    let Some(Outcome::Culprit {
        subject, checks, ..
    }) = ended.outcome
    else {
        panic!("{:?}", ended.outcome);
    };
    assert_eq!(subject, "CONFIG_OPTION_7: n -> y");
    let revert = checks
        .iter()
        .find(|c| c.name == "revert on the bad end")
        .unwrap();
    assert!(revert.made && revert.passed, "{checks:?}");

    let mut missing = request("line", &revs[0], &revs[1]);
    for path in [CONFIG_PATH, "../x", "/etc/passwd", ""] {
        missing["config"] = json!({ "base": { "tree": path } });
        let problem = server.refusal("/jobs", &missing).await;
        assert_eq!(problem.pointer.as_deref(), Some("/config/base"), "{path}");
    }
}

#[tokio::test]
async fn what_cannot_be_written_is_refused_by_field() {
    let server = TestServer::start().await;
    let revs = server.tree("line", 2).await;
    let mbox = mbox(&server, &revs[1]);
    let series = |base: &str, mbox: &str| json!({ "base": base, "mbox": mbox });
    let configs = |good: &str, bad: &str| json!({ "rev": "main", "good": good, "bad": bad });
    let y = "CONFIG_BTRFS_FS=y\n";
    for (what, body, kind, pointer) in [
        ("series", series("nowhere", &mbox), "unknown-ref", "/base"),
        ("series", series(&revs[1], "x"), "bad-patch", "/mbox"),
        (
            "series",
            series(&revs[1], &mbox.replace("new1", "f")),
            "patch-does-not-apply",
            "/mbox",
        ),
        (
            "series",
            series(&revs[1], &link(&mbox)),
            "bad-patch",
            "/mbox",
        ),
        (
            "series",
            series(&revs[1], &"x".repeat(11 << 20)),
            "bad-patch",
            "/mbox",
        ),
        ("configs", configs(y, y), "empty-range", "/bad"),
        (
            "configs",
            configs("what is this\n", y),
            "bad-config",
            "/good",
        ),
        (
            "configs",
            configs(y, "\n\nCONFIG_X=$(id)\n"),
            "bad-config",
            "/bad",
        ),
        (
            "configs",
            configs(&y.repeat(40_000), y),
            "config-too-large",
            "/good",
        ),
    ] {
        let path = format!("/trees/line/{what}");
        let problem = server.refusal(&path, &body).await;
        let got = (problem.kind.as_str(), problem.pointer.as_deref());
        assert_eq!(got, (kind, Some(pointer)), "{}", problem.detail);
    }
    let problem = server
        .refusal("/trees/line/configs", &configs(y, "\nx\n"))
        .await;
    assert!(problem.detail.contains("line 2"), "{}", problem.detail);
    let problem = server.refusal("/trees/none/series", &series("x", "")).await;
    assert_eq!(problem.kind, "unknown-tree");
    let answer = server
        .worker_post("/trees/line/series", &series("x", ""))
        .await;
    assert_eq!(answer.status(), StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn two_points_differ_or_do_not() {
    let server = TestServer::start().await;
    let revs = server.tree("line", 9).await;
    let repo = server.dir.path().join("line");
    // Beside the last revision, not before it.
    git(&repo, &["checkout", "-q", "-b", "beside", &revs[4]]);
    git(&repo, &["commit", "-q", "--allow-empty", "-m", "beside"]);
    let beside = git(&repo, &["rev-parse", "HEAD"]);
    server.post("/trees/line/fetch", &json!({})).await;
    let mut worker = server.register().await;
    let ask = |seed: u64, find: &str| {
        let mut body = request("line", &beside, &revs[8]);
        body["two_point"] = json!(true);
        body["seed"] = json!(seed);
        body["find"] = json!(find);
        body
    };
    let differ = |job: &firstbad_api::job::Job| match &job.outcome {
        Some(Outcome::Differs {
            confidence, checks, ..
        }) => {
            assert!(checks.iter().all(|c| c.passed), "{checks:?}");
            assert!(*confidence > 0.999 && *confidence < 1.0, "{confidence}");
            job.candidates.iter().map(|c| c.runs).collect::<Vec<_>>()
        }
        other => panic!("{other:?}"),
    };
    // Every run tells the same: three show it, five are clean.
    let job = server.submit(&ask(1, "regression")).await;
    let ended = worker
        .work(job, |rev, _| {
            if rev == revs[8] {
                Seen::Fails
            } else {
                Seen::Clean
            }
        })
        .await;
    assert_eq!(differ(&ended), [5, 3], "{:#?}", ended.candidates);
    assert!(ended.sentence.contains("differ"), "{}", ended.sentence);
    assert_eq!(ended.cost.builds, 2);
    // One run of five shows it.
    let job = server.submit(&ask(1000, "regression")).await;
    let flaky = |rev: &str, seed: u64| match rev == revs[8] && seed.is_multiple_of(5) {
        true => Seen::Fails,
        false => Seen::Clean,
    };
    let ended = worker.work(job, flaky).await;
    assert_eq!(differ(&ended), [27, 20]);
    // A repair: the old end shows it.
    let job = server.submit(&ask(2000, "fix")).await;
    let ended = worker
        .work(job, |rev, _| {
            if rev == beside {
                Seen::Fails
            } else {
                Seen::Clean
            }
        })
        .await;
    assert_eq!(differ(&ended), [3, 5]);
    for (seed, seen) in [(3000, Seen::Clean), (4000, Seen::Fails)] {
        let job = server.submit(&ask(seed, "regression")).await;
        let ended = worker.work(job, |_, _| seen).await;
        let outcome = ended.outcome;
        assert!(
            matches!(outcome, Some(Outcome::NotReproduced { .. })),
            "{outcome:?}"
        );
    }
    let job = server.submit(&ask(5000, "regression")).await;
    let unusable = |rev: &str, seed: u64| match (rev == revs[8], seed) {
        (true, _) => Seen::Fails,
        (false, 5000) => Seen::Clean,
        (false, _) => Seen::OtherCrash,
    };
    let ended = worker.work(job, unusable).await;
    assert!(
        matches!(&ended.outcome, Some(Outcome::Unresolved { why }) if why.contains("cannot be judged")),
        "{:?}",
        ended.outcome
    );
    let mut body = ask(1, "regression");
    body["paths"] = json!(["f"]);
    assert_eq!(server.refusal("/jobs", &body).await.kind, "no-range");
    let page = server
        .http
        .get(format!("{}/jobs/{job}", server.url))
        .send()
        .await
        .unwrap();
    assert_eq!(page.status(), StatusCode::OK);
    let report = format!("{}/api/v1/jobs/1/report", server.url);
    let report = server
        .http
        .get(report)
        .send()
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    assert!(report.contains("The two ends differ"), "{report}");
    assert!(!report.contains("git bisect"), "{report}");
}
