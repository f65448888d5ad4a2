//! Runs git, hardened.
//!
//! Owns the environment in which the worker calls git on a stranger's tree: no
//! system or user configuration, no hooks, no prompts, no transport but HTTP,
//! no automatic maintenance, no submodules. Must not know what is fetched.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::error::{Context, InfraError};
use crate::process::{self, Until};

/// Configuration given to every call.
const CONFIG: &[(&str, &str)] = &[
    ("core.hooksPath", "/dev/null"),
    ("core.bare", "false"),
    ("core.symlinks", "true"),
    ("core.fsmonitor", "false"),
    ("core.untrackedCache", "false"),
    ("core.autocrlf", "false"),
    ("core.protectHFS", "true"),
    ("core.protectNTFS", "true"),
    ("submodule.recurse", "false"),
    ("fetch.recurseSubmodules", "false"),
    ("fetch.fsckObjects", "false"),
    ("gc.auto", "0"),
    ("maintenance.auto", "false"),
    ("advice.detachedHead", "false"),
    ("protocol.version", "2"),
    ("http.followRedirects", "false"),
    ("user.name", "firstbad"),
    ("user.email", "firstbad@localhost"),
];
const PATH: &str = "/usr/local/bin:/usr/bin:/bin";
/// Commits made from fix-ups are a function of the revision and the patches.
const WHEN: &str = "2025-01-01T00:00:00Z";

/// A repository and its work tree.
#[derive(Debug, Clone)]
pub struct Git {
    git_dir: PathBuf,
    work_tree: PathBuf,
    index: Option<PathBuf>,
    token: String,
}

impl Git {
    /// Nothing needs to exist yet; `token` is sent to the server with each fetch.
    pub fn new(git_dir: &Path, work_tree: &Path, token: &str) -> Git {
        Git {
            git_dir: git_dir.to_owned(),
            work_tree: work_tree.to_owned(),
            index: None,
            token: token.to_owned(),
        }
    }

    /// The same repository with another index file.
    pub fn with_index(&self, index: &Path) -> Git {
        Git {
            index: Some(index.to_owned()),
            ..self.clone()
        }
    }

    /// Runs `git args` and returns what it printed.
    pub async fn run(&self, args: &[&str], until: &Until) -> Result<String, InfraError> {
        let what = format!("git {}", args.first().unwrap_or(&""));
        process::output(self.command(args), &what, until).await
    }

    /// Runs `git args` with `input` on its standard input: printed text, or what it complained about.
    pub async fn feed(
        &self,
        args: &[&str],
        input: &[u8],
        until: &Until,
    ) -> Result<Result<String, String>, InfraError> {
        let mut command = self.command(args);
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().context("cannot start git")?;
        let mut stdin = child.stdin.take();
        let all = async {
            if let Some(pipe) = stdin.as_mut() {
                // git may stop reading early; its exit status tells.
                let _closed = pipe.write_all(input).await;
            }
            drop(stdin.take());
            child.wait_with_output().await.context("waiting for git")
        };
        let done = tokio::select! {
            done = all => done?,
            () = until.cancel.cancelled() => return Err(InfraError::Cancelled),
            () = tokio::time::sleep_until(until.deadline) => {
                return Err(InfraError::Failed("git did not end before its deadline".to_owned()));
            }
        };
        Ok(if done.status.success() {
            Ok(String::from_utf8_lossy(&done.stdout).into_owned())
        } else {
            Err(String::from_utf8_lossy(&done.stderr).into_owned())
        })
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new("git");
        command
            .args(args)
            .env_clear()
            .env("PATH", PATH)
            .env("LC_ALL", "C")
            .env("HOME", "/nonexistent")
            .env("GIT_DIR", &self.git_dir)
            .env("GIT_WORK_TREE", &self.work_tree)
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("GIT_ASKPASS", "/bin/false")
            .env("GIT_ALLOW_PROTOCOL", "http:https")
            .env("GIT_AUTHOR_DATE", WHEN)
            .env("GIT_COMMITTER_DATE", WHEN)
            .current_dir(self.work_tree.parent().unwrap_or(Path::new("/")))
            .stdin(Stdio::null())
            .kill_on_drop(true);
        if let Some(index) = &self.index {
            command.env("GIT_INDEX_FILE", index);
        }
        let header = format!("Authorization: Bearer {}", self.token);
        let secret = (!self.token.is_empty()).then_some(("http.extraHeader", header.as_str()));
        let all: Vec<(&str, &str)> = CONFIG.iter().copied().chain(secret).collect();
        // By environment and not by `-c`: an argument vector is readable by every user.
        command.env("GIT_CONFIG_COUNT", all.len().to_string());
        for (n, (key, value)) in all.iter().enumerate() {
            command.env(format!("GIT_CONFIG_KEY_{n}"), key);
            command.env(format!("GIT_CONFIG_VALUE_{n}"), value);
        }
        command
    }
}
