//! One case: start it in its own session, watch it, end it, say how it ended.

use std::io::{PipeReader, Read, Write, pipe};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};

use firstbad_api::guest::GuestCase;
use firstbad_api::observation::{CaseResult, CaseStatus};
use rustix::process::WaitStatus;

use crate::cgroup;
use crate::jitter::Jitter;
use crate::kmsg::Watch;
use crate::output::Output;
use crate::procs;

const SHELL: &str = "/bin/sh";
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Exit code of a case that does not apply.
const SKIPPED: i32 = 125;
/// Interval of the look at the child, guest time.
const POLL: Duration = Duration::from_millis(5);
/// Time for the last output after the child's end: whoever still holds the pipe
/// then is killed, so that a background child cannot hold PID 1.
const DRAIN: Duration = Duration::from_millis(500);
/// Chunks in flight from the pipe.
const CHUNKS: usize = 64;

/// Becomes the case: a new session, then the shell. Only returns by exiting.
pub fn exec(script: Option<std::ffi::OsString>) -> ! {
    cgroup::join();
    let _ = rustix::process::setsid();
    // The shell's own answer to a missing script would read as a failed test.
    if let Some(script) = script.filter(|s| std::path::Path::new(s).is_file()) {
        let _ = std::env::set_current_dir("/tmp");
        let error = Command::new(SHELL).arg(script).exec();
        eprintln!("firstbad: run {SHELL}: {error}");
    } else {
        eprintln!("firstbad: the script is missing");
    }
    std::process::exit(127)
}

/// What is told of a case that is not for this kernel.
pub fn not_run(case: &GuestCase, why: String) -> CaseResult {
    CaseResult {
        case: case.name.clone(),
        status: CaseStatus::Skip,
        exit: SKIPPED,
        duration_ms: 0,
        metrics: Vec::new(),
        ktap: None,
        subtests: vec![],
        pattern: None,
        outside: Some(why),
        tail: String::new(),
        dmesg: Vec::new(),
    }
}

/// Runs one case to its end, at most its timeout in guest time.
pub fn run(case: &GuestCase, seed: u64, calm: bool) -> Result<CaseResult, String> {
    cgroup::renew();
    let watch = Watch::start()?;
    let jitter = match calm {
        true => None,
        false => Some(Jitter::start(seed, &case.name)?),
    };
    let start = Instant::now();
    let (child, chunks) = spawn(case, seed)?;
    let mut output = Output::default();
    let deadline = start + Duration::from_secs(case.timeout_s);
    let mut status = None;
    let mut open = true;
    while status.is_none() && Instant::now() < deadline {
        open = open && take(&chunks, &mut output, POLL);
        if !open {
            std::thread::sleep(POLL);
        }
        status = procs::reap(child);
    }
    let timed_out = status.is_none();
    let duration_ms = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
    if timed_out {
        status = procs::kill_all(child).1;
    }
    let end = Instant::now() + DRAIN;
    while open && Instant::now() < end {
        open = take(&chunks, &mut output, POLL);
    }
    drop(jitter);
    let tail = output.finish();
    let ktap = output.ktap.counts();
    let exit = status.map_or(128 + 9, exit_code);
    let status = match timed_out {
        true => CaseStatus::Timeout,
        false => judge(exit, ktap),
    };
    Ok(CaseResult {
        case: case.name.clone(),
        status,
        exit,
        duration_ms,
        metrics: std::mem::take(&mut output.metrics),
        ktap,
        subtests: output.ktap.take_results(),
        pattern: None,
        outside: output.skip.filter(|_| status == CaseStatus::Skip),
        tail,
        dmesg: watch.finish(),
    })
}

/// Starts the case; its output comes through the channel, which ends with it.
fn spawn(case: &GuestCase, seed: u64) -> Result<(i32, Receiver<Vec<u8>>), String> {
    let err = |e: std::io::Error| format!("start case {}: {e}", case.name);
    let (reader, writer) = pipe().map_err(err)?;
    let child = Command::new("/proc/self/exe")
        .args([crate::EXEC_CASE, case.script.as_str()])
        .env_clear()
        .env("PATH", PATH)
        .env("FIRSTBAD_SEED", seed.to_string())
        .env("FIRSTBAD_CASE", &case.name)
        .stdin(Stdio::null())
        .stdout(writer.try_clone().map_err(err)?)
        .stderr(writer)
        .spawn()
        .map_err(err)?;
    let pid = i32::try_from(child.id()).map_err(|e| format!("start case {}: {e}", case.name))?;
    let (send, chunks) = sync_channel(CHUNKS);
    std::thread::Builder::new()
        .name("output".into())
        .spawn(move || forward(reader, |chunk| send.send(chunk).is_ok()))
        .map_err(err)?;
    Ok((pid, chunks))
}

/// Copies the pipe to the console and to `keep`, until either ends.
fn forward(mut reader: PipeReader, keep: impl Fn(Vec<u8>) -> bool) {
    let mut buffer = [0_u8; 4096];
    let mut console = std::io::stdout();
    while let Ok(n) = reader.read(&mut buffer) {
        if n == 0 || !keep(buffer[..n].to_vec()) {
            return;
        }
        let _ = console.write_all(&buffer[..n]);
        let _ = console.flush();
    }
}

/// Takes one chunk if it comes in time; false when no more will come.
fn take(chunks: &Receiver<Vec<u8>>, output: &mut Output, wait: Duration) -> bool {
    match chunks.recv_timeout(wait) {
        Ok(chunk) => output.push(&chunk),
        Err(RecvTimeoutError::Timeout) => {}
        Err(RecvTimeoutError::Disconnected) => return false,
    }
    true
}

fn exit_code(status: WaitStatus) -> i32 {
    status
        .exit_status()
        .or_else(|| status.terminating_signal().map(|s| 128 + s))
        .unwrap_or(128)
}

/// What an exit code means, as for `git bisect run`; a KTAP failure fails a case that exits 0.
fn judge(exit: i32, ktap: Option<[u32; 3]>) -> CaseStatus {
    match (exit, ktap) {
        (0, Some([_, failed, _])) if failed > 0 => CaseStatus::Fail,
        (0, Some([0, 0, skipped])) if skipped > 0 => CaseStatus::Skip,
        (0, _) => CaseStatus::Pass,
        (SKIPPED, _) => CaseStatus::Skip,
        (1..=124, _) => CaseStatus::Fail,
        _ => CaseStatus::Broken,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes() {
        use CaseStatus::{Broken, Fail, Pass, Skip};
        for (exit, ktap, want) in [
            (0, None, Pass),
            (0, Some([3, 0, 1]), Pass),
            (0, Some([3, 1, 0]), Fail),
            (0, Some([0, 0, 2]), Skip),
            (1, None, Fail),
            (124, Some([1, 0, 0]), Fail),
            (125, None, Skip),
            (126, None, Broken),
            (127, None, Broken),
            (137, None, Broken),
            (255, None, Broken),
        ] {
            assert_eq!(judge(exit, ktap), want, "{exit} {ktap:?}");
        }
    }

    #[test]
    fn forward_ends_with_the_pipe_or_the_keeper() {
        for keeps in [true, false] {
            let (reader, mut writer) = pipe().unwrap();
            writer.write_all(b"abc").unwrap();
            drop(writer);
            forward(reader, |_| keeps);
        }
    }
}
