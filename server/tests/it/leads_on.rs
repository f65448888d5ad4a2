//! Jobs that lead to others: cases that go apart, merges to look into, every flip.

use std::path::{Path, PathBuf};

use firstbad_api::job::{Find, Job, Outcome, Signal};
use firstbad_api::report::Mail;
use serde_json::json;

use crate::common::{REVERTED, Seen, TestServer, git, request};

fn named(job: &Job) -> &str {
    match &job.outcome {
        Some(Outcome::Culprit { rev, .. }) => rev,
        other => panic!("job {}: {other:?}", job.id),
    }
}

/// The line of a job's mail that says what fails.
async fn symptom(server: &TestServer, job: &Job) -> String {
    let mail: Mail = server.get(&format!("/jobs/{}/mail", job.id)).await;
    let mut lines = mail.body.lines();
    lines
        .find(|l| l.starts_with("What fails"))
        .unwrap()
        .to_owned()
}

/// Six commits on a branch of this name.
fn branch(repo: &Path, from: &str, name: &str) -> Vec<String> {
    git(repo, &["checkout", "-q", "-b", name, from]);
    let commit = |i: usize| {
        std::fs::write(repo.join(format!("{name}{i}")), "s\n").unwrap();
        git(repo, &["add", "."]);
        git(repo, &["commit", "-q", "-m", &format!("{name} {i}")]);
        git(repo, &["rev-parse", "HEAD"])
    };
    (0..6).map(commit).collect()
}

/// A search over 32 commits for all that fails, with `seen` at the commit of each number.
async fn search(seen: impl Fn(usize, u64) -> Seen) -> (TestServer, Vec<String>, Job) {
    let server = TestServer::start().await;
    let revs = server.tree_of("line", 32, |i| format!("f{i}")).await;
    let id = server.submit(&request("line", &revs[0], &revs[31])).await;
    let mut worker = server.register().await;
    let oracle = |rev: &str, seed: u64| match revs.iter().position(|r| r == rev) {
        None => {
            assert_eq!(rev, REVERTED);
            Seen::Failing(&[])
        }
        Some(at) => seen(at, seed),
    };
    worker.work_all(oracle).await;
    let job = server.job(id).await;
    (server, revs, job)
}

#[tokio::test]
async fn cases_with_two_causes_get_a_job_each_and_share_their_runs() {
    let (server, revs, job) = search(|at, _| match at {
        0..9 => Seen::Failing(&[]),
        9..21 => Seen::Failing(&["eof"]),
        _ => Seen::Failing(&["eof", "unaligned", "mixed"]),
    })
    .await;
    let [other] = job.further.as_slice() else {
        panic!("{:?}", job.further);
    };
    let other = server.job(other.id).await;
    let (older, newer) = match job.narrowed.as_slice() {
        [case] if case == "eof" => (&job, &other),
        _ => (&other, &job),
    };
    assert_eq!(named(older), revs[9]);
    assert_eq!(named(newer), revs[21]);
    assert_eq!(other.origin.as_ref().unwrap().id, job.id);
    assert!(matches!(&other.request.signal, Signal::Cases { .. }));
    // A mail about one of them says nothing of what the other broke.
    assert_eq!(
        symptom(&server, older).await,
        "What fails in btrfs/direct-io: eof."
    );
    let both = symptom(&server, newer).await;
    assert!(both.ends_with(": mixed, unaligned."), "{both}");
    // A search of 32 commits alone takes some 5 + 2 builds, and one for its revert.
    let built = job.cost.builds + other.cost.builds;
    assert!(
        built <= 13 && other.cost.builds_reused >= 2,
        "{built} {:?}",
        other.cost
    );
}

#[tokio::test]
async fn a_case_that_fails_at_both_ends_does_not_hide_the_others() {
    let (server, revs, job) = search(|at, _| match at {
        0..17 => Seen::Failing(&["aligned"]),
        _ => Seen::Failing(&["aligned", "mixed"]),
    })
    .await;
    assert_eq!(job.narrowed, ["mixed"]);
    assert_eq!(named(&job), revs[17]);
    let other = server.job(job.further[0].id).await;
    let outcome = &other.outcome;
    assert!(
        matches!(outcome, Some(Outcome::NotReproduced { .. })),
        "{outcome:?}"
    );
}

#[tokio::test]
async fn flaky_cases_of_one_cause_stay_together() {
    let fails =
        |case: u64, seed: u64| seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (60 + case) & 1 == 1;
    let (_server, revs, job) =
        search(
            |at, seed| match (at >= 17, fails(0, seed), fails(1, seed)) {
                (false, ..) | (_, false, false) => Seen::Failing(&[]),
                (true, true, false) => Seen::Failing(&["eof"]),
                (true, false, true) => Seen::Failing(&["mixed"]),
                (true, true, true) => Seen::Failing(&["eof", "mixed"]),
            },
        )
        .await;
    assert!(job.further.is_empty(), "{:?}", job.further);
    assert_eq!(named(&job), revs[17]);
}

#[tokio::test]
async fn every_flip_is_searched_when_it_is_wished() {
    let server = TestServer::start().await;
    let revs = server.tree_of("line", 32, |i| format!("f{i}")).await;
    let mut body = request("line", &revs[0], &revs[31]);
    body["every_flip"] = json!(true);
    let id = server.submit(&body).await;
    // A person knows two revisions that a search need not come to.
    for (at, word) in [(10, "bad"), (16, "good")] {
        let mark = json!({ "rev": revs[at], "mark": word });
        assert_eq!(
            server
                .post(&format!("/jobs/{id}/marks"), &mark)
                .await
                .status(),
            201
        );
    }
    let mut worker = server.register().await;
    let oracle = |rev: &str, _: u64| match revs.iter().position(|r| r == rev) {
        Some(5..=12 | 25..) => Seen::Fails,
        _ => Seen::Clean,
    };
    worker.work_all(oracle).await;
    let job = server.job(id).await;
    let mut flips = Vec::new();
    for next in &job.further {
        let next = server.job(next.id).await;
        flips.push((next.request.find, named(&next).to_owned()));
    }
    let expected = [
        (Find::Regression, 5),
        (Find::Fix, 13),
        (Find::Regression, 25),
    ];
    let expected = expected.map(|(find, at): (Find, usize)| (find, revs[at].clone()));
    assert_eq!(flips, expected, "{:#?}", job.outcome);
}

/// A line of eight commits, a branch from the fourth of them, their merge, and `tail` commits on it.
struct Merged {
    server: TestServer,
    repo: PathBuf,
    revs: Vec<String>,
    side: Vec<String>,
    merge: String,
}

async fn merged(tail: usize) -> Merged {
    let server = TestServer::start().await;
    let revs = server.tree_of("line", 8, |i| format!("f{i}")).await;
    let repo = server.dir.path().join("line");
    let side = branch(&repo, &revs[3], "side");
    git(&repo, &["checkout", "-q", "main"]);
    let join = ["merge", "-q", "--no-ff", "-m", "Merge side", "side"];
    git(&repo, &join);
    let merge = git(&repo, &["rev-parse", "HEAD"]);
    for i in 0..tail {
        std::fs::write(repo.join(format!("t{i}")), "t\n").unwrap();
        git(&repo, &["add", "."]);
        git(&repo, &["commit", "-q", "-m", &format!("tail {i}")]);
    }
    let fetched = server.post("/trees/line/fetch", &json!({})).await;
    assert!(fetched.status().is_success(), "{}", fetched.status());
    Merged {
        server,
        repo,
        revs,
        side,
        merge,
    }
}

#[tokio::test]
async fn a_merge_is_found_first_and_then_what_it_brought() {
    let Merged {
        server,
        repo,
        revs,
        side,
        merge,
    } = merged(4).await;
    let tip = git(&repo, &["rev-parse", "HEAD"]);
    let mut body = request("line", &revs[0], &tip);
    body["merge_first"] = json!(true);
    let id = server.submit(&body).await;
    let bad: Vec<String> = [
        "HEAD", "HEAD~1", "HEAD~2", "HEAD~3", &merge, &side[5], &side[4], &side[3], &side[2],
    ]
    .iter()
    .map(|rev| git(&repo, &["rev-parse", rev]))
    .collect();
    let mut worker = server.register().await;
    let oracle = |rev: &str, _: u64| match bad.iter().any(|b| b == rev) {
        true => Seen::Fails,
        false => Seen::Clean,
    };
    worker.work_all(oracle).await;
    let job = server.job(id).await;
    assert_eq!(named(&job), merge);
    let next = server.job(job.further[0].id).await;
    assert_eq!(named(&next), side[2]);
    assert_eq!(
        next.origin.unwrap().why,
        format!("inside of the merge {}", &merge[..12])
    );
}

#[tokio::test]
async fn sides_that_clash_in_a_merge_are_shown() {
    let Merged {
        server,
        revs,
        side,
        merge,
        ..
    } = merged(0).await;
    let id = server.submit(&request("line", &revs[0], &merge)).await;
    let mut worker = server.register().await;
    let clashes = |rev: &str, _: u64| match rev == merge {
        true => Seen::Fails,
        false => Seen::Clean,
    };
    worker.work_all(clashes).await;
    let job = server.job(id).await;
    assert_eq!(named(&job), merge);
    assert!(job.sentence.contains("they clash"), "{}", job.sentence);
    let Some(Outcome::Culprit { sides, checks, .. }) = &job.outcome else {
        unreachable!("named above");
    };
    let sides: Vec<&str> = sides.iter().map(|s| s.rev.as_str()).collect();
    assert_eq!(sides, [&revs[7], &side[5]]);
    let parents = checks.iter().filter(|c| c.name == "parent" && c.passed);
    assert_eq!(parents.count(), 2, "{checks:?}");
}

#[tokio::test]
async fn a_signal_of_cases_names_what_is_wrong() {
    let server = TestServer::start().await;
    let revs = server.tree("line", 3).await;
    let mut body = request("line", &revs[0], &revs[2]);
    for (cases, pointer) in [
        (json!([]), "/signal/cases"),
        (json!(["x"]), "/signal/cases/0"),
    ] {
        body["signal"] = json!({ "kind": "cases", "cases": cases });
        let refused = server.refusal("/jobs", &body).await;
        assert_eq!(
            refused.pointer.as_deref(),
            Some(pointer),
            "{}",
            refused.detail
        );
    }
    body["signal"] = json!({ "kind": "cases", "cases": ["eof"] });
    body["cases"] = json!(["mixed"]);
    let refused = server.refusal("/jobs", &body).await;
    assert!(
        refused.detail.contains("only cases that are run"),
        "{}",
        refused.detail
    );
}
