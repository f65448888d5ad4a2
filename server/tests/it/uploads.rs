//! Files of attempts over HTTP: sent once, offered afterwards, fenced always.

use firstbad_api::artefact::UploadQuery;
use firstbad_api::attempt::Attempt;
use firstbad_api::lease::{Fence, Lease};
use firstbad_api::problem::Problem;
use firstbad_server::tasks::advance_jobs;
use reqwest::StatusCode;
use sha2::{Digest, Sha256};

use crate::common::{TestServer, request};

fn query(fence: &Fence, name: &str, sha256: &str, known: bool) -> UploadQuery {
    UploadQuery {
        attempt: fence.attempt,
        epoch: fence.epoch,
        incarnation: fence.incarnation,
        worker: fence.worker,
        name: name.to_owned(),
        offset: 0,
        sha256: sha256.to_owned(),
        known,
    }
}

async fn lease(server: &TestServer) -> Lease {
    let revs = server.tree("line", 4).await;
    server.submit(&request("line", &revs[0], &revs[3])).await;
    let mut worker = server.register().await;
    advance_jobs::tick(&server.app).await.unwrap();
    worker.lease().await.unwrap()
}

#[tokio::test]
async fn a_file_the_store_has_is_linked_without_being_sent() {
    let server = TestServer::start().await;
    let first = lease(&server).await;
    let sha256 = hex::encode(Sha256::digest(b"base"));

    let offer = query(&first.fence, "initramfs-base.cpio", &sha256, true);
    let refused = server.worker_put("/attempts/artefact", &offer, b"").await;
    assert_eq!(refused.status(), StatusCode::NOT_FOUND);
    let problem: Problem = refused.json().await.unwrap();
    assert_eq!(problem.kind, "unknown-artefact");

    let whole = query(&first.fence, "initramfs-base.cpio", &sha256, false);
    let put = server.worker_put("/attempts/artefact", &whole, b"base");
    assert_eq!(put.await.status(), StatusCode::NO_CONTENT);
    let offer = query(&first.fence, "again.cpio", &sha256, true);
    let put = server.worker_put("/attempts/artefact", &offer, b"");
    assert_eq!(put.await.status(), StatusCode::NO_CONTENT);

    let path = format!("/attempts/{}", first.fence.attempt);
    let attempt: Attempt = server.get(&path).await;
    assert_eq!(attempt.artefacts[0].sha256, sha256);
    assert_eq!(attempt.artefacts[0].bytes, 4);
}

#[tokio::test]
async fn an_offer_is_fenced_and_its_hash_is_no_path() {
    let server = TestServer::start().await;
    let first = lease(&server).await;
    let sha256 = hex::encode(Sha256::digest(b"base"));
    let mut stale = first.fence;
    stale.epoch += 1;
    let offer = query(&stale, "a", &sha256, true);
    let refused = server.worker_put("/attempts/artefact", &offer, b"").await;
    assert_eq!(refused.status(), StatusCode::CONFLICT);
    for hash in ["", "../../token", &"g".repeat(64)] {
        let offer = query(&first.fence, "a", hash, true);
        let refused = server.worker_put("/attempts/artefact", &offer, b"").await;
        assert_eq!(refused.status(), StatusCode::NOT_FOUND, "{hash}");
    }
}
