//! Pushes that services tell of: signed, counted once, and answered with a status.
//!
//! The payloads are shaped after the public documentation of the services and cut to what counts.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Uri};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use firstbad_api::rule::{Head, MadeRule};
use firstbad_server::tasks;
use hmac::{Hmac, KeyInit, Mac};
use reqwest::{RequestBuilder, StatusCode};
use serde_json::{Value, json};
use sha2::Sha256;

use crate::common::{Seen, TestServer, git};

fn hmac(key: &[u8], text: &[u8]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    mac.update(text);
    mac.finalize().into_bytes().to_vec()
}

/// A push as GitHub tells of it.
fn github(reference: &str, before: &str, after: &str) -> String {
    json!({
        "ref": reference, "before": before, "after": after, "base_ref": null, "forced": false,
        "created": false, "deleted": false, "compare": "https://github.com/owner/linux/compare/a...b",
        "repository": { "id": 1, "name": "linux", "full_name": "owner/linux", "private": false,
                        "html_url": "https://github.com/owner/linux", "default_branch": "main" },
        "pusher": { "name": "owner", "email": "owner@example.org" },
        "sender": { "login": "owner", "id": 1, "type": "User" },
        "commits": [{ "id": after, "tree_id": before, "distinct": true, "message": "a change",
                      "timestamp": "2026-11-20T10:00:00Z", "added": [], "removed": [],
                      "modified": ["fs/btrfs/file.c"] }],
        "head_commit": { "id": after, "message": "a change" },
    })
    .to_string()
}

/// A push as GitLab tells of it.
fn gitlab(kind: &str, reference: &str, before: &str, after: &str) -> String {
    json!({
        "object_kind": kind, "event_name": kind, "before": before, "after": after,
        "ref": reference, "ref_protected": true, "checkout_sha": after, "user_id": 4,
        "user_username": "owner", "project_id": 15,
        "project": { "id": 15, "name": "linux", "path_with_namespace": "group/linux",
                     "git_http_url": "https://gitlab.example.org/group/linux.git",
                     "default_branch": "main" },
        "commits": [{ "id": after, "message": "a change", "timestamp": "2026-11-20T10:00:00Z",
                      "added": [], "modified": ["fs/btrfs/file.c"], "removed": [] }],
        "total_commits_count": 1,
    })
    .to_string()
}

/// A push as Forgejo and Gitea tell of it.
fn forgejo(reference: &str, before: &str, after: &str) -> String {
    json!({
        "ref": reference, "before": before, "after": after,
        "compare_url": "https://codeberg.org/owner/linux/compare/a...b",
        "commits": [{ "id": after, "message": "a change\n", "timestamp": "2026-11-20T10:00:00Z",
                      "added": [], "removed": [], "modified": ["fs/btrfs/file.c"] }],
        "total_commits": 1, "head_commit": { "id": after, "message": "a change\n" },
        "repository": { "id": 1, "name": "linux", "full_name": "owner/linux",
                        "default_branch": "main" },
        "pusher": { "id": 1, "login": "owner" }, "sender": { "id": 1, "login": "owner" },
    })
    .to_string()
}

async fn add(server: &TestServer, more: Value) -> MadeRule {
    let mut rule = json!({
        "tree": "line", "name": "smoke", "refs": "main",
        "run": { "suite": "btrfs/direct-io", "runs": 1 },
    });
    rule.as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    let answer = server.post("/rules", &rule).await;
    assert_eq!(answer.status(), StatusCode::CREATED, "{rule}");
    answer.json().await.unwrap()
}

async fn heads(server: &TestServer, rule: i64) -> Vec<Head> {
    let asked = server
        .http
        .get(format!("{}/api/v1/rules/{rule}/heads", server.url));
    let answer = asked.bearer_auth(&server.token).send().await.unwrap();
    answer.json().await.unwrap()
}

fn to(server: &TestServer, service: &str, rule: i64, body: &str) -> RequestBuilder {
    let url = format!("{}/api/v1/hooks/{service}/{rule}", server.url);
    let request = server
        .http
        .post(url)
        .header("content-type", "application/json");
    request.body(body.to_owned())
}

/// Status and what is said of it.
async fn send(request: RequestBuilder) -> (u16, String) {
    let answer = request.send().await.unwrap();
    let status = answer.status().as_u16();
    let said: Value = answer.json().await.unwrap();
    (
        status,
        said["state"].as_str().unwrap_or_default().to_owned(),
    )
}

async fn calls(server: &TestServer) -> i64 {
    let count = sqlx::query_scalar("SELECT count(*) FROM rule_call WHERE state <> 'ignored'");
    count.fetch_one(&server.app.pool).await.unwrap()
}

/// Commits something in the tree's origin.
fn push(server: &TestServer, name: &str) -> String {
    let repo = server.dir.path().join("line");
    std::fs::write(repo.join(name), name).unwrap();
    git(&repo, &["add", "."]);
    git(&repo, &["commit", "-q", "-m", name]);
    git(&repo, &["rev-parse", "HEAD"])
}

fn accepted() -> (u16, String) {
    (202, "accepted".to_owned())
}
fn ignored() -> (u16, String) {
    (202, "ignored".to_owned())
}
fn known() -> (u16, String) {
    (200, "known".to_owned())
}
fn refused() -> (u16, String) {
    (401, String::new())
}

#[tokio::test]
async fn a_push_of_github_counts_once_and_only_when_it_is_signed() {
    let server = TestServer::start().await;
    let revs = server.tree("line", 3).await;
    let made = add(&server, json!({})).await;
    let after = push(&server, "pushed");
    let body = github("refs/heads/main", &revs[2], &after);
    let signature = |secret: &str, body: &str| {
        format!(
            "sha256={}",
            hex::encode(hmac(secret.as_bytes(), body.as_bytes()))
        )
    };
    let right = signature(&made.secret, &body);
    let event = |body: &str, event: &str, delivery: &str, signature: &str| {
        to(&server, "github", made.id, body)
            .header("x-github-event", event)
            .header("x-github-delivery", delivery)
            .header("x-hub-signature-256", signature)
    };
    for wrong in [
        signature("another", &body),
        right.trim_start_matches("sha256=").to_owned(),
        right.replace("sha256=", "sha1="),
        "sha256=zz".to_owned(),
        right[..40].to_owned(),
    ] {
        assert_eq!(
            send(event(&body, "push", "d1", &wrong)).await,
            refused(),
            "{wrong}"
        );
    }
    let unsigned = to(&server, "github", made.id, &body).header("x-github-event", "push");
    assert_eq!(send(unsigned).await, refused());
    let other = body.replace("a change", "another");
    assert_eq!(
        send(event(&other, "push", "d1", &right)).await,
        refused(),
        "another body"
    );
    let nobody = to(&server, "github", 9999, &body).header("x-hub-signature-256", &right);
    assert_eq!(
        send(nobody).await,
        refused(),
        "as if there were such a rule"
    );
    assert_eq!(calls(&server).await, 0);
    let nameless = to(&server, "github", made.id, &body)
        .header("x-github-event", "push")
        .header("x-hub-signature-256", &right);
    assert_eq!(send(nameless).await.0, 400);

    assert_eq!(send(event(&body, "push", "d1", &right)).await, accepted());
    assert_eq!(
        send(event(&body, "push", "d1", &right)).await,
        known(),
        "replayed"
    );
    // The same under another id, which is not signed, makes nothing new.
    assert_eq!(send(event(&body, "push", "d2", &right)).await, accepted());
    let ping = json!({ "zen": "Keep it logically awesome.", "hook_id": 1 }).to_string();
    let signed = signature(&made.secret, &ping);
    assert_eq!(send(event(&ping, "ping", "d3", &signed)).await, ignored());
    for (reference, after) in [
        ("refs/heads/other", after.as_str()),
        ("refs/tags/main", after.as_str()),
        (
            "refs/heads/main",
            "0000000000000000000000000000000000000000",
        ),
        ("refs/heads/main", "main"),
    ] {
        let body = github(reference, &revs[2], after);
        let signed = signature(&made.secret, &body);
        let delivery = format!("{reference} {after}");
        assert_eq!(
            send(event(&body, "push", &delivery, &signed)).await,
            ignored(),
            "{delivery}"
        );
    }
    let signed = signature(&made.secret, "[1");
    assert_eq!(send(event("[1", "push", "d4", &signed)).await.0, 422);
    tasks::watch::tick(&server.app).await.unwrap();
    tasks::watch::tick(&server.app).await.unwrap();
    let seen = heads(&server, made.id).await;
    assert_eq!(seen.len(), 1, "{seen:?}");
    assert_eq!((&seen[0].rev, seen[0].state.as_str()), (&after, "running"));
    let large = "x".repeat(firstbad_api::limits::HOOK_BYTES + 1);
    let signed = signature(&made.secret, &large);
    let answer = event(&large, "push", "d5", &signed).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::PAYLOAD_TOO_LARGE);

    // A new secret ends the old one.
    let renew = format!("/rules/{}/secret", made.id);
    let renewed: MadeRule = server.post(&renew, &json!({})).await.json().await.unwrap();
    assert_ne!(renewed.secret, made.secret);
    assert_eq!(send(event(&body, "push", "d6", &right)).await, refused());
}

#[tokio::test]
async fn gitlab_is_known_by_its_token_or_by_a_signature_of_standard_webhooks() {
    let server = TestServer::start().await;
    let revs = server.tree("line", 3).await;
    let tags = json!({ "name": "tags", "refs": "v*", "on": "tag" });
    let made = add(&server, tags).await;
    let after = push(&server, "pushed");
    git(&server.dir.path().join("line"), &["tag", "v1"]);
    let body = gitlab("tag_push", "refs/tags/v1", &"0".repeat(40), &after);
    let event = |event: &str| {
        let request = to(&server, "gitlab", made.id, &body);
        request.header("x-gitlab-event", event)
    };
    let tag = || event("Tag Push Hook").header("x-gitlab-event-uuid", "u1");
    assert_eq!(send(tag()).await, refused(), "missing");
    assert_eq!(
        send(tag().header("x-gitlab-token", "wrong")).await,
        refused()
    );
    assert_eq!(
        send(tag().header("x-gitlab-token", &made.secret)).await,
        accepted()
    );
    assert_eq!(
        send(tag().header("x-gitlab-token", &made.secret)).await,
        known()
    );
    let issue = event("Issue Hook").header("x-gitlab-event-uuid", "u2");
    assert_eq!(
        send(issue.header("x-gitlab-token", &made.secret)).await,
        ignored()
    );
    let branch = gitlab("push", "refs/heads/main", &revs[2], &after);
    let branch = to(&server, "gitlab", made.id, &branch)
        .header("x-gitlab-event", "Push Hook")
        .header("x-gitlab-event-uuid", "u3")
        .header("x-gitlab-token", &made.secret);
    assert_eq!(send(branch).await, ignored(), "the rule is about tags");

    let now = time::OffsetDateTime::now_utc().unix_timestamp();
    let key = STANDARD
        .decode(made.secret.strip_prefix("whsec_").unwrap())
        .unwrap();
    let standard = |id: &str, at: i64, key: &[u8]| {
        let signed = STANDARD.encode(hmac(key, format!("{id}.{at}.{body}").as_bytes()));
        event("Tag Push Hook")
            .header("webhook-id", id)
            .header("webhook-timestamp", at.to_string())
            .header("webhook-signature", format!("v1,AAAA v1,{signed}"))
    };
    assert_eq!(send(standard("m1", now, b"another")).await, refused());
    assert_eq!(
        send(standard("m1", now - 3600, &key)).await,
        refused(),
        "too old"
    );
    assert_eq!(
        send(standard("m1", now + 3600, &key)).await,
        refused(),
        "too new"
    );
    let both = standard("m1", now, b"another").header("x-gitlab-token", &made.secret);
    assert_eq!(
        send(both).await,
        refused(),
        "a wrong signature beside a token"
    );
    assert_eq!(send(standard("m1", now, &key)).await, accepted());
    assert_eq!(send(standard("m1", now, &key)).await, known());
    tasks::watch::tick(&server.app).await.unwrap();
    let seen = heads(&server, made.id).await;
    assert_eq!(seen.len(), 1);
    assert_eq!((seen[0].reference.as_str(), &seen[0].rev), ("v1", &after));
}

#[tokio::test]
async fn forgejo_and_gitea_sign_with_bare_digits() {
    let server = TestServer::start().await;
    let revs = server.tree("line", 3).await;
    let made = add(&server, json!({})).await;
    let after = push(&server, "pushed");
    let body = forgejo("refs/heads/main", &revs[2], &after);
    let right = hex::encode(hmac(made.secret.as_bytes(), body.as_bytes()));
    for name in ["forgejo", "gitea"] {
        let event = |delivery: &str, signature: Option<&str>| {
            let request = to(&server, "forgejo", made.id, &body)
                .header(format!("x-{name}-event"), "push")
                .header(format!("x-{name}-delivery"), format!("{name} {delivery}"));
            match signature {
                Some(signature) => request.header(format!("x-{name}-signature"), signature),
                None => request,
            }
        };
        assert_eq!(send(event("1", None)).await, refused());
        let wrong = hex::encode(hmac(b"another", body.as_bytes()));
        assert_eq!(send(event("1", Some(&wrong))).await, refused());
        assert_eq!(send(event("1", Some(&right))).await, accepted());
        assert_eq!(send(event("1", Some(&right))).await, known());
    }
    tasks::watch::tick(&server.app).await.unwrap();
    let seen = heads(&server, made.id).await;
    assert_eq!(seen.len(), 1, "one head, told of twice");
    assert_eq!(
        (&seen[0].rev, seen[0].told_by.as_str()),
        (&after, "forgejo")
    );
}

/// A service that takes statuses.
#[derive(Clone, Default)]
struct FakeService {
    told: Arc<Mutex<Vec<(String, HeaderMap, Value)>>>,
}

impl FakeService {
    async fn start() -> (FakeService, String) {
        let service = FakeService::default();
        let app = Router::new().fallback(take).with_state(service.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, app).await });
        (service, url)
    }

    fn told(&self) -> Vec<(String, HeaderMap, Value)> {
        self.told.lock().unwrap().clone()
    }
}

async fn take(State(service): State<FakeService>, uri: Uri, headers: HeaderMap, body: Bytes) {
    let body = serde_json::from_slice(&body).unwrap();
    service
        .told
        .lock()
        .unwrap()
        .push((uri.path().to_owned(), headers, body));
}

#[tokio::test]
async fn the_state_of_a_check_is_written_back_and_its_token_is_told_to_nobody() {
    let server = TestServer::start().await;
    server.tree("line", 3).await;
    let (service, url) = FakeService::start().await;
    for (name, project) in [
        ("github", "o/linux"),
        ("gitlab", "g/linux"),
        ("forgejo", "o/linux"),
    ] {
        let status = json!({ "service": name, "url": url, "project": project, "token": "SECRET" });
        add(&server, json!({ "name": name, "status": status })).await;
    }
    let listed = server.http.get(format!("{}/api/v1/rules", server.url));
    let listed = listed
        .bearer_auth(&server.token)
        .send()
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    assert!(
        listed.contains("github") && !listed.contains("SECRET"),
        "{listed}"
    );
    let hooks = server.http.get(format!("{}/api/v1/webhooks", server.url));
    let hooks = hooks
        .bearer_auth(&server.token)
        .send()
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    assert_eq!(hooks, "[]", "it is no webhook of anybody's");
    tasks::watch::tick(&server.app).await.unwrap();
    let deliver = async || {
        for _ in 0..3 {
            tasks::deliver::tick(&server.app).await.unwrap();
        }
    };
    deliver().await;
    let state = |told: &[(String, HeaderMap, Value)]| {
        let mut states: Vec<String> = told
            .iter()
            .map(|(_, _, body)| body["state"].as_str().unwrap().to_owned())
            .collect();
        states.sort();
        states
    };
    assert_eq!(state(&service.told()), ["pending", "pending", "running"]);
    service.told.lock().unwrap().clear();
    let mut worker = server.register().await;
    worker.work_all(|_, _| Seen::Failing(&["eof"])).await;
    tasks::watch::tick(&server.app).await.unwrap();
    deliver().await;
    let told = service.told();
    assert_eq!(state(&told), ["failed", "failure", "failure"]);
    let rev = git(&server.dir.path().join("line"), &["rev-parse", "HEAD"]);
    let mut seen = Vec::new();
    for (path, headers, body) in &told {
        let text = |name: &str| headers.get(name).map(|v| v.to_str().unwrap());
        let shown = text("authorization").or(text("private-token")).unwrap();
        seen.push((path.clone(), shown.to_owned()));
        assert_eq!(body["description"], "eof fails");
        let name = body.get("context").or(body.get("name")).unwrap();
        assert!(name.as_str().unwrap().starts_with("firstbad/"));
    }
    seen.sort();
    assert_eq!(
        seen,
        [
            (
                format!("/api/v1/repos/o/linux/statuses/{rev}"),
                "token SECRET".to_owned()
            ),
            (
                format!("/api/v4/projects/g%2Flinux/statuses/{rev}"),
                "SECRET".to_owned()
            ),
            (
                format!("/repos/o/linux/statuses/{rev}"),
                "Bearer SECRET".to_owned()
            ),
        ]
    );
}

#[tokio::test]
async fn a_trigger_runs_what_is_named_and_nothing_else() {
    let server = TestServer::start().await;
    let revs = server.tree("line", 4).await;
    let made = add(&server, json!({})).await;
    let path = format!("/triggers/{}", made.id);
    let url = format!("{}/api/v1{path}", server.url);
    let anybody = server
        .http
        .post(&url)
        .json(&json!({}))
        .send()
        .await
        .unwrap();
    assert_eq!(anybody.status(), StatusCode::UNAUTHORIZED);
    for (body, pointer) in [
        (json!({ "ref": "other" }), "/ref"),
        (json!({ "rev": "" }), "/rev"),
        (json!({ "branch": "main" }), "/branch"),
    ] {
        let refused = server.refusal(&path, &body).await;
        assert_eq!(refused.pointer.unwrap_or_default(), pointer, "{body}");
    }
    for body in [
        json!({ "rev": revs[1] }),
        json!({ "ref": "refs/heads/main" }),
        json!({ "rev": "nowhere" }),
        json!({}),
    ] {
        assert_eq!(
            server.post(&path, &body).await.status(),
            StatusCode::ACCEPTED
        );
    }
    tasks::watch::tick(&server.app).await.unwrap();
    let states = "SELECT state FROM rule_call ORDER BY id";
    let states: Vec<String> = sqlx::query_scalar(states)
        .fetch_all(&server.app.pool)
        .await
        .unwrap();
    assert_eq!(states, ["done", "done", "failed", "done"]);
    let seen = heads(&server, made.id).await;
    let mut run: Vec<&str> = seen.iter().map(|h| h.rev.as_str()).collect();
    run.sort();
    let mut wanted = [revs[1].as_str(), revs[3].as_str()];
    wanted.sort();
    assert_eq!(run, wanted);
}
