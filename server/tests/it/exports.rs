//! What a job found in the forms of others, each read by a program that is not ours.

use std::io::Write;
use std::process::{Command, Stdio};

use firstbad_api::artefact::{INITRAMFS_BASE, INITRAMFS_RUN};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::common::{FakeWorker, Seen, TestServer, git, request};

const SERVER: &str = "https://bisect.example.org";
const HOSTILE: &str = "</title><script>alert(1)</script> & \u{1b}[31m ]]> \u{202e}\"'";

/// A Python program with a text on its standard input; what it printed.
fn python(program: &str, text: &[u8]) -> String {
    let python = std::env::var_os("FIRSTBAD_TEST_PYTHON").unwrap_or_else(|| {
        panic!("FIRSTBAD_TEST_PYTHON is not set: run `make test`, or set it to what scripts/python.sh prints")
    });
    let mut child = Command::new(python)
        .args(["-c", program])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(text).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    String::from_utf8(output.stdout).unwrap()
}

async fn get(server: &TestServer, path: &str) -> (u16, Vec<u8>) {
    let answer = server.http.get(format!("{}{path}", server.url)).send();
    let answer = answer.await.unwrap();
    let status = answer.status().as_u16();
    (status, answer.bytes().await.unwrap().to_vec())
}

async fn ended(server: &TestServer, more: Value) -> (i64, Vec<String>) {
    let revs = server.tree("line", 12).await;
    let mut body = request("line", &revs[0], &revs[11]);
    let more = more.as_object().unwrap().clone();
    body.as_object_mut().unwrap().extend(more);
    let job = server.submit(&body).await;
    let mut worker = FakeWorker {
        config: Some(|_| "CONFIG_X=y\n"),
        ..server.register().await
    };
    let seen = |rev: &str, _: u64| match revs.iter().position(|r| r == rev) {
        Some(at) if at >= 7 => Seen::Fails,
        Some(5) => Seen::DoesNotBuild,
        _ => Seen::Clean,
    };
    worker.work_all(seen).await;
    (job, revs)
}

#[tokio::test]
async fn kcidb_takes_the_report_and_finds_the_culprit_in_it() {
    let server = TestServer::start_as(false, Some(SERVER)).await;
    let (job, revs) = ended(&server, json!({ "title": HOSTILE })).await;
    let (status, report) = get(&server, &format!("/api/v1/jobs/{job}/kcidb?origin=my_ci")).await;
    assert_eq!(status, 200);
    // The published schema, with formats, and what it links.
    let said = python(
        "import json, sys\n\
         import jsonschema\n\
         from kcidb_io import schema\n\
         data = json.load(sys.stdin)\n\
         assert (schema.LATEST.major, schema.LATEST.minor) == (5, 3), schema.LATEST\n\
         checker = jsonschema.FormatChecker()\n\
         jsonschema.validate(data, schema.LATEST.json, format_checker=checker)\n\
         schema.LATEST.validate_exactly(data)\n\
         ids = {k: {o['id'] for o in data[k]} for k in ('checkouts', 'builds', 'tests', 'issues')}\n\
         assert all(len(ids[k]) == len(data[k]) for k in ids)\n\
         assert all(b['checkout_id'] in ids['checkouts'] for b in data['builds'])\n\
         assert all(t['build_id'] in ids['builds'] for t in data['tests'])\n\
         assert all(i['test_id'] in ids['tests'] and i['issue_id'] in ids['issues'] for i in data['incidents'])\n\
         print(data['issues'][0]['misc']['culprit_commits'][0])",
        &report,
    );
    assert_eq!(said.trim(), revs[7]);
    let report: Value = serde_json::from_slice(&report).unwrap();
    let told = server.job(job).await;
    let runs = |verdict: &str| {
        let tests = told.candidates.iter().flat_map(|c| &c.tests);
        tests.filter(|t| t.verdict == verdict).count()
    };
    let of = |list: &str, status: &str| {
        let all = report[list].as_array().unwrap().iter();
        all.filter(|o| o["status"] == status).count()
    };
    assert!(runs("bad") > 0 && runs("good") > 0);
    assert_eq!(of("tests", "FAIL"), runs("bad"));
    assert_eq!(of("tests", "PASS"), runs("good"));
    assert_eq!(report["incidents"].as_array().unwrap().len(), runs("bad"));
    let build = &report["builds"][0];
    let config = build["config_url"].as_str().unwrap();
    assert!(config.starts_with(&format!("{SERVER}/api/v1/artefacts/")));
    // A result that is taken back is a newer version, which says that it is not there.
    let body = json!({ "reason": "wrong" });
    let done = server.post(&format!("/jobs/{job}/retract"), &body).await;
    assert!(done.status().is_success());
    let (_, report) = get(&server, &format!("/api/v1/jobs/{job}/kcidb")).await;
    let report: Value = serde_json::from_slice(&report).unwrap();
    assert_eq!(report["issues"][0]["version"], 2);
    assert_eq!(report["incidents"][0]["present"], false);
    let (status, _) = get(&server, &format!("/api/v1/jobs/{job}/kcidb?origin=My-CI")).await;
    assert_eq!(status, 422);
}

#[tokio::test]
async fn junit_and_the_feed_are_xml_whatever_a_job_is_called() {
    let server = TestServer::start_as(false, Some(SERVER)).await;
    let (job, _) = ended(&server, json!({ "title": HOSTILE })).await;
    let (status, xml) = get(&server, &format!("/api/v1/jobs/{job}/junit")).await;
    assert_eq!(status, 200);
    let read = "import json, sys\n\
         import xml.etree.ElementTree as E\n\
         root = E.fromstring(sys.stdin.buffer.read())\n\
         cases = root.findall('testsuite/testcase')\n\
         kind = lambda c: [e.tag for e in c]\n\
         assert len(cases) == int(root.get('tests'))\n\
         count = lambda how: sum(kind(c) == [how] for c in cases)\n\
         for how, name in [('failure', 'failures'), ('error', 'errors'), ('skipped', 'skipped')]: assert count(how) == int(root.get(name)), how\n\
         print(json.dumps([root.get('name'), kind(cases[0]), cases[0][0].get('message')]))";
    let said: Value = serde_json::from_str(&python(read, &xml)).unwrap();
    let title = HOSTILE.replace('\u{1b}', " ");
    let sentence = server.job(job).await.sentence;
    assert_eq!(said, json!([title, ["failure"], sentence]));

    let mut private = request("line", "main~3", "main");
    private["private"] = json!(true);
    private["title"] = json!("SECRET");
    let other = server.submit(&private).await;
    let mut worker = server.register().await;
    worker.work_all(|_, _| Seen::Clean).await;
    let state = "SELECT state::text FROM job WHERE id = $1";
    let state = sqlx::query_scalar::<_, String>(state).bind(other);
    assert_eq!(state.fetch_one(&server.app.pool).await.unwrap(), "done");
    let (status, feed) = get(&server, "/jobs.atom").await;
    assert_eq!(status, 200);
    let read = "import json, sys\n\
         import xml.etree.ElementTree as E\n\
         A = '{http://www.w3.org/2005/Atom}'\n\
         root = E.fromstring(sys.stdin.buffer.read())\n\
         assert root.tag == A + 'feed'\n\
         for of in [root, *root.findall(A + 'entry')]: assert all(len(of.findall(A + need)) == 1 for need in ('id', 'title', 'updated'))\n\
         print(json.dumps([[e.find(A + 'title').text, e.find(A + 'link').get('href'), e.find(A + 'summary').text]\n\
           for e in root.findall(A + 'entry')]))";
    let said: Value = serde_json::from_str(&python(read, &feed)).unwrap();
    let page = format!("{SERVER}/jobs/{job}");
    assert_eq!(said, json!([[title, page, sentence]]));
    let (_, page) = get(&server, "/").await;
    let page = String::from_utf8(page).unwrap();
    assert!(page.contains("type=\"application/atom+xml\"") && page.contains("href=\"/jobs.atom\""));
}

fn campaign(url: &str, good: &str, bad: &str) -> Value {
    json!({
        "contract_version": "campaign-request/v1",
        "regression_type": "unit_test",
        "source_tree": { "url": url },
        "boundaries": { "good": { "commit": good }, "bad": { "commit": bad } },
        "scope": {
            "arch": "x86_64",
            "kernel_config": { "target": "tinyconfig", "fragments": [] },
            "toolchain": { "name": "gcc" },
            "sut": "qemu",
            "workload": { "name": "btrfs/direct-io", "configuration": { "cases": ["unaligned"] } }
        },
        "expected_signal": { "type": "test_failure", "signature": "unaligned" },
        "search_policy": { "type": "bisect", "parameters": {} }
    })
}

#[tokio::test]
async fn a_campaign_is_a_job_and_what_cannot_be_one_is_refused_by_field() {
    let server = TestServer::start().await;
    let revs = server.tree("line", 12).await;
    let url = server.dir.path().join("line");
    let url = url.to_str().unwrap();
    let whole = campaign(&format!("{url}/"), &revs[0], &revs[11]);
    let answer = server.post("/campaigns", &whole).await;
    assert_eq!(answer.status(), 201);
    let made: Value = answer.json().await.unwrap();
    assert_eq!(made, json!({ "campaign_ref": "1", "created": true }));
    let again = server.post("/campaigns", &whole).await;
    assert_eq!(again.status(), 200);
    let again: Value = again.json().await.unwrap();
    assert_eq!(again, json!({ "campaign_ref": "1", "created": false }));
    let request = server.job(1).await.request;
    assert_eq!(
        (request.tree.as_str(), request.suite.as_str()),
        ("line", "btrfs/direct-io")
    );
    assert_eq!(request.cases, ["unaligned"]);
    let signal = serde_json::to_value(&request.signal).unwrap();
    assert_eq!(signal, json!({ "kind": "cases", "cases": ["unaligned"] }));

    let performance = |metric: Value, baseline: Value| {
        json!([
            ["/regression_type", "performance"],
            ["/expected_signal", { "type": "performance_change", "metric": metric, "baseline_value": baseline }],
        ])
    };
    let metric = json!({ "name": "mb_s", "unit": "MB/s", "higher_is_better": true });
    for (changes, field) in [
        (
            json!([["/contract_version", "campaign-request/v2"]]),
            "/contract_version",
        ),
        (json!([["/regression_type", "build"]]), "/regression_type"),
        (
            json!([["/source_tree/url", "https://example.org/other.git"]]),
            "/source_tree/url",
        ),
        (
            json!([["/boundaries/good/commit", "nothing"]]),
            "/boundaries/good/commit",
        ),
        (
            json!([["/boundaries/bad/commit", "nothing"]]),
            "/boundaries/bad/commit",
        ),
        (json!([["/scope/arch", "arm64"]]), "/scope/arch"),
        (json!([["/scope/sut", "thinkpad"]]), "/scope/sut"),
        (
            json!([["/scope/toolchain/name", "clang"]]),
            "/scope/toolchain/name",
        ),
        (
            json!([["/scope/kernel_config/target", "allyesconfig"]]),
            "/scope/kernel_config/target",
        ),
        (
            json!([["/scope/kernel_config/fragments", ["x.config"]]]),
            "/scope/kernel_config/fragments",
        ),
        (
            json!([["/scope/workload/name", "no/suite"]]),
            "/scope/workload/name",
        ),
        (
            json!([["/scope/workload/configuration", { "threads": 4 }]]),
            "/scope/workload/configuration",
        ),
        (
            json!([["/scope/workload/configuration", { "cases": ["none"] }]]),
            "/scope/workload/configuration",
        ),
        (
            json!([["/expected_signal/type", "exit_code"]]),
            "/expected_signal/type",
        ),
        (
            json!([["/search_policy/type", "n_bisect"]]),
            "/search_policy/type",
        ),
        (
            json!([["/search_policy/parameters", { "n": 3 }]]),
            "/search_policy/parameters",
        ),
        (
            performance(metric.clone(), Value::Null),
            "/expected_signal/baseline_value",
        ),
        (
            performance(Value::Null, json!(1.0)),
            "/expected_signal/metric",
        ),
    ] {
        let mut wrong = whole.clone();
        for change in changes.as_array().unwrap() {
            *wrong.pointer_mut(change[0].as_str().unwrap()).unwrap() = change[1].clone();
        }
        let problem = server.refusal("/campaigns", &wrong).await;
        assert_eq!(problem.pointer.as_deref(), Some(field), "{problem:?}");
    }
    assert_eq!(
        get(&server, "/api/v1/jobs/2").await.0,
        404,
        "nothing was made"
    );
    let mut fast = whole.clone();
    for change in performance(metric, json!(900.5)).as_array().unwrap() {
        *fast.pointer_mut(change[0].as_str().unwrap()).unwrap() = change[1].clone();
    }
    fast["scope"]["workload"] = json!({ "name": "btrfs/dio-perf" });
    let answer = server.post("/campaigns", &fast).await;
    assert_eq!(answer.status(), 201, "{}", answer.text().await.unwrap());
}

#[tokio::test]
async fn a_run_is_had_as_an_archive_of_the_same_bytes_each_time() {
    let server = TestServer::start_as(false, Some(SERVER)).await;
    let (job, _) = ended(&server, json!({})).await;
    let told = server.job(job).await;
    let tests = told.candidates.iter().flat_map(|c| &c.tests);
    let attempt = tests.map(|t| t.attempt).next().unwrap();
    let path = format!("/api/v1/attempts/{attempt}/reproduce.tar");
    // The fake worker stores no kernel.
    assert_eq!(get(&server, &path).await.0, 409);
    let hash = |bytes: &[u8]| hex::encode(Sha256::digest(bytes));
    let image = vec![7_u8; 700_000];
    let parts: [(&str, &[u8]); 2] = [(INITRAMFS_BASE, b"base"), (INITRAMFS_RUN, b"and run")];
    let pool = &server.app.pool;
    let store = async |bytes: &[u8]| {
        let chunks = futures_util::stream::iter([Ok::<_, std::io::Error>(bytes.to_vec())]);
        server
            .app
            .store
            .put_artefact(&hash(bytes), chunks)
            .await
            .unwrap();
    };
    store(&image).await;
    for (name, bytes) in parts {
        store(bytes).await;
        let insert =
            "INSERT INTO artefact (attempt_id, name, sha256, bytes) VALUES ($1, $2, $3, $4)";
        let size = i64::try_from(bytes.len()).unwrap();
        let insert = sqlx::query(insert)
            .bind(attempt)
            .bind(name)
            .bind(hash(bytes))
            .bind(size);
        insert.execute(pool).await.unwrap();
    }
    let set = "UPDATE attempt SET observation = jsonb_set(observation, '{run,image_sha256}', to_jsonb($2::text)) WHERE id = $1";
    sqlx::query(set)
        .bind(attempt)
        .bind(hash(&image))
        .execute(pool)
        .await
        .unwrap();
    let (status, tar) = get(&server, &path).await;
    assert_eq!(status, 200, "{}", String::from_utf8_lossy(&tar));
    assert!(tar == get(&server, &path).await.1, "other bytes");
    let dir = server.dir.path().join("unpacked");
    std::fs::create_dir(&dir).unwrap();
    let mut unpack = Command::new("tar");
    unpack.args(["x", "-C"]).arg(&dir).stdin(Stdio::piped());
    let mut unpack = unpack.spawn().unwrap();
    unpack.stdin.take().unwrap().write_all(&tar).unwrap();
    assert!(unpack.wait().unwrap().success());
    let dir = dir.join(format!("firstbad-attempt-{attempt}"));
    let file = |name: &str| std::fs::read(dir.join(name)).unwrap();
    assert_eq!(file("bzImage"), image);
    assert_eq!(file("initramfs.cpio"), b"baseand run");
    let script = String::from_utf8(file("run.sh")).unwrap();
    assert!(
        script.contains("-kernel bzImage -initrd initramfs.cpio "),
        "{script}"
    );
    assert!(!script.contains("{{"), "{script}");
    let shell = Command::new("sh")
        .arg("-n")
        .arg(dir.join("run.sh"))
        .status();
    assert!(shell.unwrap().success());
    let (_, page) = get(&server, &format!("/attempts/{attempt}")).await;
    let page = String::from_utf8(page).unwrap();
    let command = format!("curl -sSf {SERVER}{path} | tar x");
    assert!(page.contains(&command), "{page}");
}

#[tokio::test]
async fn the_log_of_a_real_git_bisect_leaves_what_git_has_left() {
    let server = TestServer::start().await;
    let revs = server.tree("line", 40).await;
    let repo = server.dir.path().join("line");
    for steps in [
        &["start"][..],
        &["bad", &revs[39]],
        &["good", &revs[0]],
        &["good", &revs[19]],
        &["skip", &revs[25]],
        &["bad", &revs[30]],
    ] {
        git(&repo, &[&["bisect"][..], steps].concat());
    }
    let log = git(&repo, &["bisect", "log"]);
    let left = [
        "rev-list",
        "--count",
        "refs/bisect/bad",
        "--not",
        "--glob=refs/bisect/good-*",
    ];
    let left: usize = git(&repo, &left).parse().unwrap();
    let stands = firstbad_api::bisect_log::read(&log).unwrap();
    assert_eq!(
        (stands.bad.as_str(), &stands.skip[..]),
        (revs[30].as_str(), &revs[25..26])
    );
    let mut body = request("line", "", &stands.bad);
    body["good"] = json!(stands.good);
    body["skip"] = json!(stands.skip);
    let job = server.submit(&body).await;
    assert_eq!(server.job(job).await.range.revisions, left);
    let mut worker = server.register().await;
    let seen = |rev: &str, _: u64| match revs.iter().position(|r| r == rev) {
        Some(at) if at >= 27 => Seen::Fails,
        _ => Seen::Clean,
    };
    let ended = worker.work(job, seen).await;
    assert!(
        ended.sentence.starts_with(&revs[27][..12]),
        "{}",
        ended.sentence
    );
    let between = |rev: &String| {
        let at = revs.iter().position(|r| r == rev).unwrap();
        (20..=30).contains(&at) && at != 25
    };
    // The ends that the log names are looked at; nothing else that its steps have settled is.
    let ends: Vec<&String> = stands.good.iter().chain([&stands.bad]).collect();
    for c in ended.candidates.iter().filter(|c| c.build.is_some()) {
        assert!(between(&c.rev) || ends.contains(&&c.rev), "{c:?}");
    }
}
