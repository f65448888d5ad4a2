//! Virtual machines: boots a kernel, runs a suite in it, says what was seen.
//!
//! Owns QEMU (nothing outside this module knows it), the guest's file system,
//! the console and the crashes on it. Must not know leases, sources or builds,
//! and never judges: whatever the kernel did is an observation, whatever the
//! host did is an error.

mod canary;
mod classify;
mod console;
mod cpio;
mod crash;
mod frames;
mod initramfs;
mod machine;
mod patience;
mod patterns;
mod programs;
mod replay;
mod seat;
mod titles;
mod tools;

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use firstbad_api::guest::GuestPlan;
use firstbad_api::lease::TestWork;
use firstbad_api::limits::{BOOT_DEADLINE_S, SILENCE_S};
use firstbad_api::observation::{BootOutcome, RunEnd, RunInputs, TestObservation};
use firstbad_api::qemu::{self, Engine};
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::error::{Context, InfraError};
use crate::sandbox::Sandbox;
use canary::Trust;
use console::{Console, Ended};
pub use cpio::Archive;
use frames::Frames;
pub use frames::Step as Progress;
pub use initramfs::Part;
use initramfs::{Bases, Initramfs};
use machine::Times;
use patterns::Patterns;
pub use replay::{Recorded, gdb_socket, replay};
use seat::Seat;
pub use tools::programs_digest;

/// Time for the boot that proves or refutes KVM, seconds.
const PROOF_S: u64 = 60;
/// Name of the checked kernel image in a run's own directory.
pub const IMAGE_FILE: &str = "image";
/// Name of the directory that the sandbox writes, in a run's own.
const OUT: &str = "out";

/// How the accelerator is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accel {
    /// KVM if a canary boots on it, else TCG.
    Auto,
    Tcg,
    Kvm,
}

/// What an operator can say about virtual machines.
#[derive(Debug, Clone)]
pub struct VmConfig {
    /// The worker's directory for what outlives a run.
    pub dir: PathBuf,
    /// Holds the static programs `firstbad-guest` and `fbtool`.
    pub guest_dir: PathBuf,
    pub accel: Accel,
}

/// Runs virtual machines on this host.
pub struct Vm {
    /// `kvm` or `tcg`, as decided at start.
    pub accel: String,
    /// One sentence that says why.
    pub accel_why: String,
    /// First line of `qemu-system-x86_64 --version`.
    pub qemu_version: String,
    /// SHA-256 over the guest's programs and the host programs suites use.
    pub toolset: String,
    /// Time from power-on to PID 1's hello.
    pub boot: Duration,
    /// Time without a byte on either port after which a machine hangs.
    pub silence: Duration,
    dir: PathBuf,
    guest_dir: PathBuf,
    sandbox: Sandbox,
    bases: Arc<Bases>,
    trust: Mutex<Trust>,
}

/// What a run left.
#[derive(Debug)]
pub struct RunResult {
    pub observation: TestObservation,
    /// The first serial port: the kernel's words. Head and tail if it was a flood.
    pub console: PathBuf,
    /// What the guest was given; with the image it replays the run.
    pub initramfs: PathBuf,
    /// The files that make up the initramfs, in order; none of a replay.
    pub initramfs_parts: Vec<Part>,
    /// The second serial port: PID 1's frames.
    pub frames: PathBuf,
}

impl Vm {
    /// Decides the accelerator and measures the tools; takes up to some twenty
    /// seconds: once, at the start of a worker.
    pub async fn new(cfg: VmConfig, sandbox: &Sandbox) -> Result<Vm, InfraError> {
        std::fs::create_dir_all(&cfg.dir).context("cannot make the directory for machines")?;
        let qemu_version = qemu_version()?;
        let toolset = tools::digest(&initramfs::guest_programs(&cfg.guest_dir))?;
        let (trust, accel_why) = match cfg.accel {
            Accel::Auto => canary::decide(sandbox, &cfg.dir).await?,
            Accel::Tcg => (Trust::No, "TCG was asked for".to_owned()),
            Accel::Kvm => (Trust::Proven, "KVM was asked for".to_owned()),
        };
        let accel = if trust == Trust::No { "tcg" } else { "kvm" };
        Ok(Vm {
            accel: accel.to_owned(),
            accel_why,
            qemu_version,
            toolset,
            boot: Duration::from_secs(BOOT_DEADLINE_S),
            silence: Duration::from_secs(SILENCE_S),
            dir: cfg.dir,
            guest_dir: cfg.guest_dir,
            sandbox: sandbox.clone(),
            bases: Arc::default(),
            trust: Mutex::new(trust),
        })
    }

    fn trust(&self) -> Trust {
        *self.trust.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set_trust(&self, trust: Trust) {
        *self.trust.lock().unwrap_or_else(PoisonError::into_inner) = trust;
    }
}

/// The kernel of a run, checked and readable for the sandbox.
struct Image<'a> {
    path: &'a Path,
    /// Files of the work's archives, in order.
    archives: &'a [PathBuf],
    work: &'a TestWork,
}

/// Boots `image` and runs the suite of `work`; everything is left in `scratch`,
/// the console as `console.log`, written as it comes. `archives` are the files
/// of the work's archives.
pub async fn run_test(
    vm: &Vm,
    image: &Path,
    archives: &[PathBuf],
    work: &TestWork,
    scratch: &Path,
    progress: mpsc::Sender<Progress>,
    cancel: CancellationToken,
) -> Result<RunResult, InfraError> {
    let copy = scratch.join(IMAGE_FILE);
    let path = checked("kernel image", image, &work.image_sha256, copy).await?;
    let kernel = Image {
        path: &path,
        archives,
        work,
    };
    let mut engine = Engine::of(work.shape.mode, vm.trust() != Trust::No);
    if engine == Engine::Kvm && vm.trust() == Trust::Provisional {
        prove_kvm(vm, &kernel, &scratch.join("kvm"), &cancel).await?;
        engine = Engine::of(work.shape.mode, vm.trust() != Trust::No);
    }
    let run = run_on(vm, engine, &kernel, scratch, &progress, &cancel).await?;
    if run.observation.boot == BootOutcome::Up && engine != Engine::Kvm {
        keep_canary(vm, &path);
    }
    Ok(run)
}

/// Settles a provisional trust in KVM with a real kernel: it is proven if the
/// kernel reaches PID 1 on it, and refuted if that happens only under TCG.
async fn prove_kvm(
    vm: &Vm,
    kernel: &Image<'_>,
    dir: &Path,
    cancel: &CancellationToken,
) -> Result<(), InfraError> {
    let up = |run: Result<RunResult, InfraError>| match run {
        Err(why @ (InfraError::Cancelled | InfraError::Fenced)) => Err(why),
        Err(InfraError::Failed(_)) => Ok(false),
        Ok(run) => Ok(run.observation.boot == BootOutcome::Up),
    };
    let (nobody, _seen) = mpsc::channel(1);
    let idle = TestWork {
        deadline_s: PROOF_S,
        ..kernel.work.clone()
    };
    let kernel = Image {
        work: &idle,
        ..*kernel
    };
    let on_kvm = run_on(vm, Engine::Kvm, &kernel, &dir.join("kvm"), &nobody, cancel).await;
    if up(on_kvm)? {
        vm.set_trust(Trust::Proven);
        return Ok(());
    }
    let on_tcg = run_on(vm, Engine::Tcg, &kernel, &dir.join("tcg"), &nobody, cancel).await;
    if up(on_tcg)? {
        tracing::warn!("a kernel that boots under TCG does not boot under KVM: using TCG");
        vm.set_trust(Trust::No);
    }
    Ok(())
}

/// One run on one engine, in a directory of its own.
async fn run_on(
    vm: &Vm,
    engine: Engine,
    kernel: &Image<'_>,
    dir: &Path,
    progress: &mpsc::Sender<Progress>,
    cancel: &CancellationToken,
) -> Result<RunResult, InfraError> {
    let work = kernel.work;
    if work.shape.vcpus == 0 {
        return Err(InfraError::Failed(
            "the machine's shape has no CPU".to_owned(),
        ));
    }
    std::fs::create_dir_all(dir).context("cannot make the run's directory")?;
    let files = programs::ready(&vm.sandbox, &work.suite.files, dir, cancel).await?;
    let initramfs = prepare_initramfs(vm, kernel, files, dir).await?;
    let version = vm.qemu_version.clone();
    let inputs =
        qemu::inputs(work, engine, initramfs.sha256, version).map_err(InfraError::Failed)?;
    let files = Files {
        image: kernel.path,
        initramfs: &initramfs.path,
        kvm: engine == Engine::Kvm,
    };
    let times = Times {
        boot: vm.boot,
        silence: vm.silence,
        total: Duration::from_secs(work.deadline_s),
    };
    let plan = &initramfs.plan;
    let args = machine::args(&inputs);
    let seen = boot(vm, &args, &files, plan, times, dir, progress, cancel).await?;
    Ok(RunResult {
        initramfs_parts: initramfs.parts.into(),
        ..seen.result(inputs, initramfs.path)
    })
}

/// What a machine is made of.
struct Files<'a> {
    image: &'a Path,
    initramfs: &'a Path,
    kvm: bool,
}

/// What a machine did.
struct Seen {
    boot: BootOutcome,
    end: RunEnd,
    ended: Ended,
    /// Share of its time that it waited for a processor of the host.
    waited: f64,
    /// Copies of the console and of the result port.
    copies: [PathBuf; 2],
}

impl Seen {
    fn result(self, run: RunInputs, initramfs: PathBuf) -> RunResult {
        let [console, frames] = self.copies;
        let ended = self.ended;
        let waited = (run.accel != Engine::TcgExact.name()).then_some(self.waited);
        RunResult {
            observation: TestObservation {
                boot: self.boot,
                end: self.end,
                cases: ended.cases,
                crashes: ended.crashes,
                stray_lines: ended.frames.stray_lines,
                left: ended.frames.bye.unwrap_or_default(),
                run,
                console_sha256: ended.sha256,
                waited,
            },
            console,
            initramfs,
            initramfs_parts: Vec::new(),
            frames,
        }
    }
}

/// One machine from power-on to its end, its ports' files in `dir`.
#[allow(clippy::too_many_arguments)] // each is one thing the machine needs
async fn boot(
    vm: &Vm,
    args: &[String],
    files: &Files<'_>,
    plan: &GuestPlan,
    times: Times,
    dir: &Path,
    progress: &mpsc::Sender<Progress>,
    cancel: &CancellationToken,
) -> Result<Seen, InfraError> {
    let out = dir.join(OUT);
    std::fs::create_dir_all(&out).context("cannot make the run's directory")?;
    let ports = [qemu::CONSOLE, qemu::FRAMES].map(|name| out.join(name));
    let copies = console::copies(dir);
    let frames = Frames::new(&plan.nonce, &plan.cases);
    let patterns = Patterns::new(&plan.cases)?;
    let console =
        Console::open(&ports, &copies, frames, patterns).context("cannot make the ports' files")?;
    for path in [&ports[0], &ports[1], &out] {
        vm.sandbox
            .own(path)
            .context("cannot give the run's directory to the sandbox")?;
    }
    let seat = qemu::wants_together(args).then(Seat::take);
    let command = machine::command(
        &vm.sandbox,
        args,
        &[
            (files.image, machine::IMAGE),
            (files.initramfs, machine::INITRAMFS),
        ],
        &out,
        files.kvm,
        seat.as_ref().map(|seat| seat.cpu),
    );
    let together = seat.is_some();
    let course = machine::run(command, together, console, times, progress, cancel).await?;
    drop(seat);
    let (boot, end) = classify::outcome(course.stop, course.panicked, &course.ended);
    Ok(Seen {
        boot,
        end,
        ended: course.ended,
        waited: course.waited,
        copies,
    })
}

/// A copy of a file that has the expected hash, which nobody else writes.
async fn checked(
    what: &str,
    from: &Path,
    sha256: &str,
    to: PathBuf,
) -> Result<PathBuf, InfraError> {
    let (what, from) = (what.to_owned(), from.to_owned());
    let expected = sha256.to_owned();
    blocking(move || {
        let data = std::fs::read(&from).context(format!("cannot read the {what}"))?;
        let sha256 = hex::encode(Sha256::digest(&data));
        if sha256 != expected {
            return Err(InfraError::Failed(format!(
                "the {what} has the SHA-256 {sha256}, expected {expected}"
            )));
        }
        std::fs::write(&to, data)
            .and_then(|()| readable(&to))
            .context(format!("cannot copy the {what}"))?;
        Ok(to)
    })
    .await
}

async fn prepare_initramfs(
    vm: &Vm,
    kernel: &Image<'_>,
    files: Vec<(String, Vec<u8>)>,
    dir: &Path,
) -> Result<Initramfs, InfraError> {
    let (bases, guest_dir) = (vm.bases.clone(), vm.guest_dir.clone());
    let (work, dir) = (kernel.work.clone(), dir.to_owned());
    let archives = kernel.archives.to_vec();
    blocking(move || {
        let base = bases.get(
            &guest_dir,
            &work.suite.spec.tools,
            &work.archives,
            &archives,
        )?;
        let made = initramfs::write(&base, &work, files, &dir)?;
        readable(&made.path).context("cannot open the initramfs to the sandbox")?;
        Ok(made)
    })
    .await
}

/// Work on files, off the runtime's threads.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, InfraError> + Send + 'static,
) -> Result<T, InfraError> {
    tokio::task::spawn_blocking(work)
        .await
        .context("preparing a machine")?
}

/// Lets the sandbox read a file it does not own.
fn readable(path: &Path) -> std::io::Result<()> {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o644))
}

/// Remembers a kernel that reached PID 1 under TCG: the next start tries KVM with it.
fn keep_canary(vm: &Vm, image: &Path) {
    let kept = vm.dir.join(canary::KERNEL);
    if !kept.exists()
        && let Err(why) = std::fs::copy(image, &kept)
    {
        tracing::warn!(%why, "cannot keep a canary kernel");
    }
}

fn qemu_version() -> Result<String, InfraError> {
    let out = std::process::Command::new(qemu::PROGRAM)
        .arg("--version")
        .output()
        .context("cannot run qemu-system-x86_64: run `apt-get install qemu-system-x86`")?;
    let text = String::from_utf8_lossy(&out.stdout);
    text.lines()
        .next()
        .map(|line| line.trim().to_owned())
        .ok_or_else(|| InfraError::Failed("qemu-system-x86_64 says no version".to_owned()))
}
