//! What is known already: the same change in other trees, what came after it, and questions that were
//! answered.
//!
//! Owns when two commits are one change and when an answer holds for another question. Must not know
//! how commits are read.

mod mention;

use std::collections::BTreeSet;

use firstbad_api::job::{NewJob, Outcome};
use firstbad_api::known::{Answered, Known, Later, Likeness, LookedThrough, Same};
use firstbad_api::terms::{Budget, Priority};
use sqlx::PgConnection;

use crate::api::jobs::Checked;
use crate::db;
use crate::db::sight::Sight;
use crate::error::AppError;
use crate::repo::RepoError;
use crate::state::App;

pub use mention::{How, Mention, agrees, mentions};

/// What is known of a commit of a tree.
pub async fn of(app: &App, tree: &str, rev: &str) -> Result<Known, AppError> {
    let wrong = |e| AppError::repo(e, "/rev");
    let commit = app.repos.commit(tree, rev).await.map_err(wrong)?;
    let own = mentions(&commit.body);
    let patch_id = patch_id(app, tree, rev).await.map_err(wrong)?;
    let mut conn = app.pool.acquire().await?;
    let looked = db::known::looked(&mut conn).await?;
    let sources: Vec<&str> = own
        .iter()
        .filter(|m| m.how == How::Copies)
        .map(|m| m.named.as_str())
        .collect();
    let of = db::known::Of {
        tree,
        rev,
        patch_id: patch_id.as_deref(),
        // A merge is told from other merges by more than its title.
        title: (commit.parents.len() < 2).then_some(commit.subject.as_str()),
        sources: &sources,
    };
    let mut same = db::known::same(&mut conn, &of).await?;
    let mut names: Vec<String> = vec![rev.to_owned()];
    names.extend(sources.iter().map(|s| (*s).to_owned()));
    let sure = same.iter().filter(|s| s.how != Likeness::Title);
    names.extend(sure.map(|s| s.rev.clone()));
    names.sort();
    names.dedup();
    let later = later(&mut conn, &names, &commit.subject).await?;
    drop(conn);
    for tree in beyond(&looked, &same, tree) {
        // Older than what was looked through, but there all the same.
        if app.repos.has_commit(&tree, rev).await.unwrap_or(false) {
            same.push(Same {
                tree,
                rev: rev.to_owned(),
                subject: commit.subject.clone(),
                at: db::rfc3339_of(commit.when),
                how: Likeness::Commit,
            });
        }
    }
    same.sort_by(|a, b| (a.how, &a.tree, &a.at).cmp(&(b.how, &b.tree, &b.at)));
    Ok(Known {
        same,
        later,
        looked,
    })
}

/// As the index has it, else as git says now; none of a merge.
async fn patch_id(app: &App, tree: &str, rev: &str) -> Result<Option<String>, RepoError> {
    let asked = [rev.to_owned()];
    Ok(app.repos.patch_ids(tree, &asked).await?.remove(rev))
}

/// Trees that were not looked through whole and do not tell of the commit.
fn beyond(looked: &[LookedThrough], same: &[Same], own: &str) -> Vec<String> {
    let told = |tree: &str| {
        same.iter()
            .any(|s| s.tree == tree && s.how == Likeness::Commit)
    };
    let partly = looked.iter().filter(|l| !l.done || l.since.is_some());
    let trees = partly.map(|l| &l.tree).filter(|t| *t != own && !told(t));
    trees.cloned().collect()
}

/// The commits that name one of these.
async fn later(
    conn: &mut PgConnection,
    names: &[String],
    subject: &str,
) -> Result<Vec<Later>, AppError> {
    let mut later: Vec<Later> = Vec::new();
    for row in db::known::naming(conn, names).await? {
        let reverts = row.how == How::Reverts.as_str();
        if !reverts && !agrees(&row.named_title, subject) {
            continue;
        }
        // The same commit is in several trees; one line says it.
        if later.iter().any(|l| l.rev == row.rev) {
            continue;
        }
        later.push(Later {
            tree: row.tree,
            rev: row.rev,
            subject: row.subject,
            at: row.at,
            reverts,
            names: row.names,
        });
    }
    Ok(later)
}

/// The newest job that answers a question of this kind with a commit of its range, as far as somebody
/// sees jobs.
pub(crate) async fn answered(
    app: &App,
    sight: &Sight,
    checked: &Checked,
) -> Result<Option<Answered>, AppError> {
    let asked = &checked.request;
    if asked.survey || asked.two_point {
        return Ok(None);
    }
    let question = question(asked);
    let inside: BTreeSet<&str> = checked
        .revisions
        .iter()
        .filter(|r| r.eligible && r.position >= 0 && !asked.skip.contains(&r.rev))
        .map(|r| r.rev.as_str())
        .collect();
    let mut conn = app.pool.acquire().await?;
    let answers = db::known::answers(&mut conn, sight, checked.tree_id).await?;
    let found = answers.into_iter().find_map(|answer| {
        let Outcome::Culprit {
            rev,
            subject,
            confidence,
            ..
        } = answer.outcome.0
        else {
            return None;
        };
        let holds = inside.contains(rev.as_str())
            && confidence >= asked.confidence
            && self::question(&answer.request) == question;
        holds.then_some(Answered {
            job: answer.id,
            rev,
            subject,
        })
    });
    Ok(found)
}

/// What is asked, without where: equal ones have the same answer where their ranges hold it.
fn question(request: &NewJob) -> NewJob {
    let mut cases = request.cases.clone();
    cases.sort();
    cases.dedup();
    NewJob {
        cases,
        good: Vec::new(),
        bad: String::new(),
        runs: 0,
        confidence: 0.0,
        max_runs: 0,
        seed: 0,
        skip: Vec::new(),
        paths: Vec::new(),
        only: Vec::new(),
        first_parent: false,
        merge_first: false,
        every_flip: false,
        two_point: false,
        survey: false,
        private: false,
        title: None,
        labels: Vec::new(),
        priority: Priority::default(),
        budget: Budget::default(),
        parallelism: None,
        callback: None,
        patchwork: None,
        fresh: false,
        ..request.clone()
    }
}
