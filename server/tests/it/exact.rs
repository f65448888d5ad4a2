//! What an exact run is worth: runs made again, ends that differ in more than commits, noise.

use firstbad_api::job::{Job, Outcome};
use firstbad_server::tasks::advance_jobs;
use serde_json::json;

use crate::common::{FakeWorker, REVERTED, Seen, TestServer, request};

const COMMITS: usize = 16;
const CULPRIT: usize = 11;

fn at(revs: &[String], rev: &str) -> usize {
    let found = revs.iter().position(|r| r == rev);
    assert!(found.is_some() || rev == REVERTED, "{rev}");
    found.unwrap_or(0)
}

/// Two workers take turns until the job ends.
async fn together(
    workers: &mut [FakeWorker<'_>],
    id: i64,
    oracle: impl Fn(&str, u64) -> Seen,
) -> Job {
    let server = workers[0].server;
    for _ in 0..400 {
        advance_jobs::tick(&server.app).await.unwrap();
        let job = server.job(id).await;
        if job.outcome.is_some() {
            return job;
        }
        for worker in workers.iter_mut() {
            worker.step(&oracle).await;
        }
    }
    panic!("job {id} did not end: {:#?}", server.job(id).await);
}

fn named(job: &Job) -> &str {
    match &job.outcome {
        Some(Outcome::Culprit { rev, .. }) => rev,
        other => panic!("{other:#?}"),
    }
}

async fn page(server: &TestServer, path: &str) -> String {
    let answer = server
        .http
        .get(format!("{}{path}", server.url))
        .send()
        .await
        .unwrap();
    answer.text().await.unwrap()
}

/// Who made the two runs of each repeated one.
async fn makers(server: &TestServer) -> Vec<(uuid::Uuid, uuid::Uuid)> {
    sqlx::query_as(
        "SELECT a.worker, b.worker FROM repeat r JOIN attempt a ON a.id = r.attempt_id
           JOIN attempt b ON b.id = r.again_id WHERE r.differs IS NOT NULL",
    )
    .fetch_all(&server.app.pool)
    .await
    .unwrap()
}

#[tokio::test]
async fn the_first_run_of_a_worker_is_made_again_by_another() {
    let server = TestServer::start().await;
    let revs = server.tree("line", COMMITS).await;
    let id = server
        .submit(&request("line", &revs[0], &revs[COMMITS - 1]))
        .await;
    let mut workers = [server.register().await, server.register().await];
    let seen = |rev: &str, _| match at(&revs, rev) < CULPRIT {
        true => Seen::Clean,
        false => Seen::Fails,
    };
    let job = together(&mut workers, id, seen).await;
    assert_eq!(named(&job), revs[CULPRIT]);
    let exactness = &job.exactness;
    assert!(
        exactness.repeated >= 1 && exactness.differ.is_empty(),
        "{exactness:?}"
    );
    assert_eq!(
        exactness.same, exactness.repeated,
        "an answer waits for them"
    );
    let makers = makers(&server).await;
    assert!(
        makers.iter().all(|(first, again)| first != again),
        "{makers:?}"
    );
    let workers = page(&server, "/workers").await;
    assert!(
        workers.contains("all the same") && !workers.contains("Not exact"),
        "{workers}"
    );
}

#[tokio::test]
async fn a_run_that_differs_is_an_alarm_and_no_evidence() {
    let server = TestServer::start().await;
    let revs = server.tree("line", COMMITS).await;
    let id = server
        .submit(&request("line", &revs[0], &revs[COMMITS - 1]))
        .await;
    let mut liar = server.register().await;
    liar.lies = true;
    let seen = |rev: &str, _| match at(&revs, rev) < CULPRIT {
        true => Seen::Clean,
        false => Seen::Fails,
    };
    // Alone, it makes both runs itself.
    let job = liar.work(id, seen).await;
    assert_eq!(named(&job), revs[CULPRIT]);
    // The first run, and more where chance took them into the sample.
    let exactness = &job.exactness;
    let alarms = i64::from(exactness.repeated);
    assert_eq!(exactness.differ.len() as i64, alarms, "{exactness:?}");
    let not = exactness.differ.first().unwrap();
    assert!(not.what.starts_with("the console's hash: "), "{}", not.what);
    let tests = job.candidates.iter().flat_map(|c| &c.tests);
    let mut told = tests
        .filter(|t| t.attempt == not.attempt)
        .map(|t| (&t.verdict, &t.why));
    let (verdict, why) = told.next().unwrap();
    assert!(
        verdict == "skip" && why.starts_with("not exact"),
        "{verdict} {why}"
    );
    let shown = page(&server, &format!("/jobs/{id}")).await;
    assert!(
        shown.contains("Not exact") && shown.contains("the console"),
        "{shown}"
    );
    assert!(page(&server, "/workers").await.contains("Not exact"));
    let audited = "SELECT count(*) FROM audit WHERE what = 'not exact'";
    let audited: i64 = sqlx::query_scalar(audited)
        .fetch_one(&server.app.pool)
        .await
        .unwrap();
    assert_eq!(audited, alarms);
}

#[tokio::test]
async fn the_clock_of_every_run_is_as_the_job_asked() {
    let server = TestServer::start().await;
    let revs = server.tree("line", COMMITS).await;
    let seen = |rev: &str, _| match at(&revs, rev) < CULPRIT {
        true => Seen::Clean,
        false => Seen::Fails,
    };
    let mut worker = server.register().await;
    for shift in [0, 3] {
        let mut body = request("line", &revs[0], &revs[COMMITS - 1]);
        body["shift"] = json!(shift);
        let id = server.submit(&body).await;
        let job = worker.work(id, seen).await;
        assert_eq!(named(&job), revs[CULPRIT]);
        let clock = format!("shift={shift},sleep=off,rr=record,rrfile=/dev/null");
        let (runs, with): (i64, i64) = sqlx::query_as(
            "SELECT count(*), count(*) FILTER (WHERE a.observation->'run'->'argv' ? $2)
               FROM attempt a JOIN probe p ON p.attempt_id = a.id
              WHERE p.job_id = $1 AND a.kind = 'test'",
        )
        .bind(id)
        .bind(&clock)
        .fetch_one(&server.app.pool)
        .await
        .unwrap();
        // Another clock is another run: nothing is taken from the first job.
        assert!(runs > 0 && with == runs, "{clock}: {with} of {runs}");
    }
}

#[tokio::test]
async fn runs_of_real_mode_are_not_made_again() {
    let server = TestServer::start().await;
    let revs = server.tree("line", COMMITS).await;
    let mut body = request("line", &revs[0], &revs[COMMITS - 1]);
    body["mode"] = json!("real");
    body["runs"] = json!(1);
    let id = server.submit(&body).await;
    let mut worker = server.register().await;
    let seen = |rev: &str, _| match at(&revs, rev) < CULPRIT {
        true => Seen::Clean,
        false => Seen::Fails,
    };
    let job = worker.work(id, seen).await;
    assert_eq!(job.exactness.repeated, 0, "{:?}", job.exactness);
}

#[tokio::test]
async fn a_warning_in_half_of_the_runs_does_not_mislead() {
    // From the middle on every second run warns, before and after the culprit.
    for (culprit, noise) in [(CULPRIT, 5), (5, 9), (CULPRIT, 0)] {
        for first in [1, 100] {
            let server = TestServer::start().await;
            let revs = server.tree("line", COMMITS).await;
            let mut body = request("line", &revs[0], &revs[COMMITS - 1]);
            body["seed"] = json!(first);
            let id = server.submit(&body).await;
            let mut worker = server.register().await;
            let seen = |rev: &str, seed: u64| {
                let at = match rev {
                    REVERTED => COMMITS,
                    rev => at(&revs, rev),
                };
                let fails = at >= culprit && rev != REVERTED;
                let mixed = (seed ^ (at as u64) << 7).wrapping_mul(0x9e37_79b9_7f4a_7c15);
                match (fails, at >= noise && mixed >> 63 == 1) {
                    (true, true) => Seen::FailsAndWarns,
                    (true, false) => Seen::Fails,
                    (false, true) => Seen::OtherCrash,
                    (false, false) => Seen::Clean,
                }
            };
            let job = worker.work(id, seen).await;
            assert_eq!(named(&job), revs[culprit], "{culprit} {noise} {first}");
        }
    }
}

#[tokio::test]
async fn what_differs_between_the_ends_of_a_performance_job_is_shown() {
    let server = TestServer::start().await;
    let revs = server.tree("line", COMMITS).await;
    let mut body = request("line", &revs[0], &revs[COMMITS - 1]);
    body["signal"] = json!({ "kind": "metric", "name": "mb_s" });
    let id = server.submit(&body).await;
    let mut worker = server.register().await;
    worker.config = Some(|_| "CONFIG_CC_VERSION_TEXT=\"gcc 12\"\nCONFIG_HZ=250\n");
    advance_jobs::tick(&server.app).await.unwrap();
    worker.step(&|_: &str, _| Seen::Speed(1.0)).await;
    assert_eq!(
        server.job(id).await.confounders,
        None,
        "one end is not built"
    );
    worker.config = Some(|_| "CONFIG_CC_VERSION_TEXT=\"gcc 14\"\nCONFIG_HZ=1000\nCONFIG_NEW=y\n");
    let mut told = None;
    for _ in 0..20 {
        advance_jobs::tick(&server.app).await.unwrap();
        worker.step(&|_: &str, _| Seen::Speed(1.0)).await;
        told = told.or(server.job(id).await.confounders);
    }
    let told = told.unwrap();
    let told: Vec<&str> = told.iter().map(|c| c.name.as_str()).collect();
    assert_eq!(told, ["compiler", "CONFIG_HZ", "CONFIG_NEW"]);
    let shown = page(&server, &format!("/jobs/{id}")).await;
    assert!(
        shown.contains("differ in more than their commits"),
        "{shown}"
    );
    assert!(
        shown.contains("CONFIG_HZ") && shown.contains("gcc 14"),
        "{shown}"
    );
}
