//! Artefacts and logs.

use serde::{Deserialize, Serialize};

/// Query of `PUT /api/v1/attempts/log` (body: raw bytes at `offset`) and of
/// `PUT /api/v1/attempts/artefact` (body: the whole file).
///
/// The fence travels in the query because the body is bytes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct UploadQuery {
    pub attempt: i64,
    pub epoch: i32,
    pub incarnation: uuid::Uuid,
    pub worker: uuid::Uuid,
    /// Log: `build` or `console`. Artefact: its file name, `[a-zA-Z0-9._-]{1,64}`.
    pub name: String,
    /// Log only: byte offset of the first byte of the body.
    #[serde(default)]
    pub offset: u64,
    /// Artefact only: SHA-256 of the body, lower-case hex.
    #[serde(default)]
    pub sha256: String,
    /// Artefact only: the body is empty, the file is taken from what the store
    /// has under this hash; refused as `unknown-artefact` when it has none.
    #[serde(default)]
    pub known: bool,
}

/// The part of an initramfs that runs with the same programs share.
pub const INITRAMFS_BASE: &str = "initramfs-base.cpio";
/// The part of an initramfs that is of one run; the two parts one after the other are the whole.
pub const INITRAMFS_RUN: &str = "initramfs-run.cpio";

/// The modules of a packaged kernel that suites need, below [`MODULES_PATH`].
pub const MODULES: &str = "modules.cpio";
/// Where the guest finds modules: files that are to be loaded in the order of their names.
pub const MODULES_PATH: &str = "/lib/firstbad";

/// The sources that went into a kernel: paths in the tree, one on each line.
pub const COMPILED: &str = "compiled-files";

/// The selftests that were built with a kernel: an archive for its initramfs.
pub const KSELFTEST: &str = "kselftest.cpio";

/// fstests as it was built for a job: an archive for the guest.
pub const FSTESTS: &str = "fstests.cpio";

/// One stored file of an attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Artefact {
    pub name: String,
    pub sha256: String,
    pub bytes: i64,
}
