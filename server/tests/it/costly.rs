//! What strangers may ask for at once where it costs the server something.

use std::time::{Duration, Instant};

use firstbad_api::limits;
use firstbad_server::{access, run};
use reqwest::StatusCode;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::common::TestServer;

#[tokio::test]
async fn each_costly_route_is_one_of_ours() {
    let server = TestServer::start().await;
    let routes = run::routes(&server.app);
    for (method, path) in access::COSTLY {
        let known = routes.table().iter();
        let known = known.filter(|r| r.method == method && r.path == path);
        assert_eq!(known.count(), 1, "{method} {path}");
    }
}

#[tokio::test]
async fn a_stranger_who_asks_for_much_at_once_waits_and_is_told_so() {
    let server = TestServer::start().await;
    let address = server.url.strip_prefix("http://").unwrap();
    // Forms that never end, as somebody would send them who wants to keep the server busy.
    let mut open = Vec::new();
    for _ in 0..limits::COSTLY_OF_ADDRESS {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let head = format!(
            "POST /jobs/new HTTP/1.1\r\nhost: {address}\r\norigin: {}\r\n\
             content-type: application/x-www-form-urlencoded\r\ncontent-length: 9000\r\n\r\ntree=x",
            server.url
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        open.push(stream);
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    let resolve = format!("{}/api/v1/trees/none/resolve?ref=x", server.url);
    let known = server.http.get(&resolve).bearer_auth(&server.token);
    assert_eq!(known.send().await.unwrap().status(), StatusCode::NOT_FOUND);
    let help = server.http.get(format!("{}/help", server.url));
    assert_eq!(help.send().await.unwrap().status(), StatusCode::OK);

    let began = Instant::now();
    let refused = server.http.get(&resolve).send().await.unwrap();
    assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(refused.headers()["retry-after"], "5");
    assert_eq!(
        refused.headers()["content-type"],
        "application/problem+json"
    );
    assert!(began.elapsed() >= Duration::from_secs(limits::COSTLY_WAIT_S));

    // Who waits gets a place when one is left.
    let waiting = tokio::spawn(server.http.get(&resolve).send());
    tokio::time::sleep(Duration::from_millis(300)).await;
    open.pop();
    let answer = waiting.await.unwrap().unwrap();
    assert_eq!(answer.status(), StatusCode::NOT_FOUND);
}
