//! The life of a worker process: check the machine, register, lease, work, report.
//!
//! Owns the loop around leases. Must not know what an attempt does, nor keep
//! anything that is not on the server or in the spool.

use std::time::Duration;

use firstbad_api::lease::{FinishRequest, Lease, LeaseRequest};
use firstbad_api::limits::{FREE_BYTES_MIN, Timing};
use firstbad_api::observation::Finish;
use firstbad_api::worker::{Capabilities, Register, Registered};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::attempt::{self, Machine};
use crate::client::{Client, ClientError, Pause};
use crate::config::WorkerConfig;
use crate::dirs::Dirs;
use crate::error::InfraError;
use crate::kbuild::Kbuild;
use crate::lease::{Held, since_boot};
use crate::process::Until;
use crate::sandbox::Sandbox;
use crate::{selftest, spool, vm};

/// Added to the server's long-poll time.
const POLL_SLACK: Duration = Duration::from_secs(15);
/// Time for the checks at start.
const START: Duration = Duration::from_secs(300);
/// Pause when the disk is too full to take work.
const FULL_PAUSE: Duration = Duration::from_secs(30);

/// Runs a worker until `shutdown`, or after one attempt if so configured.
///
/// Fails when this machine cannot do the work (missing programs, a sandbox that
/// does not hold) or the server refuses the worker.
pub async fn run(config: WorkerConfig, shutdown: CancellationToken) -> anyhow::Result<()> {
    // Sources are read by the sandbox's uid; the worker's directory itself is closed.
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
    let (dirs, _lock) = Dirs::open(&config.dir)?;
    let sandbox = Sandbox::new()?.lend_kvm(dirs.root());
    selftest::run(&sandbox, &dirs).await?;
    tracing::info!("the sandbox holds: every probe failed to get out");
    let until = Until {
        deadline: tokio::time::Instant::now() + START,
        cancel: shutdown.clone(),
    };
    let machine = match machine(&config, &sandbox, dirs, &until).await {
        Err(InfraError::Cancelled) => return Ok(()),
        made => made?,
    };
    let worker = Worker {
        id: machine.dirs.worker_id()?,
        caps: capabilities(&config, &machine),
        config,
        machine,
        shutdown,
    };
    worker.serve().await
}

async fn machine(
    config: &WorkerConfig,
    sandbox: &Sandbox,
    dirs: Dirs,
    until: &Until,
) -> Result<Machine, InfraError> {
    let kbuild = match config.takes("build") {
        true => Some(Kbuild::new(sandbox, &dirs, until).await?),
        false => None,
    };
    let vm = match config.takes("test") {
        true => Some(vm::Vm::new(vm_config(config, &dirs), sandbox).await?),
        false => None,
    };
    let client = Client::new(&config.server, &config.token)?;
    Ok(Machine {
        dirs,
        client,
        kbuild,
        vm,
    })
}

fn vm_config(config: &WorkerConfig, dirs: &Dirs) -> vm::VmConfig {
    vm::VmConfig {
        dir: dirs.root().join("vm"),
        guest_dir: config.guest_dir.clone(),
        accel: vm::Accel::Auto,
    }
}

fn capabilities(config: &WorkerConfig, machine: &Machine) -> Capabilities {
    let vm = machine.vm.as_ref();
    let text = |value: Option<&str>| value.unwrap_or_default().to_owned();
    Capabilities {
        arch: std::env::consts::ARCH.to_owned(),
        cpus: std::thread::available_parallelism()
            .map_or(1, |n| u32::try_from(n.get()).unwrap_or(u32::MAX)),
        memory_mib: memory_mib(),
        accel: text(vm.map(|v| v.accel.as_str())),
        accel_why: text(vm.map(|v| v.accel_why.as_str())),
        toolchain: text(machine.kbuild.as_ref().map(Kbuild::toolchain)),
        qemu_version: text(vm.map(|v| v.qemu_version.as_str())),
        toolset: text(vm.map(|v| v.toolset.as_str())),
        kinds: config.kinds.clone(),
    }
}

fn memory_mib() -> u64 {
    let info = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    info.lines()
        .find_map(|l| l.strip_prefix("MemTotal:"))
        .and_then(|l| l.split_whitespace().next())
        .and_then(|kib| kib.parse::<u64>().ok())
        .map_or(0, |kib| kib / 1024)
}

struct Worker {
    id: Uuid,
    caps: Capabilities,
    config: WorkerConfig,
    machine: Machine,
    shutdown: CancellationToken,
}

impl Worker {
    async fn serve(&self) -> anyhow::Result<()> {
        // Before registering, which takes back what an earlier process left unfinished.
        spool::deliver_all(
            &self.machine.client,
            &self.machine.dirs.spool(),
            &self.shutdown,
        )
        .await;
        let Some(mut registered) = self.register().await? else {
            return Ok(());
        };
        tracing::info!(worker = %self.id, server = %self.config.server, "registered");
        let mut pause = Pause::default();
        while !self.shutdown.is_cancelled() {
            let Some(free_bytes) = self.room().await? else {
                continue;
            };
            let sent = since_boot();
            let asked = tokio::select! {
                asked = self.ask(free_bytes, &registered.timing) => asked,
                () = self.shutdown.cancelled() => break,
            };
            match asked {
                Ok(None) => pause = Pause::default(),
                Ok(Some(lease)) => {
                    pause = Pause::default();
                    self.work(lease, &registered.timing, sent).await?;
                    if self.config.once {
                        break;
                    }
                }
                Err(ClientError::Unavailable(why)) => {
                    tracing::warn!(%why, "no answer to a request for work");
                    self.rest(pause.longer()).await;
                }
                // Another server, or another database: introduce ourselves again.
                Err(ClientError::Refused(why)) => {
                    tracing::warn!(why = %why.detail, "a request for work was refused; registering again");
                    self.rest(pause.longer()).await;
                    match self.register().await? {
                        Some(again) => registered = again,
                        None => break,
                    }
                }
            }
        }
        Ok(())
    }

    /// Registers, however long the server takes to be there; `None` on shutdown.
    async fn register(&self) -> anyhow::Result<Option<Registered>> {
        let register = Register {
            worker: self.id,
            name: self.config.name.clone(),
            caps: self.caps.clone(),
        };
        let mut pause = Pause::default();
        while !self.shutdown.is_cancelled() {
            match self.machine.client.register(&register).await {
                Ok(registered) => return Ok(Some(registered)),
                Err(why @ ClientError::Refused(_)) => return Err(why.into()),
                Err(ClientError::Unavailable(why)) => {
                    tracing::warn!(%why, server = %self.config.server, "cannot register yet");
                    self.rest(pause.longer()).await;
                }
            }
        }
        Ok(None)
    }

    async fn rest(&self, pause: Duration) {
        // Woken by shutdown or by time, the caller looks again.
        let _either = tokio::time::timeout(pause, self.shutdown.cancelled()).await;
    }

    /// Free bytes, if they are enough to take work.
    async fn room(&self) -> Result<Option<u64>, InfraError> {
        let dirs = &self.machine.dirs;
        if dirs.free_bytes()? < FREE_BYTES_MIN {
            dirs.prune_all();
        }
        let free = dirs.free_bytes()?;
        if free >= FREE_BYTES_MIN {
            return Ok(Some(free));
        }
        tracing::warn!(
            free,
            needed = FREE_BYTES_MIN,
            "too little disk space: taking no work"
        );
        self.rest(FULL_PAUSE).await;
        Ok(None)
    }

    async fn ask(&self, free_bytes: u64, timing: &Timing) -> Result<Option<Lease>, ClientError> {
        let request = LeaseRequest {
            worker: self.id,
            kinds: self.config.kinds.clone(),
            free_bytes,
        };
        let patience = Duration::from_millis(timing.long_poll_ms) + POLL_SLACK;
        self.machine.client.lease(&request, patience).await
    }

    async fn work(&self, lease: Lease, timing: &Timing, sent: Duration) -> Result<(), InfraError> {
        let client = &self.machine.client;
        let ttl = Duration::from_millis(lease.ttl_ms);
        let held = Held::keep(client, lease.fence, *timing, ttl, sent, &self.shutdown);
        let (attempt, epoch) = (lease.fence.attempt, lease.fence.epoch);
        tracing::info!(attempt, epoch, "begun");
        let done = attempt::run(&self.machine, &held, &lease.work).await;
        if let Some(why) = held.lost() {
            tracing::warn!(attempt, epoch, %why, "stopped without a report");
            return Ok(());
        }
        let finish = match done {
            Ok(finish) => finish,
            Err(_) if self.shutdown.is_cancelled() => Finish::Released,
            Err(InfraError::Failed(what)) => {
                tracing::error!(attempt, epoch, %what, "infrastructure failure");
                Finish::Infrastructure { what }
            }
            Err(why @ (InfraError::Cancelled | InfraError::Fenced)) => {
                tracing::warn!(attempt, epoch, %why, "stopped without a report");
                return Ok(());
            }
        };
        let request = FinishRequest {
            fence: lease.fence,
            finish,
        };
        let path = spool::store(&self.machine.dirs.spool(), &request)?;
        let delivery = spool::deliver(client, &path, &request, &self.shutdown).await;
        tracing::info!(attempt, epoch, ?delivery, "ended");
        Ok(())
    }
}
