//! Kernels that a distribution built: unpacked, not compiled.
//!
//! Owns what is taken out of the packages, in the sandbox, and the check that
//! the kernel has what was asked for. Must not know where packages come from.

use std::fs;
use std::io::Read;
use std::path::Path;

use firstbad_api::artefact::{COMPILED, MODULES, MODULES_PATH};
use firstbad_api::lease::{BuildWork, Packaged};
use firstbad_api::limits::{ARTEFACT_BYTES, CONFIG_BYTES};
use firstbad_api::observation::GuestArchive;
use sha2::{Digest, Sha256};

use crate::buildlines::BuildLines;
use crate::buildlog::BuildLog;
use crate::dirs::{DISK_FULL, free_bytes, sandbox_dir};
use crate::error::{Context, InfraError};
use crate::kbuild::{Built, Step};
use crate::process::{Until, run_logged, signal_of};
use crate::sandbox::{Sandbox, Spec};
use crate::vm::Archive;
use crate::{kconfig, untrusted};

const UNPACK: &str = include_str!("unpack.sh");
/// Largest module, bytes.
const MODULE_BYTES: u64 = 64 << 20;

/// Unpacks the kernel of `source`, a directory with packages; the files are left in `scratch`.
pub async fn unpack(
    sandbox: &Sandbox,
    work: &BuildWork,
    packaged: &Packaged,
    source: &Path,
    scratch: &Path,
    log: &mut BuildLog,
    until: &Until,
) -> Result<Step<Built>, InfraError> {
    let out = scratch.join("unpacked");
    sandbox_dir(sandbox, &out)?;
    let spec = Spec {
        ro: vec![(source.to_owned(), "/src".into())],
        rw: vec![(out.clone(), "/out".into())],
        cwd: Some("/out".into()),
        ..Spec::default()
    };
    let mut args: Vec<String> = ["-c", UNPACK, "unpack"].map(str::to_owned).into();
    args.extend(packaged.modules.iter().cloned());
    let command = sandbox.command(&spec, "sh", &args);
    let mut last = String::new();
    let mut lines = BuildLines::default();
    let mut keep = |line: &str| {
        lines.see(line);
        line.clone_into(&mut last);
    };
    let status = run_logged(command, "unpacking", log, &mut keep, until).await?;
    if let Some(signal) = signal_of(status) {
        return Err(InfraError::Failed(format!(
            "unpacking was ended by signal {signal}"
        )));
    }
    if !status.success() {
        // A full disk says nothing about the packages, and tar does not always name it.
        if let Some(line) = lines.ours() {
            return Err(InfraError::failed("unpacking failed on this machine", line));
        }
        if free_bytes(&out)? < DISK_FULL {
            return Err(InfraError::Failed(
                "unpacking failed and the disk is full".to_owned(),
            ));
        }
        return Ok(Step::Failed(last));
    }
    match collect(work, packaged, &out, scratch, log)? {
        Ok(built) => Ok(Step::Done(built)),
        Err(why) => Ok(Step::Failed(why)),
    }
}

fn collect(
    work: &BuildWork,
    packaged: &Packaged,
    out: &Path,
    scratch: &Path,
    log: &mut BuildLog,
) -> Result<Result<Built, String>, InfraError> {
    let text = |name: &str| untrusted::text(out, name, 4 * CONFIG_BYTES as u64);
    let files = (|| {
        Ok::<_, String>((
            untrusted::open(out, "image")?,
            text("config")?,
            text("release")?,
            text("missing")?,
            modules(out)?,
        ))
    })();
    let (image, config, release, missing, modules) = match files {
        Ok(files) => files,
        Err(why) => return Ok(Err(format!("the packages left no usable file: {why}"))),
    };
    // A module the package lacks may be part of its kernel, which the configuration tells.
    let lost = kconfig::lost_of_a_package(&work.config.fragments, &config);
    for line in &lost {
        log.note(&format!("lost symbol: {line}")).context("log")?;
    }
    log.note(&format!(
        "{}: {} modules for {}; not there: {}",
        release.trim(),
        modules.0,
        packaged.modules.join(" "),
        missing.split_whitespace().collect::<Vec<_>>().join(" ")
    ))
    .context("log")?;
    let write = |name: &str, bytes: &[u8]| {
        let path = scratch.join(name);
        fs::write(&path, bytes).context(format!("cannot write {name}"))?;
        Ok::<_, InfraError>((path, hex::encode(Sha256::digest(bytes))))
    };
    let image_to = scratch.join("bzImage");
    let image_sha256 = untrusted::copy(image, &image_to, ARTEFACT_BYTES)?;
    let (config, config_sha256) = write("config", config.as_bytes())?;
    let (compiled, compiled_sha256) = write(COMPILED, b"")?;
    let (_, modules_sha256) = write(MODULES, &modules.1)?;
    let mut signature = Sha256::new();
    for part in ["packaged", &image_sha256, &modules_sha256] {
        signature.update(part.as_bytes());
    }
    Ok(Ok(Built {
        signature: hex::encode(signature.finalize()),
        image: image_to,
        image_sha256,
        config,
        config_sha256,
        compiled,
        compiled_sha256,
        release: release.trim().chars().filter(|c| !c.is_control()).collect(),
        lost_symbols: lost,
        objects_built: 0,
        ccache_hits: 0,
        archives: vec![GuestArchive {
            name: MODULES.to_owned(),
            sha256: modules_sha256,
        }],
    }))
}

/// The modules as an archive for the guest, and how many they are.
fn modules(out: &Path) -> Result<(usize, Vec<u8>), String> {
    let entries = fs::read_dir(out.join("modules")).map_err(|e| format!("modules: {e}"))?;
    let mut archive = Archive::default();
    let mut count = 0;
    let mut total = 0;
    for entry in entries {
        let name = entry.map_err(|e| format!("modules: {e}"))?.file_name();
        let name = name.to_str().ok_or("modules: a name is not UTF-8")?;
        let mut bytes = Vec::new();
        // From above what the sandbox can write: it may have put a link in the folder's place.
        untrusted::open(out, &format!("modules/{name}"))?
            .take(MODULE_BYTES)
            .read_to_end(&mut bytes)
            .map_err(|e| format!("{name}: {e}"))?;
        total += bytes.len() as u64;
        if total > ARTEFACT_BYTES {
            return Err("the modules are larger than an artefact may be".to_owned());
        }
        archive.file(&format!("{MODULES_PATH}/{name}"), 0o644, bytes);
        count += 1;
    }
    Ok((count, archive.bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_in_place_of_the_folder_is_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let (out, host) = (dir.path().join("out"), dir.path().join("host"));
        fs::create_dir(&out).unwrap();
        fs::create_dir(&host).unwrap();
        fs::write(host.join("token"), "secret").unwrap();
        std::os::unix::fs::symlink(&host, out.join("modules")).unwrap();
        assert!(modules(&out).is_err());
    }
}
