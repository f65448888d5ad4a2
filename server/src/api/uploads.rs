//! Bytes from workers: log chunks and artefacts, fenced like every other write.

use axum::body::{Body, Bytes};
use axum::extract::{Query, State};
use axum::http::StatusCode;
use firstbad_api::artefact::{Artefact, UploadQuery};
use firstbad_api::lease::Fence;
use futures_util::StreamExt;

use super::leases::{same_database, stale};
use crate::db::{self, lease::Fenced};
use crate::error::AppError;
use crate::state::App;
use crate::store::StoreError;

fn fence(query: &UploadQuery) -> Fence {
    Fence {
        attempt: query.attempt,
        epoch: query.epoch,
        incarnation: query.incarnation,
        worker: query.worker,
    }
}

fn check_name(name: &str) -> Result<(), AppError> {
    let ok = (1..=64).contains(&name.len())
        && !name.starts_with('.')
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
    if ok {
        Ok(())
    } else {
        Err(AppError::bad(
            "bad-name",
            "/name",
            "name: use 1 to 64 of letters, digits, '.', '_' and '-'",
        ))
    }
}

/// Checks the lease without keeping a transaction open over the transfer.
async fn check(app: &App, fence: &Fence, what: &str) -> Result<(), AppError> {
    let mut tx = app.pool.begin().await?;
    let held = db::lease::hold(&mut tx, fence).await?;
    tx.rollback().await?;
    if held == Fenced::Stale || !same_database(app, fence) {
        return Err(stale(app, fence, what).await);
    }
    Ok(())
}

fn refused(error: StoreError) -> AppError {
    match error {
        StoreError::Gap { expected } => AppError::refused(
            StatusCode::CONFLICT,
            "log-gap",
            "/offset",
            format!("offset: the next byte expected is {expected}"),
        ),
        StoreError::Conflict { offset } => AppError::refused(
            StatusCode::CONFLICT,
            "log-conflict",
            "/offset",
            format!("offset: other bytes are stored at {offset} already"),
        ),
        StoreError::TooLarge => AppError::refused(
            StatusCode::PAYLOAD_TOO_LARGE,
            "too-large",
            "",
            "the file is larger than the limit for one artefact or log",
        ),
        StoreError::Mismatch => AppError::bad(
            "hash-mismatch",
            "/sha256",
            "sha256: the bytes received have another hash",
        ),
        StoreError::Io(e) if e.kind() == std::io::ErrorKind::StorageFull => AppError::refused(
            StatusCode::INSUFFICIENT_STORAGE,
            "disk-full",
            "",
            "the server's disk is full",
        ),
        StoreError::Io(e) => AppError::Internal(e.to_string()),
    }
}

pub async fn log(
    State(app): State<App>,
    Query(query): Query<UploadQuery>,
    body: Bytes,
) -> Result<StatusCode, AppError> {
    check_name(&query.name)?;
    let fence = fence(&query);
    let mut tx = app.pool.begin().await?;
    if !same_database(&app, &fence) || db::lease::hold(&mut tx, &fence).await? == Fenced::Stale {
        return Err(stale(&app, &fence, "log").await);
    }
    db::attempt::put_log(&mut tx, &fence, &query.name).await?;
    tx.commit().await?;
    app.store
        .append_log(fence.attempt, fence.epoch, &query.name, query.offset, &body)
        .await
        .map_err(refused)?;
    Ok(StatusCode::NO_CONTENT)
}

/// The size of a file the store has already; it was checked when it came.
async fn stored(app: &App, sha256: &str) -> Result<u64, AppError> {
    match tokio::fs::metadata(app.store.artefact_path(sha256)).await {
        Ok(meta) => Ok(meta.len()),
        Err(_) => Err(AppError::refused(
            StatusCode::NOT_FOUND,
            "unknown-artefact",
            "/sha256",
            "sha256: the store has no such file; send it",
        )),
    }
}

pub async fn artefact(
    State(app): State<App>,
    Query(query): Query<UploadQuery>,
    body: Body,
) -> Result<StatusCode, AppError> {
    check_name(&query.name)?;
    let fence = fence(&query);
    check(&app, &fence, "artefact").await?;
    let bytes = if query.known {
        stored(&app, &query.sha256).await?
    } else {
        let stream = body
            .into_data_stream()
            .map(|chunk| chunk.map_err(std::io::Error::other));
        let put = app.store.put_artefact(&query.sha256, stream);
        put.await.map_err(refused)?
    };
    let mut tx = app.pool.begin().await?;
    if db::lease::hold(&mut tx, &fence).await? == Fenced::Stale {
        return Err(stale(&app, &fence, "artefact").await);
    }
    let artefact = Artefact {
        name: query.name,
        sha256: query.sha256,
        bytes: i64::try_from(bytes).unwrap_or(i64::MAX),
    };
    db::attempt::put_artefact(&mut tx, &fence, &artefact).await?;
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}
