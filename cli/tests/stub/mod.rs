//! A server that answers what a test tells it to.
#![allow(dead_code)] // each test uses a part

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

/// What one request carried.
#[derive(Debug, Clone)]
pub struct Seen {
    pub token: Option<String>,
    pub key: Option<String>,
    pub body: Value,
}

#[derive(Default)]
struct Script {
    answers: HashMap<String, (u16, Value)>,
    seen: Vec<Seen>,
    down: u32,
    log: VecDeque<Vec<u8>>,
}

/// Serves on a port of its own until the test ends.
pub struct Stub {
    pub url: String,
    script: Arc<Mutex<Script>>,
    _runtime: tokio::runtime::Runtime,
}

impl Stub {
    pub fn start() -> Stub {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let script = Arc::new(Mutex::new(Script::default()));
        let router = Router::new().fallback(serve).with_state(script.clone());
        let listener = runtime
            .block_on(tokio::net::TcpListener::bind("127.0.0.1:0"))
            .unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        runtime.spawn(async move { axum::serve(listener, router).await });
        Stub {
            url,
            script,
            _runtime: runtime,
        }
    }

    /// 200 with this body from now on; `what` is method and path.
    pub fn answer(&self, what: &str, body: Value) {
        let mut script = self.script.lock().unwrap();
        script.answers.insert(what.into(), (200, body));
    }

    /// A refusal.
    pub fn problem(&self, what: &str, status: u16, pointer: &str, detail: &str) {
        let mut body = json!({"type": "x", "title": "X", "status": status, "detail": detail});
        if !pointer.is_empty() {
            body["pointer"] = json!(pointer);
        }
        let mut script = self.script.lock().unwrap();
        script.answers.insert(what.into(), (status, body));
    }

    /// The next requests are answered 503.
    pub fn down_for(&self, requests: u32) {
        self.script.lock().unwrap().down = requests;
    }

    /// Pieces of a log, one a request; live until the last.
    pub fn log(&self, pieces: &[&[u8]]) {
        self.script.lock().unwrap().log = pieces.iter().map(|p| p.to_vec()).collect();
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.script.lock().unwrap().seen.clone()
    }
}

async fn serve(
    State(script): State<Arc<Mutex<Script>>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let mut script = script.lock().unwrap();
    let text = |name: &str| headers.get(name).map(|v| v.to_str().unwrap().to_string());
    script.seen.push(Seen {
        token: text("authorization"),
        key: text("idempotency-key"),
        body: serde_json::from_slice(&body).unwrap_or(Value::Null),
    });
    if script.down > 0 {
        script.down -= 1;
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    if uri.path().contains("/log/") {
        let piece = script.log.pop_front().unwrap_or_default();
        let live = (!script.log.is_empty()).to_string();
        return ([("x-log-live", live)], piece).into_response();
    }
    match script.answers.get(&format!("{method} {}", uri.path())) {
        Some((status, body)) => (
            StatusCode::from_u16(*status).unwrap(),
            [(header::CONTENT_TYPE, "application/json")],
            body.to_string(),
        )
            .into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

/// A job as the server shows it.
pub fn job(id: i64, outcome: Option<Value>) -> Value {
    let state = if outcome.is_some() { "done" } else { "running" };
    json!({
        "id": id, "title": "t", "state": state, "sentence": "testing",
        "request": {"tree": "linux", "good": ["v1"], "bad": "v2", "suite": "btrfs/smoke"},
        "range": {"good": ["1".repeat(40)], "bad": "2".repeat(40),
                  "revisions": 8, "merges": 1, "steps": 3},
        "left": 1, "step": 3, "steps": 3, "eta_s": null, "outcome": outcome,
        "cost": {"builds": 3, "builds_reused": 0, "boots": 3, "boots_reused": 1,
                 "build_ms": 60000, "test_ms": 9000},
        "candidates": [], "stage_ms": {"build": 60000}, "created_at": "2026-01-01T00:00:00Z",
        "ended_at": null
    })
}

pub fn culprit(rev: &str) -> Value {
    json!({"outcome": "culprit", "rev": rev, "subject": "s", "author": "a",
           "confidence": 0.99, "checks": []})
}

pub fn range(revs: &[&str]) -> Value {
    let candidates: Vec<Value> = revs
        .iter()
        .map(|rev| json!({"rev": rev, "subject": "s"}))
        .collect();
    json!({"outcome": "range", "candidates": candidates, "confidence": 0.9, "checks": []})
}

/// A job that had one revision built.
pub fn job_with_build(id: i64, rev: &str, build: i64) -> Value {
    let mut job = job(id, None);
    job["candidates"] = json!([{
        "rev": rev, "subject": "s", "position": 0, "verdict": "running", "why": "",
        "bad_runs": 0, "runs": 0, "build": build, "build_state": "leased",
        "build_reused": false, "signature": null, "tests": [], "metric": null, "reason": ""
    }]);
    job
}

/// A build that was leased twice.
pub fn attempt(id: i64, rev: &str) -> Value {
    let stage = |epoch: i32, stage: &str, ok: bool, ms: i64| json!({"epoch": epoch, "stage": stage, "duration_ms": ms, "ok": ok, "ended_at": "x"});
    json!({
        "id": id, "kind": "build", "state": "done", "epoch": 2, "tree": "linux", "rev": rev,
        "suite": null, "seed": null, "worker": null, "stage": null, "lease_losses": 1,
        "infra_failures": 0, "infra_what": null, "observation": null, "created_at": "x",
        "started_at": null, "ended_at": null, "artefacts": [], "logs": [],
        "stages": [stage(1, "source", true, 10), stage(2, "build", false, 20)]
    })
}
