//! Reads: the same data the pages show.

use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use firstbad_api::attempt::Attempt;
use firstbad_api::job::Job;
use firstbad_api::limits::WAIT_MOST_S;
use firstbad_api::list::JobsQuery;
use firstbad_api::metric::{MetricOfJob, MetricQuery};
use firstbad_api::report::{Mail, ReportQuery};
use firstbad_api::worker::Worker;
use serde::Deserialize;
use tokio_util::io::ReaderStream;

use crate::access::Principal;
use crate::error::AppError;
use crate::maintainers::Mailbox;
use crate::report::Report;
use crate::state::App;
use crate::{db, report, view};

/// A job that is waited for is looked at this often where nothing says that it has changed.
const LOOK: Duration = Duration::from_secs(2);

pub async fn jobs(
    State(app): State<App>,
    who: Principal,
    Query(query): Query<JobsQuery>,
) -> Result<Response, AppError> {
    let list = view::list(&app, &who, &query).await?;
    let next = list.next.as_ref().map(|cursor| {
        let next = JobsQuery {
            cursor: cursor.clone(),
            ..query
        };
        let link = format!("</api/v1/jobs?{}>; rel=\"next\"", next.encoded());
        [(header::LINK, link)]
    });
    Ok((next, Json(list)).into_response())
}

/// `GET /jobs/{id}?wait=60`: answers when the job has ended, or after so many seconds as it stands then.
pub async fn job(
    State(app): State<App>,
    who: Principal,
    Path(id): Path<i64>,
    Query(query): Query<WaitQuery>,
) -> Result<Json<Job>, AppError> {
    if query.wait > WAIT_MOST_S {
        let why = format!("wait: use 0 to {WAIT_MOST_S} seconds, and ask again after that");
        return Err(AppError::bad("bad-wait", "/wait", why));
    }
    if query.wait > 0 {
        until_ended(&app, &who, id, Duration::from_secs(query.wait)).await?;
    }
    let job = view::job(&app, &who.sight(), id).await?;
    job.map(Json)
        .ok_or_else(|| AppError::not_found(format!("there is no job {id}")))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WaitQuery {
    #[serde(default)]
    wait: u64,
}

/// Waits for the end of a job, at most so long.
async fn until_ended(app: &App, who: &Principal, id: i64, most: Duration) -> Result<(), AppError> {
    // Where too many wait already, nobody waits longer than for the answer as it is.
    let Some(_place) = app.gate.waiters.enter(who) else {
        return Ok(());
    };
    let mut changes = app.changes();
    let over = tokio::time::sleep(most);
    tokio::pin!(over);
    loop {
        let state = db::job::state(&mut *app.pool.acquire().await?, id).await?;
        if !state.is_some_and(|state| matches!(state.as_str(), "queued" | "running")) {
            return Ok(());
        }
        tokio::select! {
            () = &mut over => return Ok(()),
            _ = changes.changed() => {}
            () = tokio::time::sleep(LOOK) => {}
        }
    }
}

pub async fn report(
    State(app): State<App>,
    Path(id): Path<i64>,
    Query(query): Query<ReportQuery>,
) -> Result<Response, AppError> {
    let report = reported(&app, id, &query).await?;
    let kind = [(header::CONTENT_TYPE, "text/plain; charset=utf-8")];
    Ok((kind, report.text()).into_response())
}

/// The same as a mail, for programs.
pub async fn mail(
    State(app): State<App>,
    Path(id): Path<i64>,
    Query(query): Query<ReportQuery>,
) -> Result<Json<Mail>, AppError> {
    let report = reported(&app, id, &query).await?;
    Ok(Json(report.wire(&app)))
}

/// The same as a file, for mail programs.
pub async fn eml(
    State(app): State<App>,
    Path(id): Path<i64>,
    Query(query): Query<ReportQuery>,
) -> Result<Response, AppError> {
    let eml = reported(&app, id, &query).await?.eml();
    let eml = eml.map_err(|e| AppError::Internal(format!("the mail: {e}")))?;
    let name = format!("attachment; filename=\"firstbad-{id}.eml\"");
    let kind = [
        (header::CONTENT_TYPE, "message/rfc822".to_owned()),
        (header::CONTENT_DISPOSITION, name),
    ];
    Ok((kind, eml).into_response())
}

async fn reported(app: &App, id: i64, query: &ReportQuery) -> Result<Report, AppError> {
    let from = match query.from.trim() {
        "" => None,
        text => Some(Mailbox::read(text).ok_or_else(|| {
            let why = "from: it is no address; write it as `Name <address>`";
            AppError::bad("bad-address", "/from", why)
        })?),
    };
    let report = report::for_job(app, id, from).await?;
    report.ok_or_else(|| AppError::not_found(format!("there is no job {id}")))
}

pub async fn metric(
    State(app): State<App>,
    Path(id): Path<i64>,
    Query(query): Query<MetricQuery>,
) -> Result<Json<MetricOfJob>, AppError> {
    let metric = view::metric(&app, id, &query.name).await?;
    metric
        .map(Json)
        .ok_or_else(|| AppError::not_found(format!("there is no job {id}")))
}

/// The same for a spreadsheet.
pub async fn metric_csv(
    app: State<App>,
    id: Path<i64>,
    query: Query<MetricQuery>,
) -> Result<Response, AppError> {
    let Json(metric) = self::metric(app, id, query).await?;
    let kind = [(header::CONTENT_TYPE, "text/csv; charset=utf-8")];
    Ok((kind, view::metric_csv(&metric)).into_response())
}

/// What `git bisect replay` takes.
pub async fn bisect_log(State(app): State<App>, Path(id): Path<i64>) -> Result<Response, AppError> {
    let text = view::bisect_log(&app, id).await?;
    let text = text.ok_or_else(|| AppError::not_found(format!("there is no job {id}")))?;
    Ok(([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], text).into_response())
}

pub async fn attempt(
    State(app): State<App>,
    Path(id): Path<i64>,
) -> Result<Json<Attempt>, AppError> {
    let attempt = view::attempt(&app, id).await?;
    attempt
        .map(Json)
        .ok_or_else(|| AppError::not_found(format!("there is no attempt {id}")))
}

pub async fn workers(
    State(app): State<App>,
    who: Principal,
) -> Result<Json<Vec<Worker>>, AppError> {
    Ok(Json(view::workers(&app, &who.sight()).await?))
}

#[derive(Deserialize)]
pub struct LogQuery {
    #[serde(default)]
    offset: u64,
}

/// Raw bytes of a log from `offset`, one chunk at most; `x-log-total` and `x-log-live` say the rest.
pub async fn log(
    State(app): State<App>,
    Path((id, name)): Path<(i64, String)>,
    Query(query): Query<LogQuery>,
) -> Result<Response, AppError> {
    let length = firstbad_api::limits::CHUNK_BYTES as u64;
    let window = view::log_window(&app, id, &name, query.offset, length).await?;
    let window = window
        .ok_or_else(|| AppError::not_found(format!("attempt {id} has no log {name:?} yet")))?;
    Ok((
        [
            (header::CONTENT_TYPE, "text/plain; charset=utf-8".to_owned()),
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff".to_owned()),
            (
                header::CONTENT_SECURITY_POLICY,
                "sandbox; default-src 'none'".to_owned(),
            ),
            (
                header::HeaderName::from_static("x-log-total"),
                window.total.to_string(),
            ),
            (
                header::HeaderName::from_static("x-log-live"),
                window.live.to_string(),
            ),
        ],
        window.bytes,
    )
        .into_response())
}

pub async fn artefact(
    State(app): State<App>,
    Path(sha256): Path<String>,
) -> Result<Response, AppError> {
    let missing = || AppError::not_found("there is no such artefact");
    if sha256.len() != 64 || !sha256.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(missing());
    }
    let file = tokio::fs::File::open(app.store.artefact_path(&sha256)).await;
    let file = file.map_err(|_| missing())?;
    Ok((
        [
            (header::CONTENT_TYPE, "application/octet-stream"),
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (header::CONTENT_DISPOSITION, "attachment"),
            (
                header::CONTENT_SECURITY_POLICY,
                "sandbox; default-src 'none'",
            ),
        ],
        Body::from_stream(ReaderStream::new(file)),
    )
        .into_response())
}
