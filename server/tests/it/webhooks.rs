//! What becomes of a job is told, once, signed, and to nobody else; whatever the receiver does.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode as Answer};
use axum::routing::post;
use firstbad_api::limits;
use firstbad_api::webhook::{Delivery, MadeWebhook, Webhook};
use firstbad_server::tasks::deliver;
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::common::browser::{Browser, PASSWORD, account};
use crate::common::{Seen, TestServer, request};

/// Somebody who is told, and answers as the test says.
#[derive(Clone, Default)]
struct Receiver {
    told: Arc<Mutex<Vec<(HeaderMap, String)>>>,
    /// Statuses of the next answers; then 204.
    answers: Arc<Mutex<Vec<u16>>>,
    slow: Arc<Mutex<Duration>>,
}

impl Receiver {
    async fn start() -> (Receiver, String) {
        let receiver = Receiver::default();
        let app = Router::new()
            .route("/hook", post(receive))
            .route("/elsewhere", post(receive))
            .with_state(receiver.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, app).await });
        (receiver, url)
    }

    fn told(&self) -> Vec<(HeaderMap, String)> {
        self.told.lock().unwrap().clone()
    }

    fn will_answer(&self, statuses: &[u16]) {
        self.answers.lock().unwrap().extend(statuses);
    }
}

async fn receive(
    State(receiver): State<Receiver>,
    headers: HeaderMap,
    body: Bytes,
) -> (Answer, [(&'static str, &'static str); 2]) {
    let slow = *receiver.slow.lock().unwrap();
    tokio::time::sleep(slow).await;
    let text = String::from_utf8(body.to_vec()).unwrap();
    receiver.told.lock().unwrap().push((headers, text));
    let mut answers = receiver.answers.lock().unwrap();
    let status = if answers.is_empty() {
        204
    } else {
        answers.remove(0)
    };
    let more = [("location", "/elsewhere"), ("retry-after", "9000")];
    (Answer::from_u16(status).unwrap(), more)
}

async fn hook(server: &TestServer, body: Value) -> MadeWebhook {
    let answer = server.post("/webhooks", &body).await;
    assert_eq!(answer.status(), StatusCode::CREATED);
    answer.json().await.unwrap()
}

async fn log_of(server: &TestServer, hook: i64) -> Vec<Delivery> {
    server.get(&format!("/webhooks/{hook}/deliveries")).await
}

/// As if the time of every next try had come.
async fn later(server: &TestServer) {
    sqlx::query("UPDATE delivery SET at = now() WHERE state = 'waiting'")
        .execute(&server.app.pool)
        .await
        .unwrap();
    deliver::tick(&server.app).await.unwrap();
}

#[tokio::test]
async fn a_result_is_told_once_and_its_signature_holds() {
    let server = TestServer::start().await;
    let revs = server.tree("line", 8).await;
    let (receiver, url) = Receiver::start().await;
    let made = hook(&server, json!({ "url": url })).await;
    let job = server.submit(&request("line", &revs[0], &revs[7])).await;
    let mut worker = server.register().await;
    let seen = |rev: &str, _: u64| match revs.iter().position(|r| r == rev).unwrap_or(0) {
        at if at >= 3 => Seen::Fails,
        _ => Seen::Clean,
    };
    worker.work(job, seen).await;
    // As with the decision, so with what is told: nothing was sent before it was made.
    assert!(receiver.told().is_empty());
    for _ in 0..3 {
        deliver::tick(&server.app).await.unwrap();
    }
    let told = receiver.told();
    assert_eq!(told.len(), 1, "not doubled by further passes");
    let (headers, body) = &told[0];
    assert!(body.len() < 20 << 10);
    let verified = standardwebhooks::Webhook::new(&made.secret).unwrap();
    let id = headers["webhook-id"].to_str().unwrap();
    let timestamp = headers["webhook-timestamp"]
        .to_str()
        .unwrap()
        .parse()
        .unwrap();
    let theirs = verified.sign(id, timestamp, body.as_bytes()).unwrap();
    assert_eq!(headers["webhook-signature"].to_str().unwrap(), theirs);
    let event: Value = serde_json::from_str(body).unwrap();
    assert_eq!(event["type"], "bisection.completed");
    assert_eq!(event["data"]["job"], job);
    assert_eq!(event["data"]["outcome"]["outcome"], "culprit");
    assert_eq!(event["data"]["outcome"]["rev"], revs[3]);
    assert_eq!(event["data"]["outcome"].get("checks"), None);
    let log = log_of(&server, made.id).await;
    assert_eq!(
        (log[0].state.as_str(), log[0].tries, log[0].status),
        ("delivered", 1, Some(204))
    );

    // Once more, under the same id, so that a receiver can tell.
    let replay = format!("/deliveries/{}/replay", log[0].id);
    assert_eq!(
        server.post(&replay, &json!({})).await.status(),
        StatusCode::ACCEPTED
    );
    deliver::tick(&server.app).await.unwrap();
    let told = receiver.told();
    assert_eq!(
        (told.len(), &told[0].0["webhook-id"]),
        (2, &told[1].0["webhook-id"])
    );
    server
        .post(&format!("/jobs/{job}/retract"), &json!({ "reason": "no" }))
        .await;
    deliver::tick(&server.app).await.unwrap();
    let event: Value = serde_json::from_str(&receiver.told()[2].1).unwrap();
    assert_eq!(
        (&event["type"], &event["data"]["retracted"]),
        (&json!("bisection.retracted"), &json!("no"))
    );
}

#[tokio::test]
async fn a_receiver_that_is_down_is_tried_again_as_the_schedule_says() {
    let server = TestServer::start().await;
    let (receiver, url) = Receiver::start().await;
    let made = hook(&server, json!({ "url": url })).await;
    let test = format!("/webhooks/{}/test", made.id);
    receiver.will_answer(&[500, 302, 429]);
    server.post(&test, &json!({})).await;
    deliver::tick(&server.app).await.unwrap();
    let wait = || async {
        let query = "SELECT extract(epoch FROM at - now())::float8 FROM delivery";
        sqlx::query_scalar::<_, f64>(query)
            .fetch_one(&server.app.pool)
            .await
            .unwrap()
    };
    // The receiver asks for 9000 s, which is longer than the schedule's 5.
    assert!(
        (8900.0..=9000.0).contains(&wait().await),
        "{}",
        wait().await
    );
    deliver::tick(&server.app).await.unwrap();
    assert_eq!(receiver.told().len(), 1, "not before its time");
    later(&server).await;
    let log = log_of(&server, made.id).await;
    assert_eq!(
        log[0].error.as_deref(),
        Some("it answered 302, and no redirect is followed")
    );
    assert_eq!(receiver.told().len(), 2, "nothing was followed");
    later(&server).await;
    later(&server).await;
    let log = log_of(&server, made.id).await;
    assert_eq!((log[0].state.as_str(), log[0].tries), ("delivered", 4));

    // Nobody listens: as often as the schedule says, and then it is given up.
    let gone = hook(&server, json!({ "url": "http://127.0.0.1:9/hook" })).await;
    server
        .post(&format!("/webhooks/{}/test", gone.id), &json!({}))
        .await;
    for tries in 1..=limits::WEBHOOK_WAITS_S.len() {
        later(&server).await;
        let log = log_of(&server, gone.id).await;
        assert_eq!(usize::try_from(log[0].tries).unwrap(), tries);
        assert!(
            log[0]
                .error
                .as_deref()
                .unwrap()
                .starts_with("nobody listens there"),
            "{log:?}"
        );
    }
    assert_eq!(log_of(&server, gone.id).await[0].state, "failed");
    later(&server).await;
    assert_eq!(log_of(&server, gone.id).await[0].tries, 10);
}

#[tokio::test]
async fn a_receiver_that_is_gone_is_told_nothing_more_until_somebody_says_so() {
    let server = TestServer::start().await;
    let (receiver, url) = Receiver::start().await;
    let made = hook(&server, json!({ "url": url })).await;
    let test = format!("/webhooks/{}/test", made.id);
    receiver.will_answer(&[410]);
    server.post(&test, &json!({})).await;
    deliver::tick(&server.app).await.unwrap();
    let hooks: Vec<Webhook> = server.get("/webhooks").await;
    assert!(hooks[0].disabled.as_deref().unwrap().contains("410"));
    let revs = server.tree("line", 6).await;
    let job = server.submit(&request("line", &revs[0], &revs[5])).await;
    server
        .post(&format!("/jobs/{job}/cancel"), &json!({}))
        .await;
    deliver::tick(&server.app).await.unwrap();
    assert_eq!(receiver.told().len(), 1);
    server.post(&test, &json!({})).await;
    deliver::tick(&server.app).await.unwrap();
    assert_eq!(receiver.told().len(), 2, "a test begins again");
}

#[tokio::test]
async fn a_slow_receiver_keeps_nobody_else_waiting_and_a_dead_server_doubles_nothing() {
    let server = TestServer::start().await;
    let (slow, slow_url) = Receiver::start().await;
    let (quick, quick_url) = Receiver::start().await;
    *slow.slow.lock().unwrap() = Duration::from_secs(3);
    let first = hook(&server, json!({ "url": slow_url })).await;
    let second = hook(&server, json!({ "url": quick_url })).await;
    for made in [&first, &second, &second] {
        server
            .post(&format!("/webhooks/{}/test", made.id), &json!({}))
            .await;
    }
    let stop = tokio_util::sync::CancellationToken::new();
    let task = tokio::spawn(deliver::run(server.app.clone(), stop.clone()));
    for _ in 0..40 {
        if quick.told().len() == 2 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(
        quick.told().len(),
        2,
        "both while the slow one still thinks"
    );
    assert!(slow.told().is_empty());
    // The server dies in the middle of a try: another one leaves that alone until its lease is over.
    task.abort();
    deliver::tick(&server.app).await.unwrap();
    assert_eq!(log_of(&server, first.id).await[0].tries, 1);
    *slow.slow.lock().unwrap() = Duration::ZERO;
    later(&server).await;
    let ids: Vec<_> = slow
        .told()
        .iter()
        .map(|(h, _)| h["webhook-id"].clone())
        .collect();
    assert!(
        !ids.is_empty() && ids.iter().all(|id| *id == ids[0]),
        "one message, one id"
    );
    assert_eq!(log_of(&server, first.id).await[0].state, "delivered");
}

#[tokio::test]
async fn nobody_is_told_of_what_is_not_theirs_and_nothing_is_sent_inside() {
    let server = TestServer::start().await;
    let revs = server.tree("line", 6).await;
    account(&server, "alice", "submitter").await;
    account(&server, "bob", "submitter").await;
    let (receiver, url) = Receiver::start().await;
    let mut alice = Browser::new(&server);
    alice.sign_in("alice", PASSWORD).await;
    let token = alice.form_token("/webhooks").await;
    let token = ("form_token", token.as_str());
    let made = alice.post("/webhooks", &[token, ("url", &url)]).await;
    assert!(made.text().await.unwrap().contains("whsec_"));
    let every = alice
        .post("/webhooks", &[token, ("url", &url), ("every", "on")])
        .await;
    assert_eq!(every.status(), StatusCode::FORBIDDEN);
    // Of an operator: of all public jobs.
    hook(&server, json!({ "url": url, "every": true })).await;
    let mut bob = Browser::new(&server);
    bob.sign_in("bob", PASSWORD).await;
    assert_eq!(bob.get("/webhooks/1").await.0, StatusCode::NOT_FOUND);
    let bobs = bob.form_token("/webhooks").await;
    let remove = bob
        .post("/webhooks/1/remove", &[("form_token", &bobs)])
        .await;
    assert_eq!(remove.status(), StatusCode::NOT_FOUND);
    // Bob's private job is told to nobody here.
    for private in [true, false] {
        let mut body = request("line", &revs[0], &revs[5]);
        body["private"] = json!(private);
        let asked = format!(
            "/jobs/new?tree=line&good={}&bad={}&suite=btrfs/direct-io",
            revs[0], revs[5]
        );
        let form = bob.form_token(&asked).await;
        let mut fields = vec![
            ("form_token", form.as_str()),
            ("tree", "line"),
            ("good", &revs[0]),
            ("bad", &revs[5]),
            ("suite", "btrfs/direct-io"),
        ];
        if private {
            fields.push(("private", "on"));
        }
        let made = bob.post("/jobs", &fields).await;
        let at = made.headers()["location"].to_str().unwrap().to_owned();
        server.post(&format!("{at}/cancel"), &json!({})).await;
    }
    deliver::tick(&server.app).await.unwrap();
    let told = receiver.told();
    assert_eq!(told.len(), 1, "the public one, to the operator");
    assert!(told[0].1.contains("\"job\" : 2"), "{}", told[0].1);

    for url in ["https://10.0.0.1/", "https://[::1]/x", "gopher://x/"] {
        let problem = server.refusal("/webhooks", &json!({ "url": url })).await;
        assert_eq!(problem.pointer.as_deref(), Some("/url"), "{url}");
    }
    let unknown = json!({ "url": url, "events": ["job.done"] });
    assert_eq!(
        server
            .refusal("/webhooks", &unknown)
            .await
            .pointer
            .as_deref(),
        Some("/events")
    );
}

#[tokio::test]
async fn a_job_has_so_many_callbacks_and_no_more() {
    let server = TestServer::start().await;
    let revs = server.tree("line", 4).await;
    let (_receiver, url) = Receiver::start().await;
    let mut body = request("line", &revs[0], &revs[3]);
    let job = server.submit(&body).await;
    body["callback"] = json!({ "url": url });
    let refused = async || {
        let problem = server.refusal("/jobs", &body).await;
        let said = (problem.status, problem.kind, problem.pointer);
        let expected = (409, "too-many".to_owned(), Some("/callback".to_owned()));
        assert_eq!(said, expected, "{}", problem.detail);
    };
    for _ in 0..limits::CALLBACKS_OF_OWNER {
        assert_eq!(server.post("/jobs", &body).await.status(), 200);
    }
    refused().await;
    // What was refused has not joined the job either.
    let count = async |what: &str| -> i64 {
        let count = format!("SELECT count(*) FROM {what} WHERE job_id = $1");
        let count = sqlx::query_scalar(sqlx::AssertSqlSafe(count)).bind(job);
        count.fetch_one(&server.app.pool).await.unwrap()
    };
    assert_eq!(count("webhook").await, limits::CALLBACKS_OF_OWNER);
    assert_eq!(count("requester").await, limits::CALLBACKS_OF_OWNER);
    // One without a callback joins.
    let plain = request("line", &revs[0], &revs[3]);
    assert_eq!(server.post("/jobs", &plain).await.status(), 200);

    // The others' count, too.
    sqlx::query("UPDATE webhook SET owner = 'user:' || id WHERE job_id = $1")
        .bind(job)
        .execute(&server.app.pool)
        .await
        .unwrap();
    for n in limits::CALLBACKS_OF_OWNER..limits::CALLBACKS_OF_JOB {
        sqlx::query("INSERT INTO webhook (url, secret, owner, job_id) VALUES ($1, '', $2, $3)")
            .bind(&url)
            .bind(format!("user:other{n}"))
            .bind(job)
            .execute(&server.app.pool)
            .await
            .unwrap();
    }
    refused().await;
}

#[tokio::test]
async fn a_callback_is_told_of_its_job_alone_with_the_secret_that_was_given() {
    let server = TestServer::start().await;
    let revs = server.tree("line", 4).await;
    let (receiver, url) = Receiver::start().await;
    let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    let mut body = request("line", &revs[0], &revs[3]);
    body["callback"] = json!({ "url": url, "secret": secret });
    let (job, other) = (server.submit(&body).await, {
        let other = request("line", &revs[0], &revs[2]);
        server.submit(&other).await
    });
    // Who joins is told too, and gets a secret of its own.
    let mut joins = request("line", &revs[0], &revs[3]);
    joins["callback"] = json!({ "url": url });
    let answer = server.post("/jobs", &joins).await;
    let joined: firstbad_api::job::Created = answer.json().await.unwrap();
    assert_eq!((joined.id, joined.joined), (job, true));
    let made = joined.callback_secret.unwrap();

    // Neither address nor secret is shown with the job.
    let shown: Value = server.get(&format!("/jobs/{job}")).await;
    let text = shown.to_string();
    assert!(
        !text.contains("whsec_") && !text.contains("/hook"),
        "{text}"
    );
    for job in [other, job] {
        server
            .post(&format!("/jobs/{job}/cancel"), &json!({}))
            .await;
    }
    for _ in 0..2 {
        deliver::tick(&server.app).await.unwrap();
    }
    let told = receiver.told();
    assert_eq!(told.len(), 2);
    let signed = |secret: &str, (headers, body): &(HeaderMap, String)| {
        let by = standardwebhooks::Webhook::new(secret).unwrap();
        by.verify(body.as_bytes(), headers).is_ok()
    };
    for secret in [secret, made.as_str()] {
        assert_eq!(told.iter().filter(|t| signed(secret, t)).count(), 1);
    }
    for (_, body) in &told {
        let event: Value = serde_json::from_str(body).unwrap();
        assert_eq!(
            (&event["type"], &event["data"]["job"]),
            (&json!("bisection.cancelled"), &json!(job))
        );
    }
    for (callback, pointer) in [
        (json!({ "url": "ftp://x/" }), "/callback/url"),
        (json!({ "url": "https://10.0.0.1/" }), "/callback/url"),
        (
            json!({ "url": url, "secret": "whsec_c2hvcnQ=" }),
            "/callback/secret",
        ),
    ] {
        body["callback"] = callback;
        assert_eq!(
            server.refusal("/jobs", &body).await.pointer.as_deref(),
            Some(pointer)
        );
    }
}
