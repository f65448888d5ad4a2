//! What people do with the pages, in a real browser, of a server whose worker answers at once.
#![allow(clippy::unwrap_used)]

#[path = "../../server/tests/it/common/mod.rs"]
mod common;

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use common::browser::{PASSWORD, account};
use common::{FakeWorker, REVERTED, Seen, TestServer, git, request};
use firstbad_api::lease::{Lease, Work};
use firstbad_api::limits;
use firstbad_server::tasks;
use serde_json::json;

/// Commits of the tree, and where it breaks.
const COMMITS: usize = 1000;
const BREAKS: usize = 713;
/// Seeds of jobs that are to be watched: each of their runs writes a few lines.
const WATCHED: [std::ops::Range<u64>; 2] = [100..300, 500..700];
/// Seeds of a job whose first run is followed while it writes.
const LONG: std::ops::Range<u64> = 900..1000;
/// From one line to the next.
const PACE: Duration = Duration::from_millis(300);
/// What one line of the long log says.
const LINE: &str = "fs/btrfs/direct-io.c:812: error: too few arguments to function 'find_me'";

/// A line of commits; each changes a file of its own.
fn write_history(repo: &Path) -> Vec<String> {
    std::fs::create_dir_all(repo).unwrap();
    git(repo, &["init", "-q", "-b", "main"]);
    let mut stream = String::new();
    for n in 0..COMMITS {
        let message = format!("btrfs: step {n} of a thousand");
        stream += "commit refs/heads/main\n";
        stream += "committer A U Thor <author@example.org> 1700000000 +0000\n";
        stream += &format!("data {}\n{message}\n", message.len());
        let kconfig = "config BTRFS_FS\n\tbool \"b\"\n";
        let size = kconfig.len();
        stream += &format!("M 100644 inline Kconfig\ndata {size}\n{kconfig}");
        stream += &format!("M 100644 inline f{}\ndata 5\n{n:04}\n\n", n % 9);
    }
    let mut child = Command::new("git")
        .args(["fast-import", "--quiet"])
        .current_dir(repo)
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(stream.as_bytes()).unwrap();
    drop(stdin);
    assert!(child.wait().unwrap().success());
    git(repo, &["reset", "-q", "--hard", "main"]);
    let revs = git(repo, &["rev-list", "--reverse", "main"]);
    revs.lines().map(str::to_owned).collect()
}

/// What git writes of a bisection that has begun by hand.
fn bisect_log(repo: &Path, revs: &[String]) -> String {
    for step in [
        vec!["bisect", "start"],
        vec!["bisect", "bad", &revs[COMMITS - 1]],
        vec!["bisect", "good", &revs[0]],
        vec!["bisect", "good"],
        vec!["bisect", "bad"],
    ] {
        git(repo, &step);
    }
    git(repo, &["bisect", "log"])
}

/// 64 MiB of what a build says, with one other line behind its middle.
fn long_log() -> Vec<u8> {
    let whole = usize::try_from(limits::LOG_HEAD_BYTES).unwrap();
    let mut log = Vec::with_capacity(whole + 100);
    log.extend(b"firstbad: line 0123\nfirstbad: configure\n");
    log.extend(b"#\n# configuration written to .config\n#\nfirstbad: build\n");
    let mut said = false;
    for n in 0.. {
        if !said && log.len() > whole / 5 * 3 {
            said = true;
            writeln!(log, "{LINE}").unwrap();
        }
        writeln!(log, "  CC      drivers/net/ethernet/vendor/chip/unit_{n}.o").unwrap();
        if log.len() >= whole {
            break;
        }
    }
    log.truncate(whole);
    log
}

/// Sends the long log with the first build. Returns its attempt.
async fn first_build(worker: &mut FakeWorker<'_>) -> i64 {
    tasks::advance_jobs::tick(&worker.server.app).await.unwrap();
    let lease: Lease = worker.lease().await.unwrap();
    let Work::Build(work) = &lease.work else {
        panic!("{lease:?}");
    };
    let log: &'static [u8] = Box::leak(long_log().into_boxed_slice());
    let mut offset = 0;
    for part in log.chunks(limits::CHUNK_BYTES) {
        assert!(worker.put_log(&lease, "build", offset, part).await);
        offset += part.len() as u64;
    }
    let image = format!("image-of-{}", work.rev);
    let observation = common::build(&Seen::Clean, &work.rev, image);
    let finish = firstbad_api::observation::Finish::Build { observation };
    assert!(worker.finish(&lease, finish).await.is_success());
    lease.fence.attempt
}

/// Works for ever; a run of a job that is watched takes its time, and writes while it runs.
async fn work(worker: &mut FakeWorker<'_>, oracle: impl Fn(&str, u64) -> Seen) {
    loop {
        let app = &worker.server.app;
        tasks::advance_jobs::tick(app).await.unwrap();
        tasks::leads_on::tick(app).await.unwrap();
        let Some(lease) = worker.lease().await else {
            continue;
        };
        let lines = match &lease.work {
            Work::Test(work) if WATCHED.iter().any(|seeds| seeds.contains(&work.seed)) => 4,
            Work::Test(work) if LONG.contains(&work.seed) => 200,
            _ => 0,
        };
        if write_console(worker, &lease, lines).await {
            // The job may be cancelled at any moment.
            let status = worker.answer(&lease, &oracle).await;
            assert!(lines > 0 || status.is_success(), "{status}");
        }
    }
}

/// Writes a console that fills more than a window at once, and then line after line. Whether the lease
/// still holds.
async fn write_console(worker: &FakeWorker<'_>, lease: &Lease, lines: usize) -> bool {
    let mut offset = 0;
    for n in 0..lines {
        let text = match n {
            0 => "the kernel boots\n".repeat(120) + "firstbad: case eof starts\n",
            n => format!("line {n} of the run\n"),
        };
        let text: &'static [u8] = Box::leak(text.into_bytes().into_boxed_slice());
        if !worker.put_log(lease, "console", offset, text).await {
            return false;
        }
        offset += text.len() as u64;
        tokio::time::sleep(PACE).await;
    }
    true
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn people_get_what_they_came_for() {
    let server = TestServer::start().await;
    account(&server, "alice", "submitter").await;
    let repo = server.dir.path().join("line");
    let revs = write_history(&repo);
    let log = bisect_log(&repo, &revs);
    let body = json!({ "name": "line", "url": repo.to_str().unwrap() });
    assert!(server.post("/trees", &body).await.status().is_success());
    let oracle = |rev: &str, _: u64| match revs.iter().position(|r| r == rev) {
        Some(at) if at >= BREAKS => Seen::Failing(&["eof"]),
        None => {
            assert_eq!(rev, REVERTED);
            Seen::Failing(&[])
        }
        Some(_) => Seen::Failing(&[]),
    };
    let mut worker = server.register().await;
    let mut first = request("line", &revs[0], &revs[COMMITS - 1]);
    first["seed"] = json!(9);
    server.submit(&first).await;
    let long = first_build(&mut worker).await;
    for middle in [600, 650] {
        let survey = json!({
            "tree": "line", "releases": [revs[0], revs[middle], revs[COMMITS - 1]],
            "suites": ["btrfs/direct-io"], "runs": 1,
        });
        assert!(server.post("/surveys", &survey).await.status().is_success());
    }
    worker.work_all(oracle).await;

    let dir = server.dir.path();
    std::fs::write(dir.join("password"), PASSWORD).unwrap();
    std::fs::write(dir.join("bisect.log"), log).unwrap();
    let mut browser = tokio::process::Command::new(env!("CARGO_BIN_EXE_firstbad-browser"));
    browser
        .current_dir(dir)
        .args(["flows", "--server", &server.url, "--user", "alice"])
        .args(["--password-file", "password", "--bisect-log", "bisect.log"])
        .args([
            "--tree",
            "line",
            "--good",
            &revs[0],
            "--bad",
            &revs[COMMITS - 1],
        ])
        .args(["--suite", "btrfs/direct-io"])
        .args(["--survey", "/surveys/1", "/surveys/2"])
        .args([
            "--log",
            &format!("/attempts/{long}/log/build"),
            "--line",
            LINE,
        ]);
    if let Ok(out) = std::env::var("FIRSTBAD_PAGES") {
        browser.args(["--out", &out]);
    }
    tokio::select! {
        done = browser.status() => assert!(done.unwrap().success()),
        () = work(&mut worker, oracle) => {}
    }
}
