//! `firstbad engine`: the search as a conversation, one JSON object a line. Owns the ids of tests; must
//! not know how to search.

use std::collections::BTreeMap;
use std::io::{BufRead, Write};

use firstbad_bisect::Node;
use firstbad_bisect::search::{Answer, Decision, Outcome, Search, Signal};
use serde::{Deserialize, Serialize};

use super::args::EngineArgs;
use super::input::{self, Dag, Names};
use crate::fail::{CULPRIT, Done, Fail};

#[derive(Serialize)]
#[serde(tag = "op", rename_all = "lowercase")]
enum Say<'a> {
    Test {
        id: u64,
        rev: &'a str,
    },
    Done {
        culprit: Option<&'a str>,
        outcome: firstbad_bisect::search::Ending,
        confidence: f64,
        runs: u64,
        set: Vec<(&'a str, f64)>,
    },
}

#[derive(Deserialize)]
#[serde(tag = "op", rename_all = "lowercase")]
enum Hear {
    Result {
        id: u64,
        outcome: Option<Heard>,
        /// Instead of an outcome, with `--metric-shift`.
        value: Option<f64>,
    },
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Heard {
    Pass,
    Fail,
    Skip,
}

pub fn run(args: &EngineArgs) -> Done {
    let signal = input::signal(&args.search)?.ok_or_else(|| {
        Fail::Usage("say --p-bad and --p-good, --rates unknown or --metric-shift".to_owned())
    })?;
    let settings = input::settings(&args.search, signal)?;
    let dag = Dag::read(&args.search.dag)?;
    let prior = dag.prior(args.search.prior.as_deref())?;
    let (names, layout) = dag.prepare();
    let mut search = Search::new(layout, settings, prior.as_deref());
    let mut talk = Talk {
        names: &names,
        pending: BTreeMap::new(),
        asked: 0,
    };
    let mut input = std::io::stdin().lock().lines();
    loop {
        let pending: Vec<Node> = talk.pending.values().copied().collect();
        match search.decide(&pending) {
            Decision::Start(probes) => {
                for probe in probes {
                    talk.ask(probe.node)?;
                }
                continue;
            }
            Decision::Wait => {}
            Decision::Done(answer) => {
                talk.done(&answer)?;
                return Ok(CULPRIT);
            }
        }
        let Some(line) = input.next() else {
            return Err(Fail::Data(
                "the input ended before the search did".to_owned(),
            ));
        };
        let line = line.map_err(|e| Fail::Infrastructure(format!("cannot read results: {e}")))?;
        if line.trim().is_empty() {
            continue;
        }
        let (node, outcome) = talk.hear(&line, signal)?;
        search.record(node, outcome);
    }
}

struct Talk<'a> {
    names: &'a Names,
    pending: BTreeMap<u64, Node>,
    asked: u64,
}

impl Talk<'_> {
    fn ask(&mut self, node: Node) -> Result<(), Fail> {
        self.asked += 1;
        self.pending.insert(self.asked, node);
        say(&Say::Test {
            id: self.asked,
            rev: self.names.name(node),
        })
    }

    fn hear(&mut self, line: &str, signal: Signal) -> Result<(Node, Outcome), Fail> {
        let Hear::Result { id, outcome, value } = serde_json::from_str(line)
            .map_err(|e| Fail::Data(format!("not a result: {e}: {line}")))?;
        let node = self
            .pending
            .remove(&id)
            .ok_or_else(|| Fail::Data(format!("no test {id} is under way")))?;
        let samples = matches!(signal, Signal::Samples { .. });
        let outcome = match (outcome, value) {
            (Some(Heard::Skip), _) => Outcome::Skip,
            (None, Some(value)) if samples && value.is_finite() => Outcome::Sample(value),
            (Some(Heard::Pass), _) if !samples => Outcome::Pass,
            (Some(Heard::Fail), _) if !samples => Outcome::Fail,
            _ => {
                let wanted = if samples { "value" } else { "outcome" };
                return Err(Fail::Data(format!(
                    "the result of test {id} has no {wanted}"
                )));
            }
        };
        Ok((node, outcome))
    }

    fn done(&self, answer: &Answer) -> Result<(), Fail> {
        say(&Say::Done {
            culprit: answer.culprit.map(|c| self.names.name(c)),
            outcome: answer.ending,
            confidence: answer.confidence,
            runs: self.asked - self.pending.len() as u64,
            set: answer
                .set
                .iter()
                .map(|&(node, p)| (self.names.name(node), p))
                .collect(),
        })
    }
}

fn say(what: &Say) -> Result<(), Fail> {
    let broken = |e: std::io::Error| Fail::Infrastructure(format!("cannot write: {e}"));
    let mut out = std::io::stdout().lock();
    serde_json::to_writer(&mut out, what).map_err(|e| broken(e.into()))?;
    out.write_all(b"\n")
        .and_then(|()| out.flush())
        .map_err(broken)
}
