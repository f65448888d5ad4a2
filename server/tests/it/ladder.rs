//! Releases of an archive: as commits of a mirror, fetched when wanted, searched like any others.

use firstbad_api::job::{Job, Outcome};
use firstbad_api::lease::Work;
use firstbad_server::db;
use firstbad_server::ladder::{Kind, Release};
use firstbad_server::tasks::{advance_jobs, leads_on};
use serde_json::json;

use crate::common::ladder::{archive, fetch, finish, finish_by, ladder, release};
use crate::common::{REVERTED, Seen, TestServer, git};

#[tokio::test]
async fn releases_are_lines_of_commits_and_writing_them_again_changes_nothing() {
    let server = TestServer::start().await;
    let releases = [
        release("6.18.5", Kind::Packaged),
        release("6.18.5", Kind::Source),
        release("6.18.15", Kind::Source),
        release("7.2", Kind::Packaged),
    ];
    let first = ladder(&server, &releases).await;
    let again = server
        .app
        .repos
        .write_releases("deb", &releases)
        .await
        .unwrap();
    assert_eq!(first, again);
    let mirror = server.app.repos.path("deb");
    assert_eq!(
        git(&mirror, &["tag", "--sort=version:refname"])
            .lines()
            .collect::<Vec<_>>(),
        [
            "6.18.5",
            "6.18.15",
            "7.2",
            "packaged/6.18.5",
            "packaged/7.2",
            "source/6.18.5",
            "source/6.18.15"
        ]
    );
    let line = |tag: &str| git(&mirror, &["log", "--format=%s", tag]);
    assert_eq!(
        line("7.2"),
        "Linux 7.2 (as Debian packages it)\nLinux 6.18.15 (as source)\n\
         Linux 6.18.5 (as Debian packages it)"
    );
    assert_eq!(
        line("source/6.18.15"),
        "Linux 6.18.15 (as source)\nLinux 6.18.5 (as source)"
    );
    // What the archive drops is no longer offered.
    let fewer = &releases[..3];
    server.app.repos.write_releases("deb", fewer).await.unwrap();
    assert!(!git(&mirror, &["tag"]).contains("7.2"));
}

#[tokio::test]
async fn a_source_archive_becomes_a_commit_with_its_files() {
    let server = TestServer::start().await;
    let releases = [release("6.18.5", Kind::Source)];
    ladder(&server, &releases).await;
    let repos = &server.app.repos;
    assert_eq!(repos.held_release("deb", &releases[0]).await.unwrap(), None);
    let file = archive(server.dir.path(), "6.18.5");
    let made = repos
        .hold_release("deb", &releases[0], vec![file])
        .await
        .unwrap();
    assert_eq!(
        repos.held_release("deb", &releases[0]).await.unwrap(),
        Some(made.clone())
    );
    let listed = git(&repos.path("deb"), &["ls-tree", "-r", &made]);
    let modes: Vec<(&str, &str)> = listed
        .lines()
        .map(|l| (l.split(' ').next().unwrap(), l.split('\t').nth(1).unwrap()))
        .collect();
    assert_eq!(
        modes,
        [
            ("100644", "Documentation/a.rst"),
            ("100644", "Makefile"),
            ("100644", "fs/btrfs/file.c"),
            ("120000", "scripts/link"),
            ("100755", "scripts/run.sh")
        ]
    );
    let broken = server.dir.path().join("broken.tar.xz");
    std::fs::write(&broken, "no archive").unwrap();
    let other = release("6.18.9", Kind::Source);
    let refused = repos.hold_release("deb", &other, vec![broken]).await;
    assert!(refused.is_err());
    assert_eq!(repos.held_release("deb", &other).await.unwrap(), None);
}

#[tokio::test]
async fn only_what_is_tested_is_fetched_and_one_that_is_gone_is_skipped() {
    let server = TestServer::start().await;
    let releases: Vec<Release> = (1..=16)
        .map(|n| release(&format!("7.0.{n}"), Kind::Packaged))
        .collect();
    let described = ladder(&server, &releases).await;
    let version = |n: usize| format!("7.0.{n}");
    let mut conn = server.app.pool.acquire().await.unwrap();
    // The archive lists 7.0.9 and does not have it any more.
    let gone = described
        .iter()
        .find(|d| d.release.version == version(9))
        .unwrap();
    let id = db::tree::find(&mut conn, "deb").await.unwrap().unwrap().id;
    for _ in 0..3 {
        let row = db::release::find(&mut conn, id, &gone.rev)
            .await
            .unwrap()
            .unwrap();
        db::release::failed(&mut conn, &row, "404 Not Found", true, 0)
            .await
            .unwrap();
    }
    drop(conn);
    let body =
        json!({ "tree": "deb", "good": ["7.0.1"], "bad": "7.0.16", "suite": "btrfs/direct-io" });
    let id = server.submit(&body).await;
    let fails_from = 11;
    let mirror = server.app.repos.path("deb");
    let subject = |rev: &str| git(&mirror, &["log", "-1", "--format=%s", rev]);
    let job = finish(&server, id, |rev, _| {
        let version = subject(rev);
        let n: usize = version.rsplit('.').next().unwrap().parse().unwrap();
        if n >= fails_from {
            Seen::Fails
        } else {
            Seen::Clean
        }
    })
    .await;
    match &job.outcome {
        Some(Outcome::Culprit {
            subject, checks, ..
        }) => {
            assert_eq!(subject, "Linux 7.0.11 (as Debian packages it)");
            let revert = checks
                .iter()
                .find(|c| c.name.starts_with("revert"))
                .unwrap();
            assert!(
                !revert.made && revert.detail.contains("many commits"),
                "{revert:?}"
            );
        }
        other => panic!("{other:?}"),
    }
    let held = git(
        &mirror,
        &["for-each-ref", "--format=x", "refs/firstbad/release"],
    );
    assert!((4..=9).contains(&held.lines().count()), "{held}");
    if let Some(skipped) = job.candidates.iter().find(|c| c.rev == gone.rev) {
        assert_eq!(skipped.verdict, "skip");
        assert!(skipped.why.contains("404"), "{skipped:?}");
    }
}

#[tokio::test]
async fn packages_are_unpacked_by_the_worker_and_the_search_goes_on_inside_the_guilty_release() {
    let server = TestServer::start().await;
    let releases = [
        release("7.0.1", Kind::Packaged),
        release("7.0.2", Kind::Packaged),
        release("7.0.3", Kind::Packaged),
    ];
    ladder(&server, &releases).await;
    let revs = server.tree("stable", 6).await;
    let repo = server.dir.path().join("stable");
    for (tag, at) in [("v7.0.1", 0), ("v7.0.2", 2), ("v7.0.3", 5)] {
        git(&repo, &["tag", tag, &revs[at]]);
    }
    server.post("/trees/stable/fetch", &json!({})).await;
    let body =
        json!({ "tree": "deb", "good": ["7.0.1"], "bad": "7.0.3", "suite": "btrfs/direct-io" });
    let id = server.submit(&body).await;
    let mut worker = server.register().await;
    firstbad_server::tasks::advance_jobs::tick(&server.app)
        .await
        .unwrap();
    assert!(worker.lease().await.is_none(), "nothing is here yet");
    assert!(fetch(&server).await >= 1);
    firstbad_server::tasks::advance_jobs::tick(&server.app)
        .await
        .unwrap();
    let lease = worker.lease().await.unwrap();
    let Work::Build(work) = &lease.work else {
        panic!("{lease:?}");
    };
    assert!(
        work.packaged
            .as_ref()
            .unwrap()
            .modules
            .contains(&"btrfs".to_owned())
    );
    let mirror = server.app.repos.path("deb");
    let files = git(&mirror, &["ls-tree", "-r", "--name-only", &work.rev]);
    assert!(files.starts_with("packages/linux_7.0."), "{files}");
    let released = firstbad_api::observation::Finish::Released;
    worker.finish(&lease, released).await;

    let subject = |rev: &str| match revs.iter().position(|r| r == rev) {
        Some(at) => at,
        None if rev == REVERTED => 0,
        None => match git(&mirror, &["log", "-1", "--format=%s", rev]).as_str() {
            "Linux 7.0.3" => 5,
            _ => 0,
        },
    };
    let oracle = |rev: &str, _: u64| {
        if subject(rev) >= 4 {
            Seen::Fails
        } else {
            Seen::Clean
        }
    };
    finish_by(&mut worker, id, oracle).await;
    worker.work_all(oracle).await;
    let job = server.job(id).await;
    let [inside] = job.further.as_slice() else {
        panic!("{:?}", job.further);
    };
    assert_eq!(inside.why, "inside of 7.0.3 in stable");
    match server.job(inside.id).await.outcome {
        Some(Outcome::Culprit { rev, .. }) => assert_eq!(rev, revs[4]),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_fragment_goes_with_a_source_that_is_not_here_yet() {
    let server = TestServer::start().await;
    ladder(
        &server,
        &[
            release("7.0.1", Kind::Source),
            release("7.0.2", Kind::Source),
        ],
    )
    .await;
    let mut body =
        json!({ "tree": "deb", "good": ["7.0.1"], "bad": "7.0.2", "suite": "btrfs/direct-io" });
    body["config"] = json!({ "base": { "file": "CONFIG_A=y\n" }, "fragment": "CONFIG_B=y\n" });
    server.submit(&body).await;
    body["config"]["fragment"] = json!("CONFIG_B\n");
    let problem = server.refusal("/jobs", &body).await;
    assert_eq!(problem.pointer.as_deref(), Some("/config/fragment"));
}

/// A search between 7.0.1 and 7.0.4 in the only tree there is, where 7.0.3 is guilty.
async fn guilty(kind: Kind, also_sources: bool) -> (TestServer, Job) {
    let server = TestServer::start().await;
    let mut releases: Vec<Release> = (1..=4)
        .map(|n| release(&format!("7.0.{n}"), kind))
        .collect();
    if also_sources {
        releases.extend((1..=4).map(|n| release(&format!("7.0.{n}"), Kind::Source)));
    }
    ladder(&server, &releases).await;
    let body =
        json!({ "tree": "deb", "good": ["7.0.1"], "bad": "7.0.4", "suite": "btrfs/direct-io" });
    let id = server.submit(&body).await;
    let mut worker = server.register().await;
    if kind == Kind::Source {
        worker.compiled = Some("fs/btrfs/file.c\n");
    }
    let mirror = server.app.repos.path("deb");
    let oracle = |rev: &str, _: u64| {
        let subject = git(&mirror, &["log", "-1", "--format=%s", rev]);
        match subject.contains("7.0.3") || subject.contains("7.0.4") {
            true => Seen::Fails,
            false => Seen::Clean,
        }
    };
    while server.job(id).await.outcome.is_none() {
        advance_jobs::tick(&server.app).await.unwrap();
        fetch(&server).await;
        worker.step(&oracle).await;
    }
    leads_on::tick(&server.app).await.unwrap();
    let job = server.job(id).await;
    drop(worker);
    (server, job)
}

#[tokio::test]
async fn a_guilty_release_is_told_by_what_changed_in_what_was_compiled() {
    let (server, job) = guilty(Kind::Source, false).await;
    let difference = job.difference.as_ref().expect("a difference");
    assert_eq!(
        (difference.old.as_str(), difference.new.as_str()),
        ("7.0.2", "7.0.3")
    );
    assert!(
        difference.needs.contains("v7.0.2 and v7.0.3"),
        "{difference:?}"
    );
    let changes = difference.changes.as_ref().unwrap();
    // Makefile, fs/btrfs/file.c and Documentation/a.rst differ; the last one is not built.
    assert_eq!(
        (changes.limited, changes.all, changes.total.files),
        (true, 3, 2)
    );
    assert_eq!(changes.directories.len(), 2);
    let get = async |what: &str| {
        let answer = server
            .http
            .get(format!("{}/jobs/{}{what}", server.url, job.id));
        answer.send().await.unwrap().text().await.unwrap()
    };
    let (page, report) = (get("").await, get("/report").await);
    assert!(
        page.contains("Between 7.0.2 and 7.0.3") && page.contains("fs/btrfs"),
        "{page}"
    );
    assert!(report.contains("  fs/btrfs: 1 files, +1 -1"), "{report}");
    assert!(
        report.contains("To go on: no registered tree has"),
        "{report}"
    );
}

#[tokio::test]
async fn of_packaged_releases_it_says_what_is_not_known() {
    let (_server, job) = guilty(Kind::Packaged, false).await;
    let difference = job.difference.expect("a difference");
    assert_eq!(difference.changes, None);
    let why = "7.0.3 is packaged, and the archive has no source of it";
    assert!(difference.note.contains(why), "{}", difference.note);
    let (_server, job) = guilty(Kind::Packaged, true).await;
    let note = job.difference.expect("a difference").note;
    assert!(note.contains("bisecting source/7.0.3 fetches it"), "{note}");
}

#[tokio::test]
async fn a_release_that_we_cannot_fetch_is_waited_for_and_not_skipped() {
    let server = TestServer::start().await;
    let releases = [
        release("7.0.1", Kind::Packaged),
        release("7.0.2", Kind::Packaged),
    ];
    let described = ladder(&server, &releases).await;
    let body =
        json!({ "tree": "deb", "good": ["7.0.1"], "bad": "7.0.2", "suite": "btrfs/direct-io" });
    let id = server.submit(&body).await;
    let _worker = server.register().await;
    advance_jobs::tick(&server.app).await.unwrap();
    let mut conn = server.app.pool.acquire().await.unwrap();
    let tree = db::tree::find(&mut conn, "deb").await.unwrap().unwrap().id;
    for described in described.iter().filter(|d| d.release.version == "7.0.2") {
        let row = db::release::find(&mut conn, tree, &described.rev).await;
        let row = row.unwrap().unwrap();
        for _ in 0..5 {
            let why = "apt: Could not resolve 'deb.example'";
            db::release::failed(&mut conn, &row, why, false, 3600)
                .await
                .unwrap();
        }
    }
    assert_eq!(
        fetch(&server).await,
        1,
        "the other one only: the time for this one has not come"
    );
    advance_jobs::tick(&server.app).await.unwrap();
    let job = server.job(id).await;
    assert_eq!(job.outcome, None);
    assert!(
        !job.candidates.iter().any(|c| c.verdict == "skip"),
        "{:?}",
        job.candidates
    );
    let said = "Linux 7.0.2 could not be fetched, and is tried again: apt: Could not resolve";
    assert!(job.sentence.contains(said), "{}", job.sentence);
    // The lists are read again: now is another time.
    let mut all = described.clone();
    all.retain(|d| d.release.version == "7.0.2");
    db::release::describe(&mut conn, tree, &all).await.unwrap();
    assert_eq!(fetch(&server).await, 1);
}
