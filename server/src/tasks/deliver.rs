//! Deliveries to webhooks: each until it is received, given up, or its receiver is gone.
//!
//! What is to be sent is a row that was written with the decision it tells of. A try is leased by its
//! row, so a server that dies makes it again under the same id. Must not know what is sent.

use std::collections::BTreeMap;
use std::time::Duration;

use firstbad_api::limits;
use rand::RngExt;
use time::OffsetDateTime;
use tokio::task::{Id, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::db;
use crate::db::webhook::{Due, Tried};
use crate::state::App;
use crate::{outgoing, status};

/// A try whose server died is made again after so many seconds.
const LEASE_S: f64 = 120.0;
/// Longest reason that is kept, characters.
const WHY: usize = 300;

/// Sends what is due until shutdown.
pub async fn run(app: App, shutdown: CancellationToken) {
    let mut changes = app.changes();
    let tick = Duration::from_millis(app.timing.tick_ms);
    let mut sending = Sending::default();
    while !shutdown.is_cancelled() {
        if let Err(error) = sending.start(&app).await {
            tracing::warn!(%error, "deliveries could not be read; the next pass does");
            tokio::time::sleep(tick).await;
        }
        tokio::select! {
            () = shutdown.cancelled() => {}
            _ = changes.changed() => {}
            () = sending.one() => {}
            () = tokio::time::sleep(tick) => {}
        }
    }
    // Whoever is being told now is told once if possible.
    let _ = tokio::time::timeout(Duration::from_secs(2), sending.all()).await;
}

/// Sends what is due now, and waits for the answers.
pub async fn tick(app: &App) -> sqlx::Result<()> {
    let mut sending = Sending::default();
    sending.start(app).await?;
    sending.all().await;
    Ok(())
}

/// Tries that are being made, by receiver: a slow one keeps none but itself waiting.
#[derive(Default)]
struct Sending {
    tries: JoinSet<()>,
    receivers: BTreeMap<Id, i64>,
}

impl Sending {
    async fn start(&mut self, app: &App) -> sqlx::Result<()> {
        let room = limits::WEBHOOKS_AT_ONCE.saturating_sub(self.tries.len());
        if room == 0 {
            return Ok(());
        }
        let busy: Vec<i64> = self.receivers.values().copied().collect();
        let most = i64::try_from(room).unwrap_or(i64::MAX);
        let mut conn = app.pool.acquire().await?;
        let due = db::webhook::due(&mut conn, &busy, most, LEASE_S).await?;
        drop(conn);
        for due in due {
            let receiver = due.webhook_id;
            let task = self.tries.spawn(send(app.clone(), due));
            self.receivers.insert(task.id(), receiver);
        }
        Ok(())
    }

    /// Waits for one try to end; for ever when none is made.
    async fn one(&mut self) {
        match self.tries.join_next_with_id().await {
            Some(Ok((id, ()))) => self.receivers.remove(&id),
            Some(Err(error)) => self.receivers.remove(&error.id()),
            None => std::future::pending().await,
        };
    }

    async fn all(&mut self) {
        while !self.tries.is_empty() {
            self.one().await;
        }
    }
}

/// Makes one try and notes how it ended.
async fn send(app: App, due: Due) {
    let id = format!("msg_{}", due.id.simple());
    let now = OffsetDateTime::now_utc().unix_timestamp();
    let allowed = &app.gate.webhook_allow;
    let answer = match due.kind.as_str() {
        "standard" => outgoing::post(&due.url, &due.secret, &id, now, &due.body, allowed).await,
        service => {
            let credential = status::credential(service, &due.secret);
            let body = match service {
                "patchwork" => with_page(&app, &due),
                _ => due.body.clone(),
            };
            outgoing::status(&due.url, credential, &body, allowed).await
        }
    };
    let noted = async {
        let mut tx = app.pool.begin().await?;
        match &answer {
            Ok(answer) if (200..300).contains(&answer.status) => {
                let status = i32::from(answer.status);
                db::webhook::tried(&mut tx, &due, &Tried::Delivered { status }).await?;
            }
            Ok(answer) if answer.status == 410 => {
                let why = "the receiver says that it is gone (410)";
                let status = Some(410);
                db::webhook::tried(&mut tx, &due, &Tried::GivenUp { status, why }).await?;
                db::webhook::disable(&mut tx, due.webhook_id, Some(why)).await?;
            }
            Ok(answer) => {
                let why = match answer.status {
                    300..400 => {
                        format!("it answered {}, and no redirect is followed", answer.status)
                    }
                    status => format!("it answered {status}"),
                };
                let status = Some(i32::from(answer.status));
                again(&mut tx, &due, status, &why, answer.retry_after_s).await?;
            }
            Err(why) => again(&mut tx, &due, None, why, None).await?,
        }
        tx.commit().await
    };
    if let Err(error) = noted.await {
        tracing::warn!(delivery = %due.id, %error, "an answer could not be noted; it is sent again");
    }
}

/// A check with the page of its job, if others can reach that: at most 200 characters there.
fn with_page(app: &App, due: &Due) -> String {
    let mut check: serde_json::Value = serde_json::from_str(&due.body).unwrap_or_default();
    let page = match (&app.gate.url, due.job_id) {
        (Some(server), Some(job)) => format!("{server}/jobs/{job}"),
        _ => String::new(),
    };
    if (1..=200).contains(&page.len()) {
        check["target_url"] = page.into();
    }
    check.to_string()
}

/// Waits as the schedule says, or longer if the receiver asks for it; gives up after the last try.
async fn again(
    conn: &mut sqlx::PgConnection,
    due: &Due,
    status: Option<i32>,
    why: &str,
    retry_after_s: Option<u64>,
) -> sqlx::Result<()> {
    let why: String = why.chars().take(WHY).collect();
    let why = why.as_str();
    let made = usize::try_from(due.tries).unwrap_or(usize::MAX);
    let how = match limits::WEBHOOK_WAITS_S.get(made) {
        None => Tried::GivenUp { status, why },
        Some(wait) => {
            // Receivers that failed together are not asked together again.
            let jitter = rand::rng().random_range(0.9..1.1);
            let wait = *wait as f64 * jitter;
            let in_s = wait.max(retry_after_s.unwrap_or_default() as f64);
            Tried::Again { status, why, in_s }
        }
    };
    db::webhook::tried(conn, due, &how).await
}
