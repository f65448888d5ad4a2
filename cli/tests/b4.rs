//! b4 itself runs `firstbad b4-check` on the mails of a series; what the server would say is told by
//! a stub, as the server's own tests have it.
#![allow(clippy::unwrap_used)]

mod stub;

use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use stub::Stub;

/// Runs b4's review checks as its configuration names them, on an mbox; offline.
const REVIEW: &str = "\
import sys, json, b4
from b4.review import checks
b4._setup_main_config()
perpatch, series = checks.load_check_cmds()
messages = b4.mailsplit_bytes(open(sys.argv[1], 'rb').read())
patches = [(b4.LoreMessage.get_clean_msgid(m), m) for m in messages]
told = checks.run_perpatch_checks(patches, perpatch, b4.git_get_toplevel())
told['series'] = checks.run_series_checks(patches[0], series, b4.git_get_toplevel())
print(json.dumps(told))
";

fn git(repo: &Path, args: &[&str]) -> String {
    let output = Command::new("git")
        .current_dir(repo)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .args(["-c", "user.name=A", "-c", "user.email=a@example.org"])
        .args(args)
        .output()
        .unwrap();
    assert!(output.status.success(), "git {args:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn review(repo: &Path, mbox: &Path, server: &str) -> Value {
    let python = std::env::var_os("FIRSTBAD_TEST_PYTHON").unwrap_or_else(|| {
        panic!("FIRSTBAD_TEST_PYTHON is not set: run `make test`, or set it to what scripts/python.sh prints")
    });
    let output = Command::new(python)
        .current_dir(repo)
        .args(["-c", REVIEW])
        .arg(mbox)
        .env("HOME", repo)
        .env("FIRSTBAD_SERVER", server)
        .env("FIRSTBAD_TOKEN_FILE", "/dev/null")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn b4_shows_what_jobs_found_about_a_patch() {
    let dir = tempfile::tempdir().unwrap();
    let repo = dir.path().join("linux");
    std::fs::create_dir(&repo).unwrap();
    git(&repo, &["init", "-q"]);
    for n in 0..3 {
        std::fs::write(repo.join("f"), format!("{n}\n")).unwrap();
        git(&repo, &["add", "."]);
        git(&repo, &["commit", "-q", "-m", &format!("commit {n}")]);
    }
    let mbox = dir.path().join("series.mbox");
    let mails = git(&repo, &["format-patch", "--stdout", "--thread", "HEAD~2"]);
    std::fs::write(&mbox, mails).unwrap();
    let check = format!("{} b4-check", env!("CARGO_BIN_EXE_firstbad"));
    git(&repo, &["config", "b4.review-perpatch-check-cmd", &check]);
    git(&repo, &["config", "b4.review-series-check-cmd", &check]);
    let stub = Stub::start();
    let verdict = json!([{
        "job": 7, "path": "/jobs/7", "status": "fail",
        "summary": "abc (\"commit 1\") broke it.", "details": "job 7: btrfs/smoke breaks",
    }]);
    stub.answer("GET /api/v1/patches", verdict);
    let told = review(&repo, &mbox, &stub.url);
    let told = told.as_object().unwrap();
    assert_eq!(told.len(), 3, "two patches and the series: {told:?}");
    let expected = json!([{
        "tool": "firstbad", "status": "fail", "summary": "abc (\"commit 1\") broke it.",
        "url": format!("{}/jobs/7", stub.url), "details": "job 7: btrfs/smoke breaks",
    }]);
    for (mail, results) in told {
        assert_eq!(*results, expected, "{mail}");
    }
    // Nothing known is no verdict, and neither is a server that is away.
    stub.answer("GET /api/v1/patches", json!([]));
    let told = review(&repo, &mbox, &stub.url);
    assert!(
        told.as_object().unwrap().values().all(|r| *r == json!([])),
        "{told}"
    );
    let told = review(&repo, &mbox, "http://127.0.0.1:1");
    let away = &told["series"][0];
    assert_eq!(
        (&away["tool"], &away["status"]),
        (&json!("firstbad"), &json!("warn")),
        "{told}"
    );
}
