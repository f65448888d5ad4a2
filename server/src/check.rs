//! What the runs of a check saw, and what of it an older head did not have.
//!
//! Pure. Must not know how heads are found or what is done about a failure.

use std::collections::{BTreeMap, BTreeSet};

use firstbad_api::job::Signal;
use firstbad_api::observation::{BootOutcome, CaseStatus, TestObservation};
use firstbad_api::regression::Signature;

use crate::picture::{Picture, Standing};
use crate::{judge, matrix};

/// Crashes of one head that are told, at most.
const CRASHES: usize = 8;

/// What the runs of one head saw.
#[derive(Debug, Default)]
pub struct Seen {
    /// Why there is nothing; empty: something was run.
    pub nothing: String,
    /// Whether a case failed in some run; those that told neither are not here.
    cases: BTreeMap<String, bool>,
    crashes: BTreeSet<String>,
    /// Values of each run, and whether more is better.
    metrics: BTreeMap<String, (Vec<f64>, bool)>,
}

impl Seen {
    /// What a check saw of its only revision.
    pub fn of(picture: &Picture, signal: &Signal) -> Seen {
        let position = picture.bad();
        let tests = picture.site(position).map_or(&[][..], |s| &s.tests);
        let runs: Vec<&TestObservation> = tests
            .iter()
            .filter_map(|t| t.observation.as_deref())
            .collect();
        let mut seen = Seen::default();
        for run in &runs {
            seen.add(run, signal);
        }
        if seen.cases.is_empty() && seen.crashes.is_empty() && seen.metrics.is_empty() {
            seen.nothing = match (picture.standing(position), runs.first()) {
                (Standing::Unusable(why) | Standing::Held(why), _) => why,
                (_, Some(run)) => judge::describe_end(run),
                (_, None) => "it was not run".to_owned(),
            };
        }
        seen
    }

    /// Nothing was seen, and why.
    pub fn nothing(why: &str) -> Seen {
        Seen {
            nothing: why.to_owned(),
            ..Seen::default()
        }
    }

    fn add(&mut self, run: &TestObservation, signal: &Signal) {
        let named = match signal {
            Signal::Cases { cases } => cases.clone(),
            _ => run.cases.iter().map(|c| c.case.clone()).collect(),
        };
        for name in named {
            let status = run.cases.iter().find_map(|c| c.status_of(&name));
            let fails = match status {
                Some(CaseStatus::Fail | CaseStatus::Timeout) => true,
                Some(CaseStatus::Pass) => false,
                _ => continue,
            };
            *self.cases.entry(name).or_default() |= fails;
        }
        let crashes = run.crashes.iter().map(|c| c.title.clone());
        self.crashes.extend(crashes.take(CRASHES));
        if judge::busy(run).is_none() && run.boot == BootOutcome::Up {
            for metric in run.cases.iter().flat_map(|c| &c.metrics) {
                let values = self.metrics.entry(metric.name.clone());
                let values = values.or_insert((Vec::new(), metric.better != "lower"));
                values.0.push(metric.value);
            }
        }
    }

    /// What of the signal is there. Of a number without a threshold it is not known alone: it is
    /// named, and compared with an older head.
    pub fn failing(&self, signal: &Signal) -> Vec<Signature> {
        let case = |name: &String| Signature::Cases {
            cases: vec![name.clone()],
        };
        let failing = self.cases.iter().filter(|(_, fails)| **fails);
        match signal {
            Signal::Failure => {
                let crashes = self.crashes.iter().map(|title| Signature::Crash {
                    title: title.clone(),
                });
                crashes.chain(failing.map(|(name, _)| case(name))).collect()
            }
            Signal::Cases { .. } => failing.map(|(name, _)| case(name)).collect(),
            Signal::Crash { title } => {
                let signature = Signature::Crash {
                    title: title.clone(),
                };
                let there = self.crashes.iter().any(|c| c.contains(title.as_str()));
                there.then_some(signature).into_iter().collect()
            }
            Signal::Metric { name, threshold } => {
                let there = match threshold {
                    Some(threshold) => self.beyond(name, *threshold) == Some(true),
                    None => self.metrics.contains_key(name),
                };
                let signature = Signature::Metric { name: name.clone() };
                there.then_some(signature).into_iter().collect()
            }
        }
    }

    /// Whether a number is beyond a threshold.
    fn beyond(&self, name: &str, threshold: f64) -> Option<bool> {
        let (values, higher_is_better) = self.metrics.get(name)?;
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        Some(match higher_is_better {
            true => mean < threshold,
            false => mean > threshold,
        })
    }

    /// Whether this head had what `new` has; `None`: it does not say.
    pub fn had(&self, signature: &Signature, signal: &Signal, new: &Seen) -> Option<bool> {
        if !self.nothing.is_empty() {
            return None;
        }
        match signature {
            Signature::Cases { cases } => {
                let told: Vec<bool> = cases
                    .iter()
                    .filter_map(|c| self.cases.get(c).copied())
                    .collect();
                match told.contains(&true) {
                    true => Some(true),
                    false => (told.len() == cases.len()).then_some(false),
                }
            }
            Signature::Crash { title } => {
                Some(self.crashes.iter().any(|c| c.contains(title.as_str())))
            }
            Signature::Metric { name } => match signal {
                Signal::Metric {
                    threshold: Some(threshold),
                    ..
                } => self.beyond(name, *threshold),
                _ => {
                    let (old, higher_is_better) = self.metrics.get(name)?;
                    let (new, _) = new.metrics.get(name)?;
                    Some(!matrix::worse(old, new, *higher_is_better))
                }
            },
        }
    }
}

/// Signatures that one job can look into: cases together, every crash and number alone.
pub fn grouped(signatures: Vec<Signature>) -> Vec<Signature> {
    let mut together: Vec<String> = Vec::new();
    let mut alone = Vec::new();
    for signature in signatures {
        match signature {
            Signature::Cases { cases } => together.extend(cases),
            other => alone.push(other),
        }
    }
    if !together.is_empty() {
        alone.push(Signature::Cases { cases: together });
    }
    alone
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(cases: &[(&str, bool)], crashes: &[&str], values: &[f64]) -> Seen {
        let metrics = match values.is_empty() {
            true => BTreeMap::new(),
            false => BTreeMap::from([("mb_s".to_owned(), (values.to_vec(), true))]),
        };
        Seen {
            nothing: String::new(),
            cases: cases.iter().map(|(c, f)| ((*c).to_owned(), *f)).collect(),
            crashes: crashes.iter().map(|c| (*c).to_owned()).collect(),
            metrics,
        }
    }

    fn cases(names: &[&str]) -> Signature {
        Signature::Cases {
            cases: names.iter().map(|n| (*n).to_owned()).collect(),
        }
    }

    #[test]
    fn what_an_older_head_had_is_not_new() {
        let new = seen(
            &[("a", true), ("b", true), ("c", false)],
            &["WARNING in f"],
            &[],
        );
        let failing = new.failing(&Signal::Failure);
        assert_eq!(failing.len(), 3);
        let old = seen(&[("a", true), ("b", false)], &[], &[]);
        let had = |s: &Signature| old.had(s, &Signal::Failure, &new);
        assert_eq!(had(&cases(&["a"])), Some(true));
        assert_eq!(had(&cases(&["b"])), Some(false));
        assert_eq!(had(&cases(&["c"])), None);
        let crash = Signature::Crash {
            title: "WARNING in f".to_owned(),
        };
        assert_eq!(had(&crash), Some(false));
        let silent = Seen::nothing("does not build");
        assert_eq!(silent.had(&crash, &Signal::Failure, &new), None);
        let together = grouped(vec![crash.clone(), cases(&["a"]), cases(&["b"])]);
        assert_eq!(together, [crash, cases(&["a", "b"])]);
    }

    #[test]
    fn a_number_is_worse_than_before_or_beyond_its_threshold() {
        let (old, new) = (
            seen(&[], &[], &[100.0, 100.4, 99.6]),
            seen(&[], &[], &[80.0, 80.4, 79.6]),
        );
        let moved = Signal::Metric {
            name: "mb_s".to_owned(),
            threshold: None,
        };
        let signature = Signature::Metric {
            name: "mb_s".to_owned(),
        };
        assert_eq!(new.failing(&moved), vec![signature.clone()]);
        assert_eq!(old.had(&signature, &moved, &new), Some(false));
        assert_eq!(
            new.had(&signature, &moved, &old),
            Some(true),
            "it got better"
        );
        let below = Signal::Metric {
            name: "mb_s".to_owned(),
            threshold: Some(90.0),
        };
        assert!(old.failing(&below).is_empty());
        assert_eq!(new.failing(&below), vec![signature.clone()]);
        assert_eq!(old.had(&signature, &below, &new), Some(false));
    }
}
