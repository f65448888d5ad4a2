//! A metric between two ends: do they differ, and where between them does a run lie?
//!
//! Owns the statistics of the ends' samples. Pure; must not know jobs or runs.

use std::collections::BTreeMap;

/// The ends differ when their means are so many standard errors apart (Welch 1947); with the few
/// samples at hand a smaller number is too often luck.
const ERRORS: f64 = 5.0;
/// A smaller change, as a share of the mean, is no regression anyone looks for.
const LEAST_CHANGE: f64 = 0.005;
/// Samples of each end without which nothing is said.
pub const SAMPLES: u32 = 5;
/// The deviation counts as at least this share of the step between the ends: how a metric varies
/// between builds is not seen at two ends.
const LEAST_DEVIATION: f64 = 0.05;
/// References whose mean is the level of a moment: their own noise adds an eighth to a sample's
/// variance.
const NEAREST: usize = 8;
/// Pairs say more when their differences vary by less than this part of what two runs vary by; of
/// few pairs less is asked for, since it may be luck.
const PAIRS: f64 = 0.5;
const FEW_PAIRS: f64 = 0.2;
const MANY: usize = 20;
/// With the ends this many deviations apart a single run tells.
const APART: f64 = 6.0;

/// Quantiles of Student's distribution for 95 % on both sides, from one degree of freedom on.
const STUDENT: [f64; 30] = [
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160,
    2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056,
    2.052, 2.048, 2.045, 2.042,
];

/// What a metric is without and with the behaviour.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scale {
    pub clean: f64,
    pub shown: f64,
    /// Of a sample; both ends' pooled.
    pub deviation: f64,
}

/// What the samples of the ends say.
#[derive(Debug, Clone, PartialEq)]
pub enum Ends {
    /// Not enough samples yet.
    Open,
    /// They do not differ so far, or in the other direction; for people.
    Alike(String),
    Differ(Scale),
}

/// Mean and variance of a sample.
fn moments(of: &[f64]) -> (f64, f64) {
    let n = of.len() as f64;
    let mean = of.iter().sum::<f64>() / n;
    let squares = of.iter().map(|x| (x - mean).powi(2)).sum::<f64>();
    (mean, squares / (n - 1.0))
}

/// Mean, and variance if there is more than one number; `None` of none.
pub fn summary(of: &[f64]) -> Option<(f64, Option<f64>)> {
    let (mean, variance) = moments(of);
    (!of.is_empty()).then_some((mean, (of.len() > 1).then_some(variance)))
}

/// The 95 % confidence interval of a mean (Student); `None` of fewer than two numbers.
pub fn interval(of: &[f64]) -> Option<(f64, f64)> {
    let (mean, variance) = moments(of);
    let freedom = of.len().checked_sub(1).filter(|n| *n > 0)?;
    let factor = STUDENT.get(freedom - 1).copied().unwrap_or(1.96);
    let half = factor * (variance / of.len() as f64).sqrt();
    Some((mean - half, mean + half))
}

/// Variance of the differences between runs of both ends with the same seed, each beside its end's
/// mean, if they say more than the runs by themselves: what a seed does to a number, it does at both
/// ends.
pub fn paired(clean: &BTreeMap<i64, f64>, shown: &BTreeMap<i64, f64>) -> Option<f64> {
    let both = clean
        .iter()
        .filter_map(|(seed, a)| Some((*a, *shown.get(seed)?)));
    let (a, b): (Vec<f64>, Vec<f64>) = both.unzip();
    let differences: Vec<f64> = a.iter().zip(&b).map(|(a, b)| b - a).collect();
    let variance = moments(&differences).1;
    let apart = moments(&a).1 + moments(&b).1;
    let part = if a.len() < MANY { FEW_PAIRS } else { PAIRS };
    (a.len() >= SAMPLES as usize && variance < apart * part).then_some(variance)
}

/// Compares samples without and with the behaviour; `higher_is_better` as the metric says of itself,
/// `relative` as [`paired`] says of them.
pub fn compare(
    clean: &[f64],
    shown: &[f64],
    relative: Option<f64>,
    higher_is_better: bool,
) -> Ends {
    let least = clean.len().min(shown.len());
    if least < SAMPLES as usize || clean.iter().chain(shown).any(|x| !x.is_finite()) {
        return Ends::Open;
    }
    let ((good, spread_good), (bad, spread_bad)) = (moments(clean), moments(shown));
    let paired = relative.map(|variance| variance * good * good);
    let error = match paired {
        Some(variance) => (variance / least as f64).sqrt(),
        None => (spread_good / clean.len() as f64 + spread_bad / shown.len() as f64).sqrt(),
    };
    let step = bad - good;
    let told = format!(
        "{} and {} on average over {} and {} runs, {} standard errors apart",
        round(good),
        round(bad),
        clean.len(),
        shown.len(),
        round(step.abs() / error)
    );
    if step.abs() < ERRORS * error || step.abs() < LEAST_CHANGE * good.abs() {
        return Ends::Alike(format!("they do not differ: {told}"));
    }
    if (step < 0.0) != higher_is_better {
        return Ends::Alike(format!("the change is for the better: {told}"));
    }
    // A run beside the mean of both ends with its seed: half a difference's variance is its own, and
    // half of that again comes with this mean.
    let variance = paired.map_or((spread_good + spread_bad) / 2.0, |v| 0.75 * v);
    Ends::Differ(Scale {
        clean: good,
        shown: bad,
        deviation: variance.sqrt().max(step.abs() * LEAST_DEVIATION),
    })
}

impl Scale {
    /// Beyond it a single run counts as showing the behaviour.
    pub fn threshold(&self) -> f64 {
        self.clean.midpoint(self.shown)
    }

    /// Deviations between the ends.
    pub fn shift(&self) -> f64 {
        (self.shown - self.clean).abs() / self.deviation
    }

    /// Whether a single run tells.
    pub fn apart(&self) -> bool {
        self.shift() >= APART
    }

    /// Deviations from the clean end towards the other.
    pub fn place(&self, value: f64) -> f64 {
        (value - self.clean) / self.deviation * (self.shown - self.clean).signum()
    }
}

/// What runs have in common with runs of the ends besides the kernel, as a factor that is 1 on
/// average: the number of a run is divided by it.
#[derive(Debug, Default)]
pub enum Levels {
    #[default]
    None,
    /// By seed, of exact runs.
    Seeds {
        levels: BTreeMap<i64, f64>,
        /// As [`paired`] says.
        variance: f64,
    },
    /// What the machine measured, and when: the numbers of attempts stand for the time.
    Times(Vec<(i64, f64)>),
}

impl Levels {
    /// The level of a run; 1 when it is not known.
    pub fn of(&self, attempt: i64, seed: Option<i64>) -> f64 {
        match self {
            Levels::None => 1.0,
            Levels::Seeds { levels, .. } => {
                let level = seed.and_then(|seed| levels.get(&seed));
                level.copied().unwrap_or(1.0)
            }
            Levels::Times(references) => level(references, attempt),
        }
    }
}

/// What the machine measures at a moment beside what it measures on average: the mean of the
/// `references` nearest to it. 1 while there are too few. A reference is not part of its own level.
fn level(references: &[(i64, f64)], at: i64) -> f64 {
    let mut others: Vec<&(i64, f64)> = references.iter().filter(|r| r.0 != at).collect();
    if others.len() < NEAREST {
        return 1.0;
    }
    others.sort_by_key(|r| (r.0.abs_diff(at), r.0));
    let nearest = others.iter().take(NEAREST).map(|r| r.1);
    nearest.sum::<f64>() / NEAREST as f64
}

/// Four digits, for people.
pub fn round(x: f64) -> String {
    let digits = if x.is_finite() && x != 0.0 {
        (3.0 - x.abs().log10().floor()).clamp(0.0, 9.0)
    } else {
        0.0
    };
    format!("{x:.0$}", digits as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interval_of_a_mean_is_that_of_the_tables() {
        assert_eq!(interval(&[1.0]), None);
        // Mean 3, deviation 1.5811, of five: 3 ± 2.776 × 0.70711.
        let (low, high) = interval(&[1.0, 2.0, 3.0, 4.0, 5.0]).unwrap();
        assert!((low - 1.0371).abs() < 1e-3 && (high - 4.9629).abs() < 1e-3);
        let many: Vec<f64> = (0..200).map(|n| f64::from(n % 2)).collect();
        let (low, high) = interval(&many).unwrap();
        assert!((high - low - 2.0 * 1.96 * 0.50125 / 200.0_f64.sqrt()).abs() < 1e-4);
    }

    #[test]
    fn ends_differ_when_it_is_no_luck_and_worth_a_search() {
        let clean = [100.0, 101.0, 99.0, 100.5, 99.5];
        let slow = clean.map(|x| x * 0.9);
        let Ends::Differ(scale) = compare(&clean, &slow, None, true) else {
            panic!("{:?}", compare(&clean, &slow, None, true));
        };
        assert!((scale.threshold() - 95.0).abs() < 1e-9);
        assert!(scale.apart() && scale.place(90.0) > scale.place(100.0));
        assert!((scale.place(90.0) - scale.shift()).abs() < 1e-9);
        for (other, higher, why) in [
            (clean.map(|x| x + 0.1), true, "do not differ"),
            (clean.map(|x| x * 0.999), true, "do not differ"),
            (slow, false, "for the better"),
        ] {
            let Ends::Alike(told) = compare(&clean, &other, None, higher) else {
                panic!("{other:?}");
            };
            assert!(told.contains(why), "{told}");
        }
        assert_eq!(compare(&clean[..4], &slow, None, true), Ends::Open);
        let nan = [f64::NAN; 5];
        assert_eq!(compare(&clean, &nan, None, true), Ends::Open);
    }

    #[test]
    fn runs_with_the_same_seed_are_compared_with_each_other() {
        // Real runs of direct writes, MB/s: a kernel, and the same one 2.2 % slower.
        let clean = [1359.331, 1358.333, 1362.928, 1354.95, 1360.412];
        let slow = [1329.493, 1326.063, 1331.391, 1325.468, 1331.803];
        let seeds = |of: [f64; 5]| -> BTreeMap<i64, f64> { (1..).zip(of).collect() };
        let shares = |of: [f64; 5]| seeds(of.map(|x| x / moments(&of).0));
        let variance = paired(&shares(clean), &shares(slow)).unwrap();
        assert!(
            (variance.sqrt() - 0.00113).abs() < 1e-5,
            "{}",
            variance.sqrt()
        );
        let deviation = |paired| match compare(&clean, &slow, paired, true) {
            Ends::Differ(scale) => (scale.shown - scale.clean).abs() / scale.shift(),
            other => panic!("{other:?}"),
        };
        assert!(1.9 * deviation(Some(variance)) < deviation(None));
        // Where a seed does not do the same at both ends, pairs only add noise.
        let others = [1331.803, 1329.493, 1325.468, 1331.391, 1326.063];
        assert_eq!(paired(&shares(clean), &shares(others)), None);
        assert_eq!(paired(&shares(clean), &shares(slow).split_off(&2)), None);
        assert_eq!(paired(&seeds([1.0; 5]), &seeds([2.0; 5])), None);
        let levels = Levels::Seeds {
            levels: BTreeMap::from([(7, 0.5)]),
            variance,
        };
        let levels: Vec<f64> = [Some(7), Some(8), None].map(|s| levels.of(1, s)).into();
        assert_eq!(levels, [0.5, 1.0, 1.0]);
    }

    #[test]
    fn the_level_follows_a_drift() {
        // A machine that becomes a tenth slower half-way.
        let references: Vec<(i64, f64)> = (0..40)
            .map(|at| (at, if at < 20 { 1.05 } else { 0.95 }))
            .collect();
        assert!((level(&references, 3) - 1.05).abs() < 1e-9);
        assert!((level(&references, 100) - 0.95).abs() < 1e-9);
        assert!((level(&references, 20) - 1.0).abs() < 0.02);
        assert!((level(&references[..NEAREST], 3) - 1.0).abs() < f64::EPSILON);
        let mut with_an_outlier = references;
        with_an_outlier[5].1 = 100.0;
        assert!((level(&with_an_outlier, 5) - 1.05).abs() < 1e-9, "its own");
    }

    #[test]
    fn equal_samples_have_a_deviation_too() {
        let Ends::Differ(scale) = compare(&[10.0; 5], &[9.0; 5], None, true) else {
            panic!("they differ");
        };
        assert!((scale.deviation - 0.05).abs() < 1e-12 && scale.apart());
        assert!(matches!(
            compare(&[10.0; 5], &[9.999; 5], None, true),
            Ends::Alike(_)
        ));
    }
}
