//! Finished work that the server has not taken yet.
//!
//! Owns the promise that a result survives the death of worker and server: it
//! is on disk before it is first sent, and sent until the server takes or
//! refuses it. Must not know what the result says.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use firstbad_api::lease::FinishRequest;
use tokio_util::sync::CancellationToken;

use crate::client::{Client, ClientError, Pause};
use crate::error::{Context, InfraError};

/// What became of a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    Taken,
    /// The lease was no longer ours, or the server found the request wrong.
    Refused,
    /// Shutdown came first; it is sent at the next start.
    Later,
}

/// Writes `finish` durably below `dir`.
pub fn store(dir: &Path, finish: &FinishRequest) -> Result<PathBuf, InfraError> {
    let fence = &finish.fence;
    let name = format!("{}-{}-{}", fence.incarnation, fence.attempt, fence.epoch);
    let path = dir.join(format!("{name}.json"));
    let body = serde_json::to_vec(finish).context("the result")?;
    let write = || {
        let new = dir.join(format!("{name}.new"));
        let mut file = File::create(&new)?;
        file.write_all(&body)?;
        file.sync_all()?;
        fs::rename(&new, &path)?;
        File::open(dir)?.sync_all()
    };
    write().context(format!("cannot store the result in {}", dir.display()))?;
    Ok(path)
}

/// Sends one stored result until it is taken or refused.
pub async fn deliver(
    client: &Client,
    path: &Path,
    finish: &FinishRequest,
    shutdown: &CancellationToken,
) -> Delivery {
    let mut pause = Pause::default();
    let attempt = finish.fence.attempt;
    loop {
        let done = match client.finish(finish).await {
            Ok(()) => Delivery::Taken,
            Err(ClientError::Refused(why)) => {
                tracing::warn!(attempt, why = %why.detail, kind = %why.kind, "the server refused a result");
                Delivery::Refused
            }
            Err(ClientError::Unavailable(why)) => {
                tracing::warn!(attempt, %why, "a result could not be sent yet");
                if shutdown.is_cancelled() {
                    return Delivery::Later;
                }
                // Shutdown ends the pause, not the last try.
                let _end = tokio::time::timeout(pause.longer(), shutdown.cancelled()).await;
                continue;
            }
        };
        if let Err(why) = fs::remove_file(path) {
            tracing::warn!(path = %path.display(), %why, "cannot remove a delivered result");
        }
        return done;
    }
}

/// Sends every stored result; call at start.
pub async fn deliver_all(client: &Client, dir: &Path, shutdown: &CancellationToken) {
    let Ok(entries) = fs::read_dir(dir) else {
        return;
    };
    for path in entries.filter_map(Result::ok).map(|e| e.path()) {
        if path.extension().is_none_or(|e| e != "json") {
            continue;
        }
        let read = fs::read(&path).map_err(|e| e.to_string());
        match read.and_then(|b| serde_json::from_slice(&b).map_err(|e| e.to_string())) {
            Ok(finish) => {
                deliver(client, &path, &finish, shutdown).await;
            }
            Err(why) => tracing::warn!(path = %path.display(), %why, "unreadable stored result"),
        }
    }
}
