//! Looks through what was fetched: which changes there are, and which commits name others.
//!
//! A pass reads a bounded number of commits of each tree, the newest first, and what it has stored
//! says where the next one goes on.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use firstbad_api::limits;
use tokio_util::sync::CancellationToken;

use crate::db;
use crate::db::known::{Due, NewChange, NewMention};
use crate::known::mentions;
use crate::state::App;

/// Between two looks for something to do.
const PAUSE: Duration = Duration::from_secs(2);

/// Passes until shutdown.
pub async fn run(app: App, shutdown: CancellationToken) {
    while !shutdown.is_cancelled() {
        let more = tokio::select! {
            () = shutdown.cancelled() => return,
            passed = tick(&app) => passed,
        };
        match more {
            Ok(true) => {}
            Ok(false) => pause(&shutdown).await,
            Err(error) => {
                tracing::warn!(%error, "commits could not be looked through; the next pass does");
                pause(&shutdown).await;
            }
        }
    }
}

async fn pause(shutdown: &CancellationToken) {
    tokio::select! {
        () = shutdown.cancelled() => {}
        () = tokio::time::sleep(PAUSE) => {}
    }
}

/// One pass over every tree that has something new; true when there is more.
pub async fn tick(app: &App) -> sqlx::Result<bool> {
    let due = db::known::due(&mut *app.pool.acquire().await?).await?;
    let mut more = false;
    for due in due {
        match look(app, &due).await {
            Ok(left) => more |= left,
            Err(error) => {
                let error = format!("{error:#}");
                tracing::warn!(
                    tree = due.tree,
                    error,
                    "could not look through a tree's commits"
                );
            }
        }
    }
    Ok(more)
}

/// Reads some commits of a tree; true when there are more.
async fn look(app: &App, due: &Due) -> anyhow::Result<bool> {
    let refs = app.repos.refs(&due.tree, usize::MAX).await?;
    let mut heads: Vec<String> = refs.into_iter().map(|r| r.rev).collect();
    heads.sort();
    heads.dedup();
    let most = limits::CHANGES_LOOKED_THROUGH;
    let newest = app
        .repos
        .newest(&due.tree, &heads, &due.heads, most)
        .await?;
    let mut conn = app.pool.acquire().await?;
    let at_once = i64::try_from(limits::CHANGES_AT_ONCE)?;
    let revs = db::known::missing(&mut conn, due.tree_id, &newest, at_once).await?;
    if revs.is_empty() {
        let cut = newest.len() >= most;
        db::known::looked_through(&mut conn, due, &heads, cut).await?;
        return Ok(false);
    }
    // Trees share most of their history, and patch ids are what costs.
    let known = db::known::patch_ids(&mut conn, &revs).await?;
    drop(conn);
    let mut ids: BTreeMap<String, Option<String>> = known.into_iter().collect();
    let unread: Vec<String> = revs
        .iter()
        .filter(|rev| !ids.contains_key(*rev))
        .cloned()
        .collect();
    let mut read: HashMap<String, String> = app.repos.patch_ids(&due.tree, &unread).await?;
    ids.extend(unread.into_iter().map(|rev| {
        let id = read.remove(&rev);
        (rev, id)
    }));
    let messages = app.repos.messages(&due.tree, &revs).await?;
    let mut named = Vec::new();
    let mut changes = Vec::new();
    for message in messages {
        named.extend(mentions(&message.text).into_iter().map(|m| NewMention {
            rev: message.rev.clone(),
            how: m.how.as_str(),
            named: m.named,
            title: m.title,
        }));
        changes.push(NewChange {
            patch_id: ids.remove(&message.rev).flatten(),
            rev: message.rev,
            when: message.when,
            title: message.subject,
        });
    }
    let mut tx = app.pool.begin().await?;
    db::known::add(&mut tx, due.tree_id, &changes, &named).await?;
    tx.commit().await?;
    Ok(true)
}
