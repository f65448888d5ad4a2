//! The scenarios: which culprit stands where, and what a search for it says.
//!
//! Owns the choice of suite, signal and expected outcome. Must not know how a
//! history is written.

use firstbad_api::job::{Find, Signal};

/// The cases that compare bytes; the one that measures speed takes longest.
const DATA_CASES: &[&str] = &["aligned", "unaligned", "eof", "nodatacow", "mixed"];

/// What the search must answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// The culprit itself.
    Culprit,
    /// The stretch that does not build and the first commit after it.
    Stretch,
}

/// One planted history.
#[derive(Debug, Clone, PartialEq)]
pub struct Scenario {
    pub name: &'static str,
    /// Script of the history.
    pub script: &'static str,
    /// Commits before the good end.
    pub prelude: &'static [&'static str],
    /// Slot of the script and edit put there.
    pub culprit: (&'static str, &'static str),
    /// Another slot and what stands there in the way of the search.
    pub beside: Option<(&'static str, &'static str)>,
    pub find: Find,
    pub suite: &'static str,
    pub cases: &'static [&'static str],
    pub signal: Signal,
    pub expected: Expected,
}

const SKELETON: &str = include_str!("../data/skeleton.history");
const SHORT: &str = include_str!("../data/short.history");

/// The edits of the stretch that does not build, `slot` being the scenario's;
/// the last one repairs it.
pub const STRETCH: [&str; 4] = ["break-build", "slot", "qla-target", "repair-build"];
/// The edit in the stretch's slot unless the culprit stands there.
pub const STRETCH_DEFAULT: &str = "stretch-default";

fn scenario(name: &'static str, slot: &'static str, edit: &'static str) -> Scenario {
    Scenario {
        name,
        script: SKELETON,
        prelude: &[],
        culprit: (slot, edit),
        beside: None,
        find: Find::Regression,
        suite: "btrfs/direct-io",
        cases: DATA_CASES,
        signal: Signal::Failure,
        expected: Expected::Culprit,
    }
}

/// All scenarios that `plant` makes by default.
pub fn all() -> Vec<Scenario> {
    vec![
        scenario("direct-io", "fixes", "direct-io"),
        Scenario {
            suite: "container/lifecycle",
            // 18 containers, each of which may leak: 12 of 44 seeds were measured to fail.
            cases: &["many"],
            signal: Signal::Crash {
                title: "Busy inodes after unmount".to_owned(),
            },
            ..scenario("busy-inodes", "overlay", "busy-inodes")
        },
        Scenario {
            cases: &["throughput"],
            signal: Signal::Metric {
                name: "dio_write_mb_s".to_owned(),
                threshold: None,
            },
            ..scenario("dio-slow", "misc", "dio-slow")
        },
        Scenario {
            cases: &["throughput"],
            signal: Signal::Metric {
                name: "dio_write_mb_s".to_owned(),
                threshold: None,
            },
            ..scenario("dio-2pct", "misc", "dio-2pct")
        },
        Scenario {
            // Half of the commits warn in half of their runs.
            beside: Some(("fixes", "log-root-warning")),
            ..scenario("noisy-warning", "misc", "direct-io")
        },
        Scenario {
            prelude: &["eof-clear"],
            find: Find::Fix,
            ..scenario("fix", "misc", "fix")
        },
        Scenario {
            expected: Expected::Stretch,
            ..scenario("in-broken", "stretch", "direct-io")
        },
    ]
}

/// The short one for the test-suite.
pub fn short() -> Scenario {
    Scenario {
        script: SHORT,
        ..scenario("short", "fixes", "direct-io")
    }
}
