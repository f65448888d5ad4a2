//! The guilty release and the one before it, and what their sources differ in.
//!
//! Must not know what is made of it.

use firstbad_api::job::{Changes, Difference, Outcome};

use crate::db;
use crate::db::release::Row;
use crate::difference;
use crate::ladder::Kind;
use crate::picture::Picture;
use crate::state::App;
use crate::tasks::weigh::compiled;

/// Two neighbouring releases of an archive.
pub struct Pair {
    pub old: Row,
    pub new: Row,
    /// Attempts that built them.
    builds: Vec<i64>,
}

/// The guilty release and the one before it that was tested, when a release is the answer.
pub async fn release_pair(app: &App, picture: &Picture) -> anyhow::Result<Option<Pair>> {
    let Some(Outcome::Culprit { rev, .. }) = picture.job.outcome.as_deref() else {
        return Ok(None);
    };
    let mut tested = picture.sites.keys().copied();
    let mut old = None;
    let new = tested.find(|p| {
        let found = picture.rev(*p) == rev;
        old = if found { old } else { Some(*p) };
        found
    });
    let (Some(old), Some(new)) = (old, new) else {
        return Ok(None);
    };
    let mut conn = app.pool.acquire().await?;
    let tree = picture.job.tree_id;
    let rows = (
        db::release::find(&mut conn, tree, picture.rev(old)).await?,
        db::release::find(&mut conn, tree, rev).await?,
    );
    let build = |p: i32| Some(picture.site(p)?.build.as_ref()?.attempt_id);
    Ok(match rows {
        (Some(old_row), Some(new_row)) => Some(Pair {
            old: old_row,
            new: new_row,
            builds: [old, new].into_iter().filter_map(build).collect(),
        }),
        _ => None,
    })
}

impl Pair {
    /// What is known of the pair when no tree has the commits between them.
    pub async fn difference(&self, app: &App, picture: &Picture) -> anyhow::Result<Difference> {
        let (changes, note) = match self.changes(app).await {
            Ok(found) => found,
            Err(error) => {
                let error = format!("{error:#}");
                tracing::warn!(job = picture.job.id, error, "no difference of two releases");
                (
                    None,
                    "their sources could not be compared; the server's log says why".to_owned(),
                )
            }
        };
        let (old, new) = (&self.old.version, &self.new.version);
        Ok(Difference {
            old: old.clone(),
            new: new.clone(),
            changes,
            note,
            needs: format!(
                "no registered tree has the tags v{old} and v{new}. Register one that has both, such as \
                 firstbad tree add stable \
                 https://git.kernel.org/pub/scm/linux/kernel/git/stable/linux.git, and submit this job \
                 once more: nothing is run twice, and the search goes on between them by itself"
            ),
        })
    }

    async fn changes(&self, app: &App) -> anyhow::Result<(Option<Changes>, String)> {
        let mut conn = app.pool.acquire().await?;
        let known = db::release::list(&mut conn, self.new.tree_id).await?;
        let sources = (source(&known, &self.old), source(&known, &self.new));
        let (Ok(old), Ok(new)) = &sources else {
            let missing = [sources.0, sources.1].into_iter().filter_map(Result::err);
            return Ok((None, missing.collect::<Vec<_>>().join("; ")));
        };
        drop(conn);
        let (_, compiled) = compiled(app, &self.builds).await?;
        let stats = app.repos.stat(&self.new.tree, old, new).await?;
        let compiled = Some(compiled).filter(|c| !c.is_empty());
        let note = match compiled {
            Some(_) => "files that the kernels were compiled from",
            None => "all files: which of them a packaged kernel was compiled from is not known",
        };
        let changes = difference::changes(&stats, compiled.as_ref());
        Ok((Some(changes), note.to_owned()))
    }
}

/// The commit that holds the source of a release, or why there is none.
fn source(known: &[Row], release: &Row) -> Result<String, String> {
    let version = &release.version;
    let is = |r: &&Row| r.version == *version && r.kind == Kind::Source.as_str();
    let mut sources = known.iter().filter(is).peekable();
    if sources.peek().is_none() {
        return Err(format!(
            "{version} is packaged, and the archive has no source of it"
        ));
    }
    sources.find_map(|r| r.made.clone()).ok_or_else(|| {
        format!("{version} is packaged, without its source; bisecting source/{version} fetches it")
    })
}
