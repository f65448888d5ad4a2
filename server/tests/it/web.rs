//! The pages, rendered from made-up answers and asked over HTTP without a database.
//!
//! With `FIRSTBAD_PAGES` set to a folder, the rendered pages are left there to be looked at.

use std::collections::BTreeMap;
use std::sync::Arc;

use askama::Template;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request, StatusCode};
use firstbad_api::attempt::Attempt;
use firstbad_api::job::Job;
use firstbad_api::lease::Fence;
use firstbad_api::limits::Timing;
use firstbad_api::tree::Tree;
use firstbad_api::worker::Worker;
use firstbad_server::db;
use firstbad_server::repo::{CommitInfo, FileStat, RefInfo};
use firstbad_server::state::App;
use firstbad_server::suites::Suites;
use firstbad_server::web::{
    self, AttemptPage, ErrorPage, HelpPage, JobPage, LogPage, TreePage, TreesPage, Window,
    WorkersPage,
};
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::common::{Seen, TestServer, request};

const HOSTILE: &str = "<script>alert(1)</script>\"'&";

fn rev(n: usize) -> String {
    format!(
        "{:016x}{n:024x}",
        (n as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    )
}

fn page(name: &str, template: &impl Template) -> String {
    let html = template.render().unwrap();
    if let Ok(dir) = std::env::var("FIRSTBAD_PAGES") {
        std::fs::write(format!("{dir}/{name}.html"), &html).unwrap();
    }
    assert!(html.starts_with("<!DOCTYPE html>"), "{name}");
    // The one script is ours, and a file of its own.
    assert_eq!(html.matches("<script").count(), 1, "{name}");
    assert!(html.contains("<script src=\"/static/firstbad."), "{name}");
    assert!(
        !html.contains(" style=\""),
        "{name} has a style the policy refuses"
    );
    html
}

fn candidate(position: usize, verdict: &str, subject: &str) -> Value {
    let runs = match verdict {
        "bad" | "good" => json!([
            {"attempt": 100 + position, "seed": 1, "state": "done", "verdict": verdict,
             "why": "case direct-io answered", "reused": position == 0}]),
        "running" => json!([{"attempt": 100 + position, "seed": 1, "state": "leased",
             "verdict": "", "why": "", "reused": false}]),
        _ => json!([]),
    };
    json!({
        "rev": rev(position), "subject": subject, "position": position, "verdict": verdict,
        "why": match verdict {
            "bad" => "btrfs/direct-io unaligned-write failed: wrong data at 4,096",
            "good" => "all 6 cases passed",
            "skip" => "does not build: fs/btrfs/file.c:812: error: too few arguments",
            _ => "",
        },
        "bad_runs": u32::from(verdict == "bad"), "runs": 1, "build": 50 + position,
        "build_state": if verdict == "skip" { "failed" } else { "done" },
        "build_reused": position == 0,
        "signature": (verdict != "skip").then(|| format!("{position:064x}")),
        "tests": runs, "metric": (position == 16).then_some(812.503_4),
        "reason": "splits the 24 commits left into 12 and 12",
    })
}

fn job(id: i64, state: &str, outcome: Value, candidates: Vec<Value>, total: usize) -> Job {
    let tested = candidates.len();
    serde_json::from_value(json!({
        "id": id, "title": "Direct writes return wrong data after an unaligned write",
        "state": state,
        "sentence": match state {
            "running" => "12 candidates are left; 3 revisions tested, about 4 to go.",
            "queued" => "Waiting for a worker: none has been seen yet; `firstbad worker` starts one.",
            _ => "f39c0000 (\"btrfs: tidy the end of a direct write\") broke it, with 99.98 % confidence.",
        },
        "request": {
            "tree": "demo", "good": ["v6.12"], "bad": "tip", "suite": "btrfs/direct-io",
            "cases": ["unaligned-write"], "signal": {"kind": "failure"},
            "config": {"fragment": "CONFIG_BTRFS_FS_RUN_SANITY_TESTS=n\n"},
            "paths": ["fs/btrfs", "it's here"],
        },
        "range": {"good": [rev(0)], "bad": rev(total), "revisions": total, "merges": 3, "steps": 6},
        "left": if state == "done" { 1 } else { total / 4 }, "step": tested, "steps": 7,
        "eta_s": (state == "running").then_some(340), "outcome": outcome,
        "cost": {"builds": 7, "builds_reused": 2, "boots": 9, "boots_reused": 1,
                 "build_ms": 412_000, "test_ms": 96_400},
        "candidates": candidates,
        "stage_ms": {"source": 2_100, "configure": 21_000, "build": 380_000, "boot": 31_000,
                     "test": 65_000, "upload": 1_900},
        "created_at": "2026-11-21T14:05:10Z",
        "ended_at": (state == "done").then_some("2026-11-21T14:15:31Z"),
    }))
    .unwrap()
}

fn history(total: usize) -> Vec<Value> {
    let at = |share: usize| total * share / 48;
    vec![
        candidate(0, "good", "Linux 6.12"),
        candidate(at(24), "bad", "Merge branch 'for-btrfs'"),
        candidate(at(12), "good", "docs: explain the extent tree"),
        candidate(at(18), "skip", "btrfs: pass the iocb down"),
        candidate(at(16), "bad", "btrfs: tidy the end of a direct write"),
        candidate(at(14), "good", HOSTILE),
        candidate(at(15), "good", "overlayfs: rename a local variable"),
        candidate(total, "bad", "Merge tag 'tip'"),
    ]
}

fn culprit() -> Value {
    json!({"outcome": "culprit", "rev": rev(16), "subject": "btrfs: tidy the end of a direct write",
        "author": "A. Developer <dev@example.org>", "confidence": 0.9998, "checks": [
        {"name": "good end", "passed": true, "detail": "1 of 1 runs passed"},
        {"name": "bad end", "passed": true, "detail": "1 of 1 runs failed"},
        {"name": "parent", "passed": true, "detail": "3 of 3 runs passed"},
        {"name": "culprit", "passed": true, "detail": "3 of 3 runs failed"}]})
}

fn commit() -> CommitInfo {
    CommitInfo {
        rev: rev(16),
        subject: "btrfs: tidy the end of a direct write".into(),
        author: "A. Developer <dev@example.org>".into(),
        ours: false,
        when: 1_760_000_000,
        body: format!("The end of the write is known earlier.\n\n{HOSTILE}\n"),
        parents: vec![rev(15)],
        files: vec![FileStat {
            path: "fs/btrfs/direct-io.c".into(),
            added: Some(4),
            removed: Some(2),
        }],
    }
}

fn attempt(kind: &str, state: &str, observation: Value) -> Attempt {
    serde_json::from_value(json!({
        "id": 116, "kind": kind, "state": state, "epoch": 2, "tree": "demo", "rev": rev(16),
        "suite": (kind == "test").then_some("btrfs/direct-io"),
        "seed": (kind == "test").then_some(1), "worker": "bench-2",
        "stage": (state == "leased").then_some("boot"), "lease_losses": 1, "infra_failures": 1,
        "infra_what": format!("upload: connection reset {HOSTILE}"), "observation": observation,
        "created_at": "2026-11-21T14:05:10Z", "started_at": "2026-11-21T14:05:12Z",
        "ended_at": "2026-11-21T14:06:40Z",
        "stages": [
            {"epoch": 2, "stage": "boot", "duration_ms": 5_100, "ok": true, "ended_at": "2026-11-21T14:06:00Z"},
            {"epoch": 2, "stage": "test", "duration_ms": 12_300, "ok": false, "ended_at": "2026-11-21T14:06:20Z"}],
        "artefacts": [{"name": "bzImage", "sha256": "ab".repeat(32), "bytes": 4_812_800}],
        "logs": ["console"],
    }))
    .unwrap()
}

fn tested() -> Value {
    let run = json!({"image_sha256": "ab".repeat(32), "initramfs_sha256": "cd".repeat(32),
        "cmdline": "console=ttyS0 panic=-1", "qemu_version": "QEMU emulator version 7.2.22",
        "accel": "tcg-exact", "vcpus": 1, "memory_mib": 512, "seed": 1,
        "argv": ["qemu-system-x86_64", "-kernel", "IMAGE", "-initrd", "INITRAMFS", "-append",
                 "console=ttyS0 panic=-1"]});
    json!({"boot": "up", "end": "power-off", "stray_lines": 2, "left": ["mount /mnt/data"],
        "cases": [
            {"case": "aligned-write", "status": "pass", "exit": 0, "duration_ms": 3_200,
             "metrics": [{"name": "writes", "value": 812.5034, "unit": "op/s", "better": "higher"}]},
            {"case": "unaligned-write", "status": "fail", "exit": 1, "duration_ms": 1_750,
             "tail": format!("expected 0x5a at 4096, got 0x00\n{HOSTILE}"), "ktap": [11, 1, 0],
             "dmesg": ["BTRFS warning (device vda): csum failed root 5 ino 257"]}],
        "crashes": [{"kind": "warning", "title": "WARNING in btrfs_dio_end_io", "offset": 412,
            "excerpt": format!("------------[ cut here ]------------\nWARNING: CPU: 0 PID: 71 {HOSTILE}")}],
        "run": run, "console_sha256": "ef".repeat(32)})
}

#[test]
fn an_ended_job_shows_its_evidence() {
    let ended = job(42, "done", culprit(), history(48), 48);
    let html = page(
        "job-done",
        &JobPage::new(&ended, Some(commit()), &[], vec![]),
    );
    assert!(!html.contains("http-equiv=\"refresh\""));
    assert!(html.contains(&rev(16)) && html.contains("99.98 %"));
    assert!(html.contains("good end") && html.contains("3 of 3 runs failed"));
    assert!(html.contains("21 Nov 2026, 14:15 UTC"));
    assert!(html.contains("/attempts/116/log/console?offset=tail&amp;job=42"));
    assert!(html.contains("does not build") && html.contains("reused"));
    assert!(html.contains("--path fs/btrfs --path &#39;it&#39;\\&#39;&#39;s here&#39;"));
    assert!(html.contains("role=\"img\"") && html.contains("class=\"survivors\""));
    assert_eq!(html.matches("class=\"dot ").count(), 8);
    for row in ended.candidates.iter().map(|c| &c.rev[..12]) {
        assert!(
            html.contains(&format!("id=\"r-{row}\"")),
            "dot without a row"
        );
    }
}

#[test]
fn a_running_job_loads_itself_again_and_a_long_range_is_zoomed() {
    let running = job(
        43,
        "running",
        Value::Null,
        {
            let mut all = history(4_800);
            all.push(candidate(1_550, "running", "btrfs: move a check"));
            all
        },
        4_800,
    );
    let html = page("job-running", &JobPage::new(&running, None, &[], vec![]));
    assert!(html.contains("<meta http-equiv=\"refresh\" content=\"5\">"));
    assert!(html.contains("Whole range") && html.contains("Around what is left"));
    assert!(html.contains("about 6 min"));
}

#[test]
fn every_outcome_says_what_to_do_next() {
    let left = json!([{"rev": rev(3), "subject": HOSTILE}, {"rev": rev(4), "subject": "x"}]);
    let outcomes = [
        json!({"outcome": "range", "candidates": left, "confidence": 0.97, "checks": []}),
        json!({"outcome": "not-reproduced", "why": "both ends are good", "checks": []}),
        json!({"outcome": "unresolved", "why": "the evidence contradicts itself"}),
        json!({"outcome": "cancelled"}),
    ];
    for (n, outcome) in outcomes.into_iter().enumerate() {
        let ended = job(50, "done", outcome, history(48), 48);
        let html = page(
            &format!("job-outcome-{n}"),
            &JobPage::new(&ended, None, &[], vec![]),
        );
        assert!(html.contains("<strong>Next.</strong>"));
    }
    let mut queued = job(44, "queued", Value::Null, vec![], 48);
    queued.request.find = firstbad_api::job::Find::Fix;
    let html = page("job-queued", &JobPage::new(&queued, None, &[], vec![]));
    assert!(html.contains("Nothing is tested yet.") && html.contains("--find fix"));
}

#[test]
fn attempts_show_what_they_saw() {
    let test = attempt("test", "done", tested());
    let html = page(
        "attempt-test",
        &AttemptPage::new(&test, Some(HOSTILE.into()), Some(42)),
    );
    assert!(html.contains("WARNING in btrfs_dio_end_io") && html.contains("812.503"));
    assert!(html.contains("KTAP: 11 passed, 1 failed, 0 skipped"));
    assert!(html.contains("-append &#39;console=ttyS0 panic=-1&#39;"));
    assert!(html.contains("log/console?at=412&#38;job=42#here"));
    assert!(html.contains("href=\"/jobs/42\""));
    let bound = "bound to one processor of the host";
    assert!(!html.contains(bound));
    let mut wide = tested();
    let argv = wide["run"]["argv"].as_array_mut().unwrap();
    argv.extend(
        [
            "-device",
            "max-x86_64-cpu,socket-id=0,core-id=1,thread-id=0",
        ]
        .map(Value::from),
    );
    let wide = attempt("test", "done", wide);
    let html = page("attempt-two-vcpus", &AttemptPage::new(&wide, None, None));
    assert!(html.contains(bound));

    let built = json!({"build": "built", "signature": "12".repeat(32), "image_sha256": "ab".repeat(32),
        "config_sha256": "cd".repeat(32), "release": "6.12.57-firstbad", "objects_built": 1_204,
        "lost_symbols": ["CONFIG_KASAN: wanted y, got n"], "ccache_hits": 1_188});
    let html = page(
        "attempt-build",
        &AttemptPage::new(&attempt("build", "done", built), None, None),
    );
    assert!(html.contains("6.12.57-firstbad") && html.contains("wanted y, got n"));

    let failed = json!({"build": "failed", "stage": "build", "first_error": HOSTILE});
    let html = page(
        "attempt-failed",
        &AttemptPage::new(&attempt("build", "done", failed), None, None),
    );
    assert!(html.contains("never bad") && html.contains("&#60;script"));

    let waiting = attempt("test", "leased", Value::Null);
    let html = page("attempt-leased", &AttemptPage::new(&waiting, None, None));
    assert!(html.contains("http-equiv=\"refresh\"") && html.contains("Nothing yet."));
    let strange = attempt("test", "done", json!({"from": "tomorrow"}));
    let html = page("attempt-strange", &AttemptPage::new(&strange, None, None));
    assert!(html.contains("&#34;tomorrow&#34;"));
}

#[test]
fn a_log_window_links_its_neighbours_and_its_lines() {
    let test = attempt("test", "done", tested());
    let log = format!(
        "[    0.000000] Linux version\r\n\x1b[31m[    1.2] BUG: {HOSTILE}\x1b[0m\n[    2.0] done\n"
    );
    let bytes = log.repeat(20);
    let window = Window::forward(bytes.as_bytes(), 0, 1_000_000);
    let end = window.end;
    let html = page("log", &LogPage::new(&test, "console", window, 1_000_000));
    assert!(html.contains(&format!("href=\"?offset={end}\"")));
    assert!(html.contains("id=\"b0\"") && html.contains("class=\"l err\""));
    assert!(html.contains("/attempts/116/log/console/raw") && !html.contains('\u{1b}'));
    let empty = LogPage::new(&test, "console", Window::forward(b"", 0, 0), 0);
    assert!(page("log-empty", &empty).contains("The log is empty"));
}

#[test]
fn trees_and_workers_say_how_they_are() {
    let tree: Tree = serde_json::from_value(
        json!({"id": 1, "name": "demo", "url": "https://example.org/linux.git",
        "created_at": "2026-11-21T12:00:00Z", "fetched_at": "2026-11-21T14:00:00Z",
        "fetch_error": format!("could not resolve host {HOSTILE}"), "refs": 814}),
    )
    .unwrap();
    page(
        "trees",
        &TreesPage {
            trees: vec![tree.clone()],
        },
    );
    assert!(page("trees-empty", &TreesPage { trees: vec![] }).contains("firstbad tree add"));
    let refs = vec![RefInfo {
        name: "v6.12".into(),
        rev: rev(0),
        when: 1_760_000_000,
        subject: HOSTILE.into(),
    }];
    let html = page("tree", &TreePage { tree, refs });
    assert!(html.contains("813 older ones") && html.contains("9 Oct 2025, 08:53 UTC"));

    let worker = |live: bool| -> Worker {
        serde_json::from_value(json!({"worker": uuid::Uuid::nil(), "name": "bench-2", "caps": {
            "arch": "x86_64", "cpus": 2, "memory_mib": 7_960, "accel": "tcg",
            "accel_why": "/dev/kvm opens but the canary kernel does not boot: no byte in 20 s",
            "toolchain": "gcc (Debian 12.2.0-14) 12.2.0; GNU ld 2.40",
            "qemu_version": "QEMU emulator version 7.2.22", "toolset": "00", "kinds": ["build", "test"]},
            "registered_at": "2026-11-21T12:00:00Z", "seen_at": "2026-11-21T14:00:00Z", "live": live,
            "doing": live.then_some("attempt 116: boot"), "done": 57, "infrastructure_failures": 1})).unwrap()
    };
    let html = page(
        "workers",
        &WorkersPage {
            workers: vec![worker(true), worker(false)],
        },
    );
    assert!(html.contains("canary kernel does not boot") && html.contains("1 failure of ours"));
    assert!(page("workers-empty", &WorkersPage { workers: vec![] }).contains("firstbad worker"));
    page("help", &HelpPage);
    let error = ErrorPage {
        status: 404,
        title: "Not found".into(),
        detail: HOSTILE.into(),
        next: "Go on.".into(),
        back: Some(7),
    };
    assert!(page("error", &error).contains("Go on."));
}

/// The pages over HTTP with a database that is not there.
async fn get(path: &str) -> (StatusCode, HeaderMap, String) {
    ask(Request::get(path), None).await
}

async fn ask(
    request: axum::http::request::Builder,
    cookie: Option<&str>,
) -> (StatusCode, HeaderMap, String) {
    let pool = sqlx::postgres::PgPoolOptions::new()
        .acquire_timeout(std::time::Duration::from_millis(200))
        .connect_lazy("postgres://127.0.0.1:1/none")
        .unwrap();
    let app = App::new(
        pool,
        uuid::Uuid::nil(),
        tempfile::tempdir().unwrap().path().to_owned(),
        Arc::new(Suites::load().unwrap()),
        Timing::DRILL,
    );
    let router = web::routes(&app).into_router();
    let router = router.fallback(web::not_found).with_state(app);
    let request = request.header("cookie", cookie.unwrap_or_default());
    let request = request.body(Body::empty()).unwrap();
    let response = router.oneshot(request).await.unwrap();
    let (head, body) = response.into_parts();
    let body = to_bytes(body, 1 << 20).await.unwrap();
    (
        head.status,
        head.headers,
        String::from_utf8_lossy(&body).into_owned(),
    )
}

#[tokio::test]
async fn every_answer_carries_the_policy() {
    for path in [
        "/help",
        "/",
        "/nowhere",
        "/jobs/abc",
        "/static/none.css",
        "/?state=odd",
    ] {
        let (_, headers, _) = get(path).await;
        let policy = headers["content-security-policy"].to_str().unwrap();
        assert!(policy.starts_with("default-src 'none';"), "{path}");
        assert!(
            !policy.contains("unsafe") && policy.contains("script-src 'self';"),
            "{path}"
        );
        assert_eq!(headers["x-content-type-options"], "nosniff", "{path}");
    }
}

#[tokio::test]
async fn a_missing_database_is_told_as_a_page() {
    let (status, headers, body) = get("/jobs/7").await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(
        headers["content-type"]
            .to_str()
            .unwrap()
            .starts_with("text/html")
    );
    assert!(body.contains("few seconds") && !body.contains("127.0.0.1"));
    // Who runs no script sees the job again once it is back.
    assert_eq!(headers["refresh"], "10");
    for path in ["/help", "/nowhere", "/jobs/x"] {
        let (_, headers, _) = get(path).await;
        assert!(!headers.contains_key("refresh"), "{path}");
    }
    let session = format!("firstbad={}", "0".repeat(64));
    let (status, headers, _) = ask(Request::get("/workers"), Some(&session)).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(headers["refresh"], "10", "before it is known who asks");
    let (status, headers, _) = ask(Request::post("/jobs/7/cancel"), Some(&session)).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(!headers.contains_key("refresh"), "nothing is sent twice");
}

#[tokio::test]
async fn bad_addresses_say_what_to_do() {
    let odd = "/?state=%3Cscript%3E";
    for (path, want) in [
        ("/jobs/abc", 404),
        ("/attempts/1e9", 404),
        ("/nowhere", 404),
        (odd, 422),
    ] {
        let (status, _, body) = get(path).await;
        assert_eq!(status.as_u16(), want, "{path}");
        assert!(
            body.contains("<h1>") && !body.contains("<script>"),
            "{path}"
        );
    }
}

#[tokio::test]
async fn static_files_are_found_by_content_and_cached() {
    let (_, _, help) = get("/help").await;
    let from = help.find("/static/site.").unwrap();
    let url = &help[from..from + help[from..].find('"').unwrap()];
    let (status, headers, body) = get(url).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(headers["content-type"], "text/css; charset=utf-8");
    assert!(
        headers["cache-control"]
            .to_str()
            .unwrap()
            .contains("immutable")
    );
    assert!(body.contains("light-dark("));
    assert_eq!(get("/static/site.css").await.0, StatusCode::NOT_FOUND);
}

/// Every page reachable by links from `from`, fetched once; all must answer 200.
async fn crawl(server: &TestServer, from: &str) -> BTreeMap<String, String> {
    let mut pages = BTreeMap::new();
    let mut open = vec![from.to_owned()];
    while let Some(path) = open.pop() {
        if pages.contains_key(&path) {
            continue;
        }
        let answer = server.http.get(format!("{}{path}", server.url));
        let answer = answer.send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK, "{path}");
        // What is for programs is no page.
        let policy = answer.headers().contains_key("content-security-policy");
        assert!(policy || path.starts_with("/api/v1/"), "{path}");
        let html = answer.text().await.unwrap();
        for link in html.split("href=\"").skip(1) {
            let link = link.split('"').next().unwrap().split('#').next().unwrap();
            let link = link.replace("&amp;", "&").replace("&#38;", "&");
            match link.chars().next() {
                Some('/') => open.push(link),
                Some('?') => open.push(format!("{}{link}", path.split('?').next().unwrap())),
                _ => {}
            }
        }
        pages.insert(path, html);
    }
    pages
}

#[tokio::test]
async fn every_link_of_a_real_job_leads_somewhere() {
    let server = TestServer::start().await;
    let revs = server.tree("line", 12).await;
    let job = server.submit(&request("line", &revs[0], &revs[11])).await;
    let mut worker = server.register().await;
    let bad = |rev: &str| revs.iter().position(|r| r == rev).unwrap() >= 7;
    let seen = |rev: &str, _| if bad(rev) { Seen::Fails } else { Seen::Clean };
    let ended = worker.work(job, seen).await;
    let tested: Vec<i64> = ended.candidates.iter().filter_map(|c| c.build).collect();
    assert!(!tested.is_empty());
    let log: String = (0..5_000).map(|n| format!("CC file-{n}.o\n")).collect();
    for attempt in &tested {
        write_log(&server, *attempt, "build", &log).await;
    }
    for test in ended.candidates.iter().flat_map(|c| &c.tests) {
        write_log(&server, test.attempt, "console", "").await;
    }
    let pages = crawl(&server, "/").await;
    let page = &pages[&format!("/jobs/{job}")];
    assert!(page.contains(&revs[7]) && page.contains("culprit found"));
    let report = &pages[&format!("/jobs/{job}/report")];
    assert!(report.starts_with("Subject: [REGRESSION]"));
    assert_eq!(
        pages[&format!("/attempts/{}/log/build/raw", tested[0])],
        log
    );
    let windows = pages.iter().filter(|(path, _)| {
        path.starts_with(&format!("/attempts/{}/log/build?", tested[0]))
            && path.contains("offset=")
            && !path.contains("tail")
    });
    let lines: usize = windows
        .map(|(_, html)| html.matches("class=\"l ").count())
        .sum();
    assert!(lines >= 5_000, "{lines} lines in all windows");
}

async fn write_log(server: &TestServer, attempt: i64, name: &str, text: &str) {
    let mut conn = server.app.pool.acquire().await.unwrap();
    let row = db::attempt::find(&mut conn, attempt).await.unwrap();
    let epoch = row.unwrap().epoch;
    let fence = Fence {
        attempt,
        epoch,
        incarnation: server.app.incarnation,
        worker: uuid::Uuid::nil(),
    };
    db::attempt::put_log(&mut conn, &fence, name).await.unwrap();
    let store = &server.app.store;
    let written = store.append_log(attempt, epoch, name, 0, text.as_bytes());
    written.await.unwrap();
}
