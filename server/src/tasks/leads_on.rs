//! What follows an answer: other jobs (cases that went apart, merges to look into, more than one flip),
//! and the words by which the named commit is found.
//!
//! Owns when a second job is made and what it asks. Everything it needs is stored, so a pass may stop
//! anywhere. Must not know how a search decides.

use std::collections::BTreeSet;

use firstbad_api::job::{Find, NewJob, Outcome, Signal};
use sqlx::PgConnection;

use crate::api;
use crate::db;
use crate::db::job::Onward;
use crate::diverge;
use crate::functions;
use crate::picture::{Picture, Standing};
use crate::state::App;
use crate::tasks::release_pair::{Pair, release_pair};
use crate::view::short;

/// Bytes of a named commit's diff that are read for its functions.
const DIFF_BYTES: usize = 256 << 10;
/// Flips of one job that are searched, at most.
const FLIPS: usize = 6;

/// Gives every group of cases but the first a job of its own; true when there were several.
pub async fn part(conn: &mut PgConnection, picture: &Picture) -> anyhow::Result<bool> {
    let groups = diverge::groups(picture);
    let [own, others @ ..] = groups.as_slice() else {
        return Ok(false);
    };
    if others.is_empty() {
        return Ok(false);
    }
    let id = picture.job.id;
    for cases in others {
        let signal = Signal::Cases {
            cases: cases.clone(),
        };
        let request = NewJob {
            signal,
            title: None,
            ..picture.job.request.0.clone()
        };
        let why = format!("{} went another way", cases.join(", "));
        let title = api::jobs::title(&request);
        let digest = api::jobs::digest(&request)?;
        let onward = Onward {
            title: &title,
            request: &request,
            request_digest: &digest,
            why: &why,
            range: None,
        };
        let new = db::job::split_off(conn, id, &onward).await?;
        let detail = serde_json::json!({ "cases": cases, "job": new });
        db::audit(conn, "server", "cases went apart", Some(id), None, detail).await?;
    }
    db::job::narrow(conn, id, own).await?;
    Ok(true)
}

/// A job to be made.
struct Next {
    request: NewJob,
    why: String,
}

/// One pass over ended jobs that asked for more than one answer.
pub async fn tick(app: &App) -> anyhow::Result<()> {
    let ids = db::job::leading_on(&mut *app.pool.acquire().await?).await?;
    for id in ids {
        if let Err(error) = lead_on(app, id).await {
            let error = format!("{error:#}");
            tracing::error!(job = id, error, "could not make the jobs this one leads to");
        }
    }
    Ok(())
}

async fn lead_on(app: &App, id: i64) -> anyhow::Result<()> {
    let Some(picture) = Picture::load(&mut *app.pool.acquire().await?, id).await? else {
        return Ok(());
    };
    let mut next = Vec::new();
    if picture.job.request.merge_first {
        next.extend(inside_of_merge(app, &picture).await?);
    }
    if picture.job.request.every_flip {
        next.extend(flips(&picture));
    }
    let pair = release_pair(app, &picture).await?;
    if let Some(pair) = &pair {
        next.extend(inside_of_release(app, &picture, pair).await?);
    }
    let mut checked = Vec::new();
    for Next { request, why } in next {
        match api::jobs::check(app, request).await {
            Ok(job) => checked.push((job, why)),
            Err(error) => {
                tracing::warn!(job = id, %error, why, "a job it leads to is not possible")
            }
        }
    }
    let difference = match pair {
        Some(pair) if checked.is_empty() => Some(pair.difference(app, &picture).await?),
        _ => None,
    };
    let owner = &picture.job.owner;
    let functions = functions(app, &picture).await;
    let mut tx = app.pool.begin().await?;
    if !db::job::led_on(&mut tx, id, difference.as_ref()).await? {
        return Ok(());
    }
    if let Some(functions) = functions {
        db::list::add_words(&mut tx, id, &functions).await?;
    }
    for (job, why) in &checked {
        let new = api::jobs::insert(&mut tx, job, owner, None, Some((id, why))).await?;
        let detail = serde_json::json!({ "why": why, "job": new });
        db::audit(&mut tx, "server", "job led on", Some(id), None, detail).await?;
    }
    tx.commit().await?;
    app.wake();
    Ok(())
}

/// The functions that the named commit is about: people look for its job by them.
async fn functions(app: &App, picture: &Picture) -> Option<String> {
    let Some(Outcome::Culprit { rev, .. }) = picture.job.outcome.as_deref() else {
        return None;
    };
    let diff = app.repos.diff(&picture.job.request.tree, rev, DIFF_BYTES);
    let diff = match diff.await {
        Ok(diff) => diff,
        Err(error) => {
            tracing::warn!(job = picture.job.id, %error, "the named commit cannot be read");
            return None;
        }
    };
    let names: Vec<&str> = functions::of(&diff).into_iter().collect();
    (!names.is_empty()).then(|| names.join(" "))
}

/// The commits that a merge brought in, when a merge is the answer.
async fn inside_of_merge(app: &App, picture: &Picture) -> anyhow::Result<Option<Next>> {
    let request = &picture.job.request;
    let Some(Outcome::Culprit { rev, .. }) = picture.job.outcome.as_deref() else {
        return Ok(None);
    };
    let merge = app.repos.commit(&request.tree, rev).await?;
    let [first, _, ..] = merge.parents.as_slice() else {
        return Ok(None);
    };
    Ok(Some(Next {
        why: format!("inside of the merge {}", short(rev)),
        request: NewJob {
            good: vec![first.clone()],
            bad: rev.clone(),
            first_parent: false,
            merge_first: false,
            ..within(picture)
        },
    }))
}

/// The commits between two releases, in every tree that has the tags of both.
async fn inside_of_release(
    app: &App,
    picture: &Picture,
    Pair { old, new, .. }: &Pair,
) -> anyhow::Result<Vec<Next>> {
    let mut conn = app.pool.acquire().await?;
    let trees = db::tree::list(&mut conn).await?;
    drop(conn);
    let mut next = Vec::new();
    for tree in trees {
        let tag = |version: &str| format!("v{version}");
        let (good, bad) = (tag(&old.version), tag(&new.version));
        let good_rev = app.repos.resolve(&tree.name, &good).await;
        let bad_rev = app.repos.resolve(&tree.name, &bad).await;
        let (Ok(good_rev), Ok(bad_rev)) = (good_rev, bad_rev) else {
            continue;
        };
        // Stable releases branch off: what both have in common is the older end then.
        let base = app
            .repos
            .merge_base(&tree.name, &good_rev.rev, &bad_rev.rev);
        let Some(base) = base.await? else {
            continue;
        };
        next.push(Next {
            why: format!("inside of {} in {}", new.version, tree.name),
            request: NewJob {
                good: vec![if base == good_rev.rev { good } else { base }],
                bad,
                tree: tree.name,
                skip: Vec::new(),
                only: Vec::new(),
                ..within(picture)
            },
        });
    }
    Ok(next)
}

/// The same question of a part of the range.
fn within(picture: &Picture) -> NewJob {
    NewJob {
        signal: picture.signal(),
        title: None,
        ..picture.job.request.0.clone()
    }
}

/// Where the answer changed more than once along a path between the ends: a job for each change.
fn flips(picture: &Picture) -> Vec<Next> {
    let shows = |p: i32| match picture.standing(p) {
        Standing::Present(_) => Some(true),
        Standing::Absent(_) => Some(false),
        _ => None,
    };
    let older = |old: i32, new: i32| match (u32::try_from(old), u32::try_from(new)) {
        (Ok(old), Ok(new)) => old != new && picture.graph.is_ancestor(old, new),
        // Good ends are older than every candidate.
        (Err(_), Ok(_)) => true,
        (_, Err(_)) => false,
    };
    let tested: Vec<(i32, bool)> = picture
        .sites
        .keys()
        .chain(picture.marks.keys())
        .copied()
        .collect::<BTreeSet<_>>()
        .into_iter()
        .filter_map(|p| Some((p, shows(p)?)))
        .collect();
    let mut found = Vec::new();
    let mut at = tested.last().copied();
    while let Some((position, present)) = at {
        let below = tested.iter().rev();
        let Some(&old) = below
            .clone()
            .find(|(p, s)| *s != present && older(*p, position))
        else {
            break;
        };
        let same = tested.iter().filter(|(_, s)| *s == present);
        let new = same
            .map(|(p, _)| *p)
            .find(|p| older(old.0, *p) && (*p == position || older(*p, position)));
        found.push((old.0, new.unwrap_or(position), present));
        at = Some(old);
    }
    if found.len() < 2 {
        return Vec::new();
    }
    let next = |(old, new, present): (i32, i32, bool)| {
        let (old, new) = (picture.rev(old), picture.rev(new));
        let what = if present { "appears" } else { "goes" };
        Next {
            why: format!("it {what} between {} and {}", short(old), short(new)),
            request: NewJob {
                good: vec![old.to_owned()],
                bad: new.to_owned(),
                find: if present { Find::Regression } else { Find::Fix },
                every_flip: false,
                ..within(picture)
            },
        }
    };
    found.into_iter().rev().take(FLIPS).map(next).collect()
}
