//! Files of the search commands: graph, prior, results. Must not know how to search.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use firstbad_bisect::search::{Layout, Outcome, Settings, Signal};
use firstbad_bisect::{Graph, Node};

use super::args::{SearchArgs, Switch};
use crate::fail::Fail;

/// A graph with the names of its commits.
pub struct Dag {
    pub names: Vec<String>,
    index: HashMap<String, Node>,
    graph: Graph,
}

impl Dag {
    /// Lines `id parent parent …`, parents first.
    pub fn read(path: &Path) -> Result<Self, Fail> {
        let text = text(path)?;
        let mut names = Vec::new();
        let mut index: HashMap<String, Node> = HashMap::new();
        let mut parents = Vec::new();
        for (number, line) in lines(&text) {
            let mut words = line.split_whitespace();
            let Some(id) = words.next() else { continue };
            let list: Vec<Node> = words
                .map(|p| {
                    index.get(p).copied().ok_or_else(|| {
                        wrong(path, number, &format!("parent {p} is not listed before"))
                    })
                })
                .collect::<Result<_, Fail>>()?;
            let node = names.len() as Node;
            if index.insert(id.to_owned(), node).is_some() {
                return Err(wrong(path, number, &format!("{id} is listed twice")));
            }
            names.push(id.to_owned());
            parents.push(list);
        }
        if names.is_empty() {
            return Err(Fail::Data(format!("{} lists no commit", path.display())));
        }
        let graph = Graph::new(parents).map_err(|e| Fail::Data(e.to_string()))?;
        Ok(Self {
            names,
            index,
            graph,
        })
    }

    pub fn name(&self, node: Node) -> &str {
        &self.names[node as usize]
    }

    pub fn node(&self, id: &str) -> Result<Node, Fail> {
        let node = self.index.get(id).copied();
        node.ok_or_else(|| Fail::Data(format!("{id} is not in the graph")))
    }

    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// Splits off the graph, prepared for the search.
    pub fn prepare(self) -> (Names, Arc<Layout>) {
        let names = Names(self.names);
        (names, Arc::new(Layout::new(self.graph)))
    }

    /// Lines `id weight`; commits left out have weight 1.
    pub fn prior(&self, path: Option<&Path>) -> Result<Option<Vec<f64>>, Fail> {
        let Some(path) = path else { return Ok(None) };
        let text = text(path)?;
        let mut weights = vec![1.0; self.names.len()];
        for (number, line) in lines(&text) {
            let words: Vec<&str> = line.split_whitespace().collect();
            let [id, weight] = words[..] else {
                return Err(wrong(path, number, "not `id weight`"));
            };
            let weight: f64 = weight
                .parse()
                .ok()
                .filter(|w: &f64| w.is_finite() && *w >= 0.0)
                .ok_or_else(|| wrong(path, number, "the weight is not a number from 0"))?;
            weights[self.node(id)? as usize] = weight;
        }
        Ok(Some(weights))
    }

    /// Lines `id good|bad|skip`.
    pub fn results(&self, path: Option<&Path>) -> Result<Vec<(Node, Outcome)>, Fail> {
        let Some(path) = path else {
            return Ok(Vec::new());
        };
        let text = text(path)?;
        let mut results = Vec::new();
        for (number, line) in lines(&text) {
            let words: Vec<&str> = line.split_whitespace().collect();
            let outcome = match words[..] {
                [_, "good"] => Outcome::Pass,
                [_, "bad"] => Outcome::Fail,
                [_, "skip"] => Outcome::Skip,
                _ => return Err(wrong(path, number, "not `id good|bad|skip`")),
            };
            results.push((self.node(words[0])?, outcome));
        }
        Ok(results)
    }
}

/// Names of commits by node.
pub struct Names(Vec<String>);

impl Names {
    pub fn name(&self, node: Node) -> &str {
        &self.0[node as usize]
    }
}

/// The signal as typed; `None` when nothing was said about it.
pub fn signal(args: &SearchArgs) -> Result<Option<Signal>, Fail> {
    if args.rates.is_some() {
        return Ok(Some(Signal::Unknown));
    }
    if let Some(shift) = args.metric_shift {
        return match shift > 0.0 && shift.is_finite() {
            true => Ok(Some(Signal::Samples { shift })),
            false => Err(Fail::Usage("--metric-shift must be above 0".to_owned())),
        };
    }
    let (Some(bad), Some(good)) = (args.p_bad, args.p_good) else {
        return Ok(None);
    };
    if !(0.0 <= good && good < bad && bad <= 1.0) {
        return Err(Fail::Usage(
            "--p-good must be below --p-bad, both from 0 to 1".to_owned(),
        ));
    }
    Ok(Some(Signal::Known { bad, good }))
}

/// The settings as typed, for this signal.
pub fn settings(args: &SearchArgs, signal: Signal) -> Result<Settings, Fail> {
    let usage = |s: &str| Err(Fail::Usage(s.to_owned()));
    if !(0.0..1.0).contains(&args.none_prior) {
        return usage("--none-prior must be from 0 and below 1");
    }
    if !(0.5..1.0).contains(&args.confidence) {
        return usage("--confidence must be from 0.5 and below 1");
    }
    if !(args.build_cost >= 0.0 && args.build_cost.is_finite()) {
        return usage("--build-cost must be a number from 0");
    }
    let standard = Settings::new(signal);
    let dispersion = match args.dispersion.as_deref() {
        None => standard.dispersion,
        Some("off") => None,
        Some(k) => match k.parse::<f64>() {
            Ok(k) if k > 0.0 && k.is_finite() => Some(k),
            _ => return usage("--dispersion must be a number above 0, or off"),
        },
    };
    Ok(Settings {
        dispersion,
        none_prior: args.none_prior,
        confidence: args.confidence,
        workers: args.workers.into(),
        verify: args.verify == Switch::On,
        calibration: args.calibration,
        build_cost: args.build_cost,
        max_runs: args.max_runs,
        ..standard
    })
}

fn text(path: &Path) -> Result<String, Fail> {
    std::fs::read_to_string(path)
        .map_err(|e| Fail::NoInput(format!("cannot read {}: {e}", path.display())))
}

/// Lines with their numbers, without blank ones and comments.
fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines()
        .enumerate()
        .map(|(i, line)| (i + 1, line.trim()))
        .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
}

fn wrong(path: &Path, line: usize, what: &str) -> Fail {
    Fail::Data(format!("{}:{line}: {what}", path.display()))
}
