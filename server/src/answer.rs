//! What a job is answered: outcomes and their checks, from its picture.
//!
//! Owns the words of an answer. Pure; must not know how probes are chosen or stored.

use anyhow::Context;
use firstbad_api::job::{Check, Find, Outcome, RevSubject};
use firstbad_api::lease::RunMode;
use firstbad_api::observation::TestObservation;
use firstbad_bisect::Node;
use firstbad_bisect::search::{Answer, Ending};

use crate::judge::{Raw, busy};
use crate::luck;
use crate::picture::{CALIBRATION_RUNS, Picture, REVERTS, Standing};
use crate::scale;
use crate::search::Inquiry;
use crate::view::{percent, short};

/// An end has changed when the order of its runs has a smaller chance.
const DRIFT: f64 = 1e-3;
/// Runs in a row on a busy host after which a job is given up; a revision alone has fewer.
const BUSY_RUNS: usize = 30;
/// A normal number is above the mean by so many deviations with a chance of one in a thousand.
const REVERT_DEVIATIONS: f64 = 3.09;

/// The outcome that the ends alone give, if they do.
pub fn of_the_ends(picture: &Picture) -> Option<Outcome> {
    if let Some(lost) = picture.lost_user_symbols() {
        return Some(Outcome::Unresolved {
            why: format!(
                "config.fragment: {lost} after olddefconfig; a dependency is missing or the symbol is set by \
                 another option: add what it depends on, or leave it out"
            ),
        });
    }
    for position in picture
        .present_ends()
        .into_iter()
        .chain(picture.absent_ends())
    {
        let name = end_name(picture, position);
        match picture.standing(position) {
            Standing::Unusable(why) => {
                return Some(Outcome::Unresolved {
                    why: format!("the {name} cannot be judged: {why}"),
                });
            }
            Standing::Held(why) => {
                return Some(Outcome::Unresolved {
                    why: format!("infrastructure: the {name} could not be tested: {why}"),
                });
            }
            _ => {}
        }
    }
    not_reproduced(picture)
}

/// Whether the job has made all the runs it may.
pub fn runs_used_up(picture: &Picture) -> bool {
    let runs: usize = picture.sites.values().map(|s| s.tests.len()).sum();
    runs >= picture.job.request.max_runs as usize
}

/// The best answer so far of a search by sections that has used up its runs; under flakes the search
/// ends itself.
pub fn out_of_runs(picture: &Picture) -> Option<Outcome> {
    if !picture.calibration.deterministic || !runs_used_up(picture) {
        return None;
    }
    likeliest(picture).map(|(position, chance)| runs_do_not_suffice(picture, position, chance))
}

/// The likeliest commit so far and its chance; none before there are two ends to search between.
fn likeliest(picture: &Picture) -> Option<(i32, f64)> {
    let searched = picture.ends_settled() && !picture.job.request.two_point && !picture.walks();
    let inquiry = searched.then(|| Inquiry::new(picture, 1).ok()).flatten()?;
    let chances = inquiry.chances().culprit.into_iter();
    chances.max_by(|a, b| a.1.total_cmp(&b.1))
}

/// The end of a job that had to stop, with the best answer so far.
pub fn best_so_far(picture: &Picture, spent: &str) -> Outcome {
    match likeliest(picture) {
        Some((position, chance)) => did_not_suffice(picture, spent, position, chance),
        None => Outcome::Unresolved {
            why: format!("{spent}: the ends are not settled"),
        },
    }
}

fn runs_do_not_suffice(picture: &Picture, position: i32, chance: f64) -> Outcome {
    let spent = format!(
        "the {} runs allowed did not suffice",
        picture.job.request.max_runs
    );
    did_not_suffice(picture, &spent, position, chance)
}

fn did_not_suffice(picture: &Picture, spent: &str, position: i32, chance: f64) -> Outcome {
    Outcome::Unresolved {
        why: format!(
            "{spent}; the likeliest commit is {} ({})",
            picture.rev(position),
            percent(chance)
        ),
    }
}

/// The commit that an answer would name, by its position.
pub fn named_commit(inquiry: &Inquiry, answer: &Answer) -> Option<i32> {
    let position = inquiry.position(answer.culprit?);
    (answer.ending == Ending::Culprit && position >= 0).then_some(position)
}

/// The outcome when an end no longer answers as it did at first: the machine or its environment has
/// changed, and no commit can be blamed for that.
pub fn drift(picture: &Picture) -> Option<Outcome> {
    if picture.job.request.mode == RunMode::Exact {
        return None;
    }
    for position in picture.present_ends() {
        let tests = &picture.sites.get(&position)?.tests;
        let shows: Vec<bool> = tests
            .iter()
            .filter_map(|t| match t.raw.as_ref()? {
                Raw::Present(_) => Some(true),
                Raw::Absent(_) => Some(false),
                Raw::Unusable(_) => None,
            })
            .collect();
        let (all, shown) = (shows.len(), shows.iter().filter(|s| **s).count());
        let last = shows.iter().rposition(|s| *s)? + 1;
        // If their order had no meaning, all would fall into the first `last` runs with this chance.
        let luck: f64 = (0..shown)
            .map(|i| (last - i) as f64 / (all - i) as f64)
            .product();
        if luck < DRIFT {
            return Some(Outcome::Unresolved {
                why: format!(
                    "the {} showed it in {shown} of its first {last} runs and in none of the {} after \
                     them: something besides the kernel has changed",
                    end_name(picture, position),
                    all - last
                ),
            });
        }
    }
    None
}

/// The outcome when the host leaves a machine no time to be measured: its last runs all waited for a
/// processor.
pub fn never_quiet(picture: &Picture) -> Option<Outcome> {
    let sites = picture.sites.values().chain(picture.reverts.values());
    let mut runs: Vec<(i64, &TestObservation)> = sites
        .flat_map(|site| &site.tests)
        .filter_map(|test| Some((test.probe.attempt_id, test.observation.as_deref()?)))
        .collect();
    runs.sort_by_key(|(attempt, _)| *attempt);
    let last = runs.get(runs.len().checked_sub(BUSY_RUNS)?..)?;
    last.iter()
        .all(|(_, run)| busy(run).is_some())
        .then(|| Outcome::Unresolved {
            why: format!(
                "the host was busy in each of the last {BUSY_RUNS} runs, so that none of them is a \
                 measure: submit the job again when nothing else runs there, or in exact mode"
            ),
        })
}

/// Clean runs wanted of the last end without the commit at `position`: so many that chance gives
/// them in one case of a thousand if the behaviour were still there.
pub fn revert_runs(picture: &Picture) -> u32 {
    if let Some(scale) = picture.scale() {
        // The mean is on the wrong side of the middle with this chance (normal distribution).
        let runs = (2.0 * REVERT_DEVIATIONS / scale.shift()).powi(2).ceil();
        return runs.clamp(1.0, f64::from(CALIBRATION_RUNS)) as u32;
    }
    luck::clean_runs(picture.pooled(), CALIBRATION_RUNS)
}

/// The check that the behaviour goes (or, of a repair, comes back) with the commit at `position`;
/// `None` while its runs are not in.
pub fn revert_check(picture: &Picture, position: i32) -> Option<Check> {
    let at = position + REVERTS;
    match picture.standing(at) {
        Standing::Unusable(why) => {
            return Some(no_revert(picture, format!("cannot be reverted: {why}")));
        }
        Standing::Held(why) => {
            return Some(no_revert(picture, format!("infrastructure: {why}")));
        }
        Standing::Untested => return None,
        _ => {}
    }
    let shows = picture.find() == Find::Fix;
    let (present, absent, _) = picture.tally(at);
    let shown = present > 0 && picture.scale().is_none();
    let enough = shown || present + absent >= revert_runs(picture);
    enough.then(|| Check {
        attempts: runs_of(picture, position),
        ..check(picture, &revert_name(picture), at, shows)
    })
}

/// The runs without the commit at `position`.
fn runs_of(picture: &Picture, position: i32) -> Vec<i64> {
    let tests = picture.reverts.get(&position).map(|site| &site.tests);
    let tests = tests.into_iter().flatten();
    tests.map(|test| test.probe.attempt_id).collect()
}

/// That check when it cannot be made, and why.
pub fn no_revert(picture: &Picture, detail: String) -> Check {
    Check {
        name: revert_name(picture),
        passed: false,
        made: false,
        detail,
        attempts: Vec::new(),
    }
}

fn revert_name(picture: &Picture) -> String {
    format!("revert on the {}", end_name(picture, picture.bad()))
}

/// The outcome of a search that has ended; `revert` is the check that goes with a named commit.
///
/// # Errors
/// When the answer contradicts itself.
pub fn of_the_search(
    picture: &Picture,
    inquiry: &Inquiry,
    answer: &Answer,
    revert: Option<Check>,
) -> anyhow::Result<Outcome> {
    let positions: Vec<i32> = answer
        .set
        .iter()
        .map(|(node, _)| inquiry.position(*node))
        .collect();
    let likeliest = positions.first().map_or("", |p| picture.rev(*p));
    let surety = percent(answer.confidence);
    Ok(match answer.ending {
        Ending::Culprit => {
            let node = answer.culprit.context("a culprit without a revision")?;
            let parents = inquiry.parents(picture, node);
            culprit(
                picture,
                inquiry.position(node),
                &parents,
                answer.confidence,
                revert,
            )
        }
        Ending::Range if positions.iter().any(|p| *p < 0) => {
            // Where the old end may be wrong, no set of commits holds the answer.
            let ends = answer.set.iter().filter(|c| inquiry.position(c.0) < 0);
            let older: f64 = ends.map(|c| c.1).sum();
            Outcome::Unresolved {
                why: format!(
                    "more runs would tell nothing, and these do not rule out that the {} is like the \
                     other one ({}); the likeliest commit is {likeliest}",
                    end_name(picture, -1),
                    percent(older)
                ),
            }
        }
        Ending::Range => range(picture, inquiry, &positions),
        Ending::NotReproduced => Outcome::NotReproduced {
            why: format!(
                "chance explains the runs at the {} ({surety})",
                end_name(picture, picture.bad())
            ),
            checks: end_checks(picture),
        },
        Ending::Multiple => Outcome::Unresolved {
            why: format!(
                "no single commit explains the runs: several commits change the answer, or it \
                 was repaired and broken again; the likeliest change is {likeliest} ({surety})"
            ),
        },
        Ending::Unresolved => {
            let position = positions.first().copied().unwrap_or_default();
            runs_do_not_suffice(picture, position, answer.confidence)
        }
    })
}

fn not_reproduced(picture: &Picture) -> Option<Outcome> {
    if let Some(why) = picture.ends_alike() {
        return Some(Outcome::NotReproduced {
            why: why.to_owned(),
            checks: end_checks(picture),
        });
    }
    for position in picture.present_ends() {
        let (present, absent, _) = picture.tally(position);
        let wanted = if picture.job.request.runs > 0 {
            picture.job.request.runs
        } else {
            CALIBRATION_RUNS
        };
        if present == 0 && absent >= wanted {
            return Some(Outcome::NotReproduced {
                why: format!(
                    "the {} does not show the behaviour in {absent} run{}",
                    end_name(picture, position),
                    if absent == 1 { "" } else { "s" }
                ),
                checks: end_checks(picture),
            });
        }
    }
    for position in picture.absent_ends() {
        if let Standing::Present(why) = picture.standing(position) {
            return Some(Outcome::NotReproduced {
                why: format!(
                    "the {} shows the behaviour too: {why}",
                    end_name(picture, position)
                ),
                checks: end_checks(picture),
            });
        }
    }
    None
}

/// What an end is called.
pub fn end_name(picture: &Picture, position: i32) -> &'static str {
    match (position == picture.bad(), picture.find()) {
        (true, Find::Regression) => "bad end",
        (true, Find::Fix) => "new end",
        (false, Find::Regression) => "good end",
        (false, Find::Fix) => "old end",
    }
}

fn check(picture: &Picture, name: &str, position: i32, present: bool) -> Check {
    if let Some(said) = picture.marks.get(&position) {
        return Check {
            name: name.to_owned(),
            passed: said.mark.as_str() == if present { "bad" } else { "good" },
            made: true,
            detail: format!("marked {} by {}", said.mark.as_str(), said.who),
            attempts: Vec::new(),
        };
    }
    let (shown, clean, _) = picture.tally(position);
    let total = shown + clean;
    if let (Some(shows), Some(mean)) = (picture.mean_shows(position), picture.metric(position)) {
        return Check {
            name: name.to_owned(),
            passed: shows == present,
            made: true,
            detail: format!("{} on average of {total} runs", scale::round(mean)),
            attempts: Vec::new(),
        };
    }
    let passed = if present {
        shown > 0
    } else {
        shown == 0 && clean > 0
    };
    let detail = match (total, present) {
        (0, _) => "not run".to_owned(),
        (_, true) => format!("{shown} of {total} runs show it"),
        (_, false) => format!("{clean} of {total} runs are clean"),
    };
    Check {
        name: name.to_owned(),
        passed,
        made: total > 0,
        detail,
        attempts: Vec::new(),
    }
}

/// [`check`] of what decides, with what more runs of the same kernel elsewhere say: in the search they
/// count as its own.
fn decisive(picture: &Picture, name: &str, position: i32, present: bool) -> Check {
    let mut own = check(picture, name, position, present);
    let runs = |at: i32| {
        let (shown, clean, _) = picture.tally(at);
        shown + clean
    };
    let Some(kernel) = picture.kernel(position) else {
        return own;
    };
    let others = picture.sites.keys().copied();
    let same = others.filter(|at| *at != position && picture.kernel(*at) == Some(kernel));
    let most = same.max_by_key(|at| runs(*at));
    if let Some(other) = most.filter(|at| runs(*at) > runs(position)) {
        let at = match other < 0 || other == picture.bad() {
            true => format!("the {}", end_name(picture, other)),
            false => short(picture.rev(other)).to_owned(),
        };
        let said = check(picture, "", other, present).detail;
        own.detail = format!("{}; {at} has the same kernel: {said}", own.detail);
    }
    own
}

/// What the runs at the ends say.
pub fn end_checks(picture: &Picture) -> Vec<Check> {
    let mut checks = Vec::new();
    for position in picture.goods() {
        checks.push(check(
            picture,
            end_name(picture, position),
            position,
            picture.find() == Find::Fix,
        ));
    }
    let bad = picture.bad();
    checks.push(check(
        picture,
        end_name(picture, bad),
        bad,
        picture.find() == Find::Regression,
    ));
    checks
}

/// Names a commit with its checks, or what is left when a check does not hold.
fn culprit(
    picture: &Picture,
    position: i32,
    parents: &[i32],
    confidence: f64,
    revert: Option<Check>,
) -> Outcome {
    let culprit_shows = picture.find() == Find::Regression;
    if position < 0 {
        return Outcome::NotReproduced {
            why: format!(
                "the {} shows the same as the {} ({})",
                end_name(picture, position),
                end_name(picture, picture.bad()),
                percent(confidence)
            ),
            checks: end_checks(picture),
        };
    }
    let parent_name = match parents.iter().all(|p| *p < 0) {
        true => "parent (the good end)",
        false => "parent",
    };
    let mut checks = end_checks(picture);
    checks.push(decisive(picture, "culprit", position, culprit_shows));
    for parent in parents {
        let mut check = decisive(picture, parent_name, *parent, !culprit_shows);
        if let Standing::Unusable(why) = picture.standing(*parent) {
            // The search ends only when a clean revision contains this parent.
            check.passed = true;
            check.detail = format!("{why}; contained in a revision that was tested clean");
        }
        checks.push(check);
    }
    let row = picture.revisions.get(&position);
    if checks.iter().any(|c| !c.passed) {
        // A parent that could not be judged: name what is left, never a guess.
        return Outcome::Range {
            candidates: named(picture, &[position]),
            confidence,
            checks,
        };
    }
    // What a revert on the last end shows does not refute: a later commit may do the same.
    checks.extend(revert);
    Outcome::Culprit {
        rev: picture.rev(position).to_owned(),
        subject: picture.subject(position).to_owned(),
        author: row.map(|r| r.author.clone()).unwrap_or_default(),
        confidence,
        checks,
        sides: sides(picture, position),
    }
}

/// The sides of a merge that is the answer though each of them is not; with `first_parent` the
/// others were not looked at.
fn sides(picture: &Picture, position: i32) -> Vec<RevSubject> {
    let (Ok(node), Some(row)) = (Node::try_from(position), picture.revisions.get(&position)) else {
        return Vec::new();
    };
    if !row.merge || picture.job.request.first_parent {
        return Vec::new();
    }
    let parents = picture.graph.parents(node).iter();
    let mut sides: Vec<i32> = parents.filter_map(|p| i32::try_from(*p).ok()).collect();
    if sides.len() < 2 {
        sides.extend(picture.goods());
    }
    named(picture, &sides)
}

fn named(picture: &Picture, positions: &[i32]) -> Vec<RevSubject> {
    let mut positions = positions.to_vec();
    positions.sort_unstable();
    let name = |at: &i32| RevSubject {
        rev: picture.rev(*at).to_owned(),
        subject: picture.subject(*at).to_owned(),
    };
    positions.iter().map(name).collect()
}

/// Exactly these are left.
pub fn range(picture: &Picture, inquiry: &Inquiry, positions: &[i32]) -> Outcome {
    Outcome::Range {
        candidates: named(picture, positions),
        confidence: inquiry.chance(positions),
        checks: end_checks(picture),
    }
}
