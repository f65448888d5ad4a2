//! Each kind of page that a survey, a metric, webhooks, a watched tree and an identity provider make,
//! looked at in a real browser: light, dark and narrow, by axe-core and by the Nu HTML checker. No
//! kernel is built.
#![allow(clippy::unwrap_used)]

#[path = "../../server/tests/it/common/mod.rs"]
mod common;

use std::path::{Path, PathBuf};
use std::process::Command;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use common::browser::{PASSWORD, account};
use common::{FakeWorker, Seen, TestServer, git, request};
use firstbad_api::lease::{TestWork, Work};
use firstbad_api::observation::{Finish, Metric, TestObservation};
use firstbad_server::access::Role;
use firstbad_server::oidc::OidcConfig;
use firstbad_server::tasks::{self, advance_jobs, deliver, leads_on};
use serde_json::{Value, json};

/// Commits of the tree, and one release every few of them.
const COMMITS: usize = 60;
const RELEASE: usize = 6;
/// Where a case begins to fail, and where writing becomes slower.
const FAILS: usize = 33;
const SLOWS: usize = 45;
/// What every log says: parts with and without errors, colours, and a line that is too long.
const LOG: &str = "firstbad: boot\n[    0.000000] Linux version 6.12.3 (builder@firstbad)\n\
    [    0.412000] \u{1b}[1mBTRFS info\u{1b}[0m (device ram0): using crc32c\n\
    firstbad: case eof starts\n[    2.100000] ------------[ cut here ]------------\n\
    [    2.100010] WARNING: CPU: 0 PID: 1 at fs/btrfs/direct-io.c:812 btrfs_direct_write+0x1f/0x900 \
    with registers 0123456789abcdef 0123456789abcdef 0123456789abcdef 0123456789abcdef <&>\n\
    fs/btrfs/direct-io.c:812: error: too few arguments\nfirstbad: case eof ends\n";

async fn start() -> TestServer {
    TestServer::start_with(|config| {
        config.url = Some(format!("http://{}", config.listen));
        // Nobody is asked there: only its button is looked at.
        config.oidc = Some(OidcConfig {
            issuer: "http://127.0.0.1:1".to_owned(),
            client_id: "firstbad".to_owned(),
            secret: None,
            name: "Kernel SSO".to_owned(),
            scopes: vec![],
            role: Some(Role::Viewer),
            claim: None,
            map: vec![],
        });
    })
    .await
}

/// A tree with releases on a line. Returns its commits and the names of the releases.
async fn tree(server: &TestServer) -> (Vec<String>, Vec<String>) {
    let revs = server.tree_of("stable", COMMITS, |n| format!("fs/btrfs/f{}.c", n % 7));
    let revs = revs.await;
    let repo = server.dir.path().join("stable");
    let released = revs.iter().step_by(RELEASE).enumerate();
    let names = released.map(|(n, rev)| {
        let name = format!("v6.12.{n}");
        git(&repo, &["tag", &name, rev]);
        name
    });
    let names = names.collect();
    let fetched = server.post("/trees/stable/fetch", &json!({})).await;
    assert!(fetched.status().is_success());
    (revs, names)
}

/// What a run says: cases, and two numbers of one of them that come and go by a percent or so.
fn observed(work: &TestWork, at: usize) -> TestObservation {
    let seen = match at >= FAILS {
        true => Seen::Failing(&["eof", "parallel"]),
        false => Seen::Failing(&[]),
    };
    let mut observation = common::test(seen, work);
    let noise = (at as u64 * 31 + work.seed * 17) % 11;
    let level = if at >= SLOWS { 164.0 } else { 212.0 };
    let number = |name: &str, value: f64, unit: &str, better: &str| Metric {
        name: name.to_owned(),
        value,
        unit: unit.to_owned(),
        better: better.to_owned(),
    };
    if let Some(case) = observation.cases.last_mut() {
        let write = level + noise as f64 / 7.0;
        case.metrics = vec![
            number("write_mb_s", write, "MB/s", "higher"),
            number("latency_p99_us", 91_000.0 / write, "µs", "lower"),
        ];
    }
    observation
}

/// Works until nothing is left to do.
async fn work(worker: &mut FakeWorker<'_>, revs: &[String]) {
    let mut idle = 0;
    while idle < 3 {
        let app = &worker.server.app;
        advance_jobs::tick(app).await.unwrap();
        leads_on::tick(app).await.unwrap();
        let Some(lease) = worker.lease().await else {
            idle += 1;
            continue;
        };
        idle = 0;
        let status = match &lease.work {
            Work::Build(_) => worker.answer(&lease, &|_, _| Seen::Clean).await,
            Work::Test(work) => {
                let rev = work.image_sha256.strip_prefix("image-of-").unwrap();
                // With its commit taken back the last end is as before.
                let at = revs.iter().position(|r| r == rev).unwrap_or(0);
                let observation = observed(work, at);
                worker.finish(&lease, Finish::Test { observation }).await
            }
        };
        assert!(status.is_success(), "{status}");
    }
}

/// A receiver that answers so for ever.
async fn receiver(status: StatusCode) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    let answer = |State(status): State<StatusCode>| async move { status };
    let router = Router::new()
        .route("/hook", post(answer))
        .with_state(status);
    tokio::spawn(async move { axum::serve(listener, router).await });
    url
}

/// Webhooks whose receivers take what is sent, are down, and are gone.
async fn webhooks(server: &TestServer) {
    let (fine, gone) = (
        receiver(StatusCode::OK).await,
        receiver(StatusCode::GONE).await,
    );
    for url in [
        fine.as_str(),
        "http://127.0.0.1:9/a/receiver/that/is/down",
        &gone,
    ] {
        let made = server
            .post("/webhooks", &json!({ "url": url, "every": true }))
            .await;
        assert!(made.status().is_success());
    }
    for id in 1..=3 {
        let path = format!("/webhooks/{id}/test");
        assert!(server.post(&path, &json!({})).await.status().is_success());
    }
}

async fn ask(server: &TestServer, path: &str, body: Value) -> Value {
    let answer = server.post(path, &body).await;
    let (status, text) = (answer.status(), answer.text().await.unwrap());
    assert!(status.is_success(), "{path}: {text}");
    serde_json::from_str(&text).unwrap()
}

/// A rule whose branch got a bad commit: its regression was searched, and is repaired by now.
async fn watched(server: &TestServer, worker: &mut FakeWorker<'_>) {
    let revs = server.tree("next", 12).await;
    let repo = server.dir.path().join("next");
    let rule = json!({
        "tree": "next", "name": "every-push", "refs": "main", "budget": 50,
        "run": { "suite": "btrfs/direct-io", "runs": 1 },
    });
    ask(server, "/rules", rule).await;
    let mut heads = vec![revs[4].clone(), revs[11].clone()];
    let repair = format!(
        "Clear the block again\n\nFixes: {} (\"commit 8\")",
        &revs[8][..12]
    );
    git(&repo, &["commit", "-q", "--allow-empty", "-m", &repair]);
    heads.push(git(&repo, &["rev-parse", "HEAD"]));
    for head in heads {
        git(&repo, &["reset", "-q", "--hard", &head]);
        ask(server, "/trees/next/fetch", json!({})).await;
        for _ in 0..4 {
            tasks::watch::tick(&server.app).await.unwrap();
            let bad = |rev: &str, _: u64| match revs.iter().position(|r| r == rev) {
                Some(at) if at >= 8 => Seen::Failing(&["eof"]),
                _ => Seen::Failing(&[]),
            };
            worker.work_all(bad).await;
            while tasks::known::tick(&server.app).await.unwrap() {}
        }
    }
    let state = "SELECT count(*) FROM regression WHERE job_id IS NOT NULL";
    let found: i64 = sqlx::query_scalar(state)
        .fetch_one(&server.app.pool)
        .await
        .unwrap();
    assert_eq!(found, 1, "a regression that was searched");
}

/// A file that a script of ours fetches once.
fn fetched(script: &str) -> PathBuf {
    let script = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../scripts")
        .join(script);
    let output = Command::new(&script).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {said}", script.display());
    PathBuf::from(String::from_utf8(output.stdout).unwrap().trim())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_kind_of_page_is_fit_to_be_looked_at() {
    let server = start().await;
    account(&server, "olga", "operator").await;
    let mut worker = server.register().await;
    worker.says = Some(LOG);
    watched(&server, &mut worker).await;
    let (revs, releases) = tree(&server).await;
    webhooks(&server).await;
    let survey = json!({
        "tree": "stable", "releases": releases, "runs": 3, "title": "Every week of 6.12",
        "suites": ["btrfs/direct-io", "btrfs/enospc"],
    });
    ask(&server, "/surveys", survey).await;
    let mut metric = request("stable", &revs[0], &revs[COMMITS - 1]);
    metric["signal"] = json!({ "kind": "metric", "name": "write_mb_s" });
    metric["title"] = json!("Writing is slower");
    let metric = ask(&server, "/jobs", metric).await;
    work(&mut worker, &revs).await;
    deliver::tick(&server.app).await.unwrap();
    // One that has not run yet, for the signs of that.
    let open = json!({
        "tree": "stable", "releases": [releases[1], releases[8]], "runs": 1,
        "title": "Not run yet", "suites": ["container/namespaces"],
    });
    ask(&server, "/surveys", open).await;

    let dir = server.dir.path();
    std::fs::write(dir.join("password"), PASSWORD).unwrap();
    let html = dir.join("html");
    let mut browser = tokio::process::Command::new(env!("CARGO_BIN_EXE_firstbad-browser"));
    browser
        .current_dir(dir)
        .args(["look", "--server", &server.url, "--user", "olga"])
        .args(["--password-file", "password", "--html", "html", "--axe"])
        .arg(fetched("axe.sh"));
    for page in [
        "/login",
        "/surveys/1",
        "/surveys/1?all=1",
        "/surveys/2",
        &format!("/jobs/{}/metric?name=write_mb_s", metric["id"]),
        "/webhooks/1",
        "/webhooks/2",
        "/webhooks/3",
    ] {
        browser.args(["--page", page]);
    }
    if let Ok(out) = std::env::var("FIRSTBAD_PAGES") {
        browser.args(["--out", &out]);
    }
    assert!(browser.status().await.unwrap().success());
    let pages: Vec<PathBuf> = std::fs::read_dir(&html)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    assert!(pages.len() > 15, "{pages:?}");
    let checked = Command::new("java")
        .arg("-jar")
        .arg(fetched("vnu.sh"))
        // Every browser of these years has it, the checker is older.
        .args(["--Werror", "--filterpattern", ".*inputmode.*"])
        .args(&pages)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&checked.stderr);
    assert!(checked.status.success(), "{said}");
}
