//! The patch that takes a named commit back, made between two passes of the planner.
//!
//! Owns the question and its answer. Must not open a transaction, or know what the patch is for.

use crate::repo::RepoError;
use crate::state::App;

/// A commit to be taken back on another.
pub struct Wanted {
    pub tree: String,
    pub rev: String,
    pub on: String,
    pub fixups: Vec<String>,
}

/// The patch that takes a commit back, or why there is none.
pub struct Revert {
    pub rev: String,
    pub patch: Result<String, String>,
}

impl Wanted {
    /// Asks git; whatever it says against the patch is part of the answer.
    pub async fn answer(self, app: &App) -> Revert {
        let made = app
            .repos
            .revert(&self.tree, &self.rev, &self.on, &self.fixups)
            .await;
        Revert {
            patch: made.map_err(|why| match why {
                RepoError::PatchDoesNotApply { why, .. } | RepoError::BadPatch { why, .. } => why,
                why => why.to_string(),
            }),
            rev: self.rev,
        }
    }
}
