//! What a job searches: its ends, and the commits or releases between them.
//!
//! Must not know what is run there.

use firstbad_api::job::{NewJob, Range, Walk};
use firstbad_api::limits;

use crate::db::job::RevisionRow;
use crate::error::AppError;
use crate::repo::RangeCommit;
use crate::state::App;

/// The commits between the ends, given by full ids, and the ends.
///
/// # Errors
/// When nothing can be searched there, naming the field.
pub(crate) async fn range(
    app: &App,
    new: &NewJob,
    good: &[String],
    bad: &str,
) -> Result<(Range, Vec<RevisionRow>), AppError> {
    let mut commits = between(app, new, good, bad).await?;
    if !new.only.is_empty() {
        for commit in &mut commits {
            commit.eligible &= commit.rev == bad || new.only.contains(&commit.rev);
        }
    }
    let candidates = commits.iter().filter(|c| c.eligible).count();
    if candidates == 0 {
        return Err(AppError::bad(
            "empty-range",
            "/paths",
            "paths: no commit between good and bad touches these paths",
        ));
    }
    if commits.len() > limits::RANGE_REVISIONS {
        return Err(AppError::bad(
            "range-too-large",
            "/good",
            format!(
                "good: {} commits lie between the ends, at most {} are searched; give a later good",
                commits.len(),
                limits::RANGE_REVISIONS
            ),
        ));
    }
    let range = Range {
        good: good.to_vec(),
        bad: bad.to_owned(),
        revisions: candidates,
        merges: commits.iter().filter(|c| c.merge).count(),
        steps: steps(candidates),
        walk: None,
        answered: None,
    };
    let mut revisions = ends(app, &new.tree, good).await?;
    revisions.extend(rows(commits)?);
    Ok((range, revisions))
}

/// ceil(log2(candidates)).
fn steps(candidates: usize) -> u32 {
    usize::BITS - candidates.saturating_sub(1).leading_zeros()
}

/// Instead of a range: the releases among which a good one is looked for, as a line up to the bad end.
pub(super) async fn releases_before(
    app: &App,
    new: &NewJob,
    bad: &str,
) -> Result<(Range, Vec<RevisionRow>), AppError> {
    let wrong = |e| AppError::repo(e, "/bad");
    let releases = app.repos.releases_in(&new.tree, bad).await.map_err(wrong)?;
    let Some(oldest) = releases.first() else {
        let why = format!(
            "good: name at least one revision without the behaviour; it can be left out where there \
             are releases before bad, tagged like v6.18, and {} has none in {}",
            new.tree, new.bad
        );
        return Err(AppError::bad("no-good", "/good", why));
    };
    let range = Range {
        good: Vec::new(),
        bad: bad.to_owned(),
        revisions: releases.len(),
        merges: 0,
        // There, and back.
        steps: 2 * steps(releases.len() + 1),
        walk: Some(Walk {
            releases: releases.len(),
            oldest: oldest.name.clone(),
            looked: Vec::new(),
        }),
        answered: None,
    };
    let mut line: Vec<RangeCommit> = Vec::new();
    for release in releases {
        line.push(RangeCommit {
            rev: release.rev,
            tree_oid: release.tree_oid,
            parents: Vec::new(),
            merge: false,
            subject: release.name,
            author: release.author,
            when: 0,
            eligible: true,
        });
    }
    line.push(alone(app, &new.tree, bad).await?);
    for (n, commit) in (0_u32..).zip(&mut line).skip(1) {
        commit.parents = vec![n - 1];
    }
    Ok((range, rows(line)?))
}

pub(super) async fn resolve_all(
    app: &App,
    tree: &str,
    refs: &[String],
    pointer: &str,
) -> Result<Vec<String>, AppError> {
    let mut revs = Vec::new();
    for (i, reference) in refs.iter().enumerate() {
        let resolved = app.repos.resolve(tree, reference).await;
        revs.push(
            resolved
                .map_err(|e| AppError::repo(e, &format!("{pointer}/{i}")))?
                .rev,
        );
    }
    Ok(revs)
}

pub(super) async fn resolve_ends(
    app: &App,
    new: &NewJob,
) -> Result<(Vec<String>, String), AppError> {
    let bad = app
        .repos
        .resolve(&new.tree, &new.bad)
        .await
        .map_err(|e| AppError::repo(e, "/bad"))?
        .rev;
    let good = resolve_all(app, &new.tree, &new.good, "/good").await?;
    for (i, rev) in good.iter().enumerate() {
        let pointer = format!("/good/{i}");
        let name = &new.good[i];
        if *rev == bad {
            let why = format!(
                "good: {name} and bad {} are the same commit {rev}; there is nothing between them",
                new.bad
            );
            return Err(AppError::bad("empty-range", &pointer, why));
        }
        let inside = app.repos.is_ancestor(&new.tree, rev, &bad).await;
        if new.two_point || inside.map_err(|e| AppError::repo(e, &pointer))? {
            continue;
        }
        let base = app
            .repos
            .merge_base(&new.tree, rev, &bad)
            .await
            .map_err(|e| AppError::repo(e, &pointer))?;
        let advice = match base {
            Some(base) if base == bad => {
                "good is newer than bad: swap them, or use --find fix".to_owned()
            }
            Some(base) => format!("test their merge base first: --good {base}"),
            None => "they share no history".to_owned(),
        };
        let why = format!(
            "good: {name} is not an ancestor of bad {}; {advice}",
            new.bad
        );
        return Err(AppError::bad("not-an-ancestor", &pointer, why));
    }
    Ok((good, bad))
}

/// The candidates: of two points, and of one alone, the one named `bad`.
async fn between(
    app: &App,
    new: &NewJob,
    good: &[String],
    bad: &str,
) -> Result<Vec<RangeCommit>, AppError> {
    let wrong = |e| AppError::repo(e, "/bad");
    if !new.two_point && !good.is_empty() {
        let range = app
            .repos
            .range(&new.tree, good, bad, new.first_parent, &new.paths);
        return range.await.map_err(wrong);
    }
    Ok(vec![alone(app, &new.tree, bad).await?])
}

/// The bad end as the only commit of a range.
async fn alone(app: &App, tree: &str, bad: &str) -> Result<RangeCommit, AppError> {
    let wrong = |e| AppError::repo(e, "/bad");
    let info = app.repos.commit(tree, bad).await.map_err(wrong)?;
    Ok(RangeCommit {
        rev: bad.to_owned(),
        tree_oid: app.repos.tree_oid(tree, bad).await.map_err(wrong)?,
        parents: vec![],
        merge: info.parents.len() > 1,
        subject: info.subject,
        author: info.author,
        when: info.when,
        eligible: true,
    })
}

async fn ends(app: &App, tree: &str, good: &[String]) -> Result<Vec<RevisionRow>, AppError> {
    let mut rows = Vec::new();
    for (i, rev) in good.iter().enumerate() {
        let wrong = |e| AppError::repo(e, "/good");
        let info = app.repos.commit(tree, rev).await.map_err(wrong)?;
        rows.push(RevisionRow {
            position: -1 - i32::try_from(i).unwrap_or(i32::MAX - 1),
            rev: rev.clone(),
            tree_oid: app.repos.tree_oid(tree, rev).await.map_err(wrong)?,
            parents: vec![],
            merge: false,
            subject: info.subject,
            author: info.author,
            eligible: false,
            weight: None,
        });
    }
    Ok(rows)
}

fn rows(commits: Vec<RangeCommit>) -> Result<Vec<RevisionRow>, AppError> {
    let number = |n: usize| i32::try_from(n).map_err(|e| AppError::Internal(e.to_string()));
    let mut rows = Vec::with_capacity(commits.len());
    for (i, commit) in commits.into_iter().enumerate() {
        rows.push(RevisionRow {
            position: number(i)?,
            rev: commit.rev,
            tree_oid: commit.tree_oid,
            parents: commit
                .parents
                .iter()
                .map(|p| number(*p as usize))
                .collect::<Result<_, _>>()?,
            merge: commit.merge,
            subject: commit.subject,
            author: commit.author,
            eligible: commit.eligible,
            weight: None,
        });
    }
    Ok(rows)
}
