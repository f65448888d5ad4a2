//! What a job would cost before anybody asks for it: from what is stored and what work took so far.

use firstbad_api::job::Range;

use crate::api::jobs::Checked;
use crate::db;
use crate::error::AppError;
use crate::identity::{self, Selftests};
use crate::state::App;

/// A longer range is not looked through for stored builds.
const MOST_REVISIONS: usize = 20_000;
/// Runs of both ends, of the culprit and its parents, and without it, of a job without flakes.
const RUNS_BESIDE: u64 = 20;
/// Builds of both ends, and of the bad end without the culprit.
const BUILDS_BESIDE: u64 = 3;

/// A range and what searching it would take.
pub struct Forecast {
    pub range: Range,
    /// Of its revisions, how many are built already; `None` where nobody looked.
    pub stored: Option<i64>,
    /// New builds and runs of a search in which every run tells the same.
    pub builds: u64,
    pub runs: u64,
    /// Of one worker, from the middle times of the last ones; `None` before there are any.
    pub seconds: Option<u64>,
}

impl Forecast {
    /// # Errors
    /// When the database fails.
    pub async fn of(app: &App, checked: &Checked) -> Result<Forecast, AppError> {
        let mut conn = app.pool.acquire().await?;
        let caps = db::attempt::newest_caps(
            &mut conn,
            app.timing.ttl_ms,
            checked.request.toolchain.as_deref(),
        )
        .await?;
        let request = &checked.request;
        let plain = request.selftests_from.is_none();
        let stored = match caps.filter(|_| plain && checked.revisions.len() <= MOST_REVISIONS) {
            None => None,
            Some(caps) => {
                let tests = Selftests {
                    targets: &checked.suite.spec.kselftest,
                    from: None,
                    fstests: request.fstests.as_ref().map(|f| f.rev.as_str()),
                };
                let identity = |tree_oid: &str| {
                    let (fixups, config) = (&request.fixups, &checked.config);
                    identity::build(tree_oid, fixups, config, &caps.toolchain, tests)
                };
                let all = checked.revisions.iter().map(|r| identity(&r.tree_oid));
                Some(db::forecast::stored(&mut conn, &all.collect::<Vec<_>>()).await?)
            }
        };
        let steps = u64::from(checked.range.steps);
        let builds = (steps + BUILDS_BESIDE).saturating_sub(
            // Of the revisions that a search wants, about as many are stored as of all.
            match stored {
                Some(stored) if !checked.revisions.is_empty() => {
                    let share = stored as f64 / checked.revisions.len() as f64;
                    (share * (steps + BUILDS_BESIDE) as f64) as u64
                }
                _ => 0,
            },
        );
        let runs = steps * u64::from(request.runs.max(1)) + RUNS_BESIDE;
        let (tree, suite) = (
            Some(checked.tree_id),
            Some(checked.suite.spec.name.as_str()),
        );
        let build_ms = db::forecast::middle_ms(&mut conn, "build", tree, None).await?;
        let test_ms = db::forecast::middle_ms(&mut conn, "test", None, suite).await?;
        let seconds = build_ms.zip(test_ms).map(|(build, test)| {
            let ms = build * builds as f64 + test * runs as f64;
            (ms / 1000.0) as u64
        });
        Ok(Forecast {
            range: checked.range.clone(),
            stored,
            builds,
            runs,
            seconds,
        })
    }
}
