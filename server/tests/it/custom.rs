//! Jobs with a test of the user's own, against a real database, with a fake worker.

use firstbad_api::job::{Job, Outcome};
use firstbad_api::lease::{TestWork, Work};
use firstbad_api::list::JobList;
use firstbad_api::observation::{CaseStatus, Finish, RunEnd, TestObservation};
use firstbad_api::suite::FileKind;
use firstbad_server::tasks::advance_jobs;
use serde_json::{Value, json};

use crate::common::{FakeWorker, Seen, TestServer, build, request, test};

fn own(good: &str, bad: &str, test: Value) -> Value {
    let mut body = request("line", good, bad);
    body["suite"] = json!("custom");
    body["custom"] = test;
    body
}

async fn page(server: &TestServer, path: &str) -> String {
    let answer = server
        .http
        .get(format!("{}{path}", server.url))
        .send()
        .await;
    answer.unwrap().text().await.unwrap()
}

/// Builds everything and sees what `see` says, until the job ends.
async fn work(
    worker: &mut FakeWorker<'_>,
    job: i64,
    see: impl Fn(&TestWork) -> TestObservation,
) -> Job {
    for _ in 0..100 {
        advance_jobs::tick(&worker.server.app).await.unwrap();
        let now = worker.server.job(job).await;
        if now.outcome.is_some() {
            return now;
        }
        let Some(lease) = worker.lease().await else {
            continue;
        };
        let finish = match &lease.work {
            Work::Build(work) => Finish::Build {
                observation: build(&Seen::Clean, &work.rev, format!("image-of-{}", work.rev)),
            },
            Work::Test(work) => Finish::Test {
                observation: see(work),
            },
        };
        worker.finish(&lease, finish).await;
    }
    panic!("job {job} did not end");
}

/// A run whose one case ended so.
fn seen(work: &TestWork, status: CaseStatus, exit: i32, tail: &str) -> TestObservation {
    let mut seen = test(Seen::Clean, work);
    let case = &mut seen.cases[0];
    (case.case, case.status, case.exit) = ("custom".to_owned(), status, exit);
    case.tail = tail.to_owned();
    seen
}

#[tokio::test]
async fn an_own_test_becomes_the_suite_of_its_job() {
    let server = TestServer::start().await;
    let revs = server.tree("line", 4).await;
    let source = "int main(void) { return 0; } /* <b> */\n";
    let body = own(
        &revs[0],
        &revs[3],
        json!({ "kind": "c", "name": "repro.c", "content": source, "timeout_s": 20,
                "patterns": { "fails_when": "KASAN" } }),
    );
    let id = server.submit(&body).await;
    let mut worker = server.register().await;
    let leased = std::cell::RefCell::new(None);
    let ended = work(&mut worker, id, |test| {
        leased.replace(Some(test.suite.clone()));
        seen(test, CaseStatus::Pass, 0, "")
    });
    let ended = ended.await.outcome;
    assert!(
        matches!(ended, Some(Outcome::NotReproduced { .. })),
        "{ended:?}"
    );
    let suite = leased.into_inner().unwrap();
    assert_eq!(
        (suite.spec.name.as_str(), suite.spec.case.len()),
        ("custom", 1)
    );
    assert_eq!(suite.spec.case[0].timeout_s, 20);
    assert_eq!(
        suite.spec.case[0].patterns.fails_when.as_deref(),
        Some("KASAN")
    );
    let c = suite.files.iter().find(|f| f.kind == FileKind::C).unwrap();
    assert_eq!(c.content, source);

    let shown = page(&server, &format!("/jobs/{id}")).await;
    for part in [
        "repro.c, C source, compiled by the worker",
        "repro.c breaks between",
        "--reproducer repro.c --fails-when KASAN --timeout 20",
        "/* &#60;b&#62; */",
    ] {
        assert!(shown.contains(part), "{part} in {shown}");
    }
    let list: JobList = serde_json::from_str(&page(&server, "/api/v1/jobs").await).unwrap();
    assert_eq!(list.jobs[0].suite, "repro.c");
}

#[tokio::test]
async fn what_cannot_be_run_is_refused_before_a_row_is_written() {
    let server = TestServer::start().await;
    let revs = server.tree("line", 4).await;
    let script = |content: &str| json!({ "kind": "script", "name": "t.sh", "content": content });
    let with = |key: &str, value: Value| {
        let mut test = script("true");
        test[key] = value;
        own(&revs[0], &revs[3], test)
    };
    let mut without = own(&revs[0], &revs[3], json!(null));
    let mut both = own(&revs[0], &revs[3], script("true"));
    both["suite"] = json!("btrfs/smoke");
    without["custom"].take();
    for (body, status, pointer, part) in [
        (
            without,
            422,
            "/custom",
            "custom: the suite custom is a test of your own",
        ),
        (
            both,
            422,
            "/suite",
            "suite: a test of your own runs as suite \"custom\"",
        ),
        (
            with("content", json!("#!/usr/bin/perl\n")),
            422,
            "/custom/content",
            "custom.content: its first line asks for \"perl\"",
        ),
        (
            with("content", json!("x".repeat(300_000))),
            413,
            "/custom/content",
            "at most 262144",
        ),
        (
            with("timeout_s", json!(9999)),
            422,
            "/custom/timeout_s",
            "custom.timeout_s: use 1 to 300",
        ),
        (
            with("patterns", json!({ "fails_when": "(" })),
            422,
            "/custom/patterns/fails_when",
            "custom.patterns.fails_when: unclosed group",
        ),
        (
            with("kind", json!("perl")),
            422,
            "/custom/kind",
            "unknown variant",
        ),
        (with("size", json!(1)), 422, "/custom/size", "unknown field"),
    ] {
        let problem = server.refusal("/jobs", &body).await;
        assert_eq!(
            (problem.status, problem.pointer.as_deref()),
            (status, Some(pointer)),
            "{problem:?}"
        );
        assert!(
            problem.detail.contains(part),
            "{part} in {}",
            problem.detail
        );
    }
    let list: JobList = serde_json::from_str(&page(&server, "/api/v1/jobs").await).unwrap();
    assert_eq!(list.jobs, []);
}

/// Whatever a test does to itself, no commit is blamed for it and the answer says what it was.
#[tokio::test]
async fn a_test_that_cannot_run_is_unresolved_with_its_reason() {
    let server = TestServer::start().await;
    let revs = server.tree("line", 6).await;
    let mut worker = server.register().await;
    let broken = |work: &TestWork, exit, tail| seen(work, CaseStatus::Broken, exit, tail);
    type See<'a> = &'a dyn Fn(&TestWork) -> TestObservation;
    let table: [(See, &str); 4] = [
        (
            &|work| {
                broken(
                    work,
                    127,
                    "so far\n/suite/custom.sh: line 2: fio: not found\n",
                )
            },
            "the bad end cannot be judged: case custom could not run (exit 127, a program is \
             missing): /suite/custom.sh: line 2: fio: not found",
        ),
        (
            &|work| {
                broken(
                    work,
                    126,
                    "the C source does not compile: custom.c:1:1: error: x\n",
                )
            },
            "the C source does not compile: custom.c:1:1: error: x",
        ),
        (
            &|work| broken(work, 139, ""),
            "case custom could not run (ended by signal 11)",
        ),
        (
            &|work| TestObservation {
                end: RunEnd::Stopped,
                cases: vec![],
                ..seen(work, CaseStatus::Pass, 0, "")
            },
            "the test rebooted the machine or switched it off",
        ),
    ];
    for (n, (see, part)) in table.into_iter().enumerate() {
        let script = format!("# {n}");
        let test = json!({ "kind": "script", "name": "t.sh", "content": script });
        let job = server.submit(&own(&revs[0], &revs[5], test)).await;
        let ended = work(&mut worker, job, see).await;
        let Some(Outcome::Unresolved { why }) = ended.outcome else {
            panic!("{part}: {:?}", ended.outcome);
        };
        assert!(why.contains(part), "{part} in {why}");
        assert!(
            ended.candidates.iter().all(|c| c.verdict != "bad"),
            "{part}"
        );
    }
}
