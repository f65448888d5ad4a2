//! Runs a program that a stranger wrote.
//!
//! Owns the only way by which the worker starts anything that comes from a
//! tree, a user or a guest: an unprivileged uid in its own user, mount, PID,
//! IPC, UTS, cgroup and network namespaces, without capabilities, without the
//! host's `/etc`, `/run`, `/var` and `/home`, and with only the named
//! directories visible. Must not know what the program is for.
//!
//! As root the command is a chain of one process: `unshare` lends the
//! directories (their parents may be closed to the sandbox uid), `setpriv` drops
//! the uid, `prlimit` sets the limits and `bwrap` makes the namespaces. No root
//! process is left in between: one without capabilities could not kill what it
//! started. The whole tree dies with the *thread* that spawned it: spawn from a
//! runtime thread, never from `spawn_blocking`.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::process::Command;

use crate::error::InfraError;

/// Uid and gid of everything in the sandbox when the worker runs as root.
pub const SANDBOX_UID: u32 = 64_738;
const LEND: &str = include_str!("lend.sh");
/// Where directories are lent to `bwrap`.
const LENT: &str = "/mnt";
const PATH: &str = "/usr/bin:/usr/sbin";
const KVM: &str = "/dev/kvm";

/// Resource limits of one command; core dumps are always off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Largest file, bytes.
    pub fsize: Option<u64>,
    /// Open files.
    pub nofile: Option<u64>,
    /// Processes of the sandbox uid, over all sandboxes.
    pub nproc: Option<u64>,
    /// Address space of one process, bytes.
    pub memory: Option<u64>,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            fsize: Some(16 << 30),
            nofile: Some(4096),
            nproc: None,
            memory: None,
        }
    }
}

/// What one command sees of the machine.
#[derive(Debug, Clone, Default)]
pub struct Spec {
    /// Read-only: host path, path inside.
    pub ro: Vec<(PathBuf, PathBuf)>,
    /// Writable: host path (see [`Sandbox::own`]), path inside.
    pub rw: Vec<(PathBuf, PathBuf)>,
    /// The whole environment besides `PATH` and `HOME`.
    pub env: Vec<(String, String)>,
    /// Working directory inside; default `/`.
    pub cwd: Option<PathBuf>,
    /// Whether `/dev/kvm` is visible.
    pub kvm: bool,
    pub limits: Limits,
}

/// Starts commands in the sandbox.
#[derive(Debug, Clone)]
pub struct Sandbox {
    bwrap: PathBuf,
    unshare: PathBuf,
    setpriv: PathBuf,
    prlimit: PathBuf,
    /// The uid to become; `None` when the worker is not root.
    drop_to: Option<u32>,
    /// The device shown as `/dev/kvm`.
    kvm: PathBuf,
}

impl Sandbox {
    /// Finds the programs it needs.
    pub fn new() -> Result<Sandbox, InfraError> {
        Ok(Sandbox {
            bwrap: find("bwrap", "bubblewrap")?,
            unshare: find("unshare", "util-linux")?,
            setpriv: find("setpriv", "util-linux")?,
            prlimit: find("prlimit", "util-linux")?,
            drop_to: rustix::process::geteuid().is_root().then_some(SANDBOX_UID),
            kvm: PathBuf::from(KVM),
        })
    }

    /// Uses another uid than [`SANDBOX_UID`]; without effect unless the worker is root.
    pub fn with_uid(mut self, uid: u32) -> Sandbox {
        self.drop_to = self.drop_to.map(|_| uid);
        self
    }

    /// As root, makes the sandbox uid's own node of the KVM device in `dir`.
    ///
    /// The permissions of `/dev/kvm` differ from host to host (a group that may
    /// use it, or root alone) and are not ours to change. Without effect where
    /// the worker is not root, where there is no device or nodes cannot be made.
    pub fn lend_kvm(mut self, dir: &Path) -> Sandbox {
        let node = dir.join("kvm-device");
        let _absent = std::fs::remove_file(&node);
        let Ok(device) = std::fs::metadata(KVM).map(|m| m.rdev()) else {
            return self;
        };
        let made = rustix::fs::mknodat(
            rustix::fs::CWD,
            &node,
            rustix::fs::FileType::CharacterDevice,
            rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR,
            device,
        );
        let usable = |_| std::fs::File::options().read(true).write(true).open(&node);
        if self.drop_to.is_some()
            && made.map_err(io::Error::from).and_then(usable).is_ok()
            && self.own(&node).is_ok()
        {
            self.kvm = node;
        }
        self
    }

    /// Gives `path` to the sandbox uid (not what is below it).
    pub fn own(&self, path: &Path) -> io::Result<()> {
        match self.drop_to {
            Some(uid) => std::os::unix::fs::lchown(path, Some(uid), Some(uid)),
            None => Ok(()),
        }
    }

    /// The command that runs `program` as `spec` says; standard input is empty.
    pub fn command(&self, spec: &Spec, program: &str, args: &[String]) -> Command {
        let mut argv: Vec<OsString> = Vec::new();
        let lent = self.drop_to.is_some();
        if let Some(uid) = self.drop_to {
            argv.extend(self.lend(spec));
            argv.extend(self.drop_uid(uid, spec.kvm));
        }
        argv.extend(self.limit(&spec.limits));
        argv.extend(self.isolate(spec, lent));
        argv.push(program.into());
        argv.extend(args.iter().map(OsString::from));

        let mut command = Command::new(&argv[0]);
        command
            .args(&argv[1..])
            .env_clear()
            .env("PATH", PATH)
            .current_dir("/")
            .stdin(Stdio::null())
            .kill_on_drop(true);
        command
    }

    /// As root: a mount namespace with the spec's directories at places whose parents are open.
    fn lend(&self, spec: &Spec) -> Vec<OsString> {
        let mut a = words(
            &self.unshare,
            &["--mount", "--propagation", "private", "--"],
        );
        a.extend(["sh", "-c", LEND, "lend"].map(OsString::from));
        for (n, (host, _)) in spec.ro.iter().enumerate() {
            a.extend([host.into(), name("ro", n).into()]);
        }
        for (n, (host, _)) in spec.rw.iter().enumerate() {
            a.extend([host.into(), name("rw", n).into()]);
        }
        if spec.kvm && self.kvm.exists() {
            a.extend([self.kvm.clone().into(), name("kvm", 0).into()]);
        }
        a.push("--".into());
        a
    }

    fn drop_uid(&self, uid: u32, kvm: bool) -> Vec<OsString> {
        let id = uid.to_string();
        let mut a = words(
            &self.setpriv,
            &["--reuid", &id, "--regid", &id, "--no-new-privs"],
        );
        a.extend(["--inh-caps=-all", "--bounding-set=-all"].map(OsString::from));
        a.extend(["--pdeathsig", "KILL"].map(OsString::from));
        match kvm.then(kvm_group).flatten() {
            Some(gid) => a.extend(["--groups".into(), gid.to_string().into()]),
            None => a.push("--clear-groups".into()),
        }
        a.push("--".into());
        a
    }

    fn limit(&self, limits: &Limits) -> Vec<OsString> {
        let mut a = words(&self.prlimit, &["--core=0"]);
        let wanted = [
            ("fsize", limits.fsize),
            ("nofile", limits.nofile),
            ("nproc", limits.nproc),
            ("as", limits.memory),
        ];
        for (name, value) in wanted {
            a.extend(value.map(|v| OsString::from(format!("--{name}={v}"))));
        }
        a.push("--".into());
        a
    }

    fn isolate(&self, spec: &Spec, is_lent: bool) -> Vec<OsString> {
        let mut a = words(&self.bwrap, ISOLATION);
        if spec.kvm {
            let from = if is_lent {
                lent("kvm", 0)
            } else {
                self.kvm.clone()
            };
            a.extend(["--dev-bind-try".into(), from.into(), KVM.into()]);
        }
        for (n, (host, inside)) in spec.ro.iter().enumerate() {
            let from = if is_lent { lent("ro", n) } else { host.clone() };
            a.extend(["--ro-bind".into(), from.into(), inside.into()]);
        }
        for (n, (host, inside)) in spec.rw.iter().enumerate() {
            let from = if is_lent { lent("rw", n) } else { host.clone() };
            a.extend(["--bind".into(), from.into(), inside.into()]);
        }
        for (name, value) in &spec.env {
            a.extend(["--setenv".into(), name.into(), value.into()]);
        }
        // Only now: the mount points above had to be made first.
        a.extend(["--remount-ro", "/"].map(OsString::from));
        let cwd = spec.cwd.clone().unwrap_or_else(|| PathBuf::from("/"));
        a.extend(["--chdir".into(), cwd.into(), "--".into()]);
        a
    }
}

/// Everything about `bwrap` that no caller can change.
const ISOLATION: &[&str] = &[
    "--unshare-all",
    "--unshare-user",
    "--disable-userns",
    "--die-with-parent",
    "--new-session",
    "--hostname",
    "firstbad",
    "--clearenv",
    "--setenv",
    "PATH",
    PATH,
    "--setenv",
    "HOME",
    "/tmp",
    "--ro-bind",
    "/usr",
    "/usr",
    "--symlink",
    "usr/bin",
    "/bin",
    "--symlink",
    "usr/sbin",
    "/sbin",
    "--symlink",
    "usr/lib",
    "/lib",
    "--symlink",
    "usr/lib64",
    "/lib64",
    "--ro-bind-try",
    "/etc/ld.so.cache",
    "/etc/ld.so.cache",
    "--ro-bind-try",
    "/etc/alternatives",
    "/etc/alternatives",
    // The distribution's own pristine lists: no name of this host.
    "--ro-bind-try",
    "/usr/share/base-passwd/passwd.master",
    "/etc/passwd",
    "--ro-bind-try",
    "/usr/share/base-passwd/group.master",
    "/etc/group",
    "--proc",
    "/proc",
    "--dev",
    "/dev",
    "--tmpfs",
    "/tmp",
];

fn words(program: &Path, args: &[&str]) -> Vec<OsString> {
    let mut all = vec![program.as_os_str().to_owned()];
    all.extend(args.iter().map(OsString::from));
    all
}

fn name(kind: &str, n: usize) -> String {
    format!("{kind}{n}")
}

fn lent(kind: &str, n: usize) -> PathBuf {
    Path::new(LENT).join(name(kind, n))
}

/// The group that may open `/dev/kvm`, unless that is root's.
fn kvm_group() -> Option<u32> {
    let gid = std::fs::metadata(KVM).ok()?.gid();
    (gid != 0).then_some(gid)
}

/// Finds `program` in the system's directories; never in the caller's `PATH`.
fn find(program: &str, package: &str) -> Result<PathBuf, InfraError> {
    PATH.split(':')
        .map(|dir| Path::new(dir).join(OsStr::new(program)))
        .find(|path| path.is_file())
        .ok_or_else(|| {
            InfraError::Failed(format!(
                "the worker isolates what it runs with `{program}`, which is not installed: \
                 run `apt-get install {package}`"
            ))
        })
}
