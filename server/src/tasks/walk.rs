//! Walking back over releases to a good one, after which the job is one like any other.
//!
//! Owns how a picture becomes a row of releases, and the range that takes its place. Which release is
//! next is decided elsewhere ([`crate::walk`]).

use std::collections::BTreeSet;

use firstbad_api::job::{Looked, NewJob, Outcome, Range, Walk};

use crate::answer;
use crate::api::ranges;
use crate::db;
use crate::error::AppError;
use crate::ladder::Kind;
use crate::picture::{Picture, Standing};
use crate::state::App;
use crate::walk::{Release, Stand, Step, next};

/// The next step of a walk; `releases` are those that the tree's archive has, if it is one.
pub fn step(picture: &Picture, releases: &[db::release::Row]) -> Step {
    let packaged = releases
        .iter()
        .filter(|r| r.kind == Kind::Packaged.as_str());
    let packaged: BTreeSet<&str> = packaged.map(|r| r.rev.as_str()).collect();
    let mut row = Vec::new();
    for position in (0..picture.bad()).rev() {
        let rev = picture.rev(position);
        row.push(Release {
            stand: match picture.standing(position) {
                Standing::Present(_) => Stand::Bad,
                Standing::Absent(_) => Stand::Good,
                Standing::Unusable(_) | Standing::Held(_) => Stand::Skip,
                _ if picture.job.request.skip.iter().any(|s| s == rev) => Stand::Skip,
                Standing::Running => Stand::Open,
                Standing::Untested => Stand::Untested,
            },
            prebuilt: packaged.contains(rev),
        });
    }
    next(&row)
}

/// The position of a release by its place in the row, the newest first.
pub fn position(picture: &Picture, index: usize) -> anyhow::Result<i32> {
    Ok(picture.bad() - 1 - i32::try_from(index)?)
}

/// Why a release is looked at.
pub fn reason(picture: &Picture, position: i32) -> String {
    match picture.bad() - position {
        1 => "1 release back: is it good?".to_owned(),
        n => format!("{n} releases back: is it good?"),
    }
}

/// How far a walk has come.
pub fn walk(picture: &Picture) -> Option<Walk> {
    let mut walk = picture.job.range.walk.clone()?;
    if picture.walks() {
        let looked = picture.sites.keys().chain(picture.marks.keys()).copied();
        let looked: BTreeSet<i32> = looked.filter(|p| *p < picture.bad()).collect();
        walk.looked = looked
            .into_iter()
            .rev()
            .filter_map(|p| look(picture, p))
            .collect();
    }
    Some(walk)
}

fn look(picture: &Picture, position: i32) -> Option<Looked> {
    let verdict = match picture.standing(position) {
        Standing::Present(_) => "bad",
        Standing::Absent(_) => "good",
        Standing::Unusable(_) | Standing::Held(_) => "skip",
        Standing::Running => "running",
        Standing::Untested => return None,
    };
    Some(Looked {
        release: picture.subject(position).to_owned(),
        verdict: verdict.to_owned(),
    })
}

/// A walk that has found a good release: the range between it and the bad end is still to be asked.
pub struct Found {
    job: i64,
    request: NewJob,
    good: String,
    release: String,
    bad: String,
    walk: Option<Walk>,
}

impl Found {
    pub fn of(picture: &Picture, position: i32) -> Found {
        Found {
            job: picture.job.id,
            request: picture.job.request.0.clone(),
            good: picture.rev(position).to_owned(),
            release: picture.subject(position).to_owned(),
            bad: picture.job.range.bad.clone(),
            walk: walk(picture),
        }
    }

    /// Makes it a job between the two, which knows all that was run for it. Where nothing can be
    /// searched there, that is its outcome. False when it is no walk any more, or has ended.
    pub async fn answer(self, app: &App) -> anyhow::Result<bool> {
        let good = vec![self.good];
        let found = ranges::range(app, &self.request, &good, &self.bad).await;
        let mut tx = app.pool.begin().await?;
        let detail = serde_json::json!({ "release": self.release, "good": good });
        match found {
            Ok((range, revisions)) => {
                let range = Range {
                    walk: self.walk,
                    ..range
                };
                if !db::walk::end(&mut tx, self.job, &range, &revisions).await? {
                    return Ok(false);
                }
                let what = "good release found";
                db::audit(&mut tx, "server", what, Some(self.job), None, detail).await?;
            }
            Err(AppError::Problem(why)) => {
                let why = format!("{} is good, but {}", self.release, why.detail);
                let outcome = Outcome::Unresolved { why };
                if !db::job::end(&mut tx, self.job, "done", &outcome).await? {
                    return Ok(false);
                }
                db::attempt::cancel_for_job(&mut tx, self.job).await?;
                let what = "job ended";
                db::audit(&mut tx, "server", what, Some(self.job), None, detail).await?;
            }
            Err(error) => return Err(error.into()),
        }
        tx.commit().await?;
        app.wake();
        Ok(true)
    }
}

/// The outcome of a walk that found no good release. What failed for reasons of ours is no release
/// that cannot be tested: it may be the good one.
pub fn nothing(picture: &Picture) -> Outcome {
    let held = (0..picture.bad()).find_map(|p| match picture.standing(p) {
        Standing::Held(why) => Some((picture.subject(p), why)),
        _ => None,
    });
    if let Some((release, why)) = held {
        return Outcome::Unresolved {
            why: format!("infrastructure: {release} could not be tested: {why}"),
        };
    }
    Outcome::NoGoodEnd {
        why: walk(picture).map_or_else(String::new, |walk| told(&walk)),
        checks: answer::end_checks(picture),
    }
}

/// How far a walk has come, in words.
pub fn told(walk: &Walk) -> String {
    let of = |verdict: &str| {
        let found = walk.looked.iter().filter(|l| l.verdict == verdict);
        found.map(|l| l.release.as_str()).collect::<Vec<_>>()
    };
    let (bad, skipped) = (of("bad"), of("skip"));
    let looked = walk
        .looked
        .iter()
        .filter(|l| l.verdict != "running")
        .count();
    let mut out = format!(
        "{looked} of the {} releases before it were looked at",
        walk.releases
    );
    if let Some(oldest) = bad.last() {
        out.push_str(&match bad.len() {
            1 => format!("; {oldest} is bad"),
            n => format!("; {n} are bad, the oldest {oldest}"),
        });
    }
    match skipped[..] {
        [] => {}
        [one] => out.push_str(&format!("; {one} cannot be tested")),
        _ => out.push_str(&format!("; {} cannot be tested", skipped.len())),
    }
    if bad.last() != Some(&walk.oldest.as_str()) {
        out.push_str(&format!("; the oldest there is {}", walk.oldest));
    }
    out
}
