//! What a rule asks: the check of a head, and the search for what broke it.
//!
//! Pure. Must not know how heads are found.

use firstbad_api::job::{NewJob, Signal};
use firstbad_api::regression::Signature;
use firstbad_api::rule::NewRule;

/// The ends between which a regression is looked for.
pub struct Ends {
    pub good: String,
    pub bad: String,
    /// They are not one above the other, so that nothing lies between them.
    pub two_point: bool,
}

/// The request of a check: the runs of one head, and nothing to compare them with.
pub fn check(rule: &NewRule, reference: &str, rev: &str) -> NewJob {
    NewJob {
        bad: rev.to_owned(),
        runs: rule.run.runs,
        survey: true,
        signal: Signal::Failure,
        title: Some(title(&format!("Check of {reference}: {}", rule.name))),
        ..asked(rule)
    }
}

/// The request that finds out what broke it.
pub fn bisection(rule: &NewRule, signature: &Signature, ends: &Ends) -> NewJob {
    let signal = match signature {
        Signature::Cases { cases } => Signal::Cases {
            cases: cases.clone(),
        },
        Signature::Crash { title } => Signal::Crash {
            title: title.clone(),
        },
        Signature::Metric { name } => Signal::Metric {
            name: name.clone(),
            threshold: match &rule.run.signal {
                Signal::Metric { threshold, .. } => *threshold,
                _ => None,
            },
        },
    };
    NewJob {
        good: vec![ends.good.clone()],
        bad: ends.bad.clone(),
        two_point: ends.two_point,
        signal,
        title: Some(title(&format!("{}: {signature}", rule.name))),
        ..asked(rule)
    }
}

fn title(text: &str) -> String {
    text.chars().take(200).collect()
}

/// What all jobs of a rule have in common.
fn asked(rule: &NewRule) -> NewJob {
    let run = &rule.run;
    NewJob {
        cases: run.cases.clone(),
        signal: run.signal.clone(),
        config: run.config.clone(),
        mode: run.mode,
        vcpus: run.vcpus,
        private: run.private,
        ..NewJob::of(&rule.tree, &run.suite)
    }
}

/// Whether a job with this signal looked at what a regression shows.
pub fn looks_at(signal: &Signal, signature: &Signature) -> bool {
    match (signal, signature) {
        (Signal::Failure, Signature::Cases { .. } | Signature::Crash { .. }) => true,
        (Signal::Cases { cases }, Signature::Cases { cases: shown }) => {
            shown.iter().any(|c| cases.contains(c))
        }
        (Signal::Crash { title }, Signature::Crash { title: shown }) => {
            shown.contains(title.as_str()) || title.contains(shown.as_str())
        }
        (Signal::Metric { name, .. }, Signature::Metric { name: shown }) => name == shown,
        _ => false,
    }
}
