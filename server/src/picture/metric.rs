//! A picture's metric: its numbers, and what they are at both ends.
//!
//! Must not know how a run is judged by anything else than a number.

use firstbad_api::job::Signal;
use firstbad_api::lease::RunMode;

use super::{CALIBRATION_RUNS, Calibration, Picture, Test};
use crate::judge::{busy, metric_value};
use crate::scale::{self, Ends, Scale};

/// Runs of candidates after which both ends are run once more in real mode.
const REFERENCE_EVERY: u32 = 8;

impl Picture {
    /// The metric's values at these positions, and whether higher is better.
    fn values(&self, positions: &[i32]) -> (Vec<f64>, bool) {
        let sites = positions.iter().filter_map(|p| self.site(*p));
        let runs = sites.flat_map(|s| &s.tests);
        let told: Vec<(f64, bool)> = runs.filter_map(|t| self.told(t)).collect();
        let higher = told.first().is_none_or(|v| v.1);
        (told.into_iter().map(|v| v.0).collect(), higher)
    }

    /// The metric in one run beside what the machine measured at that time, and whether higher is
    /// better.
    fn told(&self, test: &Test) -> Option<(f64, bool)> {
        let Signal::Metric { name, .. } = &self.job.request.signal else {
            return None;
        };
        let run = test.observation.as_ref()?;
        if !run.crashes.is_empty() || busy(run).is_some() {
            return None;
        }
        let (value, higher) = metric_value(name, run)?;
        Some((value / self.level(test), higher))
    }

    /// The same without its direction.
    pub fn number(&self, test: &Test) -> Option<f64> {
        self.told(test).map(|(value, _)| value)
    }

    /// What the machine measured when this run was made beside its average; 1 for exact runs.
    pub(super) fn level(&self, test: &Test) -> f64 {
        scale::level(&self.references, test.probe.attempt_id)
    }

    /// Runs of the ends, each beside the mean of its end: what the machine measured, and when. The
    /// numbers of attempts stand for the time.
    pub(super) fn references(&self) -> Vec<(i64, f64)> {
        if self.job.request.mode == RunMode::Exact || !self.between_the_ends() {
            return Vec::new();
        }
        let mut references = Vec::new();
        for position in self.present_ends().into_iter().chain(self.absent_ends()) {
            let Some(mean) = self.metric(position) else {
                continue;
            };
            let tests = self.site(position).map_or(&[][..], |s| &s.tests);
            let values = tests
                .iter()
                .filter_map(|t| Some((t.probe.attempt_id, self.number(t)? / mean)));
            references.extend(values.filter(|r| r.1.is_finite() && r.1 > 0.0));
        }
        references
    }

    /// Runs of the ends wanted by now, besides the first ones, of a metric in real mode: they say
    /// whether the machine still measures the same.
    pub fn wanted_references(&self) -> u32 {
        if self.job.request.mode == RunMode::Exact || !self.between_the_ends() {
            return 0;
        }
        let ends: Vec<i32> = self
            .present_ends()
            .into_iter()
            .chain(self.absent_ends())
            .collect();
        let others = self.sites.iter().filter(|(p, _)| !ends.contains(p));
        let others = others.map(|(_, site)| site).chain(self.reverts.values());
        let runs: usize = others.map(|site| site.tests.len()).sum();
        u32::try_from(runs).unwrap_or(u32::MAX) / REFERENCE_EVERY
    }

    /// Whether the job's metric is compared with what it is at the ends.
    pub(super) fn between_the_ends(&self) -> bool {
        let signal = &self.job.request.signal;
        matches!(
            signal,
            Signal::Metric {
                threshold: None,
                ..
            }
        )
    }

    pub(super) fn compare_ends(&self) -> Ends {
        if !self.between_the_ends() {
            return Ends::Open;
        }
        let (clean, _) = self.values(&self.absent_ends());
        let (shown, higher_is_better) = self.values(&self.present_ends());
        scale::compare(&clean, &shown, higher_is_better)
    }

    /// Why a metric is no different at the ends, once enough runs say so.
    pub fn ends_alike(&self) -> Option<&str> {
        let Ends::Alike(why) = &self.ends else {
            return None;
        };
        let wanted = self.calibration.wanted as usize;
        let mut ends = self.present_ends().into_iter().chain(self.absent_ends());
        ends.all(|p| self.values(&[p]).0.len() >= wanted)
            .then_some(why)
    }

    /// The scale of a metric of which single runs do not tell.
    pub fn scale(&self) -> Option<Scale> {
        match &self.ends {
            Ends::Differ(scale) if !self.calibration.deterministic => Some(*scale),
            _ => None,
        }
    }

    /// Runs of both ends for a metric between them: few when single runs tell.
    pub(super) fn calibrate_metric(&mut self) {
        let fixed = self.job.request.runs;
        let apart = match &self.ends {
            Ends::Open => true,
            Ends::Alike(_) => false,
            Ends::Differ(scale) => scale.apart(),
        };
        let (shown, all) = self.pooled();
        let wanted = match fixed {
            0 if apart => scale::SAMPLES,
            0 => CALIBRATION_RUNS,
            n => n.max(scale::SAMPLES),
        };
        let enough = |p: i32| self.values(&[p]).0.len() >= wanted as usize;
        let mut ends = self.present_ends().into_iter().chain(self.absent_ends());
        self.calibration = Calibration {
            wanted,
            known: matches!(self.ends, Ends::Differ(_)) && ends.all(enough),
            wanted_clean: wanted,
            needed: fixed.max(1),
            deterministic: apart && shown == all,
        };
    }

    /// Of a metric of which single runs do not tell: on which side its mean is, if there are runs.
    pub fn mean_shows(&self, position: i32) -> Option<bool> {
        let scale = self.scale()?;
        let mean = self.metric(position)?;
        Some(scale.place(mean) > scale.shift() / 2.0)
    }

    /// The value of the job's metric at a revision: mean over its runs.
    pub fn metric(&self, position: i32) -> Option<f64> {
        let (values, _) = self.values(&[position]);
        (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
    }
}
