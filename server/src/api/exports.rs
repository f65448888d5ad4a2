//! What a job or a run found, in the forms of others.

use std::io::{self, BufWriter, Write};

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use firstbad_api::artefact::{INITRAMFS_BASE, INITRAMFS_RUN};
use firstbad_api::patch::{PatchQuery, PatchVerdict};
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use crate::access::Principal;
use crate::db;
use crate::error::AppError;
use crate::export::{self, Whole};
use crate::patchwork::{self, Told};
use crate::reproduce::Parts;
use crate::state::App;
use crate::view;

/// Bytes of an archive that are sent at once, and how many such pieces may wait to be.
const CHUNK: usize = 256 << 10;
const AHEAD: usize = 2;
/// KCIDB's name for who sends, unless said.
const ORIGIN: &str = "firstbad";

/// Query of `GET /jobs/{id}/kcidb`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct KcidbQuery {
    origin: Option<String>,
}

async fn whole(app: &App, id: i64) -> Result<Whole, AppError> {
    let whole = export::load(app, id).await?;
    whole.ok_or_else(|| AppError::not_found(format!("there is no job {id}")))
}

/// `GET /jobs/{id}/kcidb`.
pub async fn kcidb(
    State(app): State<App>,
    Path(id): Path<i64>,
    Query(query): Query<KcidbQuery>,
) -> Result<Json<Value>, AppError> {
    let origin = query.origin.as_deref().unwrap_or(ORIGIN);
    if !export::is_origin(origin) {
        let why = "origin: use 1 to 64 of a-z, 0-9 and _";
        return Err(AppError::bad("bad-origin", "/origin", why));
    }
    Ok(Json(export::kcidb(&whole(&app, id).await?, origin)))
}

/// `GET /patches`: what jobs say of a patch that is on its way, newest first.
pub async fn patches(
    State(app): State<App>,
    who: Principal,
    Query(query): Query<PatchQuery>,
) -> Result<Json<Vec<PatchVerdict>>, AppError> {
    let (patch_id, message_id) = (query.patch_id.trim(), query.message_id.trim());
    if patch_id.is_empty() && message_id.is_empty() {
        let why = "patch_id: give this, or message_id";
        return Err(AppError::bad("bad-query", "/patch_id", why));
    }
    let mut conn = app.pool.acquire().await?;
    let found = db::patch::tested(&mut conn, &who.sight(), patch_id, message_id).await?;
    let told = found.into_iter().map(|job| {
        let said = Told {
            title: &job.title,
            find: job.request.find,
            outcome: job.outcome.as_deref(),
            retracted: job.retracted,
        };
        let (status, summary) = patchwork::verdict(&said, &job.revs);
        PatchVerdict {
            job: job.id,
            path: format!("/jobs/{}", job.id),
            status: status.to_owned(),
            details: format!("job {}: {}", job.id, job.title),
            summary,
        }
    });
    Ok(Json(told.collect()))
}

/// `GET /jobs/{id}/junit`.
pub async fn junit(State(app): State<App>, Path(id): Path<i64>) -> Result<Response, AppError> {
    let text = export::junit(&whole(&app, id).await?);
    let text = text.map_err(|e| AppError::Internal(format!("the XML: {e}")))?;
    let kind = [(header::CONTENT_TYPE, "application/xml; charset=utf-8")];
    Ok((kind, text).into_response())
}

/// `GET /attempts/{id}/reproduce.tar`.
pub async fn reproduce(State(app): State<App>, Path(id): Path<i64>) -> Result<Response, AppError> {
    let parts = parts(&app, id).await?;
    let name = format!("attachment; filename=\"{}.tar\"", parts.directory());
    let (chunks, stream) = mpsc::channel(AHEAD);
    tokio::task::spawn_blocking(move || write_to(&parts, chunks));
    let kind = [
        (header::CONTENT_TYPE, "application/x-tar".to_owned()),
        (header::CONTENT_DISPOSITION, name),
    ];
    Ok((kind, Body::from_stream(ReceiverStream::new(stream))).into_response())
}

/// Writes an archive into a response. One that breaks off breaks the response off too.
fn write_to(parts: &Parts, chunks: mpsc::Sender<io::Result<Vec<u8>>>) {
    let to = BufWriter::with_capacity(CHUNK, Chunks(chunks.clone()));
    if let Err(error) = parts.write(to) {
        tracing::warn!(attempt = parts.attempt, %error, "an archive broke off");
        // Whoever asked may be gone.
        let _ = chunks.blocking_send(Err(error));
    }
}

/// The body of a response, written by a thread that may block.
struct Chunks(mpsc::Sender<io::Result<Vec<u8>>>);

impl Write for Chunks {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let sent = self.0.blocking_send(Ok(bytes.to_vec()));
        sent.map_err(|_| io::ErrorKind::BrokenPipe)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A finished run and its files.
async fn parts(app: &App, id: i64) -> Result<Parts, AppError> {
    let attempt = view::attempt(app, id).await?;
    let attempt =
        attempt.ok_or_else(|| AppError::not_found(format!("there is no attempt {id}")))?;
    let no = |why: &str| {
        let why = format!("attempt {id} {why}");
        AppError::refused(StatusCode::CONFLICT, "cannot-be-run-again", "", why)
    };
    let seen = attempt.observation.filter(|_| attempt.kind == "test");
    let seen = seen.ok_or_else(|| no("is no finished test"))?;
    let seen: firstbad_api::observation::TestObservation =
        serde_json::from_value(seen).map_err(|_| no("has an observation of another version"))?;
    let artefact = |name: &str| {
        let found = attempt.artefacts.iter().find(|a| a.name == name);
        found.map(|a| app.store.artefact_path(&a.sha256))
    };
    let initramfs = [artefact(INITRAMFS_BASE), artefact(INITRAMFS_RUN)];
    let initramfs: Option<Vec<_>> = initramfs.into_iter().collect();
    let mut conn = app.pool.acquire().await?;
    let config = db::attempt::config_of(&mut conn, &seen.run.image_sha256).await?;
    drop(conn);
    let parts = Parts {
        attempt: id,
        tree: attempt.tree,
        rev: attempt.rev,
        suite: attempt.suite.unwrap_or_default(),
        image: app.store.artefact_path(&seen.run.image_sha256),
        config: config.map(|sha256| app.store.artefact_path(&sha256)),
        initramfs: initramfs.ok_or_else(|| no("has no stored initramfs"))?,
        seen,
    };
    match parts.missing() {
        None => Ok(parts),
        Some(_) => Err(no("has files that are not stored any more")),
    }
}
