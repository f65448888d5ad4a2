//! Runs a recorded exact run once more, from its own files and arguments.
//!
//! Owns what a replay must be given before it may say anything: the very image,
//! initramfs and arguments of the recording. Must not know where the files come
//! from, or compare results: that is its caller's.

use std::path::{Path, PathBuf};
use std::time::Duration;

use firstbad_api::guest::{GuestPlan, PLAN_PATH};
use firstbad_api::observation::RunInputs;
use firstbad_api::qemu::{self, Engine};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::machine::{self, Times};
use super::{Files, IMAGE_FILE, OUT, RunResult, Vm, blocking, boot, checked, cpio};
use crate::error::{Context, InfraError};

/// Name of the debugger's socket in the directory that the sandbox writes.
const GDB: &str = "gdb.sock";
/// A machine under a debugger has all the time of the world.
const FOREVER: Duration = Duration::from_secs(365 * 24 * 3600);

/// A recording and its files.
pub struct Recorded<'a> {
    pub run: &'a RunInputs,
    pub image: &'a Path,
    /// The archives of the initramfs, in order.
    pub initramfs: &'a [PathBuf],
    /// Longest time of the whole run.
    pub deadline: Duration,
    /// Stop before the first instruction and wait for a debugger at [`gdb_socket`].
    pub gdb: bool,
}

/// Where a debugger finds a machine that is replayed in `dir`.
pub fn gdb_socket(dir: &Path) -> PathBuf {
    dir.join(OUT).join(GDB)
}

/// Runs the recording again in the sandbox; everything is left in `dir`.
pub async fn replay(
    vm: &Vm,
    recorded: &Recorded<'_>,
    dir: &Path,
    cancel: &CancellationToken,
) -> Result<RunResult, InfraError> {
    let run = recorded.run;
    if run.accel != Engine::TcgExact.name() || run.argv.first().is_none_or(|p| p != qemu::PROGRAM) {
        return Err(InfraError::Failed(format!(
            "only runs in exact mode can be replayed; this one ran on {}",
            run.accel
        )));
    }
    let image = checked(
        "kernel image",
        recorded.image,
        &run.image_sha256,
        dir.join(IMAGE_FILE),
    );
    let image = image.await?;
    let joined = join(recorded.initramfs.to_vec(), dir.join("initramfs.joined"));
    let (joined, plan) = joined.await?;
    let whole = dir.join("initramfs.cpio");
    let initramfs = checked("initramfs", &joined, &run.initramfs_sha256, whole).await?;

    let mut args = machine::args(run);
    let mut times = Times {
        boot: vm.boot,
        silence: vm.silence,
        total: recorded.deadline,
    };
    if recorded.gdb {
        let socket = format!("unix:path={GDB},server=on,wait=off");
        args.extend(["-S".to_owned(), "-gdb".to_owned(), socket]);
        (times.boot, times.silence, times.total) = (FOREVER, FOREVER, FOREVER);
    }
    let files = Files {
        image: &image,
        initramfs: &initramfs,
        kvm: false,
    };
    let (progress, _nobody) = mpsc::channel(1);
    let seen = boot(vm, &args, &files, &plan, times, dir, &progress, cancel).await?;
    let inputs = RunInputs {
        qemu_version: vm.qemu_version.clone(),
        ..run.clone()
    };
    Ok(seen.result(inputs, initramfs))
}

/// The archives one after the other, and the plan that the last one holds.
async fn join(parts: Vec<PathBuf>, to: PathBuf) -> Result<(PathBuf, GuestPlan), InfraError> {
    blocking(move || {
        let mut whole = Vec::new();
        let mut plan = None;
        for part in &parts {
            let bytes = std::fs::read(part).context("cannot read the initramfs")?;
            plan = cpio::find(&bytes, PLAN_PATH).map(serde_json::from_slice);
            whole.extend(bytes);
        }
        std::fs::write(&to, whole).context("cannot write the initramfs")?;
        match plan {
            Some(Ok(plan)) => Ok((to, plan)),
            Some(Err(why)) => Err(InfraError::failed(
                "the initramfs holds a strange plan",
                why,
            )),
            None => Err(InfraError::Failed("the initramfs holds no plan".to_owned())),
        }
    })
    .await
}
