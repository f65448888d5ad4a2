//! The script of docs/ci.sh, run against a server: one job, a signed answer, the commit.

#![allow(clippy::unwrap_used)]

#[path = "../../server/tests/common/mod.rs"]
mod common;

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use common::{Seen, TestServer};
use firstbad_server::tasks::{advance_jobs, deliver};
use serde_json::Value;

fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

#[tokio::test]
async fn the_script_of_the_documentation_has_one_job_and_reads_its_culprit() {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/ci.sh");
    let text = std::fs::read_to_string(script).unwrap();
    let lines = text.lines().filter(|l| !l.trim_start().starts_with('#'));
    assert!(lines.count() <= 15);

    let server = TestServer::start().await;
    let revs = server.tree("line", 12).await;
    let program = Path::new(env!("CARGO_BIN_EXE_firstbad"));
    let here = tempfile::tempdir().unwrap();
    let listen = format!("127.0.0.1:{}", free_port());
    let path = format!(
        "{}:{}",
        program.parent().unwrap().display(),
        std::env::var("PATH").unwrap()
    );
    let mut run = tokio::process::Command::new(script);
    run.current_dir(here.path())
        .env_clear()
        .envs([
            ("PATH", path.as_str()),
            ("FIRSTBAD_SERVER", &server.url),
            ("FIRSTBAD_TOKEN", &server.token),
            ("TREE", "line"),
            ("GOOD", &revs[0]),
            ("BAD", &revs[11]),
            ("SUITE", "btrfs/direct-io"),
            ("RUN", "4711"),
            ("CALLBACK", &format!("http://{listen}/")),
            ("LISTEN", &listen),
        ])
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let script = tokio::spawn(async move { run.output().await.unwrap() });

    let mut worker = server.register().await;
    let seen = |rev: &str, _: u64| match revs.iter().position(|r| r == rev).unwrap_or(0) {
        at if at >= 5 => Seen::Fails,
        _ => Seen::Clean,
    };
    for _ in 0..600 {
        if script.is_finished() {
            break;
        }
        advance_jobs::tick(&server.app).await.unwrap();
        worker.step(&seen).await;
        deliver::tick(&server.app).await.unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(script.is_finished(), "the script goes on for ever");
    let ended = script.await.unwrap();
    let (said, complaints) = (
        String::from_utf8_lossy(&ended.stdout),
        String::from_utf8_lossy(&ended.stderr),
    );
    assert!(ended.status.success(), "{said}{complaints}");
    assert!(
        said.contains(&revs[5]) && said.contains("culprit"),
        "{said}"
    );
    let event = std::fs::read_to_string(here.path().join("event.json")).unwrap();
    let event: Value = serde_json::from_str(&event).unwrap();
    assert_eq!(event["type"], "bisection.completed");
    assert_eq!(event["data"]["outcome"]["rev"], revs[5]);
    let jobs: i64 = sqlx::query_scalar("SELECT count(*) FROM job")
        .fetch_one(&server.app.pool)
        .await
        .unwrap();
    assert_eq!(jobs, 1);
}
