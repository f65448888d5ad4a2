//! Talks to the server.
//!
//! Owns the requests of the worker API and how long each is retried. Must not
//! know what an attempt does. A refusal typed `stale-lease` is
//! [`InfraError::Fenced`]; anything that may pass is retried with jitter.

use std::time::Duration;

use firstbad_api::artefact::UploadQuery;
use firstbad_api::lease::{Fence, FinishRequest, Lease, LeaseRequest, Renew, Renewed, StageEnd};
use firstbad_api::problem::Problem;
use firstbad_api::worker::{Register, Registered};
use reqwest::{Body, Method, RequestBuilder, Response, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::{Instant, sleep};

use crate::error::InfraError;

/// Type of the refusal that means "this lease is not yours any more".
pub const STALE_LEASE: &str = "stale-lease";
/// First pause between two tries; doubles up to [`PAUSE_MAX`].
const PAUSE: Duration = Duration::from_millis(200);
const PAUSE_MAX: Duration = Duration::from_secs(10);
/// One ordinary request.
const REQUEST: Duration = Duration::from_secs(30);
/// One upload or download.
const TRANSFER: Duration = Duration::from_secs(600);
/// Files from this size on are offered before they are sent, bytes.
const OFFERED_BYTES: u64 = 64 << 10;

/// Why a request did not succeed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ClientError {
    /// The server refused and said why; trying again is pointless.
    #[error("the server refused: {} ({})", .0.detail, .0.kind)]
    Refused(Box<Problem>),
    /// No answer, or one that may change: 5xx, 429, a broken connection.
    #[error("{0}")]
    Unavailable(String),
}

impl ClientError {
    /// Whether this is a refusal of type `kind`.
    pub fn is(&self, kind: &str) -> bool {
        matches!(self, ClientError::Refused(p) if p.kind == kind)
    }
}

impl From<ClientError> for InfraError {
    fn from(error: ClientError) -> InfraError {
        if error.is(STALE_LEASE) {
            InfraError::Fenced
        } else {
            InfraError::Failed(error.to_string())
        }
    }
}

/// A connection to one server.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    base: String,
    token: String,
}

impl Client {
    /// `base` is the server's URL without a path, `token` may be empty.
    pub fn new(base: &str, token: &str) -> Result<Client, InfraError> {
        let http = reqwest::Client::builder()
            .connect_timeout(Duration::from_secs(5))
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("firstbad-worker/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|e| InfraError::failed("cannot set up HTTP", describe(&e)))?;
        Ok(Client {
            http,
            base: base.trim_end_matches('/').to_owned(),
            token: token.to_owned(),
        })
    }

    /// Where the server serves the mirror of `tree`.
    pub fn git_url(&self, tree: &str) -> String {
        format!("{}/git/{tree}.git", self.base)
    }

    /// The bearer token; empty when there is none.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// Introduces this worker; one try.
    pub async fn register(&self, register: &Register) -> Result<Registered, ClientError> {
        self.post("/api/v1/workers", register, REQUEST).await
    }

    /// Asks for work; waits up to `patience` for the answer. One try.
    pub async fn lease(
        &self,
        request: &LeaseRequest,
        patience: Duration,
    ) -> Result<Option<Lease>, ClientError> {
        let answer = self
            .send(
                self.request(Method::POST, "/api/v1/leases", patience)
                    .json(request),
            )
            .await?;
        if answer.status() == StatusCode::NO_CONTENT {
            return Ok(None);
        }
        json(answer).await.map(Some)
    }

    /// Extends a lease; one try, answered within `patience`.
    pub async fn renew(&self, renew: &Renew, patience: Duration) -> Result<Renewed, ClientError> {
        self.post("/api/v1/attempts/renew", renew, patience).await
    }

    /// Reports the end of a stage.
    pub async fn stage(&self, end: &StageEnd) -> Result<(), ClientError> {
        retried(Duration::from_secs(30), || async {
            let request = self.request(Method::POST, "/api/v1/attempts/stage", REQUEST);
            self.send(request.json(end)).await.map(drop)
        })
        .await
    }

    /// Ends an attempt; one try.
    pub async fn finish(&self, finish: &FinishRequest) -> Result<(), ClientError> {
        let request = self.request(Method::POST, "/api/v1/attempts/finish", REQUEST);
        self.send(request.json(finish)).await.map(drop)
    }

    /// Appends to a log.
    pub async fn put_log(
        &self,
        fence: &Fence,
        name: &str,
        offset: u64,
        bytes: &[u8],
    ) -> Result<(), ClientError> {
        let query = upload_query(fence, name, offset, "");
        retried(Duration::from_secs(60), || async {
            let request = self.request(Method::PUT, "/api/v1/attempts/log", TRANSFER);
            self.send(request.query(&query).body(bytes.to_vec()))
                .await
                .map(drop)
        })
        .await
    }

    /// Stores a whole file, sent only if the server does not have it; its SHA-256 is
    /// checked by the server.
    pub async fn put_artefact(
        &self,
        fence: &Fence,
        name: &str,
        sha256: &str,
        path: &std::path::Path,
    ) -> Result<(), ClientError> {
        let size = std::fs::metadata(path).map_or(0, |m| m.len());
        if size >= OFFERED_BYTES && self.offer(fence, name, sha256).await? {
            return Ok(());
        }
        let query = upload_query(fence, name, 0, sha256);
        retried(Duration::from_secs(120), || async {
            let file = tokio::fs::File::open(path)
                .await
                .map_err(|e| ClientError::Unavailable(format!("cannot open {name}: {e}")))?;
            let request = self.request(Method::PUT, "/api/v1/attempts/artefact", TRANSFER);
            self.send(request.query(&query).body(Body::from(file)))
                .await
                .map(drop)
        })
        .await
    }

    /// Whether the server has this file already; then it is an artefact of the attempt too.
    async fn offer(&self, fence: &Fence, name: &str, sha256: &str) -> Result<bool, ClientError> {
        let query = UploadQuery {
            known: true,
            ..upload_query(fence, name, 0, sha256)
        };
        let offered = retried(Duration::from_secs(120), || async {
            let request = self.request(Method::PUT, "/api/v1/attempts/artefact", TRANSFER);
            self.send(request.query(&query)).await.map(drop)
        });
        match offered.await {
            Ok(()) => Ok(true),
            Err(ClientError::Refused(problem)) if problem.kind == "unknown-artefact" => Ok(false),
            Err(other) => Err(other),
        }
    }

    /// Begins the download of a stored file.
    pub async fn artefact(&self, sha256: &str) -> Result<Response, ClientError> {
        retried(Duration::from_secs(60), || async {
            let path = format!("/api/v1/artefacts/{sha256}");
            self.send(self.request(Method::GET, &path, TRANSFER)).await
        })
        .await
    }

    fn request(&self, method: Method, path: &str, timeout: Duration) -> RequestBuilder {
        let request = self
            .http
            .request(method, format!("{}{path}", self.base))
            .timeout(timeout);
        if self.token.is_empty() {
            request
        } else {
            request.bearer_auth(&self.token)
        }
    }

    async fn post<B: Serialize, A: DeserializeOwned>(
        &self,
        path: &str,
        body: &B,
        timeout: Duration,
    ) -> Result<A, ClientError> {
        json(
            self.send(self.request(Method::POST, path, timeout).json(body))
                .await?,
        )
        .await
    }

    async fn send(&self, request: RequestBuilder) -> Result<Response, ClientError> {
        let answer = request
            .send()
            .await
            .map_err(|e| ClientError::Unavailable(describe(&e)))?;
        let status = answer.status();
        if status.is_success() {
            return Ok(answer);
        }
        let body = answer.bytes().await.unwrap_or_default();
        match serde_json::from_slice::<Problem>(&body) {
            Ok(problem) if passing(status) => Err(ClientError::Unavailable(format!(
                "the server answered {status}: {}",
                problem.detail
            ))),
            Ok(problem) => Err(ClientError::Refused(Box::new(problem))),
            // Not one of ours: a proxy, a server of another version. It may pass.
            Err(_) => Err(ClientError::Unavailable(format!(
                "the server answered {status}"
            ))),
        }
    }
}

fn passing(status: StatusCode) -> bool {
    status.is_server_error()
        || status == StatusCode::TOO_MANY_REQUESTS
        || status == StatusCode::REQUEST_TIMEOUT
}

async fn json<A: DeserializeOwned>(answer: Response) -> Result<A, ClientError> {
    answer
        .json()
        .await
        .map_err(|e| ClientError::Unavailable(format!("unreadable answer: {}", describe(&e))))
}

fn upload_query(fence: &Fence, name: &str, offset: u64, sha256: &str) -> UploadQuery {
    UploadQuery {
        attempt: fence.attempt,
        epoch: fence.epoch,
        incarnation: fence.incarnation,
        worker: fence.worker,
        name: name.to_owned(),
        offset,
        sha256: sha256.to_owned(),
        known: false,
    }
}

/// Tries until it works, is refused, or `patience` is over.
async fn retried<T, F: Future<Output = Result<T, ClientError>>>(
    patience: Duration,
    mut attempt: impl FnMut() -> F,
) -> Result<T, ClientError> {
    let end = Instant::now() + patience;
    let mut pause = Pause::default();
    loop {
        match attempt().await {
            Err(ClientError::Unavailable(why)) if Instant::now() < end => {
                tracing::debug!(%why, "the server is not available; trying again");
                sleep(pause.longer()).await;
            }
            done => return done,
        }
    }
}

/// Growing pauses with full jitter, so that workers do not come back in step.
#[derive(Debug)]
pub struct Pause(Duration);

impl Default for Pause {
    fn default() -> Pause {
        Pause(PAUSE)
    }
}

impl Pause {
    /// The next pause: between half and the whole of a doubling limit.
    pub fn longer(&mut self) -> Duration {
        let limit = self.0;
        self.0 = (limit * 2).min(PAUSE_MAX);
        let random = uuid::Uuid::new_v4().as_u128() as u32;
        limit / 2 + (limit / 2).mul_f64(f64::from(random) / f64::from(u32::MAX))
    }
}

/// An HTTP error with its causes.
fn describe(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(c) = cause {
        text = format!("{text}: {c}");
        cause = c.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_stay_bounded() {
        let mut pause = Pause::default();
        let first = pause.longer();
        assert!(first >= PAUSE / 2 && first <= PAUSE);
        for _ in 0..20 {
            assert!(pause.longer() <= PAUSE_MAX);
        }
        assert!(pause.longer() >= PAUSE_MAX / 2);
    }
}
