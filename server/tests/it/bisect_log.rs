//! The exported log, replayed by git itself.

use std::process::Command;

use serde_json::json;

use crate::common::{Seen, TestServer, request};

#[tokio::test]
async fn git_replays_what_is_exported_to_the_same_commit() {
    for (find, term) in [("regression", "bad"), ("fix", "new")] {
        let server = TestServer::start().await;
        let revs = server.tree("line", 24).await;
        let mut body = request("line", &revs[0], &revs[23]);
        body["find"] = json!(find);
        let job = server.submit(&body).await;
        let mut worker = server.register().await;
        // One revision in the middle cannot be tested, and one run in four tells nothing.
        let seen = |rev: &str, seed: u64| {
            let at = revs.iter().position(|r| r == rev).unwrap();
            match (at >= 17) == (find == "regression") {
                _ if at == 12 => Seen::DoesNotBuild,
                true if !seed.is_multiple_of(4) => Seen::Fails,
                _ => Seen::Clean,
            }
        };
        let ended = worker.work(job, seen).await;
        assert!(ended.sentence.starts_with(&revs[17][..12]), "{ended:#?}");
        let url = format!("{}/api/v1/jobs/{job}/bisect-log", server.url);
        let log = server.http.get(url).send().await.unwrap();
        let log = log.text().await.unwrap();
        let path = server.dir.path().join("log");
        std::fs::write(&path, &log).unwrap();
        let replay = Command::new("git")
            .current_dir(server.dir.path().join("line"))
            .args(["bisect", "replay"])
            .arg(&path)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&replay.stdout);
        assert!(replay.status.success(), "{log}\n{said}{replay:?}");
        let first = format!("{} is the first {term} commit", revs[17]);
        assert!(said.contains(&first), "{log}\n{said}");
        assert!(log.contains(&format!("# first {term} commit: [{}]", revs[17])));
    }
}
