//! What is known already: the change in other trees, what came after it, and what was answered.

use std::path::{Path, PathBuf};

use firstbad_api::job::{Created, Outcome, Range};
use firstbad_api::known::{Known, Likeness};
use firstbad_server::tasks;
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::common::browser::{Browser, PASSWORD, account};
use crate::common::{REVERTED, Seen, TestServer, git, request};

/// A commit that adds a file; its id.
fn commit(repo: &Path, file: &str, text: &str, message: &str) -> String {
    std::fs::write(repo.join(file), text).unwrap();
    git(repo, &["add", "."]);
    git(repo, &["commit", "-q", "-m", message]);
    git(repo, &["rev-parse", "HEAD"])
}

async fn fetch(server: &TestServer, tree: &str) {
    let fetched = server
        .post(&format!("/trees/{tree}/fetch"), &json!({}))
        .await;
    assert_eq!(fetched.status(), StatusCode::OK);
}

async fn look(server: &TestServer) {
    for _ in 0..20 {
        if !tasks::known::tick(&server.app).await.unwrap() {
            return;
        }
    }
    panic!("there is always more");
}

async fn known(server: &TestServer, job: i64) -> Known {
    let url = format!("{}/api/v1/jobs/{job}/known", server.url);
    server
        .http
        .get(url)
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap()
}

/// A vendor's tree with a history of its own and copies of a change.
async fn vendor(server: &TestServer, from: &Path, culprit: &str) -> PathBuf {
    let repo = server.dir.path().join("vendor");
    std::fs::create_dir_all(&repo).unwrap();
    git(&repo, &["init", "-q", "-b", "main"]);
    commit(&repo, "vendor", "1\n", "vendor: begin");
    commit(&repo, "f", "2\n", "vendor: as upstream was");
    git(&repo, &["fetch", "-q", from.to_str().unwrap(), "main"]);
    git(&repo, &["cherry-pick", culprit]);
    commit(&repo, "other", "x\n", "commit 3");
    let copy = format!("vendor: taken over\n\n[ Upstream commit {culprit} ]");
    commit(&repo, "taken", "y\n", &copy);
    let body = json!({ "name": "vendor", "url": repo.to_str().unwrap() });
    assert_eq!(
        server.post("/trees", &body).await.status(),
        StatusCode::CREATED
    );
    repo
}

#[tokio::test]
async fn a_change_is_found_again_in_other_trees_and_so_is_what_came_after_it() {
    let server = TestServer::start().await;
    let revs = server.tree("line", 8).await;
    let culprit = &revs[3];
    let job = server.submit(&request("line", &revs[0], &revs[7])).await;
    let url = format!("{}/api/v1/jobs/{job}/known", server.url);
    let early = server.http.get(&url).send().await.unwrap();
    assert_eq!(
        early.status(),
        StatusCode::NOT_FOUND,
        "nothing is named yet"
    );
    let mut worker = server.register().await;
    let seen = |rev: &str, _: u64| match revs.iter().position(|r| r == rev) {
        Some(at) if at >= 3 => Seen::Fails,
        _ => Seen::Clean,
    };
    assert!(matches!(
        worker.work(job, seen).await.outcome,
        Some(Outcome::Culprit { .. })
    ));
    let nothing = known(&server, job).await;
    assert!(!nothing.looked[0].done, "it says that it has not looked");

    let line = server.dir.path().join("line");
    let repo = vendor(&server, &line, culprit).await;
    let title = format!("Fixes: {} (\"commit 3\")", &culprit[..12]);
    let fix = commit(&line, "fix", "1\n", &format!("f: repair it\n\n{title}"));
    let other = format!("Fixes: {} (\"another title\")", &culprit[..12]);
    commit(
        &line,
        "else",
        "1\n",
        &format!("f: something else\n\n{other}"),
    );
    let short = format!("Fixes: {} (\"commit 3\")", &culprit[..10]);
    commit(&line, "less", "1\n", &format!("f: too short\n\n{short}"));
    let copy = git(
        &repo,
        &["log", "--format=%H", "--grep=^commit 3$", "-1", "--skip=1"],
    );
    let revert = format!("Revert \"commit 3\"\n\nThis reverts commit {copy}.");
    let revert = commit(&repo, "back", "1\n", &revert);
    fetch(&server, "line").await;
    fetch(&server, "vendor").await;
    look(&server).await;

    let told = known(&server, job).await;
    let same: Vec<(&str, &str, Likeness)> = told
        .same
        .iter()
        .map(|s| (s.tree.as_str(), s.subject.as_str(), s.how))
        .collect();
    assert_eq!(
        same,
        [
            ("vendor", "commit 3", Likeness::Patch),
            ("vendor", "vendor: taken over", Likeness::Named),
            ("vendor", "commit 3", Likeness::Title),
        ]
    );
    let patch = git(&line, &["show", culprit]);
    let ours = firstbad_server::repo::Repos::new(server.app.data.join("trees"));
    let ids = ours.patch_ids("vendor", std::slice::from_ref(&copy)).await;
    assert!(patch.contains("commit 3") && ids.unwrap().contains_key(&copy));
    assert_eq!(told.same[0].rev, copy);
    let later: Vec<(&str, bool)> = told
        .later
        .iter()
        .map(|l| (l.rev.as_str(), l.reverts))
        .collect();
    assert_eq!(later.len(), 2, "{later:?}");
    assert!(later.contains(&(fix.as_str(), false)));
    assert!(later.contains(&(revert.as_str(), true)), "of the copy");
    assert!(told.looked.iter().all(|l| l.done && l.since.is_none()));

    let page = format!("{}/jobs/{job}/culprit", server.url);
    let page = server.http.get(page).send().await.unwrap();
    let page = page.text().await.unwrap();
    for words in [
        "f: repair it",
        "repairs it (Fixes:)",
        "takes it back",
        "the same patch",
        "line: all 11 commits",
    ] {
        assert!(page.contains(words), "{words}");
    }
    // A second look finds nothing to do, and after a fetch only what is new is read.
    look(&server).await;
    let rows = "SELECT count(*) FROM change";
    let rows: i64 = sqlx::query_scalar(rows)
        .fetch_one(&server.app.pool)
        .await
        .unwrap();
    assert_eq!(rows, 11 + 6);
}

#[tokio::test]
async fn an_answered_question_is_told_its_answer_and_no_secret() {
    let server = TestServer::start().await;
    let revs = server.tree("line", 10).await;
    account(&server, "alice", "submitter").await;
    let mut alice = Browser::new(&server);
    alice.sign_in("alice", PASSWORD).await;
    let mut worker = server.register().await;
    let seen = |rev: &str, _: u64| match revs.iter().position(|r| r == rev) {
        _ if rev == REVERTED => Seen::Clean,
        Some(at) if at >= 5 => Seen::Fails,
        _ => Seen::Clean,
    };
    let mut hidden = request("line", &revs[0], &revs[9]);
    hidden["private"] = json!(true);
    let hidden = server.submit(&hidden).await;
    worker.work_all(seen).await;
    let preview = async |body: &Value, token: Option<&str>| -> Range {
        let asked = server
            .http
            .post(format!("{}/api/v1/jobs/preview", server.url));
        let asked = match token {
            Some(token) => asked.bearer_auth(token),
            None => asked,
        };
        asked.json(body).send().await.unwrap().json().await.unwrap()
    };
    let ask = request("line", &revs[1], &revs[8]);
    let told = preview(&ask, Some(&server.token)).await.answered.unwrap();
    assert_eq!(
        (told.job, &told.rev),
        (hidden, &revs[5]),
        "its owner is told"
    );
    assert_eq!(preview(&ask, None).await.answered, None, "nobody else");
    let form = |good: &str, bad: &str| {
        format!("/jobs/new?tree=line&good={good}&bad={bad}&suite=btrfs/direct-io")
    };
    let page = alice.get(&form(&revs[1], &revs[8])).await.1;
    assert!(!page.contains("answered already"), "{page}");

    let open = server.submit(&request("line", &revs[0], &revs[9])).await;
    worker.work(open, seen).await;
    let told = preview(&ask, None).await.answered.unwrap();
    assert_eq!((told.job, &told.rev), (open, &revs[5]));
    let page = alice.get(&form(&revs[1], &revs[8])).await.1;
    assert!(page.contains("answered already") && page.contains(&format!("/jobs/{open}/culprit")));
    let again = server.post("/jobs", &ask).await;
    let again: Created = again.json().await.unwrap();
    assert_eq!(again.answered.unwrap().job, open);

    let mut others = vec![
        request("line", &revs[5], &revs[8]),
        request("line", &revs[0], &revs[4]),
    ];
    for (field, value) in [
        ("cases", json!(["eof"])),
        ("signal", json!({ "kind": "crash", "title": "WARNING" })),
        ("config", json!({ "fragment": "CONFIG_BTRFS_FS=y\n" })),
        ("find", json!("fix")),
        ("skip", json!([revs[5]])),
        ("two_point", json!(true)),
    ] {
        let mut other = ask.clone();
        other[field] = value;
        others.push(other);
    }
    for other in others {
        assert_eq!(preview(&other, None).await.answered, None, "{other}");
    }
    server
        .post(&format!("/jobs/{open}/retract"), &json!({ "reason": "no" }))
        .await;
    assert_eq!(preview(&ask, None).await.answered, None, "taken back");
}
