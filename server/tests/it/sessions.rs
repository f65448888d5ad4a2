//! Signing in and out with a browser, and what its forms do.

use firstbad_api::job::{Job, Outcome};
use firstbad_api::limits;
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::common::browser::{Browser, PASSWORD, account, audited};
use crate::common::{Seen, TestServer, request};

async fn change(server: &TestServer, name: &str, body: Value) {
    let url = format!("{}/api/v1/users/{name}", server.url);
    let asked = server
        .http
        .patch(url)
        .bearer_auth(&server.token)
        .json(&body);
    assert_eq!(asked.send().await.unwrap().status(), StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn a_session_begins_at_sign_in_and_ends_when_it_should() {
    let server = TestServer::start().await;
    account(&server, "alice", "submitter").await;
    let mut browser = Browser::new(&server);
    // A session that somebody planted before is not taken over.
    let planted = format!("firstbad={}", "0".repeat(64));
    browser.cookie = Some(planted.clone());
    let answer = browser.sign_in("Alice ", PASSWORD).await;
    assert_eq!(answer.status(), StatusCode::SEE_OTHER);
    assert_eq!(answer.headers()["location"], "/workers");
    let cookie = answer.headers()["set-cookie"].to_str().unwrap();
    for part in [
        "; Path=/",
        "; HttpOnly",
        "; SameSite=Lax",
        "; Max-Age=604800",
    ] {
        assert!(cookie.contains(part), "{cookie}");
    }
    assert!(!cookie.contains("Secure"), "plain HTTP on this machine");
    assert_ne!(browser.cookie, Some(planted));
    let (_, page) = browser.get("/help").await;
    assert!(
        page.contains("Signed in as <strong>alice</strong>"),
        "{page}"
    );

    let first = browser.cookie.clone();
    browser.sign_in("alice", PASSWORD).await;
    assert_ne!(browser.cookie, first, "a new one each time");
    let mut old = Browser::new(&server);
    old.cookie = first;
    assert!(
        !old.get("/help").await.1.contains("alice"),
        "the old one is over"
    );

    let form_token = browser.form_token("/help").await;
    let answer = browser
        .post("/logout", &[("form_token", &form_token)])
        .await;
    assert_eq!(answer.status(), StatusCode::SEE_OTHER);
    assert!(
        !browser.get("/help").await.1.contains("alice"),
        "replayed after signing out"
    );
    assert_eq!(audited(&server, "alice", "signed in").await.len(), 2);
    assert_eq!(audited(&server, "alice", "signed out").await.len(), 1);

    for then in [
        format!(
            "UPDATE session SET seen_at = now() - interval '{} s'",
            limits::SESSION_IDLE_S + 1
        ),
        format!(
            "UPDATE session SET created_at = now() - interval '{} s'",
            limits::SESSION_S + 1
        ),
    ] {
        browser.sign_in("alice", PASSWORD).await;
        assert!(browser.get("/help").await.1.contains("alice"));
        sqlx::query(sqlx::AssertSqlSafe(then))
            .execute(&server.app.pool)
            .await
            .unwrap();
        assert!(!browser.get("/help").await.1.contains("alice"));
    }
    browser.sign_in("alice", PASSWORD).await;
    change(&server, "alice", json!({ "role": "viewer" })).await;
    assert!(
        browser.get("/help").await.1.contains("(viewer)"),
        "counts at once"
    );
    change(&server, "alice", json!({ "disabled": true })).await;
    assert!(!browser.get("/help").await.1.contains("alice"));
    assert_eq!(
        browser.sign_in("alice", PASSWORD).await.status(),
        StatusCode::UNAUTHORIZED
    );
}

#[tokio::test]
async fn a_wrong_password_says_nothing_and_many_wait_without_locking_others_out() {
    let server = TestServer::start().await;
    account(&server, "alice", "viewer").await;
    account(&server, "bob", "viewer").await;
    let mut browser = Browser::new(&server);
    let wrong = browser.sign_in("alice", "not the password").await;
    let unknown = browser.sign_in("nobody", "not the password").await;
    assert_eq!(wrong.status(), StatusCode::UNAUTHORIZED);
    let (wrong, unknown) = (wrong.text().await.unwrap(), unknown.text().await.unwrap());
    assert_eq!(wrong.replace("alice", "nobody"), unknown);
    assert!(!wrong.contains("not the password"));
    for _ in 1..limits::SIGN_INS_OF_NAME {
        browser.sign_in("alice", "not the password").await;
    }
    let refused = browser.sign_in("alice", PASSWORD).await;
    assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(refused.headers()["retry-after"], "60");
    assert_eq!(
        browser.sign_in("bob", PASSWORD).await.status(),
        StatusCode::SEE_OTHER
    );
    let noted = audited(&server, "alice", "sign-in refused").await;
    assert_eq!(noted.len(), limits::SIGN_INS_OF_NAME);
    assert_eq!(
        audited(&server, "unknown", "sign-in refused").await.len(),
        1
    );
    let stored = sqlx::query_scalar("SELECT password FROM account WHERE name = 'alice'");
    let stored: String = stored.fetch_one(&server.app.pool).await.unwrap();
    assert!(
        stored.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"),
        "{stored}"
    );
}

#[tokio::test]
async fn accounts_that_cannot_be_are_refused_with_the_field() {
    let server = TestServer::start().await;
    account(&server, "alice", "viewer").await;
    let user = |name: &str, password: &str| json!({ "name": name, "role": "viewer", "password": password });
    for (body, pointer) in [
        (user("alice", PASSWORD), "/name"),
        (user("server", PASSWORD), "/name"),
        (user("Eve", PASSWORD), "/name"),
        (user("a:b", PASSWORD), "/name"),
        (user("eve", "short"), "/password"),
        (user("eve", "0123456789\n"), "/password"),
    ] {
        let problem = server.refusal("/users", &body).await;
        assert_eq!(problem.pointer.as_deref(), Some(pointer), "{body}");
    }
}

#[tokio::test]
async fn forms_of_other_sites_and_sessions_do_nothing() {
    let server = TestServer::start().await;
    let revs = server.tree("line", 6).await;
    account(&server, "otto", "operator").await;
    let job = server.submit(&request("line", &revs[0], &revs[5])).await;
    let mut browser = Browser::new(&server);
    browser.sign_in("otto", PASSWORD).await;
    let form_token = browser.form_token("/help").await;
    let path = format!("/jobs/{job}/cancel");
    let form = [("form_token", form_token.as_str()), ("reason", "x")];
    for (origin, form) in [
        ("http://evil.example", &form[..]),
        ("null", &form),
        (&server.url, &form[1..]),
        (&server.url, &[("form_token", "0")]),
    ] {
        let answer = browser.post_from(origin, &path, form).await;
        assert_eq!(answer.status(), StatusCode::FORBIDDEN, "{origin} {form:?}");
    }
    // Nor may another site sign somebody in.
    let answer = Browser::new(&server);
    let form = [("name", "otto"), ("password", PASSWORD)];
    let answer = answer
        .post_from("http://evil.example", "/login", &form)
        .await;
    assert_eq!(answer.status(), StatusCode::FORBIDDEN);
    assert!(!answer.headers().contains_key("set-cookie"));
    // The cookie alone is not enough for the API either.
    let api = format!("{}/api/v1/jobs/{job}/cancel", server.url);
    let asked = server
        .http
        .post(api)
        .header("cookie", browser.cookie.clone().unwrap());
    assert_eq!(asked.send().await.unwrap().status(), StatusCode::FORBIDDEN);
    assert!(server.job(job).await.outcome.is_none());
}

#[tokio::test]
async fn over_tls_the_cookie_belongs_to_the_host_and_without_it_nobody_signs_in_from_outside() {
    let server = TestServer::start_as(false, Some("https://bisect.example")).await;
    account(&server, "alice", "viewer").await;
    let browser = Browser::new(&server);
    let form = [("name", "alice"), ("password", PASSWORD)];
    let refused = browser.post("/login", &form).await;
    assert_eq!(
        refused.status(),
        StatusCode::FORBIDDEN,
        "another origin than the set one"
    );
    let answer = browser
        .post_from("https://bisect.example", "/login", &form)
        .await;
    let cookie = answer.headers()["set-cookie"].to_str().unwrap();
    assert!(
        cookie.starts_with("__Host-firstbad=") && cookie.ends_with("; Secure"),
        "{cookie}"
    );

    let mut app = server.app.clone();
    app.gate = std::sync::Arc::new(firstbad_server::access::Gate {
        exposed: true,
        ..Default::default()
    });
    assert!(!app.gate.signs_in());
}

#[tokio::test]
async fn a_job_is_cancelled_and_marked_by_its_owner_on_its_page() {
    let server = TestServer::start().await;
    let revs = server.tree("line", 12).await;
    account(&server, "alice", "submitter").await;
    account(&server, "sam", "submitter").await;
    let mut alice = Browser::new(&server);
    alice.sign_in("alice", PASSWORD).await;
    let form_token = alice.form_token("/help").await;
    let asked = server.http.post(format!("{}/api/v1/jobs", server.url));
    let asked = asked
        .header("cookie", alice.cookie.clone().unwrap())
        .header("origin", &server.url)
        .header("x-form-token", &form_token);
    let created = asked
        .json(&request("line", &revs[0], &revs[11]))
        .send()
        .await
        .unwrap();
    assert_eq!(created.status(), StatusCode::CREATED);
    let page = "/jobs/1";
    assert_eq!(server.job(1).await.owner, "user:alice");
    assert!(alice.get(page).await.1.contains("href=\"/jobs/1/act\""));
    assert!(alice.get("/jobs/1/act").await.1.contains("Cancel the job"));
    let mut sam = Browser::new(&server);
    assert!(sam.get(page).await.1.contains("/login?next=/jobs/1"));
    sam.sign_in("sam", PASSWORD).await;
    assert!(!sam.get(page).await.1.contains("/jobs/1/act"));
    let token = sam.form_token("/help").await;
    let answer = sam.post("/jobs/1/cancel", &[("form_token", &token)]).await;
    assert_eq!(answer.status(), StatusCode::FORBIDDEN);
    assert_eq!(audited(&server, "sam", "refused").await.len(), 1);

    let field = ("form_token", form_token.as_str());
    let mark = [
        field,
        ("rev", &revs[4]),
        ("mark", "good"),
        ("why", "seen here"),
    ];
    let answer = alice.post("/jobs/1/marks", &mark).await;
    assert_eq!(answer.headers()["location"], "/jobs/1");
    let marked = |job: &Job| job.candidates.iter().any(|c| c.mark.is_some());
    assert!(marked(&server.job(1).await));
    assert!(
        alice
            .get("/jobs/1/act")
            .await
            .1
            .contains("is marked good by alice: seen here")
    );
    alice
        .post("/jobs/1/unmark", &[field, ("rev", &revs[4])])
        .await;
    assert!(!marked(&server.job(1).await));
    let wrong = alice
        .post("/jobs/1/marks", &[field, ("rev", "abc"), ("mark", "bad")])
        .await;
    assert_eq!(wrong.status(), StatusCode::UNPROCESSABLE_ENTITY);
    assert!(wrong.text().await.unwrap().contains("at least 7"));
    alice
        .post("/jobs/1/cancel", &[field, ("reason", "asked twice")])
        .await;
    assert_eq!(server.job(1).await.outcome, Some(Outcome::Cancelled));
    let noted = audited(&server, "alice", "job cancelled").await;
    assert_eq!(noted, [json!({ "reason": "asked twice" })]);
}

#[tokio::test]
async fn a_change_in_a_survey_is_one_click_from_its_bisection() {
    let server = TestServer::start().await;
    let revs = server.tree("line", 8).await;
    account(&server, "alice", "submitter").await;
    let body = json!({
        "tree": "line", "releases": [revs[0], revs[7]], "suites": ["btrfs/direct-io"], "runs": 1,
    });
    server.post("/surveys", &body).await;
    let mut worker = server.register().await;
    let seen = |rev: &str, _: u64| match revs.iter().position(|r| r == rev) {
        Some(at) if at >= 5 => Seen::Failing(&["eof"]),
        _ => Seen::Failing(&[]),
    };
    worker.work_all(seen).await;
    let mut browser = Browser::new(&server);
    let page = browser.get("/surveys/1").await.1;
    assert!(page.contains("Sign in to bisect") && !page.contains("Bisect this edge"));
    browser.sign_in("alice", PASSWORD).await;
    let page = browser.get("/surveys/1").await.1;
    let fields = fields(&page, "/surveys/1/bisect");
    let answer = browser.post("/surveys/1/bisect", &fields).await;
    let location = answer.headers()["location"].to_str().unwrap();
    let job: i64 = location.strip_prefix("/jobs/").unwrap().parse().unwrap();
    worker.work_all(seen).await;
    let job = server.job(job).await;
    assert_eq!(job.owner, "user:alice");
    assert!(
        matches!(&job.outcome, Some(Outcome::Culprit { rev, .. }) if *rev == revs[5]),
        "{:?}",
        job.outcome
    );
    assert!(browser.get("/surveys/1").await.1.contains(location));
}

/// The fields of the first form with this action on a page, and their values.
fn fields<'a>(page: &'a str, action: &str) -> Vec<(&'a str, &'a str)> {
    let form = page.split(&format!("action=\"{action}\">")).nth(1).unwrap();
    let form = form.split("</form>").next().unwrap();
    let inputs = form.split("<input type=\"hidden\" ").skip(1);
    let of = |input: &'a str, key| input.split(key).nth(1).unwrap().split('"').nth(1).unwrap();
    inputs.map(|i| (of(i, "name="), of(i, "value="))).collect()
}

#[tokio::test]
async fn the_form_for_a_new_job_submits_it_once() {
    let server = TestServer::start().await;
    let revs = server.tree("line", 12).await;
    account(&server, "alice", "submitter").await;
    account(&server, "vera", "viewer").await;
    let asked = format!(
        "/jobs/new?tree=line&good={}&bad={}&suite=btrfs/direct-io&title=mine",
        revs[0], revs[11]
    );
    let mut browser = Browser::new(&server);
    assert!(browser.get(&asked).await.1.contains("Sign in to submit"));
    browser.sign_in("vera", PASSWORD).await;
    assert!(browser.get(&asked).await.1.contains("may only read"));
    browser.sign_in("alice", PASSWORD).await;
    let page = browser.get(&asked).await.1;
    let mut form = fields(&page, "/jobs");
    form.push(("private", "on"));
    for _ in 0..2 {
        let answer = browser.post("/jobs", &form).await;
        assert_eq!(answer.status(), StatusCode::SEE_OTHER);
        assert_eq!(answer.headers()["location"], "/jobs/1");
    }
    let (status, page) = browser.get("/jobs/1").await;
    assert_eq!(status, StatusCode::OK);
    assert!(
        page.contains("mine") && page.contains("--private"),
        "{page}"
    );
    assert_eq!(
        Browser::new(&server).get("/jobs/1").await.0,
        StatusCode::NOT_FOUND
    );
    // What is wrong is said beside its field, and nothing is submitted.
    form.retain(|(name, _)| *name != "bad");
    form.push(("bad", "no-such-tag"));
    let refused = browser.post("/jobs", &form).await;
    assert!(refused.text().await.unwrap().contains("class=\"wrong\""));
    assert_eq!(browser.get("/jobs/2").await.0, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn what_is_too_long_for_an_address_is_asked_and_submitted_too() {
    let server = TestServer::start().await;
    let revs = server.tree("line", 12).await;
    account(&server, "alice", "submitter").await;
    let mut browser = Browser::new(&server);
    browser.sign_in("alice", PASSWORD).await;
    let token = browser.form_token("/jobs/new").await;
    let script = format!("# {}\r\nexit 1\r\n", "long ".repeat(2000));
    let mut asked = vec![
        ("form_token", token.as_str()),
        ("tree", "line"),
        ("good", &revs[0]),
        ("bad", &revs[11]),
        ("own", "script"),
        ("own_text", &script),
        ("own_name", "mine.sh"),
        ("fails_when", "panic"),
        ("timeout", "soon"),
    ];
    let wrong = browser
        .post("/jobs/new", &asked)
        .await
        .text()
        .await
        .unwrap();
    assert!(wrong.contains("timeout: “soon” is no number"), "{wrong}");
    assert!(wrong.contains("exit 1"), "what was written is still there");
    asked.pop();
    let page = browser.post("/jobs/new", &asked).await;
    assert_eq!(page.status(), StatusCode::OK, "too long for a link");
    let page = page.text().await.unwrap();
    assert!(page.contains("What it would take"), "{page}");
    asked.push(("key", "one"));
    let made = browser.post("/jobs", &asked).await;
    assert_eq!(made.headers()["location"], "/jobs/1");
    let test = server.job(1).await.request.custom.unwrap();
    assert_eq!((test.name.as_str(), test.timeout_s), ("mine.sh", 60));
    assert!(
        test.content.ends_with("long \nexit 1\n"),
        "as it was before a browser sent it"
    );
    assert_eq!(test.patterns.fails_when.as_deref(), Some("panic"));
    let (_, page) = browser.get("/jobs/1").await;
    assert!(
        !page.contains("Ask something similar"),
        "no address could hold it"
    );
}

#[tokio::test]
async fn a_patch_series_pasted_into_the_form_becomes_its_range() {
    let server = TestServer::start().await;
    let revs = server.tree("line", 3).await;
    account(&server, "alice", "submitter").await;
    let patch = |n: u32| {
        format!(
            "From {n:040} Mon Sep 17 00:00:00 2001\r\nFrom: A <a@example.org>\r\n\
             Date: Mon, 1 Jan 2026 00:00:0{n} +0000\r\nSubject: [PATCH {n}/2] part {n}\r\n\r\n\
             text\r\n---\r\n\r\ndiff --git a/new{n} b/new{n}\r\nnew file mode 100644\r\n\
             --- /dev/null\r\n+++ b/new{n}\r\n@@ -0,0 +1 @@\r\n+{n}\r\n-- \r\n2.47\r\n\r\n"
        )
    };
    let mbox = patch(1) + &patch(2);
    let mut browser = Browser::new(&server);
    let fields = |token| {
        [
            ("form_token", token),
            ("tree", "line"),
            ("mbox", mbox.as_str()),
            ("at", revs[2].as_str()),
            ("suite", "btrfs/smoke"),
        ]
    };
    let nobody = browser
        .post("/jobs/new", &fields(""))
        .await
        .text()
        .await
        .unwrap();
    assert!(nobody.contains("sign in as a submitter first") && nobody.contains("[PATCH 2/2]"));
    browser.sign_in("alice", PASSWORD).await;
    let token = browser.form_token("/jobs/new").await;
    let answer = browser.post("/jobs/new", &fields(&token)).await;
    assert_eq!(answer.status(), StatusCode::SEE_OTHER);
    let to = answer.headers()["location"].to_str().unwrap().to_owned();
    assert!(to.contains(&format!("good={}", revs[2])), "{to}");
    let (_, page) = browser.get(&to).await;
    assert!(
        page.contains("What it would take") && page.contains("<dd>2 <small>"),
        "{page}"
    );
}

#[tokio::test]
async fn the_act_page_changes_retracts_and_says_what_is_wrong() {
    let server = TestServer::start().await;
    let revs = server.tree("line", 12).await;
    account(&server, "alice", "operator").await;
    let job = server.submit(&request("line", &revs[0], &revs[11])).await;
    let mut browser = Browser::new(&server);
    browser.sign_in("alice", PASSWORD).await;
    let act = format!("/jobs/{job}/act");
    let token = browser.form_token(&act).await;
    let token = ("form_token", token.as_str());
    let amend = format!("/jobs/{job}/amend");
    let wrong = [token, ("runs", "5"), ("fixup", "no patch at all")];
    let refused = browser.post(&amend, &wrong).await;
    assert_eq!(refused.status(), StatusCode::UNPROCESSABLE_ENTITY);
    let page = refused.text().await.unwrap();
    assert!(
        page.contains("fixups: ") && page.contains("no patch at all"),
        "{page}"
    );
    let changed = browser
        .post(&amend, &[token, ("confidence", "99.9 %")])
        .await;
    assert_eq!(
        changed.headers()["location"].to_str().unwrap(),
        format!("/jobs/{job}")
    );
    assert_eq!(server.job(job).await.request.confidence, 0.999);
    let mut worker = server.register().await;
    let seen = |rev: &str, _: u64| match revs.iter().position(|r| r == rev).unwrap_or(0) {
        at if at >= 5 => Seen::Fails,
        _ => Seen::Clean,
    };
    worker.work(job, seen).await;
    let (_, page) = browser.get(&act).await;
    assert!(
        page.contains("Go on from here") && page.contains("Retract it"),
        "{page}"
    );
    let retract = format!("/jobs/{job}/retract");
    browser
        .post(&retract, &[token, ("reason", "wrong tree")])
        .await;
    let (_, page) = browser.get(&format!("/jobs/{job}")).await;
    assert!(page.contains("Retracted by alice: wrong tree.") && page.contains("result retracted"));
    let (_, page) = browser.get("/").await;
    assert!(page.contains("Retracted by alice"), "{page}");
    browser
        .post(&format!("/jobs/{job}/unretract"), &[token])
        .await;
    assert_eq!(server.job(job).await.retracted, None);
    let (_, page) = browser.get("/audit?who=alice").await;
    assert!(
        page.contains("result put back") && page.contains("job amended"),
        "{page}"
    );
    assert_eq!(
        Browser::new(&server).get("/audit").await.0,
        StatusCode::SEE_OTHER
    );
}
