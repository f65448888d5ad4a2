//! A lease while it is held: renewed by a task of its own, given up in time.
//!
//! Owns the self-fence: the worker stops before the server may give the attempt
//! to another, counted from the *sending* of the last good renewal, on a clock
//! that also runs while the machine sleeps. Must not know what is being done.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use firstbad_api::lease::{Fence, Renew};
use firstbad_api::limits::Timing;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::client::{Client, ClientError, STALE_LEASE};
use crate::error::InfraError;

/// Longest a renewal may take before it is tried anew, in beats.
const PATIENCE_BEATS: u32 = 2;

/// Time since boot, suspended time included.
pub fn since_boot() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    Duration::new(
        now.tv_sec.unsigned_abs(),
        u32::try_from(now.tv_nsec).unwrap_or(0),
    )
}

/// A lease this worker holds.
#[derive(Debug)]
pub struct Held {
    pub fence: Fence,
    /// Cancelled when the work must stop, for whatever reason.
    pub stop: CancellationToken,
    why: Arc<OnceLock<InfraError>>,
    stage: watch::Sender<String>,
    keeper: JoinHandle<()>,
}

impl Held {
    /// Begins to renew; `sent` is [`since_boot`] when the lease was asked for.
    pub fn keep(
        client: &Client,
        fence: Fence,
        timing: Timing,
        ttl: Duration,
        sent: Duration,
        shutdown: &CancellationToken,
    ) -> Held {
        let stop = shutdown.child_token();
        let why = Arc::new(OnceLock::new());
        let (stage, shown) = watch::channel("source".to_owned());
        let keeper = Keeper {
            client: client.clone(),
            fence,
            beat: Duration::from_millis(timing.beat_ms),
            // A margin as large as the lease would leave no time to work.
            hold: ttl
                .saturating_sub(Duration::from_millis(timing.self_fence_ms))
                .max(ttl / 4),
            shown,
        };
        let (keeper_stop, keeper_why) = (stop.clone(), why.clone());
        let keeper = tokio::spawn(async move {
            let reason = keeper.until_lost(sent).await;
            tracing::warn!(attempt = fence.attempt, epoch = fence.epoch, %reason, "giving up a lease");
            let _first = keeper_why.set(reason);
            keeper_stop.cancel();
        });
        Held {
            fence,
            stop,
            why,
            stage,
            keeper,
        }
    }

    /// Says which stage runs; sent with the next renewal.
    pub fn show(&self, stage: &str) {
        self.stage.send_replace(stage.to_owned());
    }

    /// Why the work was stopped, if the lease was lost or the attempt cancelled.
    pub fn lost(&self) -> Option<InfraError> {
        self.why.get().cloned()
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.keeper.abort();
    }
}

struct Keeper {
    client: Client,
    fence: Fence,
    beat: Duration,
    hold: Duration,
    shown: watch::Receiver<String>,
}

impl Keeper {
    async fn until_lost(mut self, mut good: Duration) -> InfraError {
        loop {
            let sent = since_boot();
            let Some(left) = (good + self.hold)
                .checked_sub(sent)
                .filter(|l| !l.is_zero())
            else {
                return InfraError::Fenced;
            };
            let renew = Renew {
                fence: self.fence,
                stage: self.shown.borrow_and_update().clone(),
            };
            let patience = left.min(self.beat * PATIENCE_BEATS);
            let pause = match self.client.renew(&renew, patience).await {
                Ok(answer) if answer.cancel => return InfraError::Cancelled,
                Ok(_) => {
                    good = sent;
                    self.beat
                }
                Err(e) if e.is(STALE_LEASE) => return InfraError::Fenced,
                Err(ClientError::Refused(why)) => {
                    tracing::warn!(why = %why.detail, "a renewal was refused");
                    self.beat
                }
                Err(ClientError::Unavailable(why)) => {
                    tracing::debug!(%why, "a renewal failed");
                    self.beat / 4
                }
            };
            // A new stage is shown at once; otherwise the next beat, never past the fence.
            let left = (good + self.hold).saturating_sub(since_boot());
            let _either = tokio::time::timeout(pause.min(left), self.shown.changed()).await;
        }
    }
}
