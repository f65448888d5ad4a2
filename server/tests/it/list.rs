//! The list of jobs: search, filters, pages, and what it does not tell.

use std::collections::BTreeSet;

use firstbad_api::list::{JobList, JobsQuery};
use firstbad_server::tasks::advance_jobs;
use reqwest::StatusCode;
use serde_json::json;

use crate::common::browser::{Browser, PASSWORD, account};
use crate::common::{Seen, TestServer, git, request};

/// A tree whose commits have these authors and subjects, the first tagged `v1` and the last `v1.2`.
async fn tree(server: &TestServer, name: &str, commits: &[(&str, &str)]) -> Vec<String> {
    let repo = server.dir.path().join(name);
    std::fs::create_dir_all(&repo).unwrap();
    git(&repo, &["init", "-q", "-b", "main"]);
    std::fs::write(repo.join("Kconfig"), "config BTRFS_FS\n\tbool \"b\"\n").unwrap();
    git(&repo, &["add", "."]);
    let mut revs = Vec::new();
    for (n, (author, subject)) in commits.iter().enumerate() {
        std::fs::write(repo.join("f"), format!("{n}\n")).unwrap();
        git(&repo, &["add", "."]);
        let author = format!("--author={author} <a@example.org>");
        git(&repo, &["commit", "-q", "-m", subject, &author]);
        revs.push(git(&repo, &["rev-parse", "HEAD"]));
    }
    git(&repo, &["tag", "v1", &revs[0]]);
    git(&repo, &["tag", "v1.2"]);
    let body = json!({ "name": name, "url": repo.to_str().unwrap() });
    let answer = server.post("/trees", &body).await;
    assert_eq!(answer.status(), StatusCode::CREATED);
    revs
}

async fn list(server: &TestServer, token: Option<&str>, query: &JobsQuery) -> JobList {
    let url = format!("{}/api/v1/jobs?{}", server.url, query.encoded());
    let mut asked = server.http.get(url);
    if let Some(token) = token {
        asked = asked.bearer_auth(token);
    }
    let answer = asked.send().await.unwrap();
    let (status, text) = (answer.status(), answer.text().await.unwrap());
    assert_eq!(status, StatusCode::OK, "{query:?}: {text}");
    serde_json::from_str(&text).unwrap()
}

fn ids(list: &JobList) -> Vec<i64> {
    list.jobs.iter().map(|j| j.id).collect()
}

fn words(q: &str) -> JobsQuery {
    JobsQuery {
        q: q.to_owned(),
        ..JobsQuery::default()
    }
}

#[tokio::test]
async fn jobs_are_found_by_what_is_in_their_range_and_narrowed() {
    let server = TestServer::start().await;
    let one = [
        ("Ada Able", "Linux 1"),
        ("Ada Able", "btrfs: fix btrfs_drop_extents() for reflinks"),
        ("Grace Höpper", "ovl: do not leak the upper dentry"),
        ("Linus Tor", "Linux 1.2"),
    ];
    let two = [
        ("Bob Bee", "Linux 1"),
        ("Bob Bee", "net: 50% of _all_ packets"),
        ("Bob Bee", "Linux 1.2"),
    ];
    let first = tree(&server, "alpha", &one).await;
    let second = tree(&server, "beta", &two).await;
    let a = server.submit(&request("alpha", "v1", "v1.2")).await;
    let mut body = request("beta", &second[0], &second[2]);
    body["title"] = json!("Packets get lost in the reflinks of time");
    body["signal"] = json!({ "kind": "crash", "title": "KASAN in tcp_ack" });
    let b = server.submit(&body).await;
    let both = vec![b, a];
    for (q, found) in [
        ("", both.clone()),
        (&first[1][..], vec![a]),
        (&first[0][..7], vec![a]),
        (&second[2][..12], vec![b]),
        ("ffffffffffffffff", vec![]),
        ("drop_extents", vec![a]),
        ("btrfs_drop_ext", vec![a]),
        ("DROP_EXTENTS(", vec![a]),
        ("fix btrfs_drop_extents() for", vec![a]),
        ("reflinks", both.clone()),
        ("reflinks packets", vec![b]),
        ("leak lost", vec![]),
        ("höpper", vec![a]),
        ("ada", vec![a]),
        ("bob bee", vec![b]),
        ("a@example.org", both.clone()),
        ("v1.2", vec![a]),
        ("alpha", vec![a]),
        ("tcp_ack", vec![b]),
        ("direct-io", both.clone()),
        (&format!("#{b}"), vec![b]),
    ] {
        let told = list(&server, None, &words(q)).await;
        assert_eq!(ids(&told), found, "{q}");
        let counted = i64::try_from(found.len()).unwrap();
        assert_eq!(told.counts.now, counted, "{q}");
    }
    assert!(ids(&list(&server, None, &words(&a.to_string())).await).contains(&a));

    let mut worker = server.register().await;
    let done = worker.work(a, |_, _| Seen::Clean).await;
    assert_eq!(done.outcome.unwrap().name(), "not-reproduced");
    for (field, value, found) in [
        ("state", "done", vec![a]),
        ("state", "running", vec![b]),
        ("outcome", "not-reproduced", vec![a]),
        ("outcome", "culprit", vec![]),
        ("group", "person", vec![a]),
        ("group", "now", vec![b]),
        ("tree", "beta", vec![b]),
        ("tree", "gamma", vec![]),
        ("suite", "btrfs/direct-io", both.clone()),
        ("suite", "' OR true", vec![]),
        ("signal", "crash", vec![b]),
    ] {
        let query = serde_json::from_value(json!({ field: value })).unwrap();
        let told = list(&server, None, &query).await;
        assert_eq!(ids(&told), found, "{field}={value}");
    }
    // The list tells what the job tells, without loading it.
    advance_jobs::tick(&server.app).await.unwrap();
    let told = list(&server, None, &JobsQuery::default()).await;
    for listed in told.jobs {
        let job = server.job(listed.id).await;
        assert_eq!(listed.sentence, job.sentence);
        assert_eq!((listed.left, listed.state), (job.left, job.state));
        if job.outcome.is_none() {
            assert_eq!((listed.step, listed.steps), (job.step, job.steps));
        }
    }
    let (_, page) = Browser::new(&server).get("/?q=reflinks&state=").await;
    let place = |text: &str| page.find(text).unwrap_or_else(|| panic!("{text}: {page}"));
    assert!(place("Needs a person") < place(&format!("/jobs/{a}\"")));
    assert!(place(&format!("/jobs/{a}\"")) < place("Going on"));
    assert!(page.contains("2 jobs found") && page.contains("value=\"reflinks\""));
    let (_, none) = Browser::new(&server).get("/?q=nowhere").await;
    assert!(none.contains("No job is like that."));
}

#[tokio::test]
async fn a_job_is_found_by_a_function_that_the_named_commit_changes() {
    let server = TestServer::start().await;
    let name = |n: usize| format!("f{n}.c");
    let revs = server.tree_of("line", 6, name).await;
    let repo = server.dir.path().join("line");
    let source = "int btrfs_truncate_probe(int at)\n{\n\treturn at;\n}\n";
    std::fs::write(repo.join("inode.c"), source).unwrap();
    git(&repo, &["add", "."]);
    git(&repo, &["commit", "-q", "-m", "no word of it here"]);
    let culprit = git(&repo, &["rev-parse", "HEAD"]);
    let fetched = server.post("/trees/line/fetch", &json!({})).await;
    assert!(fetched.status().is_success());
    let job = server.submit(&request("line", &revs[0], &culprit)).await;
    let asked = words("btrfs_truncate_probe");
    assert!(ids(&list(&server, None, &asked).await).is_empty());
    let mut worker = server.register().await;
    worker
        .work_all(|rev, _| match rev == culprit {
            true => Seen::Failing(&["eof"]),
            false => Seen::Failing(&[]),
        })
        .await;
    assert_eq!(ids(&list(&server, None, &asked).await), [job]);
}

#[tokio::test]
async fn no_text_does_anything_but_find() {
    let server = TestServer::start().await;
    let revs = server.tree("line", 3).await;
    server.submit(&request("line", &revs[0], &revs[2])).await;
    let browser = Browser::new(&server);
    for q in [
        "%",
        "_",
        "__._",
        "'",
        "\"",
        "\\",
        "' OR '1'='1",
        "x'); DROP TABLE job; --",
        "a & !b | c:*",
        "<->",
        "((((",
        ":*",
        "@",
        "$9",
        "\u{1}\u{7f}\u{202e}",
        "😀 ß \u{e000}",
        &"x y ".repeat(50),
        &"a_b.".repeat(50),
        &"é".repeat(200),
    ] {
        let query = words(q);
        assert_eq!(list(&server, None, &query).await.jobs, [], "{q}");
        let (status, page) = browser.get(&format!("/?{}", query.encoded())).await;
        assert_eq!(status, StatusCode::OK, "{q}");
        assert!(page.contains("No job is like that."), "{q}");
    }
    let long = "a".repeat(10_000);
    for (query, why) in [
        (format!("q={long}"), "q: use at most 200 characters"),
        ("q=a%00b".to_owned(), "q: leave out the NUL"),
        (format!("tree={long}"), "tree: use at most"),
        ("suite=%00".to_owned(), "suite: use at most"),
        ("state=odd".to_owned(), "state: use one of running, queued"),
        ("group=odd".to_owned(), "group: use one of person, now"),
        ("outcome=odd".to_owned(), "outcome: use one of culprit"),
        ("signal=odd".to_owned(), "signal: use one of failure"),
        ("mine=1".to_owned(), "mine: nobody is signed in"),
        ("limit=0".to_owned(), "limit: use 1 to 200"),
        ("limit=1e3".to_owned(), "limit: use 1 to 200"),
        ("cursor=7".to_owned(), "cursor: use one that an answer gave"),
        (
            "cursor=b99999999999999999999".to_owned(),
            "cursor: use one that",
        ),
    ] {
        let (status, page) = browser.get(&format!("/?{query}")).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{why}");
        assert!(page.contains(why), "{why}: {page}");
        let (status, told) = browser.get(&format!("/api/v1/jobs?{query}")).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{why}");
        assert!(told.contains(why), "{why}: {told}");
    }
}

#[tokio::test]
async fn no_job_is_lost_or_told_twice_while_new_ones_come_in() {
    let server = TestServer::start().await;
    let revs = server.tree("line", 4).await;
    let body = request("line", &revs[0], &revs[3]);
    let mut there = BTreeSet::new();
    for _ in 0..25 {
        there.insert(server.submit(&body).await);
    }
    let mut query = JobsQuery {
        limit: "4".to_owned(),
        tree: "line".to_owned(),
        ..JobsQuery::default()
    };
    let mut told = Vec::new();
    loop {
        let page = list(&server, None, &query).await;
        told.extend(ids(&page));
        let Some(next) = page.next else { break };
        query.cursor = next;
        server.submit(&body).await;
    }
    assert!(told.is_sorted_by(|a, b| a > b), "{told:?}");
    assert_eq!(told.iter().copied().collect::<BTreeSet<_>>(), there);

    // The same by the links of the pages.
    let browser = Browser::new(&server);
    let (_, first) = browser.get("/?tree=line").await;
    let mut page = first;
    let mut linked = BTreeSet::new();
    loop {
        for part in page.split("<h3><a href=\"/jobs/").skip(1) {
            let id = part.split('"').next().unwrap().parse().unwrap();
            assert!(linked.insert(id), "{id} twice");
        }
        let next = page.split("rel=\"next\"").next().unwrap();
        if next.len() == page.len() {
            break;
        }
        let link = next.rsplit("href=\"").next().unwrap().trim_end();
        let link = link.trim_end_matches('"').replace("&#38;", "&");
        assert!(
            link.contains("tree=line") && link.contains("group=now"),
            "{link}"
        );
        server.submit(&body).await;
        page = browser.get(&link).await.1;
    }
    assert!(there.is_subset(&linked));
}

#[tokio::test]
async fn a_private_job_is_neither_found_nor_counted() {
    let server = TestServer::start().await;
    let commits = [("Eve Secretive", "one"), ("Eve Secretive", "hush_hush()")];
    let revs = tree(&server, "hidden", &commits).await;
    let mut body = request("hidden", &revs[0], &revs[1]);
    body["private"] = json!(true);
    body["title"] = json!("Whispers");
    let id = server.submit(&body).await;
    account(&server, "alice", "submitter").await;
    account(&server, "olga", "operator").await;
    let mut alice = Browser::new(&server);
    alice.sign_in("alice", PASSWORD).await;
    let mut olga = Browser::new(&server);
    olga.sign_in("olga", PASSWORD).await;
    let nobody = Browser::new(&server);
    let queries = [
        words("whispers"),
        words("hush_hush"),
        words("secretive"),
        words(&revs[1]),
        words(&format!("#{id}")),
        serde_json::from_value(json!({ "tree": "hidden" })).unwrap(),
        serde_json::from_value(json!({ "state": "queued" })).unwrap(),
        serde_json::from_value(json!({ "group": "now" })).unwrap(),
        JobsQuery::default(),
    ];
    for query in queries {
        for stranger in [&nobody, &alice] {
            let (_, told) = stranger
                .get(&format!("/api/v1/jobs?{}", query.encoded()))
                .await;
            let told: JobList = serde_json::from_str(&told).unwrap();
            assert_eq!(told.jobs, [], "{query:?}");
            let all = told.counts.person + told.counts.now + told.counts.answered;
            assert_eq!(all, 0, "{query:?}");
            let (_, page) = stranger.get(&format!("/?{}", query.encoded())).await;
            assert!(!page.contains("Whispers"), "{query:?}");
        }
        let (_, told) = olga.get(&format!("/api/v1/jobs?{}", query.encoded())).await;
        assert!(told.contains("Whispers"), "{query:?}");
        assert_eq!(ids(&list(&server, Some(&server.token), &query).await), [id]);
    }
    let mine: JobsQuery = serde_json::from_value(json!({ "mine": "1" })).unwrap();
    assert_eq!(ids(&list(&server, Some(&server.token), &mine).await), [id]);
    let (_, hers) = olga.get("/api/v1/jobs?mine=1").await;
    assert!(!hers.contains("Whispers"));
}
