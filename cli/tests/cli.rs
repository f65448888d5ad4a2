//! The program as a person or a script meets it: exit codes, bad input, restarts.

#![allow(clippy::unwrap_used)]

mod stub;

use std::process::{Command, Output};

use serde_json::json;
use stub::Stub;

/// Runs the program with an empty environment of ours.
fn firstbad(server: &str, args: &[&str]) -> Output {
    let home = tempfile::tempdir().unwrap();
    Command::new(env!("CARGO_BIN_EXE_firstbad"))
        .args(args)
        .env_clear()
        .env("FIRSTBAD_DATA", home.path())
        .env("FIRSTBAD_SERVER", server)
        .output()
        .unwrap()
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

fn err(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// An address nobody listens on.
fn nobody() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

const SUBMIT: [&str; 9] = [
    "submit",
    "--tree",
    "linux",
    "--good",
    "v1",
    "--bad",
    "v2",
    "--suite",
    "btrfs/smoke",
];

fn submit(more: &[&'static str]) -> Vec<&'static str> {
    SUBMIT.iter().chain(more).copied().collect()
}

#[test]
fn wrong_use_is_64() {
    let server = nobody();
    for args in [
        &[][..],
        &["frobnicate"],
        &["submit"],
        &["watch", "not-a-number"],
        &["watch", "0"],
        &["cancel", "http://127.0.0.1:1/trees/3"],
        &["workers", "--server", "ftp://x"],
        &["jobs", "--answer"],
    ] {
        let output = firstbad(&server, args);
        assert_eq!(code(&output), 64, "{args:?}: {}", err(&output));
        assert!(!output.stderr.is_empty(), "{args:?}");
    }
}

#[test]
fn help_and_version_are_0() {
    for args in [["--help"], ["--version"]] {
        assert_eq!(code(&firstbad("http://127.0.0.1:1", &args)), 0);
    }
}

#[test]
fn a_missing_input_file_is_66_and_named() {
    let output = firstbad(&nobody(), &submit(&["--fragment", "/no/such/fragment"]));
    assert_eq!(code(&output), 66);
    assert!(
        err(&output).contains("/no/such/fragment"),
        "{}",
        err(&output)
    );
    let output = firstbad(&nobody(), &["workers", "--token-file", "/no/such/token"]);
    assert_eq!(code(&output), 66);
}

#[test]
fn nobody_there_is_69() {
    let server = nobody();
    for args in [&["workers"][..], &["report", "1"], &SUBMIT] {
        let output = firstbad(&server, args);
        assert_eq!(code(&output), 69, "{}", err(&output));
        assert!(err(&output).contains(&server), "{}", err(&output));
    }
}

#[test]
fn a_refusal_is_65_and_names_the_field() {
    let stub = Stub::start();
    stub.problem(
        "POST /api/v1/jobs",
        422,
        "/good/0",
        "v1 is not an ancestor of v2; their merge base is v0",
    );
    let output = firstbad(&stub.url, &SUBMIT);
    assert_eq!(code(&output), 65);
    assert_eq!(
        err(&output),
        "firstbad: good[0]: v1 is not an ancestor of v2; their merge base is v0\n"
    );
    assert!(output.stdout.is_empty());
}

#[test]
fn an_unaccepted_token_says_how_to_name_one() {
    let stub = Stub::start();
    stub.problem("POST /api/v1/jobs/3/cancel", 401, "", "a token is needed");
    let output = firstbad(&stub.url, &["cancel", "3"]);
    assert_eq!(code(&output), 64);
    assert!(err(&output).contains("--token-file"), "{}", err(&output));
}

#[test]
fn submit_sends_key_token_and_body() {
    let stub = Stub::start();
    stub.answer(
        "POST /api/v1/jobs",
        json!({"id": 7, "url": "/jobs/7", "created": true}),
    );
    let dir = tempfile::tempdir().unwrap();
    let token = dir.path().join("token");
    std::fs::write(&token, "secret\n").unwrap();
    let mut args = submit(&["--idempotency-key", "k1", "--case", "a"]);
    let token = token.display().to_string();
    args.extend(["--token-file", &token]);
    let output = firstbad(&stub.url, &args);
    assert_eq!(code(&output), 0, "{}", err(&output));
    assert_eq!(out(&output), format!("job 7: {}/jobs/7\n", stub.url));
    let seen = stub.seen();
    assert_eq!(seen[0].token.as_deref(), Some("Bearer secret"));
    assert_eq!(seen[0].key.as_deref(), Some("k1"));
    assert_eq!(seen[0].body["cases"], json!(["a"]));
    assert_eq!(seen[0].body["good"], json!(["v1"]));
}

#[test]
fn a_series_and_two_configurations_are_written_before_they_are_searched() {
    let stub = Stub::start();
    let commit = |n: u8| json!({"rev": n.to_string().repeat(40), "subject": format!("step {n}")});
    let history = json!({"base": "b".repeat(40), "tip": "2".repeat(40),
                         "commits": [commit(1), commit(2)], "reference": "refs/firstbad/x"});
    stub.answer("POST /api/v1/trees/linux/series", history.clone());
    stub.answer("POST /api/v1/trees/linux/configs", history);
    stub.answer(
        "POST /api/v1/jobs",
        json!({"id": 7, "url": "/jobs/7", "created": true}),
    );
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let (mbox, good, bad) = (file("m", "mails"), file("g", "A"), file("b", "B"));
    let run = |more: &[&str]| {
        let base = ["submit", "--tree", "linux", "--suite", "s"];
        let args: Vec<&str> = base.iter().chain(more).copied().collect();
        firstbad(&stub.url, &args)
    };
    let output = run(&["--series", &mbox, "--at", "v1", "--squash", "--two-point"]);
    assert_eq!(code(&output), 0, "{}", err(&output));
    let lines: Vec<String> = out(&output).lines().map(String::from).collect();
    assert_eq!(lines[..2], ["111111111111 step 1", "222222222222 step 2"]);
    assert!(lines[2].starts_with("job 7"), "{lines:?}");
    let output = run(&[
        "--config-good",
        &good,
        "--config-bad",
        &bad,
        "--at",
        "v1",
        "--json",
    ]);
    assert_eq!(code(&output), 0, "{}", err(&output));
    assert!(!out(&output).contains("step 1"), "{}", out(&output));
    let bodies: Vec<_> = stub.seen().into_iter().map(|s| s.body).collect();
    assert_eq!(
        bodies[0],
        json!({"base": "v1", "mbox": "mails", "squash": true})
    );
    assert_eq!(bodies[1]["good"], json!(["b".repeat(40)]));
    assert_eq!(bodies[1]["bad"], json!("2".repeat(40)));
    assert_eq!(bodies[1]["two_point"], json!(true));
    assert!(bodies[1]["title"].as_str().unwrap().contains("on v1"));
    assert_eq!(bodies[2], json!({"rev": "v1", "good": "A", "bad": "B"}));
    assert_eq!(
        bodies[3]["config"]["base"],
        json!({"tree": ".firstbad/config"})
    );
    assert!(bodies[3].get("two_point").is_none());

    for (more, said) in [
        (&["--series", &mbox][..], "--at"),
        (&["--series", &mbox, "--at", "v1", "--good", "v0"], "--good"),
        (&["--series", &mbox, "--at", "v1", "--bad", "v0"], "--bad"),
        (&["--config-good", &good, "--at", "v1"], "--config-bad"),
        (
            &[
                "--config-good",
                &good,
                "--config-bad",
                &bad,
                "--at",
                "v1",
                "--base",
                "defconfig",
            ],
            "--base",
        ),
        (&["--good", "v0", "--bad", "v1", "--squash"], "--good"),
        (
            &["--good", "v0", "--bad", "v1", "--config-bad", &bad],
            "--good",
        ),
        (
            &["--good", "v0", "--bad", "v1", "--two-point", "--path", "fs"],
            "--path",
        ),
        (&["--good", "v0", "--bad", "v1", "--at", "v1"], "--at"),
    ] {
        let output = run(more);
        assert_eq!(code(&output), 64, "{more:?}");
        assert!(err(&output).contains(said), "{more:?}: {}", err(&output));
    }
}

#[test]
fn watch_ends_as_the_job_ended() {
    let stub = Stub::start();
    let rev = "5665d00bd09af965b6c0cbe4fb9e60c4389aa0ee";
    for (outcome, expected, said) in [
        (stub::culprit(rev), 0, rev),
        (
            json!({"outcome": "not-reproduced", "why": "both ends pass", "checks": []}),
            1,
            "both ends pass",
        ),
        (stub::range(&[rev]), 2, rev),
        (json!({"outcome": "unresolved", "why": "tired"}), 2, "tired"),
        (json!({"outcome": "cancelled"}), 2, "cancelled"),
    ] {
        stub.answer("GET /api/v1/jobs/7", stub::job(7, Some(outcome)));
        let page = format!("{}/jobs/7", stub.url);
        let output = firstbad("http://127.0.0.1:1", &["watch", &page]);
        assert_eq!(code(&output), expected, "{}", err(&output));
        assert!(out(&output).contains(said), "{}", out(&output));
        assert!(out(&output).contains(&page), "{}", out(&output));
    }
}

#[test]
fn the_answer_for_scripts_is_ids_only() {
    let stub = Stub::start();
    let (a, b) = ("a".repeat(40), "b".repeat(40));
    stub.answer(
        "GET /api/v1/jobs/7",
        stub::job(7, Some(stub::range(&[&a, &b]))),
    );
    let output = firstbad(&stub.url, &["jobs", "7", "--answer"]);
    assert_eq!(out(&output), format!("range {a}\nrange {b}\n"));
    stub.answer("GET /api/v1/jobs/7", stub::job(7, None));
    let output = firstbad(&stub.url, &["jobs", "7", "--answer"]);
    assert_eq!(out(&output), "running\n");
}

#[test]
fn watch_waits_out_a_restart_and_says_so_once() {
    let stub = Stub::start();
    stub.answer(
        "GET /api/v1/jobs/7",
        stub::job(7, Some(stub::culprit(&"a".repeat(40)))),
    );
    stub.down_for(2);
    let output = firstbad(&stub.url, &["watch", "7", "--json"]);
    assert_eq!(code(&output), 0, "{}", err(&output));
    let said = err(&output);
    assert_eq!(said.matches("trying again").count(), 1, "{said}");
    assert_eq!(said.matches("the server is back").count(), 1, "{said}");
    let job: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(job["outcome"]["outcome"], "culprit");
}

#[test]
fn an_outage_beyond_patience_is_3() {
    let output = firstbad(&nobody(), &["watch", "7", "--patience", "1"]);
    assert_eq!(code(&output), 3, "{}", err(&output));
    assert!(err(&output).contains("gave up"), "{}", err(&output));
}

#[test]
fn an_answer_of_another_version_is_3() {
    let stub = Stub::start();
    stub.answer("GET /api/v1/workers", json!({"workers": 3}));
    assert_eq!(code(&firstbad(&stub.url, &["workers"])), 3);
}

#[test]
fn a_followed_log_is_whole_and_byte_for_byte() {
    let stub = Stub::start();
    stub.log(&[b"one\n\xff\x1b[2J", b"", b"two\n"]);
    let output = firstbad(&stub.url, &["log", "-f", "9", "--name", "console"]);
    assert_eq!(code(&output), 0, "{}", err(&output));
    assert_eq!(output.stdout, b"one\n\xff\x1b[2Jtwo\n");
}

#[test]
fn attempts_are_listed_stage_by_stage() {
    let stub = Stub::start();
    let rev = "c".repeat(40);
    stub.answer("GET /api/v1/jobs/7", stub::job_with_build(7, &rev, 5));
    stub.answer("GET /api/v1/attempts/5", stub::attempt(5, &rev));
    let output = firstbad(&stub.url, &["attempts", "7", "--stages"]);
    assert_eq!(
        out(&output),
        "5 build 1 source ok 10\n5 build 2 build failed 20\n"
    );
    let output = firstbad(&stub.url, &["attempts", "7"]);
    assert!(out(&output).contains("cccccccccccc"), "{}", out(&output));
}

#[test]
fn a_tree_that_cannot_be_fetched_is_65() {
    let stub = Stub::start();
    stub.problem("POST /api/v1/trees", 422, "/url", "url: no such repository");
    let output = firstbad(&stub.url, &["tree", "add", "linux", "/no/such"]);
    assert_eq!(code(&output), 65);
    assert_eq!(err(&output), "firstbad: url: no such repository\n");
}
