//! The directory of a cluster: data, socket, log, lock and watchdog.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use rustix::process::Pid;
use sha2::{Digest, Sha256};
use tokio::time::{Instant, sleep};

use super::programs::{Account, Programs};
use super::{PORT, PgError};

/// A unix socket's path has at most 107 bytes; its name takes 15 of them.
const SOCKET_DIR_BYTES: usize = 90;
/// The log begins anew when it is longer at a start, bytes.
const LOG_BYTES: u64 = 16 << 20;
/// Where clusters of root live when their data directory is closed to other users.
const ELSEWHERE: &str = "/var/lib/firstbad";

/// Stops a postmaster without an owner, and ends with it. `$1` home, `$2` seconds, `$3` keep or wipe.
const WATCHDOG: &str = r#"
exec 9>>"$1/watchdog.lock" && flock -n 9 || exit 0
idle=0
while sleep 2 9>&-; do
    [ -e "$1/owner.lock" ] || exit 0
    if ! flock -n "$1/owner.lock" true; then idle=0; continue; fi
    idle=$((idle + 2))
    pid=$(head -n 1 "$1/data/postmaster.pid" 2>/dev/null)
    if [ -z "$pid" ] || ! tr '\000' '\n' <"/proc/$pid/cmdline" 2>/dev/null | grep -qxF -- "$1/data"; then
        [ "$3" = keep ] || flock -n "$1/owner.lock" rm -rf -- "$1/data"
        exit 0
    fi
    [ "$idle" -lt "$2" ] || kill -INT "$pid"
done
"#;

#[derive(Debug)]
pub(super) struct Home {
    dir: PathBuf,
    socket_dir: PathBuf,
    account: Account,
}

impl Home {
    /// Prepares `dir` for the account that Postgres runs as.
    pub async fn open(dir: &Path) -> Result<Home, PgError> {
        let account = Account::find()?;
        fs::create_dir_all(dir).map_err(|e| directory(dir, e))?;
        let mut dir = dir.canonicalize().map_err(|e| directory(dir, e))?;
        claim(&dir, &account)?;
        if !reachable(&dir, &account).await {
            dir = elsewhere(&dir, &account)?;
        }
        let socket_dir = socket_dir(&dir, &account)?;
        Ok(Home {
            dir,
            socket_dir,
            account,
        })
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }

    pub fn data(&self) -> PathBuf {
        self.dir.join("data")
    }

    pub fn socket_dir(&self) -> &Path {
        &self.socket_dir
    }

    pub fn account(&self) -> &Account {
        &self.account
    }

    /// The Postgres version that made the data.
    pub fn version(&self) -> Option<String> {
        let text = fs::read_to_string(self.data().join("PG_VERSION")).ok()?;
        Some(text.trim().to_owned())
    }

    /// Becomes the only owner. A server that is just ending gets a moment.
    pub async fn own(&self) -> Result<File, PgError> {
        let file = self.lock_file("owner.lock")?;
        let end = Instant::now() + Duration::from_secs(30);
        while file.try_lock().is_err() {
            if Instant::now() > end {
                return Err(PgError::InUse(self.dir.display().to_string()));
            }
            sleep(Duration::from_millis(100)).await;
        }
        Ok(file)
    }

    /// A lock file that the watchdog may open too.
    pub fn lock_file(&self, name: &str) -> Result<File, PgError> {
        let path = self.dir.join(name);
        let file = self.create_file(&path, false)?;
        Ok(file)
    }

    /// Makes the cluster unless it is there. A killed attempt leaves nothing that counts.
    pub async fn create(&self, programs: &Programs, durable: bool) -> Result<(), PgError> {
        let data = self.data();
        if data.join("PG_VERSION").exists() {
            return Ok(());
        }
        let fresh = self.dir.join("data.new");
        if fresh.exists() {
            fs::remove_dir_all(&fresh).map_err(|e| directory(&fresh, e))?;
        }
        tracing::info!(dir = %data.display(), "making a private Postgres cluster");
        let mut initdb = self.account.command(&programs.initdb, &self.dir);
        initdb.arg("--pgdata").arg(&fresh);
        initdb.args(["--username", super::NAME, "--encoding=UTF8", "--locale=C"]);
        initdb.args(["--auth-local=peer", "--auth-host=reject"]);
        initdb.arg(if durable {
            "--data-checksums"
        } else {
            "--no-sync"
        });
        let output = initdb
            .stderr(Stdio::piped())
            .output()
            .await
            .map_err(|e| PgError::DoesNotStart(format!("initdb: {e}")))?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            let said: Vec<&str> = said.lines().filter(|l| l.contains("error")).collect();
            return Err(PgError::DoesNotStart(said.join("; ")));
        }
        // Peer: the kernel says who is at the other end of the socket. initdb has made
        // both files, so they keep their owner.
        let hba = "local all all peer map=firstbad\n";
        let users = self.account.users.iter();
        let ident: String = users
            .map(|user| format!("firstbad \"{user}\" {}\n", super::NAME))
            .collect();
        for (name, text) in [("pg_hba.conf", hba), ("pg_ident.conf", ident.as_str())] {
            let path = fresh.join(name);
            fs::write(&path, text).map_err(|e| directory(&path, e))?;
            if durable {
                File::open(&path)
                    .and_then(|f| f.sync_all())
                    .map_err(|e| directory(&path, e))?;
            }
        }
        fs::rename(&fresh, &data).map_err(|e| directory(&data, e))?;
        File::open(&self.dir)
            .and_then(|d| d.sync_all())
            .map_err(|e| directory(&self.dir, e))
    }

    /// The living postmaster of this cluster, whoever started it.
    pub fn postmaster(&self) -> Option<Pid> {
        let (pid, ours) = self.recorded()?;
        ours.then_some(pid)
    }

    /// The process id in `postmaster.pid`, and whether that process is our postmaster.
    fn recorded(&self) -> Option<(Pid, bool)> {
        let data = self.data();
        let text = fs::read_to_string(data.join("postmaster.pid")).ok()?;
        let pid: i32 = text.lines().next()?.trim().parse().ok()?;
        // A zombie's command line is empty; that of any other process lacks the directory.
        let command = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let wanted = data.as_os_str().as_encoded_bytes();
        let ours = command.split(|b| *b == 0).any(|arg| arg == wanted);
        Some((Pid::from_raw(pid)?, ours))
    }

    /// Removes lock files whose process id now belongs to a stranger: Postgres would take it
    /// for a living postmaster. A dead process id is left to Postgres, which checks more.
    pub fn clear_stale(&self) -> Result<(), PgError> {
        let Some((pid, false)) = self.recorded() else {
            return Ok(());
        };
        if !Path::new(&format!("/proc/{}", pid.as_raw_nonzero())).exists() {
            return Ok(());
        }
        let socket = format!(".s.PGSQL.{PORT}");
        for path in [
            self.data().join("postmaster.pid"),
            self.socket_dir.join(format!("{socket}.lock")),
            self.socket_dir.join(socket),
        ] {
            match fs::remove_file(&path) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(directory(&path, e)),
                _ => {}
            }
        }
        Ok(())
    }

    /// Where the postmaster writes; a plain file, so that it outlives the server.
    pub fn log_file(&self) -> Result<File, PgError> {
        let path = self.dir.join("postgres.log");
        let long = fs::metadata(&path).is_ok_and(|m| m.len() > LOG_BYTES);
        self.create_file(&path, long)
    }

    /// The end of the log, for a person.
    pub fn last_words(&self) -> String {
        let tail = || -> io::Result<String> {
            let mut file = File::open(self.dir.join("postgres.log"))?;
            let size = file.metadata()?.len();
            file.seek(SeekFrom::Start(size.saturating_sub(2048)))?;
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes)?;
            Ok(String::from_utf8_lossy(&bytes).into_owned())
        };
        let text = tail().unwrap_or_default();
        let lines: Vec<&str> = text.lines().filter(|l| !l.trim().is_empty()).collect();
        lines[lines.len().saturating_sub(4)..].join("; ")
    }

    /// Makes sure a watchdog runs: after `orphan_s` seconds without an owner it stops Postgres.
    pub fn watch(&self, orphan_s: u32, keep: bool) -> Result<(), PgError> {
        let mut command = self.account.command(Path::new("/bin/sh"), &self.dir);
        command
            .args(["-c", WATCHDOG, "firstbad-watchdog"])
            .arg(&self.dir)
            .arg(orphan_s.to_string())
            .arg(if keep { "keep" } else { "wipe" })
            .process_group(0)
            .spawn()
            .map(drop)
            .map_err(|e| PgError::DoesNotStart(format!("its watchdog: {e}")))
    }

    fn create_file(&self, path: &Path, truncate: bool) -> Result<File, PgError> {
        let make = || -> io::Result<File> {
            // The directory belongs to Postgres: follow no link that it may have put there.
            let no_follow = rustix::fs::OFlags::NOFOLLOW.bits().cast_signed();
            let file = OpenOptions::new()
                .append(true)
                .create(true)
                .mode(0o600)
                .custom_flags(no_follow)
                .open(path)?;
            if truncate {
                file.set_len(0)?;
            }
            if let Some((uid, gid)) = self.account.drop_to {
                std::os::unix::fs::fchown(&file, Some(uid), Some(gid))?;
            }
            Ok(file)
        };
        make().map_err(|e| directory(path, e))
    }
}

/// Owned by the account and closed to everyone else.
fn claim(dir: &Path, account: &Account) -> Result<(), PgError> {
    let set = || -> io::Result<()> {
        if let Some((uid, gid)) = account.drop_to {
            chown(dir, Some(uid), Some(gid))?;
        }
        fs::set_permissions(dir, fs::Permissions::from_mode(0o700))
    };
    set().map_err(|e| directory(dir, e))
}

/// Whether the account can get into `dir`: a parent such as /root may be closed.
async fn reachable(dir: &Path, account: &Account) -> bool {
    if account.drop_to.is_none() {
        return true;
    }
    let mut test = account.command(Path::new("test"), Path::new("/"));
    test.arg("-w").arg(dir).arg("-a").arg("-x").arg(dir);
    test.status().await.is_ok_and(|s| s.success())
}

/// A home of its own under /var/lib, named by a file in `dir`: when `dir` is deleted, the
/// next cluster is a new one.
fn elsewhere(dir: &Path, account: &Account) -> Result<PathBuf, PgError> {
    let note = dir.join("location");
    let known = fs::read_to_string(&note)
        .map(|text| PathBuf::from(text.trim()))
        .ok()
        .filter(|home| home.parent() == Some(Path::new(ELSEWHERE)));
    let home = match known {
        Some(home) => home,
        None => {
            let id = uuid::Uuid::new_v4().simple().to_string();
            let home = Path::new(ELSEWHERE).join(&id[..12]);
            fs::write(&note, format!("{}\n", home.display())).map_err(|e| directory(&note, e))?;
            home
        }
    };
    DirBuilder::new()
        .recursive(true)
        .mode(0o711)
        .create(ELSEWHERE)
        .and_then(|()| fs::create_dir_all(&home))
        .map_err(|e| directory(&home, e))?;
    claim(&home, account)?;
    Ok(home)
}

/// `<dir>/socket`, or a short private directory when that is too long for a socket's path.
fn socket_dir(dir: &Path, account: &Account) -> Result<PathBuf, PgError> {
    let inside = dir.join("socket");
    let hash = hex::encode(Sha256::digest(dir.as_os_str().as_encoded_bytes()));
    let short = format!("firstbad-{}", &hash[..12]);
    let chosen = if inside.as_os_str().len() <= SOCKET_DIR_BYTES {
        inside
    } else if account.drop_to.is_some() {
        Path::new("/run").join(short)
    } else {
        std::env::temp_dir().join(short)
    };
    match DirBuilder::new().mode(0o700).create(&chosen) {
        Err(e) if e.kind() != io::ErrorKind::AlreadyExists => return Err(directory(&chosen, e)),
        _ => {}
    }
    // Someone else may have made a directory of this name in a shared place.
    let meta = fs::symlink_metadata(&chosen).map_err(|e| directory(&chosen, e))?;
    let me = rustix::process::geteuid().as_raw();
    let owners = [me, account.drop_to.map_or(me, |(uid, _)| uid)];
    if !meta.is_dir() || !owners.contains(&meta.uid()) {
        let taken = io::Error::other("it belongs to someone else");
        return Err(directory(&chosen, taken));
    }
    claim(&chosen, account)?;
    Ok(chosen)
}

fn directory(path: &Path, why: impl std::fmt::Display) -> PgError {
    PgError::Directory(format!("{}: {why}", path.display()))
}
