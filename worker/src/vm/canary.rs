//! Whether KVM really runs kernels on this machine.
//!
//! Owns the decision behind `accel=auto`. That `/dev/kvm` exists, opens and
//! makes virtual CPUs proves nothing: there are hosts where no stock kernel
//! boots on them. So something must really run, in bounded time. Must not know
//! suites or observations.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use firstbad_api::qemu;
use tokio::process::Command;

use super::machine::{self, IMAGE};
use crate::error::{Context, InfraError};
use crate::process;
use crate::sandbox::Sandbox;

/// Time for a canary.
const DEADLINE: Duration = Duration::from_secs(10);
/// A known good kernel, left by a run that reached PID 1 under TCG.
pub const KERNEL: &str = "canary.image";
/// What QEMU exits with when the stub wrote 0x21 to the exit port.
const STUB_EXIT: i32 = (0x21 << 1) | 1;
/// Disks smaller than this are not found by the firmware.
const STUB_DISK: usize = 1 << 20;

/// A boot sector that enters long mode with paging on, writes `OK` to the
/// first serial port and exits through the debug port.
///
/// ```text
/// cli; ds = es = ss = 0; sp = 0x7c00
/// clear 0x1000..0x4000; PML4[0] = 0x2003; PDPT[0] = 0x3003; PD[0] = 0x83 (2 MiB)
/// lgdt; cr4 = PAE | PGE; cr3 = 0x1000; EFER |= LME; cr0 |= PG | PE; ljmp 8:long
/// long: ds = ss = 0x10; out 0x3f8, 'O', 'K', '\n'; out 0xf4, 0x21; hlt
/// ```
const STUB: &[u8] = &[
    0xfa, 0x31, 0xc0, 0x8e, 0xd8, 0x8e, 0xc0, 0x8e, 0xd0, 0xbc, 0x00, 0x7c, 0xbf, 0x00, 0x10, 0x66,
    0x31, 0xc0, 0xb9, 0x00, 0x0c, 0xfc, 0x66, 0xf3, 0xab, 0x66, 0xc7, 0x06, 0x00, 0x10, 0x03, 0x20,
    0x00, 0x00, 0x66, 0xc7, 0x06, 0x00, 0x20, 0x03, 0x30, 0x00, 0x00, 0x66, 0xc7, 0x06, 0x00, 0x30,
    0x83, 0x00, 0x00, 0x00, 0x66, 0x0f, 0x01, 0x16, 0xa8, 0x7c, 0x66, 0xb8, 0xa0, 0x00, 0x00, 0x00,
    0x0f, 0x22, 0xe0, 0x66, 0xb8, 0x00, 0x10, 0x00, 0x00, 0x0f, 0x22, 0xd8, 0x66, 0xb9, 0x80, 0x00,
    0x00, 0xc0, 0x0f, 0x32, 0x66, 0x0d, 0x00, 0x01, 0x00, 0x00, 0x0f, 0x30, 0x0f, 0x20, 0xc0, 0x66,
    0x0d, 0x01, 0x00, 0x00, 0x80, 0x0f, 0x22, 0xc0, 0xea, 0x6d, 0x7c, 0x08, 0x00, 0x66, 0xb8, 0x10,
    0x00, 0x8e, 0xd8, 0x8e, 0xd0, 0x66, 0xba, 0xf8, 0x03, 0xb0, 0x4f, 0xee, 0xb0, 0x4b, 0xee, 0xb0,
    0x0a, 0xee, 0xb0, 0x21, 0xe6, 0xf4, 0xf4, 0xeb, 0xfd, 0x8d, 0xb4, 0x26, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x9a, 0x20, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x92, 0x00, 0x00, 0x17, 0x00, 0x90, 0x7c,
];

/// How far KVM is trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trust {
    /// A kernel booted on it, or the operator said so.
    Proven,
    /// Only the stub ran: the first kernel that fails on it is tried again under TCG.
    Provisional,
    /// Nothing runs on it.
    No,
}

/// The decision and the sentence that explains it.
pub async fn decide(sandbox: &Sandbox, dir: &Path) -> Result<(Trust, String), InfraError> {
    if let Err(why) = std::fs::File::options()
        .read(true)
        .write(true)
        .open("/dev/kvm")
    {
        return Ok((
            Trust::No,
            format!("/dev/kvm cannot be opened ({why}): using TCG"),
        ));
    }
    if let Err(why) = boot(sandbox, dir, None, "kvm").await? {
        return Ok((
            Trust::No,
            format!("/dev/kvm opens but the canary does not boot ({why}): using TCG"),
        ));
    }
    let Some(kernel) = known_kernel(dir) else {
        let why = "the canary boots under KVM; no known good kernel was there to try yet";
        return Ok((Trust::Provisional, why.to_owned()));
    };
    Ok(match boot(sandbox, dir, Some(&kernel), "kvm").await? {
        Ok(()) => (
            Trust::Proven,
            "a known good kernel boots under KVM".to_owned(),
        ),
        Err(why) => (
            Trust::No,
            format!("/dev/kvm opens but a known good kernel does not boot ({why}): using TCG"),
        ),
    })
}

/// The worker's own canary kernel, else the newest of the host's.
fn known_kernel(dir: &Path) -> Option<PathBuf> {
    let own = dir.join(KERNEL);
    if own.is_file() {
        return Some(own);
    }
    let is_kernel = |path: &PathBuf| {
        let name = path.file_name().and_then(|n| n.to_str());
        name.is_some_and(|n| n.starts_with("vmlinuz")) && std::fs::File::open(path).is_ok()
    };
    let entries = std::fs::read_dir("/boot").ok()?;
    entries.flatten().map(|e| e.path()).filter(is_kernel).max()
}

/// Boots the stub, or a kernel without a root; the inner error says what was seen instead.
async fn boot(
    sandbox: &Sandbox,
    dir: &Path,
    kernel: Option<&Path>,
    accel: &str,
) -> Result<Result<(), String>, InfraError> {
    let scratch = tempfile::tempdir_in(dir).context("cannot make the canary's directory")?;
    let out = scratch.path().join("out");
    std::fs::create_dir(&out).context("cannot make the canary's directory")?;
    let image = scratch.path().join("image");
    match kernel {
        Some(kernel) => std::fs::copy(kernel, &image).map(|_| ()),
        None => std::fs::write(&image, stub_disk()),
    }
    .and_then(|()| super::readable(&image))
    .and_then(|()| sandbox.own(&out))
    .context("cannot write the canary")?;

    let mut args = qemu::common(256);
    let cpu = if accel == "kvm" { "host" } else { "max" };
    args.extend(["-accel", accel, "-cpu", cpu].map(str::to_owned));
    args.extend(qemu::serial("s0", qemu::CONSOLE));
    args.extend(match kernel {
        Some(_) => vec![
            "-kernel".to_owned(),
            IMAGE.to_owned(),
            "-append".to_owned(),
            "console=ttyS0 earlyprintk=serial,ttyS0,115200 panic=-1".to_owned(),
        ],
        None => [
            "-blockdev",
            &format!("driver=raw,node-name=d,read-only=on,file.driver=file,file.filename={IMAGE}"),
            "-device",
            "virtio-blk-pci,drive=d",
            "-device",
            "isa-debug-exit,iobase=0xf4,iosize=4",
        ]
        .map(str::to_owned)
        .to_vec(),
    });
    let command = machine::command(
        sandbox,
        &args,
        &[(&image, IMAGE)],
        &out,
        accel == "kvm",
        None,
    );
    let (status, stderr) = wait(command).await?;
    let console = read_some(&out.join(qemu::CONSOLE));
    Ok(judge(kernel.is_some(), status, &stderr, &console))
}

fn stub_disk() -> Vec<u8> {
    let mut disk = STUB.to_vec();
    disk.resize(STUB_DISK, 0);
    disk[510] = 0x55;
    disk[511] = 0xaa;
    disk
}

/// Runs a short-lived machine; `None` when its time was up.
async fn wait(mut command: Command) -> Result<(Option<ExitStatus>, String), InfraError> {
    let mut child = command
        .spawn()
        .context("cannot start QEMU for the canary")?;
    let said = child.stderr.take().map(machine::collect);
    let status = match tokio::time::timeout(DEADLINE, child.wait()).await {
        Ok(status) => Some(status.context("waiting for the canary")?),
        Err(_) => None,
    };
    process::kill(&mut child).await;
    let said = match said {
        Some(task) => task.await.context("reading what the canary's QEMU says")?,
        None => String::new(),
    };
    Ok((status, said))
}

fn read_some(path: &Path) -> String {
    let mut bytes = Vec::new();
    // Without a file nothing was printed, which is what the judge must know.
    let _missing = std::fs::File::open(path).map(|f| f.take(1 << 20).read_to_end(&mut bytes));
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The stub must say OK and exit by its port; a kernel must come as far as looking for its root.
fn judge(
    is_kernel: bool,
    status: Option<ExitStatus>,
    stderr: &str,
    console: &str,
) -> Result<(), String> {
    let good = match is_kernel {
        true => console.contains("Linux version ") && console.contains("Kernel panic"),
        false => console.contains("OK") && status.and_then(|s| s.code()) == Some(STUB_EXIT),
    };
    if good {
        return Ok(());
    }
    let said = stderr
        .lines()
        .find(|l| l.contains("error") || l.contains("failed"))
        .map(|l| l.trim().chars().take(120).collect::<String>());
    Err(match (status, said) {
        (_, Some(line)) => line,
        (None, None) => format!("no end within {} s", DEADLINE.as_secs()),
        (Some(status), None) => format!("QEMU ended with {status}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_stub_boots_under_tcg() {
        let dir = tempfile::tempdir().unwrap();
        let sandbox = Sandbox::new().unwrap();
        assert_eq!(
            boot(&sandbox, dir.path(), None, "tcg").await.unwrap(),
            Ok(())
        );
    }

    #[test]
    fn a_kernel_that_says_nothing_is_no_kernel() {
        assert!(judge(true, None, "", "").unwrap_err().contains("10 s"));
        let line = judge(false, None, "x: error: failed to set MSR 0x10a\n", "").unwrap_err();
        assert!(line.contains("MSR 0x10a"), "{line}");
        assert!(
            judge(
                true,
                None,
                "",
                "Linux version 6\nKernel panic - not syncing"
            )
            .is_ok()
        );
    }

    #[tokio::test]
    async fn the_decision_on_this_machine_has_a_reason() {
        let dir = tempfile::tempdir().unwrap();
        let (trust, why) = decide(&Sandbox::new().unwrap(), dir.path()).await.unwrap();
        println!("{trust:?}: {why}");
        assert_eq!(trust == Trust::No, why.ends_with("using TCG"), "{why}");
    }
}
