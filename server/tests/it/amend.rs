//! A job can be changed while it searches and after it ended, and nothing it observed is lost.

use firstbad_api::amend::Done;
use firstbad_api::job::{Created, Job, Outcome};
use firstbad_server::tasks;
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::common::{MENDS, Seen, TestServer, request};

/// A patch that applies to every commit of a line.
fn patch(subject: &str) -> String {
    format!("{subject}\n\n--- /dev/null\n+++ b/mend.c\n@@ -0,0 +1 @@\n+int mended;\n")
}

async fn amend(server: &TestServer, job: i64, body: &Value) -> (StatusCode, Created) {
    let answer = server.post(&format!("/jobs/{job}/amend"), body).await;
    let status = answer.status();
    let text = answer.text().await.unwrap();
    let created = serde_json::from_str(&text);
    (
        status,
        created.unwrap_or_else(|_| panic!("{status} {text}")),
    )
}

fn culprit(job: &Job) -> Option<&str> {
    match &job.outcome {
        Some(Outcome::Culprit { rev, .. }) => Some(rev),
        _ => None,
    }
}

#[tokio::test]
async fn a_patch_for_those_that_do_not_build_splits_a_range_and_leaves_the_rest() {
    let server = TestServer::start().await;
    let revs = server.tree("line", 24).await;
    let job = server.submit(&request("line", &revs[0], &revs[23])).await;
    let mut worker = server.register().await;
    let seen = |rev: &str, seed: u64| match revs.iter().position(|r| r == rev).unwrap_or(0) {
        10..=13 if seed == 0 => Seen::DoesNotBuild,
        at if at >= 12 => Seen::Fails,
        _ => Seen::Clean,
    };
    let ended = worker.work(job, seen).await;
    assert!(
        matches!(&ended.outcome, Some(Outcome::Range { .. })),
        "{:?}",
        ended.outcome
    );
    let leased = worker.leases;

    let body = json!({ "fixups": [patch(MENDS)], "why": "a header was missing" });
    let (status, next) = amend(&server, job, &body).await;
    assert_eq!((status, next.created), (StatusCode::CREATED, true));
    // Pressed twice, it is one job.
    let (status, again) = amend(&server, job, &body).await;
    assert_eq!((status, again.id), (StatusCode::OK, next.id));

    let ended = worker.work(next.id, seen).await;
    assert_eq!(
        culprit(&ended),
        Some(revs[12].as_str()),
        "{:?}",
        ended.outcome
    );
    assert_eq!(ended.mends[0].title, "[PATCH] mends the build");
    assert_eq!(ended.origin.as_ref().unwrap().id, job);
    // Only the candidates in the dark were built anew; verification and revert take a few more.
    let more = worker.leases - leased;
    assert!(more < leased, "{more} leases after {leased}");
    let good = ended.candidates.iter().filter(|c| c.verdict == "good");
    assert!(good.filter(|c| c.build_reused).count() >= 3);
    let first = server.job(job).await;
    assert!(
        matches!(first.outcome, Some(Outcome::Range { .. })),
        "the first result stays"
    );
    assert_eq!(
        first.further[0].why,
        "amended by local: a header was missing"
    );
}

#[tokio::test]
async fn a_job_that_searches_takes_more_runs_and_a_patch_in_place() {
    let server = TestServer::start().await;
    let revs = server.tree("line", 16).await;
    let job = server.submit(&request("line", &revs[0], &revs[15])).await;
    let mut worker = server.register().await;
    let seen = |rev: &str, seed: u64| match revs.iter().position(|r| r == rev).unwrap_or(0) {
        15 if seed == 0 => Seen::DoesNotBuild,
        at if at >= 9 => Seen::Fails,
        _ => Seen::Clean,
    };
    tasks::advance_jobs::tick(&server.app).await.unwrap();
    let body = json!({ "runs": 3, "fixups": [patch(MENDS)] });
    let (status, same) = amend(&server, job, &body).await;
    assert_eq!((status, same.id), (StatusCode::OK, job));
    let ended = worker.work(job, seen).await;
    assert_eq!(
        culprit(&ended),
        Some(revs[9].as_str()),
        "{:?}",
        ended.outcome
    );
    assert_eq!(ended.request.runs, 3);
    let clean = ended.candidates.iter().find(|c| c.rev == revs[8]).unwrap();
    assert!(clean.runs >= 3, "{clean:?}");
}

#[tokio::test]
async fn a_wider_range_knows_what_the_first_one_saw() {
    let server = TestServer::start().await;
    let revs = server.tree("line", 40).await;
    // The good end shows it too.
    let job = server.submit(&request("line", &revs[20], &revs[39])).await;
    let mut worker = server.register().await;
    let seen = |rev: &str, _: u64| match revs.iter().position(|r| r == rev).unwrap_or(0) {
        at if at >= 6 => Seen::Fails,
        _ => Seen::Clean,
    };
    let ended = worker.work(job, seen).await;
    assert!(matches!(ended.outcome, Some(Outcome::NotReproduced { .. })));
    let (status, next) = amend(&server, job, &json!({ "good": [revs[0]] })).await;
    assert_eq!(status, StatusCode::CREATED);
    let now = server.job(next.id).await;
    let known: Vec<&str> = now.candidates.iter().map(|c| c.rev.as_str()).collect();
    assert!(known.contains(&revs[20].as_str()) && known.contains(&revs[39].as_str()));
    let ended = worker.work(next.id, seen).await;
    assert_eq!(culprit(&ended), Some(revs[6].as_str()));
    assert!(ended.cost.builds_reused >= 2, "{:?}", ended.cost);
}

#[tokio::test]
async fn what_our_failures_ended_is_tried_again_and_a_cancelled_job_goes_on() {
    let server = TestServer::start().await;
    let revs = server.tree("line", 8).await;
    let job = server.submit(&request("line", &revs[0], &revs[7])).await;
    let mut worker = server.register().await;
    let lost = worker.work(job, |_, _| Seen::Lost).await;
    assert!(matches!(lost.outcome, Some(Outcome::Unresolved { .. })));
    assert!(lost.held > 0);
    let (_, next) = amend(&server, job, &json!({ "retry": true })).await;
    assert_ne!(next.id, job);
    let cancel = server
        .post(&format!("/jobs/{}/cancel", next.id), &json!({}))
        .await;
    assert_eq!(cancel.status(), StatusCode::NO_CONTENT);
    let (status, third) = amend(&server, next.id, &json!({})).await;
    assert_eq!(status, StatusCode::CREATED);
    let seen = |rev: &str, _: u64| match revs.iter().position(|r| r == rev).unwrap_or(0) {
        at if at >= 3 => Seen::Fails,
        _ => Seen::Clean,
    };
    let ended = worker.work(third.id, seen).await;
    assert_eq!(
        culprit(&ended),
        Some(revs[3].as_str()),
        "{:?}",
        ended.outcome
    );
}

#[tokio::test]
async fn a_result_can_be_taken_back_and_every_act_is_recorded() {
    let server = TestServer::start().await;
    let revs = server.tree("line", 8).await;
    let job = server.submit(&request("line", &revs[0], &revs[7])).await;
    let path = format!("/jobs/{job}/retract");
    let reason = json!({ "reason": "the disk was broken" });
    assert_eq!(
        server.post(&path, &reason).await.status(),
        StatusCode::CONFLICT
    );
    let mut worker = server.register().await;
    let seen = |rev: &str, _: u64| match revs.iter().position(|r| r == rev).unwrap_or(0) {
        at if at >= 3 => Seen::Fails,
        _ => Seen::Clean,
    };
    worker.work(job, seen).await;
    let none = server.refusal(&path, &json!({ "reason": " " })).await;
    assert_eq!(none.pointer.as_deref(), Some("/reason"));
    assert_eq!(
        server.post(&path, &reason).await.status(),
        StatusCode::NO_CONTENT
    );
    assert_eq!(
        server.post(&path, &reason).await.status(),
        StatusCode::CONFLICT
    );
    let told = server.job(job).await;
    assert!(
        told.sentence
            .starts_with("Retracted by local: the disk was broken. It had said: ")
    );
    assert_eq!(told.retracted.unwrap().why, "the disk was broken");
    let report = server.http.get(format!("{}/jobs/{job}/report", server.url));
    let report = report.send().await.unwrap().text().await.unwrap();
    assert!(
        report.contains("[RETRACTED]") && !report.contains("#regzbot"),
        "{report}"
    );
    let undo = server.http.delete(format!("{}/api/v1{path}", server.url));
    let undo = undo.bearer_auth(&server.token).send().await.unwrap();
    assert_eq!(undo.status(), StatusCode::NO_CONTENT);
    assert_eq!(server.job(job).await.retracted, None);

    let record = server
        .http
        .get(format!("{}/api/v1/jobs/{job}/audit", server.url));
    let record: Vec<Done> = record.send().await.unwrap().json().await.unwrap();
    let told: Vec<(&str, &str)> = record
        .iter()
        .map(|d| (d.what.as_str(), d.who.as_str()))
        .collect();
    assert_eq!(
        told,
        [
            ("result put back", "local"),
            ("result retracted", "local"),
            ("job ended", "server"),
            ("job submitted", "local")
        ]
    );
}

#[tokio::test]
async fn wrong_changes_name_the_field() {
    let server = TestServer::start().await;
    let revs = server.tree("line", 6).await;
    let job = server.submit(&request("line", &revs[0], &revs[5])).await;
    let path = format!("/jobs/{job}/amend");
    let too_many: Vec<String> = (0..33).map(|_| patch("Subject: x")).collect();
    for (body, field) in [
        (json!({}), None),
        (json!({ "runs": 201 }), Some("/runs")),
        (json!({ "confidence": 1.0 }), Some("/confidence")),
        (json!({ "good": ["no-such-tag"] }), Some("/good/0")),
        (json!({ "fixups": ["not a patch"] }), Some("/fixups")),
        (json!({ "fixups": too_many }), Some("/fixups")),
        (json!({ "runs": 2, "why": "a\nb" }), Some("/why")),
    ] {
        let problem = server.refusal(&path, &body).await;
        assert_eq!(problem.pointer.as_deref(), field, "{}", problem.detail);
    }
    let same = server.job(job).await;
    assert_eq!((same.request.runs, same.mends.len()), (0, 0));
}

#[tokio::test]
async fn a_drained_worker_gets_no_more_work_until_it_is_given_some_again() {
    let server = TestServer::start().await;
    let revs = server.tree("line", 6).await;
    let mut worker = server.register().await;
    let drain = format!("/workers/{}/drain", worker.id);
    assert_eq!(
        server.post(&drain, &json!({})).await.status(),
        StatusCode::NO_CONTENT
    );
    let job = server.submit(&request("line", &revs[0], &revs[5])).await;
    tasks::advance_jobs::tick(&server.app).await.unwrap();
    assert_eq!(
        server.job(job).await.state,
        "queued",
        "nobody is there to begin with"
    );
    assert!(worker.lease().await.is_none());
    let undo = server.http.delete(format!("{}/api/v1{drain}", server.url));
    let undo = undo.bearer_auth(&server.token).send().await.unwrap();
    assert_eq!(undo.status(), StatusCode::NO_CONTENT);
    tasks::advance_jobs::tick(&server.app).await.unwrap();
    assert!(worker.lease().await.is_some());
    let nobody = format!("/workers/{}/drain", uuid::Uuid::new_v4());
    assert_eq!(
        server.post(&nobody, &json!({})).await.status(),
        StatusCode::NOT_FOUND
    );
}
