//! Read-only smart HTTP for the mirrors: workers fetch exact commits from here.
//!
//! Owns `/git/<tree>.git/…`. Must not know: Postgres, jobs. git itself runs in [`crate::repo`].

use std::io::Write;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use flate2::write::GzDecoder;
use futures_util::StreamExt;
use serde::Deserialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStdin};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::io::ReaderStream;

use crate::repo::{RepoError, Repos};

/// Packs made at once; further requests wait.
const AT_ONCE: usize = 8;
/// One request body after decoding, bytes: wants and haves of a negotiation.
const BODY_BYTES: usize = 64 << 20;
/// Time for one pack, however slow the line.
const DEADLINE: Duration = Duration::from_secs(4 * 3600);

#[derive(Clone)]
struct Git {
    repos: Repos,
    slots: Arc<Semaphore>,
}

const REFS: &str = "/git/{tree}/info/refs";
const UPLOAD_PACK: &str = "/git/{tree}/git-upload-pack";
const RECEIVE_PACK: &str = "/git/{tree}/git-receive-pack";

/// What [`router`] serves.
pub fn routes() -> [(Method, &'static str); 3] {
    [
        (Method::GET, REFS),
        (Method::POST, UPLOAD_PACK),
        (Method::POST, RECEIVE_PACK),
    ]
}

/// The routes; writing is refused. Who may use them is not its business.
pub fn router(repos: Repos) -> Router {
    let slots = Arc::new(Semaphore::new(AT_ONCE));
    Router::new()
        .route(REFS, get(advertise))
        .route(UPLOAD_PACK, post(upload_pack))
        .route(RECEIVE_PACK, post(|| async { read_only() }))
        .with_state(Git { repos, slots })
}

#[derive(Deserialize)]
struct Service {
    #[serde(default)]
    service: String,
}

async fn advertise(
    State(git): State<Git>,
    Path(tree): Path<String>,
    Query(query): Query<Service>,
    headers: HeaderMap,
) -> Response {
    match query.service.as_str() {
        "git-upload-pack" => {}
        "git-receive-pack" => return read_only(),
        _ => {
            return refuse(
                StatusCode::FORBIDDEN,
                "only the smart protocol is spoken here",
            );
        }
    }
    let mut preamble = Vec::new();
    if protocol(&headers).is_none_or(|p| !p.split(':').any(|w| w == "version=2")) {
        preamble.extend_from_slice(b"001e# service=git-upload-pack\n0000");
    }
    let args = ["--stateless-rpc", "--http-backend-info-refs"];
    match start(&git, &tree, &args, &headers).await {
        Ok((running, stdin)) => {
            drop(stdin);
            answer(
                "application/x-git-upload-pack-advertisement",
                preamble,
                running,
            )
        }
        Err(refusal) => refusal,
    }
}

async fn upload_pack(
    State(git): State<Git>,
    Path(tree): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let is = |name, value: &str| {
        headers
            .get(name)
            .is_some_and(|v: &header::HeaderValue| v == value)
    };
    if !is(
        header::CONTENT_TYPE,
        "application/x-git-upload-pack-request",
    ) {
        return refuse(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "not a git-upload-pack request",
        );
    }
    let gzip = is(header::CONTENT_ENCODING, "gzip") || is(header::CONTENT_ENCODING, "x-gzip");
    if !gzip && headers.contains_key(header::CONTENT_ENCODING) {
        return refuse(StatusCode::UNSUPPORTED_MEDIA_TYPE, "only gzip is decoded");
    }
    match start(&git, &tree, &["--stateless-rpc"], &headers).await {
        Ok((running, stdin)) => {
            // Both directions at once: git may answer before it has read all.
            tokio::spawn(feed(body, gzip, stdin));
            answer("application/x-git-upload-pack-result", Vec::new(), running)
        }
        Err(refusal) => refusal,
    }
}

/// A running `git upload-pack`; dropped with the response body, which ends it.
struct Running {
    child: Child,
    _slot: OwnedSemaphorePermit,
}

async fn start(
    git: &Git,
    tree: &str,
    args: &[&str],
    headers: &HeaderMap,
) -> Result<(Running, Option<ChildStdin>), Response> {
    let no_tree = || refuse(StatusCode::NOT_FOUND, "there is no such tree");
    let name = tree.strip_suffix(".git").ok_or_else(no_tree)?;
    let failed = |why: String| {
        tracing::error!(%tree, why, "git upload-pack failed");
        refuse(StatusCode::INTERNAL_SERVER_ERROR, "git cannot be run")
    };
    let mut command = match git.repos.upload_pack(name, args, protocol(headers)) {
        Ok(command) => command,
        Err(RepoError::NotFound) => return Err(no_tree()),
        Err(error) => return Err(failed(error.to_string())),
    };
    let slot = git.slots.clone().acquire_owned().await;
    let slot = slot.map_err(|e| failed(e.to_string()))?;
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|e| failed(e.to_string()))?;
    let stdin = child.stdin.take();
    if let Some(stderr) = child.stderr.take() {
        let tree = tree.to_owned();
        tokio::spawn(async move {
            let mut text = String::new();
            let mut stderr = stderr.take(8 << 10);
            let _ = stderr.read_to_string(&mut text).await;
            if !text.trim().is_empty() {
                tracing::warn!(tree, said = text.trim(), "git upload-pack");
            }
            let _ = tokio::io::copy(&mut stderr.into_inner(), &mut tokio::io::sink()).await;
        });
    }
    Ok((Running { child, _slot: slot }, stdin))
}

fn answer(kind: &'static str, preamble: Vec<u8>, mut running: Running) -> Response {
    let Some(stdout) = running.child.stdout.take() else {
        return refuse(StatusCode::INTERNAL_SERVER_ERROR, "git has no output");
    };
    let first = futures_util::stream::iter([Ok(Bytes::from(preamble))]);
    let rest = ReaderStream::with_capacity(stdout, 64 << 10)
        .take_until(tokio::time::sleep(DEADLINE))
        // The child lives as long as the stream that reads it.
        .map(move |chunk| {
            let _alive = &running;
            chunk
        });
    let headers = [
        (header::CONTENT_TYPE, kind),
        (
            header::CACHE_CONTROL,
            "no-cache, max-age=0, must-revalidate",
        ),
    ];
    (headers, Body::from_stream(first.chain(rest))).into_response()
}

/// Copies the request body to git; a broken or oversize body ends its input, and git complains.
async fn feed(body: Body, gzip: bool, stdin: Option<ChildStdin>) {
    let Some(mut stdin) = stdin else { return };
    let mut decoder = gzip.then(|| GzDecoder::new(Vec::new()));
    let mut stream = body.into_data_stream();
    let mut fed = 0;
    while let Some(Ok(chunk)) = stream.next().await {
        // Small pieces, so that a compressed bomb meets the limit before it fills memory.
        for piece in chunk.chunks(4 << 10) {
            let decoded = match &mut decoder {
                None => piece.to_vec(),
                Some(decoder) => match decoder.write_all(piece).and_then(|()| decoder.flush()) {
                    Ok(()) => std::mem::take(decoder.get_mut()),
                    Err(_) => return,
                },
            };
            fed += decoded.len();
            if fed > BODY_BYTES || stdin.write_all(&decoded).await.is_err() {
                return;
            }
        }
    }
    if let Some(mut decoder) = decoder
        && decoder.try_finish().is_ok()
    {
        let _ = stdin.write_all(decoder.get_ref()).await;
    }
}

/// The `Git-Protocol` header when it is of git's own alphabet.
fn protocol(headers: &HeaderMap) -> Option<&str> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"=:.-".contains(&b);
    headers
        .get("git-protocol")
        .and_then(|v| v.to_str().ok())
        .filter(|v| v.len() <= 64 && v.bytes().all(plain))
}

fn read_only() -> Response {
    refuse(StatusCode::FORBIDDEN, "the mirrors are read-only")
}

fn refuse(status: StatusCode, why: &'static str) -> Response {
    (
        status,
        [(header::CONTENT_TYPE, "text/plain")],
        format!("{why}\n"),
    )
        .into_response()
}
