//! Whether patches apply, without touching the mirror.

use firstbad_api::limits;

use super::scratch::{Scratch, bad, check_bytes};
use super::{RepoError, Repos, full_id};

impl Repos {
    /// Whether the patches (plain diffs or mails), in order, apply to the commit `rev`
    /// and change nothing but plain text files.
    pub async fn check_patches(
        &self,
        name: &str,
        rev: &str,
        patches: &[String],
    ) -> Result<(), RepoError> {
        let mirror = self.mirror(name)?;
        let rev = full_id(rev)?;
        if patches.is_empty() {
            return Ok(());
        }
        if patches.len() > limits::PATCH_COUNT {
            let why = format!("more than {} patches", limits::PATCH_COUNT);
            return Err(bad(limits::PATCH_COUNT, why));
        }
        let mut bytes = 0;
        for (index, patch) in patches.iter().enumerate() {
            bytes += patch.len();
            check_bytes(index, bytes)?;
        }
        let scratch = Scratch::new(self, &mirror).await?;
        scratch.read_tree(rev).await?;
        let mut tree = self.tree_oid(name, rev).await?;
        for (index, patch) in patches.iter().enumerate() {
            tree = scratch.apply(index, patch.as_bytes(), &tree).await?;
        }
        Ok(())
    }
}
