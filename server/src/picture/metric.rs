//! A picture's metric: its numbers, and what they are at both ends.
//!
//! Must not know how a run is judged by anything else than a number.

use std::collections::BTreeMap;

use firstbad_api::job::Signal;
use firstbad_api::lease::RunMode;

use super::{CALIBRATION_RUNS, Calibration, Picture, Test};
use crate::judge::{busy, metric_value};
use crate::scale::{self, Ends, Levels, Scale};

/// Runs of candidates after which both ends are run once more in real mode.
const REFERENCE_EVERY: usize = 8;

impl Picture {
    /// The metric's values at these positions, and whether higher is better.
    fn values(&self, positions: &[i32]) -> (Vec<f64>, bool) {
        let sites = positions.iter().filter_map(|p| self.site(*p));
        let runs = sites.flat_map(|s| &s.tests);
        let told: Vec<(f64, bool)> = runs.filter_map(|t| self.told(t)).collect();
        let higher = told.first().is_none_or(|v| v.1);
        (told.into_iter().map(|v| v.0).collect(), higher)
    }

    /// The metric in one run beside its level, and whether higher is better.
    fn told(&self, test: &Test) -> Option<(f64, bool)> {
        let Signal::Metric { name, .. } = &self.job.request.signal else {
            return None;
        };
        let run = test.observation.as_deref()?;
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

    fn level(&self, test: &Test) -> f64 {
        self.levels.of(test.probe.attempt_id, test.probe.seed)
    }

    /// Runs of some ends, each beside the mean of its end.
    fn beside_the_mean(&self, ends: Vec<i32>) -> impl Iterator<Item = (&Test, f64)> {
        ends.into_iter().flat_map(move |position| {
            let mean = self.metric(position).unwrap_or(f64::NAN);
            let tests = self.site(position).map_or(&[][..], |s| &s.tests);
            let told = tests
                .iter()
                .filter_map(move |t| Some((t, self.number(t)? / mean)));
            told.filter(|(_, share)| share.is_finite() && *share > 0.0)
        })
    }

    /// What runs have in common with those of the ends; [`Picture::levels`] is not yet known.
    pub(super) fn find_levels(&self) -> Levels {
        if !self.between_the_ends() {
            return Levels::None;
        }
        let clean = self.beside_the_mean(self.absent_ends());
        let shown = self.beside_the_mean(self.present_ends());
        if self.job.request.mode == RunMode::Real {
            let all = clean.chain(shown);
            return Levels::Times(all.map(|(t, share)| (t.probe.attempt_id, share)).collect());
        }
        let by_seed = |(t, share): (&Test, f64)| Some((t.probe.seed?, share));
        let clean: BTreeMap<i64, f64> = clean.filter_map(by_seed).collect();
        let shown: BTreeMap<i64, f64> = shown.filter_map(by_seed).collect();
        let Some(variance) = scale::paired(&clean, &shown) else {
            return Levels::None;
        };
        let both = clean
            .iter()
            .filter_map(|(seed, a)| Some((*seed, a.midpoint(*shown.get(seed)?))));
        Levels::Seeds {
            levels: both.collect(),
            variance,
        }
    }

    /// Runs of the ends wanted by now, besides the first ones, of a metric between them: for the
    /// seeds of other runs in exact mode, and in real mode because a machine changes.
    pub fn wanted_references(&self) -> u32 {
        if !self.between_the_ends() {
            return 0;
        }
        let ends: Vec<i32> = self
            .present_ends()
            .into_iter()
            .chain(self.absent_ends())
            .collect();
        let others = self.sites.iter().filter(|(p, _)| !ends.contains(p));
        let others = others.map(|(_, site)| site).chain(self.reverts.values());
        let runs = others.map(|site| site.tests.len());
        let wanted = match &self.levels {
            Levels::None => 0,
            Levels::Seeds { .. } => {
                let most = runs.max().unwrap_or_default();
                most.saturating_sub(self.calibration.wanted as usize)
            }
            Levels::Times(_) => runs.sum::<usize>() / REFERENCE_EVERY,
        };
        u32::try_from(wanted).unwrap_or(u32::MAX)
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
        let paired = match &self.levels {
            Levels::Seeds { variance, .. } => Some(*variance),
            Levels::None | Levels::Times(_) => None,
        };
        scale::compare(&clean, &shown, paired, higher_is_better)
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
