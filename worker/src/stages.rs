//! The stages of an attempt as they pass, reported without holding up the work.
//!
//! Owns the clock of the current stage and the queue of reports. Must not know
//! what happens in a stage.

use firstbad_api::lease::StageEnd;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::client::Client;
use crate::lease::Held;

/// The running stage and the reports on those that ended.
pub struct Stages<'a> {
    held: &'a Held,
    current: Option<(&'static str, Instant)>,
    ends: mpsc::UnboundedSender<StageEnd>,
    reporter: JoinHandle<()>,
}

impl<'a> Stages<'a> {
    pub fn new(client: &Client, held: &'a Held) -> Stages<'a> {
        let (ends, queue) = mpsc::unbounded_channel();
        let reporter = tokio::spawn(report(client.clone(), queue));
        Stages {
            held,
            current: None,
            ends,
            reporter,
        }
    }

    /// Ends the running stage well and begins another.
    pub fn enter(&mut self, stage: &'static str) {
        self.leave(true);
        self.held.show(stage);
        self.current = Some((stage, Instant::now()));
    }

    /// Ends the running stage, if there is one.
    pub fn leave(&mut self, ok: bool) {
        let Some((stage, began)) = self.current.take() else {
            return;
        };
        let end = StageEnd {
            fence: self.held.fence,
            stage: stage.to_owned(),
            duration_ms: u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
            ok,
        };
        if self.ends.send(end).is_err() {
            tracing::warn!(stage, "the reporter of stages is gone");
        }
    }

    /// Waits until the server has every report, or does not want them.
    pub async fn finish(mut self, ok: bool) {
        self.leave(ok);
        drop(self.ends);
        if let Err(why) = self.reporter.await {
            tracing::warn!(%why, "the reporter of stages failed");
        }
    }
}

async fn report(client: Client, mut queue: mpsc::UnboundedReceiver<StageEnd>) {
    while let Some(end) = queue.recv().await {
        // A lost lease is the renewals' business; a missing report costs no result.
        if let Err(why) = client.stage(&end).await {
            tracing::warn!(%why, stage = end.stage, "the end of a stage could not be reported");
        }
    }
}
