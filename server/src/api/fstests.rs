//! The fstests of a job request: which revision, and which of its tests.

use firstbad_api::fstests::{Fstests, SUITE};
use firstbad_api::job::NewJob;

use crate::db;
use crate::error::AppError;
use crate::fstests::{FOLDERS, Tests};
use crate::state::App;

/// Bytes of a test that are read: its groups are near the beginning.
const HEAD_BYTES: usize = 8 << 10;

/// Writes out in a request what it asks of fstests: the revision's full id, and all tests by name.
pub(super) async fn complete(app: &App, new: &mut NewJob) -> Result<(), AppError> {
    let Some(asked) = new.fstests.take() else {
        if new.suite == SUITE {
            let why = format!(
                "fstests: the suite {SUITE} runs tests of a tree that holds fstests; name the tree, the \
                 revision and cases or groups (`firstbad tree add --preset fstests` registers one)"
            );
            return Err(AppError::bad("no-fstests", "/fstests", why));
        }
        return Ok(());
    };
    if new.suite != SUITE {
        let why = format!(
            "fstests: the suite {} has no use for it; leave it out, or ask for the suite {SUITE}",
            new.suite
        );
        return Err(AppError::bad("not-fstests", "/fstests", why));
    }
    let mut conn = app.pool.acquire().await?;
    if db::tree::find(&mut conn, &asked.tree).await?.is_none() {
        let why = format!(
            "fstests.tree: there is no tree {:?}; register fstests first, such as with \
             `firstbad tree add --preset fstests`",
            asked.tree
        );
        return Err(AppError::bad("unknown-tree", "/fstests/tree", why));
    }
    drop(conn);
    let resolved = app.repos.resolve(&asked.tree, &asked.rev).await;
    let rev = resolved.map_err(|e| AppError::repo(e, "/fstests/rev"))?.rev;
    let folders = FOLDERS.map(|folder| format!("tests/{folder}"));
    let heads = app.repos.heads(&asked.tree, &rev, &folders, HEAD_BYTES);
    let heads = heads.await.map_err(|e| AppError::repo(e, "/fstests/rev"))?;
    let below = |(path, text): (String, String)| {
        let path = path.strip_prefix("tests/").unwrap_or(&path).to_owned();
        (path, text)
    };
    let tests = Tests::read(heads.into_iter().map(below));
    if tests.is_empty() {
        let why = format!(
            "fstests.rev: {} of the tree {} has no tests of fstests below tests/generic and tests/btrfs",
            asked.rev, asked.tree
        );
        return Err(AppError::bad("no-tests", "/fstests/rev", why));
    }
    let refused = |r: crate::fstests::Refused| AppError::bad("bad-tests", &r.pointer, r.why);
    new.cases = tests.select(&new.cases, &asked.groups).map_err(refused)?;
    tests
        .check_excluded(&asked.exclude, &new.cases)
        .map_err(refused)?;
    new.fstests = Some(Fstests {
        rev,
        groups: Vec::new(),
        ..asked
    });
    Ok(())
}
