//! One job: its picture, and what belongs to it besides.

use std::collections::BTreeMap;

use firstbad_api::amend::Retraction;
use firstbad_api::job::{Cost, Exactness, Job, Outcome, Related};
use firstbad_api::limits;

use super::evidence;
use super::sentence::{outcome_sentence, retracted_sentence};
use super::show::show;
use crate::db::{self, job::JobRow, rfc3339, sight::Sight};
use crate::error::AppError;
use crate::picture::Picture;
use crate::repo::Names;
use crate::state::App;

/// Added to the sentence of a job that no connected worker can take up.
pub(super) const STRANDED: &str = " No connected worker can go on with it: the job began with another compiler, QEMU or other \
    programs than any has now, and runs of both cannot be compared. Connect such a worker again, or cancel \
    the job and submit it anew: builds of the same compiler are reused.";

/// The job; which of those it leads to are told depends on who looks.
pub async fn job(app: &App, sight: &Sight, id: i64) -> Result<Option<Job>, AppError> {
    let mut job = load(
        &mut *app.pool.acquire().await?,
        sight,
        id,
        app.timing.ttl_ms,
    )
    .await?;
    if let Some(job) = &mut job {
        job.confounders = evidence::confounders(app, job).await?;
    }
    Ok(job)
}

/// Positions in a job's range of merges (without a name), and of what tags and branches name as far as
/// they can be read.
pub async fn landmarks(
    app: &App,
    job: i64,
    tree: &str,
) -> Result<Vec<(i32, Option<String>)>, AppError> {
    let named = match app.repos.names(tree).await {
        Ok(named) => named,
        Err(error) => {
            tracing::warn!(job, %error, "references not readable");
            Names::default()
        }
    };
    let revs: Vec<&str> = named.keys().map(String::as_str).collect();
    let rows = db::job::landmarks(&mut *app.pool.acquire().await?, job, &revs).await?;
    let told = |(position, rev): (i32, String)| (position, named.get(&rev).cloned());
    Ok(rows.into_iter().map(told).collect())
}

/// The job as `git bisect log` tells it; `None` when there is no such job.
pub async fn bisect_log(app: &App, id: i64) -> Result<Option<String>, AppError> {
    let mut conn = app.pool.acquire().await?;
    let picture = Picture::load(&mut conn, id)
        .await
        .map_err(|e| AppError::Internal(format!("{e:#}")))?;
    Ok(picture.map(|p| crate::bisect_log::render(&p)))
}

async fn load(
    conn: &mut sqlx::PgConnection,
    sight: &Sight,
    id: i64,
    ttl_ms: u64,
) -> Result<Option<Job>, AppError> {
    let picture = Picture::load(&mut *conn, id)
        .await
        .map_err(|e| AppError::Internal(format!("{e:#}")))?;
    let Some(picture) = picture else {
        return Ok(None);
    };
    let times = db::job::stage_ms(&mut *conn, id).await?;
    let pace = match picture.job.outcome {
        Some(_) => None,
        None => db::job::pace_ms(&mut *conn, id).await?,
    };
    let mut job = show(&picture, &times, pace);
    let running = picture.job.state == "running";
    if running
        && !db::attempt::stranded(&mut *conn, &[id], ttl_ms)
            .await?
            .is_empty()
    {
        job.sentence += STRANDED;
        job.eta_s = None;
    }
    job.exactness = evidence::exactness(db::repeat::of_job(&mut *conn, id).await?);
    if job.outcome.is_none()
        && let Some(row) = db::release::missed(&mut *conn, id, limits::RELEASE_FETCHES).await?
    {
        let (version, why) = (&row.version, &row.why);
        let more = format!(" Linux {version} could not be fetched, and is tried again: {why}.");
        job.sentence.push_str(&more);
    }
    job.also_asked = db::question::requesters(&mut *conn, id).await?;
    if let Some(origin) = picture.job.origin
        && db::sight::job(&mut *conn, sight, origin).await?.is_some()
    {
        let row = db::job::find(&mut *conn, origin).await?;
        job.origin = row.map(|row| related(&row, &picture.job.origin_why));
    }
    let further = db::job::further(conn, sight, id).await?;
    job.further = further
        .iter()
        .map(|row| related(row, &row.origin_why))
        .collect();
    Ok(Some(job))
}

fn related(row: &JobRow, why: &str) -> Related {
    let told = ended(row);
    Related {
        id: row.id,
        why: why.to_owned(),
        sentence: told.outcome.is_some().then_some(told.sentence),
        state: told.state,
    }
}

fn retracted(row: &JobRow) -> Option<Retraction> {
    Some(Retraction {
        who: row.retracted_by.clone()?,
        why: row.retracted_why.clone()?,
        at: rfc3339(row.retracted_at?),
    })
}

/// A job without its candidates, from the row alone.
pub(super) fn ended(row: &JobRow) -> Job {
    let outcome = row.outcome.as_ref().map(|o| o.0.clone());
    Job {
        id: row.id,
        title: row.title.clone(),
        owner: row.owner.clone(),
        state: row.state.clone(),
        sentence: outcome
            .as_ref()
            .map(|o| outcome_sentence(o, row.request.find))
            .map(|told| match retracted(row) {
                Some(by) => retracted_sentence(&by.who, &by.why, &told),
                None => told,
            })
            .unwrap_or_default(),
        request: row.request.0.clone(),
        range: row.range.0.clone(),
        left: match &outcome {
            Some(Outcome::Culprit { .. }) => 1,
            Some(Outcome::Range { candidates, .. }) => candidates.len(),
            _ => row.range.revisions,
        },
        step: 0,
        steps: row.range.steps as usize,
        eta_s: None,
        outcome,
        cost: Cost::default(),
        candidates: vec![],
        likely: vec![],
        relevant: None,
        narrowed: row.narrowed.clone().unwrap_or_default(),
        exactness: Exactness::default(),
        confounders: None,
        difference: row.difference.as_ref().map(|d| d.0.clone()),
        mends: vec![],
        held: 0,
        retracted: retracted(row),
        also_asked: vec![],
        origin: None,
        further: vec![],
        stage_ms: BTreeMap::new(),
        created_at: rfc3339(row.created_at),
        ended_at: row.ended_at.map(rfc3339),
    }
}
