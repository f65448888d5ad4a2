//! A real server on a real database and a real repository, with a fake worker.
#![allow(dead_code, clippy::expect_used)]

pub mod browser;
pub mod ladder;

use std::path::{Path, PathBuf};
use std::process::Command;

use firstbad_api::artefact::{COMPILED, UploadQuery};
use firstbad_api::job::{Created, Job};
use firstbad_api::lease::{FinishRequest, Lease, LeaseRequest, TestWork, Work};
use firstbad_api::limits::Timing;
use firstbad_api::observation::*;
use firstbad_api::problem::Problem;
use firstbad_api::qemu::{self, Engine};
use firstbad_api::worker::{Capabilities, Register, Registered};
use firstbad_server::run::{ServerConfig, prepare, router};
use firstbad_server::state::App;
use firstbad_server::tasks;
use reqwest::StatusCode;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use uuid::Uuid;

/// A server listening on loopback, without its background tasks: tests call the ticks.
pub struct TestServer {
    pub app: App,
    pub url: String,
    pub http: reqwest::Client,
    pub dir: tempfile::TempDir,
    pub token: String,
    pub worker_token: String,
}

impl TestServer {
    pub async fn start() -> TestServer {
        TestServer::start_as(false, None).await
    }

    /// A server that asks readers for an account too, or that is reached under an address.
    pub async fn start_as(private: bool, address: Option<&str>) -> TestServer {
        TestServer::start_with(|config| {
            config.private = private;
            config.url = address.map(str::to_owned);
        })
        .await
    }

    /// A server that is started differently; `listen` has the address already.
    pub async fn start_with(change: impl FnOnce(&mut ServerConfig)) -> TestServer {
        let database = firstbad_server::pg::test_database()
            .await
            .expect("Postgres: scripts/setup.sh installs it");
        let pool = sqlx::postgres::PgPoolOptions::new()
            .max_connections(6)
            .connect_with(database.options)
            .await
            .unwrap();
        let dir = tempfile::tempdir().unwrap();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let listen = listener.local_addr().unwrap();
        let mut config = ServerConfig {
            data: dir.path().join("data"),
            listen,
            database_url: None,
            timing: Timing {
                long_poll_ms: 50,
                // On a busy machine, too, a worker is alive from one step of a test to the next.
                ttl_ms: Timing::DEFAULT.ttl_ms,
                ..Timing::DRILL
            },
            private: false,
            url: None,
            webhook_allow: vec!["127.0.0.0/8".parse().unwrap()],
            oidc: None,
        };
        change(&mut config);
        std::fs::create_dir_all(&config.data).unwrap();
        let app = prepare(pool, &config).await.unwrap();
        let url = format!("http://{listen}");
        let service = router(app.clone());
        tokio::spawn(async move { axum::serve(listener, service).await });
        let read = |name: &str| std::fs::read_to_string(config.data.join(name)).unwrap();
        TestServer {
            token: read("token"),
            worker_token: read("worker-token"),
            app,
            url,
            http: reqwest::Client::new(),
            dir,
        }
    }

    pub async fn post(&self, path: &str, body: &Value) -> reqwest::Response {
        self.post_keyed(path, body, None).await
    }

    pub async fn post_keyed(
        &self,
        path: &str,
        body: &Value,
        key: Option<&str>,
    ) -> reqwest::Response {
        let mut request = self
            .http
            .post(format!("{}/api/v1{path}", self.url))
            .bearer_auth(&self.token)
            .json(body);
        if let Some(key) = key {
            request = request.header("Idempotency-Key", key);
        }
        request.send().await.unwrap()
    }

    pub async fn worker_post<T: serde::Serialize>(
        &self,
        path: &str,
        body: &T,
    ) -> reqwest::Response {
        let request = self.http.post(format!("{}/api/v1{path}", self.url));
        request
            .bearer_auth(&self.worker_token)
            .json(body)
            .send()
            .await
            .unwrap()
    }

    pub async fn worker_put(
        &self,
        path: &str,
        query: &UploadQuery,
        body: &'static [u8],
    ) -> reqwest::Response {
        let request = self.http.put(format!("{}/api/v1{path}", self.url));
        request
            .query(query)
            .bearer_auth(&self.worker_token)
            .body(body)
            .send()
            .await
            .unwrap()
    }

    /// The refusal of a request that must be refused.
    pub async fn refusal(&self, path: &str, body: &Value) -> Problem {
        let answer = self.post(path, body).await;
        assert!(
            answer.status().is_client_error(),
            "{path} {body}: {}",
            answer.status()
        );
        assert_eq!(answer.headers()["content-type"], "application/problem+json");
        answer.json().await.unwrap()
    }

    /// A job of its own, even if another one has the same question.
    pub async fn submit(&self, body: &Value) -> i64 {
        let mut body = body.clone();
        body["fresh"] = json!(true);
        let answer = self.post("/jobs", &body).await;
        let status = answer.status();
        let text = answer.text().await.unwrap();
        assert_eq!(status, StatusCode::CREATED, "{text}");
        serde_json::from_str::<Created>(&text).unwrap().id
    }

    /// What an operator reads there.
    pub async fn get<T: serde::de::DeserializeOwned>(&self, path: &str) -> T {
        let asked = self.http.get(format!("{}/api/v1{path}", self.url));
        let answer = asked.bearer_auth(&self.token).send().await.unwrap();
        assert!(answer.status().is_success(), "{path} {}", answer.status());
        answer.json().await.unwrap()
    }

    pub async fn job(&self, id: i64) -> Job {
        self.get(&format!("/jobs/{id}")).await
    }

    /// A line of commits that all change one file.
    pub async fn tree(&self, name: &str, n: usize) -> Vec<String> {
        self.tree_of(name, n, |_| "f".to_owned()).await
    }

    /// A line of commits; `file` says which one each of them writes.
    pub async fn tree_of(
        &self,
        name: &str,
        n: usize,
        file: impl Fn(usize) -> String,
    ) -> Vec<String> {
        let repo = self.dir.path().join(name);
        let revs = line_of_commits(&repo, n, file);
        let body = json!({ "name": name, "url": repo.to_str().unwrap() });
        let answer = self.post("/trees", &body).await;
        assert_eq!(
            answer.status(),
            StatusCode::CREATED,
            "{}",
            answer.text().await.unwrap()
        );
        revs
    }

    pub async fn register(&self) -> FakeWorker<'_> {
        self.register_as(Uuid::new_v4()).await
    }

    pub async fn register_as(&self, id: Uuid) -> FakeWorker<'_> {
        self.register_with(id, "tools fake").await
    }

    /// A worker with these host programs.
    pub async fn register_with(&self, id: Uuid, toolset: &str) -> FakeWorker<'_> {
        let register = Register {
            worker: id,
            name: "fake".to_owned(),
            caps: Capabilities {
                arch: "x86_64".to_owned(),
                cpus: 1,
                memory_mib: 1024,
                accel: "tcg".to_owned(),
                accel_why: "fake".to_owned(),
                toolchain: "gcc fake".to_owned(),
                qemu_version: "qemu fake".to_owned(),
                toolset: toolset.to_owned(),
                kinds: vec!["build".to_owned(), "test".to_owned()],
            },
        };
        let answer = self.worker_post("/workers", &register).await;
        let registered: Registered = answer.json().await.unwrap();
        assert_eq!(registered.incarnation, self.app.incarnation);
        FakeWorker {
            server: self,
            id,
            leases: 0,
            same: vec![],
            compiled: None,
            config: None,
            says: None,
            lies: false,
        }
    }
}

/// Leases like a worker and makes its observations up.
pub struct FakeWorker<'a> {
    pub server: &'a TestServer,
    pub id: Uuid,
    pub leases: usize,
    /// Revisions with one kernel; the oracle is asked about the first of them.
    pub same: Vec<String>,
    /// The sources every kernel is said to be compiled from.
    pub compiled: Option<&'static str>,
    /// The `.config` of the kernel built from a revision.
    pub config: Option<fn(&str) -> &'static str>,
    /// The log of everything it does.
    pub says: Option<&'static str>,
    /// No run of it prints what another one of the same did.
    pub lies: bool,
}

impl FakeWorker<'_> {
    pub async fn lease(&mut self) -> Option<Lease> {
        let request = LeaseRequest {
            worker: self.id,
            kinds: vec!["build".to_owned(), "test".to_owned()],
            free_bytes: u64::MAX / 2,
        };
        let answer = self.server.worker_post("/leases", &request).await;
        if answer.status() == StatusCode::NO_CONTENT {
            return None;
        }
        assert_eq!(answer.status(), StatusCode::OK);
        self.leases += 1;
        Some(answer.json().await.unwrap())
    }

    pub async fn put(&self, lease: &Lease, name: &str, bytes: &'static [u8]) {
        let fence = &lease.fence;
        let query = UploadQuery {
            attempt: fence.attempt,
            epoch: fence.epoch,
            incarnation: fence.incarnation,
            worker: fence.worker,
            name: name.to_owned(),
            offset: 0,
            sha256: hex::encode(Sha256::digest(bytes)),
            known: false,
        };
        let answer = self
            .server
            .worker_put("/attempts/artefact", &query, bytes)
            .await;
        assert!(answer.status().is_success(), "{}", answer.status());
    }

    /// Sends a part of a log; whether it was taken.
    pub async fn put_log(
        &self,
        lease: &Lease,
        name: &str,
        offset: u64,
        bytes: &'static [u8],
    ) -> bool {
        let fence = &lease.fence;
        let query = UploadQuery {
            attempt: fence.attempt,
            epoch: fence.epoch,
            incarnation: fence.incarnation,
            worker: fence.worker,
            name: name.to_owned(),
            offset,
            sha256: String::new(),
            known: false,
        };
        let put = self.server.worker_put("/attempts/log", &query, bytes);
        put.await.status().is_success()
    }

    pub async fn finish(&self, lease: &Lease, finish: Finish) -> StatusCode {
        if let Some(text) = self.says {
            let name = match lease.work {
                Work::Build(_) => "build",
                Work::Test(_) => "console",
            };
            assert!(self.put_log(lease, name, 0, text.as_bytes()).await);
        }
        let request = FinishRequest {
            fence: lease.fence,
            finish,
        };
        self.server
            .worker_post("/attempts/finish", &request)
            .await
            .status()
    }

    /// Works until the job ends. `oracle(rev, seed)` says what a run there sees. A flake of
    /// unknown rate takes some 450 runs at worst (`firstbad simulate`), the middle one 130.
    pub async fn work(&mut self, job: i64, oracle: impl Fn(&str, u64) -> Seen) -> Job {
        for _ in 0..1200 {
            tasks::advance_jobs::tick(&self.server.app).await.unwrap();
            let now = self.server.job(job).await;
            if now.outcome.is_some() {
                return now;
            }
            self.step(&oracle).await;
        }
        panic!("job {job} did not end: {:#?}", self.server.job(job).await);
    }

    /// Works until every job has ended, those too that others lead to.
    pub async fn work_all(&mut self, oracle: impl Fn(&str, u64) -> Seen) {
        for _ in 0..400 {
            tasks::advance_jobs::tick(&self.server.app).await.unwrap();
            tasks::leads_on::tick(&self.server.app).await.unwrap();
            let open = "SELECT count(*) FROM job WHERE ended_at IS NULL OR leads_on";
            let open: i64 = sqlx::query_scalar(open)
                .fetch_one(&self.server.app.pool)
                .await
                .unwrap();
            if open == 0 {
                return;
            }
            self.step(&oracle).await;
        }
        panic!("the jobs did not end");
    }

    /// Takes one lease, if there is one, and reports what the oracle says.
    pub async fn step(&mut self, oracle: &impl Fn(&str, u64) -> Seen) {
        if let Some(lease) = self.lease().await {
            let status = self.answer(&lease, oracle).await;
            assert_eq!(status, StatusCode::NO_CONTENT);
        }
    }

    /// Reports on a lease what the oracle says.
    pub async fn answer(&self, lease: &Lease, oracle: &impl Fn(&str, u64) -> Seen) -> StatusCode {
        if let (Work::Build(_), Some(list)) = (&lease.work, self.compiled) {
            self.put(lease, COMPILED, list.as_bytes()).await;
        }
        if let (Work::Build(work), Some(config)) = (&lease.work, self.config) {
            self.put(lease, "config", config(&work.rev).as_bytes())
                .await;
        }
        let finish = match &lease.work {
            Work::Build(work) if work.fixups.last().is_some_and(|p| p.contains(MENDS)) => {
                let image = format!("image-of-{}", work.rev);
                Finish::Build {
                    observation: build(&Seen::Clean, &work.rev, image),
                }
            }
            Work::Build(work) if !work.fixups.is_empty() => {
                let image = format!("image-of-{REVERTED}");
                Finish::Build {
                    observation: build(&oracle(REVERTED, 0), REVERTED, image),
                }
            }
            Work::Build(work) => {
                let kernel = match self.same.contains(&work.rev) {
                    true => &self.same[0],
                    false => &work.rev,
                };
                let image = format!("image-of-{kernel}");
                match oracle(kernel, 0) {
                    Seen::Lost => Finish::Infrastructure {
                        what: "the disk is full: fake".to_owned(),
                    },
                    seen => Finish::Build {
                        observation: build(&seen, kernel, image),
                    },
                }
            }
            Work::Test(work) => {
                let rev = work.image_sha256.strip_prefix("image-of-").unwrap();
                let mut observation = test(oracle(rev, work.seed), work);
                if self.lies {
                    observation.console_sha256 = format!("console {}", self.leases);
                }
                Finish::Test { observation }
            }
        };
        self.finish(lease, finish).await
    }
}

/// What the oracle is asked about instead of a revision: the last end with a commit taken back.
pub const REVERTED: &str = "reverted";

/// A patch that says so makes every revision build.
pub const MENDS: &str = "Subject: [PATCH] mends the build";

/// What the fake worker sees at a revision.
#[derive(Clone, Copy, PartialEq)]
pub enum Seen {
    Clean,
    Fails,
    /// The worker's own failure.
    Lost,
    DoesNotBuild,
    /// The base configuration that its tree should have is not there.
    NoConfig,
    BootPanic,
    OtherCrash,
    /// The same beside the failing case.
    FailsAndWarns,
    /// Every case is run and these fail.
    Failing(&'static [&'static str]),
    /// The metric `mb_s`, of which more is better.
    Speed(f64),
    /// The same on a host whose processors the machine waited for during this share of its time.
    Waited(f64, f64),
}

pub fn build(seen: &Seen, rev: &str, image: String) -> BuildObservation {
    let failed = match seen {
        Seen::DoesNotBuild => Some(("build", "fs/btrfs/file.c:1: error: fake")),
        Seen::NoConfig => Some(("configure", "no configuration in the tree: fake")),
        _ => None,
    };
    if let Some((stage, first_error)) = failed {
        return BuildObservation::Failed {
            stage: stage.to_owned(),
            first_error: first_error.to_owned(),
        };
    }
    BuildObservation::Built {
        signature: format!("signature-of-{rev}"),
        image_sha256: image,
        config_sha256: "c".to_owned(),
        release: "6.12.0".to_owned(),
        lost_symbols: vec![],
        objects_built: 1,
        ccache_hits: 0,
        archives: vec![],
    }
}

pub fn case(name: &str, fails: bool) -> CaseResult {
    CaseResult {
        case: name.to_owned(),
        status: match fails {
            true => CaseStatus::Fail,
            false => CaseStatus::Pass,
        },
        exit: i32::from(fails),
        duration_ms: 5,
        metrics: vec![],
        ktap: None,
        subtests: vec![],
        pattern: None,
        outside: None,
        tail: String::new(),
        dmesg: vec![],
    }
}

pub fn test(seen: Seen, work: &TestWork) -> TestObservation {
    let crash = |title: &str| Crash {
        kind: CrashKind::Warning,
        title: title.to_owned(),
        offset: 0,
        excerpt: String::new(),
    };
    let results = match seen {
        Seen::Failing(failing) => {
            let cases = work.suite.spec.case.iter().map(|c| c.name.as_str());
            cases.map(|c| case(c, failing.contains(&c))).collect()
        }
        Seen::Speed(value) | Seen::Waited(value, _) => {
            let mut result = case("throughput", false);
            result.metrics.push(Metric {
                name: "mb_s".to_owned(),
                value,
                unit: "MB/s".to_owned(),
                better: "higher".to_owned(),
            });
            vec![result]
        }
        _ => vec![case(
            "unaligned",
            matches!(seen, Seen::Fails | Seen::FailsAndWarns),
        )],
    };
    let up = seen != Seen::BootPanic;
    TestObservation {
        boot: if up {
            BootOutcome::Up
        } else {
            BootOutcome::Crashed
        },
        end: if up { RunEnd::PowerOff } else { RunEnd::Panic },
        cases: results,
        crashes: match seen {
            Seen::BootPanic => vec![crash("kernel panic: fake")],
            Seen::OtherCrash | Seen::FailsAndWarns => vec![crash("WARNING in elsewhere")],
            _ => vec![],
        },
        stray_lines: 0,
        left: vec![],
        run: qemu::inputs(
            work,
            Engine::of(work.shape.mode, false),
            String::new(),
            "qemu fake".to_owned(),
        )
        .unwrap(),
        console_sha256: String::new(),
        waited: match seen {
            Seen::Waited(_, share) => Some(share),
            _ => None,
        },
    }
}

pub fn git(repo: &Path, args: &[&str]) -> String {
    let output = Command::new("git")
        .current_dir(repo)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_AUTHOR_NAME", "A U Thor")
        .env("GIT_AUTHOR_EMAIL", "author@example.org")
        .env("GIT_COMMITTER_NAME", "A U Thor")
        .env("GIT_COMMITTER_EMAIL", "author@example.org")
        // One history has the same commit ids in every run, and so do the oracles that hash them.
        .env("GIT_AUTHOR_DATE", "2026-01-01T00:00:00Z")
        .env("GIT_COMMITTER_DATE", "2026-01-01T00:00:00Z")
        .args(args)
        .output()
        .expect("git: scripts/setup.sh installs it");
    assert!(
        output.status.success(),
        "git {args:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn line_of_commits(repo: &PathBuf, n: usize, file: impl Fn(usize) -> String) -> Vec<String> {
    std::fs::create_dir_all(repo).unwrap();
    git(repo, &["init", "-q", "-b", "main"]);
    std::fs::write(repo.join("Kconfig"), "config BTRFS_FS\n\tbool \"b\"\n").unwrap();
    git(repo, &["add", "."]);
    let mut revs = Vec::new();
    for i in 0..n {
        let file = repo.join(file(i));
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, format!("{i}\n")).unwrap();
        git(repo, &["add", "."]);
        git(repo, &["commit", "-q", "-m", &format!("commit {i}")]);
        revs.push(git(repo, &["rev-parse", "HEAD"]));
    }
    revs
}

/// A request for `btrfs/direct-io` between two revisions.
pub fn request(tree: &str, good: &str, bad: &str) -> Value {
    json!({ "tree": tree, "good": [good], "bad": bad, "suite": "btrfs/direct-io" })
}
