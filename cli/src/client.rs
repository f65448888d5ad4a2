//! Talks to the server: requests, refusals, and waiting out a restart.
//!
//! Owns the HTTP client. Must not know the terminal.

use std::path::Path;
use std::time::{Duration, Instant};

use firstbad_api::problem::Problem;
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::args::Common;
use crate::fail::Fail;

/// Longest a single request may take: a first fetch of a kernel tree is slow.
const REQUEST: Duration = Duration::from_secs(3600);
/// Longest a connection may take.
const CONNECT: Duration = Duration::from_secs(10);
/// Largest token file.
const TOKEN_BYTES: usize = 4096;
/// Pause between two tries of [`Client::patiently`].
const PAUSE: Duration = Duration::from_secs(2);

/// A server and how to speak to it.
pub struct Client {
    http: reqwest::Client,
    base: String,
    token: Option<String>,
    patience: Duration,
}

/// A piece of a log.
pub struct LogPiece {
    pub bytes: Vec<u8>,
    /// More may come.
    pub live: bool,
    /// Bytes stored so far.
    pub total: u64,
}

impl Client {
    /// From the common options; an address typed instead of a number overrides the server.
    pub fn new(common: &Common, typed: Option<&str>) -> Result<Client, Fail> {
        let base = typed
            .and_then(origin)
            .unwrap_or_else(|| common.server.clone());
        let base = base.trim_end_matches('/').to_string();
        if !(base.starts_with("http://") || base.starts_with("https://")) {
            return Err(Fail::Usage(format!(
                "--server: {} does not begin with http:// or https://",
                crate::text::line(&base)
            )));
        }
        let http = reqwest::Client::builder()
            .timeout(REQUEST)
            .connect_timeout(CONNECT)
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|e| Fail::Infrastructure(format!("no HTTP client: {e}")))?;
        Ok(Client {
            http,
            base,
            token: token(common.token_file.as_deref())?,
            patience: Duration::from_secs(common.patience),
        })
    }

    /// Absolute address of a path the server named.
    pub fn page(&self, path: &str) -> String {
        if path.starts_with("http://") || path.starts_with("https://") {
            crate::text::line(path)
        } else {
            format!(
                "{}/{}",
                self.base,
                crate::text::line(path).trim_start_matches('/')
            )
        }
    }

    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Fail> {
        json(self.send(self.request(Method::GET, path)).await?).await
    }

    pub async fn text(&self, path: &str) -> Result<String, Fail> {
        self.send(self.request(Method::GET, path))
            .await?
            .text()
            .await
            .map_err(|e| self.unreachable(&e))
    }

    /// Sends a body and reads the answer.
    pub async fn post<B: Serialize, T: DeserializeOwned>(
        &self,
        path: &str,
        body: &B,
        headers: &[(&'static str, &str)],
    ) -> Result<T, Fail> {
        let mut request = self.request(Method::POST, path).json(body);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        json(self.send(request).await?).await
    }

    /// Sends a body; the answer does not matter.
    pub async fn put<B: Serialize>(
        &self,
        method: Method,
        path: &str,
        body: &B,
    ) -> Result<(), Fail> {
        let request = self.request(method, path).json(body);
        self.send(request).await.map(|_| ())
    }

    /// A request without a body whose answer does not matter.
    pub async fn call(&self, method: Method, path: &str) -> Result<(), Fail> {
        self.send(self.request(method, path)).await.map(|_| ())
    }

    /// The bytes of a log from `offset` on.
    pub async fn log(&self, attempt: i64, name: &str, offset: u64) -> Result<LogPiece, Fail> {
        let path = format!(
            "/api/v1/attempts/{attempt}/log/{}?offset={offset}",
            segment(name)
        );
        let response = self.send(self.request(Method::GET, &path)).await?;
        let header = |name: &str| {
            response
                .headers()
                .get(name)
                .and_then(|v| v.to_str().ok())
                .map(String::from)
        };
        let live = header("x-log-live").as_deref() == Some("true");
        let total = header("x-log-total").and_then(|v| v.parse().ok());
        let bytes = response
            .bytes()
            .await
            .map_err(|e| self.unreachable(&e))?
            .to_vec();
        let seen = offset + bytes.len() as u64;
        Ok(LogPiece {
            bytes,
            live,
            total: total.unwrap_or(seen),
        })
    }

    /// The bytes of an answer, at most `limit` of them.
    pub async fn bytes(&self, path: &str, limit: u64) -> Result<Vec<u8>, Fail> {
        let mut response = self.send(self.request(Method::GET, path)).await?;
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|e| self.unreachable(&e))? {
            bytes.extend_from_slice(&chunk);
            if bytes.len() as u64 > limit {
                return Err(Fail::Data(format!("{path} has more than {limit} bytes")));
            }
        }
        Ok(bytes)
    }

    /// All that is stored of a log.
    pub async fn whole_log(&self, attempt: i64, name: &str) -> Result<Vec<u8>, Fail> {
        let mut bytes = Vec::new();
        loop {
            let piece = self.log(attempt, name, bytes.len() as u64).await?;
            bytes.extend_from_slice(&piece.bytes);
            if piece.bytes.is_empty() || bytes.len() as u64 >= piece.total {
                return Ok(bytes);
            }
        }
    }

    /// Repeats `ask` while the server cannot be reached or is starting, for at
    /// most the patience given on the command line; `say` hears of it once per outage.
    pub async fn patiently<T, F, S>(&self, mut ask: F, mut say: S) -> Result<T, Fail>
    where
        F: AsyncFnMut() -> Result<T, Fail>,
        S: FnMut(&str),
    {
        let began = Instant::now();
        let mut said = false;
        loop {
            let why = match ask().await {
                Ok(value) => {
                    if said {
                        say("the server is back");
                    }
                    return Ok(value);
                }
                Err(Fail::Unavailable(why) | Fail::Infrastructure(why)) => why,
                Err(other) => return Err(other),
            };
            if began.elapsed() >= self.patience {
                return Err(Fail::Infrastructure(format!(
                    "{why}; gave up after {}",
                    crate::text::seconds(began.elapsed().as_secs())
                )));
            }
            if !said {
                say(&format!("{why}; trying again"));
                said = true;
            }
            let left = self.patience.saturating_sub(began.elapsed());
            tokio::time::sleep(PAUSE.min(left)).await;
        }
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let mut request = self.http.request(method, format!("{}{path}", self.base));
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        request
    }

    async fn send(&self, request: RequestBuilder) -> Result<Response, Fail> {
        let response = request.send().await.map_err(|e| self.unreachable(&e))?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let body = response.bytes().await.unwrap_or_default();
        Err(match serde_json::from_slice::<Problem>(&body) {
            Ok(problem) => Fail::from_problem(&problem),
            Err(_) => self.refused(status),
        })
    }

    fn refused(&self, status: StatusCode) -> Fail {
        let sentence = format!("{} answers {status}", self.base);
        if status.is_client_error() {
            Fail::Data(sentence)
        } else {
            Fail::Infrastructure(sentence)
        }
    }

    fn unreachable(&self, error: &reqwest::Error) -> Fail {
        let mut cause: &dyn std::error::Error = error;
        while let Some(source) = cause.source() {
            cause = source;
        }
        Fail::Unavailable(format!("no answer from {}: {cause}", self.base))
    }
}

async fn json<T: DeserializeOwned>(response: Response) -> Result<T, Fail> {
    let body = response
        .bytes()
        .await
        .map_err(|e| Fail::Unavailable(format!("the answer broke off: {e}")))?;
    serde_json::from_slice(&body).map_err(|e| {
        Fail::Infrastructure(format!(
            "the server's answer is not understood ({e}); is it the same version?"
        ))
    })
}

/// The token: from the named file, `FIRSTBAD_TOKEN`, or the file `firstbad up` wrote.
fn token(file: Option<&Path>) -> Result<Option<String>, Fail> {
    if let Some(file) = file {
        return crate::input::text(file, TOKEN_BYTES).map(|t| Some(t.trim().to_string()));
    }
    if let Some(token) = std::env::var_os("FIRSTBAD_TOKEN") {
        return Ok(token.into_string().ok().map(|t| t.trim().to_string()));
    }
    let Ok(data) = crate::place::data(None) else {
        return Ok(None);
    };
    Ok(std::fs::read_to_string(data.join("token"))
        .ok()
        .map(|t| t.trim().to_string()))
}

/// `http://host/jobs/42` → `http://host`.
fn origin(typed: &str) -> Option<String> {
    let rest = typed
        .strip_prefix("http://")
        .or_else(|| typed.strip_prefix("https://"))?;
    let host = rest.split('/').next()?;
    let scheme = typed.split(':').next()?;
    (!host.is_empty()).then(|| format!("{scheme}://{host}"))
}

/// One path segment, percent-encoded.
pub fn segment(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'~' => out.push(byte.into()),
            b'.' if text != "." && text != ".." => out.push('.'),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

/// `42`, `#42` or `http://host/jobs/42…` → 42; `what` is `jobs` or `attempts`.
pub fn id(typed: &str, what: &str) -> Result<i64, Fail> {
    let digits = if typed.contains('/') {
        let path = typed.split(['?', '#']).next().unwrap_or(typed);
        let mut parts = path.split('/').skip_while(|p| *p != what).skip(1);
        parts.next().unwrap_or_default()
    } else {
        typed.trim_start_matches('#')
    };
    match digits.parse::<i64>() {
        Ok(id) if id > 0 && digits.bytes().all(|b| b.is_ascii_digit()) => Ok(id),
        _ => Err(Fail::Usage(format!(
            "{} is neither a number nor an address with /{what}/NUMBER",
            crate::text::line(typed)
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_come_as_numbers_or_addresses() {
        for typed in [
            "42",
            "#42",
            "http://127.0.0.1:8610/jobs/42",
            "https://b.example/jobs/42/report?x=1#y",
            "/api/v1/jobs/42",
        ] {
            assert_eq!(id(typed, "jobs").unwrap(), 42, "{typed}");
        }
        for typed in [
            "",
            "-1",
            "+4",
            "0",
            "x",
            "http://h/trees/42",
            "http://h/jobs/",
        ] {
            assert_eq!(id(typed, "jobs").unwrap_err().code(), 64, "{typed}");
        }
    }

    #[test]
    fn an_address_names_its_server() {
        assert_eq!(
            origin("https://b.example:1/jobs/42").as_deref(),
            Some("https://b.example:1")
        );
        assert_eq!(origin("42"), None);
        assert_eq!(origin("http:///jobs/1"), None);
    }

    #[test]
    fn segments_cannot_leave_their_place() {
        assert_eq!(segment("linux-6.12_x~"), "linux-6.12_x~");
        assert_eq!(segment("../a?b"), "..%2Fa%3Fb");
        assert_eq!(segment(".."), "%2E%2E");
    }
}
