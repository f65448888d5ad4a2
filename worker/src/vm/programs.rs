//! The files of a suite as the guest gets them: as they are, decoded or compiled.
//!
//! Owns how a stranger's C source becomes a program: in the sandbox, with the
//! same bytes each time, since the run is a function of them. A source that does
//! not compile becomes a program that says so and could not run. Must not know
//! what the programs are for.

use std::path::Path;
use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use firstbad_api::limits::COMPILE_DEADLINE_S;
use firstbad_api::suite::{FileKind, SuiteFile};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{blocking, readable, tools};
use crate::buildlog::BuildLog;
use crate::dirs::{remove_dir, sandbox_dir};
use crate::error::{Context, InfraError};
use crate::process::{Until, run_logged, signal_of};
use crate::sandbox::{Limits, Sandbox, Spec};
use crate::untrusted;

/// How syzkaller builds its reproducers, and what every static program needs.
const OPTIONS: [&str; 8] = [
    "-x",
    "c",
    "-static",
    "-pthread",
    "-O1",
    "-w",
    "-fdiagnostics-color=never",
    "-fno-diagnostics-show-caret",
];
/// Largest compiled program, bytes.
const PROGRAM_BYTES: u64 = 16 << 20;
/// Address space of the compiler, bytes.
const MEMORY: u64 = 2 << 30;
/// Lines of the compiler that the guest repeats.
const SAID_LINES: usize = 20;
/// What stands in for a source that does not compile: the guest's word for "could not run".
const DOES_NOT_COMPILE: &str = "#!/bin/sh\ncat /suite/does-not-compile\nexit 126\n";

/// The files' contents by path; sources are compiled below `dir`.
pub async fn ready(
    sandbox: &Sandbox,
    files: &[SuiteFile],
    dir: &Path,
    cancel: &CancellationToken,
) -> Result<Vec<(String, Vec<u8>)>, InfraError> {
    let mut ready = Vec::with_capacity(files.len());
    for file in files {
        let content = match file.kind {
            FileKind::Text => file.content.clone().into_bytes(),
            FileKind::Base64 => STANDARD
                .decode(&file.content)
                .context(format!("the suite's file {}", file.path))?,
            FileKind::C => match compile(sandbox, &file.content, dir, cancel).await? {
                Ok(program) => program,
                Err(said) => {
                    ready.push(("does-not-compile".to_owned(), said.into_bytes()));
                    DOES_NOT_COMPILE.as_bytes().to_vec()
                }
            },
        };
        ready.push((file.path.clone(), content));
    }
    Ok(ready)
}

/// The program, or what the compiler said against the source, its first error last.
async fn compile(
    sandbox: &Sandbox,
    source: &str,
    dir: &Path,
    cancel: &CancellationToken,
) -> Result<Result<Vec<u8>, String>, InfraError> {
    tools::find("gcc").map_err(|_| {
        InfraError::Failed(
            "C sources are compiled with `gcc`, which is not installed on this worker: run \
             `apt-get install gcc libc6-dev`"
                .to_owned(),
        )
    })?;
    let dir = dir.join("compile");
    remove_dir(&dir)?;
    let (from, to) = (dir.join("source"), dir.join("program"));
    std::fs::create_dir_all(&from).context("cannot make the compiler's directory")?;
    sandbox_dir(sandbox, &to)?;
    write_source(&from.join("custom.c"), source).context("cannot write the source")?;

    let spec = Spec {
        ro: vec![(from, "/source".into())],
        rw: vec![(to.clone(), "/program".into())],
        // The source may ask for the date and time: they are always the same.
        env: [("LC_ALL", "C"), ("SOURCE_DATE_EPOCH", "0")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .to_vec(),
        cwd: Some("/source".into()),
        limits: Limits {
            fsize: Some(4 * PROGRAM_BYTES),
            memory: Some(MEMORY),
            ..Limits::default()
        },
        ..Spec::default()
    };
    let mut args: Vec<String> = OPTIONS.map(str::to_owned).to_vec();
    args.extend(["-o", "/program/program", "custom.c"].map(str::to_owned));
    let until = Until {
        deadline: Instant::now() + Duration::from_secs(COMPILE_DEADLINE_S),
        cancel: cancel.clone(),
    };
    let mut log = BuildLog::create(&dir.join("log")).context("the compiler's log")?;
    let mut said = Vec::new();
    let mut listen = |line: &str| {
        if said.len() < SAID_LINES {
            said.push(line.to_owned());
        }
    };
    let command = sandbox.command(&spec, "gcc", &args);
    let status = run_logged(command, "the compiler", &mut log, &mut listen, &until).await?;
    if status.success() {
        let program = blocking(move || read(&to, &dir.join("copy"))).await?;
        return Ok(Ok(program));
    }
    // The host ended it, not the source.
    let killed = said.iter().find(|line| line.contains("Killed"));
    if let Some(signal) = signal_of(status) {
        let why = format!("signal {signal}");
        return Err(InfraError::failed("the compiler was ended", why));
    }
    if let Some(line) = killed {
        return Err(InfraError::failed("the compiler was ended", line));
    }
    let said = without_escapes(said);
    let first = said.iter().find(|line| line.contains("error"));
    let first = first.or(said.first()).cloned().unwrap_or_default();
    let all = said.join("\n");
    Ok(Err(format!(
        "{all}\nthe C source does not compile: {first}\n"
    )))
}

/// A source with a fixed time, which `__TIMESTAMP__` shows.
fn write_source(path: &Path, source: &str) -> std::io::Result<()> {
    std::fs::write(path, source)?;
    std::fs::File::options()
        .write(true)
        .open(path)?
        .set_modified(SystemTime::UNIX_EPOCH)?;
    readable(path)
}

fn read(dir: &Path, copy: &Path) -> Result<Vec<u8>, InfraError> {
    let program = untrusted::open(dir, "program").map_err(InfraError::Failed)?;
    untrusted::copy(program, copy, PROGRAM_BYTES)?;
    std::fs::read(copy).context("cannot read the compiled program")
}

/// The compiler repeats parts of the source: nothing in them may steer a terminal.
fn without_escapes(lines: Vec<String>) -> Vec<String> {
    let plain = |line: String| line.replace(|c: char| c.is_control() && c != '\t', "?");
    lines.into_iter().map(plain).collect()
}
