//! A picture's metric: its numbers, and what they are at both ends.
//!
//! Must not know how a run is judged by anything else than a number.

use firstbad_api::job::Signal;
use firstbad_api::observation::TestObservation;

use super::{CALIBRATION_RUNS, Calibration, Picture};
use crate::judge::metric_value;
use crate::scale::{self, Ends, Scale};

impl Picture {
    /// The metric's values at these positions, and whether higher is better.
    fn values(&self, positions: &[i32]) -> (Vec<f64>, bool) {
        let Signal::Metric { name, .. } = &self.job.request.signal else {
            return (Vec::new(), true);
        };
        let sites = positions.iter().filter_map(|p| self.site(*p));
        let runs = sites.flat_map(|s| &s.tests);
        let seen = runs.filter_map(|t| t.observation.as_ref());
        let told = seen.filter(|o| o.crashes.is_empty());
        let values: Vec<(f64, bool)> = told.filter_map(|o| metric_value(name, o)).collect();
        let higher = values.first().is_none_or(|v| v.1);
        (values.into_iter().map(|v| v.0).collect(), higher)
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

    /// The job's metric in one run.
    pub fn number(&self, run: &TestObservation) -> Option<f64> {
        match &self.job.request.signal {
            Signal::Metric { name, .. } => metric_value(name, run).map(|(value, _)| value),
            _ => None,
        }
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
