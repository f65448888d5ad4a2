//! A job's picture in the terms of the search under flakes.
//!
//! Owns the translation: good ends become the oldest revisions of the graph, runs shared by
//! revisions with one kernel count once, a search for a fix swaps the answers. Must not
//! know how the search decides, and reads nothing but the picture.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use firstbad_api::job::{Find, Word};
use firstbad_api::observation::BuildObservation;
use firstbad_bisect::search::{Decision, Layout, Outcome, Search, Settings, Signal};
use firstbad_bisect::{Graph, GraphError, Node};

use crate::judge::Raw;
use crate::picture::{Picture, Site, Test};

/// What a build costs beside a run. A constant, not what was measured: the same job makes the same
/// probes on every machine.
const BUILD_COST: f64 = 2.0;
/// Chance wanted of a named commit, and of a range.
pub const CONFIDENCE: f64 = 0.995;
/// Runs after which a job ends with the best answer so far.
const MAX_RUNS: u32 = 2000;
/// Runs that a person's word counts for.
const MARK_RUNS: u32 = 20;
/// Chance that a repaired revision behaves well, in a search for a fix.
const REPAIRED: f64 = 0.999;

/// A job as the search sees it.
pub struct Inquiry {
    /// Position in the job of each node.
    positions: Vec<i32>,
    layout: Arc<Layout>,
    search: Search,
    pending: Vec<Node>,
}

/// Chances of the revisions of a job.
pub struct Chances {
    /// That the revision at this position is the culprit.
    pub culprit: BTreeMap<i32, f64>,
    /// That the revision at this position contains the culprit.
    pub inside: BTreeMap<i32, f64>,
    /// Bits still missing.
    pub entropy: f64,
}

impl Inquiry {
    /// `workers`: how many runs may be under way at once.
    ///
    /// # Errors
    /// When the stored revisions are no graph.
    pub fn new(picture: &Picture, workers: usize) -> Result<Inquiry, GraphError> {
        let (positions, graph) = shape(picture)?;
        let node_of: BTreeMap<i32, Node> = positions.iter().copied().zip(0..).collect();
        let layout = Arc::new(Layout::new(graph));
        let mut search = Search::new(layout.clone(), settings(picture, workers), None);
        let mut pending = Vec::new();
        let mut runs: BTreeMap<i64, Vec<(Node, Run)>> = BTreeMap::new();
        for (position, &node) in &node_of {
            let row = picture.revisions.get(position);
            if row.is_some_and(|r| picture.job.request.skip.contains(&r.rev)) {
                search.record(node, Outcome::Skip);
            }
            if let Some(said) = picture.marks.get(position) {
                told_by_a_person(&mut search, node, said.mark, picture.find());
                continue;
            }
            let Some(site) = picture.sites.get(position) else {
                continue;
            };
            match build(site) {
                Run::Open => pending.push(node),
                Run::Told(outcome) => search.record(node, outcome),
                Run::Nothing => {}
            }
            for test in &site.tests {
                let told = runs.entry(test.probe.attempt_id).or_default();
                told.push((node, run(test, picture.find())));
            }
        }
        for told in runs.values() {
            if told.iter().any(|(_, run)| *run == Run::Open) {
                pending.extend(told.first().map(|(node, _)| *node));
            }
            for (node, outcome) in once(told) {
                search.record(node, outcome);
            }
        }
        pending.sort_unstable();
        Ok(Inquiry {
            positions,
            layout,
            search,
            pending,
        })
    }

    /// What to do next.
    pub fn decide(&self) -> Decision {
        self.search.decide(&self.pending)
    }

    /// Position in the job of a node of a decision.
    pub fn position(&self, node: Node) -> i32 {
        self.positions.get(node as usize).copied().unwrap_or(-1)
    }

    /// Positions of what a culprit is compared with: its parents among the revisions that count.
    pub fn parents(&self, node: Node) -> Vec<i32> {
        let parents = self.layout.graph().parents(node).iter();
        parents.map(|p| self.position(*p)).collect()
    }

    /// Of these revisions the one where another run tells most.
    pub fn most_telling(&self, of: impl Iterator<Item = i32>) -> Option<i32> {
        let gain: BTreeMap<i32, f64> = self
            .positions
            .iter()
            .copied()
            .zip(self.search.chances().gain)
            .collect();
        let told = of.filter_map(|p| gain.get(&p).map(|g| (p, *g)));
        told.max_by(|a, b| a.1.total_cmp(&b.1)).map(|(p, _)| p)
    }

    /// Chance that the culprit is among these.
    pub fn chance(&self, positions: &[i32]) -> f64 {
        let chances = self.chances().culprit;
        positions.iter().filter_map(|p| chances.get(p)).sum()
    }

    /// Chance of each revision to be the culprit.
    pub fn chances(&self) -> Chances {
        let chances = self.search.chances();
        let all = chances.culprit.iter().chain([&chances.none]);
        let entropy = all.filter(|p| **p > 0.0).map(|p| -p * p.log2()).sum();
        let at = |values: Vec<f64>| self.positions.iter().copied().zip(values).collect();
        Chances {
            culprit: at(chances.culprit),
            inside: at(chances.inside),
            entropy,
        }
    }
}

/// A mark weighs as much as runs that leave hardly a doubt; the runs made there do not count.
fn told_by_a_person(search: &mut Search, node: Node, word: Word, find: Find) {
    let outcome = match word {
        Word::Skip => return search.record(node, Outcome::Skip),
        Word::Bad => fresh(true, find),
        Word::Good => fresh(false, find),
    };
    for _ in 0..MARK_RUNS {
        search.record(node, outcome);
    }
}

/// The new behaviour is what the search calls a failure.
fn fresh(present: bool, find: Find) -> Outcome {
    match present == (find == Find::Regression) {
        true => Outcome::Fail,
        false => Outcome::Pass,
    }
}

/// What a build or a run tells the search.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Run {
    Open,
    Told(Outcome),
    Nothing,
}

fn build(site: &Site) -> Run {
    match (&site.built, site.build.as_ref().map(|b| b.state.as_str())) {
        (Some(BuildObservation::Failed { .. }), _) | (_, Some("held")) => Run::Told(Outcome::Skip),
        // Its first run is about to start: what was chosen and built is also tested.
        (Some(_), _) if site.tests.is_empty() => Run::Open,
        (Some(_), _) | (_, None | Some("cancelled")) => Run::Nothing,
        (None, _) => Run::Open,
    }
}

fn run(test: &Test, find: Find) -> Run {
    match (&test.raw, test.probe.state.as_str()) {
        (Some(Raw::Unusable(_)), _) | (None, "held") => Run::Told(Outcome::Skip),
        (Some(raw), _) => Run::Told(fresh(matches!(raw, Raw::Present(_)), find)),
        (None, "cancelled") => Run::Nothing,
        (None, _) => Run::Open,
    }
}

/// One run, seen at every revision with the same kernel, counts once: where it says most. A failure
/// says most at the oldest of them, a clean run at the newest; none of them can be tested, or all.
fn once(told: &[(Node, Run)]) -> Vec<(Node, Outcome)> {
    let said = |outcome| {
        told.iter()
            .filter(move |(_, run)| *run == Run::Told(outcome))
            .map(move |(node, _)| (*node, outcome))
    };
    let fail = said(Outcome::Fail).min_by_key(|f| f.0);
    let pass = said(Outcome::Pass).max_by_key(|p| p.0);
    match fail.or(pass) {
        Some(one) => vec![one],
        None => said(Outcome::Skip).collect(),
    }
}

fn settings(picture: &Picture, workers: usize) -> Settings {
    let signal = match picture.find() {
        Find::Regression => Signal::Unknown,
        // A bug that shows only sometimes looks repaired when it does not show: never believe that
        // it shows more often than was seen.
        Find::Fix => {
            let (shown, runs) = picture.pooled();
            let rate = f64::from(shown) / (f64::from(runs) + 2.0);
            Signal::Known {
                bad: REPAIRED,
                good: 1.0 - rate,
            }
        }
    };
    Settings {
        workers,
        confidence: CONFIDENCE,
        calibration: picture.calibration.wanted,
        build_cost: BUILD_COST,
        max_runs: MAX_RUNS,
        ..Settings::new(signal)
    }
}

/// The positions of the nodes and their graph: good ends, oldest, then the candidates. Revisions
/// that cannot be the answer are taken out, and their children joined to their parents.
fn shape(picture: &Picture) -> Result<(Vec<i32>, Graph), GraphError> {
    let mut positions = picture.goods();
    let mut parents: Vec<Vec<Node>> = (0..positions.len() as Node)
        .map(|node| node.checked_sub(1).into_iter().collect())
        .collect();
    let before: Vec<Node> = (positions.len() as Node)
        .checked_sub(1)
        .into_iter()
        .collect();
    let bad = picture.bad();
    let policy = picture.policy(1);
    let first = |node: &Node| picture.graph.parents(*node).first().copied();
    let chain: Option<BTreeSet<Node>> = policy
        .first_parent
        .then(|| std::iter::successors(Some(bad as Node), first).collect());
    let kept = |node: Node| {
        let eligible = policy
            .eligible
            .as_ref()
            .is_none_or(|set| set.contains(node as usize));
        let on_chain = chain.as_ref().is_none_or(|chain| chain.contains(&node));
        node as i32 == bad || (eligible && on_chain)
    };
    // For each revision the nodes that stand for it and what it contains.
    let mut stands: Vec<Vec<Node>> = Vec::with_capacity(picture.graph.len());
    for node in 0..picture.graph.len() as Node {
        let list = picture.graph.parents(node);
        let followed = match policy.first_parent {
            true => list.len().min(1),
            false => list.len(),
        };
        let mut older: Vec<Node> = list
            .iter()
            .take(followed)
            .flat_map(|p| stands[*p as usize].clone())
            .collect();
        older.sort_unstable();
        older.dedup();
        if older.is_empty() {
            older.clone_from(&before);
        }
        if kept(node) {
            let new = positions.len() as Node;
            positions.push(node as i32);
            parents.push(older);
            older = vec![new];
        }
        stands.push(older);
    }
    Ok((positions, Graph::new(parents)?))
}
