//! How likely each commit of a job is the answer before anything between the ends was tested.
//!
//! Owns the question, asked once per job: which commits touch what the kernels at the ends were
//! compiled from, and which the sources that the suite is about. Must not know how a search uses the
//! weights.

use std::collections::BTreeMap;

use firstbad_api::artefact::COMPILED;

use crate::db;
use crate::judge;
use crate::picture::Picture;
use crate::relevance::Compiled;
use crate::state::App;

/// Weight of a commit that touches a source of the kernels; of the others it is 1.
const COMPILED_IN: i32 = 16;
/// Weight when that is a source that the suite is about.
const SUSPECTED: i32 = 64;

/// Functions of a call trace that are looked up.
const TRACED: usize = 8;

/// What must be known to weigh the commits of a job.
pub struct Weighing {
    job: i64,
    tree: String,
    goods: Vec<String>,
    bad: String,
    first_parent: bool,
    /// Files, and folders with a slash at the end.
    suspected: Vec<String>,
    /// Functions in the traces of crashes at the end that shows the behaviour.
    traced: Vec<String>,
    /// Attempts that built the ends.
    builds: Vec<i64>,
    /// Commits by their position.
    revs: BTreeMap<i32, String>,
}

/// What kernels were compiled from, and how many of these builds tell it.
pub(super) async fn compiled(app: &App, builds: &[i64]) -> anyhow::Result<(usize, Compiled)> {
    let mut conn = app.pool.acquire().await?;
    let lists = db::attempt::artefacts(&mut conn, builds, COMPILED).await?;
    drop(conn);
    let mut compiled = Compiled::default();
    for sha256 in &lists {
        let list = tokio::fs::read(app.store.artefact_path(sha256)).await?;
        compiled.add(&String::from_utf8_lossy(&list));
    }
    Ok((lists.len(), compiled))
}

impl Weighing {
    pub fn of(picture: &Picture) -> Weighing {
        let ends = picture.goods().into_iter().chain([picture.bad()]);
        let candidates = picture.revisions.range(0..);
        Weighing {
            job: picture.job.id,
            tree: picture.job.tree.clone(),
            goods: picture.job.range.good.clone(),
            bad: picture.job.range.bad.clone(),
            first_parent: picture.job.request.first_parent,
            suspected: picture.job.suite.spec.sources.clone(),
            traced: traced(picture),
            builds: ends
                .filter_map(|p| Some(picture.site(p)?.build.as_ref()?.attempt_id))
                .collect(),
            revs: candidates.map(|(p, r)| (*p, r.rev.clone())).collect(),
        }
    }

    /// Weighs the commits and stores that; without the lists of both ends all stay alike.
    pub async fn answer(self, app: &App) -> anyhow::Result<()> {
        let weights = match self.weights(app).await {
            Ok(weights) => weights,
            Err(error) => {
                let error = format!("{error:#}");
                tracing::warn!(job = self.job, error, "no weights: all commits are alike");
                BTreeMap::new()
            }
        };
        let (positions, weights): (Vec<i32>, Vec<i32>) = weights.into_iter().unzip();
        let mut tx = app.pool.begin().await?;
        db::job::weigh(&mut tx, self.job, &positions, &weights).await?;
        tx.commit().await?;
        Ok(())
    }

    async fn weights(&self, app: &App) -> anyhow::Result<BTreeMap<i32, i32>> {
        let (lists, compiled) = compiled(app, &self.builds).await?;
        if lists < self.builds.len() || compiled.is_empty() {
            return Ok(BTreeMap::new());
        }
        let repos = &app.repos;
        let defining = repos.defining(&self.tree, &self.bad, &self.traced).await?;
        let suspects = |path: &str| {
            let listed = |s: &String| match s.ends_with('/') {
                true => path.starts_with(s.as_str()),
                false => path == s,
            };
            self.suspected.iter().chain(&defining).any(listed)
        };
        let weight = |path: &str| match compiled.matters(path) {
            true if suspects(path) => SUSPECTED,
            true => COMPILED_IN,
            false => 1,
        };
        let heaviest = app
            .repos
            .heaviest(
                &self.tree,
                &self.goods,
                &self.bad,
                self.first_parent,
                weight,
            )
            .await?;
        let weight = |rev: &String| heaviest.get(rev).copied().unwrap_or(1);
        Ok(self.revs.iter().map(|(p, rev)| (*p, weight(rev))).collect())
    }
}

fn traced(picture: &Picture) -> Vec<String> {
    let ends = picture.present_ends();
    let sites = ends.iter().filter_map(|p| picture.site(*p));
    let mut runs = sites
        .flat_map(|s| &s.tests)
        .filter_map(|t| t.observation.as_deref());
    let crashed = runs.find(|o| !o.crashes.is_empty());
    crashed.map_or(Vec::new(), |run| judge::traced(run, TRACED))
}
