//! Verdicts of people count, say whose they are, and can be taken back.

use firstbad_api::job::{Job, Outcome, Word};
use reqwest::StatusCode;
use serde_json::json;

use crate::common::{Seen, TestServer, request};

fn is_marked(job: &Job, rev: &str) -> bool {
    job.candidates
        .iter()
        .any(|c| c.rev == rev && c.mark.as_ref().is_some_and(|m| m.mark == Word::Good))
}

#[tokio::test]
async fn a_marked_revision_is_not_tested_and_its_mark_can_be_undone() {
    let server = TestServer::start().await;
    let revs = server.tree("line", 24).await;
    let job = server.submit(&request("line", &revs[0], &revs[23])).await;
    let path = format!("/jobs/{job}/marks");
    for (at, word) in [(11, "bad"), (11, "good"), (12, "good"), (20, "bad")] {
        let body = json!({ "rev": &revs[at][..9], "mark": word, "why": "seen on my laptop" });
        let answer = server.post(&path, &body).await;
        assert_eq!(answer.status(), StatusCode::CREATED);
    }
    let undo = |rev: &str| {
        let url = format!("{}/api/v1{path}/{rev}", server.url);
        server.http.delete(url).bearer_auth(&server.token).send()
    };
    assert_eq!(
        undo(&revs[20]).await.unwrap().status(),
        StatusCode::NO_CONTENT
    );
    assert_eq!(
        undo(&revs[20]).await.unwrap().status(),
        StatusCode::NOT_FOUND
    );
    assert!(is_marked(&server.job(job).await, &revs[12]));
    let mut worker = server.register().await;
    let seen = |rev: &str, _: u64| match revs.iter().position(|r| r == rev).unwrap() {
        11 | 12 => panic!("a marked revision was tested"),
        at if at >= 17 => Seen::Fails,
        _ => Seen::Clean,
    };
    let ended = worker.work(job, seen).await;
    assert!(
        matches!(&ended.outcome, Some(Outcome::Culprit { rev, .. }) if *rev == revs[17]),
        "{:?}",
        ended.outcome
    );
    let marked = ended.candidates.iter().find(|c| c.rev == revs[12]).unwrap();
    assert_eq!(marked.why, "marked by local: seen on my laptop");
    assert_eq!(
        undo(&revs[12]).await.unwrap().status(),
        StatusCode::CONFLICT
    );
    let noted: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM audit WHERE what IN ('revision marked', 'mark undone')",
    )
    .fetch_one(&server.app.pool)
    .await
    .unwrap();
    assert_eq!(noted, 5);
}

#[tokio::test]
async fn a_mark_at_the_parent_is_part_of_the_checks() {
    let server = TestServer::start().await;
    let revs = server.tree("line", 12).await;
    let job = server.submit(&request("line", &revs[0], &revs[11])).await;
    let body = json!({ "rev": revs[6], "mark": "good" });
    server.post(&format!("/jobs/{job}/marks"), &body).await;
    let mut worker = server.register().await;
    let seen = |rev: &str, _: u64| match revs.iter().position(|r| r == rev).unwrap() {
        at if at >= 7 => Seen::Fails,
        _ => Seen::Clean,
    };
    let ended = worker.work(job, seen).await;
    let Some(Outcome::Culprit { rev, checks, .. }) = &ended.outcome else {
        panic!("{:?}", ended.outcome);
    };
    assert_eq!(*rev, revs[7]);
    assert!(
        checks
            .iter()
            .any(|c| c.name == "parent" && c.detail == "marked good by local"),
        "{checks:?}"
    );
}

#[tokio::test]
async fn wrong_marks_name_the_field() {
    let server = TestServer::start().await;
    let revs = server.tree("line", 6).await;
    let job = server.submit(&request("line", &revs[0], &revs[5])).await;
    let path = format!("/jobs/{job}/marks");
    for (body, field) in [
        (json!({ "rev": "abc", "mark": "good" }), "/rev"),
        (json!({ "rev": "--all-of-it", "mark": "good" }), "/rev"),
        (json!({ "rev": "0".repeat(40), "mark": "good" }), "/rev"),
        (
            json!({ "rev": revs[2], "mark": "good", "why": "x".repeat(501) }),
            "/why",
        ),
    ] {
        let problem = server.refusal(&path, &body).await;
        assert_eq!(
            problem.pointer.as_deref(),
            Some(field),
            "{}",
            problem.detail
        );
    }
    let body = json!({ "rev": revs[2], "mark": "fine" });
    let problem = server.refusal(&path, &body).await;
    assert_eq!(
        problem.pointer.as_deref(),
        Some("/mark"),
        "{}",
        problem.detail
    );
    server
        .refusal("/jobs/99/marks", &json!({ "rev": revs[2], "mark": "good" }))
        .await;
}
