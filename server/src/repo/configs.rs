//! The way between two configurations as commits of a mirror.

use std::io::{BufWriter, Write};
use std::path::Path;
use std::time::Duration;

use firstbad_api::job::RevSubject;
use firstbad_api::limits;
use firstbad_api::tree::{CONFIG_PATH, History};
use sha2::{Digest, Sha256};

use super::git::{self, Bound};
use super::scratch::Scratch;
use super::{OUR_MAIL, OUR_NAME, RepoError, Repos, failed, full_id};
use crate::kconfig::Steps;

/// Thousands of configurations at once.
const IMPORT: Bound = Bound {
    time: Duration::from_secs(900),
    bytes: 1 << 20,
};

impl Repos {
    /// Writes a commit with the first configuration on top of the commit `rev`, given by its full
    /// id, and one for each step.
    ///
    /// # Errors
    /// When all configurations together are too large to be written out.
    pub async fn write_configs(
        &self,
        name: &str,
        rev: &str,
        steps: Steps,
    ) -> Result<History, RepoError> {
        let mirror = self.mirror(name)?;
        let rev = full_id(rev)?.to_owned();
        let when = self.commit(name, &rev).await?.when;
        let scratch = Scratch::new(self, &mirror).await?;
        let file = scratch.file("import");
        let path = file.clone();
        let base = rev.clone();
        let written = tokio::task::spawn_blocking(move || stream(&path, &base, when, &steps));
        let reference = written
            .await
            .map_err(|e| RepoError::Failed(e.to_string()))??;
        if self.resolve(name, &reference).await.is_err() {
            let open = std::fs::File::open(&file);
            let open = open.map_err(|e| failed("cannot read", &file, e))?;
            let mut import = git::read(&mirror);
            import
                .args(["-c", "fastimport.unpackLimit=0"])
                .args(["fast-import", "--quiet", "--done"])
                .stdin(open);
            git::expect(import, None, IMPORT).await?;
        }
        let tip = self.resolve(name, &reference).await?.rev;
        let range = self.range(name, &[rev], &tip, false, &[]).await?;
        let mut commits = range.into_iter().map(|c| RevSubject {
            rev: c.rev,
            subject: c.subject,
        });
        let base = commits.next().map(|c| c.rev);
        Ok(History {
            base: base
                .ok_or_else(|| RepoError::Failed("git fast-import made no commit".to_owned()))?,
            tip,
            commits: commits.collect(),
            reference,
        })
    }
}

/// Writes what `git fast-import` reads; the answer is the reference of the last commit, which is
/// named after all before it.
fn stream(path: &Path, rev: &str, when: i64, steps: &Steps) -> Result<String, RepoError> {
    let mut hash = Sha256::new();
    hash.update(rev);
    let mut bytes = 0;
    for (n, text) in steps.texts().enumerate() {
        bytes += text.len();
        if bytes > limits::CONFIGS_BYTES {
            return Err(RepoError::BadRef {
                reference: format!("the way over {} steps", steps.steps.len()),
                why: format!(
                    "written out, its configurations hold more than {} bytes; take two that \
                     differ less",
                    limits::CONFIGS_BYTES
                ),
            });
        }
        hash.update(message(steps, n));
        hash.update(text);
    }
    let reference = format!("refs/firstbad/configs/{}", hex::encode(hash.finalize()));
    let write = || {
        let mut out = BufWriter::new(std::fs::File::create(path)?);
        for (n, text) in steps.texts().enumerate() {
            let message = message(steps, n);
            writeln!(out, "commit {reference}")?;
            for who in ["author", "committer"] {
                writeln!(out, "{who} {OUR_NAME} <{OUR_MAIL}> {when} +0000")?;
            }
            writeln!(out, "data {}\n{message}", message.len())?;
            if n == 0 {
                writeln!(out, "from {rev}")?;
            }
            writeln!(out, "M 100644 inline {CONFIG_PATH}")?;
            writeln!(out, "data {}\n{text}", text.len())?;
        }
        writeln!(out, "done")?;
        out.flush()
    };
    write().map_err(|e| failed("cannot write", path, e))?;
    Ok(reference)
}

fn message(steps: &Steps, n: usize) -> String {
    match n.checked_sub(1) {
        None => "The good configuration\n".to_owned(),
        Some(step) => steps.message(step),
    }
}
