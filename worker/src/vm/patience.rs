//! How long a machine ran, and was silent, *while it could run*.
//!
//! Owns the difference between a hung guest and a starved one: on a busy host
//! the time that QEMU's threads spent waiting for a CPU counts neither as
//! silence nor towards a deadline. Must not know ports or guests.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Interval between two looks at the threads.
const LOOK: Duration = Duration::from_secs(1);
/// Processes looked at; the sandbox's chain and QEMU are five.
const PROCESSES: usize = 32;

/// Counts the time of one process and its descendants.
pub struct Patience {
    pid: Option<u32>,
    together: bool,
    ran: Duration,
    starved: Duration,
    silent: Duration,
    looked: Instant,
    seen: Threads,
}

/// By thread: the time it ran, and the time it was ready to run and did not.
type Threads = BTreeMap<u64, [Duration; 2]>;

impl Patience {
    /// Watches the descendants of `pid`, whose threads share one CPU if they run `together`;
    /// without one every second counts.
    pub fn new(pid: Option<u32>, together: bool) -> Patience {
        Patience {
            pid,
            together,
            ran: Duration::ZERO,
            starved: Duration::ZERO,
            silent: Duration::ZERO,
            looked: Instant::now(),
            seen: Threads::new(),
        }
    }

    /// Notes whether something was heard; returns the silence since then.
    pub fn after(&mut self, heard: bool) -> Duration {
        let passed = self.looked.elapsed();
        if passed >= LOOK {
            self.looked = Instant::now();
            let now = self.pid.map(threads).unwrap_or_default();
            let could_run = passed - starved(&self.seen, &now, passed, self.together);
            self.ran += could_run;
            self.starved += passed - could_run;
            self.silent += could_run;
            self.seen = now;
        }
        if heard {
            self.silent = Duration::ZERO;
        }
        self.silent
    }

    /// The time since the start in which it could run.
    pub fn ran(&self) -> Duration {
        self.ran
    }

    /// The share of the time so far in which it could not.
    pub fn waited(&self) -> f64 {
        let all = self.ran + self.starved;
        self.starved.as_secs_f64() / all.as_secs_f64().max(f64::MIN_POSITIVE)
    }
}

/// Of the time that passed between two looks: that in which the host kept the machine from running.
///
/// It is the longest that one thread waited for a CPU. Where all share one they wait for each other,
/// which is no fault of the host's: then only the time counts in which none of them ran.
fn starved(before: &Threads, now: &Threads, passed: Duration, together: bool) -> Duration {
    let since = |of: usize| {
        now.iter()
            .filter_map(move |(tid, at)| at[of].checked_sub(before.get(tid)?[of]))
    };
    let ran = if together {
        since(0).sum()
    } else {
        Duration::ZERO
    };
    let longest = since(1).max().unwrap_or_default();
    longest.min(passed.saturating_sub(ran))
}

/// The threads below `root`.
///
/// A host that does not count their times gives none, and then wall time decides.
fn threads(root: u32) -> Threads {
    let mut found = Threads::new();
    let mut seen = BTreeSet::new();
    let mut todo = vec![u64::from(root)];
    while let Some(pid) = todo.pop() {
        if seen.len() >= PROCESSES || !seen.insert(pid) {
            continue;
        }
        for task in tasks(pid) {
            todo.extend(numbers(&task.join("children")));
            let tid = task.file_name().and_then(|n| n.to_str()?.parse().ok());
            let times = numbers(&task.join("schedstat"));
            if let (Some(tid), [ran, waited, ..]) = (tid, &times[..]) {
                found.insert(tid, [ran, waited].map(|ns| Duration::from_nanos(*ns)));
            }
        }
    }
    found
}

fn tasks(pid: u64) -> Vec<PathBuf> {
    std::fs::read_dir(format!("/proc/{pid}/task"))
        .map(|entries| entries.flatten().map(|e| e.path()).collect())
        .unwrap_or_default()
}

fn numbers(path: &std::path::Path) -> Vec<u64> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.split_whitespace()
        .filter_map(|n| n.parse().ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_starves_while_the_host_keeps_it_from_running() {
        // Of one thread and of another, in seconds: the time they ran, the time they waited.
        let at = |times: [[u64; 2]; 2]| {
            let thread = |n: usize| (n as u64, times[n].map(Duration::from_secs));
            BTreeMap::from([thread(0), thread(1)])
        };
        let before = at([[1, 1], [5, 1]]);
        let starved = |now: [[u64; 2]; 2], together: bool| {
            super::starved(&before, &at(now), Duration::from_secs(10), together).as_secs()
        };
        // Both had a CPU, or none to wait for.
        assert_eq!([false, true].map(|t| starved([[7, 1], [5, 1]], t)), [0, 0]);
        // The second waited for the first.
        assert_eq!(
            [false, true].map(|t| starved([[11, 1], [5, 11]], t)),
            [10, 0]
        );
        // Both waited for somebody else; the first had a third of the time.
        assert_eq!(
            [false, true].map(|t| starved([[4, 8], [5, 11]], t)),
            [10, 7]
        );
        // One slept and the other waited.
        assert_eq!([false, true].map(|t| starved([[1, 1], [5, 3]], t)), [2, 2]);
        // It is seen for the first time, and has nothing to be compared with.
        let now = at([[9, 9], [9, 9]]);
        let passed = Duration::from_secs(10);
        assert_eq!(
            super::starved(&Threads::new(), &now, passed, false),
            Duration::ZERO
        );
    }

    #[test]
    fn finds_the_threads_of_descendants() {
        let mut child = std::process::Command::new("/bin/sh")
            .args(["-c", "sleep 30 & wait"])
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(300));
        let found = threads(child.id());
        // The shell's child must go too, or it would outlive the test.
        let sleeper = found.keys().find(|tid| **tid != u64::from(child.id()));
        for pid in sleeper.iter().map(|p| p.to_string()) {
            std::process::Command::new("kill")
                .args(["--", &pid])
                .status()
                .unwrap();
        }
        child.wait().unwrap();
        assert_eq!(found.len(), 2, "{found:?}");
    }

    #[test]
    fn silence_grows_until_something_is_heard() {
        let mut patience = Patience::new(None, false);
        assert_eq!(patience.after(false), Duration::ZERO);
        std::thread::sleep(LOOK + Duration::from_millis(50));
        assert!(patience.after(false) > LOOK);
        assert!(patience.after(false) > LOOK);
        assert_eq!(patience.after(true), Duration::ZERO);
    }
}
