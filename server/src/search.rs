//! A job's picture in the terms of the search under flakes.
//!
//! Owns the translation: good ends become the oldest revisions of the graph, revisions with one
//! kernel become one, a search for a fix swaps the answers. Must not know how the search decides,
//! and reads nothing but the picture.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use firstbad_api::job::{Find, Word};
use firstbad_api::observation::BuildObservation;
use firstbad_bisect::search::{Decision, Layout, Outcome, Search, Settings, Signal};
use firstbad_bisect::{FixedBitSet, Graph, GraphError, Node};

use crate::judge::Raw;
use crate::picture::{Picture, Site, Test};
use crate::scale::Scale;

/// What a build costs beside a run. A constant, not what was measured: the same job makes the same
/// probes on every machine.
const BUILD_COST: f64 = 2.0;
/// Runs that a person's word counts for.
const MARK_RUNS: u32 = 20;
/// Chance that a repaired revision behaves well, in a search for a fix.
const REPAIRED: f64 = 0.999;

/// A job as the search sees it.
pub struct Inquiry {
    /// Position in the job of each node.
    positions: Vec<i32>,
    /// Position of each node where its next run is best made: the one with most runs of its kernel.
    probe_at: Vec<i32>,
    /// For each candidate the nodes that stand for it and what it contains.
    stands: Vec<Vec<Node>>,
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
        let Shape {
            positions,
            graph,
            stands,
        } = shape(picture)?;
        let node_of = nodes(picture, &positions, &stands);
        let probe_at = most_run(picture, &positions, &node_of);
        let layout = Arc::new(Layout::new(graph));
        let prior = prior(picture, &positions);
        let settings = settings(picture, workers);
        let mut search = Search::new(layout.clone(), settings, prior.as_deref());
        let mut pending = Vec::new();
        let mut runs: BTreeMap<i64, Vec<(Node, Run)>> = BTreeMap::new();
        for (position, &node) in &node_of {
            let row = picture.revisions.get(position);
            if row.is_some_and(|r| picture.job.request.skip.contains(&r.rev)) {
                search.record(node, Outcome::Skip);
            }
            if let Some(said) = picture.marks.get(position) {
                told_by_a_person(&mut search, node, said.mark, picture);
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
                told.push((node, run(test, *position, picture)));
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
            probe_at,
            stands,
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

    /// Position in the job where a run of a node is to be made.
    pub fn probe_at(&self, node: Node) -> i32 {
        self.probe_at.get(node as usize).copied().unwrap_or(-1)
    }

    /// Positions of what a culprit is compared with: its parents where they were run, else the
    /// revisions that stand for them.
    pub fn parents(&self, picture: &Picture, node: Node) -> Vec<i32> {
        let Ok(own) = Node::try_from(self.position(node)) else {
            return Vec::new();
        };
        let followed = match picture.job.request.first_parent {
            true => 1,
            false => usize::MAX,
        };
        let mut positions = BTreeSet::new();
        for parent in picture.graph.parents(own).iter().take(followed) {
            let at = *parent as i32;
            if picture.site(at).is_some_and(|s| !s.tests.is_empty()) {
                positions.insert(at);
                continue;
            }
            let stand = self.stands.get(*parent as usize).into_iter().flatten();
            positions.extend(stand.map(|n| self.probe_at(*n)));
        }
        if positions.is_empty() {
            let parents = self.layout.graph().parents(node).iter();
            positions.extend(parents.map(|p| self.probe_at(*p)));
        }
        positions.into_iter().collect()
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
fn told_by_a_person(search: &mut Search, node: Node, word: Word, picture: &Picture) {
    let present = match word {
        Word::Skip => return search.record(node, Outcome::Skip),
        Word::Bad => true,
        Word::Good => false,
    };
    let outcome = match picture.scale() {
        Some(scale) => sample(
            &scale,
            if present { scale.shown } else { scale.clean },
            picture.find(),
        ),
        None => fresh(present, picture.find()),
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

/// A number on the scale of the search, on which the new behaviour is `shift` above the old one.
fn sample(scale: &Scale, value: f64, find: Find) -> Outcome {
    let place = scale.place(value);
    Outcome::Sample(match find {
        Find::Regression => place,
        Find::Fix => scale.shift() - place,
    })
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

fn run(test: &Test, position: i32, picture: &Picture) -> Run {
    let find = picture.find();
    let measured = picture.number(test);
    if let (Some(Raw::Present(_) | Raw::Absent(_)), Some(scale), Some(value)) =
        (&test.raw, picture.scale(), measured)
    {
        return Run::Told(sample(&scale, value, find));
    }
    let (_, _, unusable) = picture.tally(position);
    let again = unusable < picture.patience(position);
    match (&test.raw, test.probe.state.as_str()) {
        (Some(Raw::Unusable(_)), _) if again => Run::Nothing,
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
    let number = told.iter().find_map(|(node, run)| match run {
        Run::Told(number @ Outcome::Sample(_)) => Some((*node, *number)),
        _ => None,
    });
    match fail.or(pass).or(number) {
        Some(one) => vec![one],
        None => said(Outcome::Skip).collect(),
    }
}

fn settings(picture: &Picture, workers: usize) -> Settings {
    let signal = match (picture.find(), picture.scale()) {
        (_, Some(scale)) => Signal::Samples {
            shift: scale.shift(),
        },
        (Find::Regression, None) => Signal::Unknown,
        // A bug that shows only sometimes looks repaired when it does not show: never believe that
        // it shows more often than was seen.
        (Find::Fix, None) => {
            let (shown, runs) = picture.pooled();
            let rate = f64::from(shown) / (f64::from(runs) + 2.0);
            Signal::Known {
                bad: REPAIRED,
                good: 1.0 - rate,
            }
        }
    };
    let default = Settings::new(signal);
    Settings {
        workers,
        confidence: picture.job.request.confidence,
        calibration: picture.calibration.wanted,
        build_cost: BUILD_COST,
        max_runs: picture.job.request.max_runs,
        // Revisions have rates of their own only where runs of one disagree.
        dispersion: default
            .dispersion
            .filter(|_| !picture.calibration.deterministic),
        ..default
    }
}

/// Weight of each node; good ends, which stand for an older culprit, weigh as much as any commit.
fn prior(picture: &Picture, positions: &[i32]) -> Option<Vec<f64>> {
    let weights = picture.weights()?;
    let most = weights.iter().copied().max()?;
    let weight = |p: &i32| usize::try_from(*p).ok().and_then(|p| weights.get(p));
    let weights = positions.iter().map(|p| *weight(p).unwrap_or(&most));
    Some(weights.map(f64::from).collect())
}

/// The graph of a search.
struct Shape {
    /// Position in the job of each node: good ends, oldest, then the candidates.
    positions: Vec<i32>,
    graph: Graph,
    /// For each candidate the nodes that stand for it and what it contains.
    stands: Vec<Vec<Node>>,
}

/// Revisions that cannot be the answer are taken out, and their children joined to their parents.
fn shape(picture: &Picture) -> Result<Shape, GraphError> {
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
    let unchanged = unchanged(picture);
    let kept = |node: Node| {
        let eligible = policy
            .eligible
            .as_ref()
            .is_none_or(|set| set.contains(node as usize));
        let on_chain = chain.as_ref().is_none_or(|chain| chain.contains(&node));
        node as i32 == bad || (eligible && on_chain && !unchanged.contains(node as usize))
    };
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
        if unchanged.contains(node as usize) {
            newest(picture, &positions, &mut older);
        }
        if kept(node) {
            let new = positions.len() as Node;
            positions.push(node as i32);
            parents.push(older);
            older = vec![new];
        }
        stands.push(older);
    }
    Ok(Shape {
        positions,
        graph: Graph::new(parents)?,
        stands,
    })
}

/// Commits that cannot have changed the answer: between two revisions of which one contains the
/// other and that have the same kernel.
fn unchanged(picture: &Picture) -> FixedBitSet {
    let mut unchanged = FixedBitSet::with_capacity(picture.graph.len());
    let built: Vec<(i32, &str)> = picture
        .sites
        .keys()
        .filter_map(|p| Some((*p, picture.kernel(*p)?)))
        .collect();
    for (newer, kernel) in &built {
        let Ok(node) = Node::try_from(*newer) else {
            continue;
        };
        for (older, _) in built.iter().filter(|b| b.1 == *kernel && b.0 < *newer) {
            let Ok(old) = Node::try_from(*older) else {
                unchanged.union_with(&picture.graph.ancestors(node));
                continue;
            };
            if picture.graph.is_ancestor(old, node) {
                let mut between = picture.graph.ancestors(node);
                between.difference_with(&picture.graph.ancestors(old));
                unchanged.union_with(&between);
            }
        }
    }
    unchanged
}

/// Leaves out of `nodes` what others of them contain.
fn newest(picture: &Picture, positions: &[i32], nodes: &mut Vec<Node>) {
    let all = nodes.clone();
    let contains = |newer: Node, older: Node| {
        let (new, old) = (positions[newer as usize], positions[older as usize]);
        match (Node::try_from(new), Node::try_from(old)) {
            (Ok(new), Ok(old)) => picture.graph.is_ancestor(old, new),
            // Good ends are a chain, older than every candidate.
            _ => older < newer,
        }
    };
    nodes.retain(|&n| !all.iter().any(|&other| other != n && contains(other, n)));
}

/// The node of every position whose runs say something: its own, or that of the same kernel.
fn nodes(picture: &Picture, positions: &[i32], stands: &[Vec<Node>]) -> BTreeMap<i32, Node> {
    let mut node_of: BTreeMap<i32, Node> = positions.iter().copied().zip(0..).collect();
    for (position, stand) in (0..).zip(stands) {
        if let [node] = stand[..]
            && let Some(kernel) = picture.kernel(position)
            && picture.kernel(positions[node as usize]) == Some(kernel)
        {
            node_of.entry(position).or_insert(node);
        }
    }
    node_of
}

fn most_run(picture: &Picture, positions: &[i32], node_of: &BTreeMap<i32, Node>) -> Vec<i32> {
    let runs = |at: i32| picture.sites.get(&at).map_or(0, |s| s.tests.len());
    let mut best = positions.to_vec();
    for (position, node) in node_of {
        let held = &mut best[*node as usize];
        if runs(*position) > runs(*held) {
            *held = *position;
        }
    }
    best
}
