//! `attempts`: what a job cost, attempt by attempt and stage by stage.

use std::collections::BTreeSet;

use firstbad_api::attempt::Attempt;
use firstbad_api::job::Job;

use crate::args::{AttemptsArgs, Common};
use crate::client::{self, Client};
use crate::fail::Done;
use crate::show;
use crate::text::{self, line};

pub async fn run(common: &Common, args: &AttemptsArgs) -> Done {
    let client = Client::new(common, Some(&args.job))?;
    let id = client::id(&args.job, "jobs")?;
    let job: Job = client.get(&format!("/api/v1/jobs/{id}")).await?;
    let mut attempts: Vec<Attempt> = Vec::new();
    for id in ids(&job) {
        attempts.push(client.get(&format!("/api/v1/attempts/{id}")).await?);
    }
    if args.json {
        return show::json(&attempts);
    }
    if args.stages {
        attempts.iter().for_each(|a| print!("{}", stages(a)));
    } else {
        println!("{}", table(&attempts));
    }
    Ok(0)
}

/// Every attempt the job asked for, oldest first; one that two revisions share once.
fn ids(job: &Job) -> BTreeSet<i64> {
    job.candidates
        .iter()
        .flat_map(|c| c.build.into_iter().chain(c.tests.iter().map(|t| t.attempt)))
        .collect()
}

fn table(attempts: &[Attempt]) -> String {
    let rows = attempts.iter().map(|a| {
        let stages: Vec<String> = a
            .stages
            .iter()
            .map(|s| format!("{} {}", line(&s.stage), text::millis(s.duration_ms)))
            .collect();
        vec![
            a.id.to_string(),
            line(&a.kind),
            text::short(&line(&a.rev)).to_string(),
            line(&a.state),
            a.epoch.to_string(),
            a.lease_losses.to_string(),
            a.infra_failures.to_string(),
            stages.join(", "),
        ]
    });
    show::table(
        &[
            "attempt", "kind", "revision", "state", "leases", "lost", "failed", "stages",
        ],
        rows,
    )
}

/// For scripts, one line a stage: attempt, kind, lease, stage, ok or failed, milliseconds.
fn stages(attempt: &Attempt) -> String {
    let Attempt { id, kind, .. } = attempt;
    attempt
        .stages
        .iter()
        .map(|s| {
            let end = if s.ok { "ok" } else { "failed" };
            let (kind, stage) = (line(kind), line(&s.stage));
            format!("{id} {kind} {} {stage} {end} {}\n", s.epoch, s.duration_ms)
        })
        .collect()
}
