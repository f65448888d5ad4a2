//! The search under flakes: exact posterior over commits, the most telling runs, the answer.
//!
//! Owns: what to do next given all results so far. [`decide`] is a pure function of the graph, the
//! settings, the results and the runs under way; [`Search`] keeps what can be computed once between
//! decisions and decides the same. Must not know files, clocks, workers' names or randomness.

mod belief;
mod choose;
mod joint;
mod layout;
mod model;
pub mod simulate;
mod verify;

use crate::graph::Node;
use crate::live::Live;
use crate::testable::Testable;
use belief::{Belief, Masses, Prior};
use choose::{Field, Terms, capacity};
use joint::Joint;
use model::Model;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

pub use layout::Layout;
pub use model::{Outcome, Signal};

/// A hunt around skipped revisions ends when the best run tells less than this share of what a run
/// can tell.
const LEAST_SHARE: f64 = 0.05;
/// Runs that tell less than this share of it, times the doubt that may stay, settle nothing: the
/// failure rates of single revisions hide the rest.
const FRUITLESS: f64 = 0.05;
/// A run beside others must tell this share of what a run can tell.
const LEAST_BESIDE: f64 = 0.02;
/// So many failures of the tip in a row and nothing else need no further calibration.
const CERTAIN_FAILURES: u32 = 12;
/// Skips of the bad tip before it is no longer asked.
const TIP_SKIPS: u32 = 3;
/// Results between two tests of whether one change explains them.
const MISFIT_EVERY: u32 = 8;
/// Chances that differ by less than this share are equal.
const ALIKE: f64 = 1e-9;
/// Weight of the heaviest commit over that of the lightest in a prior.
const PRIOR_RATIO: f64 = 64.0;
/// Share of a prior that is spread evenly.
const PRIOR_EVEN: f64 = 0.1;

/// How to search. The bad tip is the last node of the graph.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    pub signal: Signal,
    /// Concentration of the failure rate that each revision draws around the common one; `None`: all
    /// have the common rate.
    pub dispersion: Option<f64>,
    /// Prior chance that there is no culprit, below 1.
    pub none_prior: f64,
    /// A hypothesis this probable ends the search.
    pub confidence: f64,
    /// Runs that may be under way at once; 0 counts as 1.
    pub workers: usize,
    /// Run the culprit and its parents until each is sure, and test whether one change explains all.
    pub verify: bool,
    /// Runs of the bad tip before the search, when the rates are unknown.
    pub calibration: u32,
    /// Cost of building a revision, in runs.
    pub build_cost: f64,
    /// After so many results the best answer so far is given.
    pub max_runs: u32,
}

impl Settings {
    /// The settings of production for a signal.
    pub fn new(signal: Signal) -> Self {
        Self {
            signal,
            dispersion: matches!(signal, Signal::Unknown).then_some(20.0),
            none_prior: 0.02,
            confidence: 0.995,
            workers: 1,
            verify: true,
            calibration: 5,
            build_cost: 0.0,
            max_runs: 20_000,
        }
    }
}

/// A run to start.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Probe {
    pub node: Node,
    pub purpose: Purpose,
    /// Expected information about the culprit in bits.
    pub gain: f64,
}

/// Why a run is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Purpose {
    /// To learn how often the bad tip fails.
    Calibrate,
    Search,
    /// To be sure of the culprit or of one of its parents.
    Verify,
}

/// What to do now.
#[derive(Debug, Clone, PartialEq)]
pub enum Decision {
    /// Start these beside those under way, never more than the workers.
    Start(Vec<Probe>),
    /// Nothing to start before a run ends.
    Wait,
    Done(Answer),
}

/// How a search ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ending {
    /// One commit, as sure as was asked for.
    #[serde(rename = "culprit")]
    Culprit,
    /// What can be tested does not tell the commits of the set apart.
    #[serde(rename = "range")]
    Range,
    /// There is no culprit here.
    #[serde(rename = "not reproduced")]
    NotReproduced,
    /// No single change explains the runs.
    #[serde(rename = "multiple")]
    Multiple,
    /// The runs allowed did not suffice.
    #[serde(rename = "unresolved")]
    Unresolved,
}

/// The end of a search.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    pub ending: Ending,
    /// Only with [`Ending::Culprit`].
    pub culprit: Option<Node>,
    /// Chance that the culprit is right, that the set holds it, or that there is none.
    pub confidence: f64,
    /// The most likely commits with their chances, most likely first, until the confidence asked for.
    pub set: Vec<(Node, f64)>,
}

/// The posterior as numbers by node.
#[derive(Debug, Clone, PartialEq)]
pub struct Chances {
    pub culprit: Vec<f64>,
    /// Chance that there is no culprit.
    pub none: f64,
    /// Chance that a revision or one of its ancestors is the culprit: `W(v)`.
    pub inside: Vec<f64>,
    /// Expected information in bits of one run.
    pub gain: Vec<f64>,
}

/// What to do next, from scratch.
pub fn decide(
    layout: &Arc<Layout>,
    settings: &Settings,
    prior: Option<&[f64]>,
    results: &[(Node, Outcome)],
    pending: &[Node],
) -> Decision {
    let mut search = Search::new(layout.clone(), settings.clone(), prior);
    for &(node, outcome) in results {
        search.record(node, outcome);
    }
    search.decide(pending)
}

/// Caps the ratio of the weights and mixes in an even share, so that a wrong prior costs a bounded
/// number of runs. Weights that are not finite or below 0 count as 0.
pub fn tame(weights: &[f64]) -> Vec<f64> {
    let sound = |w: f64| if w.is_finite() { w.max(0.0) } else { 0.0 };
    let top = weights.iter().fold(0.0, |top: f64, &w| top.max(sound(w)));
    if top == 0.0 {
        return vec![1.0; weights.len()];
    }
    let capped: Vec<f64> = weights
        .iter()
        .map(|&w| sound(w).max(top / PRIOR_RATIO))
        .collect();
    let even = capped.iter().sum::<f64>() / capped.len() as f64;
    capped
        .iter()
        .map(|w| w * (1.0 - PRIOR_EVEN) + even * PRIOR_EVEN)
        .collect()
}

/// A search with the results so far.
#[derive(Clone)]
pub struct Search {
    settings: Settings,
    belief: Belief,
    results: u32,
}

impl Search {
    /// `prior`: weight of each node, see [`tame`]; `None`: all alike. The graph must not be empty, and
    /// of known rates the bad one must be higher.
    pub fn new(layout: Arc<Layout>, settings: Settings, prior: Option<&[f64]>) -> Self {
        let tamed = prior.map(tame);
        let prior = Prior::new(&layout, tamed.as_deref(), settings.none_prior);
        let model = Model::new(settings.signal, settings.dispersion);
        Self {
            belief: Belief::new(layout, Arc::new(prior), Arc::new(model)),
            settings,
            results: 0,
        }
    }

    /// Adds one result.
    pub fn record(&mut self, node: Node, outcome: Outcome) {
        self.belief.record(node, outcome);
        self.results += 1;
    }

    /// Results so far.
    pub fn results(&self) -> u32 {
        self.results
    }

    /// Number of revisions with results.
    pub fn revisions(&self) -> usize {
        self.belief.tested.len()
    }

    /// The posterior and what runs would tell.
    pub fn chances(&self) -> Chances {
        let masses = self.belief.masses();
        let (culprit, none) = self.belief.by_node(&masses);
        let field = Field::new(&self.belief, &masses);
        let nodes = 0..culprit.len() as Node;
        Chances {
            inside: nodes.clone().map(|v| field.share_below(v)).collect(),
            gain: nodes.map(|v| field.gain_at(v)).collect(),
            culprit,
            none,
        }
    }

    /// What to do next, with these runs under way.
    pub fn decide(&self, pending: &[Node]) -> Decision {
        let mut pending = pending.to_vec();
        pending.sort_unstable();
        let free = self.settings.workers.max(1).saturating_sub(pending.len());
        let masses = self.belief.masses();
        if let Some(decision) = self.calibrate(&masses, &pending, free) {
            return decision;
        }
        if masses.none >= self.settings.confidence * masses.total {
            return self.done(Ending::NotReproduced, None, &masses);
        }
        let Some((best, class, share)) = self.belief.best(&masses) else {
            return self.done(Ending::Unresolved, None, &masses);
        };
        let sure = share >= self.settings.confidence;
        if let Some(decision) = self.contradiction(&masses, class, sure) {
            return decision;
        }
        // Who cannot be checked alone must be as sure as the checks would make it.
        let checkable = !self.settings.verify || self.can_be_checked(best);
        let luck = (-verify::enough(&self.belief)).exp();
        if sure && (checkable || share >= 1.0 - luck) {
            return self.confirm(&masses, best, class, &pending, free);
        }
        if self.results >= self.settings.max_runs {
            return self.done(Ending::Unresolved, None, &masses);
        }
        self.explore(&masses, &pending, free)
    }

    fn tip(&self) -> Node {
        (self.belief.layout.len() - 1) as Node
    }

    fn calibrate(&self, masses: &Masses, pending: &[Node], free: usize) -> Option<Decision> {
        if self.settings.signal != Signal::Unknown {
            return None;
        }
        let tip = self.tip();
        let tally = self.belief.tally(tip);
        let certain = tally.failed == tally.runs && tally.runs >= CERTAIN_FAILURES;
        let enough = tally.runs >= self.settings.calibration || tally.skips >= TIP_SKIPS;
        if certain || enough {
            return None;
        }
        let running = pending.iter().filter(|&&n| n == tip).count();
        let missing = (self.settings.calibration - tally.runs) as usize;
        let count = missing.saturating_sub(running);
        if count == 0 {
            return None;
        }
        let count = count.min(free);
        let gain = Field::new(&self.belief, masses).gain_at(tip);
        Some(start(count, tip, Purpose::Calibrate, gain))
    }

    fn contradiction(&self, masses: &Masses, class: usize, sure: bool) -> Option<Decision> {
        let due = sure || self.results.is_multiple_of(MISFIT_EVERY);
        if !self.settings.verify || !due {
            return None;
        }
        let likelihood = verify::misfit(&self.belief, masses, masses.mean[class])?;
        let mut odd = masses.clone();
        odd.likelihood = likelihood;
        odd.none = 0.0;
        odd.total = self
            .belief
            .pieces
            .iter()
            .map(|p| {
                let (lo, hi) = p.range();
                odd.likelihood[p.class as usize] * self.belief.prior.between(lo, hi)
            })
            .sum();
        Some(self.done(Ending::Multiple, None, &odd))
    }

    /// Names the culprit, or asks for the runs that are needed first.
    fn confirm(
        &self,
        masses: &Masses,
        culprit: Node,
        class: usize,
        pending: &[Node],
        free: usize,
    ) -> Decision {
        if !self.settings.verify {
            return self.done(Ending::Culprit, Some(culprit), masses);
        }
        let testable = |node: Node| !self.untestable(node);
        let wanted = verify::wanted(&self.belief, masses, culprit, class, &testable);
        if wanted.is_empty() {
            return self.done(Ending::Culprit, Some(culprit), masses);
        }
        if self.results >= self.settings.max_runs {
            return self.done(Ending::Unresolved, None, masses);
        }
        let field = Field::new(&self.belief, masses);
        let mut probes = Vec::new();
        for (node, runs) in wanted {
            let running = pending.iter().filter(|&&n| n == node).count();
            let probe = Probe {
                node,
                purpose: Purpose::Verify,
                gain: field.gain_at(node),
            };
            probes.extend(std::iter::repeat_n(
                probe,
                (runs as usize).saturating_sub(running),
            ));
        }
        probes.truncate(free);
        started(probes)
    }

    fn explore(&self, masses: &Masses, pending: &[Node], free: usize) -> Decision {
        let field = Field::new(&self.belief, masses);
        let chance = self.testability();
        let testable = |at: usize| chance.as_ref().map_or(1.0, |c| c[at]);
        let terms = Terms {
            build: self.settings.build_cost,
            testable: chance.as_ref().map(|_| &testable as &dyn Fn(usize) -> f64),
        };
        let simple = chance.is_none() && terms.build <= 0.0 && self.settings.dispersion.is_none();
        let best = match simple && self.belief.model.is_known() {
            true => field.best_by_mass(),
            false => field.best(&terms),
        };
        let limit = capacity(field.mean());
        let fruitless = FRUITLESS * (1.0 - self.settings.confidence) * limit;
        // What is hidden behind skips is what cannot be tested, not what has to be built first.
        let hidden = chance.is_some() && {
            let free = Terms {
                build: 0.0,
                ..terms
            };
            let reached = field.best(&free).map_or(0.0, |b| b.score);
            reached < (0.5 * field.best_gain()).min(LEAST_SHARE * limit)
        };
        let hopeless = hidden || best.is_none_or(|b| b.gain < fruitless);
        if hopeless && pending.is_empty() {
            return self.done(Ending::Range, None, masses);
        }
        let search = |c: choose::Choice| Probe {
            node: c.node,
            purpose: Purpose::Search,
            gain: c.gain,
        };
        if pending.is_empty() && free == 1 {
            return started(best.map(search).into_iter().collect());
        }
        let mut joint = Joint::new(&self.belief, masses, field.mean(), &testable, pending);
        let least = match pending.is_empty() {
            true => 0.0,
            false => LEAST_BESIDE * limit,
        };
        let mut chosen = joint.choose(free, least);
        if chosen.is_empty() && pending.is_empty() {
            chosen.extend(best);
        }
        started(chosen.into_iter().map(search).collect())
    }

    fn can_be_checked(&self, culprit: Node) -> bool {
        let parents = self.belief.layout.graph().parents(culprit);
        !self.untestable(culprit) && !parents.iter().any(|&p| self.untestable(p))
    }

    fn untestable(&self, node: Node) -> bool {
        let tally = self.belief.tally(node);
        tally.skips > 0 && tally.runs == 0
    }

    /// Chance by position that a revision can be tested; `None` when nothing was skipped.
    fn testability(&self) -> Option<Vec<f64>> {
        let layout = &self.belief.layout;
        let (mut skipped, mut works) = (Vec::new(), vec![self.tip() as usize]);
        for tested in &self.belief.tested {
            match self.untestable(tested.node) {
                true => skipped.push(tested.node as usize),
                false => works.push(tested.node as usize),
            }
        }
        if skipped.is_empty() {
            return None;
        }
        let live = Live::new(layout.graph(), (0..layout.len() as Node).collect(), false);
        let testable = Testable::new(&live, &skipped, &works)?;
        let mut chance: Vec<f64> = (0..layout.len())
            .map(|at| testable.chance(layout.node(at) as usize))
            .collect();
        for &node in &works {
            chance[layout.position(node as Node)] = 1.0;
        }
        for &node in &skipped {
            chance[layout.position(node as Node)] = 0.0;
        }
        Some(chance)
    }

    fn done(&self, ending: Ending, culprit: Option<Node>, masses: &Masses) -> Decision {
        let (chance, none) = self.belief.by_node(masses);
        // Together the rest is far below what the confidence leaves.
        let least = (1.0 - self.settings.confidence) / chance.len() as f64 * 1e-3;
        let mut set: Vec<(Node, f64)> = (0..).zip(chance).filter(|c| c.1 > least).collect();
        set.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        let mut held = 0.0;
        let last = set.iter().find(|c| {
            held += c.1;
            held >= self.settings.confidence
        });
        // Nobody is left out who is as likely as the last one.
        let least = last.map_or(0.0, |c| c.1 * (1.0 - ALIKE));
        set.retain(|c| c.1 >= least);
        let confidence = match (ending, set.first()) {
            (Ending::NotReproduced, _) => none,
            (Ending::Culprit | Ending::Unresolved, Some(first)) => first.1,
            _ => set.iter().map(|c| c.1).sum(),
        };
        Decision::Done(Answer {
            ending,
            culprit,
            confidence,
            set,
        })
    }
}

fn start(count: usize, node: Node, purpose: Purpose, gain: f64) -> Decision {
    started(vec![
        Probe {
            node,
            purpose,
            gain,
        };
        count
    ])
}

fn started(probes: Vec<Probe>) -> Decision {
    match probes.is_empty() {
        true => Decision::Wait,
        false => Decision::Start(probes),
    }
}
