//! Runs the git command line: one environment, one set of limits for every call.

use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;

use super::RepoError;

/// Variables of the server that a git child may see: the proxy and certificates of the host.
const PASSED: [&str; 9] = [
    "PATH",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "HTTPS_PROXY",
    "NO_PROXY",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "TMPDIR",
];
const STDERR_BYTES: u64 = 64 << 10;

/// What a call may cost.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bound {
    pub time: Duration,
    pub bytes: u64,
}

impl Bound {
    /// A look-up.
    pub const QUICK: Bound = Bound {
        time: Duration::from_secs(30),
        bytes: 8 << 20,
    };
    /// A walk over many commits.
    pub const WALK: Bound = Bound {
        time: Duration::from_secs(120),
        bytes: 512 << 20,
    };
}

/// How a call ended.
#[derive(Debug)]
pub(super) struct Output {
    pub status: ExitStatus,
    pub stdout: Vec<u8>,
    pub stderr: String,
    /// True when standard output was longer than the bound; the rest is lost.
    pub cut: bool,
}

impl Output {
    pub fn code(&self) -> i32 {
        self.status.code().unwrap_or(-1)
    }

    /// The last line git wrote to standard error, without its prefix, in words fit for a sentence.
    pub fn complaint(&self) -> String {
        let line = self
            .stderr
            .lines()
            .rev()
            .map(str::trim)
            .find(|l| l.starts_with("fatal:") || l.starts_with("error:"))
            .or_else(|| self.stderr.lines().rev().find(|l| !l.trim().is_empty()))
            .unwrap_or("git gave no reason");
        let line = line
            .trim_start_matches("fatal:")
            .trim_start_matches("error:");
        line.trim().chars().take(300).collect()
    }
}

/// `git` with nothing of the host's or the user's configuration, in `repo` when given.
pub(super) fn command(repo: Option<&Path>, protocols: &str) -> Command {
    let mut command = Command::new("git");
    command.env_clear();
    for name in PASSED {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    command
        .env("LC_ALL", "C")
        .env("HOME", "/nonexistent")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_ATTR_NOSYSTEM", "1")
        .env("GIT_TERMINAL_PROMPT", "0")
        .env("GIT_NO_REPLACE_OBJECTS", "1")
        .env("GIT_NO_LAZY_FETCH", "1")
        .env("GIT_OPTIONAL_LOCKS", "0")
        .env("GIT_ALLOW_PROTOCOL", protocols)
        .args(["--no-pager", "-c", "core.hooksPath=/dev/null"])
        .args(["-c", "safe.directory=*", "-c", "gc.auto=0"])
        .args([
            "-c",
            "core.quotePath=false",
            "-c",
            "log.showSignature=false",
        ])
        .args(["-c", "maintenance.auto=false", "-c", "core.fsmonitor=false"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    if let Some(repo) = repo {
        command.arg("--git-dir").arg(repo);
    }
    command
}

/// A read in a mirror.
pub(super) fn read(repo: &Path) -> Command {
    command(Some(repo), "none")
}

/// Runs to the end or to the bound; any exit status is an answer.
pub(super) async fn run(
    mut command: Command,
    input: Option<&[u8]>,
    bound: Bound,
) -> Result<Output, RepoError> {
    if input.is_some() {
        command.stdin(Stdio::piped());
    }
    let mut child = command
        .process_group(0)
        .spawn()
        .map_err(|e| RepoError::Failed(format!("git cannot be started: {e}")))?;
    let group = Group::of(&child);
    let stdin = child.stdin.take();
    let stdout = child.stdout.take();
    let stderr = child.stderr.take();
    let talk = async {
        let write = async {
            if let (Some(mut pipe), Some(input)) = (stdin, input) {
                // git may stop reading early; its exit status says why.
                let _ = pipe.write_all(input).await;
            }
        };
        let (_, out, err) =
            tokio::join!(write, take(stdout, bound.bytes), take(stderr, STDERR_BYTES));
        let status = child.wait().await;
        (status, out, err)
    };
    let ended = tokio::time::timeout(bound.time, talk).await;
    match ended {
        Ok((status, out, err)) => {
            group.forget();
            let status = status.map_err(|e| RepoError::Failed(format!("git was lost: {e}")))?;
            let (stdout, cut) = out;
            Ok(Output {
                status,
                stdout,
                stderr: String::from_utf8_lossy(&err.0).into_owned(),
                cut,
            })
        }
        Err(_) => {
            // git removes its lock files on SIGTERM; the guard's SIGKILL follows.
            group.signal(Signal::TERM);
            let _ = tokio::time::timeout(Duration::from_secs(5), child.wait()).await;
            Err(RepoError::Failed(format!(
                "git did not end within {} s",
                bound.time.as_secs()
            )))
        }
    }
}

/// Like [`run`], for calls that must succeed and whose output must be whole.
pub(super) async fn expect(
    command: Command,
    input: Option<&[u8]>,
    bound: Bound,
) -> Result<Vec<u8>, RepoError> {
    let output = run(command, input, bound).await?;
    if !output.status.success() {
        return Err(RepoError::Failed(format!("git: {}", output.complaint())));
    }
    if output.cut {
        return Err(RepoError::Failed(format!(
            "git printed more than {} bytes",
            bound.bytes
        )));
    }
    Ok(output.stdout)
}

/// Runs `first` on `input`, and `second` on what that prints, to the end or to the bound: what the
/// second prints. Nothing of what goes between them is held here.
pub(super) async fn pipe(
    mut first: Command,
    mut second: Command,
    input: &[u8],
    bound: Bound,
) -> Result<Vec<u8>, RepoError> {
    let lost = |e: std::io::Error| RepoError::Failed(format!("git was lost: {e}"));
    let mut first = first
        .stdin(Stdio::piped())
        .process_group(0)
        .spawn()
        .map_err(lost)?;
    let first_group = Group::of(&first);
    let (stdin, between) = (first.stdin.take(), first.stdout.take());
    let between: Stdio = match between {
        Some(pipe) => pipe.try_into().map_err(lost)?,
        None => Stdio::null(),
    };
    let mut second = second
        .stdin(between)
        .process_group(0)
        .spawn()
        .map_err(lost)?;
    let second_group = Group::of(&second);
    let (errors, stdout, more) = (
        first.stderr.take(),
        second.stdout.take(),
        second.stderr.take(),
    );
    let talk = async {
        let write = async {
            if let Some(mut pipe) = stdin {
                // git may stop reading early; its exit status says why.
                let _ = pipe.write_all(input).await;
            }
        };
        let (_, out, first_says, second_says) = tokio::join!(
            write,
            take(stdout, bound.bytes),
            take(errors, STDERR_BYTES),
            take(more, STDERR_BYTES)
        );
        let ended = (first.wait().await, second.wait().await);
        (ended, out, first_says.0, second_says.0)
    };
    let ended = tokio::time::timeout(bound.time, talk).await;
    let late = || RepoError::Failed(format!("git did not end within {} s", bound.time.as_secs()));
    let ((first_ended, second_ended), (stdout, cut), first_says, second_says) =
        ended.map_err(|_| late())?;
    first_group.forget();
    second_group.forget();
    for (status, says) in [(first_ended, first_says), (second_ended, second_says)] {
        let output = Output {
            status: status.map_err(lost)?,
            stdout: Vec::new(),
            stderr: String::from_utf8_lossy(&says).into_owned(),
            cut,
        };
        if !output.status.success() || cut {
            return Err(RepoError::Failed(format!("git: {}", output.complaint())));
        }
    }
    Ok(stdout)
}

/// Reads all, keeps the first `limit` bytes; true when something was dropped.
async fn take(pipe: Option<impl AsyncRead + Unpin>, limit: u64) -> (Vec<u8>, bool) {
    let Some(mut pipe) = pipe else {
        return (Vec::new(), false);
    };
    let mut kept = Vec::new();
    let _ = (&mut pipe).take(limit).read_to_end(&mut kept).await;
    let dropped = tokio::io::copy(&mut pipe, &mut tokio::io::sink()).await;
    (kept, dropped.unwrap_or(0) > 0)
}

/// Ends git and its helpers when the call is dropped.
struct Group(Option<Pid>);

impl Group {
    fn of(child: &tokio::process::Child) -> Self {
        Group(
            child
                .id()
                .and_then(|id| i32::try_from(id).ok())
                .and_then(Pid::from_raw),
        )
    }

    fn signal(&self, signal: Signal) {
        if let Some(pid) = self.0 {
            // Gone already is fine.
            let _ = kill_process_group(pid, signal);
        }
    }

    fn forget(mut self) {
        self.0 = None;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
    }
}
