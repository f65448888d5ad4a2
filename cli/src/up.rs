//! `up`: server and workers on this machine, kept running.
//!
//! Owns its child processes only: all state belongs to them.

use std::path::Path;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};
use tokio::signal::unix::{SignalKind, signal};

use crate::args::UpArgs;
use crate::fail::{Done, Fail};
use crate::place;

/// Set for children: the process whose death ends them.
pub const PARENT: &str = "FIRSTBAD_SUPERVISOR";
/// This very program, even when its file was replaced since it started.
const PROGRAM: &str = "/proc/self/exe";
/// First pause before a dead child is started again; it doubles each time.
const PAUSE: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// A child that lived this long starts again with the first pause.
const SETTLED: Duration = Duration::from_secs(60);
/// A server that was never ready and died this often is given up.
const FALSE_STARTS: u32 = 3;
/// From SIGTERM to SIGKILL.
const GRACE: Duration = Duration::from_secs(30);
/// Memory a machine may take, its disks included, KiB.
const MACHINE_KIB: u64 = 4 << 20;
/// Pause between two looks at the children.
const LOOK: Duration = Duration::from_millis(200);

/// Runs until SIGINT or SIGTERM.
pub async fn run(args: &UpArgs) -> Done {
    let data = place::data(args.data.clone())?;
    std::fs::create_dir_all(&data)
        .map_err(|e| Fail::NoInput(format!("--data: cannot make {}: {e}", data.display())))?;
    let data = data
        .canonicalize()
        .map_err(|e| Fail::NoInput(format!("--data: {}: {e}", data.display())))?;
    let url = format!("http://{}", args.listen);
    let mut stop = Stop::new()?;
    let mut server = Service::new("server", server_args(&data, args));
    server.start()?;
    let mut workers = Vec::new();
    let mut ready = false;
    loop {
        tokio::select! {
            () = stop.wait() => break,
            () = tokio::time::sleep(LOOK) => {}
        }
        if let Some(code) = server.tend()? {
            end(&mut server, &mut workers).await;
            return Ok(code);
        }
        if !ready && server.deaths >= FALSE_STARTS {
            return Err(Fail::Infrastructure("the server does not start".into()));
        }
        for worker in &mut workers {
            if let Some(code) = worker.tend()? {
                end(&mut server, &mut workers).await;
                return Ok(code);
            }
        }
        if !ready && answers(&url).await {
            ready = true;
            println!(
                "firstbad is at {url}/ (token: {})",
                data.join("token").display()
            );
            if !args.no_worker {
                workers = start_workers(&url, &data, args.jobs.unwrap_or_else(machines_at_once))?;
            }
        }
    }
    end(&mut server, &mut workers).await;
    Ok(0)
}

fn server_args(data: &Path, args: &UpArgs) -> Vec<String> {
    let mut words = vec![
        "server".into(),
        "--data".into(),
        data.display().to_string(),
        "--listen".into(),
        args.listen.to_string(),
    ];
    if args.gate.private {
        words.push("--private".into());
    }
    if let Some(url) = &args.gate.url {
        words.extend(["--url".into(), url.clone()]);
    }
    for network in &args.gate.webhook_allow {
        words.extend(["--webhook-allow".into(), network.to_string()]);
    }
    words.extend(args.oidc.words());
    words
}

/// The server writes a token for workers only beside its own.
///
/// One builds, with every processor; the others only run machines, which use one each.
fn start_workers(url: &str, data: &Path, count: u8) -> Result<Vec<Service>, Fail> {
    let token = data.join("worker-token").display().to_string();
    let mut out = Vec::new();
    for n in 1..=count {
        let (name, kinds) = match n {
            1 => ("worker".to_string(), "build,test"),
            n => (format!("worker-{n}"), "test"),
        };
        let args = [
            "--server",
            url,
            "--token-file",
            &token,
            "worker",
            "--kinds",
            kinds,
            "--dir",
            &data.join(&name).display().to_string(),
        ];
        let mut worker = Service::new(&name, args.iter().map(|a| a.to_string()).collect());
        worker.start()?;
        out.push(worker);
    }
    Ok(out)
}

/// One per processor, as long as each has memory for a machine and its disks.
fn machines_at_once() -> u8 {
    let cpus = std::thread::available_parallelism().map_or(1, usize::from) as u64;
    let info = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kib = info
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"))
        .and_then(|rest| rest.split_whitespace().next())
        .and_then(|kib| kib.parse::<u64>().ok())
        .unwrap_or(0);
    let fit = kib / MACHINE_KIB;
    u8::try_from(cpus.min(fit).min(8)).unwrap_or(1).max(1)
}

/// True when the server is ready for requests.
async fn answers(url: &str) -> bool {
    let Ok(http) = reqwest::Client::builder()
        .timeout(Duration::from_secs(2))
        .build()
    else {
        return false;
    };
    let answer = http.get(format!("{url}/readyz")).send().await;
    answer.is_ok_and(|a| a.status().is_success())
}

/// Workers first, so that they can still report.
async fn end(server: &mut Service, workers: &mut [Service]) {
    for worker in workers.iter_mut() {
        worker.ask();
    }
    for worker in workers.iter_mut() {
        worker.gone().await;
    }
    server.ask();
    server.gone().await;
}

/// One child process.
struct Service {
    name: String,
    args: Vec<String>,
    child: Option<Child>,
    started: Instant,
    pause: Duration,
    deaths: u32,
    /// When to start it again.
    due: Option<Instant>,
}

impl Service {
    fn new(name: &str, args: Vec<String>) -> Service {
        Service {
            name: name.to_string(),
            args,
            child: None,
            started: Instant::now(),
            pause: PAUSE,
            deaths: 0,
            due: None,
        }
    }

    fn start(&mut self) -> Result<(), Fail> {
        let child = Command::new(PROGRAM)
            .arg0("firstbad")
            .args(&self.args)
            .env(PARENT, std::process::id().to_string())
            .stdin(std::process::Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .map_err(|e| Fail::Infrastructure(format!("cannot start {}: {e}", self.name)))?;
        eprintln!("{} started, pid {}", self.name, child.id().unwrap_or(0));
        self.child = Some(child);
        self.started = Instant::now();
        self.due = None;
        Ok(())
    }

    /// Starts the child again when it died. `Some(code)`: it cannot work at all.
    fn tend(&mut self) -> Result<Option<u8>, Fail> {
        if let Some(due) = self.due {
            if Instant::now() >= due {
                self.start()?;
            }
            return Ok(None);
        }
        let Some(child) = &mut self.child else {
            return Ok(None);
        };
        let status = child
            .try_wait()
            .map_err(|e| Fail::Infrastructure(format!("{}: {e}", self.name)))?;
        let Some(status) = status else {
            return Ok(None);
        };
        self.child = None;
        self.deaths += 1;
        if let Some(code) = hopeless(status) {
            eprintln!("{} ended with {status}: not started again", self.name);
            return Ok(Some(code));
        }
        if self.started.elapsed() >= SETTLED {
            self.pause = PAUSE;
        }
        eprintln!(
            "{} ended with {status}; starting it again in {} s",
            self.name,
            self.pause.as_secs()
        );
        self.due = Some(Instant::now() + self.pause);
        self.pause = (self.pause * 2).min(PAUSE_MAX);
        Ok(None)
    }

    fn ask(&mut self) {
        self.due = None;
        let pid = self.child.as_ref().and_then(Child::id);
        if let Some(pid) = pid.and_then(|p| Pid::from_raw(p.cast_signed())) {
            let _ = kill_process(pid, Signal::TERM);
        }
    }

    async fn gone(&mut self) {
        let Some(mut child) = self.child.take() else {
            return;
        };
        if tokio::time::timeout(GRACE, child.wait()).await.is_err() {
            eprintln!("{} does not end: killed", self.name);
            let _ = child.kill().await;
        }
    }
}

/// Wrong arguments do not get better by trying again.
fn hopeless(status: ExitStatus) -> Option<u8> {
    let code = u8::try_from(status.code()?).ok()?;
    (64..=78).contains(&code).then_some(code)
}

/// SIGINT and SIGTERM.
struct Stop {
    int: tokio::signal::unix::Signal,
    term: tokio::signal::unix::Signal,
}

impl Stop {
    fn new() -> Result<Stop, Fail> {
        let listen = |kind| {
            signal(kind).map_err(|e| Fail::Infrastructure(format!("no signal handler: {e}")))
        };
        Ok(Stop {
            int: listen(SignalKind::interrupt())?,
            term: listen(SignalKind::terminate())?,
        })
    }

    async fn wait(&mut self) {
        tokio::select! {
            _ = self.int.recv() => {}
            _ = self.term.recv() => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;

    use super::*;

    #[test]
    fn only_wrong_use_is_hopeless() {
        assert_eq!(hopeless(ExitStatus::from_raw(64 << 8)), Some(64));
        assert_eq!(hopeless(ExitStatus::from_raw(3 << 8)), None);
        assert_eq!(hopeless(ExitStatus::from_raw(9)), None);
    }
}
