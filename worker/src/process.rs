//! Runs one command to its end, its deadline or its cancellation.
//!
//! Owns the pump from the command's output to a [`BuildLog`] and the certainty
//! that nothing of the command is alive afterwards. Must not know what it does.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::process::Pid;
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;
use tokio::process::{Child, Command};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::buildlog::BuildLog;
use crate::error::{Context, InfraError};

/// Longest line handed to a [`Lines`] listener, bytes.
const LINE_BYTES: usize = 4096;
/// Time for the last writer of a killed command's output to go.
const DRAIN: Duration = Duration::from_secs(20);

/// Ends and limits of a command.
#[derive(Debug, Clone)]
pub struct Until {
    pub deadline: Instant,
    pub cancel: CancellationToken,
}

/// Cuts a byte stream into lines of bounded length.
#[derive(Debug, Default)]
pub struct Lines {
    partial: Vec<u8>,
}

impl Lines {
    /// Calls `on` for each line that `bytes` completes.
    pub fn push(&mut self, bytes: &[u8], on: &mut dyn FnMut(&str)) {
        for piece in bytes.split_inclusive(|b| *b == b'\n') {
            let (text, whole) = match piece.strip_suffix(b"\n") {
                Some(text) => (text, true),
                None => (piece, false),
            };
            let room = LINE_BYTES.saturating_sub(self.partial.len());
            self.partial
                .extend_from_slice(&text[..text.len().min(room)]);
            if whole {
                on(String::from_utf8_lossy(&self.partial).trim_end_matches('\r'));
                self.partial.clear();
            }
        }
    }

    /// Calls `on` for an unfinished last line.
    pub fn end(&mut self, on: &mut dyn FnMut(&str)) {
        if !self.partial.is_empty() {
            on(&String::from_utf8_lossy(&self.partial));
            self.partial.clear();
        }
    }
}

/// Runs `command`; both its outputs go to `log` and, line by line, to `on_line`.
///
/// Returns when the last holder of the output is gone, so that the next command
/// may use the same directories. `what` names it in messages.
pub async fn run_logged(
    mut command: Command,
    what: &str,
    log: &mut BuildLog,
    on_line: &mut (dyn FnMut(&str) + Send),
    until: &Until,
) -> Result<ExitStatus, InfraError> {
    let (reader, writer) = io::pipe().context("cannot make a pipe")?;
    let second = writer.try_clone().context("cannot make a pipe")?;
    command
        .stdout(Stdio::from(writer))
        .stderr(Stdio::from(second));
    command.process_group(0);
    let mut child = command.spawn().context(format!("cannot start {what}"))?;
    drop(command); // our copies of the pipe's writing end
    let mut reader = pipe::Receiver::from_owned_fd(OwnedFd::from(reader)).context("pipe")?;
    let mut lines = Lines::default();
    let mut buffer = vec![0u8; 64 << 10];

    let stopped = loop {
        tokio::select! {
            read = reader.read(&mut buffer) => match read.context("reading the output")? {
                0 => break None,
                n => {
                    log.write(&buffer[..n]).context("writing the log")?;
                    lines.push(&buffer[..n], on_line);
                }
            },
            () = until.cancel.cancelled() => break Some(InfraError::Cancelled),
            () = tokio::time::sleep_until(until.deadline) => {
                break Some(InfraError::Failed(format!("{what} did not end before its deadline")));
            }
        }
    };
    lines.end(on_line);
    match stopped {
        None => child.wait().await.context(format!("waiting for {what}")),
        Some(why) => {
            kill(&mut child).await;
            drain(&mut reader, &mut buffer, what).await?;
            Err(why)
        }
    }
}

/// Kills a command, its process group and its PID namespace, and reaps it.
///
/// Returns when the first process of that namespace is gone, which the kernel
/// lets go last (pid_namespaces(7)); its output can end before the others do.
pub async fn kill(child: &mut Child) {
    let pid = child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
    let below = pid.map(children).unwrap_or_default();
    if let Some(pid) = pid {
        // Already gone is fine: the reaping below tells.
        let _gone = rustix::process::kill_process_group(pid, rustix::process::Signal::KILL);
    }
    if let Err(why) = child.kill().await {
        tracing::debug!(%why, "the killed process was gone already");
    }
    let all_gone = tokio::task::spawn_blocking(move || below.iter().all(ends));
    if !matches!(all_gone.await, Ok(true)) {
        tracing::error!("something of a killed command is still alive");
    }
}

/// Waits for the end of a process: its pidfd is then readable (pidfd_open(2)).
fn ends(pidfd: &OwnedFd) -> bool {
    let mut wait = [PollFd::new(pidfd, PollFlags::IN)];
    let drain = Timespec::try_from(DRAIN).ok();
    matches!(rustix::event::poll(&mut wait, drain.as_ref()), Ok(1))
}

/// The processes whose parent is `parent`, those that cannot be watched left out.
fn children(parent: Pid) -> Vec<OwnedFd> {
    let parent = parent.as_raw_nonzero().to_string();
    let all = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    all.filter_map(|entry| {
        let pid = entry.file_name().to_str()?.parse().ok()?;
        let stat = std::fs::read_to_string(entry.path().join("stat")).ok()?;
        // "pid (name) state parent …", where the name can hold anything.
        let of = stat.rsplit_once(") ")?.1.split(' ').nth(1)?;
        let pid = Pid::from_raw(pid).filter(|_| of == parent)?;
        rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty()).ok()
    })
    .collect()
}

async fn drain(
    reader: &mut pipe::Receiver,
    buffer: &mut [u8],
    what: &str,
) -> Result<(), InfraError> {
    let empty = async { while matches!(reader.read(buffer).await, Ok(n) if n > 0) {} };
    tokio::time::timeout(DRAIN, empty).await.map_err(|_| {
        InfraError::Failed(format!(
            "{what} was killed but something of it is still alive"
        ))
    })
}

/// The signal that ended a command, itself or seen through the sandbox as 128 + n.
pub fn signal_of(status: ExitStatus) -> Option<i32> {
    status.signal().or_else(|| {
        status
            .code()
            .and_then(|c| (129..=192).contains(&c).then_some(c - 128))
    })
}

/// Runs a helper whose output is small; fails unless it exits with 0.
pub async fn output(mut command: Command, what: &str, until: &Until) -> Result<String, InfraError> {
    command
        .process_group(0)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    let child = command.spawn().context(format!("cannot start {what}"))?;
    let pid = child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
    let done = tokio::select! {
        done = child.wait_with_output() => done.context(format!("waiting for {what}")),
        () = until.cancel.cancelled() => Err(InfraError::Cancelled),
        () = tokio::time::sleep_until(until.deadline) => {
            Err(InfraError::Failed(format!("{what} did not end before its deadline")))
        }
    };
    if let (Err(_), Some(pid)) = (&done, pid) {
        let _gone = rustix::process::kill_process_group(pid, rustix::process::Signal::KILL);
    }
    let done = done?;
    if done.status.success() {
        return Ok(String::from_utf8_lossy(&done.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&done.stderr);
    let tail: Vec<&str> = said.lines().rev().take(6).collect();
    let tail: Vec<&str> = tail.into_iter().rev().collect();
    Err(InfraError::Failed(format!(
        "{what} failed ({}): {}",
        done.status,
        tail.join(" / ")
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_whole_and_bounded() {
        let mut seen = Vec::new();
        let mut lines = Lines::default();
        let mut on = |l: &str| seen.push(l.to_owned());
        lines.push(b"one\ntw", &mut on);
        lines.push(b"o\r\n", &mut on);
        lines.push(&vec![b'x'; 3 * LINE_BYTES], &mut on);
        lines.push(b"\nlast", &mut on);
        lines.end(&mut on);
        assert_eq!(seen[..2], ["one", "two"]);
        assert_eq!(seen[2].len(), LINE_BYTES);
        assert_eq!(seen[3], "last");
    }

    #[tokio::test]
    async fn a_deadline_kills_the_whole_group_and_is_our_failure() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = BuildLog::create(&dir.path().join("log")).unwrap();
        let mut command = Command::new("/bin/sh");
        command.args(["-c", "echo begun; sleep 60 & wait"]);
        let until = Until {
            deadline: Instant::now() + Duration::from_millis(300),
            cancel: CancellationToken::new(),
        };
        let began = Instant::now();
        let end = run_logged(command, "the sleeper", &mut log, &mut |_| {}, &until).await;
        assert_eq!(
            end.unwrap_err().to_string(),
            "the sleeper did not end before its deadline"
        );
        assert!(began.elapsed() < Duration::from_secs(5));
    }
}
