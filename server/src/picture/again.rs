//! A picture's unusable runs: where another run may still tell something.
//!
//! Must not know what a search makes of a revision that is given up.

use std::collections::BTreeSet;

use firstbad_api::observation::{BootOutcome, TestObservation};

use super::{Picture, Test, UNUSABLE_RUNS};
use crate::judge::{Raw, busy};

/// Unusable runs after which a revision is given up when what is in the way comes and goes: another
/// crash, or other work on the host.
const NOISY_RUNS: u32 = 10;

impl Test {
    /// Why the run is no evidence: a second one of the same inputs was not the same.
    pub(super) fn not_exact(&self) -> Option<Raw> {
        let differs = self.probe.differs.as_ref().filter(|d| !d.is_empty())?;
        let text = format!("not exact: run again, it differed in {differs}");
        Some(Raw::Unusable(text))
    }
}

impl Picture {
    /// Unusable runs of a revision before it is given up, as far as their causes say: a kernel that
    /// does not boot never will, another crash may stay away with another seed, and one that is
    /// known to come and go will.
    pub fn patience(&self, position: i32) -> u32 {
        let tests = self.site(position).map_or(&[][..], |s| &s.tests);
        let unusable = tests
            .iter()
            .filter(|t| matches!(t.raw, Some(Raw::Unusable(_))));
        let of = |test: &Test| match test.observation.as_deref() {
            None if test.not_exact().is_some() => UNUSABLE_RUNS,
            Some(seen) if seen.boot == BootOutcome::Up => match seen.crashes.first() {
                Some(crash) if self.comes_and_goes.contains(&crash.title) => NOISY_RUNS,
                Some(_) => UNUSABLE_RUNS,
                None if busy(seen).is_some() => NOISY_RUNS,
                None => 1,
            },
            _ => 1,
        };
        unusable.map(of).max().unwrap_or(1)
    }

    /// Titles of crashes that some runs of a revision have and others have not.
    pub(super) fn passing_crashes(&self) -> BTreeSet<String> {
        let sites = self.sites.values().chain(self.reverts.values());
        let mut titles = BTreeSet::new();
        for site in sites {
            let runs = site.tests.iter().filter_map(|t| t.observation.as_deref());
            let up: Vec<_> = runs.filter(|o| o.boot == BootOutcome::Up).collect();
            for crash in up.iter().flat_map(|o| &o.crashes) {
                let has = |o: &&&TestObservation| o.crashes.iter().any(|c| c.title == crash.title);
                if up.iter().filter(has).count() < up.len() {
                    titles.insert(crash.title.clone());
                }
            }
        }
        titles
    }
}
