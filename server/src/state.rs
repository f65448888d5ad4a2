//! What every handler and task can reach.

use std::path::PathBuf;
use std::sync::Arc;

use firstbad_api::limits::Timing;
use sqlx::PgPool;
use tokio::sync::watch;
use uuid::Uuid;

use crate::access::Gate;
use crate::ladder::Ladders;
use crate::oidc::Oidc;
use crate::repo::Repos;
use crate::store::Store;
use crate::suites::Suites;

/// Shared by handlers and tasks; cheap to clone.
#[derive(Clone)]
pub struct App {
    pub pool: PgPool,
    pub repos: Repos,
    pub ladders: Ladders,
    pub store: Store,
    pub suites: Arc<Suites>,
    pub timing: Timing,
    pub incarnation: Uuid,
    pub data: PathBuf,
    pub gate: Arc<Gate>,
    /// Whom people may sign in with besides us.
    pub oidc: Option<Arc<Oidc>>,
    /// Wakes the planner and waiting lease requests; the database stays the truth.
    changed: Arc<watch::Sender<u64>>,
}

impl App {
    pub fn new(
        pool: PgPool,
        incarnation: Uuid,
        data: PathBuf,
        suites: Arc<Suites>,
        timing: Timing,
    ) -> App {
        App {
            repos: Repos::new(data.join("trees")),
            ladders: Ladders::new(data.join("ladders")),
            store: Store::new(data.clone()),
            pool,
            suites,
            timing,
            incarnation,
            data,
            gate: Arc::default(),
            oidc: None,
            changed: Arc::new(watch::Sender::new(0)),
        }
    }

    /// Something changed that the planner or a waiting worker may want to see.
    pub fn wake(&self) {
        self.changed.send_modify(|n| *n = n.wrapping_add(1));
    }

    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }
}
