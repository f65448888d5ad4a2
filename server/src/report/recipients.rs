//! Who a report goes to, as Documentation/admin-guide/reporting-regressions says: the culprit's
//! author, everyone who signed it off, and whoever looks after the files it changes.

use std::sync::{Arc, Mutex, PoisonError};

use firstbad_api::job::{Find, Job, Outcome};
use firstbad_api::limits;

use crate::maintainers::{Found, Mailbox, Maintainers};
use crate::repo::{CommitInfo, RepoError};
use crate::state::App;

/// Where all regressions are told.
const REGRESSIONS: &str = "regressions@lists.linux.dev";
/// Where those within a stable series are told too.
const STABLE: &str = "stable@vger.kernel.org";
/// Trailers that name people who stand for a commit.
const TRAILERS: [&str; 5] = [
    "Signed-off-by:",
    "Co-developed-by:",
    "Reviewed-by:",
    "Acked-by:",
    "Tested-by:",
];

/// Whom a report is for. Nobody, when there is nothing to tell.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recipients {
    pub to: Vec<Mailbox>,
    pub cc: Vec<Mailbox>,
    /// People beyond what one mail goes to.
    pub left_out: usize,
}

impl Recipients {
    /// Adds whoever is not told already.
    fn copy(&mut self, mailbox: Mailbox) {
        let known = self.to.iter().chain(&self.cc).any(|m| m.is(&mailbox));
        // What this server writes itself has no address.
        if known || mailbox.mail.ends_with("@localhost") {
            return;
        }
        match self.cc.len() < limits::REPORT_COPIES {
            true => self.cc.push(mailbox),
            false => self.left_out += 1,
        }
    }
}

/// The recipients of a job's report.
pub(super) async fn of(app: &App, job: &Job, culprit: Option<&CommitInfo>) -> Recipients {
    let mut told = Recipients::default();
    let named = matches!(
        &job.outcome,
        Some(Outcome::Culprit { .. } | Outcome::Range { .. })
    );
    if !named || job.retracted.is_some() {
        return told;
    }
    let ours = culprit.is_some_and(|c| c.ours);
    let regression = job.request.find == Find::Regression && !ours;
    let mut lists = vec![];
    if regression {
        lists.extend(Mailbox::read(REGRESSIONS));
        if within_stable(app, job).await {
            lists.extend(Mailbox::read(STABLE));
        }
    }
    if let Some(commit) = culprit {
        let author = Mailbox::read(&commit.author);
        told.to = author
            .filter(|a| !a.mail.ends_with("@localhost"))
            .into_iter()
            .collect();
        let found = looked_after(app, job, commit).await;
        // Lists first: with too many people it is them who can be left out.
        lists.extend(found.lists);
        let mut people = signers(&commit.body);
        people.extend(found.people);
        lists.into_iter().for_each(|m| told.copy(m));
        people.into_iter().for_each(|m| told.copy(m));
    } else {
        told.to = lists;
    }
    told
}

/// Those that a commit's trailers name.
fn signers(body: &str) -> Vec<Mailbox> {
    let of = |line: &str| {
        let value = TRAILERS.iter().find_map(|t| line.trim().strip_prefix(t))?;
        Mailbox::read(value)
    };
    body.lines().filter_map(of).collect()
}

/// Who looks after the files of a commit, by the newest revision of its tree: who did so when it was
/// made may have gone.
async fn looked_after(app: &App, job: &Job, commit: &CommitInfo) -> Found {
    let files = commit.files.iter().take(limits::REPORT_FILES);
    let files: Vec<String> = files.map(|f| f.path.clone()).collect();
    let maintainers = match newest(app, job).await {
        Ok(maintainers) => maintainers,
        Err(error) => {
            tracing::warn!(job = job.id, %error, "MAINTAINERS not readable");
            return Found::default();
        }
    };
    let asked = move || maintainers.of(files.iter().map(String::as_str));
    tokio::task::spawn_blocking(asked).await.unwrap_or_default()
}

/// The MAINTAINERS of the newest revision of a job's tree. The last one read is kept: it has some
/// thousand sections.
async fn newest(app: &App, job: &Job) -> Result<Arc<Maintainers>, RepoError> {
    static KEPT: Mutex<Option<(String, Arc<Maintainers>)>> = Mutex::new(None);
    let kept = || KEPT.lock().unwrap_or_else(PoisonError::into_inner);
    let tree = &job.request.tree;
    let refs = app.repos.refs(tree, 1).await?;
    let rev = refs.first().map_or(&job.range.bad, |r| &r.rev);
    if let Some((of, maintainers)) = &*kept()
        && of == rev
    {
        return Ok(maintainers.clone());
    }
    let text = app
        .repos
        .text(tree, rev, "MAINTAINERS", limits::MAINTAINERS_BYTES)
        .await?
        .unwrap_or_default();
    let read = tokio::task::spawn_blocking(move || Arc::new(Maintainers::read(&text)));
    let read = read.await.map_err(|e| RepoError::Failed(e.to_string()))?;
    *kept() = Some((rev.clone(), read.clone()));
    Ok(read)
}

/// Whether both ends are of one stable series, such as 5.15.3 and 5.15.5: their Makefiles say.
async fn within_stable(app: &App, job: &Job) -> bool {
    let tree = &job.request.tree;
    let Some(good) = job.range.good.first() else {
        return false;
    };
    let mut versions = vec![];
    for rev in [good, &job.range.bad] {
        let makefile = app
            .repos
            .text(tree, rev, "Makefile", limits::MAKEFILE_BYTES);
        versions.push(makefile.await.ok().flatten().and_then(|m| version(&m)));
    }
    match versions[..] {
        [Some((a, b, _)), Some((c, d, sublevel))] => (a, b) == (c, d) && sublevel > 0,
        _ => false,
    }
}

/// VERSION, PATCHLEVEL and SUBLEVEL of a kernel's Makefile.
fn version(makefile: &str) -> Option<(u32, u32, u32)> {
    let number = |name: &str| {
        let mut values = makefile.lines().take(20).filter_map(|line| {
            let (key, value) = line.split_once('=')?;
            (key.trim() == name).then(|| value.trim().parse().ok())?
        });
        values.next()
    };
    Some((
        number("VERSION")?,
        number("PATCHLEVEL")?,
        number("SUBLEVEL")?,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_makefile_says_its_version() {
        let text = "# SPDX\nVERSION = 6\nPATCHLEVEL = 12\nSUBLEVEL = 57\nEXTRAVERSION =\n";
        assert_eq!(version(text), Some((6, 12, 57)));
        assert_eq!(version("VERSION = 6\n"), None);
    }

    #[test]
    fn trailers_name_who_stands_for_a_commit() {
        let body = "Words.\n\nFixes: 123\nCc: stable@vger.kernel.org\nReported-by: R <r@x.org>\n\
                    Signed-off-by: Ä Ö <a@x.org>\nReviewed-by: b@x.org # for the part\n";
        let told: Vec<String> = signers(body).iter().map(Mailbox::to_string).collect();
        assert_eq!(told, ["Ä Ö <a@x.org>", "b@x.org"]);
    }
}
