//! Jobs on histories that the server wrote, and jobs about two points.

use std::process::Command;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use firstbad_api::job::Outcome;
use firstbad_api::tree::{CONFIG_PATH, History};
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::common::{REVERTED, Seen, TestServer, git, request};

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

/// A real patch series and the files that it changes; its README tells where it is from.
const SERIES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/series");
/// What the fifth patch of the series gets wrong, and where.
const WRONG: (&str, &str) = ("kernel/ksysfs.c", "sprintf(buf, \"%d\\n\", 0)");

fn of_series(name: &str) -> String {
    std::fs::read_to_string(format!("{SERIES}/{name}")).unwrap()
}

/// A tree with the files that the series is for; its tip.
async fn tree_of_series(server: &TestServer) -> String {
    server.tree("linux", 1).await;
    let repo = server.dir.path().join("linux");
    let mut copy = Command::new("cp");
    copy.args(["-r", &format!("{SERIES}/linux-6.1.176/.")])
        .arg(&repo);
    assert!(copy.status().unwrap().success());
    git(&repo, &["add", "."]);
    git(&repo, &["commit", "-q", "-m", "Linux 6.1.176"]);
    let answer = server.post("/trees/linux/fetch", &json!({})).await;
    assert_eq!(answer.status(), StatusCode::OK);
    git(&repo, &["rev-parse", "HEAD"])
}

/// A file of a commit, as the server's mirror has it.
fn mirrored(server: &TestServer, rev: &str, path: &str) -> String {
    let mirror = server.app.repos.path("linux");
    git(&mirror, &["show", &format!("{rev}:{path}")])
}

#[tokio::test]
async fn the_patch_of_a_real_series_that_breaks_it_is_named() {
    let server = TestServer::start().await;
    let tip = tree_of_series(&server).await;
    let mut body = json!({ "base": "main", "mbox": of_series("series.mbox") });
    let history = written(&server, "/trees/linux/series", &body).await;
    assert_eq!(
        (history.base.as_str(), history.commits.len()),
        (tip.as_str(), 8)
    );
    let seen = |rev: &str, _: u64| {
        let wrong = rev != REVERTED && mirrored(&server, rev, WRONG.0).contains(WRONG.1);
        if wrong { Seen::Fails } else { Seen::Clean }
    };
    let job = server
        .submit(&request("linux", &history.base, &history.tip))
        .await;
    let mut worker = server.register().await;
    let ended = worker.work(job, seen).await;
    let Some(Outcome::Culprit {
        rev,
        subject,
        checks,
        ..
    }) = ended.outcome
    else {
        panic!("{:?}", ended.outcome);
    };
    assert_eq!(rev, history.commits[4].rev, "the fifth");
    assert_eq!(subject, "sysfs: Add /sys/kernel/realtime entry");
    assert!(checks.iter().all(|c| c.passed), "{checks:?}");
    let revert = checks.iter().find(|c| c.name == "revert on the bad end");
    assert!(revert.unwrap().made, "{checks:?}");
    let mirror = server.app.repos.path("linux");
    let commit = git(&mirror, &["log", "-1", "--format=%an <%ae>|%ad|%B", &rev]);
    assert!(
        commit.starts_with("Clark Williams <williams@redhat.com>|Sat Jul 30 21:55:53 2011 -0500|"),
        "{commit}"
    );
    assert!(
        commit.ends_with("Signed-off-by: Thomas Gleixner <tglx@linutronix.de>"),
        "the trailers stay, and no diffstat: {commit}"
    );

    // All in one: two points.
    body["squash"] = json!(true);
    let squashed = written(&server, "/trees/linux/series", &body).await;
    let mut body = request("linux", &squashed.base, &squashed.tip);
    body["two_point"] = json!(true);
    let job = server.submit(&body).await;
    let ended = worker.work(job, seen).await;
    assert!(
        matches!(ended.outcome, Some(Outcome::Differs { .. })),
        "{:?}",
        ended.outcome
    );
}

/// What a list or a mail program may make of a patch on its way is the same patch.
#[tokio::test]
async fn a_patch_in_the_encodings_of_mails_is_the_patch() {
    let server = TestServer::start().await;
    tree_of_series(&server).await;
    let listed = of_series("listed.eml");
    let (head, text) = listed.split_once("\r\n\r\n").unwrap();
    let plain = text
        .replace("=\r\n", "")
        .replace("=20", " ")
        .replace("=3D", "=");
    let encoded = |encoding: &str| head.replace("quoted-printable", encoding) + "\r\n\r\n";
    let lines = |text: &str| -> String {
        let all = STANDARD.encode(text).into_bytes();
        let lines = all
            .chunks(76)
            .map(|l| String::from_utf8(l.to_vec()).unwrap() + "\r\n");
        lines.collect()
    };
    // A list that adds a "From " line and keeps only line feeds, too.
    let stored = format!(
        "From mboxrd@z Thu Jan  1 00:00:00 1970\n{}",
        listed.replace('\r', "")
    );
    let mut changed = Vec::new();
    for mbox in [
        listed.clone(),
        stored,
        // The ends of the lines are encoded with them.
        format!(
            "{head}\r\n\r\n{}",
            text.replace("\r\n", "=0D\r\n").replace("==0D", "=")
        ),
        encoded("8bit") + &plain,
        encoded("base64") + &lines(&plain),
        encoded("base64") + &lines(&plain.replace('\r', "")),
    ] {
        let body = json!({ "base": "main", "mbox": mbox });
        let history = written(&server, "/trees/linux/series", &body).await;
        assert_eq!(
            history.commits[0].subject,
            "locking/rwbase: Mitigate indefinite writer starvation"
        );
        changed.push(mirrored(
            &server,
            &history.tip,
            "kernel/locking/rwbase_rt.c",
        ));
    }
    assert!(!changed[0].contains("Allow readers, as long as the writer"));
    assert!(changed.iter().all(|file| *file == changed[0]));
    // As the patch of the series is that nothing was done to.
    let body = json!({ "base": "main", "mbox": of_series("series.mbox") });
    let whole = written(&server, "/trees/linux/series", &body).await;
    assert_eq!(
        mirrored(&server, &whole.tip, "kernel/locking/rwbase_rt.c"),
        changed[0]
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
