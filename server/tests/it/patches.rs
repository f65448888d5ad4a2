//! Patches on their way: a Patchwork is told what becomes of their jobs, and jobs are found by mails.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode as Answer};
use axum::routing::post;
use firstbad_api::patch::PatchVerdict;
use firstbad_api::tree::History;
use firstbad_api::user::MadeToken;
use firstbad_api::webhook::{Delivery, MadeWebhook};
use firstbad_server::tasks::deliver;
use serde_json::{Value, json};

use crate::common::{Seen, TestServer, git, request};

const SERVER: &str = "https://bisect.example.org";
const TOKEN: &str = "0123456789abcdef0123456789abcdef01234567";

/// A Patchwork that takes checks, and answers as the test says.
#[derive(Clone, Default)]
struct FakePatchwork {
    checks: Arc<Mutex<Vec<(i64, Value)>>>,
    /// Statuses of the next answers; then 201.
    answers: Arc<Mutex<Vec<u16>>>,
}

impl FakePatchwork {
    async fn start() -> (FakePatchwork, String) {
        let fake = FakePatchwork::default();
        let app = Router::new()
            .route("/api/patches/{id}/checks/", post(take))
            .with_state(fake.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, app).await });
        (fake, url)
    }

    fn states(&self) -> Vec<(i64, String)> {
        let checks = self.checks.lock().unwrap();
        let state =
            |(patch, check): &(i64, Value)| (*patch, check["state"].as_str().unwrap().to_owned());
        checks.iter().map(state).collect()
    }
}

async fn take(
    State(fake): State<FakePatchwork>,
    Path(patch): Path<i64>,
    headers: HeaderMap,
    body: String,
) -> Answer {
    if let Some(status) = fake.answers.lock().unwrap().pop() {
        return Answer::from_u16(status).unwrap();
    }
    assert_eq!(headers["authorization"], format!("Token {TOKEN}"));
    assert_eq!(headers["content-type"], "application/json");
    assert!(
        !headers.contains_key("webhook-signature"),
        "the token signs nothing"
    );
    let check: Value = serde_json::from_str(&body).unwrap();
    fake.checks.lock().unwrap().push((patch, check));
    Answer::CREATED
}

/// Waits until what is due has been sent.
async fn sent(server: &TestServer) {
    deliver::tick(&server.app).await.unwrap();
}

async fn due_now(server: &TestServer) {
    let now = "UPDATE delivery SET at = now() WHERE state = 'waiting'";
    sqlx::query(now).execute(&server.app.pool).await.unwrap();
}

#[tokio::test]
async fn a_patchwork_is_told_what_becomes_of_a_patchs_job() {
    let server = TestServer::start_as(false, Some(SERVER)).await;
    let (fake, url) = FakePatchwork::start().await;
    let revs = server.tree("line", 10).await;
    let mut body = request("line", &revs[0], &revs[9]);
    body["patchwork"] = json!({ "url": url, "patch": 77 });
    let unknown = server.refusal("/jobs", &body).await;
    assert_eq!(unknown.pointer.as_deref(), Some("/patchwork/url"));

    let end = json!({ "url": url, "patchwork": { "token": TOKEN } });
    let answer = server.post("/webhooks", &end).await;
    assert_eq!(answer.status(), 201);
    let made: MadeWebhook = answer.json().await.unwrap();
    assert_eq!(made.secret, "", "whoever made it has the token");
    let again = server.post("/webhooks", &end).await;
    assert_eq!(again.status(), 409);
    for (field, wrong) in [
        (
            "/patchwork",
            json!({ "url": url, "patchwork": { "token": TOKEN }, "every": true }),
        ),
        (
            "/patchwork/token",
            json!({ "url": url, "patchwork": { "token": "a b" } }),
        ),
    ] {
        let refused = server.refusal("/webhooks", &wrong).await;
        assert_eq!(refused.pointer.as_deref(), Some(field));
    }
    let private = json!({ "private": true });
    for (change, field) in [
        (
            json!({ "patchwork": { "url": url, "patch": 0 } }),
            "/patchwork/patch",
        ),
        (private, "/patchwork"),
    ] {
        let mut wrong = body.clone();
        wrong
            .as_object_mut()
            .unwrap()
            .extend(change.as_object().unwrap().clone());
        let refused = server.refusal("/jobs", &wrong).await;
        assert_eq!(refused.pointer.as_deref(), Some(field));
    }

    let job = server.submit(&body).await;
    sent(&server).await;
    assert_eq!(fake.states(), [(77, "pending".to_owned())]);
    // Who asks the same about another patch has that told too.
    let mut other = body.clone();
    other["patchwork"]["patch"] = json!(78);
    let joined = server.post("/jobs", &other).await;
    assert_eq!(joined.status(), 200, "{}", joined.text().await.unwrap());
    sent(&server).await;
    assert!(fake.states().contains(&(78, "pending".to_owned())));
    fake.checks.lock().unwrap().clear();

    let seen = |rev: &str, _: u64| match revs.iter().position(|r| r == rev) {
        Some(at) if at >= 6 => Seen::Fails,
        _ => Seen::Clean,
    };
    let ended = server.register().await.work(job, seen).await;
    // It does not answer at first: the same is sent again, once.
    fake.answers.lock().unwrap().push(503);
    for _ in 0..4 {
        sent(&server).await;
        due_now(&server).await;
    }
    let mut states = fake.states();
    states.sort();
    assert_eq!(states, [(77, "fail".to_owned()), (78, "fail".to_owned())]);
    let (_, check) = fake.checks.lock().unwrap()[0].clone();
    let fields: Vec<&String> = check.as_object().unwrap().keys().collect();
    assert_eq!(fields.len(), 4, "{check}");
    assert_eq!(check["target_url"], format!("{SERVER}/jobs/{job}"));
    assert_eq!(check["context"], "firstbad");
    let said = check["description"].as_str().unwrap();
    assert!(
        ended.sentence.starts_with(said) || said == ended.sentence,
        "{said}"
    );
    // The log of deliveries is that of all webhooks, and holds no token.
    let log: Vec<Delivery> = server
        .get(&format!("/webhooks/{}/deliveries", made.id))
        .await;
    assert_eq!(log.len(), 4);
    assert!(log.iter().all(|d| d.state == "delivered"), "{log:?}");
    assert!(log.iter().any(|d| d.tries == 2));
    let pages: Value = server.get("/webhooks").await;
    assert!(!pages.to_string().contains(TOKEN));
    let back = server
        .post(
            &format!("/jobs/{job}/retract"),
            &json!({ "reason": "wrong" }),
        )
        .await;
    assert!(back.status().is_success());
    for _ in 0..2 {
        sent(&server).await;
        due_now(&server).await;
    }
    assert!(fake.states().contains(&(77, "warning".to_owned())));
}

/// What is written there is written under the server's name: not by everybody who may submit.
#[tokio::test]
async fn a_patch_is_named_by_who_made_its_patchwork_known_and_by_operators() {
    let server = TestServer::start_as(false, Some(SERVER)).await;
    let (fake, url) = FakePatchwork::start().await;
    let revs = server.tree("line", 3).await;
    let end = json!({ "url": url, "patchwork": { "token": TOKEN } });
    let made: MadeWebhook = server.post("/webhooks", &end).await.json().await.unwrap();
    let mut body = request("line", &revs[0], &revs[2]);
    body["patchwork"] = json!({ "url": url, "patch": 77 });
    let asked = async |path: &str, token: &str, seed: u64| {
        let mut body = body.clone();
        body["seed"] = json!(seed);
        let asked = server
            .http
            .post(format!("{}/api/v1/jobs{path}", server.url));
        let answer = asked.bearer_auth(token).json(&body).send().await.unwrap();
        let status = answer.status().as_u16();
        (status, answer.json::<Value>().await.unwrap())
    };
    let token = async |name: &str, role: &str| {
        let new = json!({ "name": name, "role": role });
        let answer = server.post("/tokens", &new).await;
        let made: MadeToken = answer.json().await.unwrap();
        made.token
    };
    let (other, operator) = (
        token("other", "submitter").await,
        token("op", "operator").await,
    );
    let mut elsewhere = body.clone();
    elsewhere["patchwork"]["url"] = json!("https://nowhere.example.org/");
    let nowhere = server.refusal("/jobs", &elsewhere).await;
    for path in ["", "/preview"] {
        let (status, refused) = asked(path, &other, 1).await;
        assert_eq!(
            (status, &refused["pointer"]),
            (422, &json!("/patchwork/url"))
        );
        assert_eq!(
            refused["detail"], nowhere.detail,
            "it does not tell whether there is one"
        );
    }
    assert_eq!(asked("", &operator, 2).await.0, 201);
    sent(&server).await;
    assert_eq!(fake.states(), [(77, "pending".to_owned())]);
    // Whoever made it known needs no more than to submit.
    let theirs = "UPDATE webhook SET owner = 'token:local/other' WHERE id = $1";
    let theirs = sqlx::query(theirs).bind(made.id);
    theirs.execute(&server.app.pool).await.unwrap();
    assert_eq!(asked("", &other, 3).await.0, 201);
}

#[tokio::test]
async fn jobs_are_found_by_the_mails_of_a_series() {
    let server = TestServer::start().await;
    let revs = server.tree("line", 3).await;
    let repo = server.dir.path().join("line");
    git(&repo, &["checkout", "-q", "-b", "topic", &revs[2]]);
    for i in 0..5 {
        std::fs::write(repo.join(format!("new{i}")), format!("{i}\n")).unwrap();
        git(&repo, &["add", "."]);
        git(&repo, &["commit", "-q", "-m", &format!("patch {i}")]);
    }
    let thread = [
        "format-patch",
        "--stdout",
        "--thread",
        "--cover-letter",
        &revs[2],
    ];
    let mbox = git(&repo, &thread) + "\n";
    let ids: Vec<&str> = mbox
        .lines()
        .filter_map(|l| {
            l.strip_prefix("Message-ID: <")
                .or(l.strip_prefix("Message-Id: <"))
        })
        .map(|l| l.trim_end_matches('>'))
        .collect();
    assert_eq!(ids.len(), 6);
    let body = json!({ "base": "main", "mbox": mbox });
    let answer = server.post("/trees/line/series", &body).await;
    let history: History = answer.json().await.unwrap();
    let verdicts = async |query: String| -> Vec<PatchVerdict> {
        let url = format!("{}/api/v1/patches?{query}", server.url);
        server
            .http
            .get(url)
            .send()
            .await
            .unwrap()
            .json()
            .await
            .unwrap()
    };
    let by_mail = |n: usize| format!("message_id={}", ids[n]);
    assert_eq!(verdicts(by_mail(3)).await, [], "no job yet");
    let job = server
        .submit(&request("line", &history.base, &history.tip))
        .await;
    assert_eq!(verdicts(by_mail(3)).await[0].status, "warn");
    let at = |rev: &str| history.commits.iter().position(|c| c.rev == rev);
    let seen = |rev: &str, _: u64| match at(rev) {
        Some(at) if at >= 2 => Seen::Fails,
        _ => Seen::Clean,
    };
    let ended = server.register().await.work(job, seen).await;
    // The third patch; the first of the mails is the cover letter.
    let guilty = verdicts(by_mail(3)).await;
    assert_eq!((guilty.len(), guilty[0].status.as_str()), (1, "fail"));
    assert_eq!(
        (guilty[0].job, guilty[0].path.as_str()),
        (job, format!("/jobs/{job}").as_str())
    );
    assert_eq!(guilty[0].summary, ended.sentence);
    for n in [1, 2, 4, 5] {
        assert_eq!(verdicts(by_mail(n)).await[0].status, "pass", "{n}");
    }
    assert_eq!(verdicts(by_mail(0)).await.len(), 1);
    // By what it changes, wherever the mail came from.
    let diff = git(&repo, &["diff-tree", "-p", "topic~2"]);
    let id = std::process::Command::new("sh")
        .args([
            "-c",
            "printf '%s\\n' \"$1\" | git patch-id --stable",
            "sh",
            &diff,
        ])
        .output()
        .unwrap();
    let id = String::from_utf8(id.stdout).unwrap();
    let id = id.split_whitespace().next().unwrap();
    assert_eq!(verdicts(format!("patch_id={id}")).await, guilty);
    let nothing = server.http.get(format!("{}/api/v1/patches", server.url));
    assert_eq!(nothing.send().await.unwrap().status(), 422);
    // A private job is there for its owner alone.
    let mut private = request("line", &history.base, &history.tip);
    private["private"] = json!(true);
    server.submit(&private).await;
    assert_eq!(verdicts(by_mail(3)).await.len(), 1);
    let own: Vec<PatchVerdict> = server.get(&format!("/patches?{}", by_mail(3))).await;
    assert_eq!(own.len(), 2);
}
