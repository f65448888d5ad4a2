//! Processes of the machine as PID 1 sees them: list, kill, reap.

use std::time::Duration;

use rustix::process::{Pid, Signal, WaitOptions, WaitStatus, kill_process, wait};

use crate::cgroup;

/// `PF_KTHREAD` of the kernel's `include/linux/sched.h`, in field 9 of `/proc/PID/stat`.
const PF_KTHREAD: u64 = 0x0020_0000;
/// Rounds of killing; a fork bomb loses because it cannot outrun this many.
const KILL_ROUNDS: u32 = 200;
const KILL_PAUSE: Duration = Duration::from_millis(10);

/// A process that is neither PID 1 nor a kernel thread nor a zombie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    pub pid: i32,
    pub name: String,
}

/// All such processes, by pid.
pub fn list() -> Vec<Process> {
    let Ok(dir) = std::fs::read_dir("/proc") else {
        return Vec::new();
    };
    let mut found: Vec<Process> = dir
        .flatten()
        .filter_map(|e| e.file_name().to_str()?.parse::<i32>().ok())
        .filter(|pid| *pid != 1)
        .filter_map(|pid| parse_stat(&std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?))
        .collect();
    found.sort_by_key(|p| p.pid);
    found
}

/// Reads a line of `/proc/PID/stat`; None for kernel threads and zombies.
fn parse_stat(line: &str) -> Option<Process> {
    let open = line.find('(')?;
    // The name may hold anything, so its end is the last bracket.
    let close = line.rfind(')')?;
    let pid = line.get(..open)?.trim().parse().ok()?;
    let name = line.get(open + 1..close)?.chars().take(32).collect();
    let mut fields = line.get(close + 1..)?.split_ascii_whitespace();
    let state = fields.next()?;
    let flags: u64 = fields.nth(5)?.parse().ok()?;
    (flags & PF_KTHREAD == 0 && state != "Z" && state != "X").then_some(Process { pid, name })
}

/// Reaps every ended child; the status of `watched` when it is among them.
pub fn reap(watched: i32) -> Option<WaitStatus> {
    let mut found = None;
    while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
        if pid.as_raw_nonzero().get() == watched {
            found = Some(status);
        }
    }
    found
}

/// Kills everything but PID 1. Returns what could not be killed in time
/// (uninterruptible sleep: the kernel's fault), and the status of `watched`.
pub fn kill_all(watched: i32) -> (Vec<Process>, Option<WaitStatus>) {
    let mut status = None;
    cgroup::kill();
    for _ in 0..KILL_ROUNDS {
        status = reap(watched).or(status);
        let alive = list();
        if alive.is_empty() {
            return (alive, status);
        }
        for process in &alive {
            if let Some(pid) = Pid::from_raw(process.pid) {
                let _ = kill_process(pid, Signal::KILL);
            }
        }
        std::thread::sleep(KILL_PAUSE);
    }
    (list(), status)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stat_lines() {
        let user = "77 (a ) (b) S 1 77 77 0 -1 4194304 90 0 0 0 0 0 0 0 20 0 1 0 5";
        let process = parse_stat(user).unwrap();
        assert_eq!((process.pid, process.name.as_str()), (77, "a ) (b"));
        assert_eq!(parse_stat("2 (kthreadd) S 0 0 0 0 -1 2129984 0 0"), None);
        assert_eq!(parse_stat("9 (x) Z 1 9 9 0 -1 4194304 0 0"), None);
        assert_eq!(parse_stat(""), None);
        assert_eq!(parse_stat(")("), None);
    }
}
