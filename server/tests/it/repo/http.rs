//! Smart HTTP: what a worker's git does.

use firstbad_server::git_http;
use firstbad_server::repo::Repos;

use super::fixture::{Fixture, git};

/// Serves the mirrors on a free port.
pub async fn serve(repos: &Repos) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = git_http::router(repos.clone());
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    format!("http://{address}/git")
}

/// Whether a worker gets a commit as it asks for one.
pub async fn fetched(f: &Fixture, url: &str, rev: &str) -> bool {
    let (dir, url, rev) = (f.temp.path().join(rev), url.to_owned(), rev.to_owned());
    let run = move || {
        std::fs::create_dir(&dir).unwrap();
        git(&dir, &["init", "-q", "--bare"]);
        let spec = format!("{rev}:refs/firstbad/{rev}");
        git(
            &dir,
            &["fetch", "-q", "--depth=1", "--no-tags", &url, &spec],
        );
        git(&dir, &["cat-file", "-t", &rev]) == "commit"
    };
    tokio::task::spawn_blocking(run).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_fetches_one_exact_commit() {
    let mut f = Fixture::new().await;
    // Many tags make the request long enough for git to compress it.
    for n in 0..60 {
        f.write("fs/file.c", &format!("{n}\n"));
        f.commit(&format!("fs: {n}"));
    }
    f.fetch().await.unwrap();
    let base = serve(&f.repos).await;
    let url = format!("{base}/linux.git");
    let worker = f.temp.path().join("worker");
    std::fs::create_dir(&worker).unwrap();
    git(&worker, &["init", "-q", "--bare"]);
    let fetch = async |version: &str, rev: &str| {
        let protocol = format!("protocol.version={version}");
        let args = ["-c", &protocol, "fetch", "-q", &url, rev].map(str::to_owned);
        let dir = worker.clone();
        let run = move || git(&dir, &args.each_ref().map(String::as_str));
        tokio::task::spawn_blocking(run).await.unwrap();
        assert_eq!(git(&worker, &["cat-file", "-t", rev]), "commit");
    };
    // On no branch's tip; then an increment; then one with a long list of what we have.
    fetch("2", &f.ids[2]).await;
    fetch("2", &f.ids[40]).await;
    fetch("0", &f.ids[50]).await;
    fetch("2", f.ids.last().unwrap()).await;
    // Our own side can mirror from it too.
    f.repos.fetch("copy", &url).await.unwrap();
    let copied = f.repos.resolve("copy", "main").await.unwrap();
    assert_eq!(&copied.rev, f.ids.last().unwrap());

    let status = async |path: &str| {
        let response = reqwest::get(format!("{base}/{path}")).await.unwrap();
        response.status().as_u16()
    };
    let query = "info/refs?service=git-upload-pack";
    assert_eq!(status(&format!("linux.git/{query}")).await, 200);
    assert_eq!(status(&format!("nope.git/{query}")).await, 404);
    assert_eq!(status(&format!("linux/{query}")).await, 404);
    assert_eq!(status(&format!("..%2F..%2Fsource.git/{query}")).await, 404);
    assert_eq!(
        status("linux.git/info/refs?service=git-receive-pack").await,
        403
    );
    assert_eq!(status("linux.git/info/refs").await, 403);
    assert_eq!(status("linux.git/HEAD").await, 404);
    let push = reqwest::Client::new().post(format!("{url}/git-receive-pack"));
    assert_eq!(push.send().await.unwrap().status().as_u16(), 403);
}

#[tokio::test(flavor = "multi_thread")]
async fn compressed_requests_are_decoded() {
    use std::io::Write;
    let f = Fixture::new().await;
    let url = format!("{}/linux.git/git-upload-pack", serve(&f.repos).await);
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    gzip.write_all(b"0014command=ls-refs\n00010009peel\n0000")
        .unwrap();
    let post = |body: Vec<u8>, encoding: &'static str| {
        reqwest::Client::new()
            .post(&url)
            .header("content-type", "application/x-git-upload-pack-request")
            .header("content-encoding", encoding)
            .header("git-protocol", "version=2")
            .body(body)
            .send()
    };
    let text = post(gzip.finish().unwrap(), "gzip")
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    assert!(text.contains("refs/tags/v2"), "{text}");
    let broken = post(b"not gzip".to_vec(), "gzip").await.unwrap();
    assert!(!broken.text().await.unwrap().contains("refs/"));
    let other = post(Vec::new(), "br").await.unwrap();
    assert_eq!(other.status().as_u16(), 415);
}
