//! Databases for tests: one cluster without durability, shared by all test processes
//! of a user, gone a few seconds after the last of them.

use std::fs::File;
use std::sync::Arc;

use sqlx::postgres::PgConnectOptions;
use tokio::sync::OnceCell;

use super::home::Home;
use super::programs::Programs;
use super::{Cluster, Inner, PgError};

/// The cluster outlives the last process that uses it by this, seconds.
const LINGER_S: u32 = 4;

/// An empty database of its own.
#[derive(Debug, Clone)]
pub struct TestDatabase {
    pub options: PgConnectOptions,
    /// The same, for a program's `DATABASE_URL`.
    pub url: String,
}

/// A fresh, empty database in the shared throw-away cluster.
///
/// # Errors
/// When Postgres is not installed or does not start.
pub async fn test_database() -> Result<TestDatabase, PgError> {
    static CLUSTER: OnceCell<Cluster> = OnceCell::const_new();
    let cluster = CLUSTER.get_or_try_init(shared).await?;
    let name = format!("t{}", uuid::Uuid::new_v4().simple());
    cluster.create_database(&name).await?;
    Ok(TestDatabase {
        options: cluster.options_of(&name),
        url: cluster.url_of(&name),
    })
}

/// Joins the cluster of this user, or starts it from nothing.
async fn shared() -> Result<Cluster, PgError> {
    let user = rustix::process::geteuid().as_raw();
    let dir = std::env::temp_dir().join(format!("firstbad-test-{user}"));
    let home = Home::open(&dir).await?;
    // Shared: the watchdog waits for the last user. Exclusive: one starts, the others wait.
    let owner = locked(home.lock_file("owner.lock")?, File::lock_shared).await?;
    let starting = locked(home.lock_file("start.lock")?, File::lock).await?;
    let cluster = Cluster {
        inner: Arc::new(Inner {
            programs: Programs::find(None)?,
            home,
            durable: false,
            _owner: owner,
        }),
    };
    let Inner { home, programs, .. } = &*cluster.inner;
    if home.postmaster().is_none() {
        // Left by a run that was cut off; without durability nothing in it can be trusted.
        let _ = tokio::fs::remove_dir_all(home.data()).await;
        home.create(programs, false).await?;
    }
    cluster.ensure_running().await?;
    home.watch(LINGER_S, false)?;
    drop(starting);
    Ok(cluster)
}

async fn locked(file: File, lock: fn(&File) -> std::io::Result<()>) -> Result<File, PgError> {
    let take = tokio::task::spawn_blocking(move || lock(&file).map(|()| file));
    let taken = take.await.map_err(std::io::Error::other).flatten();
    taken.map_err(|e| PgError::Directory(format!("lock: {e}")))
}
