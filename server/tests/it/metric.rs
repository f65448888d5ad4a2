//! Metrics without a threshold: what a run says is measured at both ends.

use std::cell::Cell;

use firstbad_api::job::{Job, Outcome};
use serde_json::json;

use crate::common::{REVERTED, Seen, TestServer, request};

const COMMITS: usize = 48;
const CULPRIT: usize = 29;

/// A number from the normal distribution, the same for the same revision and seed.
fn normal(at: usize, seed: u64) -> f64 {
    let uniform = |salt: u64| {
        let mut x = (at as u64) << 32 ^ seed ^ salt << 48;
        for _ in 0..3 {
            x = (x ^ x >> 31).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        }
        ((x >> 11) as f64 + 0.5) / (1u64 << 53) as f64
    };
    (-2.0 * uniform(1).ln()).sqrt() * (std::f64::consts::TAU * uniform(2)).cos()
}

/// From the commit `CULPRIT` on the speed is 100 + `step` instead of 100, give or take `deviation`.
async fn search(find: &str, step: f64, deviation: f64, seed: u64) -> (Job, String) {
    ask(find, step, deviation, seed, false).await
}

async fn ask(find: &str, step: f64, deviation: f64, seed: u64, two_point: bool) -> (Job, String) {
    let server = TestServer::start().await;
    let revs = server.tree_of("line", COMMITS, |i| format!("f{i}")).await;
    let mut body = request("line", &revs[0], &revs[COMMITS - 1]);
    body["find"] = json!(find);
    body["seed"] = json!(seed);
    body["two_point"] = json!(two_point);
    body["signal"] = json!({ "kind": "metric", "name": "mb_s" });
    let id = server.submit(&body).await;
    let mut worker = server.register().await;
    let speed = |rev: &str, seed: u64| {
        let at = revs.iter().position(|r| r == rev);
        assert!(at.is_some() || rev == REVERTED);
        let moved = at.is_some_and(|at| at >= CULPRIT);
        let mean = if moved { 100.0 + step } else { 100.0 };
        Seen::Speed(mean + deviation * normal(at.unwrap_or(COMMITS), seed))
    };
    let job = worker.work(id, speed).await;
    (job, revs[CULPRIT].clone())
}

/// A search in real mode on a machine that becomes slower by 3 % a hundred runs; every sixth run is
/// made beside other work, which takes a third of its speed.
async fn on_a_bad_host(step: f64, deviation: f64) -> (Job, String) {
    on_a_host(step, deviation, |run| run % 6 == 5).await
}

/// The same; the machine is busy in the runs that `busy` names by the number of runs before.
async fn on_a_host(step: f64, deviation: f64, busy: impl Fn(u64) -> bool) -> (Job, String) {
    let server = TestServer::start().await;
    let revs = server.tree_of("line", COMMITS, |i| format!("f{i}")).await;
    let mut body = request("line", &revs[0], &revs[COMMITS - 1]);
    body["mode"] = json!("real");
    body["signal"] = json!({ "kind": "metric", "name": "mb_s" });
    let id = server.submit(&body).await;
    let mut worker = server.register().await;
    let made = Cell::new(0_u64);
    let speed = |rev: &str, _: u64| {
        let at = revs.iter().position(|r| r == rev);
        let run = made.replace(made.get() + 1);
        let moved = at.is_some_and(|at| at >= CULPRIT);
        let mean = if moved { 100.0 + step } else { 100.0 };
        let level = 1.0 - 0.03 * run as f64 / 100.0;
        let value = level * (mean + deviation * normal(at.unwrap_or(COMMITS), run));
        match busy(run) {
            true => Seen::Waited(value * 0.67, 0.33),
            false => Seen::Waited(value, 0.02),
        }
    };
    let job = worker.work(id, speed).await;
    (job, revs[CULPRIT].clone())
}

fn named(job: &Job) -> &str {
    match &job.outcome {
        Some(Outcome::Culprit { rev, checks, .. }) => {
            assert!(checks.iter().all(|c| c.passed), "{checks:#?}");
            rev
        }
        other => panic!("{other:#?}"),
    }
}

#[tokio::test]
async fn a_small_step_without_noise_takes_a_run_each() {
    let (job, culprit) = search("regression", -2.0, 0.0, 1).await;
    assert_eq!(named(&job), culprit);
    assert!(job.cost.boots <= 5 + 5 + 6 + 20, "{:?}", job.cost);
}

#[tokio::test]
async fn a_step_of_two_deviations_is_found_in_both_directions() {
    for seed in [1, 1000] {
        let (job, culprit) = search("regression", -4.0, 2.0, seed).await;
        assert_eq!(named(&job), culprit);
        let (job, culprit) = search("fix", 4.0, 2.0, seed).await;
        assert_eq!(named(&job), culprit);
    }
}

#[tokio::test]
async fn ends_that_are_alike_or_better_are_not_reproduced() {
    for (step, why) in [(0.0, "do not differ"), (3.0, "for the better")] {
        let (job, _) = search("regression", step, 0.5, 1).await;
        let Some(Outcome::NotReproduced { why: told, .. }) = &job.outcome else {
            panic!("{:#?}", job.outcome);
        };
        assert!(told.contains(why) && told.contains("20 runs"), "{told}");
    }
}

#[tokio::test]
async fn two_points_differ_by_single_runs_or_by_their_means() {
    for (step, deviation, runs) in [(-2.0, 0.0, 5), (-3.0, 1.2, 20)] {
        let (job, _) = ask("regression", step, deviation, 7, true).await;
        let Some(Outcome::Differs { confidence, .. }) = job.outcome else {
            panic!("{:#?}", job.outcome)
        };
        assert!(confidence > 0.999 && confidence < 1.0, "{confidence}");
        let made: Vec<u32> = job.candidates.iter().map(|c| c.runs).collect();
        assert_eq!(made, [runs, runs]);
    }
    let (job, _) = ask("regression", 0.0, 1.2, 7, true).await;
    let outcome = job.outcome;
    assert!(
        matches!(outcome, Some(Outcome::NotReproduced { .. })),
        "{outcome:?}"
    );
}

#[tokio::test]
async fn neither_a_machine_that_drifts_nor_its_other_work_is_blamed_on_a_commit() {
    for (step, deviation) in [(-5.0, 0.5), (-2.0, 0.7)] {
        let (job, culprit) = on_a_bad_host(step, deviation).await;
        assert_eq!(named(&job), culprit);
        let (job, _) = on_a_bad_host(0.0, deviation).await;
        assert!(
            matches!(job.outcome, Some(Outcome::NotReproduced { .. })),
            "{:#?}",
            job.outcome
        );
    }
}

#[tokio::test]
async fn a_host_that_is_never_quiet_again_ends_the_job() {
    // From the middle of the search on, and from its last checks on.
    for quiet in [20, 40] {
        let (job, _) = on_a_host(-5.0, 0.5, |run| run >= quiet).await;
        let Some(Outcome::Unresolved { why }) = &job.outcome else {
            panic!("{:#?}", job.outcome);
        };
        assert!(why.contains("the host was busy"), "{why}");
    }
}
