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
    ran: Duration,
    starved: Duration,
    silent: Duration,
    looked: Instant,
    waited: BTreeMap<u64, Duration>,
}

impl Patience {
    /// Watches the descendants of `pid`; without one every second counts.
    pub fn new(pid: Option<u32>) -> Patience {
        Patience {
            pid,
            ran: Duration::ZERO,
            starved: Duration::ZERO,
            silent: Duration::ZERO,
            looked: Instant::now(),
            waited: BTreeMap::new(),
        }
    }

    /// Notes whether something was heard; returns the silence since then.
    pub fn after(&mut self, heard: bool) -> Duration {
        let passed = self.looked.elapsed();
        if passed >= LOOK {
            self.looked = Instant::now();
            let now = self.pid.map(waited).unwrap_or_default();
            let starved = longest_wait(&self.waited, &now);
            let could_run = passed.saturating_sub(starved);
            self.ran += could_run;
            self.starved += passed - could_run;
            self.silent += could_run;
            self.waited = now;
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

/// The longest that one thread waited for a CPU between two looks.
fn longest_wait(before: &BTreeMap<u64, Duration>, now: &BTreeMap<u64, Duration>) -> Duration {
    now.iter()
        .filter_map(|(tid, waited)| waited.checked_sub(*before.get(tid)?))
        .max()
        .unwrap_or_default()
}

/// For each thread below `root`: the time it was ready to run and did not.
///
/// A host that does not count this gives nothing, and then wall time decides.
fn waited(root: u32) -> BTreeMap<u64, Duration> {
    let mut found = BTreeMap::new();
    let mut seen = BTreeSet::new();
    let mut todo = vec![u64::from(root)];
    while let Some(pid) = todo.pop() {
        if seen.len() >= PROCESSES || !seen.insert(pid) {
            continue;
        }
        for task in tasks(pid) {
            todo.extend(numbers(&task.join("children")));
            let tid = task.file_name().and_then(|n| n.to_str()?.parse().ok());
            let wait = numbers(&task.join("schedstat")).get(1).copied();
            if let (Some(tid), Some(wait)) = (tid, wait) {
                found.insert(tid, Duration::from_nanos(wait));
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
    fn the_longest_wait_of_one_thread_counts() {
        let at = |a: u64, b: u64| {
            BTreeMap::from([(1, Duration::from_secs(a)), (2, Duration::from_secs(b))])
        };
        assert_eq!(longest_wait(&at(1, 1), &at(3, 2)), Duration::from_secs(2));
        assert_eq!(longest_wait(&BTreeMap::new(), &at(3, 2)), Duration::ZERO);
        assert_eq!(longest_wait(&at(5, 5), &BTreeMap::new()), Duration::ZERO);
    }

    #[test]
    fn finds_the_threads_of_descendants() {
        let mut child = std::process::Command::new("/bin/sh")
            .args(["-c", "sleep 30 & wait"])
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(300));
        let found = waited(child.id());
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
        let mut patience = Patience::new(None);
        assert_eq!(patience.after(false), Duration::ZERO);
        std::thread::sleep(LOOK + Duration::from_millis(50));
        assert!(patience.after(false) > LOOK);
        assert!(patience.after(false) > LOOK);
        assert_eq!(patience.after(true), Duration::ZERO);
    }
}
