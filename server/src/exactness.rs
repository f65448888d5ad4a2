//! Exact runs, run again: which of them, and what two runs of the same inputs differ in.
//!
//! Pure. Must not know the queue, or what follows from a difference.

use std::fmt::Debug;

use firstbad_api::limits::REPEATED_ONE_IN;
use firstbad_api::observation::{CaseResult, TestObservation};

/// Whether the run with this identity (hex) is one of the sample that is run again.
pub fn sampled(identity: &str) -> bool {
    let head = identity
        .get(..8)
        .and_then(|h| u32::from_str_radix(h, 16).ok());
    head.is_some_and(|head| head % REPEATED_ONE_IN == 0)
}

/// The first thing in which two runs of the same inputs differ, the most telling one first.
pub fn difference(one: &TestObservation, two: &TestObservation) -> Option<String> {
    if one == two {
        return None;
    }
    let titles = |o: &TestObservation| {
        o.crashes
            .iter()
            .map(|c| c.title.clone())
            .collect::<Vec<_>>()
    };
    Some(
        unlike("the boot", &one.boot, &two.boot)
            .or_else(|| of_cases(&one.cases, &two.cases))
            .or_else(|| unlike("the crashes", &titles(one), &titles(two)))
            .or_else(|| unlike("the end", &one.end, &two.end))
            .or_else(|| {
                unlike(
                    "the console's hash",
                    &one.console_sha256,
                    &two.console_sha256,
                )
            })
            .or_else(|| unlike("the inputs", &one.run, &two.run))
            .unwrap_or_else(|| "the details of the results".to_owned()),
    )
}

fn of_cases(one: &[CaseResult], two: &[CaseResult]) -> Option<String> {
    for (a, b) in one.iter().zip(two) {
        let case = &a.case;
        let metrics = a.metrics.iter().zip(&b.metrics);
        let found = unlike("the cases", case, &b.case)
            .or_else(|| unlike(case, &a.status, &b.status))
            .or_else(|| {
                let mut pairs = metrics.map(|(m, n)| unlike(&m.name, &m.value, &n.value));
                pairs.find_map(|found| found)
            })
            .or_else(|| unlike(&format!("{case}: its time"), &a.duration_ms, &b.duration_ms));
        if found.is_some() {
            return found;
        }
    }
    unlike("the number of cases", &one.len(), &two.len())
}

fn unlike<T: PartialEq + Debug>(what: &str, one: &T, two: &T) -> Option<String> {
    let cut = |value: &T| format!("{value:?}").chars().take(80).collect::<String>();
    (one != two).then(|| format!("{what}: {} and then {}", cut(one), cut(two)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn seen(console: &str, mb_s: f64, status: &str) -> TestObservation {
        let run = json!({
            "image_sha256": "", "initramfs_sha256": "", "cmdline": "", "qemu_version": "",
            "accel": "", "vcpus": 1, "memory_mib": 1, "seed": 1, "argv": []
        });
        let metric = json!({ "name": "mb_s", "value": mb_s, "unit": "MB/s", "better": "higher" });
        let case = json!({
            "case": "c", "status": status, "exit": 0, "duration_ms": 1, "metrics": [metric]
        });
        serde_json::from_value(json!({
            "boot": "up", "end": "power-off", "cases": [case], "crashes": [],
            "stray_lines": 0, "run": run, "console_sha256": console
        }))
        .unwrap()
    }

    #[test]
    fn the_most_telling_difference_is_named() {
        let one = seen("a", 1.0, "pass");
        assert_eq!(difference(&one, &one.clone()), None);
        for (other, told) in [
            (
                seen("b", 1.0, "pass"),
                "the console's hash: \"a\" and then \"b\"",
            ),
            (seen("b", 1.5, "pass"), "mb_s: 1.0 and then 1.5"),
            (seen("b", 1.5, "fail"), "c: Pass and then Fail"),
        ] {
            assert_eq!(difference(&one, &other).as_deref(), Some(told));
        }
        let mut stray = one.clone();
        stray.stray_lines = 1;
        assert!(difference(&one, &stray).is_some(), "nothing goes unseen");
    }

    #[test]
    fn one_in_so_many_is_sampled() {
        let all = 32_000_u64;
        let spread = |n: u64| format!("{:016x}", n.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let chosen = (0..all).filter(|n| sampled(&spread(*n))).count() as f64;
        let wanted = all as f64 / f64::from(REPEATED_ONE_IN);
        assert!((chosen / wanted - 1.0).abs() < 0.15, "{chosen}");
        assert!(!sampled("not hex"));
    }
}
