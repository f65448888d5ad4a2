//! Surveys: begin, widen, read, look into a change.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use firstbad_api::job::Created;
use firstbad_api::survey::{BisectEdge, Edge, Matrix, MoreReleases, NewSurvey, Row, Survey};

use super::jobs::{self, Checked};
use super::sent::Sent;
use crate::access::Principal;
use crate::error::AppError;
use crate::state::App;
use crate::{db, survey};

/// Releases of one survey.
const RELEASES: usize = 200;
/// Suites of one survey.
const SUITES: usize = 40;

pub async fn list(State(app): State<App>, who: Principal) -> Result<Json<Vec<Survey>>, AppError> {
    Ok(Json(survey::list(&app, &who.sight()).await?))
}

pub async fn show(
    State(app): State<App>,
    who: Principal,
    Path(id): Path<i64>,
) -> Result<Json<Matrix>, AppError> {
    matrix(&app, &who, id).await.map(Json)
}

pub async fn csv(
    State(app): State<App>,
    who: Principal,
    Path(id): Path<i64>,
) -> Result<Response, AppError> {
    let text = survey::csv(&matrix(&app, &who, id).await?);
    Ok(([(header::CONTENT_TYPE, "text/csv; charset=utf-8")], text).into_response())
}

pub async fn create(
    State(app): State<App>,
    who: Principal,
    Sent(new): Sent<NewSurvey>,
) -> Result<(StatusCode, Json<Created>), AppError> {
    let checked = check(&app, &new).await?;
    let title = match new.title.as_deref().map(str::trim) {
        Some(title) if !title.is_empty() => title.chars().take(200).collect(),
        _ => format!("{} in {}", new.suites.join(", "), new.tree),
    };
    let mut tx = app.pool.begin().await?;
    let id = db::survey::insert(&mut tx, &title, &who.owner(), &new).await?;
    for job in &checked {
        let job = added(&mut tx, job, &who.owner()).await?;
        db::survey::adopt(&mut tx, id, job, None).await?;
    }
    let detail = serde_json::json!({ "survey": id });
    db::audit(&mut tx, who.name(), "survey submitted", None, None, detail).await?;
    tx.commit().await?;
    app.wake();
    Ok((StatusCode::CREATED, Json(created(id))))
}

/// Adds columns: each suite has a new job, which takes over what was run.
pub async fn more(
    State(app): State<App>,
    who: Principal,
    Path(id): Path<i64>,
    Sent(more): Sent<MoreReleases>,
) -> Result<Json<Created>, AppError> {
    let before = matrix(&app, &who, id).await?.survey;
    let mut request = before.request;
    for release in more.releases {
        if !request.releases.contains(&release) {
            request.releases.push(release);
        }
    }
    request.releases = in_order(&app, &request).await?;
    let checked = check(&app, &request).await?;
    let mut tx = app.pool.begin().await?;
    db::survey::update(&mut tx, id, &request).await?;
    for job in &checked {
        let job = added(&mut tx, job, &before.owner).await?;
        db::survey::adopt(&mut tx, id, job, None).await?;
    }
    let detail = serde_json::json!({ "survey": id, "releases": request.releases });
    db::audit(&mut tx, who.name(), "survey widened", None, None, detail).await?;
    tx.commit().await?;
    app.wake();
    Ok(Json(created(id)))
}

/// `POST /surveys/{id}/bisect`.
pub async fn bisect(
    State(app): State<App>,
    who: Principal,
    Path(id): Path<i64>,
    Sent(wanted): Sent<BisectEdge>,
) -> Result<(StatusCode, Json<Created>), AppError> {
    let created = begin(&app, &who, id, &wanted).await?;
    let status = match created.created {
        true => StatusCode::CREATED,
        false => StatusCode::OK,
    };
    Ok((status, Json(created)))
}

/// Starts the bisection of a change, or names the one that looks into it.
pub(crate) async fn begin(
    app: &App,
    who: &Principal,
    id: i64,
    wanted: &BisectEdge,
) -> Result<Created, AppError> {
    let matrix = matrix(app, who, id).await?;
    let row = matrix.rows.get(wanted.row).ok_or_else(|| {
        let why = format!(
            "row: the survey has {} rows, counted from 0",
            matrix.rows.len()
        );
        AppError::bad("unknown-row", "/row", why)
    })?;
    let edge = row.edges.iter().find(|e| e.to == wanted.column);
    let edge = edge.ok_or_else(|| {
        let columns: Vec<String> = row.edges.iter().map(|e| e.to.to_string()).collect();
        let why = match columns.is_empty() {
            true => "column: nothing changed in this row".to_owned(),
            false => format!("column: this row changed at {}", columns.join(", ")),
        };
        AppError::bad("no-change", "/column", why)
    })?;
    if let Some(job) = edge.job {
        return Ok(jobs::created(job, false));
    }
    let owner = match matrix.survey.request.private {
        true => matrix.survey.owner.clone(),
        false => who.owner(),
    };
    let job = look_into(app, &matrix.survey, row, edge, (who.name(), &owner)).await?;
    Ok(jobs::created(job, true))
}

/// Makes the job that looks into a change, for an owner.
pub(crate) async fn look_into(
    app: &App,
    of: &Survey,
    row: &Row,
    edge: &Edge,
    (who, owner): (&str, &str),
) -> Result<i64, AppError> {
    let request = survey::bisection_of(&of.request, row, edge);
    let key = survey::edge_key(&of.request, row, edge);
    let checked = jobs::check(app, request).await?;
    let mut tx = app.pool.begin().await?;
    let job = added(&mut tx, &checked, owner).await?;
    db::survey::adopt(&mut tx, of.id, job, Some(&key)).await?;
    let detail = serde_json::json!({ "survey": of.id, "change": key });
    db::audit(&mut tx, who, "change looked into", Some(job), None, detail).await?;
    tx.commit().await?;
    app.wake();
    Ok(job)
}

async fn added(conn: &mut sqlx::PgConnection, job: &Checked, owner: &str) -> Result<i64, AppError> {
    let id = jobs::insert(conn, job, owner, None, None).await?;
    id.ok_or_else(|| AppError::Internal("a job without a key was not stored".to_owned()))
}

async fn matrix(app: &App, who: &Principal, id: i64) -> Result<Matrix, AppError> {
    let found = survey::load(app, &who.sight(), id).await?;
    found.ok_or_else(|| AppError::not_found(format!("there is no survey {id}")))
}

/// The jobs of a survey, one of each suite.
async fn check(app: &App, new: &NewSurvey) -> Result<Vec<Checked>, AppError> {
    if !(1..=RELEASES).contains(&new.releases.len()) {
        let why = format!("releases: name 1 to {RELEASES} of them, oldest first");
        return Err(AppError::bad("bad-releases", "/releases", why));
    }
    if !(1..=SUITES).contains(&new.suites.len()) {
        let why = format!("suites: name 1 to {SUITES} of them");
        return Err(AppError::bad("bad-suites", "/suites", why));
    }
    if in_order(app, new).await? != new.releases {
        let why = "releases: name each once, oldest first; each has to be an ancestor of the next";
        return Err(AppError::bad("bad-releases", "/releases", why));
    }
    let mut checked = Vec::new();
    for suite in &new.suites {
        checked.push(jobs::check(app, survey::job_of(new, suite)).await?);
    }
    Ok(checked)
}

/// The releases from the oldest on.
///
/// # Errors
/// When two of them do not follow each other.
async fn in_order(app: &App, new: &NewSurvey) -> Result<Vec<String>, AppError> {
    let mut sorted: Vec<(String, String)> = Vec::new();
    for (n, release) in new.releases.iter().enumerate() {
        let wrong = |e| AppError::repo(e, &format!("/releases/{n}"));
        let resolved = app.repos.resolve(&new.tree, release).await;
        let rev = resolved.map_err(wrong)?.rev;
        if let Some((other, _)) = sorted.iter().find(|(_, known)| *known == rev) {
            let why = format!("releases: {release} and {other} are the same commit; name it once");
            return Err(AppError::bad(
                "bad-releases",
                &format!("/releases/{n}"),
                why,
            ));
        }
        let mut at = sorted.len();
        while at > 0
            && app
                .repos
                .is_ancestor(&new.tree, &rev, &sorted[at - 1].1)
                .await
                .map_err(wrong)?
        {
            at -= 1;
        }
        if at > 0
            && !app
                .repos
                .is_ancestor(&new.tree, &sorted[at - 1].1, &rev)
                .await
                .map_err(wrong)?
        {
            let why = format!(
                "releases: neither {release} nor {} is an ancestor of the other",
                sorted[at - 1].0
            );
            return Err(AppError::bad(
                "not-an-ancestor",
                &format!("/releases/{n}"),
                why,
            ));
        }
        sorted.insert(at, (release.clone(), rev));
    }
    Ok(sorted.into_iter().map(|(release, _)| release).collect())
}

fn created(id: i64) -> Created {
    Created {
        url: format!("/surveys/{id}"),
        ..jobs::created(id, true)
    }
}
