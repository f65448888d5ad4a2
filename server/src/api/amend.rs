//! What people do to a job after it was submitted: amend it, take its result back, read its record.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use firstbad_api::amend::{Amend, Done, Retract};
use firstbad_api::job::{Created, NewJob, Outcome};
use firstbad_api::limits;
use sqlx::PgConnection;

use super::jobs;
use super::sent::Sent;
use crate::access::Principal;
use crate::db;
use crate::db::audit::Wanted;
use crate::db::job::Onward;
use crate::error::AppError;
use crate::picture::Picture;
use crate::state::App;

/// Longest title of a patch that is kept, characters.
const TITLE: usize = 120;
/// Entries of a record that are read at once.
pub(crate) const RECORD: i64 = 200;

/// `POST /jobs/{id}/amend`.
pub async fn amend(
    State(app): State<App>,
    who: Principal,
    Path(id): Path<i64>,
    Sent(new): Sent<Amend>,
) -> Result<(StatusCode, Json<Created>), AppError> {
    let created = change(&app, who.name(), id, new).await?;
    let status = match created.created {
        true => StatusCode::CREATED,
        false => StatusCode::OK,
    };
    Ok((status, Json(created)))
}

/// A change that passed every check.
struct Change {
    request: NewJob,
    digest: String,
    /// Only with other ends.
    checked: Option<jobs::Checked>,
    /// Title and text.
    mends: Vec<(String, String)>,
    retry: bool,
    why: String,
}

/// Changes how a job goes on; one that has ended, or gets other ends, goes on as another.
pub(crate) async fn change(app: &App, who: &str, id: i64, new: Amend) -> Result<Created, AppError> {
    let picture = Picture::load(&mut *app.pool.acquire().await?, id)
        .await
        .map_err(|e| AppError::Internal(format!("{e:#}")))?;
    let picture = picture.ok_or_else(|| missing(id))?;
    let change = check(app, &picture, new).await?;
    let mut tx = app.pool.begin().await?;
    let created = match picture.job.outcome.is_none() && change.checked.is_none() {
        true => in_place(&mut tx, who, id, &change).await?,
        false => onward(&mut tx, who, &picture, &change).await?,
    };
    tx.commit().await?;
    app.wake();
    Ok(created)
}

async fn check(app: &App, picture: &Picture, new: Amend) -> Result<Change, AppError> {
    let job = &picture.job;
    jobs::check_line(&new.why, "why")?;
    if job.request.survey {
        let why = format!(
            "id: job {} is a row of a survey: extend that instead",
            job.id
        );
        return Err(AppError::bad("of-a-survey", "/id", why));
    }
    let other_ends = !new.good.is_empty() || new.bad.is_some();
    let numbers = new.runs.is_some() || new.confidence.is_some() || new.max_runs.is_some();
    let cancelled = job.state == "cancelled";
    if !(other_ends || numbers || !new.fixups.is_empty() || new.retry || cancelled) {
        return Err(AppError::bad(
            "no-change",
            "",
            "give at least one of good, bad, runs, confidence, max_runs, fixups and retry",
        ));
    }
    let mut request = job.request.0.clone();
    request.runs = new.runs.unwrap_or(request.runs);
    request.confidence = new.confidence.unwrap_or(request.confidence);
    request.max_runs = new.max_runs.unwrap_or(request.max_runs);
    jobs::check_numbers(&request)?;
    let mends = patches(app, picture, new.fixups).await?;
    let checked = match other_ends {
        false => None,
        true => {
            if !new.good.is_empty() {
                request.good = new.good;
            }
            request.bad = new.bad.unwrap_or(request.bad);
            Some(jobs::check(app, request.clone()).await?)
        }
    };
    let request = checked.as_ref().map_or(request, |c| c.request.clone());
    Ok(Change {
        digest: jobs::digest(&(&request, &mends))?,
        request,
        checked,
        mends,
        retry: new.retry,
        why: new.why,
    })
}

/// Patches with their titles; each set applies to a candidate that could not be tested, or to an end.
async fn patches(
    app: &App,
    picture: &Picture,
    new: Vec<String>,
) -> Result<Vec<(String, String)>, AppError> {
    if new.is_empty() {
        return Ok(Vec::new());
    }
    let mut all = picture.patches(picture.mends.len());
    all.extend(new.iter().cloned());
    if all.len() > limits::PATCH_COUNT {
        let most = limits::PATCH_COUNT;
        let why = format!("fixups: with those the job has, at most {most} patches");
        return Err(AppError::bad("bad-patch", "/fixups", why));
    }
    let unusable = picture.sites.keys().copied().filter(|p| {
        let standing = picture.standing(*p);
        matches!(standing, crate::picture::Standing::Unusable(_))
    });
    let ends = [picture.bad()].into_iter().chain(picture.goods());
    let mut first = None;
    for position in unusable.take(3).chain(ends) {
        let tree = &picture.job.request.tree;
        match app
            .repos
            .check_patches(tree, picture.rev(position), &all)
            .await
        {
            Ok(()) => return Ok(new.into_iter().map(|p| (title(&p), p)).collect()),
            Err(error) => first = first.or(Some(error)),
        }
    }
    let error = first.map(|error| AppError::repo(error, "/fixups"));
    Err(error.unwrap_or_else(|| AppError::Internal("a job without ends".to_owned())))
}

/// What a patch is called: its subject, or the first file it touches.
fn title(patch: &str) -> String {
    let after = |mark: &'static str| patch.lines().find_map(|line| line.strip_prefix(mark));
    let title = after("Subject: ").or_else(|| after("+++ b/"));
    title.unwrap_or("a patch").chars().take(TITLE).collect()
}

async fn in_place(
    conn: &mut PgConnection,
    who: &str,
    id: i64,
    change: &Change,
) -> Result<Created, AppError> {
    if !db::job::amend(conn, id, &change.request).await? {
        return Err(AppError::refused(
            StatusCode::CONFLICT,
            "job-ended",
            "/id",
            format!("id: job {id} has ended just now; ask again to go on from it"),
        ));
    }
    mend(conn, who, id, change).await?;
    db::audit(conn, who, "job amended", Some(id), None, told(change)).await?;
    Ok(jobs::created(id, false))
}

/// A second job that knows all that the first one does.
async fn onward(
    conn: &mut PgConnection,
    who: &str,
    picture: &Picture,
    change: &Change,
) -> Result<Created, AppError> {
    let first = picture.job.id;
    db::job::lock(conn, first).await?;
    if let Some(known) = db::job::onward_of(conn, first, &change.digest).await? {
        return Ok(jobs::created(known, false));
    }
    let why = match change.why.is_empty() {
        true => format!("amended by {who}"),
        false => format!("amended by {who}: {}", change.why),
    };
    let title = jobs::title(&change.request);
    let checked = change.checked.as_ref();
    if change.retry {
        db::attempt::retry_held(conn, first).await?;
    }
    let onward = Onward {
        title: &title,
        request: &change.request,
        request_digest: &change.digest,
        why: &why,
        range: checked.map(|c| (&c.range, c.revisions.as_slice())),
    };
    let id = db::job::split_off(conn, first, &onward).await?;
    mend(conn, who, id, change).await?;
    if db::job::end(conn, first, "cancelled", &Outcome::Cancelled).await? {
        db::attempt::cancel_for_job(conn, first).await?;
    }
    let mut detail = told(change);
    detail["job"] = serde_json::json!(id);
    db::audit(conn, who, "job goes on", Some(first), None, detail).await?;
    let detail = serde_json::json!({ "from": first });
    db::audit(conn, who, "job submitted", Some(id), None, detail).await?;
    Ok(jobs::created(id, true))
}

async fn mend(conn: &mut PgConnection, who: &str, id: i64, change: &Change) -> sqlx::Result<()> {
    for (title, patch) in &change.mends {
        db::mend::add(conn, id, title, patch, who).await?;
    }
    if change.retry {
        db::attempt::retry_held(conn, id).await?;
    }
    Ok(())
}

/// The change for the record.
fn told(change: &Change) -> serde_json::Value {
    let request = &change.request;
    let titles: Vec<&str> = change
        .mends
        .iter()
        .map(|(title, _)| title.as_str())
        .collect();
    serde_json::json!({
        "good": request.good, "bad": request.bad, "runs": request.runs,
        "confidence": request.confidence, "max_runs": request.max_runs,
        "fixups": titles, "retry": change.retry, "why": change.why,
    })
}

/// `POST /jobs/{id}/retract`.
pub async fn retract(
    State(app): State<App>,
    who: Principal,
    Path(id): Path<i64>,
    Sent(new): Sent<Retract>,
) -> Result<StatusCode, AppError> {
    take_back(&app, who.name(), id, Some(new.reason.trim())).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `DELETE /jobs/{id}/retract`.
pub async fn unretract(
    State(app): State<App>,
    who: Principal,
    Path(id): Path<i64>,
) -> Result<StatusCode, AppError> {
    take_back(&app, who.name(), id, None).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Takes the result of a job back for a reason, or puts it back without one.
pub(crate) async fn take_back(
    app: &App,
    who: &str,
    id: i64,
    reason: Option<&str>,
) -> Result<(), AppError> {
    if let Some(reason) = reason {
        jobs::check_line(reason, "reason")?;
        if reason.is_empty() {
            let why = "reason: say why nobody should rely on the result";
            return Err(AppError::bad("bad-reason", "/reason", why));
        }
    }
    let mut tx = app.pool.begin().await?;
    if db::job::find(&mut tx, id).await?.is_none() {
        return Err(missing(id));
    }
    if !db::job::retract(&mut tx, id, reason.map(|why| (who, why))).await? {
        let why = match reason {
            Some(_) => "has no result, or it is retracted already",
            None => "is not retracted",
        };
        let why = format!("id: job {id} {why}");
        return Err(AppError::refused(
            StatusCode::CONFLICT,
            "no-result",
            "/id",
            why,
        ));
    }
    let (what, detail) = match reason {
        Some(reason) => ("result retracted", serde_json::json!({ "reason": reason })),
        None => ("result put back", serde_json::json!({})),
    };
    db::audit(&mut tx, who, what, Some(id), None, detail).await?;
    tx.commit().await?;
    app.wake();
    Ok(())
}

/// `GET /jobs/{id}/audit`: newest first.
pub async fn of_job(
    State(app): State<App>,
    Path(id): Path<i64>,
) -> Result<Json<Vec<Done>>, AppError> {
    let wanted = Wanted {
        job: Some(id),
        ..Wanted::default()
    };
    let mut conn = app.pool.acquire().await?;
    Ok(Json(db::audit::list(&mut conn, &wanted, RECORD).await?))
}

fn missing(id: i64) -> AppError {
    AppError::not_found(format!("there is no job {id}"))
}
