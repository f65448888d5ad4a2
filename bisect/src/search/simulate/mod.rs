//! The search against a built-in tester. Owns the loop of workers and the account of a run; the search
//! itself sees only what a tester answers.

mod anchors;
mod dice;
mod world;

use super::{Answer, Decision, Ending, Layout, Probe, Purpose, Search, Settings, Signal};
use crate::graph::Node;
use dice::Dice;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use world::World;

pub use anchors::Vote;
pub use world::{Case, Tester};

/// Share of the commits that a hint names and the share of the mass they get.
const HINTED: (f64, f64) = (0.1, 0.9);

/// Where the prior of a simulated search comes from.
#[derive(Debug, Clone, PartialEq)]
pub enum Hint {
    /// All commits alike.
    None,
    /// These weights by node; the culprit is drawn evenly.
    Given(Vec<f64>),
    /// A tenth of the commits, drawn anew each time, has nine tenths of the mass, and the culprit is
    /// drawn from that.
    Right,
    /// The same weights, but the culprit is drawn evenly.
    Useless,
}

/// A simulation.
#[derive(Debug, Clone)]
pub struct Plan {
    pub layout: Arc<Layout>,
    pub settings: Settings,
    pub tester: Tester,
    pub hint: Hint,
    /// How many workers' runs end together (rounds), or each after a lognormal time of mean 1 with
    /// this deviation of its logarithm.
    pub time_sigma: Option<f64>,
    /// Cost of building a revision, in runs, as it is charged.
    pub build_charged: f64,
}

/// One simulated search.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Run {
    pub seed: u64,
    pub outcome: Ending,
    /// The commit that was named.
    pub named: Option<Node>,
    /// The commits that may be named.
    pub truth: Vec<Node>,
    pub right: bool,
    /// A commit was named that is none of the truth.
    pub wrong_name: bool,
    pub confidence: f64,
    /// Every run, whatever for.
    pub test_runs: u32,
    pub calibration_runs: u32,
    pub verify_runs: u32,
    pub skips: u32,
    pub revisions: usize,
    /// Rounds of all workers; with times, the time at which the last result came.
    pub rounds: f64,
    pub cost: f64,
    pub set_size: usize,
    /// On a line, the smallest set that could be named.
    pub smallest_set: usize,
}

impl Run {
    fn new(seed: u64) -> Self {
        Self {
            seed,
            outcome: Ending::Unresolved,
            named: None,
            truth: Vec::new(),
            right: false,
            wrong_name: false,
            confidence: 0.0,
            test_runs: 0,
            calibration_runs: 0,
            verify_runs: 0,
            skips: 0,
            revisions: 0,
            rounds: 0.0,
            cost: 0.0,
            set_size: 0,
            smallest_set: 0,
        }
    }

    fn count(&mut self, purpose: Purpose) {
        self.test_runs += 1;
        match purpose {
            Purpose::Calibrate => self.calibration_runs += 1,
            Purpose::Verify => self.verify_runs += 1,
            Purpose::Search => {}
        }
    }

    fn judge(&mut self, case: Case, answer: &Answer, world: &World) {
        self.outcome = answer.ending;
        self.named = answer.culprit;
        self.confidence = answer.confidence;
        self.set_size = answer.set.len();
        self.wrong_name = answer.culprit.is_some_and(|c| !world.culprits.contains(&c));
        self.right = match answer.ending {
            Ending::Culprit => !self.wrong_name,
            Ending::Range => answer.set.iter().any(|c| world.culprits.contains(&c.0)),
            Ending::NotReproduced => world.culprits.is_empty(),
            Ending::Multiple => matches!(case, Case::Two | Case::Refixed),
            Ending::Unresolved => false,
        };
        self.truth.clone_from(&world.culprits);
    }
}

impl Plan {
    /// One search. The same seed gives the same run.
    pub fn run(&self, seed: u64) -> Run {
        let graph = self.layout.graph();
        let weights = match &self.hint {
            Hint::None => None,
            Hint::Given(weights) => Some(weights.clone()),
            Hint::Right | Hint::Useless => Some(hint(graph.len(), seed)),
        };
        let drawn_by = weights.as_deref().filter(|_| self.hint == Hint::Right);
        let world = World::draw(graph, &self.tester, drawn_by, seed);
        let search = Search::new(
            self.layout.clone(),
            self.settings.clone(),
            weights.as_deref(),
        );
        let mut run = Run::new(seed);
        let dice = Dice::new(seed, 2);
        let answer = match self.time_sigma {
            None => self.in_rounds(search, &world, dice, &mut run),
            Some(sigma) => self.in_time(search, &world, dice, sigma, &mut run),
        };
        run.judge(self.tester.case, &answer, &world);
        run.smallest_set = world.smallest_set(graph);
        run.cost = f64::from(run.test_runs) + self.build_charged * run.revisions as f64;
        run
    }

    /// The same history with the rule of votes instead of the search.
    pub fn run_votes(&self, vote: Vote, seed: u64) -> Run {
        let world = World::draw(self.layout.graph(), &self.tester, None, seed);
        let mut run = Run::new(seed);
        let answer = anchors::search(&self.layout, vote, &world, Dice::new(seed, 2), &mut run);
        run.judge(self.tester.case, &answer, &world);
        run
    }

    fn in_rounds(
        &self,
        mut search: Search,
        world: &World,
        mut dice: Dice,
        run: &mut Run,
    ) -> Answer {
        loop {
            let probes = match search.decide(&[]) {
                Decision::Start(probes) => probes,
                Decision::Wait => Vec::new(),
                Decision::Done(answer) => {
                    run.revisions = search.revisions();
                    return answer;
                }
            };
            run.rounds += 1.0;
            for Probe { node, purpose, .. } in probes {
                run.count(purpose);
                record(&mut search, world, node, &mut dice, run);
            }
        }
    }

    fn in_time(
        &self,
        mut search: Search,
        world: &World,
        mut dice: Dice,
        sigma: f64,
        run: &mut Run,
    ) -> Answer {
        let mut running: Vec<(f64, Node)> = Vec::new();
        let mut now = 0.0;
        loop {
            let pending: Vec<Node> = running.iter().map(|r| r.1).collect();
            match search.decide(&pending) {
                Decision::Start(probes) => {
                    for Probe { node, purpose, .. } in probes {
                        run.count(purpose);
                        let took = (sigma * dice.normal() - sigma * sigma / 2.0).exp();
                        running.push((now + took, node));
                    }
                    continue;
                }
                Decision::Wait => {}
                Decision::Done(answer) => {
                    run.revisions = search.revisions();
                    run.rounds = now;
                    return answer;
                }
            }
            running.sort_by(|a, b| b.0.total_cmp(&a.0));
            if let Some((at, node)) = running.pop() {
                now = at;
                record(&mut search, world, node, &mut dice, run);
            }
        }
    }
}

fn record(search: &mut Search, world: &World, node: Node, dice: &mut Dice, run: &mut Run) {
    let outcome = world.run(node, dice);
    run.skips += u32::from(outcome == super::Outcome::Skip);
    search.record(node, outcome);
}

/// Weights that give [`HINTED`] commits their share.
fn hint(n: usize, seed: u64) -> Vec<f64> {
    let mut dice = Dice::new(seed, 3);
    let (share, mass) = HINTED;
    let inside = mass / share;
    let outside = (1.0 - mass) / (1.0 - share);
    let draw = |_| if dice.unit() < share { inside } else { outside };
    (0..n).map(draw).collect()
}

/// Bits of one run that can reach the search at most, for known rates: the capacity of the channel.
pub fn capacity(signal: Signal) -> f64 {
    let model = super::model::Model::new(signal, None);
    super::choose::capacity(model.prior_mean())
}
