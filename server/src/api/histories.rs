//! Histories that the server writes itself: patch series, and ways between configurations.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use firstbad_api::limits;
use firstbad_api::tree::{History, NewConfigs, NewSeries};

use super::sent::Sent;
use super::trees;
use crate::access::Principal;
use crate::db;
use crate::db::patch::Mailed;
use crate::error::AppError;
use crate::kconfig::{self, Settings};
use crate::repo::Series;
use crate::state::App;

type Written = Result<(StatusCode, Json<History>), AppError>;

pub async fn series(
    State(app): State<App>,
    who: Principal,
    Path(name): Path<String>,
    Sent(new): Sent<NewSeries>,
) -> Written {
    let history = add_series(&app, &who, &name, &new).await?;
    Ok((StatusCode::CREATED, Json(history)))
}

/// Writes a series beside a tree.
pub(crate) async fn add_series(
    app: &App,
    who: &Principal,
    name: &str,
    new: &NewSeries,
) -> Result<History, AppError> {
    trees::get(app, name).await?;
    let base = resolve(app, name, &new.base, "/base").await?;
    let written = app
        .repos
        .write_series(name, &base, &new.mbox, new.squash)
        .await;
    let series = written.map_err(|e| AppError::repo(e, "/mbox"))?;
    record(app, who.name(), name, &series.history).await?;
    note(app, name, &series).await?;
    Ok(series.history)
}

/// Remembers which commits the mails became, so that jobs are found by them.
async fn note(app: &App, tree: &str, series: &Series) -> Result<(), AppError> {
    let commits = &series.history.commits;
    let revs: Vec<String> = commits.iter().map(|c| c.rev.clone()).collect();
    let ids = app.repos.patch_ids(tree, &revs).await;
    let ids = ids.map_err(|e| AppError::repo(e, "/mbox"))?;
    let by_diff = ids.into_iter().map(|(rev, id)| Mailed {
        rev,
        patch_id: Some(id),
        message_id: None,
    });
    let by_mail = series.mails.iter().map(|(rev, id)| Mailed {
        rev: rev.clone(),
        patch_id: None,
        message_id: Some(id.clone()),
    });
    let mails: Vec<Mailed> = by_diff.chain(by_mail).collect();
    let mut tx = app.pool.begin().await?;
    db::patch::note(&mut tx, tree, &mails).await?;
    Ok(tx.commit().await?)
}

pub async fn configs(
    State(app): State<App>,
    who: Principal,
    Path(name): Path<String>,
    Sent(new): Sent<NewConfigs>,
) -> Written {
    trees::get(&app, &name).await?;
    let good = settings(&new.good, "good")?;
    let bad = settings(&new.bad, "bad")?;
    let rev = resolve(&app, &name, &new.rev, "/rev").await?;
    let symbols = app.repos.symbols(&name, &rev).await;
    let symbols = symbols.map_err(|e| AppError::repo(e, "/rev"))?;
    let symbols = symbols.ok_or_else(|| {
        let why = format!("rev: {} has no file Kconfig at its root", new.rev);
        AppError::bad("no-kconfig", "/rev", why)
    })?;
    let steps = kconfig::steps(&good, &bad, &symbols);
    if steps.steps.is_empty() {
        let why = "bad: it sets the same options as good; there is nothing between them";
        return Err(AppError::bad("empty-range", "/bad", why));
    }
    let written = app.repos.write_configs(&name, &rev, steps).await;
    let history = written.map_err(|e| AppError::repo(e, "/bad"))?;
    record(&app, who.name(), &name, &history).await?;
    Ok((StatusCode::CREATED, Json(history)))
}

async fn resolve(app: &App, tree: &str, rev: &str, pointer: &str) -> Result<String, AppError> {
    let resolved = app.repos.resolve(tree, rev).await;
    Ok(resolved.map_err(|e| AppError::repo(e, pointer))?.rev)
}

fn settings(text: &str, field: &str) -> Result<Settings, AppError> {
    let pointer = format!("/{field}");
    if text.len() > limits::CONFIG_BYTES {
        let why = format!(
            "{field}: {} bytes, at most {} are taken",
            text.len(),
            limits::CONFIG_BYTES
        );
        let status = StatusCode::PAYLOAD_TOO_LARGE;
        return Err(AppError::refused(status, "config-too-large", &pointer, why));
    }
    kconfig::settings(text).map_err(|(line, why)| {
        let why = format!("{field}: line {line}: {why}");
        AppError::bad("bad-config", &pointer, why)
    })
}

async fn record(app: &App, who: &str, tree: &str, history: &History) -> Result<(), AppError> {
    let detail = serde_json::json!({ "tree": tree, "reference": history.reference });
    let mut conn = app.pool.acquire().await?;
    db::audit(&mut conn, who, "history written", None, None, detail).await?;
    Ok(())
}
