//! Whole jobs against a real database, with observations made up by a fake worker.

use firstbad_api::job::Outcome;
use firstbad_api::lease::Work;
use firstbad_api::list::JobList;
use firstbad_api::observation::Finish;
use firstbad_server::tasks::{advance_jobs, expire_leases};
use reqwest::StatusCode;
use serde_json::json;

use crate::common::{Seen, TestServer, build, request, test};

fn at(revs: &[String], rev: &str) -> usize {
    revs.iter().position(|r| r == rev).unwrap()
}

#[tokio::test]
async fn names_the_first_bad_commit_and_checks_its_parent() {
    let server = TestServer::start().await;
    let revs = server.tree("line", 24).await;
    let job = server.submit(&request("line", &revs[0], &revs[23])).await;
    let mut worker = server.register().await;
    let seen = |rev: &str, _| {
        if at(&revs, rev) >= 17 {
            Seen::Fails
        } else {
            Seen::Clean
        }
    };
    let ended = worker.work(job, seen).await;
    let Some(Outcome::Culprit {
        rev,
        confidence,
        checks,
        ..
    }) = ended.outcome
    else {
        panic!("{:?}", ended.outcome);
    };
    assert_eq!(rev, revs[17]);
    assert!(confidence > 0.95, "{confidence}");
    for name in ["good end", "bad end", "parent", "culprit"] {
        assert!(
            checks.iter().any(|c| c.name == name && c.passed),
            "{name} is missing: {checks:?}"
        );
    }
    assert!(
        ended.cost.builds <= 2 + 5 + 1,
        "{} builds for 23 candidates",
        ended.cost.builds
    );
    // The same question again costs nothing: builds and runs are found by identity.
    let again = server.submit(&request("line", &revs[0], &revs[23])).await;
    let leases = worker.leases;
    let second = worker
        .work(again, |_, _| panic!("nothing may be run again"))
        .await;
    assert!(matches!(second.outcome, Some(Outcome::Culprit { rev, .. }) if rev == revs[17]));
    assert_eq!(
        (worker.leases, second.cost.builds, second.cost.boots),
        (leases, 0, 0)
    );
}

#[tokio::test]
async fn finds_the_commit_that_repaired_it() {
    let server = TestServer::start().await;
    let revs = server.tree("line", 12).await;
    let mut body = request("line", &revs[0], &revs[11]);
    body["find"] = json!("fix");
    let job = server.submit(&body).await;
    let mut worker = server.register().await;
    let seen = |rev: &str, _| {
        if at(&revs, rev) >= 4 {
            Seen::Clean
        } else {
            Seen::Fails
        }
    };
    let ended = worker.work(job, seen).await;
    assert!(
        matches!(&ended.outcome, Some(Outcome::Culprit { rev, .. }) if *rev == revs[4]),
        "{:?}",
        ended.outcome
    );
}

#[tokio::test]
async fn a_flaky_failure_gets_more_seeds() {
    let server = TestServer::start().await;
    let revs = server.tree("line", 12).await;
    let job = server.submit(&request("line", &revs[0], &revs[11])).await;
    let mut worker = server.register().await;
    let seen = |rev: &str, seed: u64| {
        if at(&revs, rev) >= 7 && seed.is_multiple_of(3) {
            Seen::Fails
        } else {
            Seen::Clean
        }
    };
    let ended = worker.work(job, seen).await;
    assert!(
        matches!(&ended.outcome, Some(Outcome::Culprit { rev, .. }) if *rev == revs[7]),
        "{:?}",
        ended.outcome
    );
}

#[tokio::test]
async fn what_cannot_be_tested_is_never_bad() {
    let server = TestServer::start().await;
    let revs = server.tree("line", 20).await;
    let seen = |rev: &str, _: u64| match at(&revs, rev) {
        8..=10 => Seen::DoesNotBuild,
        12 => Seen::BootPanic,
        14 => Seen::OtherCrash,
        n if n >= 9 => Seen::Fails,
        _ => Seen::Clean,
    };
    let job = server.submit(&request("line", &revs[0], &revs[19])).await;
    let mut worker = server.register().await;
    let ended = worker.work(job, seen).await;
    for c in &ended.candidates {
        let n = at(&revs, &c.rev);
        assert!(
            ![8, 9, 10, 12, 14].contains(&n) || c.verdict == "skip",
            "{n} is {}",
            c.verdict
        );
    }
    let Some(Outcome::Range {
        candidates,
        confidence,
        ..
    }) = ended.outcome
    else {
        panic!("{:?}", ended.outcome);
    };
    assert!(confidence >= 0.995, "{confidence}");
    let left: Vec<usize> = candidates.iter().map(|c| at(&revs, &c.rev)).collect();
    assert_eq!(left, [8, 9, 10, 11]);
}

#[tokio::test]
async fn ends_that_do_not_differ_are_not_reproduced() {
    let server = TestServer::start().await;
    let revs = server.tree("line", 6).await;
    let mut worker = server.register().await;
    for seen in [Seen::Clean, Seen::Fails] {
        let mut body = request("line", &revs[0], &revs[5]);
        body["seed"] = json!(if seen == Seen::Clean { 1 } else { 1000 });
        let job = server.submit(&body).await;
        let ended = worker.work(job, |_, _| seen).await;
        let Some(Outcome::NotReproduced { checks, .. }) = ended.outcome else {
            panic!("{:?}", ended.outcome);
        };
        assert!(checks.iter().any(|c| !c.passed));
    }
}

#[tokio::test]
async fn infrastructure_failures_are_retried_and_never_judged() {
    let server = TestServer::start().await;
    let revs = server.tree("line", 4).await;
    let job = server.submit(&request("line", &revs[0], &revs[3])).await;
    let mut worker = server.register().await;
    for _ in 0..20 {
        advance_jobs::tick(&server.app).await.unwrap();
        let Some(lease) = worker.lease().await else {
            break;
        };
        let finish = Finish::Infrastructure {
            what: "disk full".to_owned(),
        };
        assert_eq!(worker.finish(&lease, finish).await, StatusCode::NO_CONTENT);
    }
    let ended = server.job(job).await;
    assert!(
        matches!(&ended.outcome, Some(Outcome::Unresolved { why }) if why.contains("disk full")),
        "{:?}",
        ended.outcome
    );
}

#[tokio::test]
async fn an_end_that_changed_with_time_is_no_commits_fault() {
    let server = TestServer::start().await;
    let revs = server.tree("line", 12).await;
    let mut body = request("line", &revs[0], &revs[11]);
    body["mode"] = json!("real");
    let job = server.submit(&body).await;
    let mut worker = server.register().await;
    // The bad end fails at first, and never again.
    let seen = |rev: &str, seed: u64| match at(&revs, rev) == 11 && seed <= 4 {
        true => Seen::Fails,
        false => Seen::Clean,
    };
    let ended = worker.work(job, seen).await;
    assert!(
        matches!(&ended.outcome, Some(Outcome::Unresolved { why }) if why.contains("has changed")),
        "{:#?}",
        ended.outcome
    );
}

#[tokio::test]
async fn a_report_on_anything_but_the_leased_run_is_never_judged() {
    let server = TestServer::start().await;
    let revs = server.tree("line", 2).await;
    server.submit(&request("line", &revs[0], &revs[1])).await;
    let mut worker = server.register().await;
    let infra = |attempt: i64| {
        let what = "SELECT infra_what FROM attempt WHERE id = $1 AND state = 'ready'";
        sqlx::query_scalar::<_, String>(what)
            .bind(attempt)
            .fetch_one(&server.app.pool)
    };
    let (mut refused, mut built) = (0, false);
    while refused < 3 {
        advance_jobs::tick(&server.app).await.unwrap();
        let lease = worker.lease().await.unwrap();
        let attempt = lease.fence.attempt;
        let work = match &lease.work {
            Work::Build(work) => {
                let observation = build(&Seen::Clean, &work.rev, format!("image-of-{}", work.rev));
                let answer = worker.finish(&lease, Finish::Build { observation }).await;
                assert_eq!(answer, StatusCode::NO_CONTENT);
                built = true;
                continue;
            }
            Work::Test(work) => work.clone(),
        };
        assert!(built);
        let mut observation = test(Seen::Fails, &work);
        let what = match refused {
            0 => {
                observation.run.seed += 1;
                "a run with another seed"
            }
            1 => {
                observation.run.argv[0] = "sh".to_owned();
                "a run with another argument vector"
            }
            _ => {
                observation.run.accel = "kvm".to_owned();
                "a run with another accelerator"
            }
        };
        refused += 1;
        let answer = worker.finish(&lease, Finish::Test { observation }).await;
        assert_eq!(answer, StatusCode::NO_CONTENT);
        if refused < 3 {
            let stored = infra(attempt).await.unwrap();
            assert_eq!(
                stored,
                format!("the worker reported {what}, which was not asked for")
            );
        }
    }
    let judged = "SELECT count(*) FROM attempt WHERE kind = 'test' AND observation IS NOT NULL";
    let judged: i64 = sqlx::query_scalar(judged)
        .fetch_one(&server.app.pool)
        .await
        .unwrap();
    assert_eq!(judged, 0);
}

#[tokio::test]
async fn a_lost_lease_is_taken_back_and_the_late_writer_refused() {
    let server = TestServer::start().await;
    let revs = server.tree("line", 4).await;
    server.submit(&request("line", &revs[0], &revs[3])).await;
    let mut first = server.register().await;
    advance_jobs::tick(&server.app).await.unwrap();
    let old = first.lease().await.unwrap();
    sqlx::query("UPDATE attempt SET lease_until = now() - interval '1 s' WHERE state = 'leased'")
        .execute(&server.app.pool)
        .await
        .unwrap();
    assert_eq!(expire_leases::tick(&server.app, false).await.unwrap(), 1);
    let mut second = server.register().await;
    let new = second.lease().await.unwrap();
    assert_eq!(
        (new.fence.attempt, new.fence.epoch),
        (old.fence.attempt, old.fence.epoch + 1)
    );
    let failed = || Finish::Build {
        observation: firstbad_api::observation::BuildObservation::Failed {
            stage: "build".to_owned(),
            first_error: "late".to_owned(),
        },
    };
    assert_eq!(first.finish(&old, failed()).await, StatusCode::CONFLICT);
    let mut foreign = new.clone();
    foreign.fence.incarnation = uuid::Uuid::new_v4();
    assert_eq!(
        second.finish(&foreign, failed()).await,
        StatusCode::CONFLICT
    );
    assert_eq!(second.finish(&new, failed()).await, StatusCode::NO_CONTENT);
    // The reply got lost: the same report again is fine, another one is not.
    assert_eq!(second.finish(&new, failed()).await, StatusCode::NO_CONTENT);
    let other = Finish::Infrastructure {
        what: "x".to_owned(),
    };
    assert_eq!(second.finish(&new, other).await, StatusCode::CONFLICT);
    let refused: i64 =
        sqlx::query_scalar("SELECT count(*) FROM audit WHERE what = 'stale write refused'")
            .fetch_one(&server.app.pool)
            .await
            .unwrap();
    assert_eq!(refused, 3);
}

#[tokio::test]
async fn a_restarted_worker_gets_its_attempt_again_at_once_and_a_stopped_one_costs_nothing() {
    let server = TestServer::start().await;
    let revs = server.tree("line", 4).await;
    server.submit(&request("line", &revs[0], &revs[3])).await;
    let mut worker = server.register().await;
    advance_jobs::tick(&server.app).await.unwrap();
    let old = worker.lease().await.unwrap();
    let mut again = server.register_as(worker.id).await;
    let new = again.lease().await.unwrap();
    assert_eq!(
        (new.fence.attempt, new.fence.epoch),
        (old.fence.attempt, old.fence.epoch + 1)
    );
    assert_eq!(
        worker.finish(&old, Finish::Released).await,
        StatusCode::CONFLICT
    );
    let mut lease = new;
    for _ in 0..5 {
        let answer = again.finish(&lease, Finish::Released).await;
        assert_eq!(answer, StatusCode::NO_CONTENT);
        lease = again.lease().await.unwrap();
        assert_eq!(lease.fence.attempt, old.fence.attempt);
    }
    let counted: (i32, i32) =
        sqlx::query_as("SELECT lease_losses, infra_failures FROM attempt WHERE id = $1")
            .bind(old.fence.attempt)
            .fetch_one(&server.app.pool)
            .await
            .unwrap();
    assert_eq!(counted, (1, 0));
}

#[tokio::test]
async fn a_job_that_no_worker_can_go_on_with_says_so() {
    let server = TestServer::start().await;
    let revs = server.tree("line", 12).await;
    let job = server.submit(&request("line", &revs[0], &revs[11])).await;
    let mut worker = server.register().await;
    // Both ends are built, and their runs wait.
    advance_jobs::tick(&server.app).await.unwrap();
    worker.step(&|_, _| Seen::Clean).await;
    worker.step(&|_, _| Seen::Clean).await;
    advance_jobs::tick(&server.app).await.unwrap();
    let stranded = "No connected worker can go on with it";
    let seen = server.job(job).await;
    assert!(!seen.sentence.contains(stranded), "{}", seen.sentence);
    let upgraded = server.register_with(worker.id, "newer tools").await;
    let seen = server.job(job).await;
    assert!(seen.sentence.contains(stranded), "{}", seen.sentence);
    let list = server.http.get(format!("{}/api/v1/jobs", server.url));
    let list: JobList = list.send().await.unwrap().json().await.unwrap();
    assert_eq!(list.jobs[0].sentence, seen.sentence);
    drop(upgraded);
    server.register_as(worker.id).await;
    let seen = server.job(job).await;
    assert!(!seen.sentence.contains(stranded), "{}", seen.sentence);
}

#[tokio::test]
async fn cancelling_ends_the_job_and_its_attempts() {
    let server = TestServer::start().await;
    let revs = server.tree("line", 4).await;
    let job = server.submit(&request("line", &revs[0], &revs[3])).await;
    let mut worker = server.register().await;
    advance_jobs::tick(&server.app).await.unwrap();
    let lease = worker.lease().await.unwrap();
    let path = format!("/jobs/{job}/cancel");
    assert_eq!(
        server.post(&path, &json!({})).await.status(),
        StatusCode::NO_CONTENT
    );
    assert_eq!(
        server.post(&path, &json!({})).await.status(),
        StatusCode::CONFLICT
    );
    let late = Finish::Infrastructure {
        what: "late".to_owned(),
    };
    assert_eq!(worker.finish(&lease, late).await, StatusCode::CONFLICT);
    assert!(worker.lease().await.is_none());
}

#[tokio::test]
async fn bad_input_names_the_field_and_changes_nothing() {
    let server = TestServer::start().await;
    let revs = server.tree("line", 6).await;
    let good = request("line", &revs[0], &revs[5]);
    let with = |pointer: &str, value: serde_json::Value| {
        let mut body = good.clone();
        *body.pointer_mut(pointer).unwrap() = value;
        body
    };
    let mut lost = good.clone();
    lost["config"] = json!({ "fragment": "CONFIG_NO_SUCH_THING=y\n" });
    let mut patch = good.clone();
    patch["fixups"] = json!(["--- a/f\n+++ b/f\n@@ -1 +1 @@\n-nothing like this\n+x\n"]);
    let mut many = good.clone();
    many["fixups"] = json!(vec!["--- /dev/null\n+++ b/g\n@@ -0,0 +1 @@\n+x\n"; 33]);
    let mut long = good.clone();
    long["fixups"] = json!(["x".repeat(11 << 20)]);
    let mut link = good.clone();
    link["fixups"] = json!([
        "diff --git a/l b/l\nnew file mode 120000\n--- /dev/null\n+++ b/l\n@@ -0,0 +1 @@\n+/etc/passwd\n"
    ]);
    let mut case = good.clone();
    case["cases"] = json!(["no-such-case"]);
    let mut far = good.clone();
    far["shift"] = json!(11);
    let mut wall = good.clone();
    (wall["shift"], wall["mode"]) = (json!(3), json!("real"));
    for (body, kind, pointer) in [
        (with("/tree", json!("nowhere")), "unknown-tree", "/tree"),
        (with("/bad", json!("no-such-ref")), "unknown-ref", "/bad"),
        (with("/bad", json!("--upload-pack=x")), "bad-ref", "/bad"),
        (with("/bad", json!(revs[0])), "empty-range", "/good/0"),
        (
            request("line", &revs[5], &revs[0]),
            "not-an-ancestor",
            "/good/0",
        ),
        (with("/suite", json!("no/such")), "unknown-suite", "/suite"),
        (with("/good", json!([])), "no-good", "/good"),
        (case, "unknown-case", "/cases/0"),
        (far, "bad-shift", "/shift"),
        (wall, "bad-shift", "/shift"),
        (lost, "unknown-symbol", "/config/fragment"),
        (patch, "patch-does-not-apply", "/fixups"),
        (many, "bad-patch", "/fixups"),
        (long, "bad-patch", "/fixups"),
        (link, "bad-patch", "/fixups"),
    ] {
        let problem = server.refusal("/jobs", &body).await;
        assert_eq!(
            (problem.kind.as_str(), problem.pointer.as_deref()),
            (kind, Some(pointer)),
            "{}",
            problem.detail
        );
        let field = pointer.trim_start_matches('/').split('/').next().unwrap();
        assert!(problem.detail.contains(field), "{}", problem.detail);
    }
    let problem = server
        .refusal(
            "/trees",
            &json!({ "name": "gone", "url": "/no/such/repository" }),
        )
        .await;
    assert_eq!(problem.kind, "fetch-failed", "{}", problem.detail);
    let jobs: i64 = sqlx::query_scalar("SELECT count(*) FROM job")
        .fetch_one(&server.app.pool)
        .await
        .unwrap();
    let trees: i64 = sqlx::query_scalar("SELECT count(*) FROM tree")
        .fetch_one(&server.app.pool)
        .await
        .unwrap();
    assert_eq!((jobs, trees), (0, 1));
}

#[tokio::test]
async fn the_same_key_joins_and_another_body_is_refused() {
    let server = TestServer::start().await;
    let revs = server.tree("line", 6).await;
    let body = request("line", &revs[0], &revs[5]);
    let first = server.post_keyed("/jobs", &body, Some("k")).await;
    assert_eq!(first.status(), StatusCode::CREATED);
    let second = server.post_keyed("/jobs", &body, Some("k")).await;
    assert_eq!(second.status(), StatusCode::OK);
    let other = request("line", &revs[1], &revs[5]);
    let third = server.post_keyed("/jobs", &other, Some("k")).await;
    assert_eq!(third.status(), StatusCode::UNPROCESSABLE_ENTITY);
}

#[tokio::test]
async fn writes_need_a_token_and_bodies_have_a_limit() {
    let server = TestServer::start().await;
    let url = format!("{}/api/v1/jobs", server.url);
    let bare = server
        .http
        .post(&url)
        .json(&json!({}))
        .send()
        .await
        .unwrap();
    assert_eq!(bare.status(), StatusCode::UNAUTHORIZED);
    let worker = server.worker_post("/jobs", &json!({})).await;
    assert_eq!(worker.status(), StatusCode::FORBIDDEN);
    let huge = server
        .post("/jobs", &json!({ "tree": "x".repeat(24 << 20) }))
        .await;
    assert_eq!(huge.status(), StatusCode::PAYLOAD_TOO_LARGE);
}
