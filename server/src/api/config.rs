//! The configuration of a job request: is it usable at both ends?

use axum::http::StatusCode;
use firstbad_api::job::NewJob;
use firstbad_api::lease::{ConfigBase, ConfigRequest, Fragment};
use firstbad_api::limits;

use crate::error::AppError;
use crate::repo::Repos;
use crate::state::App;

/// What is laid over tinyconfig alone.
const TINY: &str = "tiny.config";

/// The configuration of a job: the suite's fragments and the user's on a base.
pub(super) fn check(new: &NewJob, suite: &[Fragment]) -> Result<ConfigRequest, AppError> {
    let base = new.config.base.clone().unwrap_or(ConfigBase::Tinyconfig);
    let size = new.config.fragment.len()
        + match &base {
            ConfigBase::File(text) | ConfigBase::Tree(text) => text.len(),
            ConfigBase::Tinyconfig | ConfigBase::X8664Defconfig => 0,
        };
    if size > limits::CONFIG_BYTES {
        return Err(AppError::refused(
            StatusCode::PAYLOAD_TOO_LARGE,
            "config-too-large",
            "/config",
            format!(
                "config: {size} bytes, at most {} are taken",
                limits::CONFIG_BYTES
            ),
        ));
    }
    let mut fragments = suite.to_vec();
    if base == ConfigBase::Tinyconfig {
        fragments.push(Fragment {
            name: TINY.to_owned(),
            text: crate::suites::read(TINY).map_err(AppError::Internal)?,
        });
    }
    if !new.config.fragment.trim().is_empty() {
        fragments.push(Fragment {
            name: "user".to_owned(),
            text: new.config.fragment.clone(),
        });
    }
    Ok(ConfigRequest { base, fragments })
}

/// The user's fragment names symbols that the tree knows.
pub(super) async fn check_symbols(app: &App, new: &NewJob, bad: &str) -> Result<(), AppError> {
    let pointer = "/config/fragment";
    let symbols = Repos::parse_fragment(&new.config.fragment).map_err(|(line, why)| {
        AppError::bad(
            "bad-fragment",
            pointer,
            format!("config.fragment: line {line}: {why}"),
        )
    })?;
    if symbols.is_empty() {
        return Ok(());
    }
    let unknown = app.repos.unknown_symbols(&new.tree, bad, &symbols).await;
    let unknown = unknown.map_err(|e| AppError::repo(e, pointer))?;
    if unknown.is_empty() {
        return Ok(());
    }
    Err(AppError::bad(
        "unknown-symbol",
        pointer,
        format!(
            "config.fragment: no Kconfig file at the bad end defines {}; check the spelling",
            unknown.join(", ")
        ),
    ))
}

/// A configuration that comes from the tree is there at both ends.
pub(super) async fn check_file(
    app: &App,
    new: &NewJob,
    config: &ConfigRequest,
    good: &[String],
    bad: &str,
) -> Result<(), AppError> {
    let ConfigBase::Tree(path) = &config.base else {
        return Ok(());
    };
    let pointer = "/config/base";
    for rev in good.iter().map(String::as_str).chain([bad]) {
        let found = app.repos.has_file(&new.tree, rev, path).await;
        if !found.map_err(|e| AppError::repo(e, pointer))? {
            let why = format!("config.base: {rev} has no plain file at the path {path:?}");
            return Err(AppError::bad("no-config", pointer, why));
        }
    }
    Ok(())
}
