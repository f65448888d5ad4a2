//! A private Postgres cluster for a server without `DATABASE_URL`.
//!
//! Owns the cluster's directory, its socket and the life of its postmaster.
//! Must not know: schema, SQL, jobs.
//!
//! The postmaster is no child that dies with the server: a server that was killed
//! finds it running and adopts it. `owner.lock` says who is responsible; a small
//! watchdog stops a postmaster that nobody has owned for ten minutes.

mod home;
mod programs;
mod throwaway;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use sqlx::Connection;
use sqlx::migrate::MigrateDatabase;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use tokio::process::Child;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use home::Home;
use programs::Programs;
pub use throwaway::{TestDatabase, test_database};

/// Role and database of the server.
const NAME: &str = "firstbad";
/// Part of the socket's name only.
const PORT: u16 = 5432;
/// How long a start may take, crash recovery included.
const START: Duration = Duration::from_secs(300);
/// How long a postmaster may fail to start: the processes of a killed one need a moment to go.
const FLAPPING: Duration = Duration::from_secs(15);
/// How long a fast shutdown may take before it becomes an immediate one.
const STOP: Duration = Duration::from_secs(20);
/// Looks at the postmaster this often.
const LOOK: Duration = Duration::from_millis(250);
/// A postmaster without an owner lives this long, seconds.
const ORPHAN_S: u32 = 600;

/// Why there is no database.
#[derive(Debug, thiserror::Error)]
pub enum PgError {
    #[error(
        "Postgres is not installed: neither PATH nor /usr/lib/postgresql has initdb and postgres{0}; \
         run `apt-get install postgresql`, or set DATABASE_URL"
    )]
    NotInstalled(String),
    #[error(
        "Postgres does not run as root and there is no user `postgres`: \
         run `useradd --system postgres`, or set DATABASE_URL"
    )]
    NoUser,
    #[error(
        "another server is using the database in {0}; stop it first or choose another data directory"
    )]
    InUse(String),
    #[error("Postgres does not start: {0}")]
    DoesNotStart(String),
    #[error("the directory of the database cannot be prepared: {0}")]
    Directory(String),
    #[error("the database `{NAME}` cannot be made: {0}")]
    Database(#[from] sqlx::Error),
}

/// A running private cluster; cheap to clone.
#[derive(Debug, Clone)]
pub struct Cluster {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    home: Home,
    programs: Programs,
    /// Commits survive a power failure. Off only for throw-away clusters.
    durable: bool,
    /// Held as long as this process is responsible for the postmaster.
    _owner: std::fs::File,
}

impl Cluster {
    /// Starts or adopts the cluster in `dir`, made when there is none, and waits until it answers.
    ///
    /// # Errors
    /// A sentence that says what to install or do.
    pub async fn start(dir: &Path) -> Result<Cluster, PgError> {
        let home = Home::open(dir).await?;
        let owner = home.own().await?;
        let programs = Programs::find(home.version().as_deref())?;
        let cluster = Cluster {
            inner: Arc::new(Inner {
                home,
                programs,
                durable: true,
                _owner: owner,
            }),
        };
        cluster
            .inner
            .home
            .create(&cluster.inner.programs, true)
            .await?;
        cluster.ensure_running().await?;
        cluster.inner.home.watch(ORPHAN_S, true)?;
        cluster.create_database(NAME).await?;
        Ok(cluster)
    }

    /// How to connect: the unix socket, role and database `firstbad`.
    pub fn options(&self) -> PgConnectOptions {
        self.options_of(NAME)
    }

    fn options_of(&self, database: &str) -> PgConnectOptions {
        PgConnectOptions::new_without_pgpass()
            .socket(self.inner.home.socket_dir())
            .port(PORT)
            .username(NAME)
            .database(database)
    }

    /// The same as a URL, for other programs.
    pub fn url(&self) -> String {
        self.url_of(NAME)
    }

    fn url_of(&self, database: &str) -> String {
        let socket = self.inner.home.socket_dir().to_string_lossy();
        let socket: String = socket
            .bytes()
            .map(|b| match b {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => {
                    char::from(b).to_string()
                }
                _ => format!("%{b:02X}"),
            })
            .collect();
        format!("postgres://{NAME}@{socket}:{PORT}/{database}")
    }

    /// Starts Postgres again whenever it dies; at shutdown stops it and returns.
    pub async fn supervise(self, shutdown: CancellationToken) {
        while shutdown.run_until_cancelled(sleep(LOOK)).await.is_some() {
            if self.inner.home.postmaster().is_some() {
                continue;
            }
            tracing::warn!("postgres is gone; starting it again");
            match shutdown.run_until_cancelled(self.ensure_running()).await {
                Some(Ok(())) => tracing::info!("postgres is back"),
                Some(Err(error)) => tracing::error!(%error, "postgres stays away; trying again"),
                None => break,
            }
        }
        self.stop().await;
    }

    /// Stops Postgres cleanly, within a bound.
    pub async fn stop(&self) {
        for signal in [Signal::INT, Signal::QUIT, Signal::KILL] {
            let Some(pid) = self.inner.home.postmaster() else {
                return;
            };
            // It may have gone by itself.
            let _ = kill_process(pid, signal);
            let end = Instant::now() + STOP;
            while Instant::now() < end && alive(pid, &self.inner.home) {
                sleep(Duration::from_millis(20)).await;
            }
        }
    }

    /// Returns when the cluster takes connections; starts a postmaster when there is none.
    async fn ensure_running(&self) -> Result<(), PgError> {
        let begun = Instant::now();
        let mut child: Option<Child> = None;
        let mut answer = "it did not answer".to_owned();
        while begun.elapsed() < START {
            let exited = match &mut child {
                Some(child) => !matches!(child.try_wait(), Ok(None)),
                None => true,
            };
            if self.inner.home.postmaster().is_some() {
                match self.probe().await {
                    Ok(()) => return Ok(()),
                    Err(why) => answer = why,
                }
            } else if exited {
                if child.is_some() && begun.elapsed() > FLAPPING {
                    return Err(PgError::DoesNotStart(self.inner.home.last_words()));
                }
                child = Some(self.launch().await?);
            }
            sleep(Duration::from_millis(100)).await;
        }
        Err(PgError::DoesNotStart(answer))
    }

    async fn probe(&self) -> Result<(), String> {
        let options = self.options_of("postgres");
        let connect = PgConnection::connect_with(&options);
        match timeout(Duration::from_secs(3), connect).await {
            Ok(Ok(connection)) => {
                let _ = connection.close().await;
                Ok(())
            }
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err("it did not answer within 3 s".to_owned()),
        }
    }

    async fn launch(&self) -> Result<Child, PgError> {
        let Inner {
            home,
            programs,
            durable,
            ..
        } = &*self.inner;
        home.clear_stale()?;
        let socket = home.socket_dir().display();
        let sync = if *durable { "on" } else { "off" };
        let mut command = home.account().command(&programs.postgres, home.dir());
        command.arg("-D").arg(home.data());
        for setting in [
            "listen_addresses=".to_owned(),
            format!("unix_socket_directories=\"{socket}\""),
            "unix_socket_permissions=0700".to_owned(),
            format!("port={PORT}"),
            format!("fsync={sync}"),
            format!("full_page_writes={sync}"),
            format!("synchronous_commit={sync}"),
            "max_connections=100".to_owned(),
            "shared_buffers=128MB".to_owned(),
            "jit=off".to_owned(),
            "restart_after_crash=on".to_owned(),
            "logging_collector=off".to_owned(),
            "log_destination=stderr".to_owned(),
            "timezone=UTC".to_owned(),
            "log_timezone=UTC".to_owned(),
        ] {
            command.args(["-c", &setting]);
        }
        command
            .stderr(home.log_file()?)
            // Ctrl-C in the server's terminal is the server's business first.
            .process_group(0)
            .spawn()
            .map_err(|e| PgError::DoesNotStart(e.to_string()))
    }

    async fn create_database(&self, name: &str) -> Result<(), PgError> {
        let url = self.url_of(name);
        if !sqlx::Postgres::database_exists(&url).await? {
            sqlx::Postgres::create_database(&url).await?;
        }
        Ok(())
    }
}

fn alive(pid: Pid, home: &Home) -> bool {
    test_kill_process(pid).is_ok() && home.postmaster() == Some(pid)
}
