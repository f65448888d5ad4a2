//! Sends files of an attempt while it runs and when it ends.
//!
//! Owns the follower of a growing log, so that people can read along. Must not
//! know what the files mean.

use std::path::{Path, PathBuf};
use std::time::Duration;

use firstbad_api::lease::Fence;
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncSeekExt};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::client::Client;
use crate::error::{Context, InfraError};

/// Pause between two looks at a growing log.
const LOOK: Duration = Duration::from_millis(1000);
/// Bytes sent at once.
const CHUNK: usize = 1 << 20;

/// Sends a file as it grows; absent is the same as empty.
pub struct Follower {
    task: JoinHandle<Result<u64, InfraError>>,
    complete: CancellationToken,
}

impl Follower {
    /// Starts to follow `path` as the log `name`.
    pub fn start(client: &Client, fence: Fence, name: &'static str, path: &Path) -> Follower {
        let complete = CancellationToken::new();
        let task = tokio::spawn(follow(
            client.clone(),
            fence,
            name,
            path.to_owned(),
            complete.clone(),
        ));
        Follower { task, complete }
    }

    /// Sends the rest: the file is complete. Returns its size as sent.
    pub async fn finish(mut self) -> Result<u64, InfraError> {
        self.complete.cancel();
        match (&mut self.task).await {
            Ok(sent) => sent,
            Err(why) => Err(InfraError::failed("sending a log", why)),
        }
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn follow(
    client: Client,
    fence: Fence,
    name: &'static str,
    path: PathBuf,
    complete: CancellationToken,
) -> Result<u64, InfraError> {
    let mut offset = 0;
    loop {
        // Asked before reading: what is written until "complete" is read below.
        let last = complete.is_cancelled();
        let bytes = read_from(&path, offset).await?;
        if !bytes.is_empty() {
            client.put_log(&fence, name, offset, &bytes).await?;
            offset += bytes.len() as u64;
        }
        if bytes.len() == CHUNK {
            continue;
        }
        if last {
            return Ok(offset);
        }
        // Either way: look again.
        let _woken = tokio::time::timeout(LOOK, complete.cancelled()).await;
    }
}

async fn read_from(path: &Path, offset: u64) -> Result<Vec<u8>, InfraError> {
    let mut file = match File::open(path).await {
        Ok(file) => file,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(InfraError::failed("opening a log", e)),
    };
    file.seek(std::io::SeekFrom::Start(offset))
        .await
        .context("reading a log")?;
    let mut bytes = Vec::new();
    file.take(CHUNK as u64)
        .read_to_end(&mut bytes)
        .await
        .context("reading a log")?;
    Ok(bytes)
}
