//! What a browser is told while it looks at a page, and the form for a new job.

use std::time::Duration;

use firstbad_server::tasks;
use futures_util::StreamExt;
use reqwest::StatusCode;

use crate::common::{Seen, TestServer, request};

/// Events of a stream until none comes for a moment.
async fn events(server: &TestServer, of: &str, seen: Option<&str>) -> Vec<String> {
    let mut get = server.http.get(format!("{}/live?of={of}", server.url));
    if let Some(seen) = seen {
        get = get.header("last-event-id", seen);
    }
    let answer = get.send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(answer.headers()["content-type"], "text/event-stream");
    let mut text = String::new();
    let mut body = answer.bytes_stream();
    while let Ok(Some(bytes)) = tokio::time::timeout(Duration::from_secs(1), body.next()).await {
        text.push_str(&String::from_utf8_lossy(&bytes.unwrap()));
    }
    let lines = text.lines().filter_map(|line| line.strip_prefix("id: "));
    lines.map(str::to_owned).collect()
}

#[tokio::test]
async fn a_page_is_told_of_changes_and_misses_none() {
    let server = TestServer::start().await;
    let revs = server.tree("line", 8).await;
    let id = server.submit(&request("line", &revs[0], &revs[7])).await;
    let of = format!("job/{id}");
    let first = events(&server, &of, None).await;
    assert_eq!(first.len(), 1);
    // Nothing has happened since.
    assert!(events(&server, &of, Some(&first[0])).await.is_empty());
    let mut worker = server.register().await;
    tasks::advance_jobs::tick(&server.app).await.unwrap();
    worker.step(&|_: &str, _| Seen::Clean).await;
    let missed = events(&server, &of, Some(&first[0])).await;
    assert_eq!(missed.len(), 1);
    // While it is looked at.
    let (live, ()) = tokio::join!(events(&server, &of, Some(&missed[0])), async {
        let mark = serde_json::json!({ "rev": revs[3], "mark": "skip" });
        let answer = server.post(&format!("/jobs/{id}/marks"), &mark).await;
        assert_eq!(answer.status(), 201);
    });
    assert_eq!(live.len(), 1);
    for (of, status) in [
        ("job/999", StatusCode::NOT_FOUND),
        ("log/1/none", StatusCode::NOT_FOUND),
        ("jobs", StatusCode::BAD_REQUEST),
    ] {
        let get = server.http.get(format!("{}/live?of={of}", server.url));
        assert_eq!(get.send().await.unwrap().status(), status, "{of}");
    }
}

#[tokio::test]
async fn what_a_worker_calls_its_stage_is_no_line_of_an_event() {
    let server = TestServer::start().await;
    let revs = server.tree("line", 8).await;
    let id = server.submit(&request("line", &revs[0], &revs[7])).await;
    let mut worker = server.register().await;
    tasks::advance_jobs::tick(&server.app).await.unwrap();
    let lease = worker.lease().await.unwrap();
    let stage = "UPDATE attempt SET stage = E'boot\\r\\nevent: other' WHERE state = 'leased'";
    sqlx::query(stage).execute(&server.app.pool).await.unwrap();
    for of in [
        format!("job/{id}"),
        format!("attempt/{}", lease.fence.attempt),
    ] {
        assert_eq!(events(&server, &of, None).await.len(), 1, "{of}");
    }
}

async fn form(server: &TestServer, fields: &[(&str, &str)]) -> String {
    let get = server.http.get(format!("{}/jobs/new", server.url));
    let answer = get.query(fields).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    answer.text().await.unwrap()
}

#[tokio::test]
async fn the_form_tells_the_range_before_anybody_asks_for_it() {
    let server = TestServer::start().await;
    assert!(form(&server, &[]).await.contains("There is no tree yet"));
    let revs = server.tree("line", 40).await;
    let empty = form(&server, &[]).await;
    assert!(empty.contains("<option>line</option>") && !empty.contains("<h2>What it would take"));
    let fields = [
        ("tree", "line"),
        ("good", &revs[0]),
        ("bad", &revs[39]),
        ("suite", "btrfs/direct-io"),
    ];
    let told = form(&server, &fields).await;
    assert!(told.contains("<h2>What it would take"), "{told}");
    assert!(
        told.contains("<dd>39 <small>0 merges</small></dd>"),
        "{told}"
    );
    assert!(
        told.contains("firstbad submit --tree line --good"),
        "{told}"
    );
    // A field that is wrong is named beside it, and nothing that was written is lost.
    let mut wrong = fields.to_vec();
    wrong[2].1 = "no-such-<tag>";
    wrong.push(("title", "mine"));
    let told = form(&server, &wrong).await;
    let at = told.find("id=\"bad\"").unwrap();
    let field = &told[at..at + told[at..].find("</div>").unwrap()];
    assert!(
        field.contains("class=\"wrong\"") && field.contains("no-such-&#60;tag&#62;"),
        "{field}"
    );
    assert!(told.contains("value=\"mine\"") && !told.contains("<h2>What it would take"));
    // One that has begun by hand.
    let log = format!(
        "git bisect start\ngit bisect bad {}\ngit bisect good {}\n",
        revs[20], revs[10]
    );
    let mut by_hand = fields.to_vec();
    by_hand.push(("bisect_log", &log));
    let told = form(&server, &by_hand).await;
    assert!(
        told.contains("<dd>10 <small>0 merges</small></dd>"),
        "{told}"
    );
}
