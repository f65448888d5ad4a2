//! What a job's numbers rest on: runs that were run again, and what differs between its ends.

use firstbad_api::job::{Candidate, Confounder, Exactness, Job, NotExact, Signal};
use firstbad_api::observation::TestObservation;

use crate::confounders::{self, Described};
use crate::db;
use crate::error::AppError;
use crate::state::App;

/// Artefact of a build: its `.config`.
const CONFIG: &str = "config";

/// What became of the runs that were run again.
pub fn exactness(rows: Vec<db::repeat::Row>) -> Exactness {
    let same = rows.iter().filter(|r| r.differs.as_deref() == Some(""));
    Exactness {
        same: u32::try_from(same.count()).unwrap_or(u32::MAX),
        repeated: u32::try_from(rows.len()).unwrap_or(u32::MAX),
        differ: rows
            .into_iter()
            .filter_map(|r| {
                Some(NotExact {
                    attempt: r.attempt_id,
                    again: r.again_id,
                    what: r.differs.filter(|d| !d.is_empty())?,
                })
            })
            .collect(),
    }
}

/// What differs between the ends of a job with a metric besides their commits; `None` of other jobs
/// and until both ends are built.
pub async fn confounders(app: &App, job: &Job) -> Result<Option<Vec<Confounder>>, AppError> {
    if !matches!(job.request.signal, Signal::Metric { .. }) {
        return Ok(None);
    }
    let end = |wanted: &dyn Fn(&Candidate) -> bool| {
        let built = |c: &&Candidate| wanted(c) && c.build_state == "done";
        job.candidates.iter().find(built)
    };
    let ends = (end(&|c| c.position < 0), end(&|c| c.rev == job.range.bad));
    let (Some(good), Some(bad)) = ends else {
        return Ok(None);
    };
    let (Some(good), Some(bad)) = (describe(app, good).await?, describe(app, bad).await?) else {
        return Ok(None);
    };
    Ok(Some(confounders::differences(&good, &bad)))
}

async fn describe(app: &App, end: &Candidate) -> Result<Option<Described>, AppError> {
    let mut conn = app.pool.acquire().await?;
    let builds: Vec<i64> = end.build.into_iter().collect();
    let configs = db::attempt::artefacts(&mut conn, &builds, CONFIG).await?;
    let first = end.tests.iter().find(|t| t.state == "done");
    let run = match first {
        Some(test) => db::attempt::find(&mut conn, test.attempt).await?,
        None => None,
    };
    drop(conn);
    let Some(sha256) = configs.first() else {
        return Ok(None);
    };
    let config = tokio::fs::read(app.store.artefact_path(sha256)).await;
    let config = config.map_err(|e| AppError::Internal(format!("a stored configuration: {e}")))?;
    let mut described = Described::by_config(String::from_utf8_lossy(&config).into_owned());
    let seen = run.and_then(|a| a.observation);
    let seen = seen.and_then(|o| serde_json::from_value::<TestObservation>(o).ok());
    if let Some(seen) = seen {
        described.cmdline = Some(seen.run.cmdline);
        described.qemu = Some(seen.run.qemu_version);
    }
    Ok(Some(described))
}
