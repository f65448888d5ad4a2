//! Trees are watched: what a push breaks is found, searched and named without a person.

use std::cell::RefCell;
use std::path::{Path, PathBuf};

use firstbad_api::job::Created;
use firstbad_api::known::{Known, Likeness};
use firstbad_api::regression::{FixedBy, Regression, Signature};
use firstbad_api::rule::{Head, MadeRule, Rule};
use firstbad_server::tasks;
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::common::{FakeWorker, REVERTED, Seen, TestServer, git, request};

fn commit(repo: &Path, file: &str, message: &str) -> String {
    std::fs::write(repo.join(file), message).unwrap();
    git(repo, &["add", "."]);
    git(repo, &["commit", "-q", "-m", message]);
    git(repo, &["rev-parse", "HEAD"])
}

async fn page(server: &TestServer, path: &str) -> String {
    let asked = server.http.get(format!("{}{path}", server.url));
    let answer = asked.bearer_auth(&server.token).send().await.unwrap();
    assert!(answer.status().is_success(), "{path} {}", answer.status());
    answer.text().await.unwrap()
}

fn rule(more: Value) -> Value {
    let mut rule = json!({
        "tree": "line", "name": "smoke", "refs": "main",
        "run": { "suite": "btrfs/direct-io", "runs": 1 }, "budget": 50,
    });
    rule.as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    rule
}

async fn add(server: &TestServer, more: Value) -> MadeRule {
    let answer = server.post("/rules", &rule(more)).await;
    let (status, text) = (answer.status(), answer.text().await.unwrap());
    assert_eq!(status, StatusCode::CREATED, "{text}");
    serde_json::from_str(&text).unwrap()
}

/// The next fetch of every scheduled tree is due.
async fn later(server: &TestServer) {
    let sql = "UPDATE tree SET fetched_at = fetched_at - interval '1 h',
                      fetch_tried_at = fetch_tried_at - interval '1 h',
                      fetch_ended_for = fetch_ended_for - interval '1 h'";
    sqlx::query(sql).execute(&server.app.pool).await.unwrap();
    tasks::watch::tick(&server.app).await.unwrap();
}

/// All that follows from what was fetched, until nothing more does.
async fn settle(worker: &mut FakeWorker<'_>, oracle: &impl Fn(&str, u64) -> Seen) {
    let app = worker.server.app.clone();
    for _ in 0..4 {
        worker.work_all(oracle).await;
        while tasks::known::tick(&app).await.unwrap() {}
        tasks::watch::tick(&app).await.unwrap();
    }
}

async fn schedule(server: &TestServer, tree: &str) {
    let asked = server
        .http
        .put(format!("{}/api/v1/trees/{tree}/schedule", server.url));
    let answer = asked
        .bearer_auth(&server.token)
        .json(&json!({ "minutes": 5 }));
    assert_eq!(answer.send().await.unwrap().status(), StatusCode::OK);
}

async fn jobs(server: &TestServer) -> i64 {
    let count = sqlx::query_scalar("SELECT count(*) FROM job");
    count.fetch_one(&server.app.pool).await.unwrap()
}

/// A tree of good commits that is watched and whose head was seen good.
async fn watched<'a>(
    server: &'a TestServer,
    more: Value,
) -> (PathBuf, Vec<String>, MadeRule, FakeWorker<'a>) {
    let revs = server.tree("line", 6).await;
    schedule(server, "line").await;
    let made = add(server, more).await;
    let mut worker = server.register().await;
    later(server).await;
    settle(&mut worker, &|_, _| Seen::Failing(&[])).await;
    let heads: Vec<Head> = server.get(&format!("/rules/{}/heads", made.id)).await;
    assert_eq!(heads[0].verdict.as_deref(), Some("good"), "{heads:?}");
    (server.dir.path().join("line"), revs, made, worker)
}

#[tokio::test]
async fn a_pushed_bad_head_is_searched_and_named_without_a_person() {
    let server = TestServer::start().await;
    let (repo, revs, made, mut worker) = watched(&server, json!({})).await;
    assert_eq!(jobs(&server).await, 1, "one check");

    for n in 0..3 {
        commit(&repo, &format!("before{n}"), &format!("harmless {n}"));
    }
    let culprit = commit(&repo, "bug", "the culprit");
    for n in 0..3 {
        commit(&repo, &format!("after{n}"), &format!("harmless again {n}"));
    }
    let bad = RefCell::new(Vec::new());
    let is_bad = |rev: &str| {
        let inside = |r: &str| {
            rev != REVERTED
                && std::process::Command::new("git")
                    .current_dir(&repo)
                    .args(["merge-base", "--is-ancestor", r, rev])
                    .output()
                    .is_ok_and(|o| o.status.success())
        };
        inside(&culprit) && !bad.borrow().iter().any(|fix: &String| inside(fix))
    };
    let oracle = |rev: &str, _: u64| match is_bad(rev) {
        true => Seen::Failing(&["eof"]),
        false => Seen::Failing(&[]),
    };
    later(&server).await;
    settle(&mut worker, &oracle).await;
    let open: Vec<Regression> = server.get("/regressions?state=open").await;
    let [found] = open.as_slice() else {
        panic!("{open:#?}");
    };
    let cases = vec!["eof".to_owned()];
    assert_eq!(found.signature, Signature::Cases { cases });
    assert_eq!((&found.good, found.rule), (&revs[5], Some(made.id)));
    assert_eq!(found.culprit.as_ref().unwrap().rev, culprit);
    let job = found.job.unwrap();
    assert!(
        page(&server, &format!("/jobs/{job}"))
            .await
            .contains(&format!("/regressions/{}", found.id))
    );
    let of_job: Vec<Regression> = server.get(&format!("/regressions?job={job}")).await;
    assert_eq!(of_job.len(), 1);
    // Nothing is run twice, whatever is passed again.
    let before = jobs(&server).await;
    assert_eq!(before, 3, "two checks and a search");
    later(&server).await;
    settle(&mut worker, &oracle).await;
    assert_eq!(jobs(&server).await, before);

    // A commit that says it repairs it does not yet.
    let says = format!("Fixes: {} (\"the culprit\")", &culprit[..12]);
    let fix = commit(&repo, "fix", &format!("f: repair it\n\n{says}"));
    later(&server).await;
    settle(&mut worker, &oracle).await;
    let now: Regression = server.get(&format!("/regressions/{}", found.id)).await;
    let told = now.fix.clone().unwrap();
    assert_eq!((told.how, &told.rev), (FixedBy::Fixes, &fix));
    assert_eq!((now.state.as_str(), &now.last_rev), ("open", &fix));
    let shown = page(&server, &format!("/regressions/{}", found.id)).await;
    assert!(
        shown.contains("f: repair it") && shown.contains("Fixes:"),
        "{shown}"
    );
    assert!(
        page(&server, &format!("/jobs/{job}/culprit"))
            .await
            .contains("f: repair it")
    );

    // The culprit lives in a second tree under another id.
    let vendor = server.dir.path().join("vendor");
    git(
        server.dir.path(),
        &["clone", "-q", repo.to_str().unwrap(), "vendor"],
    );
    git(&vendor, &["checkout", "-q", "-b", "product", &revs[2]]);
    commit(&vendor, "product", "a product");
    git(&vendor, &["cherry-pick", &culprit]);
    let copy = git(&vendor, &["rev-parse", "HEAD"]);
    git(&vendor, &["branch", "-q", "-D", "main"]);
    git(&vendor, &["remote", "remove", "origin"]);
    let tree = json!({ "name": "vendor", "url": vendor.to_str().unwrap() });
    assert_eq!(
        server.post("/trees", &tree).await.status(),
        StatusCode::CREATED
    );
    settle(&mut worker, &oracle).await;
    let known: Known = server.get(&format!("/jobs/{job}/known")).await;
    let there = known.same.iter().find(|s| s.tree == "vendor").unwrap();
    assert_eq!((there.how, &there.rev), (Likeness::Patch, &copy));

    // The same question again is answered at once.
    let mut again = request("line", &revs[1], "main");
    again["signal"] = json!({ "kind": "cases", "cases": ["eof"] });
    let answer = server.post("/jobs", &again).await;
    let answer: Created = answer.json().await.unwrap();
    let answered = answer.answered.unwrap();
    assert_eq!((answered.job, &answered.rev), (job, &culprit));

    // A head that passes again ends it.
    bad.borrow_mut()
        .push(commit(&repo, "mend", "really repaired"));
    later(&server).await;
    settle(&mut worker, &oracle).await;
    let now: Regression = server.get(&format!("/regressions/{}", found.id)).await;
    assert_eq!(now.state, "fixed", "{now:#?}");
    let audit =
        "SELECT count(*) FROM audit WHERE what IN ('regression opened', 'regression fixed')";
    let audit: i64 = sqlx::query_scalar(audit)
        .fetch_one(&server.app.pool)
        .await
        .unwrap();
    assert_eq!(audit, 2);
}

#[tokio::test]
async fn a_rewritten_branch_is_searched_from_what_both_have_in_common() {
    let server = TestServer::start().await;
    let (repo, revs, _, mut worker) = watched(&server, json!({})).await;
    git(&repo, &["reset", "-q", "--hard", &revs[3]]);
    commit(&repo, "other", "another way");
    let culprit = commit(&repo, "bug", "the culprit");
    let head = commit(&repo, "more", "more");
    let oracle = |rev: &str, _: u64| match rev == culprit || rev == head {
        true => Seen::BootPanic,
        false => Seen::Clean,
    };
    later(&server).await;
    settle(&mut worker, &oracle).await;
    let open: Vec<Regression> = server.get("/regressions").await;
    assert_eq!(open.len(), 1, "{open:#?}");
    assert_eq!(open[0].good, revs[5], "the last good head");
    assert!(open[0].job_why.contains(&revs[3]), "{}", open[0].job_why);
    let title = "kernel panic: fake".to_owned();
    assert_eq!(open[0].signature, Signature::Crash { title });
    assert_eq!(open[0].culprit.as_ref().unwrap().rev, culprit);

    // Back to where it was: known, and not run again. People say what it was.
    git(&repo, &["reset", "-q", "--hard", &revs[5]]);
    let before = jobs(&server).await;
    later(&server).await;
    settle(&mut worker, &oracle).await;
    assert_eq!(jobs(&server).await, before);
    let at = format!("/regressions/{}/state", open[0].id);
    let refused = server
        .refusal(&at, &json!({ "state": "invalid", "reason": " " }))
        .await;
    assert_eq!(refused.pointer.as_deref(), Some("/reason"));
    let refused = server
        .refusal(&at, &json!({ "state": "gone", "reason": "x" }))
        .await;
    assert_eq!(refused.pointer.as_deref(), Some("/state"));
    let said = json!({ "state": "invalid", "reason": "the branch was thrown away" });
    assert_eq!(
        server.post(&at, &said).await.status(),
        StatusCode::NO_CONTENT
    );
    assert_eq!(server.refusal(&at, &said).await.status, 409);
}

#[tokio::test]
async fn tags_that_were_there_are_not_run_and_the_budget_holds() {
    let server = TestServer::start().await;
    let revs = server.tree("line", 6).await;
    let repo = server.dir.path().join("line");
    for (n, rev) in revs.iter().enumerate() {
        git(&repo, &["tag", &format!("v1.{n}"), rev]);
    }
    schedule(&server, "line").await;
    let more = json!({ "name": "tags", "refs": "v*", "on": "tag", "budget": 2 });
    let made = add(&server, more).await;
    let mut worker = server.register().await;
    later(&server).await;
    let heads: Vec<Head> = server.get(&format!("/rules/{}/heads", made.id)).await;
    assert_eq!(heads.iter().filter(|h| h.state == "known").count(), 5);
    settle(&mut worker, &|_, _| Seen::Failing(&[])).await;
    assert_eq!(jobs(&server).await, 1, "the newest");
    let culprit = commit(&repo, "bug", "the culprit");
    let oracle = |rev: &str, _: u64| match rev == culprit {
        true => Seen::Failing(&["eof"]),
        false => Seen::Failing(&[]),
    };
    git(&repo, &["tag", "v1.6"]);
    later(&server).await;
    settle(&mut worker, &oracle).await;
    let open: Vec<Regression> = server.get("/regressions").await;
    assert_eq!(
        (open.len(), open[0].job),
        (1, None),
        "found, and waits for the budget"
    );
    let url = format!("{}/api/v1/rules/{}", server.url, made.id);
    let more = server.http.patch(&url).bearer_auth(&server.token);
    let more = more.json(&json!({ "budget": 9 })).send().await.unwrap();
    assert_eq!(more.status(), StatusCode::NO_CONTENT);
    tasks::watch::tick(&server.app).await.unwrap();
    settle(&mut worker, &oracle).await;
    let open: Vec<Regression> = server.get("/regressions").await;
    assert_eq!(open[0].culprit.as_ref().unwrap().rev, culprit);

    // A job that looked for the repair names it.
    let between = commit(&repo, "between", "between");
    let repair = commit(&repo, "repair", "the repair");
    server.post("/trees/line/fetch", &json!({})).await;
    let mut asked = request("line", &culprit, &repair);
    asked["find"] = json!("fix");
    asked["signal"] = json!({ "kind": "cases", "cases": ["eof"] });
    server.submit(&asked).await;
    let still = |rev: &str, _: u64| match rev == culprit || rev == between || rev == REVERTED {
        true => Seen::Failing(&["eof"]),
        false => Seen::Failing(&[]),
    };
    settle(&mut worker, &still).await;
    let open: Vec<Regression> = server.get("/regressions").await;
    let fix = open[0].fix.clone().unwrap();
    assert_eq!((fix.how, &fix.rev), (FixedBy::Job, &repair));

    // Switched off, nothing is run; removed, what it found stays.
    let off = server.http.patch(&url).bearer_auth(&server.token);
    off.json(&json!({ "enabled": false })).send().await.unwrap();
    commit(&repo, "next", "next");
    git(&repo, &["tag", "v1.7"]);
    let before = jobs(&server).await;
    later(&server).await;
    settle(&mut worker, &oracle).await;
    assert_eq!(jobs(&server).await, before);
    let gone = server
        .http
        .delete(&url)
        .bearer_auth(&server.token)
        .send()
        .await
        .unwrap();
    assert_eq!(gone.status(), StatusCode::NO_CONTENT);
    let open: Vec<Regression> = server.get("/regressions").await;
    assert_eq!((open.len(), open[0].rule), (1, None));
    let rules: Vec<Rule> = server.get("/rules").await;
    assert!(rules.is_empty());
}

#[tokio::test]
async fn a_rule_that_cannot_work_is_refused_and_a_private_one_is_nobodys_business() {
    let server = TestServer::start().await;
    server.tree("line", 4).await;
    for (wrong, pointer) in [
        (json!({ "tree": "none" }), "/tree"),
        (json!({ "name": "A b" }), "/name"),
        (json!({ "refs": "" }), "/refs"),
        (json!({ "budget": 0 }), "/budget"),
        (json!({ "run": { "suite": "no/such" } }), "/run/suite"),
        (
            json!({ "run": { "suite": "btrfs/direct-io", "runs": 99 } }),
            "/run/survey",
        ),
        (
            json!({ "run": { "suite": "btrfs/direct-io", "cases": ["no"] } }),
            "/run/cases",
        ),
        (
            json!({ "status": { "service": "svn", "url": "https://x.example", "project": "a/b" } }),
            "/status/service",
        ),
        (
            json!({ "status": { "service": "github", "url": "https://10.0.0.1", "project": "a/b" } }),
            "/status/url",
        ),
        (
            json!({ "status": { "service": "github", "url": "https://x.example", "project": "../b" } }),
            "/status/project",
        ),
    ] {
        let refused = server.refusal("/rules", &rule(wrong.clone())).await;
        let at = refused.pointer.unwrap_or_default();
        assert!(at.starts_with(pointer), "{wrong}: {at} {}", refused.detail);
    }
    let hidden = json!({ "run": { "suite": "btrfs/direct-io", "runs": 1, "private": true } });
    let repo = server.dir.path().join("line");
    let made = add(&server, hidden).await;
    let taken = server.refusal("/rules", &rule(json!({}))).await;
    assert_eq!(taken.status, 409);
    let mut worker = server.register().await;
    tasks::watch::tick(&server.app).await.unwrap();
    settle(&mut worker, &|_, _| Seen::Clean).await;
    let culprit = commit(&repo, "bug", "the culprit");
    let fetched = server.post("/trees/line/fetch", &json!({})).await;
    assert_eq!(fetched.status(), StatusCode::OK);
    tasks::watch::tick(&server.app).await.unwrap();
    let oracle = |rev: &str, _: u64| match rev == culprit {
        true => Seen::Fails,
        false => Seen::Clean,
    };
    settle(&mut worker, &oracle).await;
    let all: Vec<Regression> = server.get("/regressions").await;
    assert_eq!(all.len(), 1);
    let url = format!("{}/api/v1/regressions", server.url);
    let others: Vec<Regression> = server
        .http
        .get(&url)
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert!(others.is_empty(), "{others:?}");
    let one = server
        .http
        .get(format!("{url}/{}", all[0].id))
        .send()
        .await
        .unwrap();
    assert_eq!(one.status(), StatusCode::NOT_FOUND);
    let shown = page(&server, &format!("/rules/{}", made.id)).await;
    assert!(shown.contains("job") && !shown.contains(&made.secret));
    for path in [
        "/rules",
        "/regressions",
        &format!("/regressions/{}", all[0].id),
        "/trees/line",
    ] {
        page(&server, path).await;
    }
}
