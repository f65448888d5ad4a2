//! Live pages: a stream that says when what a page shows has changed.
//!
//! Nothing is remembered here. Each event carries the version of the rows it is about, and a browser
//! that comes back names the last one it has seen: a reader who was away misses nothing. Must not
//! know what a page shows.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::{StreamExt, stream};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use crate::access::Object;
use crate::db;
use crate::error::AppError;
use crate::state::App;

/// Rows are looked at this often where nothing says that they changed.
const LOOK: Duration = Duration::from_secs(2);
/// At most one event in this time.
const PACE: Duration = Duration::from_millis(500);
/// Streams at once.
const STREAMS: usize = 500;

static ROOM: std::sync::LazyLock<Arc<Semaphore>> =
    std::sync::LazyLock::new(|| Arc::new(Semaphore::new(STREAMS)));

/// A stream ends then, and the browser connects again: whoever may not look any more, does not.
const LIFE: Duration = Duration::from_secs(300);

/// What a page shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// Several jobs.
    All,
    Job(i64),
    Attempt(i64),
    Log(i64, String),
}

impl std::fmt::Display for Subject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Subject::All => f.write_str("all"),
            Subject::Job(id) => write!(f, "job/{id}"),
            Subject::Attempt(id) => write!(f, "attempt/{id}"),
            Subject::Log(id, name) => write!(f, "log/{id}/{name}"),
        }
    }
}

impl Subject {
    fn parse(text: &str) -> Option<Subject> {
        let parts: Vec<&str> = text.splitn(3, '/').collect();
        Some(match parts[..] {
            ["all"] => Subject::All,
            ["job", id] => Subject::Job(id.parse().ok()?),
            ["attempt", id] => Subject::Attempt(id.parse().ok()?),
            ["log", id, name] => Subject::Log(id.parse().ok()?, name.to_owned()),
            _ => return None,
        })
    }
}

/// Changes when the page would; `None` when there is no such thing. A digest, since it is made of what
/// not everybody may see and of words of workers, which could be no line of an event.
async fn version(app: &App, of: &Subject) -> Result<Option<String>, AppError> {
    let mut conn = app.pool.acquire().await?;
    let version = match of {
        Subject::All => Some(db::live::all(&mut conn).await?),
        Subject::Job(id) => db::live::job(&mut conn, *id).await?,
        Subject::Attempt(id) => db::live::attempt(&mut conn, *id).await?,
        Subject::Log(id, name) => {
            drop(conn);
            let log = crate::view::log_window(app, *id, name, 0, 0).await?;
            log.map(|log| format!("{}-{}", log.total, log.live))
        }
    };
    Ok(version.map(|version| hex::encode(&Sha256::digest(version)[..8])))
}

/// The sizes of the logs that are being written for a job.
async fn tail(app: &App, of: &Subject) -> Result<Option<String>, AppError> {
    let Subject::Job(id) = of else {
        return Ok(None);
    };
    let logs = crate::view::running_logs(app, *id, 0).await?;
    let sizes = logs
        .iter()
        .map(|log| format!("{}-{}", log.attempt, log.log.total));
    Ok(Some(sizes.collect::<Vec<_>>().join(".")))
}

#[derive(Debug, Deserialize)]
pub(crate) struct Wanted {
    of: String,
}

/// The job or attempt that a request to follow is about, if it is one.
pub(crate) fn followed(uri: &Uri) -> Option<(Object, i64)> {
    let Query(wanted) = Query::<Wanted>::try_from_uri(uri).ok()?;
    match Subject::parse(&wanted.of)? {
        Subject::All => None,
        Subject::Job(id) => Some((Object::Job, id)),
        Subject::Attempt(id) | Subject::Log(id, _) => Some((Object::Attempt, id)),
    }
}

/// `GET /live?of=job/12`: an event `changed` at once, since the page may be older than the stream, and
/// whenever the version is another one; of a job also an event `tail` when its logs have grown.
pub(crate) async fn stream(
    State(app): State<App>,
    Query(wanted): Query<Wanted>,
    headers: HeaderMap,
) -> Result<Response, AppError> {
    let refuse = |status: StatusCode, why: &str| Ok((status, why.to_owned()).into_response());
    let Some(of) = Subject::parse(&wanted.of) else {
        return refuse(
            StatusCode::BAD_REQUEST,
            "of: give all, job/N, attempt/N or log/N/NAME\n",
        );
    };
    if version(&app, &of).await?.is_none() {
        return refuse(StatusCode::NOT_FOUND, "of: there is no such thing\n");
    }
    let Ok(room) = ROOM.clone().try_acquire_owned() else {
        return refuse(
            StatusCode::SERVICE_UNAVAILABLE,
            "too many pages are followed; load the page again\n",
        );
    };
    // A browser that comes back says itself what it has seen last.
    let seen = headers.get("last-event-id");
    let seen = seen.and_then(|v| v.to_str().ok()).map(str::to_owned);
    let follower = Follower {
        changes: app.changes(),
        app,
        of,
        seen,
        tail: None,
        _room: room,
    };
    let over = tokio::time::sleep(LIFE);
    let events = stream::unfold(follower, |mut follower| async {
        let event = match follower.next().await? {
            News::Changed(version) => Event::default().event("changed").id(&version).data(version),
            News::Tail => Event::default().event("tail").data("grown"),
        };
        Some((Ok::<_, Infallible>(event), follower))
    });
    Ok(Sse::new(events.take_until(over))
        .keep_alive(KeepAlive::default())
        .into_response())
}

/// What a reader is told.
enum News {
    Changed(String),
    /// Only the logs of a job have grown.
    Tail,
}

/// One reader.
struct Follower {
    app: App,
    of: Subject,
    seen: Option<String>,
    /// The sizes of the logs that were told of.
    tail: Option<String>,
    changes: watch::Receiver<u64>,
    _room: OwnedSemaphorePermit,
}

impl Follower {
    /// What is new; `None` ends the stream, after which the browser connects again.
    async fn next(&mut self) -> Option<News> {
        loop {
            let told = async {
                let version = version(&self.app, &self.of).await?;
                Ok::<_, AppError>((version, tail(&self.app, &self.of).await?))
            };
            let (now, tail) = match told.await {
                Ok((now, tail)) => (now?, tail),
                Err(error) => {
                    tracing::warn!(of = %self.of, %error, "a live page ends");
                    return None;
                }
            };
            let grown = self.tail.is_some() && self.tail != tail;
            self.tail = tail;
            // The page that is fetched again has the ends of its logs.
            if self.seen.as_ref() != Some(&now) {
                self.seen = Some(now.clone());
                return Some(News::Changed(now));
            }
            if grown {
                return Some(News::Tail);
            }
            tokio::time::sleep(PACE).await;
            // What comes first; an error means that the server ends.
            if let Ok(Err(_)) = tokio::time::timeout(LOOK, self.changes.changed()).await {
                return None;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_is_what_it_is_written_as() {
        for text in ["all", "job/7", "attempt/12", "log/12/console"] {
            assert_eq!(Subject::parse(text).unwrap().to_string(), text);
        }
        for text in ["", "job", "job/x", "job/1/2", "log/1", "tree/1", "all/1"] {
            assert_eq!(Subject::parse(text), None, "{text}");
        }
    }
}
