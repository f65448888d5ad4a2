//! The patch that takes a named commit back, made between two passes of the planner.
//!
//! Owns the question and its answer. Must not open a transaction, or know what the patch is for.

use std::time::Duration;

use crate::db;
use crate::repo::RepoError;
use crate::state::App;

/// How often git is asked, and the time between.
const TRIES: u32 = 3;
const PAUSE: Duration = Duration::from_secs(1);

/// A commit to be taken back on another.
pub struct Wanted {
    pub tree: String,
    pub rev: String,
    pub on: String,
    pub fixups: Vec<String>,
}

/// The patch that takes a commit back, or a sentence that says why there is none.
pub struct Revert {
    pub rev: String,
    pub patch: Result<String, String>,
}

impl Wanted {
    async fn is_release(&self, app: &App) -> bool {
        let asked = async {
            let mut conn = app.pool.acquire().await?;
            let Some(tree) = db::tree::find(&mut conn, &self.tree).await? else {
                return Ok(None);
            };
            db::release::find(&mut conn, tree.id, &self.rev).await
        };
        // Without an answer git is asked, which finds out too.
        matches!(asked.await, Ok(Some(_)))
    }

    /// Asks git, and again when the failure is ours; what it says against the patch is the answer.
    pub async fn answer(self, app: &App) -> Revert {
        let mut tries = 0;
        if self.is_release(app).await {
            let why = "cannot be reverted: a release is many commits".to_owned();
            return Revert {
                rev: self.rev,
                patch: Err(why),
            };
        }
        let patch = loop {
            tries += 1;
            let revert = app
                .repos
                .revert(&self.tree, &self.rev, &self.on, &self.fixups);
            break match revert.await {
                Ok(patch) => Ok(patch),
                Err(RepoError::PatchDoesNotApply { why, .. } | RepoError::BadPatch { why, .. }) => {
                    Err(format!("cannot be reverted: {why}"))
                }
                Err(error) if tries < TRIES => {
                    tracing::warn!(rev = self.rev, %error, "no revert yet");
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
                Err(error) => Err(format!("infrastructure: {error}")),
            };
        };
        Revert {
            rev: self.rev,
            patch,
        }
    }
}
