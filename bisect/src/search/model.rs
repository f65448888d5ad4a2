//! How likely an observation is. Owns failure rates, their priors and the terms that one revision's
//! runs add to a hypothesis; must not know the graph.
//!
//! Logarithms of likelihoods are whole multiples of 2^-40, so that their sums do not depend on the
//! order of the results and a result can be taken back exactly.

use serde::{Deserialize, Serialize};

/// What is known of the chance that a run fails.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Signal {
    /// A run passes or fails. `bad`: chance to fail with the culprit, `good`: without it.
    Known { bad: f64, good: f64 },
    /// A run passes or fails, with unknown chances: Beta(1, 1) with the culprit, Beta(0.5, 50) with a
    /// floor of 1e-3 without it, the first at least 0.05 above the second. Runs of the bad tip come
    /// first, so that the data decide.
    Unknown,
    /// A run measures a number; the culprit moves its mean up by `shift` standard deviations. Samples
    /// come as `(y - mean without) / deviation`.
    Samples { shift: f64 },
}

/// One answer of a run.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    Pass,
    Fail,
    /// The revision cannot be tested. Says nothing about the culprit.
    Skip,
    /// A measured number, see [`Signal::Samples`].
    Sample(f64),
}

/// A logarithm in units of 2^-40.
pub(super) type Log = i64;

const UNIT: f64 = (1u64 << 40) as f64;
/// Stands for the logarithm of an impossible event: no product of possible ones comes near it.
const IMPOSSIBLE: f64 = -1000.0;
/// A sample beyond this log-likelihood ratio is an outlier and counts as this.
const CLIP: f64 = 3.0;
const BAD_POINTS: usize = 32;
const GOOD_POINTS: usize = 16;
const GOOD_FAILS: f64 = 0.5;
const GOOD_PASSES: f64 = 50.0;
/// Where the grid of the good rate ends; the rest of Beta(0.5, 50) beyond it is below 1e-7.
const GOOD_END: f64 = 0.25;
const GOOD_FLOOR: f64 = 1e-3;
const LEAST_RISE: f64 = 0.05;

pub(super) fn to_nats(log: Log) -> f64 {
    log as f64 / UNIT
}

fn from_nats(x: f64) -> Log {
    (x * UNIT).round() as Log
}

fn ln(p: f64) -> f64 {
    if p > 0.0 { p.ln() } else { IMPOSSIBLE }
}

/// What was seen at one revision. Adding up commutes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub failed: u32,
    pub runs: u32,
    pub skips: u32,
    ratio: Log,
}

/// Chances to fail that stand for all that are possible, with prior weights.
#[derive(Debug, Clone)]
pub(super) struct Model {
    signal: Signal,
    /// Concentration of the per-revision rate around the common one.
    dispersion: Option<f64>,
    /// Both rising.
    bad: Vec<f64>,
    good: Vec<f64>,
    bad_weight: Vec<f64>,
    good_weight: Vec<f64>,
    /// For each bad rate the number of good rates that are far enough below.
    below: Vec<usize>,
}

/// Mean rates of a hypothesis given its evidence.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Mean {
    pub bad: f64,
    pub good: f64,
}

impl Model {
    pub(super) fn new(signal: Signal, dispersion: Option<f64>) -> Self {
        let (bad, bad_weight) = match signal {
            Signal::Known { bad, .. } => (vec![bad], vec![1.0]),
            Signal::Samples { shift } => (vec![normal_below(shift / 2.0)], vec![1.0]),
            Signal::Unknown => {
                let rates = (0..BAD_POINTS).map(|i| (i as f64 + 0.5) / BAD_POINTS as f64);
                (rates.collect(), vec![1.0; BAD_POINTS])
            }
        };
        let (good, good_weight) = match signal {
            Signal::Known { good, .. } => (vec![good], vec![1.0]),
            Signal::Samples { shift } => (vec![normal_below(-shift / 2.0)], vec![1.0]),
            // With p = x^2 the density of Beta(0.5, 50) has no pole: it is (1 - x^2)^49.
            Signal::Unknown => (0..GOOD_POINTS)
                .map(|i| (i as f64 + 0.5) / GOOD_POINTS as f64 * GOOD_END.sqrt())
                .map(|x| {
                    let weight =
                        x.powf(2.0 * GOOD_FAILS - 1.0) * (1.0 - x * x).powf(GOOD_PASSES - 1.0);
                    ((x * x).max(GOOD_FLOOR), weight)
                })
                .unzip(),
        };
        let below = match signal {
            Signal::Unknown => bad
                .iter()
                .map(|b| good.iter().take_while(|&g| g + LEAST_RISE < *b).count())
                .collect(),
            _ => vec![1],
        };
        let mut model = Self {
            signal,
            dispersion,
            bad,
            good,
            bad_weight,
            good_weight,
            below,
        };
        model.normalise();
        model
    }

    fn normalise(&mut self) {
        let good: f64 = self.good_weight.iter().sum();
        self.good_weight.iter_mut().for_each(|w| *w /= good);
        let cumulated = cumulate(&self.good_weight);
        let both: f64 = self
            .bad_weight
            .iter()
            .zip(&self.below)
            .map(|(w, &n)| w * cumulated[n])
            .sum();
        self.bad_weight.iter_mut().for_each(|w| *w /= both);
    }

    /// Whether the rates are given, so that all hypotheses share them.
    pub(super) fn is_known(&self) -> bool {
        self.bad.len() == 1
    }

    /// Mean rates before any run.
    pub(super) fn prior_mean(&self) -> Mean {
        let zero = (vec![0; self.bad.len()], vec![0; self.good.len()]);
        self.evidence(&zero.0, &zero.1).1
    }

    pub(super) fn add(&self, tally: &mut Tally, outcome: Outcome) {
        match (outcome, self.signal) {
            (Outcome::Skip, _) => tally.skips += 1,
            (Outcome::Pass, _) => tally.runs += 1,
            (Outcome::Fail, _) => {
                tally.failed += 1;
                tally.runs += 1;
            }
            (Outcome::Sample(y), Signal::Samples { shift }) => {
                let ratio = (shift * y - shift * shift / 2.0).clamp(-CLIP, CLIP);
                tally.runs += 1;
                tally.failed += u32::from(ratio > 0.0);
                tally.ratio += from_nats(ratio);
            }
            // A number where pass or fail was asked for says nothing.
            (Outcome::Sample(_), _) => tally.skips += 1,
        }
    }

    /// Log likelihoods of a revision's runs at each bad and at each good rate.
    pub(super) fn terms(&self, tally: &Tally) -> (Vec<Log>, Vec<Log>) {
        self.terms_with(tally, self.dispersion)
    }

    /// The same as if every run had the common rate.
    pub(super) fn plain_terms(&self, tally: &Tally) -> (Vec<Log>, Vec<Log>) {
        self.terms_with(tally, None)
    }

    fn terms_with(&self, tally: &Tally, dispersion: Option<f64>) -> (Vec<Log>, Vec<Log>) {
        if let Signal::Samples { .. } = self.signal {
            return (vec![tally.ratio], vec![0]);
        }
        let bad = self.bad.iter().map(|&p| match dispersion {
            Some(k) => spread(tally, k, p),
            None => equal(tally, p),
        });
        let good = self.good.iter().map(|&p| equal(tally, p));
        (bad.map(from_nats).collect(), good.map(from_nats).collect())
    }

    /// Logarithm of the integral of the likelihood over the rates, and the mean rates. `bad` and
    /// `good` are sums of terms.
    pub(super) fn evidence(&self, bad: &[Log], good: &[Log]) -> (f64, Mean) {
        if self.is_known() {
            let mean = Mean {
                bad: self.bad[0],
                good: self.good[0],
            };
            return (to_nats(bad[0] + good[0]), mean);
        }
        let (bads, bad_top) = scaled(bad, &self.bad_weight);
        let (goods, good_top) = scaled(good, &self.good_weight);
        let cumulated = cumulate(&goods);
        let rated: Vec<f64> = goods.iter().zip(&self.good).map(|(w, p)| w * p).collect();
        let rated = cumulate(&rated);
        let (mut sum, mut bad_sum, mut good_sum) = (0.0, 0.0, 0.0);
        for ((&w, &p), &n) in bads.iter().zip(&self.bad).zip(&self.below) {
            sum += w * cumulated[n];
            bad_sum += w * cumulated[n] * p;
            good_sum += w * rated[n];
        }
        let sum = sum.max(f64::MIN_POSITIVE);
        let mean = Mean {
            bad: bad_sum / sum,
            good: good_sum / sum,
        };
        (sum.ln() + bad_top + good_top, mean)
    }

    /// The same when there is no culprit.
    pub(super) fn evidence_without(&self, good: &[Log]) -> (f64, f64) {
        if self.is_known() {
            return (to_nats(good[0]), self.good[0]);
        }
        let (goods, top) = scaled(good, &self.good_weight);
        let sum: f64 = goods.iter().sum::<f64>().max(f64::MIN_POSITIVE);
        let rated: f64 = goods.iter().zip(&self.good).map(|(w, p)| w * p).sum();
        (sum.ln() + top, rated / sum)
    }

    /// Chance that the next run of a revision fails if it contains the culprit and the common rate is
    /// `rate`: its own runs pull towards what they showed.
    pub(super) fn next_fails(&self, rate: f64, tally: &Tally) -> f64 {
        match self.dispersion {
            Some(k) => (k * rate + f64::from(tally.failed)) / (k + f64::from(tally.runs)),
            None => rate,
        }
    }

    /// Index of the bad rate of the grid that is nearest.
    pub(super) fn nearest_bad(&self, rate: f64) -> usize {
        nearest(&self.bad, rate)
    }

    /// Index of the good rate of the grid that is nearest.
    pub(super) fn nearest_good(&self, rate: f64) -> usize {
        nearest(&self.good, rate)
    }

    /// Whether a repeat says less than a run of another revision.
    pub(super) fn is_dispersed(&self) -> bool {
        self.dispersion.is_some()
    }
}

fn nearest(rates: &[f64], rate: f64) -> usize {
    let after = rates.partition_point(|&r| r < rate).min(rates.len() - 1);
    match after.checked_sub(1) {
        Some(before) if rate - rates[before] < rates[after] - rate => before,
        _ => after,
    }
}

fn equal(tally: &Tally, p: f64) -> f64 {
    let (failed, clean) = (tally.failed, tally.runs - tally.failed);
    let part = |n: u32, p: f64| if n == 0 { 0.0 } else { f64::from(n) * ln(p) };
    part(failed, p) + part(clean, 1.0 - p)
}

/// Beta-binomial: the revision's own rate is drawn from Beta(k p, k (1 - p)).
fn spread(tally: &Tally, k: f64, p: f64) -> f64 {
    let rising = |start: f64, n: u32| (0..n).map(|i| ln(start + f64::from(i))).sum::<f64>();
    rising(k * p, tally.failed) + rising(k * (1.0 - p), tally.runs - tally.failed)
        - rising(k, tally.runs)
}

/// `weight * exp(log)`, divided by the exponential of the second value.
fn scaled(logs: &[Log], weight: &[f64]) -> (Vec<f64>, f64) {
    let top = logs.iter().copied().max().unwrap_or(0);
    let scaled = logs
        .iter()
        .zip(weight)
        .map(|(&l, w)| w * to_nats(l - top).exp())
        .collect();
    (scaled, to_nats(top))
}

/// Sum of the first `n` values, for every `n`.
fn cumulate(values: &[f64]) -> Vec<f64> {
    let mut sums = Vec::with_capacity(values.len() + 1);
    let mut sum = 0.0;
    sums.push(sum);
    for v in values {
        sum += v;
        sums.push(sum);
    }
    sums
}

/// Chance that a standard normal number is below `x` (Abramowitz and Stegun 7.1.26, error 1.5e-7).
fn normal_below(x: f64) -> f64 {
    let z = x.abs() / std::f64::consts::SQRT_2;
    let t = 1.0 / (1.0 + 0.327_591_1 * z);
    let poly = t
        * (0.254_829_592
            + t * (-0.284_496_736
                + t * (1.421_413_741 + t * (-1.453_152_027 + t * 1.061_405_429))));
    let tail = 0.5 * poly * (-z * z).exp();
    if x < 0.0 { tail } else { 1.0 - tail }
}

/// Entropy in bits of an event of chance `p`.
pub(super) fn entropy(p: f64) -> f64 {
    if p <= 0.0 || p >= 1.0 {
        return 0.0;
    }
    -p * p.log2() - (1.0 - p) * (1.0 - p).log2()
}
