//! Logs of attempts: bytes from an offset, and lines that match.

use regex::bytes::Regex;

use crate::db;
use crate::error::AppError;
use crate::state::App;
use crate::store::Grep;

/// Bytes of a log from an offset.
pub struct LogWindow {
    pub bytes: Vec<u8>,
    pub offset: u64,
    pub total: u64,
    /// The attempt still runs, so more may come.
    pub live: bool,
}

pub async fn log_window(
    app: &App,
    attempt: i64,
    name: &str,
    offset: u64,
    length: u64,
) -> Result<Option<LogWindow>, AppError> {
    let mut conn = app.pool.acquire().await?;
    let Some((epoch, live)) = db::attempt::log_epoch(&mut conn, attempt, name).await? else {
        return Ok(None);
    };
    drop(conn);
    let read = app
        .store
        .read_log(attempt, epoch, name, offset, length)
        .await;
    let (bytes, total) = read.map_err(|e| AppError::Internal(e.to_string()))?;
    Ok(Some(LogWindow {
        bytes,
        offset: offset.min(total),
        total,
        live,
    }))
}

/// Logs of a job that are looked at while they are written.
const RUNNING_LOGS: i64 = 4;

/// A log that is being written.
pub struct RunningLog {
    pub attempt: i64,
    pub name: String,
    /// Seconds that the attempt has run.
    pub seconds: u64,
    pub log: LogWindow,
}

/// The last bytes of the logs that are being written for a job.
pub async fn running_logs(app: &App, job: i64, bytes: u64) -> Result<Vec<RunningLog>, AppError> {
    let mut conn = app.pool.acquire().await?;
    let running = db::live::logs(&mut conn, job, RUNNING_LOGS).await?;
    drop(conn);
    let mut out = Vec::new();
    for db::live::Written {
        attempt,
        name,
        seconds,
    } in running
    {
        let seconds = u64::try_from(seconds).unwrap_or_default();
        let Some(size) = log_window(app, attempt, &name, 0, 0).await? else {
            continue;
        };
        let from = size.total.saturating_sub(bytes);
        let log = match bytes {
            0 => Some(size),
            _ => log_window(app, attempt, &name, from, bytes).await?,
        };
        out.extend(log.map(|log| RunningLog {
            attempt,
            name,
            seconds,
            log,
        }));
    }
    Ok(out)
}

/// The first lines of a log that match, from an offset on; `None` when there is no such log.
pub async fn log_lines(
    app: &App,
    attempt: i64,
    name: &str,
    pattern: &str,
    from: u64,
    most: usize,
) -> Result<Option<Grep>, AppError> {
    let pattern = Regex::new(pattern).map_err(|e| AppError::Internal(e.to_string()))?;
    let mut conn = app.pool.acquire().await?;
    let Some((epoch, _)) = db::attempt::log_epoch(&mut conn, attempt, name).await? else {
        return Ok(None);
    };
    drop(conn);
    let store = &app.store;
    let found = store
        .grep_log(attempt, epoch, name, pattern, from, most)
        .await;
    Ok(Some(found.map_err(|e| AppError::Internal(e.to_string()))?))
}
