//! A build by hand, without a worker.
//!
//! Owns the folder that such a build may use, its log and its deadline. Must not
//! know what is built.

use std::path::Path;
use std::time::Duration;

use firstbad_api::limits::BUILD_DEADLINE_S;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::buildlog::BuildLog;
use crate::dirs::{DirLock, Dirs};
use crate::error::{Context, InfraError};
use crate::kbuild::Kbuild;
use crate::process::Until;
use crate::sandbox::Sandbox;

/// The compilers of this machine, with caches of its own.
pub struct Apart {
    pub kbuild: Kbuild,
    pub log: BuildLog,
    pub until: Until,
    _lock: DirLock,
}

impl Apart {
    /// With its caches and the log `log` in `dir`, which is nobody else's.
    pub async fn new(sandbox: &Sandbox, dir: &Path, log: &str) -> Result<Apart, InfraError> {
        let until = Until {
            deadline: Instant::now() + Duration::from_secs(BUILD_DEADLINE_S),
            cancel: CancellationToken::new(),
        };
        let (dirs, _lock) = Dirs::open(&dir.join("build"))?;
        Ok(Apart {
            kbuild: Kbuild::new(sandbox, &dirs, &until).await?,
            log: BuildLog::create(&dir.join(log)).context("log")?,
            until,
            _lock,
        })
    }

    /// The log is complete afterwards.
    pub fn close(self) -> Result<(), InfraError> {
        self.log.close().context("log")
    }
}
