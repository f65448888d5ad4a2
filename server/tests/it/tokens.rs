//! Tokens can be made, used, and ended, and can do no more than who made them.

use firstbad_api::job::Job;
use firstbad_api::user::{MadeToken, Token};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::common::browser::{Browser, PASSWORD, account, audited};
use crate::common::{TestServer, request};

async fn ask(
    server: &TestServer,
    token: &str,
    method: Method,
    path: &str,
    body: &Value,
) -> reqwest::Response {
    let url = format!("{}/api/v1{path}", server.url);
    let asked = server
        .http
        .request(method, url)
        .bearer_auth(token)
        .json(body);
    asked.send().await.unwrap()
}

/// The token that a page has just made.
fn shown(page: &str) -> String {
    let code = page.split("<pre class=\"command\"><code>").nth(1).unwrap();
    code.split('<').next().unwrap().to_owned()
}

#[tokio::test]
async fn a_token_of_a_page_submits_as_its_account_until_it_is_revoked() {
    let server = TestServer::start().await;
    let revs = server.tree("line", 6).await;
    account(&server, "alice", "submitter").await;
    account(&server, "bob", "submitter").await;
    let mut browser = Browser::new(&server);
    browser.sign_in("alice", PASSWORD).await;
    let form = browser.form_token("/tokens").await;
    let fields = [
        ("form_token", form.as_str()),
        ("name", "ci"),
        ("role", "submitter"),
    ];
    let made = browser.post("/tokens", &fields).await;
    assert_eq!(made.headers()["cache-control"], "no-store");
    let page = made.text().await.unwrap();
    let token = shown(&page);
    assert!(
        token.starts_with("fb_") && page.contains("alice/ci"),
        "{page}"
    );
    let again = browser.post("/tokens", &fields).await;
    assert_eq!(again.status(), StatusCode::CONFLICT);
    let (_, later) = browser.get("/tokens").await;
    assert!(!later.contains(&token), "told once");

    let mut private = request("line", &revs[0], &revs[5]);
    private["private"] = json!(true);
    let answer = ask(&server, &token, Method::POST, "/jobs", &private).await;
    assert_eq!(answer.status(), StatusCode::CREATED);
    let (_, page) = browser.get("/jobs/1").await;
    assert!(page.contains("job 1"), "a private job of the account");
    let job: Job = ask(&server, &token, Method::GET, "/jobs/1", &json!({}))
        .await
        .json()
        .await
        .unwrap();
    assert_eq!(job.owner, "user:alice");

    let listed = ask(&server, &token, Method::GET, "/tokens", &json!({})).await;
    let listed: Vec<Token> = listed.json().await.unwrap();
    assert_eq!(listed.len(), 1);
    assert!(listed[0].used_at.is_some() && listed[0].expires_at.is_some());
    let id = &listed[0].id;
    let mut bob = Browser::new(&server);
    bob.sign_in("bob", PASSWORD).await;
    let bobs = bob.form_token("/tokens").await;
    let revoke = format!("/tokens/{id}/revoke");
    let refused = bob.post(&revoke, &[("form_token", &bobs)]).await;
    assert_eq!(refused.status(), StatusCode::NOT_FOUND, "not bob's to end");
    browser.post(&revoke, &[("form_token", &form)]).await;
    let answer = ask(&server, &token, Method::GET, "/jobs/1", &json!({})).await;
    assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(audited(&server, "alice", "token made").await.len(), 1);
    assert_eq!(audited(&server, "alice", "token revoked").await.len(), 1);
}

#[tokio::test]
async fn no_token_does_more_than_who_made_it_or_after_its_time() {
    let server = TestServer::start().await;
    account(&server, "alice", "submitter").await;
    let new = json!({ "name": "w", "role": "worker" });
    let made = ask(&server, &server.token, Method::POST, "/tokens", &new).await;
    let worker: MadeToken = made.json().await.unwrap();
    let refused = ask(&server, &worker.token, Method::GET, "/tokens", &json!({})).await;
    assert_eq!(refused.status(), StatusCode::FORBIDDEN);

    let made = json!({ "name": "ci", "role": "submitter", "days": 1 });
    let made = ask(&server, &server.token, Method::POST, "/tokens", &made).await;
    let token: MadeToken = made.json().await.unwrap();
    for (body, pointer) in [
        (json!({ "name": "more", "role": "operator" }), "/role"),
        (json!({ "name": "more", "role": "worker" }), "/role"),
        (json!({ "name": "Not Good", "role": "viewer" }), "/name"),
        (
            json!({ "name": "more", "role": "viewer", "days": 0 }),
            "/days",
        ),
        (json!({ "name": "more", "role": "god" }), "/role"),
    ] {
        let refused = ask(&server, &token.token, Method::POST, "/tokens", &body).await;
        assert!(refused.status().is_client_error());
        let problem: Value = refused.json().await.unwrap();
        assert_eq!(problem["pointer"], pointer, "{problem}");
    }
    sqlx::query("UPDATE token SET expires_at = now() - interval '1 s' WHERE name = 'local/ci'")
        .execute(&server.app.pool)
        .await
        .unwrap();
    let over = ask(&server, &token.token, Method::GET, "/tokens", &json!({})).await;
    assert_eq!(over.status(), StatusCode::UNAUTHORIZED);
}
