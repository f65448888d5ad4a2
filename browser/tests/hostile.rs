//! Hostile texts in every place that shows a text from elsewhere, put there as people, trees and
//! workers put them, and then looked at in a real browser.
#![allow(clippy::unwrap_used)]

#[path = "../../server/tests/it/common/mod.rs"]
mod common;
mod texts;

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use common::browser::{PASSWORD, account};
use common::{FakeWorker, Seen, TestServer, git, request};
use firstbad_api::lease::Work;
use firstbad_api::observation::{
    BuildObservation, CaseResult, CaseStatus, Crash, CrashKind, Finish, Subtest,
};
use firstbad_server::tasks::advance_jobs;
use futures_util::{StreamExt, stream};
use reqwest::StatusCode;
use serde_json::{Value, json};
use texts::{encoded, one_line, read_corpus, shown, shown_bytes};

/// Requests under way at once.
const AT_ONCE: usize = 4;

/// Pages to look at, with the texts that are to be read on them.
#[derive(Default)]
struct Pages(Vec<Value>);

impl Pages {
    fn add(&mut self, path: impl Into<String>, holds: Vec<String>) {
        self.0.push(json!({ "path": path.into(), "holds": holds }));
    }

    fn add_settled(&mut self, path: impl Into<String>) {
        self.0.push(json!({ "path": path.into(), "settle": true }));
    }
}

/// A line of commits: each subject, author, tag and file is a hostile text. Those of the one in the
/// middle are its message, its files and what is in them. Returns the commits, and where the middle is.
fn write_history(repo: &Path, corpus: &[Vec<u8>]) -> (Vec<String>, usize) {
    std::fs::create_dir_all(repo).unwrap();
    git(repo, &["init", "-q", "--bare", "-b", "main"]);
    let mut stream: Vec<u8> = Vec::new();
    let data = |stream: &mut Vec<u8>, bytes: &[u8]| {
        stream.extend(format!("data {}\n", bytes.len()).as_bytes());
        stream.extend(bytes);
        stream.push(b'\n');
    };
    let middle = corpus.len() / 2;
    for (n, text) in corpus.iter().enumerate() {
        let text = one_line(text);
        // What git itself takes out of a name.
        let name: Vec<u8> = text
            .iter()
            .copied()
            .filter(|b| !b"<>\n\0".contains(b))
            .collect();
        stream.extend(b"commit refs/heads/main\n");
        for role in ["author", "committer"] {
            stream.extend(role.as_bytes());
            stream.push(b' ');
            stream.extend(&name);
            stream.extend(b" <x@example.org> 1700000000 +0000\n");
        }
        let mut message = text.clone();
        if n == middle {
            message = b"the culprit <script>canary()</script>\n\n".to_vec();
            for text in corpus {
                message.extend(one_line(text));
                message.push(b'\n');
            }
        }
        message.retain(|b| *b != 0);
        data(&mut stream, &message);
        if n == 0 {
            stream.extend(b"M 100644 inline Kconfig\n");
            data(&mut stream, b"config BTRFS_FS\n\tbool \"b\"\n");
        }
        if n == middle {
            for (n, text) in corpus.iter().enumerate() {
                let name = one_line(text)
                    .iter()
                    .flat_map(|b| match b {
                        b'/' | 0 => b"_".to_vec(),
                        b'"' | b'\\' => vec![b'\\', *b],
                        _ => vec![*b],
                    })
                    .collect::<Vec<u8>>();
                stream.extend(format!("M 100644 inline \"{n} ").as_bytes());
                stream.extend(&name);
                stream.extend(b"\"\n");
                data(&mut stream, &[&one_line(text)[..], b"\n"].concat());
            }
        } else {
            stream.extend(format!("M 100644 inline f{}\n", n % 7).as_bytes());
            data(&mut stream, format!("{n}\n").as_bytes());
        }
    }
    let mut child = Command::new("git")
        .args(["fast-import", "--quiet"])
        .current_dir(repo)
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(&stream).unwrap();
    assert!(child.wait().unwrap().success());
    let revs = git(repo, &["rev-list", "--reverse", "main"]);
    let revs: Vec<String> = revs.lines().map(str::to_owned).collect();
    let named = corpus
        .iter()
        .zip(&revs)
        .filter(|(text, _)| fits_a_tag(text));
    let tags: String = named
        .map(|(text, rev)| format!("create refs/tags/{} {rev}\n", String::from_utf8_lossy(text)))
        .collect();
    assert!(tags.lines().count() > 20, "{tags}");
    let mut child = Command::new("git")
        .args(["update-ref", "--stdin"])
        .current_dir(repo)
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(tags.as_bytes())
        .unwrap();
    assert!(child.wait().unwrap().success());
    (revs, middle)
}

/// Whether git takes it as the name of a reference; those that would be in each other's way are not.
fn fits_a_tag(text: &[u8]) -> bool {
    let plain = |b: &u8| b.is_ascii_graphic() && !b"~^:?*[\\/.@".contains(b);
    text.len() < 200 && text.iter().all(plain) && !text.starts_with(b"-")
}

/// A worker whose every word is hostile, until no job has work left. Returns an attempt of each kind.
async fn work(
    worker: &mut FakeWorker<'_>,
    revs: &[String],
    middle: usize,
    corpus: &[Vec<u8>],
) -> (i64, i64) {
    let log: &'static [u8] = Box::leak(corpus.join(&b'\n').into_boxed_slice());
    let all: Vec<String> = corpus
        .iter()
        .map(|text| String::from_utf8_lossy(text).into_owned())
        .collect();
    let (mut build, mut test) = (0, 0);
    let mut idle = 0;
    while idle < 2 {
        advance_jobs::tick(&worker.server.app).await.unwrap();
        let Some(lease) = worker.lease().await else {
            idle += 1;
            continue;
        };
        idle = 0;
        let finish = match &lease.work {
            Work::Build(work) => {
                let told = if build == 0 { &all[..] } else { &[] };
                if build == 0 {
                    assert!(worker.put_log(&lease, "build", 0, log).await);
                    build = lease.fence.attempt;
                }
                let image = match work.fixups.is_empty() {
                    true => work.rev.clone(),
                    false => revs[0].clone(),
                };
                Finish::Build {
                    observation: BuildObservation::Built {
                        signature: format!("{}{image}", all[1]),
                        image_sha256: format!("image-of-{image}"),
                        config_sha256: all[2].clone(),
                        release: all[3].clone(),
                        lost_symbols: told.to_vec(),
                        objects_built: 1,
                        ccache_hits: 0,
                        archives: vec![],
                    },
                }
            }
            Work::Test(work) => {
                let rev = work.image_sha256.strip_prefix("image-of-").unwrap();
                let fails = revs.iter().position(|r| r == rev).unwrap() >= middle;
                let mut observation = common::test(Seen::Clean, work);
                // One of them tells everything; the bad end is run first.
                let told = if fails && test == 0 { all.len() } else { 12 };
                let told = &all[..told];
                observation.cases = told.iter().map(|name| hostile_case(name, fails)).collect();
                if fails && test == 0 {
                    assert!(worker.put_log(&lease, "console", 0, log).await);
                    test = lease.fence.attempt;
                    observation.left = all.clone();
                    observation.crashes = all.iter().map(|t| crash(t)).collect();
                }
                Finish::Test { observation }
            }
        };
        assert_eq!(worker.finish(&lease, finish).await, StatusCode::NO_CONTENT);
    }
    (build, test)
}

fn hostile_case(name: &str, fails: bool) -> CaseResult {
    CaseResult {
        pattern: Some(name.to_owned()),
        tail: name.to_owned(),
        dmesg: vec![name.to_owned()],
        subtests: vec![Subtest {
            name: name.to_owned(),
            status: CaseStatus::Fail,
        }],
        ..common::case(name, fails)
    }
}

fn crash(title: &str) -> Crash {
    Crash {
        kind: CrashKind::Other,
        title: title.to_owned(),
        offset: 0,
        excerpt: title.to_owned(),
    }
}

/// Workers whose names and tools are hostile.
async fn workers(server: &TestServer, corpus: &[String]) {
    for five in corpus.chunks(5) {
        let mut words: Vec<String> = five.iter().map(|w| w.chars().take(90).collect()).collect();
        words.resize(5, "x".to_owned());
        let body = json!({
            "worker": uuid::Uuid::new_v4(),
            "name": words[0].replace(char::is_control, "?"),
            "caps": {
                "arch": words[1], "cpus": 1, "memory_mib": 1, "accel": words[2],
                "accel_why": words[3], "toolchain": words[4], "qemu_version": words[0],
                "toolset": words[1], "kinds": ["test"],
            },
        });
        let answer = server.worker_post("/workers", &body).await;
        assert!(answer.status().is_success() || answer.status().is_client_error());
    }
}

/// Sends requests, a few at a time; what is refused has to be refused as a mistake of the sender's.
/// Returns which were taken.
async fn send(server: &TestServer, path: &str, bodies: Vec<Value>) -> Vec<bool> {
    let send = |body: Value| async move {
        let answer = server.post(path, &body).await;
        let status = answer.status();
        let told = answer.text().await.unwrap();
        assert!(!status.is_server_error(), "{path} {body}: {status} {told}");
        status.is_success()
    };
    stream::iter(bodies)
        .map(send)
        .buffered(AT_ONCE)
        .collect()
        .await
}

/// Titles of jobs. One holds several texts: a job for each would take a minute.
async fn titles(server: &TestServer, revs: &[String], corpus: &[String], pages: &mut Pages) {
    let (nul, corpus): (Vec<&String>, Vec<&String>) = corpus.iter().partition(|t| t.contains('\0'));
    let mut titles: Vec<String> = Vec::new();
    for text in corpus {
        match titles.last_mut() {
            Some(title) if title.chars().count() + text.chars().count() < 200 => {
                title.push(' ');
                title.push_str(text);
            }
            _ => titles.push(text.clone()),
        }
    }
    let titled = |title: &String| {
        let mut body = request("hostile", &revs[0], &revs[1]);
        body["title"] = json!(title);
        // Else all of them would join the first.
        body["fresh"] = json!(true);
        body
    };
    let refused = send(server, "/jobs", nul.into_iter().map(titled).collect()).await;
    assert!(!refused.contains(&true), "no title has a NUL");
    let taken = send(server, "/jobs", titles.iter().map(titled).collect()).await;
    assert!(!taken.contains(&false));
    let title = |text: &String| shown(&text.chars().take(200).collect::<String>());
    pages.add("/", titles.iter().map(title).collect());
}

/// A job at whose every revision a person says why it is skipped. Returns the job.
async fn marks(
    server: &TestServer,
    body: &Value,
    revs: &[String],
    corpus: &[String],
    pages: &mut Pages,
) -> i64 {
    let job = server.submit(body).await;
    let mark = |(rev, text): (&String, &String)| json!({ "rev": rev, "mark": "skip", "why": text });
    let bodies = revs.iter().zip(corpus).skip(1).map(mark).collect();
    let taken = send(server, &format!("/jobs/{job}/marks"), bodies).await;
    let whys = corpus.iter().skip(1).zip(taken).filter(|(_, taken)| *taken);
    let whys: Vec<String> = whys.map(|(text, _)| shown(text)).collect();
    assert!(
        whys.len() > corpus[1..revs.len()].len() / 2,
        "{}",
        whys.len()
    );
    pages.add(format!("/jobs/{job}"), whys.clone());
    pages.add(format!("/jobs/{job}/act"), whys);
    job
}

/// A test of a user's own, and what else a request says in words of its own.
async fn own_test(
    server: &TestServer,
    revs: &[String],
    middle: usize,
    corpus: &[String],
    pages: &mut Pages,
) {
    let text = corpus.join("\n").replace('\0', "");
    let svg = corpus
        .iter()
        .position(|t| t == "<svg onload=canary()>")
        .unwrap();
    let mut body = request("hostile", &revs[middle - 1], &revs[middle]);
    body["suite"] = json!("custom");
    body["custom"] = json!({
        "kind": "script", "name": "<script>canary()", "content": text,
        "patterns": { "fails_when": "<img src=x onerror=canary\\(\\)>" },
    });
    body["paths"] = json!([format!("{svg} {}", corpus[svg])]);
    let job = server.submit(&body).await;
    pages.add(format!("/jobs/{job}"), text.lines().map(shown).collect());
}

/// What was typed into fields, search boxes and addresses: every text in a field, one in eight elsewhere.
fn queries(build: i64, raw: &[Vec<u8>], pages: &mut Pages) {
    const FIELDS: [&str; 12] = [
        "tree",
        "good",
        "bad",
        "suite",
        "cases",
        "crash",
        "metric",
        "threshold",
        "fragment",
        "skip",
        "paths",
        "bisect_log",
    ];
    for some in raw.chunks(FIELDS.len()) {
        let fields = FIELDS.iter().zip(some);
        let fields = fields.map(|(name, text)| format!("{name}={}", encoded(text)));
        let path = format!("/jobs/new?{}", fields.collect::<Vec<_>>().join("&"));
        // The two that are chosen from a list are not shown when they are not on it.
        // A field has one line.
        let line = |text: &Vec<u8>| !text.iter().any(|b| b"\r\n".contains(b));
        let shown = FIELDS.iter().zip(some);
        let shown = shown.filter(|(name, text)| !["tree", "suite"].contains(name) && line(text));
        pages.add(path, shown.map(|(_, text)| shown_bytes(text)).collect());
    }
    let short = raw.iter().filter(|text| text.len() < 1500);
    for (n, text) in short.step_by(8).enumerate() {
        let text = encoded(text);
        let path = match n % 7 {
            0 => format!("/?state={text}&q={text}"),
            1 => format!("/attempts/{build}/log/build?q={text}"),
            2 => format!("/attempts/{build}/log/{text}"),
            3 => format!("/attempts/{build}/log/build?list={text}&offset={text}"),
            4 => format!("/login?next={text}"),
            5 => format!("/trees/{text}"),
            _ => format!("/jobs/{text}"),
        };
        pages.add(path, vec![]);
    }
}

/// Pages of what the worker told and of what the tree holds.
fn found(job: i64, build: i64, test: i64, raw: &[Vec<u8>], pages: &mut Pages) {
    let lines: Vec<String> = raw.iter().map(|t| shown_bytes(&one_line(t))).collect();
    let texts: Vec<String> = raw
        .iter()
        .map(|t| shown_bytes(t).replace('\u{2400}', "\u{fffd}"))
        .collect();
    pages.add(format!("/jobs/{job}"), vec![]);
    let (_, kept): (Vec<_>, Vec<_>) = lines
        .into_iter()
        .partition(|line| line.contains('\u{2400}'));
    pages.add(format!("/jobs/{job}/culprit"), kept);
    pages.add(format!("/jobs/{job}/report"), vec![]);
    pages.add(format!("/jobs/{job}/bisect-log"), vec![]);
    pages.add(format!("/attempts/{build}?job={job}"), texts.clone());
    pages.add(format!("/attempts/{test}?job={job}"), texts);
    // A log leaves out what terminals take for orders, and colours what they colour.
    let plain = raw
        .iter()
        .filter(|t| !t.contains(&0x1b) && !t.contains(&b'\n'));
    let plain = plain.map(|t| shown_bytes(t).replace('\r', "\u{240d}"));
    pages.add(format!("/attempts/{build}/log/build"), plain.collect());
    pages.add(
        format!("/attempts/{test}/log/console?offset=tail&job={job}"),
        vec![],
    );
    pages.add(format!("/attempts/{build}/log/build/raw"), vec![]);
    for path in [
        "/workers",
        "/trees",
        "/trees/hostile",
        "/surveys",
        "/audit",
        "/tokens",
        "/help",
    ] {
        pages.add(path, vec![]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_texts_do_nothing_but_be_read() {
    let raw = read_corpus();
    assert!(raw.len() >= 300, "{}", raw.len());
    let lossy = |text: &Vec<u8>| String::from_utf8_lossy(text).into_owned();
    let corpus: Vec<String> = raw.iter().map(lossy).collect();
    let server = TestServer::start().await;
    account(&server, "alice", "admin").await;
    let tree = server.dir.path().join("hostile");
    let (revs, middle) = write_history(&tree, &raw);
    let body = json!({ "name": "hostile", "url": tree.to_str().unwrap() });
    let answer = server.post("/trees", &body).await;
    assert_eq!(
        answer.status(),
        StatusCode::CREATED,
        "{}",
        answer.text().await.unwrap()
    );

    let mut pages = Pages::default();
    let whole = request("hostile", &revs[0], &revs[revs.len() - 1]);
    let job = server.submit(&whole).await;
    let mut worker = server.register().await;
    let (build, test) = work(&mut worker, &revs, middle, &raw).await;
    found(job, build, test, &raw, &mut pages);
    // A range that no one can test is told commit by commit.
    let few = request("hostile", &revs[0], &revs[60]);
    let range = marks(&server, &few, &revs[..60], &corpus, &mut Pages::default()).await;
    work(&mut worker, &revs, 0, &raw).await;
    // Nothing is said of a revision with a control character, so that it is tested.
    let said = corpus[1..60]
        .iter()
        .filter(|t| !t.contains(char::is_control));
    let subjects = said.map(|t| shown(t));
    pages.add(format!("/jobs/{range}"), subjects.collect());
    workers(&server, &corpus).await;
    let mut again = whole.clone();
    again["seed"] = json!(7);
    let open = marks(
        &server,
        &again,
        &revs[..revs.len() - 1],
        &corpus,
        &mut pages,
    )
    .await;
    pages.add_settled(format!("/jobs/{open}"));
    titles(&server, &revs, &corpus, &mut pages).await;
    own_test(&server, &revs, middle, &corpus, &mut pages).await;
    queries(build, &raw, &mut pages);
    look(&server, &pages).await;
}

/// Has the browser look at the pages.
async fn look(server: &TestServer, pages: &Pages) {
    let dir = server.dir.path();
    let (list, password) = (dir.join("pages.json"), dir.join("password"));
    std::fs::write(&list, serde_json::to_vec(&pages.0).unwrap()).unwrap();
    std::fs::write(&password, PASSWORD).unwrap();
    let mut browser = tokio::process::Command::new(env!("CARGO_BIN_EXE_firstbad-browser"));
    browser
        .args(["hostile", "--server", &server.url, "--user", "alice"])
        .arg("--pages")
        .arg(list)
        .arg("--password-file")
        .arg(password);
    if let Ok(out) = std::env::var("FIRSTBAD_PAGES") {
        browser.args(["--out", &out]);
    }
    assert!(browser.status().await.unwrap().success());
}
