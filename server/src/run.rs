//! Starts the server: database, migrations, tokens, tasks, listener.

use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use firstbad_api::limits::Timing;
use ipnet::IpNet;
use sqlx::PgPool;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use tokio_util::sync::CancellationToken;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::trace::TraceLayer;

use crate::access::{self, Access, Gate, Object, Role, Routes, Surface};
use crate::oidc::{Oidc, OidcConfig};
use crate::state::App;
use crate::suites::Suites;
use crate::{api, db, git_http, pg, tasks, web};

/// How the server is started.
#[derive(Debug, Clone)]
pub struct ServerConfig {
    /// Trees, artefacts, logs, tokens and the private database live here.
    pub data: PathBuf,
    pub listen: SocketAddr,
    /// An existing Postgres; otherwise a private cluster in `data`.
    pub database_url: Option<String>,
    pub timing: Timing,
    /// Reading asks for an account too.
    pub private: bool,
    /// Address under which people reach the server, when that is not `listen`.
    pub url: Option<String>,
    /// Addresses that webhooks may go to besides those of the public internet, and without TLS.
    pub webhook_allow: Vec<IpNet>,
    /// Whom people may sign in with besides us; asks for `url`.
    pub oidc: Option<OidcConfig>,
}

/// Runs until shutdown.
///
/// # Errors
/// When the database, the suites or the listener cannot be had.
pub async fn run(config: ServerConfig, shutdown: CancellationToken) -> anyhow::Result<()> {
    std::fs::create_dir_all(&config.data)
        .with_context(|| format!("cannot create {}", config.data.display()))?;
    let mut cluster_task = None;
    let options: PgConnectOptions = match &config.database_url {
        Some(url) => url.parse().context("DATABASE_URL is not a Postgres URL")?,
        None => {
            let cluster = pg::Cluster::start(&config.data.join("postgres")).await?;
            let options = cluster.options();
            cluster_task = Some(tokio::spawn(cluster.supervise(shutdown.clone())));
            options
        }
    };
    let pool = connect(options).await?;
    let app = prepare(pool, &config).await?;
    let listener = tokio::net::TcpListener::bind(config.listen)
        .await
        .with_context(|| format!("cannot listen on {}", config.listen))?;
    tracing::info!(address = %listener.local_addr()?, "serving");
    let planner = tokio::spawn(tasks::run_planner(app.clone(), shutdown.clone()));
    let expiry = tokio::spawn(tasks::run_expiry(app.clone(), shutdown.clone()));
    let releases = tokio::spawn(tasks::releases::run(app.clone(), shutdown.clone()));
    let deliveries = tokio::spawn(tasks::deliver::run(app.clone(), shutdown.clone()));
    let looks = tokio::spawn(tasks::known::run(app.clone(), shutdown.clone()));
    let watches = tokio::spawn(tasks::watch::run(app.clone(), shutdown.clone()));
    let stop = shutdown.clone();
    let service = router(app).into_make_service_with_connect_info::<SocketAddr>();
    let serve = axum::serve(listener, service)
        .with_graceful_shutdown(async move { stop.cancelled().await });
    tokio::select! {
        served = async { serve.await } => served?,
        // A waiting lease request must not hold the end up.
        () = async { shutdown.cancelled().await; tokio::time::sleep(Duration::from_secs(3)).await } => {}
    }
    shutdown.cancel();
    let _ = tokio::join!(planner, expiry, releases, deliveries, looks, watches);
    if let Some(task) = cluster_task {
        task.await?;
    }
    Ok(())
}

async fn connect(options: PgConnectOptions) -> anyhow::Result<PgPool> {
    let options = options.options([
        ("statement_timeout", "60s"),
        ("idle_in_transaction_session_timeout", "30s"),
        ("lock_timeout", "10s"),
    ]);
    let pool = PgPoolOptions::new()
        .max_connections(20)
        .acquire_timeout(Duration::from_secs(5))
        .connect_with(options)
        .await
        .context("cannot connect to Postgres")?;
    Ok(pool)
}

/// Migrates, makes the local tokens and extends the leases that could not be renewed while we were away.
pub async fn prepare(pool: PgPool, config: &ServerConfig) -> anyhow::Result<App> {
    db::MIGRATOR
        .run(&pool)
        .await
        .context("cannot migrate the database")?;
    let suites = Suites::load().map_err(anyhow::Error::msg)?;
    let mut conn = pool.acquire().await?;
    let incarnation = db::incarnation(&mut conn).await?;
    local_token(
        &mut conn,
        &config.data.join("token"),
        "local",
        Some(Role::Admin),
    )
    .await?;
    local_token(&mut conn, &config.data.join("worker-token"), "worker", None).await?;
    db::lease::grace(&mut conn, config.timing.ttl_ms).await?;
    drop(conn);
    let mut app = App::new(
        pool,
        incarnation,
        config.data.clone(),
        Arc::new(suites),
        config.timing,
    );
    app.gate = Arc::new(Gate {
        private: config.private,
        url: config.url.clone(),
        exposed: !config.listen.ip().is_loopback(),
        webhook_allow: config.webhook_allow.clone(),
        ..Gate::default()
    });
    if let Some(oidc) = &config.oidc {
        let url = config.url.as_deref();
        let url = url.context("signing in with a provider asks for the address of this server")?;
        let oidc = Oidc::new(oidc.clone(), url).context("no way to the identity provider")?;
        app.oidc = Some(Arc::new(oidc));
    }
    Ok(app)
}

/// The token in `path`, made on the first start, readable by the owner only.
async fn local_token(
    conn: &mut sqlx::PgConnection,
    path: &Path,
    id: &str,
    role: Option<Role>,
) -> anyhow::Result<()> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text.trim().to_owned(),
        Err(_) => {
            let text = access::make_token(id);
            let mut file = std::fs::OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(true)
                .mode(0o600)
                .open(path)
                .with_context(|| format!("cannot write {}", path.display()))?;
            std::io::Write::write_all(&mut file, text.as_bytes())?;
            text
        }
    };
    access::put_token(conn, id, &text, role)
        .await
        .with_context(|| format!("cannot store the token of {}", path.display()))
}

/// Every route of the server, and what it asks of who calls it.
pub fn routes(app: &App) -> Routes {
    let health = Routes::new(app, Surface::Program, "")
        .get("/healthz", Access::Open, Object::None, || async { "ok\n" })
        .get("/readyz", Access::Open, Object::None, ready);
    let git = git_http::router(app.repos.clone()).with_state(());
    health
        .merge(api::routes(app))
        .merge(web::routes(app))
        // Mirrors have what people wrote for private jobs too.
        .all_of(&git_http::routes(), Access::Mirror, git)
}

/// The routes as a service.
pub fn router(app: App) -> Router {
    routes(&app)
        .into_router()
        .fallback(web::not_found)
        .with_state(app)
        .layer(CatchPanicLayer::new())
        .layer(TraceLayer::new_for_http())
}

/// Ready when the database answers and takes writes.
async fn ready(State(app): State<App>) -> (StatusCode, &'static str) {
    let writable = async { db::writable(&mut *app.pool.acquire().await?).await };
    match tokio::time::timeout(Duration::from_secs(2), writable).await {
        Ok(Ok(true)) => (StatusCode::OK, "ready\n"),
        Ok(Ok(false)) => (
            StatusCode::SERVICE_UNAVAILABLE,
            "the database is read-only\n",
        ),
        Ok(Err(_)) | Err(_) => (
            StatusCode::SERVICE_UNAVAILABLE,
            "the database does not answer\n",
        ),
    }
}
