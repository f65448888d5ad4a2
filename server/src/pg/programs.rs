//! Finds Postgres on this machine and says as whom it runs.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::process::Command;

use super::PgError;

/// The binaries of one Postgres version.
#[derive(Debug, Clone)]
pub(super) struct Programs {
    pub initdb: PathBuf,
    pub postgres: PathBuf,
}

impl Programs {
    /// Those of `version` (of an existing cluster); else those in PATH, else the newest of Debian's.
    pub fn find(version: Option<&str>) -> Result<Programs, PgError> {
        let packaged = Path::new("/usr/lib/postgresql");
        if let Some(version) = version
            && let Some(found) = in_dir(&packaged.join(version).join("bin"))
        {
            return Ok(found);
        }
        let mut dirs: Vec<PathBuf> = std::env::var_os("PATH")
            .map(|path| std::env::split_paths(&path).collect())
            .unwrap_or_default();
        let mut versions: Vec<(u32, PathBuf)> = std::fs::read_dir(packaged)
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|e| Some((e.file_name().to_str()?.parse().ok()?, e.path().join("bin"))))
            .collect();
        versions.sort_by_key(|(version, _)| std::cmp::Reverse(*version));
        dirs.extend(versions.into_iter().map(|(_, dir)| dir));
        let mut found = dirs.iter().filter_map(|dir| in_dir(dir));
        match version {
            None => found.next(),
            Some(version) => found.find(|f| f.major().as_deref() == Some(version)),
        }
        .ok_or_else(|| {
            let of = version.map(|v| format!(" of version {v}, which made this cluster"));
            PgError::NotInstalled(of.unwrap_or_default())
        })
    }

    /// Such as `15`, asked from the binary.
    fn major(&self) -> Option<String> {
        let output = std::process::Command::new(&self.postgres)
            .arg("--version")
            .output()
            .ok()?;
        let text = String::from_utf8(output.stdout).ok()?;
        let version = text.split_whitespace().nth(2)?;
        Some(version.split('.').next()?.to_owned())
    }
}

fn in_dir(dir: &Path) -> Option<Programs> {
    let (initdb, postgres) = (dir.join("initdb"), dir.join("postgres"));
    (initdb.is_file() && postgres.is_file()).then_some(Programs { initdb, postgres })
}

/// As whom Postgres runs: it refuses to be root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Account {
    /// User and group to change to; none when the server itself is unprivileged.
    pub drop_to: Option<(u32, u32)>,
    /// Operating-system users that may connect: that of Postgres and that of the server.
    pub users: Vec<String>,
}

impl Account {
    pub fn find() -> Result<Account, PgError> {
        let me = rustix::process::geteuid();
        let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
        let mut users = Vec::new();
        if !me.is_root() {
            let output = std::process::Command::new("id").arg("-un").output();
            let name = output.map(|o| String::from_utf8_lossy(&o.stdout).trim().to_owned());
            users.extend(name.ok().filter(|n| !n.is_empty()));
            return Ok(Account {
                drop_to: None,
                users,
            });
        }
        let postgres = passwd
            .lines()
            .map(|line| line.split(':').collect::<Vec<_>>())
            .find(|fields| fields.first() == Some(&"postgres"))
            .ok_or(PgError::NoUser)?;
        let id = |at: usize| postgres.get(at).and_then(|t| t.parse::<u32>().ok());
        let (uid, gid) = id(2).zip(id(3)).ok_or(PgError::NoUser)?;
        users.extend(["root".to_owned(), "postgres".to_owned()]);
        Ok(Account {
            drop_to: Some((uid, gid)),
            users,
        })
    }

    /// `program` in `dir` as this account, without the server's environment, input and output.
    pub fn command(&self, program: &Path, dir: &Path) -> Command {
        let mut command = match self.drop_to {
            None => Command::new(program),
            Some((uid, gid)) => {
                let mut command = Command::new("setpriv");
                command
                    .args([format!("--reuid={uid}"), format!("--regid={gid}")])
                    .args(["--clear-groups", "--inh-caps=-all", "--no-new-privs"])
                    .arg("--")
                    .arg(program);
                command
            }
        };
        command
            .env_clear()
            .envs(std::env::var_os("PATH").map(|path| ("PATH", path)))
            .env("LC_ALL", "C")
            .current_dir(dir)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command
    }
}
