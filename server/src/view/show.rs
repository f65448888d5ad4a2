//! The whole job as its picture shows it.

use std::collections::{BTreeMap, BTreeSet};

use firstbad_api::amend::Mend;
use firstbad_api::job::{Candidate, CandidateTest, Cost, Job, Likely};
use firstbad_api::observation::BuildObservation;
use firstbad_bisect::Mark;

use super::job::ended;
use super::remaining::remaining;
use super::sentence::running_sentence;
use crate::db::list::Progress;
use crate::judge::Raw;
use crate::picture::{Picture, Standing};
use crate::search::{Chances, Inquiry};
use crate::tasks::walk;

/// A verdict with a larger chance to be wrong is weak.
const WEAK: f64 = 0.02;
/// Likeliest commits shown, and the least chance of one.
const LIKELY_SHOWN: usize = 8;
const LIKELY_LEAST: f64 = 0.0005;

/// The whole job as its picture shows it. `times`: (attempt kind, stage, ms); `pace_ms`: what a revision
/// takes.
pub(super) fn show(
    picture: &Picture,
    times: &[(String, String, i64)],
    pace_ms: Option<f64>,
) -> Job {
    let mut job = ended(&picture.job);
    let mut stage_ms = BTreeMap::new();
    for (kind, stage, ms) in times {
        *stage_ms.entry(stage.clone()).or_insert(0) += ms;
        match kind.as_str() {
            "build" => job.cost.build_ms += ms,
            _ => job.cost.test_ms += ms,
        }
    }
    job.stage_ms = stage_ms;
    job.mends = picture.mends.iter().map(Mend::from).collect();
    job.held = picture.probes().filter(|p| p.state == "held").count();
    let candidates = picture.revisions.range(0..).map(|(_, r)| r);
    let suspected = candidates.filter(|r| r.eligible && r.weight > Some(1));
    job.relevant = picture.weights().map(|_| suspected.count());
    job.range.walk = walk::walk(picture);
    count(picture, &mut job.cost);
    let chances = chances(picture);
    job.candidates = touched(picture)
        .iter()
        .map(|p| candidate(picture, *p))
        .collect();
    if let Some(chances) = chances
        .as_ref()
        .filter(|_| !picture.calibration.deterministic)
    {
        weaken(picture, chances, &mut job.candidates);
    }
    if let Some(chances) = &chances {
        job.likely = likely(picture, chances);
    }
    let stands = stands(picture, chances.as_ref(), pace_ms);
    job.step = stands.step;
    if job.outcome.is_none() {
        job.left = stands.left;
        job.steps = stands.steps;
        job.sentence = stands.sentence;
        job.eta_s = stands.eta_s;
    }
    job
}

/// Where a job that goes on stands, for the list of jobs. `pace_ms` as for [`show`].
pub fn progress(picture: &Picture, pace_ms: Option<f64>) -> Progress {
    stands(picture, chances(picture).as_ref(), pace_ms)
}

/// What the search holds likely; between two points there is nothing to be likely, and before there
/// are two neither.
fn chances(picture: &Picture) -> Option<Chances> {
    let searched = picture.ends_settled() && !picture.job.request.two_point && !picture.walks();
    let inquiry = searched.then(|| Inquiry::new(picture, 1).ok()).flatten()?;
    Some(inquiry.chances())
}

/// Where a job that goes on stands, when a revision takes so much work.
fn stands(picture: &Picture, chances: Option<&Chances>, pace_ms: Option<f64>) -> Progress {
    let touched = touched(picture);
    let settled = touched.iter().filter(|p| picture.mark(**p).is_some());
    let step = settled.count();
    let (left, more) = remaining(picture, chances);
    Progress {
        sentence: running_sentence(picture, left, step, more),
        left,
        step,
        steps: step + more,
        eta_s: pace_ms
            .filter(|_| step > 0)
            .map(|ms| (ms * more as f64 / 1000.0).round() as u64),
    }
}

/// Positions that were looked at or marked.
fn touched(picture: &Picture) -> BTreeSet<i32> {
    let looked_at = picture.sites.keys().chain(picture.marks.keys());
    looked_at.copied().collect()
}

/// Runs that flakes may have told are weak until the rest agrees with them.
fn weaken(picture: &Picture, chances: &Chances, candidates: &mut [Candidate]) {
    for c in candidates.iter_mut().filter(|c| c.mark.is_none()) {
        let Some(inside) = chances.inside.get(&c.position) else {
            continue;
        };
        let unsure = match picture.mark(c.position) {
            Some(Mark::Good) => *inside > WEAK,
            Some(Mark::Bad) => *inside < 1.0 - WEAK,
            Some(Mark::Skip) | None => false,
        };
        if unsure {
            c.verdict = "weak".to_owned();
        }
    }
}

fn likely(picture: &Picture, chances: &Chances) -> Vec<Likely> {
    // That a good end is none is no answer to this question.
    let inside = chances.culprit.iter().filter(|(p, _)| **p >= 0);
    let mut sorted: Vec<(i32, f64)> = inside.map(|(p, c)| (*p, *c)).collect();
    sorted.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    let shown = sorted.iter().take(LIKELY_SHOWN);
    shown
        .filter(|(_, chance)| *chance >= LIKELY_LEAST)
        .map(|(position, chance)| Likely {
            rev: picture.rev(*position).to_owned(),
            subject: picture.subject(*position).to_owned(),
            chance: *chance,
        })
        .collect()
}

fn count(picture: &Picture, cost: &mut Cost) {
    let mut seen = std::collections::BTreeSet::new();
    for site in picture.sites.values().chain(picture.reverts.values()) {
        let tests = site.tests.iter().map(|t| (&t.probe, true));
        for (probe, test) in site.build.iter().map(|b| (b, false)).chain(tests) {
            // A kernel equal to another one of this job shares its attempt: a reuse, not a boot.
            let reused = probe.reused || !seen.insert(probe.attempt_id);
            let counter = match (test, reused) {
                (false, false) => &mut cost.builds,
                (false, true) => &mut cost.builds_reused,
                (true, false) => &mut cost.boots,
                (true, true) => &mut cost.boots_reused,
            };
            *counter += 1;
        }
    }
}

/// The verdict on a revision in a word, and why.
pub(super) fn verdict(picture: &Picture, position: i32) -> (&'static str, String) {
    match picture.standing(position) {
        Standing::Untested => ("untested", String::new()),
        // An answered job leaves what it no longer needed.
        Standing::Running if picture.job.outcome.is_some() => ("untested", String::new()),
        Standing::Running => ("running", String::new()),
        Standing::Present(why) => ("bad", why),
        Standing::Absent(why) => ("good", why),
        Standing::Unusable(why) => ("skip", why),
        Standing::Held(why) => ("skip", format!("infrastructure: {why}")),
    }
}

fn candidate(picture: &Picture, position: i32) -> Candidate {
    let empty = crate::picture::Site::default();
    let site = picture.sites.get(&position).unwrap_or(&empty);
    let (verdict, why) = verdict(picture, position);
    let (present, absent, _) = picture.tally(position);
    let build_state = match (&site.built, &site.build) {
        (Some(BuildObservation::Failed { .. }), _) => "failed".to_owned(),
        (_, Some(build)) => build.state.clone(),
        (_, None) => "untested".to_owned(),
    };
    Candidate {
        rev: picture.rev(position).to_owned(),
        subject: picture.subject(position).to_owned(),
        position,
        verdict: verdict.to_owned(),
        why,
        mark: picture.marks.get(&position).cloned(),
        bad_runs: present,
        runs: present + absent,
        build: site.build.as_ref().map(|b| b.attempt_id),
        build_state,
        build_reused: site.build.as_ref().is_some_and(|b| b.reused),
        signature: match &site.built {
            Some(BuildObservation::Built { signature, .. }) => Some(signature.clone()),
            _ => None,
        },
        tests: site
            .tests
            .iter()
            .map(|t| {
                let (verdict, why) = match &t.raw {
                    Some(Raw::Present(why)) => ("bad", why.clone()),
                    Some(Raw::Absent(why)) => ("good", why.clone()),
                    Some(Raw::Unusable(why)) => ("skip", why.clone()),
                    None => ("", String::new()),
                };
                CandidateTest {
                    attempt: t.probe.attempt_id,
                    seed: t.probe.seed.unwrap_or_default(),
                    state: t.probe.state.clone(),
                    verdict: verdict.to_owned(),
                    why,
                    reused: t.probe.reused,
                    value: picture.number(t).filter(|v| v.is_finite()),
                }
            })
            .collect(),
        metric: picture.metric(position),
        reason: site
            .build
            .as_ref()
            .map(|b| b.reason.clone())
            .unwrap_or_default(),
        round: site
            .build
            .as_ref()
            .and_then(|b| u32::try_from(b.round).ok())
            .unwrap_or_default(),
    }
}
