//! The last lines of what a job's attempts write just now: a piece of the job's page that is fetched
//! by itself, since it changes far more often than the rest.

use askama::Template;
use axum::extract::{Path, State};

use super::error::{Page, page};
use super::format;
use super::log::{Line, Window};
use crate::error::AppError;
use crate::state::App;
use crate::view::RunningLog;

/// Bytes read from the end of each log.
const BYTES: u64 = 4096;
/// Lines shown of each.
const LINES: usize = 6;

/// The end of one log.
pub struct Tail {
    pub attempt: i64,
    /// Its log: `build` or `console`.
    pub name: String,
    /// Seconds that the attempt has run.
    pub seconds: u64,
    pub lines: Vec<Line>,
}

impl From<RunningLog> for Tail {
    fn from(log: RunningLog) -> Tail {
        let RunningLog {
            attempt,
            name,
            seconds,
            log,
        } = log;
        let window = Window::backward(&log.bytes, log.offset, log.total);
        let first = window.lines.len().saturating_sub(LINES);
        let lines = window.lines.into_iter().skip(first).collect();
        Tail {
            attempt,
            name,
            seconds,
            lines,
        }
    }
}

/// The ends of the logs that are being written for a job.
pub async fn of(app: &App, job: i64) -> Result<Vec<Tail>, AppError> {
    let logs = crate::view::running_logs(app, job, BYTES).await?;
    Ok(logs.into_iter().map(Tail::from).collect())
}

/// `tail.html`.
#[derive(Template)]
#[template(path = "tail.html")]
pub struct TailPiece {
    id: i64,
    tails: Vec<Tail>,
}

/// `GET /jobs/{id}/tail`.
pub(super) async fn show(State(app): State<App>, Path(id): Path<i64>) -> Page {
    let tails = of(&app, id).await?;
    page(&TailPiece { id, tails })
}
