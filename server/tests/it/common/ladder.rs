//! Trees of releases, as if an archive had them.

use std::path::{Path, PathBuf};
use std::process::Command;

use firstbad_api::job::{Job, JobConfig};
use firstbad_server::db;
use firstbad_server::ladder::{File, Kind, Release};
use firstbad_server::repo::Described;

use super::{FakeWorker, Seen, TestServer};

pub fn release(version: &str, kind: Kind) -> Release {
    Release {
        version: version.to_owned(),
        kind,
        files: vec![File {
            package: "linux".to_owned(),
            version: format!("{version}-1"),
            bytes: 1,
            sha256: format!("sum of {version} {kind:?}"),
        }],
    }
}

/// An archive of a kernel's source: `linux-VERSION/…`.
pub fn archive(dir: &Path, version: &str) -> PathBuf {
    let top = dir.join(format!("linux-{version}"));
    std::fs::create_dir_all(top.join("scripts")).unwrap();
    std::fs::write(top.join("Makefile"), format!("VERSION = {version}\n")).unwrap();
    for file in ["fs/btrfs/file.c", "Documentation/a.rst"] {
        let file = top.join(file);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, format!("this is {version}\n")).unwrap();
    }
    let script = top.join("scripts/run.sh");
    std::fs::write(&script, "#!/bin/sh\n").unwrap();
    std::fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    std::os::unix::fs::symlink("../Makefile", top.join("scripts/link")).unwrap();
    let file = dir.join(format!("linux_{version}.orig.tar.xz"));
    let made = Command::new("tar")
        .args(["--create", "--xz", "--file"])
        .arg(&file)
        .arg("--directory")
        .arg(dir)
        .arg(top.file_name().unwrap())
        .status()
        .expect("tar: apt-get install tar xz-utils");
    assert!(made.success());
    file
}

/// A tree of releases, as if an archive had them.
pub async fn ladder(server: &TestServer, releases: &[Release]) -> Vec<Described> {
    let repos = &server.app.repos;
    let described = repos.write_releases("deb", releases).await.unwrap();
    let mut conn = server.app.pool.acquire().await.unwrap();
    let id = db::tree::insert(&mut conn, "deb", "debian:sid", 1, &JobConfig::default())
        .await
        .unwrap();
    db::release::describe(&mut conn, id.unwrap(), &described)
        .await
        .unwrap();
    described
}

/// Does what the task does that fetches what is wanted, but for the archive; the answer counts.
pub async fn fetch(server: &TestServer) -> usize {
    let mut conn = server.app.pool.acquire().await.unwrap();
    let mut fetched = 0;
    while let Some(row) = db::release::wanted(&mut conn, 3).await.unwrap() {
        let repos = &server.app.repos;
        let release = repos.described_release("deb", &row.rev).await.unwrap();
        let files = match release.kind {
            Kind::Source => vec![archive(server.dir.path(), &row.version)],
            Kind::Packaged => {
                let file = server.dir.path().join(format!("linux_{}.deb", row.version));
                std::fs::write(&file, "a package").unwrap();
                vec![file]
            }
        };
        let made = repos.hold_release("deb", &release, files).await.unwrap();
        db::release::made(&mut conn, &row, &made).await.unwrap();
        fetched += 1;
    }
    fetched
}

/// Works until all jobs have ended, fetching what they want.
pub async fn finish(server: &TestServer, job: i64, oracle: impl Fn(&str, u64) -> Seen) -> Job {
    finish_by(&mut server.register().await, job, oracle).await
}

/// The same by a worker that is there already.
pub async fn finish_by(
    worker: &mut FakeWorker<'_>,
    job: i64,
    oracle: impl Fn(&str, u64) -> Seen,
) -> Job {
    let server = worker.server;
    for _ in 0..400 {
        firstbad_server::tasks::advance_jobs::tick(&server.app)
            .await
            .unwrap();
        let now = server.job(job).await;
        if now.outcome.is_some() {
            return now;
        }
        fetch(server).await;
        worker.step(&oracle).await;
    }
    panic!("{:#?}", server.job(job).await);
}
