//! apt with a state of its own.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

use super::LadderError;

/// Where Debian's archive is, unless said.
const MIRROR: &str = "http://deb.debian.org/debian";
/// Names another one.
const MIRROR_VARIABLE: &str = "FIRSTBAD_DEBIAN_MIRROR";
const KEYS: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";
/// What apt may print on standard error that is shown.
const COMPLAINT_CHARS: usize = 400;

/// apt's directories for one ladder.
pub struct Apt {
    options: Vec<String>,
}

impl Apt {
    /// Makes what is missing of the directories and writes the list of suites.
    pub fn open(dir: &Path, suites: &[String]) -> Result<Apt, LadderError> {
        let failed = |e: std::io::Error| LadderError::Failed(format!("{}: {e}", dir.display()));
        let dir = std::path::absolute(dir).map_err(failed)?;
        for part in ["lists/partial", "cache/archives/partial"] {
            std::fs::create_dir_all(dir.join(part)).map_err(failed)?;
        }
        let mirror = std::env::var(MIRROR_VARIABLE).unwrap_or_else(|_| MIRROR.to_owned());
        let mut list = String::new();
        for suite in suites {
            for kind in ["deb", "deb-src"] {
                list.push_str(&format!(
                    "{kind} [signed-by={KEYS}] {mirror} {suite} main\n"
                ));
            }
        }
        let place = |name: &str| dir.join(name);
        std::fs::write(place("sources.list"), list).map_err(failed)?;
        std::fs::write(place("status"), "").map_err(failed)?;
        let set = |name: &str, path: PathBuf| format!("-o{name}={}", path.display());
        Ok(Apt {
            options: vec![
                set("Dir::State", dir.clone()),
                set("Dir::State::lists", place("lists")),
                set("Dir::State::status", place("status")),
                set("Dir::Cache", place("cache")),
                set("Dir::Etc::sourcelist", place("sources.list")),
                "-oDir::Etc::sourceparts=/dev/null".to_owned(),
                "-oAPT::Architecture=amd64".to_owned(),
                "-oAPT::Architectures=amd64".to_owned(),
                "-oAcquire::Languages=none".to_owned(),
                "-oAcquire::IndexTargets::deb::DEP-11::DefaultEnabled=false".to_owned(),
                // The directories belong to this server's user.
                "-oAPT::Sandbox::User=".to_owned(),
            ],
        })
    }

    /// Fetches the lists.
    pub async fn update(&self, time: Duration) -> Result<(), LadderError> {
        let mut command = self.command("apt-get");
        command.args(["update", "-oAPT::Update::Error-Mode=any"]);
        run(command, time).await.map(drop)
    }

    /// What `apt-cache` prints.
    pub async fn cache(&self, args: &[&str], time: Duration) -> Result<String, LadderError> {
        let mut command = self.command("apt-cache");
        command.args(args);
        run(command, time).await
    }

    /// Fetches packages, given as `name=version`.
    pub async fn download(
        &self,
        wanted: &[String],
        to: &Path,
        time: Duration,
    ) -> Result<(), LadderError> {
        let mut command = self.command("apt-get");
        command.arg("download").args(wanted).current_dir(to);
        run(command, time).await.map(drop)
    }

    /// Fetches the source archive of a source package, given as `name=version`.
    pub async fn source(&self, wanted: &str, to: &Path, time: Duration) -> Result<(), LadderError> {
        let mut command = self.command("apt-get");
        command
            .args(["source", "--download-only", "--tar-only", wanted])
            .current_dir(to);
        run(command, time).await.map(drop)
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command
            .arg("-q")
            .args(&self.options)
            .env("LC_ALL", "C")
            .env("DEBIAN_FRONTEND", "noninteractive");
        command
    }
}

async fn run(mut command: Command, time: Duration) -> Result<String, LadderError> {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    let failed = |e: &dyn std::fmt::Display| LadderError::Failed(format!("apt: {e}"));
    let child = command.spawn().map_err(|e| failed(&e))?;
    let done = tokio::time::timeout(time, child.wait_with_output()).await;
    let done = done.map_err(|_| failed(&format!("no answer within {} s", time.as_secs())))?;
    let done = done.map_err(|e| failed(&e))?;
    if done.status.success() {
        return Ok(String::from_utf8_lossy(&done.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&done.stderr);
    let errors = said.lines().filter(|l| l.starts_with("E:"));
    let said = errors.collect::<Vec<_>>().join(" ");
    let told = format!("apt: {said}");
    let told = told.chars().take(COMPLAINT_CHARS).collect();
    Err(match is_gone(&said) {
        true => LadderError::Gone(told),
        false => LadderError::Failed(told),
    })
}

/// What apt says of something that an archive does not have.
const GONE: [&str; 6] = [
    "404  Not Found",
    "410  Gone",
    "was not found",
    "Unable to locate package",
    "Unable to find a source package",
    "Can't find a source to download",
];
/// What it says when nothing is known about the archive.
const OURS: [&str; 7] = [
    "Could not resolve",
    "Temporary failure",
    "nable to connect",
    "ould not connect",
    "Connection ",
    "No space left on device",
    "enough free space",
];

/// Whether apt's complaint means that the archive does not have what was asked for.
fn is_gone(said: &str) -> bool {
    let says = |words: &[&str]| words.iter().any(|w| said.contains(w));
    says(&GONE) && !says(&OURS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_archive_lacks_is_told_from_what_we_cannot_reach_or_store() {
        for (said, gone) in [
            ("E: Version '9.9-x' for 'bash' was not found", true),
            ("E: Unable to locate package nosuchpackage", true),
            (
                "E: Ignore unavailable version '9.9-1' of package 'linux' \
                 E: Unable to find a source package for linux",
                true,
            ),
            (
                "E: Failed to fetch http://a/l.deb  404  Not Found [IP: 1.2.3.4 80]",
                true,
            ),
            (
                "E: Failed to fetch http://a/l.deb  Could not resolve 'a'",
                false,
            ),
            (
                "E: Failed to fetch http://a/l.deb  503  Service Unavailable",
                false,
            ),
            (
                "E: Failed to fetch http://a/l.deb  Error writing to output file - write (28: No space \
                 left on device)",
                false,
            ),
            (
                "E: You don't have enough free space in /var/cache/apt/archives/.",
                false,
            ),
            (
                "E: Failed to fetch http://a/l.deb  Hash Sum mismatch",
                false,
            ),
            ("", false),
        ] {
            assert_eq!(is_gone(said), gone, "{said}");
        }
    }
}
