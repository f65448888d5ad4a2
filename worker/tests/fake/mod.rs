//! A fake server: the worker's side of the interface, in memory, with failures on request.

use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{Query, Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get, post, put};
use axum::{Json, Router};
use firstbad_api::artefact::UploadQuery;
use firstbad_api::lease::{
    Fence, FinishRequest, Lease, LeaseRequest, Renew, Renewed, StageEnd, Work,
};
use firstbad_api::limits::Timing;
use firstbad_api::problem::Problem;
use firstbad_api::worker::{Register, Registered};
use tokio::io::AsyncWriteExt;
use uuid::Uuid;

/// What a renewal is answered with.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum OnRenew {
    Fine,
    Cancel,
    Stale,
    Broken,
}

pub struct Books {
    pub on_renew: OnRenew,
    /// Requests to finish that are answered 503 before one is taken.
    pub finish_failures: u32,
    /// The worker is forgotten once: it must register again.
    pub forget_worker: bool,
    pub work: VecDeque<Work>,
    pub registered: Vec<Register>,
    pub renewals: Vec<Renew>,
    pub stages: Vec<StageEnd>,
    pub finishes: Vec<FinishRequest>,
    pub logs: BTreeMap<String, Vec<u8>>,
    pub artefacts: BTreeMap<String, (String, Vec<u8>)>,
    next: i64,
}

#[derive(Clone)]
pub struct Fake {
    books: Arc<Mutex<Books>>,
    pub incarnation: Uuid,
    pub url: String,
    git_root: PathBuf,
}

pub const TOKEN: &str = "fb_fake_token";

impl Fake {
    /// Serves on a free port; repositories are below `git_root`.
    pub async fn start(git_root: &Path) -> Fake {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let fake = Fake {
            books: Arc::new(Mutex::new(Books {
                on_renew: OnRenew::Fine,
                finish_failures: 0,
                forget_worker: false,
                work: VecDeque::new(),
                registered: vec![],
                renewals: vec![],
                stages: vec![],
                finishes: vec![],
                logs: BTreeMap::new(),
                artefacts: BTreeMap::new(),
                next: 1,
            })),
            incarnation: Uuid::new_v4(),
            url: format!("http://{}", listener.local_addr().unwrap()),
            git_root: git_root.to_owned(),
        };
        let router = Router::new()
            .route("/api/v1/workers", post(register))
            .route("/api/v1/leases", post(lease))
            .route("/api/v1/attempts/renew", post(renew))
            .route("/api/v1/attempts/stage", post(stage))
            .route("/api/v1/attempts/finish", post(finish))
            .route("/api/v1/attempts/log", put(log))
            .route("/api/v1/attempts/artefact", put(artefact))
            .route(
                "/api/v1/artefacts/{sha256}",
                get(|| async { StatusCode::NOT_FOUND }),
            )
            .route("/git/{*path}", any(git))
            .layer(axum::extract::DefaultBodyLimit::disable())
            .with_state(fake.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        fake
    }

    pub fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap()
    }

    /// Waits until `seen` is true of the books.
    pub async fn wait(&self, what: &str, seen: impl Fn(&Books) -> bool) {
        for _ in 0..1200 {
            if seen(&self.books()) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("waited too long for {what}");
    }
}

fn problem(status: StatusCode, kind: &str) -> Response {
    let body = Problem {
        kind: kind.to_owned(),
        title: kind.to_owned(),
        status: status.as_u16(),
        detail: format!("fake: {kind}"),
        pointer: None,
    };
    (status, Json(body)).into_response()
}

async fn register(
    State(fake): State<Fake>,
    headers: HeaderMap,
    Json(new): Json<Register>,
) -> Response {
    if headers.get("authorization").unwrap() != format!("Bearer {TOKEN}").as_str() {
        return problem(StatusCode::UNAUTHORIZED, "unauthorised");
    }
    fake.books().registered.push(new);
    Json(Registered {
        incarnation: fake.incarnation,
        timing: Timing::DRILL,
    })
    .into_response()
}

async fn lease(State(fake): State<Fake>, Json(asked): Json<LeaseRequest>) -> Response {
    let work = {
        let mut books = fake.books();
        if std::mem::take(&mut books.forget_worker) {
            return problem(StatusCode::NOT_FOUND, "unknown-worker");
        }
        books.work.pop_front()
    };
    let Some(work) = work else {
        tokio::time::sleep(Duration::from_millis(100)).await;
        return StatusCode::NO_CONTENT.into_response();
    };
    let mut books = fake.books();
    books.next += 1;
    let fence = Fence {
        attempt: books.next,
        epoch: 1,
        incarnation: fake.incarnation,
        worker: asked.worker,
    };
    Json(Lease {
        fence,
        ttl_ms: Timing::DRILL.ttl_ms,
        work,
    })
    .into_response()
}

async fn renew(State(fake): State<Fake>, Json(renew): Json<Renew>) -> Response {
    let mut books = fake.books();
    books.renewals.push(renew);
    match books.on_renew {
        OnRenew::Fine => Json(Renewed { cancel: false }).into_response(),
        OnRenew::Cancel => Json(Renewed { cancel: true }).into_response(),
        OnRenew::Stale => problem(StatusCode::CONFLICT, "stale-lease"),
        OnRenew::Broken => StatusCode::BAD_GATEWAY.into_response(),
    }
}

async fn stage(State(fake): State<Fake>, Json(end): Json<StageEnd>) -> StatusCode {
    fake.books().stages.push(end);
    StatusCode::NO_CONTENT
}

async fn finish(State(fake): State<Fake>, Json(end): Json<FinishRequest>) -> Response {
    let mut books = fake.books();
    if books.finish_failures > 0 {
        books.finish_failures -= 1;
        return problem(StatusCode::SERVICE_UNAVAILABLE, "unavailable");
    }
    books.finishes.push(end);
    StatusCode::NO_CONTENT.into_response()
}

async fn log(State(fake): State<Fake>, Query(query): Query<UploadQuery>, body: Bytes) -> Response {
    let mut books = fake.books();
    let log = books
        .logs
        .entry(format!("{}/{}", query.attempt, query.name))
        .or_default();
    if query.offset != log.len() as u64 {
        return problem(StatusCode::CONFLICT, "log-gap");
    }
    log.extend_from_slice(&body);
    StatusCode::NO_CONTENT.into_response()
}

async fn artefact(
    State(fake): State<Fake>,
    Query(query): Query<UploadQuery>,
    body: Bytes,
) -> Response {
    let mut books = fake.books();
    let known = |(sha256, bytes): &&(String, Vec<u8>)| {
        query.known && *sha256 == query.sha256 && !bytes.is_empty()
    };
    let body = match books.artefacts.values().find(known) {
        Some((_, bytes)) => bytes.clone(),
        None if query.known => return problem(StatusCode::NOT_FOUND, "unknown-artefact"),
        None => body.to_vec(),
    };
    books.artefacts.insert(query.name, (query.sha256, body));
    StatusCode::NO_CONTENT.into_response()
}

/// `git http-backend` as a CGI program.
async fn git(State(fake): State<Fake>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let header = |name: &str| {
        head.headers
            .get(name)
            .and_then(|v| v.to_str().ok())
            .unwrap_or("")
            .to_owned()
    };
    let mut child = tokio::process::Command::new("git")
        .arg("http-backend")
        .env("GIT_PROJECT_ROOT", &fake.git_root)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("PATH_INFO", head.uri.path().trim_start_matches("/git"))
        .env("QUERY_STRING", head.uri.query().unwrap_or(""))
        .env("REQUEST_METHOD", head.method.as_str())
        .env("CONTENT_TYPE", header("content-type"))
        .env("HTTP_CONTENT_ENCODING", header("content-encoding"))
        .env("GIT_PROTOCOL", header("git-protocol"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
    child.stdin.take().unwrap().write_all(&body).await.unwrap();
    let out = child.wait_with_output().await.unwrap().stdout;
    let end = out.windows(4).position(|w| w == b"\r\n\r\n").unwrap();
    let mut response = Response::builder();
    for line in String::from_utf8_lossy(&out[..end]).lines() {
        let (name, value) = line.split_once(": ").unwrap();
        response = match name {
            "Status" => response.status(value[..3].parse::<u16>().unwrap()),
            _ => response.header(name, value),
        };
    }
    response
        .body(axum::body::Body::from(out[end + 4..].to_vec()))
        .unwrap()
}
