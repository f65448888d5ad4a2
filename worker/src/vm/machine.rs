//! One QEMU process from start to end.
//!
//! Owns the process, its clock (boot, silence and total time) and the poll of
//! its ports. Must not know what suites are or what an observation says.

use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use firstbad_api::observation::RunInputs;
use firstbad_api::qemu;
use tokio::io::AsyncReadExt;
use tokio::process::{Child, ChildStderr, Command};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::classify::{self, Stop};
use super::console::{Console, Ended};
use super::frames::Step;
use super::patience::Patience;
use crate::error::{Context, InfraError};
use crate::process;
use crate::sandbox::{Limits, Sandbox, Spec};

/// Interval between two looks at the ports.
const POLL: Duration = Duration::from_millis(50);
/// A kernel that panicked and says nothing more this long does not reboot by itself.
const PANIC_GRACE: Duration = Duration::from_secs(15);
/// A machine that could run for less than this part of its time says nothing about its kernel.
const STARVED: u32 = 6;
/// Kept of what QEMU says on its standard error, bytes.
const STDERR_BYTES: usize = 64 << 10;
/// Largest file of the sandbox: a flood on a port ends here if its middle cannot be given back.
const FSIZE: u64 = 8 << 30;
/// Where QEMU sees its files.
pub const IMAGE: &str = "/vm/image";
pub const INITRAMFS: &str = "/vm/initramfs";
const OUT: &str = "/vm/out";

/// How long a run may take.
#[derive(Debug, Clone, Copy)]
pub struct Times {
    /// To PID 1's hello.
    pub boot: Duration,
    /// Without a byte on either port, starved time not counted.
    pub silence: Duration,
    /// In all.
    pub total: Duration,
}

/// The recorded arguments with the files where the sandbox shows them.
pub fn args(run: &RunInputs) -> Vec<String> {
    let arguments = run.argv.iter().skip(1);
    arguments
        .map(|word| match word.as_str() {
            qemu::IMAGE => IMAGE.to_owned(),
            qemu::INITRAMFS => INITRAMFS.to_owned(),
            word => word.to_owned(),
        })
        .collect()
}

/// The command that runs QEMU in the sandbox, writing its ports into `out`; on `cpu`, if it wants
/// one.
pub fn command(
    sandbox: &Sandbox,
    args: &[String],
    files: &[(&Path, &str)],
    out: &Path,
    kvm: bool,
    cpu: Option<usize>,
) -> Command {
    let spec = Spec {
        ro: files
            .iter()
            .map(|(host, inside)| (host.to_path_buf(), inside.into()))
            .collect(),
        rw: vec![(out.to_path_buf(), OUT.into())],
        cwd: Some(OUT.into()),
        kvm,
        limits: Limits {
            fsize: Some(FSIZE),
            ..Limits::default()
        },
        ..Spec::default()
    };
    let mut command = match cpu {
        None => sandbox.command(&spec, qemu::PROGRAM, args),
        Some(cpu) => {
            let script = format!("{}together \"$@\"", qemu::TOGETHER);
            let mut words = vec!["-c".to_owned(), script, "together".to_owned()];
            words.extend([cpu.to_string(), qemu::PROGRAM.to_owned()]);
            words.extend_from_slice(args);
            sandbox.command(&spec, "/bin/sh", &words)
        }
    };
    command
        .process_group(0)
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    command
}

/// How a machine ran and ended.
pub struct Course {
    pub stop: Stop,
    pub panicked: bool,
    pub ended: Ended,
    /// Share of its time that it waited for a processor of the host.
    pub waited: f64,
}

/// Runs a machine, whose threads may share one CPU, to its end; our failures are errors.
pub async fn run(
    mut command: Command,
    together: bool,
    mut console: Console,
    times: Times,
    steps: &mpsc::Sender<Step>,
    cancel: &CancellationToken,
) -> Result<Course, InfraError> {
    let mut child = command.spawn().context("cannot start QEMU")?;
    let stderr = child.stderr.take().map(collect);
    let mut patience = Patience::new(child.id(), together);
    let watched = watch(
        &mut child,
        &mut patience,
        &mut console,
        times,
        steps,
        cancel,
    )
    .await;
    process::kill(&mut child).await;
    let said = match stderr {
        Some(task) => task.await.context("reading what QEMU says")?,
        None => String::new(),
    };
    let (stop, status) = watched?;
    let panicked = console.panicked();
    let (ended, rest) = console.finish().context("reading the console")?;
    tell(steps, rest);
    classify::ours(&said, &ended.frames)?;
    match status {
        Some(status) if !status.success() => Err(classify::died(status, &said)),
        _ => Ok(Course {
            stop,
            panicked: panicked || has_panic(&ended),
            ended,
            waited: patience.waited(),
        }),
    }
}

/// Whether the last bytes, read after the end, hold the panic.
fn has_panic(ended: &Ended) -> bool {
    ended
        .crashes
        .iter()
        .any(|c| c.kind == firstbad_api::observation::CrashKind::Panic)
}

/// Looks at the ports until the machine ends or its time does.
async fn watch(
    child: &mut Child,
    patience: &mut Patience,
    console: &mut Console,
    times: Times,
    steps: &mpsc::Sender<Step>,
    cancel: &CancellationToken,
) -> Result<(Stop, Option<ExitStatus>), InfraError> {
    let start = Instant::now();
    loop {
        let (bytes, news) = console.poll().context("reading the console")?;
        tell(steps, news);
        let quiet = patience.after(bytes > 0);
        let passed = patience.ran();
        if start.elapsed() >= times.total * STARVED {
            return Err(InfraError::Failed(format!(
                "the host is too busy: the machine could run for {} of {} s",
                passed.as_secs(),
                start.elapsed().as_secs()
            )));
        }
        let stop = if passed >= times.total {
            Some(Stop::Deadline)
        } else if console.panicked() && quiet >= PANIC_GRACE {
            Some(Stop::Panicked)
        } else if !console.frames.hello && passed >= times.boot {
            Some(Stop::BootDeadline)
        } else if quiet >= times.silence {
            Some(Stop::Silent)
        } else {
            None
        };
        if let Some(stop) = stop {
            return Ok((stop, None));
        }
        tokio::select! {
            status = child.wait() => {
                let status = status.context("waiting for QEMU")?;
                return Ok((Stop::Exited, Some(status)));
            }
            () = cancel.cancelled() => return Err(InfraError::Cancelled),
            () = tokio::time::sleep(POLL) => {}
        }
    }
}

/// Tells who watches; a full or closed channel loses the step, never the run.
fn tell(to: &mpsc::Sender<Step>, steps: Vec<Step>) {
    for step in steps {
        if let Err(why) = to.try_send(step) {
            tracing::debug!(%why, "nobody takes the progress");
        }
    }
}

/// Keeps the beginning of what QEMU says and drains the rest.
pub fn collect(mut stderr: ChildStderr) -> JoinHandle<String> {
    tokio::spawn(async move {
        let mut kept = Vec::new();
        let mut buffer = [0u8; 4096];
        while let Ok(n) = stderr.read(&mut buffer).await
            && n > 0
        {
            let room = STDERR_BYTES - kept.len();
            kept.extend_from_slice(&buffer[..n.min(room)]);
        }
        String::from_utf8_lossy(&kept).into_owned()
    })
}
