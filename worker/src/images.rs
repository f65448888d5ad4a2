//! The cache of kernel images, by SHA-256.
//!
//! Owns the check that an image is the one asked for. Must not know what boots.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use firstbad_api::limits::ARTEFACT_BYTES;
use futures_util::StreamExt;
use sha2::{Digest, Sha256};

use crate::client::Client;
use crate::dirs::Dirs;
use crate::error::{Context, InfraError};

/// The image with this hash, from the cache or from the server.
pub async fn get(dirs: &Dirs, client: &Client, sha256: &str) -> Result<PathBuf, InfraError> {
    if sha256.len() != 64
        || !sha256
            .bytes()
            .all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
    {
        return Err(InfraError::Failed(
            "the server sent an impossible image hash".to_owned(),
        ));
    }
    let path = dirs.images().join(sha256);
    if let Ok(file) = fs::File::open(&path) {
        // The time stamp says when it was last of use.
        let _best_effort = file.set_modified(std::time::SystemTime::now());
        return Ok(path);
    }
    let answer = client.artefact(sha256).await?;
    let mut body = answer.bytes_stream();
    let new = tempfile::NamedTempFile::new_in(dirs.images()).context("image cache")?;
    let mut hash = Sha256::new();
    let mut total = 0;
    while let Some(chunk) = body.next().await {
        let chunk = chunk.context("fetching the image")?;
        total += chunk.len() as u64;
        if total > ARTEFACT_BYTES {
            return Err(InfraError::Failed(
                "the image is larger than an artefact may be".to_owned(),
            ));
        }
        hash.update(&chunk);
        new.as_file().write_all(&chunk).context("image cache")?;
    }
    if hex::encode(hash.finalize()) != sha256 {
        return Err(InfraError::Failed(
            "the image fetched has another hash".to_owned(),
        ));
    }
    readable(new.path())?;
    new.persist(&path).context("image cache")?;
    Ok(path)
}

/// Puts an image this worker built into the cache; failing to is no failure.
pub fn keep(dirs: &Dirs, from: &Path, sha256: &str) {
    let copy = || {
        let new = tempfile::NamedTempFile::new_in(dirs.images())?;
        fs::copy(from, new.path())?;
        fs::set_permissions(
            new.path(),
            std::os::unix::fs::PermissionsExt::from_mode(0o644),
        )?;
        new.persist(dirs.images().join(sha256)).map_err(|e| e.error)
    };
    if let Err(why) = copy() {
        tracing::warn!(%why, "cannot keep an image");
    }
}

fn readable(path: &Path) -> Result<(), InfraError> {
    fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o644))
        .context("image cache")
}
