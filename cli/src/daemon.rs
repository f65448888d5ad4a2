//! `server` and `worker`: the long-running processes, and how they are told to stop.

use std::path::{Path, PathBuf};

use firstbad_api::limits::Timing;
use firstbad_server::ServerConfig;
use firstbad_worker::WorkerConfig;
use rustix::process::{Pid, Signal, getppid, set_parent_process_death_signal};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::args::{Common, Pace, ServerArgs, WorkerArgs};
use crate::fail::{Done, Fail};
use crate::{input, up};

/// File name of PID 1 of the virtual machines.
const GUEST: &str = "firstbad-guest";
/// Where Cargo leaves the static guest, seen from the directory of this program.
const GUEST_BUILT: &str = "../x86_64-unknown-linux-gnu/release";
const TOKEN_BYTES: usize = 4096;

/// Runs the server until SIGINT, SIGTERM or the supervisor's death.
pub fn server(args: &ServerArgs) -> Done {
    let config = ServerConfig {
        data: args.data.clone(),
        listen: args.listen,
        database_url: args.database_url.clone(),
        timing: match args.timing {
            Pace::Default => Timing::DEFAULT,
            Pace::Drill => Timing::DRILL,
        },
        private: args.gate.private,
        url: args.gate.url.clone(),
        webhook_allow: args.gate.webhook_allow.clone(),
        oidc: args.oidc.config()?,
    };
    until_told(async |stop| firstbad_server::run(config, stop).await)
}

/// Runs a worker until SIGINT, SIGTERM or the supervisor's death.
pub fn worker(common: &Common, args: &WorkerArgs) -> Done {
    let token = match &common.token_file {
        Some(file) => input::text(file, TOKEN_BYTES)?.trim().to_string(),
        None => std::env::var("FIRSTBAD_TOKEN").unwrap_or_default(),
    };
    let config = WorkerConfig {
        server: common.server.trim_end_matches('/').to_string(),
        token,
        dir: args.dir.clone(),
        name: args.name.clone().unwrap_or_else(host),
        kinds: args.kinds.iter().map(|k| k.to_string()).collect(),
        once: args.once,
        guest_dir: guest(args.guest_dir.as_deref())?,
    };
    until_told(async |stop| firstbad_worker::run(config, stop).await)
}

fn until_told<F>(work: F) -> Done
where
    F: AsyncFnOnce(CancellationToken) -> anyhow::Result<()>,
{
    bind_to_supervisor()?;
    start_log();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|e| Fail::Infrastructure(format!("no runtime: {e}")))?;
    let result = runtime.block_on(async {
        let stop = CancellationToken::new();
        tokio::spawn(listen(stop.clone()));
        work(stop).await
    });
    result.map_err(|e| Fail::Infrastructure(format!("{e:#}")))?;
    Ok(0)
}

/// Cancels on the first SIGINT or SIGTERM.
async fn listen(stop: CancellationToken) {
    let (Ok(mut int), Ok(mut term)) = (
        signal(SignalKind::interrupt()),
        signal(SignalKind::terminate()),
    ) else {
        tracing::error!("no signal handlers: this process ends only by SIGKILL");
        return;
    };
    tokio::select! {
        _ = int.recv() => {}
        _ = term.recv() => {}
    }
    stop.cancel();
}

/// A child of `firstbad up` gets SIGTERM when that dies, even by SIGKILL.
fn bind_to_supervisor() -> Result<(), Fail> {
    let Some(pid) = std::env::var(up::PARENT)
        .ok()
        .and_then(|v| v.parse().ok())
        .and_then(Pid::from_raw)
    else {
        return Ok(());
    };
    set_parent_process_death_signal(Some(Signal::TERM))
        .map_err(|e| Fail::Infrastructure(format!("cannot bind to the supervisor: {e}")))?;
    if getppid() == Some(pid) {
        Ok(())
    } else {
        Err(Fail::Infrastructure("the supervisor is gone".into()))
    }
}

fn start_log() {
    let filter = tracing_subscriber::EnvFilter::try_from_env("FIRSTBAD_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .init();
}

fn host() -> String {
    rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned()
}

/// The directory with the guest's binary: as given, beside this program, or where Cargo leaves it.
pub fn guest(given: Option<&Path>) -> Result<PathBuf, Fail> {
    let candidates: Vec<PathBuf> = match given {
        Some(dir) => vec![dir.to_path_buf()],
        None => std::env::current_exe()
            .ok()
            .and_then(|exe| exe.parent().map(Path::to_path_buf))
            .map(|dir| vec![dir.join(GUEST_BUILT), dir])
            .unwrap_or_default(),
    };
    candidates
        .into_iter()
        .find(|dir| dir.join(GUEST).is_file())
        .ok_or_else(|| {
            Fail::NoInput(format!(
                "{GUEST} is not beside this program: name its directory with --guest-dir"
            ))
        })
}
