//! What a job is answered: outcomes and their checks, from its picture.
//!
//! Owns the words of an answer. Pure; must not know how probes are chosen or stored.

use anyhow::Context;
use firstbad_api::job::{Check, Find, Outcome, RevSubject};
use firstbad_bisect::search::{Answer, Ending};

use crate::picture::{CALIBRATION_RUNS, Picture, REVERTS, Standing};
use crate::search::Inquiry;
use crate::view::percent;

/// Chance that a revert seems to help by luck.
const REVERT_MISS: f64 = 1e-3;

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

/// The commit that an answer would name, by its position.
pub fn named_commit(inquiry: &Inquiry, answer: &Answer) -> Option<i32> {
    let position = inquiry.position(answer.culprit?);
    (answer.ending == Ending::Culprit && position >= 0).then_some(position)
}

/// Clean runs wanted of the last end without the commit at `position`: so many that chance gives
/// them in one case of a thousand if the behaviour were still there.
pub fn revert_runs(picture: &Picture) -> u32 {
    let (shown, all) = picture.pooled();
    // Laplace's estimate: never certain.
    let rate = (f64::from(shown) + 1.0) / (f64::from(all) + 2.0);
    let runs = (REVERT_MISS.ln() / (1.0 - rate).ln()).ceil();
    runs.clamp(1.0, f64::from(CALIBRATION_RUNS)) as u32
}

/// The check that the behaviour goes (or, of a repair, comes back) with the commit at `position`;
/// `None` while its runs are not in.
pub fn revert_check(picture: &Picture, position: i32) -> Option<Check> {
    let at = position + REVERTS;
    let name = format!("revert on the {}", end_name(picture, picture.bad()));
    match picture.standing(at) {
        Standing::Unusable(why) | Standing::Held(why) => {
            return Some(impossible_revert(picture, &why));
        }
        Standing::Untested => return None,
        _ => {}
    }
    let shows = picture.find() == Find::Fix;
    let (present, absent, _) = picture.tally(at);
    let enough = present > 0 || absent >= revert_runs(picture);
    enough.then(|| check(picture, &name, at, shows))
}

/// That check when it cannot be made.
pub fn impossible_revert(picture: &Picture, why: &str) -> Check {
    Check {
        name: format!("revert on the {}", end_name(picture, picture.bad())),
        passed: false,
        made: false,
        detail: format!("cannot be reverted: {why}"),
    }
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
        Ending::Unresolved => Outcome::Unresolved {
            why: format!(
                "the runs allowed did not suffice; the likeliest commit is {likeliest} ({surety})"
            ),
        },
    })
}

fn not_reproduced(picture: &Picture) -> Option<Outcome> {
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
                    "the {} does not show the behaviour in {absent} runs",
                    end_name(picture, position)
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

fn end_name(picture: &Picture, position: i32) -> &'static str {
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
        };
    }
    let (shown, clean, _) = picture.tally(position);
    let total = shown + clean;
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
    }
}

fn end_checks(picture: &Picture) -> Vec<Check> {
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
    checks.push(check(picture, "culprit", position, culprit_shows));
    for parent in parents {
        let mut check = check(picture, parent_name, *parent, !culprit_shows);
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
    }
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
