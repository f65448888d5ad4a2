//! The pages about places: trees, workers, and the help.

use askama::Template;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Redirect};
use firstbad_api::job::Find;
use firstbad_api::tree::Tree;
use firstbad_api::worker::Worker;
use uuid::Uuid;

use super::chip::Chip;
use super::error::{Page, PageError, page};
use super::format;
use crate::access::Principal;
use crate::api::workers::set_drained;
use crate::repo::RefInfo;
use crate::state::App;

/// References shown on a tree's page.
const REFS_SHOWN: usize = 200;

/// `trees.html`.
#[derive(Template)]
#[template(path = "trees.html")]
pub struct TreesPage {
    pub trees: Vec<Tree>,
}

/// `tree.html`.
#[derive(Template)]
#[template(path = "tree.html")]
pub struct TreePage {
    pub tree: Tree,
    pub refs: Vec<RefInfo>,
}

impl TreePage {
    /// How many references the tree has beyond those shown.
    fn more(&self) -> usize {
        usize::try_from(self.tree.refs)
            .unwrap_or(0)
            .saturating_sub(self.refs.len())
    }
}

/// `workers.html`.
#[derive(Template)]
#[template(path = "workers.html")]
pub struct WorkersPage {
    pub workers: Vec<Worker>,
}

impl WorkersPage {
    fn live(&self) -> usize {
        self.workers.iter().filter(|w| w.live).count()
    }
}

/// `help.html`.
#[derive(Template)]
#[template(path = "help.html")]
pub struct HelpPage;

/// `GET /trees`.
pub(super) async fn trees(State(app): State<App>) -> Page {
    let trees = crate::view::trees(&app).await?;
    page(&TreesPage { trees })
}

/// `GET /trees/{name}`.
pub(super) async fn tree(State(app): State<App>, Path(name): Path<String>) -> Page {
    let trees = crate::view::trees(&app).await?;
    let found = trees.into_iter().find(|t| t.name == name);
    let tree = found.ok_or_else(|| {
        PageError::missing(
            &format!("The tree “{name}”"),
            "The list of trees has all there are; “firstbad tree add” registers another.",
        )
    })?;
    let refs = crate::view::refs(&app, &name, REFS_SHOWN).await?;
    page(&TreePage { tree, refs })
}

/// `GET /workers`.
pub(super) async fn workers(State(app): State<App>, who: Principal) -> Page {
    let mut workers = crate::view::workers(&app, &who.sight()).await?;
    workers.sort_by(|a, b| b.live.cmp(&a.live).then_with(|| b.seen_at.cmp(&a.seen_at)));
    page(&WorkersPage { workers })
}

/// `GET /help`.
pub(super) async fn help() -> Page {
    page(&HelpPage)
}

/// `POST /workers/{id}/drain`.
pub(super) async fn drain(State(app): State<App>, who: Principal, Path(id): Path<Uuid>) -> Page {
    set_drained(&app, who.name(), id, true).await?;
    Ok(Redirect::to("/workers").into_response())
}

/// `POST /workers/{id}/undrain`.
pub(super) async fn undrain(State(app): State<App>, who: Principal, Path(id): Path<Uuid>) -> Page {
    set_drained(&app, who.name(), id, false).await?;
    Ok(Redirect::to("/workers").into_response())
}
