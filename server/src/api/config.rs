//! The configuration of a job request: is it usable at both ends?

use axum::http::StatusCode;
use firstbad_api::job::{JobConfig, NewJob};
use firstbad_api::lease::{ConfigBase, ConfigRequest, Fragment};
use firstbad_api::limits;
use firstbad_api::tree::Tree;

use crate::error::AppError;
use crate::repo::Repos;
use crate::state::App;

/// What is laid over tinyconfig alone.
const TINY: &str = "tiny.config";

/// What a tree is registered with can be used by jobs on it.
pub(super) fn check_default(config: &JobConfig) -> Result<(), AppError> {
    check_size(config)?;
    symbols(config).map(drop)
}

/// Puts the tree's configuration into a request that names no base, so that what is stored and shown
/// says all; whether it did.
pub(super) fn complete(new: &mut NewJob, tree: &Tree) -> Result<bool, AppError> {
    // Before there are other lines, so that the number of a wrong one is right.
    symbols(&new.config)?;
    if new.config.base.is_some() || tree.config == JobConfig::default() {
        return Ok(false);
    }
    let mut fragment = tree.config.fragment.clone();
    if !fragment.is_empty() && !fragment.ends_with('\n') {
        fragment.push('\n');
    }
    fragment.push_str(&new.config.fragment);
    let base = tree.config.base.clone();
    new.config = JobConfig {
        base: base.or(Some(ConfigBase::Tinyconfig)),
        fragment,
    };
    Ok(true)
}

/// The configuration of a job: the suite's fragments and the user's on a base.
pub(super) fn check(new: &NewJob, suite: &[Fragment]) -> Result<ConfigRequest, AppError> {
    check_size(&new.config)?;
    let base = new.config.base.clone().unwrap_or(ConfigBase::Tinyconfig);
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

fn check_size(config: &JobConfig) -> Result<(), AppError> {
    let size = config.fragment.len()
        + match &config.base {
            Some(ConfigBase::File(text) | ConfigBase::Tree(text)) => text.len(),
            None | Some(ConfigBase::Tinyconfig | ConfigBase::X8664Defconfig) => 0,
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
    Ok(())
}

/// The symbols that a fragment sets.
fn symbols(config: &JobConfig) -> Result<Vec<String>, AppError> {
    Repos::parse_fragment(&config.fragment).map_err(|(line, why)| {
        AppError::bad(
            "bad-fragment",
            "/config/fragment",
            format!("config.fragment: line {line}: {why}"),
        )
    })
}

/// What to do where a refused configuration came from the tree.
fn advice(new: &NewJob, of_tree: bool) -> String {
    match of_tree {
        true => format!(
            "; jobs on {} are configured so unless they name a base of their own",
            new.tree
        ),
        false => String::new(),
    }
}

/// The user's fragment names symbols that the tree knows.
pub(super) async fn check_symbols(
    app: &App,
    new: &NewJob,
    bad: &str,
    of_tree: bool,
) -> Result<(), AppError> {
    let pointer = "/config/fragment";
    let symbols = symbols(&new.config)?;
    if symbols.is_empty() {
        return Ok(());
    }
    let described = app.repos.describes_release(&new.tree, bad).await;
    if described.map_err(|e| AppError::repo(e, pointer))? {
        // The worker says which symbols its source lost.
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
            "config.fragment: no Kconfig file at the bad end defines {}; check the spelling{}",
            unknown.join(", "),
            advice(new, of_tree)
        ),
    ))
}

/// A configuration that comes from the tree is there at both ends.
pub(super) async fn check_file(
    app: &App,
    new: &NewJob,
    config: &ConfigRequest,
    (good, bad): (&[String], &str),
    of_tree: bool,
) -> Result<(), AppError> {
    let ConfigBase::Tree(path) = &config.base else {
        return Ok(());
    };
    let pointer = "/config/base";
    for rev in good.iter().map(String::as_str).chain([bad]) {
        let found = app.repos.has_file(&new.tree, rev, path).await;
        if !found.map_err(|e| AppError::repo(e, pointer))? {
            let why = format!(
                "config.base: {rev} has no plain file at the path {path:?}{}",
                advice(new, of_tree)
            );
            return Err(AppError::bad("no-config", pointer, why));
        }
    }
    Ok(())
}
