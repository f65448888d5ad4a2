//! What docs/ci.md and docs/ci.sh say, run against a server.

#![allow(clippy::unwrap_used)]

#[path = "../../server/tests/it/common/mod.rs"]
mod common;

use std::path::Path;
use std::process::{Output, Stdio};
use std::time::Duration;

use common::{FakeWorker, Seen, TestServer, git};
use firstbad_server::tasks::{advance_jobs, deliver, watch};
use serde_json::{Value, json};
use tokio::process::Command;

fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// A program in a directory of its own, with our command on its path and nothing else from here.
fn runner(program: &str, here: &Path) -> Command {
    let ours = Path::new(env!("CARGO_BIN_EXE_firstbad")).parent().unwrap();
    let path = format!("{}:{}", ours.display(), std::env::var("PATH").unwrap());
    let mut run = Command::new(program);
    run.current_dir(here)
        .env_clear()
        .env("PATH", path)
        .stdin(Stdio::null())
        .kill_on_drop(true);
    run
}

/// Lets a program end while the server and a worker do what it asks for; what it wrote.
async fn ended(mut run: Command, worker: &mut FakeWorker<'_>, revs: &[String]) -> (Output, String) {
    let script = tokio::spawn(async move { run.output().await.unwrap() });
    let seen = |rev: &str, _: u64| match revs.iter().position(|r| r == rev).unwrap_or(0) {
        at if at >= 5 => Seen::Fails,
        _ => Seen::Clean,
    };
    let server = worker.server;
    for _ in 0..600 {
        if script.is_finished() {
            break;
        }
        watch::tick(&server.app).await.unwrap();
        advance_jobs::tick(&server.app).await.unwrap();
        worker.step(&seen).await;
        deliver::tick(&server.app).await.unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(script.is_finished(), "it goes on for ever");
    let output = script.await.unwrap();
    let said = [&output.stdout[..], &output.stderr[..]].concat();
    (output, String::from_utf8(said).unwrap())
}

#[tokio::test]
async fn the_script_of_the_documentation_has_one_job_and_reads_its_culprit() {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/ci.sh");
    let text = std::fs::read_to_string(script).unwrap();
    let lines = text.lines().filter(|l| !l.trim_start().starts_with('#'));
    assert!(lines.count() <= 15);

    let server = TestServer::start().await;
    let revs = server.tree("line", 12).await;
    let here = tempfile::tempdir().unwrap();
    let listen = format!("127.0.0.1:{}", free_port());
    let mut run = runner(script, here.path());
    run.envs([
        ("FIRSTBAD_SERVER", server.url.as_str()),
        ("FIRSTBAD_TOKEN", &server.token),
        ("TREE", "line"),
        ("GOOD", &revs[0]),
        ("BAD", &revs[11]),
        ("SUITE", "btrfs/direct-io"),
        ("RUN", "4711"),
        ("CALLBACK", &format!("http://{listen}/")),
        ("LISTEN", &listen),
    ]);
    let mut worker = server.register().await;
    let (output, said) = ended(run, &mut worker, &revs).await;
    assert!(output.status.success(), "{said}");
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

const DOCUMENT: &str = include_str!("../../docs/ci.md");

/// A file of a CI: what its shell runs, and the variables that it sets.
#[derive(Debug, Default)]
struct Snippet {
    runs: Vec<String>,
    sets: Vec<(String, String)>,
}

fn snippets() -> Vec<Snippet> {
    let blocks = DOCUMENT.split("```yaml\n").skip(1);
    let blocks = blocks.map(|block| block.split("```").next().unwrap());
    blocks.map(snippet).collect()
}

fn snippet(block: &str) -> Snippet {
    let (mut snippet, mut script) = (Snippet::default(), false);
    for line in block.lines().map(str::trim) {
        let item = line.strip_prefix("- ").filter(|_| script);
        if let Some(run) = line.strip_prefix("- run: ").or(item) {
            snippet.runs.push(run.to_owned());
        } else if let Some((name, value)) = line.split_once(": ")
            && name.bytes().all(|b| b.is_ascii_uppercase() || b == b'_')
        {
            snippet.sets.push((name.to_owned(), value.to_owned()));
        }
        script |= line == "script:";
    }
    snippet
}

/// What stands between two of these.
fn between(mark: &str) -> Vec<&'static str> {
    let parts = DOCUMENT.split(mark).enumerate();
    parts.filter(|(n, _)| n % 2 == 1).map(|(_, p)| p).collect()
}

#[tokio::test]
async fn what_the_documentation_has_a_ci_run_is_judged_by_its_commit() {
    let server = TestServer::start().await;
    let revs = server.tree("linux", 8).await;
    let repo = server.dir.path().join("linux");
    git(&repo, &["branch", "linux-6.18"]);
    let here = tempfile::tempdir().unwrap();
    let mut worker = server.register().await;
    let shell = |line: &str| {
        let mut run = runner("bash", here.path());
        run.args(["-eu", "-c", line]);
        run.env("FIRSTBAD_SERVER", &server.url);
        run.env("FIRSTBAD_TOKEN", &server.token);
        run
    };

    // The rule.
    let indented = DOCUMENT.lines().filter_map(|l| l.strip_prefix("    "));
    let commands: Vec<&str> = indented.filter(|l| l.starts_with("firstbad ")).collect();
    assert_eq!(commands.len(), 2, "{commands:?}");
    let mut said = String::new();
    for line in commands {
        let (output, more) = ended(shell(line), &mut worker, &revs).await;
        assert!(output.status.success(), "{line}: {more}");
        said += &more;
    }
    let addresses = between("`")
        .into_iter()
        .filter(|c| c.starts_with("/api/v1/hooks/"));
    let addresses: Vec<String> = addresses.map(|a| a.replace("RULE", "1")).collect();
    assert_eq!(addresses.len(), 3);
    for address in addresses {
        assert!(said.contains(&address), "{address}: {said}");
    }

    // A good and a bad commit, as each service names them.
    let services = [
        ["GITHUB_REF_NAME", "GITHUB_SHA"],
        ["CI_COMMIT_REF_NAME", "CI_COMMIT_SHA"],
    ];
    let snippets = snippets();
    assert_eq!(snippets.len(), services.len());
    for (n, (snippet, [name, sha])) in snippets.iter().zip(services).enumerate() {
        let [line] = &snippet.runs[..] else {
            panic!("{snippet:?}");
        };
        let set = |name: &str| snippet.sets.iter().find(|(n, _)| n == name);
        let (_, address) = set("FIRSTBAD_SERVER").unwrap();
        assert_eq!(address, "https://bisect.example.org");
        // The others have it from outside.
        let token = set("FIRSTBAD_TOKEN").map(|(_, value)| value.as_str());
        assert_eq!(token, (n == 0).then_some("${{ secrets.FIRSTBAD_TOKEN }}"));
        for (rev, code) in [(&revs[1 + n], 0), (&revs[5 + n], 1)] {
            let mut run = shell(line);
            run.env(name, "linux-6.18").env(sha, rev);
            let (output, said) = ended(run, &mut worker, &revs).await;
            assert_eq!(output.status.code(), Some(code), "{line}: {said}");
        }
    }

    // What the text names.
    let commands = between("`")
        .into_iter()
        .filter(|c| c.starts_with("firstbad "));
    let mut lines: Vec<String> = commands
        .filter(|c| c.contains(' ') && *c != "firstbad rule add")
        .map(str::to_owned)
        .collect();
    let flags = between("`")
        .into_iter()
        .find(|c| c.starts_with("--status "));
    lines.push(format!("firstbad rule change RULE {}", flags.unwrap()));
    assert_eq!(lines.len(), 3, "{lines:?}");
    std::fs::write(here.path().join("FILE"), "a token\n").unwrap();
    for line in lines {
        let run = shell(&line.replace("RULE", "1"));
        let (output, said) = ended(run, &mut worker, &revs).await;
        assert!(output.status.success(), "{line}: {said}");
    }
    let body = between("`")
        .into_iter()
        .find(|c| c.starts_with("{\"ref\""))
        .unwrap();
    let body: Value = serde_json::from_str(&body.replace('…', &revs[3])).unwrap();
    for body in [body, json!({})] {
        let answer = server.post("/triggers/1", &body).await;
        assert_eq!(answer.status(), 202, "{body}");
    }
}
