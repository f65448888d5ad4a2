//! Private jobs are not told of, neither by what they lead to nor by what they share with others.

use firstbad_api::list::{Counts, JobList, Listed};
use reqwest::StatusCode;
use serde_json::json;

use crate::common::browser::{Browser, PASSWORD, account};
use crate::common::{Seen, TestServer, request};

#[tokio::test]
async fn what_a_private_job_leads_to_is_private_and_keys_are_ones_own() {
    let server = TestServer::start().await;
    let revs = server.tree("line", 24).await;
    let mut body = request("line", &revs[0], &revs[23]);
    body["private"] = json!(true);
    body["every_flip"] = json!(true);
    let private = server.post_keyed("/jobs", &body, Some("key")).await;
    assert_eq!(private.status(), StatusCode::CREATED);
    let mut worker = server.register().await;
    // It breaks in two cases, at two commits, and each gets a job.
    let seen = |rev: &str, _: u64| match revs.iter().position(|r| r == rev) {
        Some(at) if at >= 15 => Seen::Failing(&["eof", "unaligned"]),
        Some(at) if at >= 6 => Seen::Failing(&["eof"]),
        Some(_) => Seen::Failing(&[]),
        None => Seen::Failing(&["eof", "unaligned"]),
    };
    worker.work_all(seen).await;
    let all: JobList = read(&server, Some(&server.token), "/jobs").await;
    assert!(all.jobs.len() > 1, "{}", all.jobs.len());
    let owned = |j: &Listed| j.private && j.owner == "token:local";
    assert!(all.jobs.iter().all(owned));
    let others: JobList = read(&server, None, "/jobs").await;
    assert_eq!((others.jobs, others.counts), (vec![], Counts::default()));

    account(&server, "alice", "submitter").await;
    let mut alice = Browser::new(&server);
    alice.sign_in("alice", PASSWORD).await;
    let form_token = alice.form_token("/help").await;
    let asked = server.http.post(format!("{}/api/v1/jobs", server.url));
    let asked = asked
        .header("cookie", alice.cookie.clone().unwrap())
        .header("origin", &server.url)
        .header("x-form-token", form_token)
        .header("idempotency-key", "key");
    let created = asked.json(&body).send().await.unwrap();
    assert_eq!(
        created.status(),
        StatusCode::CREATED,
        "not that of somebody else"
    );
}

async fn read<T: serde::de::DeserializeOwned>(
    server: &TestServer,
    token: Option<&str>,
    path: &str,
) -> T {
    let mut asked = server.http.get(format!("{}/api/v1{path}", server.url));
    if let Some(token) = token {
        asked = asked.bearer_auth(token);
    }
    asked.send().await.unwrap().json().await.unwrap()
}

#[tokio::test]
async fn a_shared_attempt_is_seen_by_who_sees_one_job_that_needs_it() {
    let server = TestServer::start().await;
    let revs = server.tree("line", 8).await;
    let mut body = request("line", &revs[0], &revs[7]);
    body["private"] = json!(true);
    body["title"] = json!("SECRET");
    let private = server.submit(&body).await;
    let mut worker = server.register().await;
    let seen = |rev: &str, _: u64| match revs.iter().position(|r| r == rev) {
        Some(at) if at >= 5 => Seen::Fails,
        _ => Seen::Clean,
    };
    worker.work_all(seen).await;
    let attempts = sqlx::query_scalar(
        "SELECT DISTINCT attempt_id FROM probe WHERE job_id = $1
         UNION SELECT again_id FROM repeat ORDER BY 1",
    );
    let attempts: Vec<i64> = attempts
        .bind(private)
        .fetch_all(&server.app.pool)
        .await
        .unwrap();
    let stranger = Browser::new(&server);
    let visible = async || {
        let mut visible = Vec::new();
        for id in &attempts {
            let (status, page) = stranger.get(&format!("/attempts/{id}")).await;
            assert!(!page.contains("SECRET"));
            if status == StatusCode::OK {
                visible.push(*id);
            }
        }
        visible
    };
    assert_eq!(visible().await, [] as [i64; 0]);
    let public = server.submit(&request("line", &revs[0], &revs[7])).await;
    worker.work_all(seen).await;
    assert_eq!(visible().await, attempts, "job {public} needs the same");
}
