//! Random graphs: a planted culprit is always found, counts equal brute force, the order of the
//! history has no meaning.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use firstbad_bisect::{
    Found, Graph, History, Mark, Node, Observation, Plan, Policy, candidates, distances, plan,
};
use proptest::prelude::*;
use std::collections::BTreeSet;

/// A connected graph with merges, octopus merges and several roots; the last node contains all.
fn graphs(max: usize) -> impl Strategy<Value = Graph> {
    let node = (any::<u32>(), any::<u32>(), any::<u32>(), 0u8..100);
    prop::collection::vec(node, 1..max).prop_map(|nodes| {
        let n = nodes.len();
        let mut has_child = vec![false; n];
        let mut parents: Vec<Vec<Node>> = Vec::new();
        for (i, (a, b, c, kind)) in nodes.into_iter().enumerate() {
            let near = |x: u32| i as u32 - 1 - x % (i as u32).min(6);
            let mut list = match kind {
                _ if i == 0 => vec![],
                0..3 => vec![],
                3..60 => vec![i as u32 - 1],
                60..80 => vec![near(a)],
                80..97 => vec![near(a), b % i as u32],
                _ => vec![near(a), near(b), c % i as u32],
            };
            if i + 1 == n {
                let heads = (0..i as u32).filter(|&h| !has_child[h as usize]);
                list.extend(heads);
            }
            let mut seen = BTreeSet::new();
            list.retain(|&p| seen.insert(p));
            list.iter().for_each(|&p| has_child[p as usize] = true);
            parents.push(list);
        }
        Graph::new(parents).unwrap()
    })
}

fn observe(node: Node, mark: Mark) -> Observation {
    Observation { node, mark }
}

/// Runs a search in which tests end in an order drawn from `order`; answers the outcome.
fn search(
    g: &Graph,
    policy: &Policy,
    order: &[u8],
    oracle: impl Fn(Node) -> Mark,
) -> (Found, History) {
    let bad = g.len() as Node - 1;
    let mut h = History::default();
    let mut order = order.iter().cycle();
    for _ in 0..=2 * g.len() {
        match plan(g, bad, &h, policy).unwrap() {
            Plan::Done(found) => return (found, h),
            Plan::Wait { left, .. } => assert!(left.len() > 1 && !h.running.is_empty()),
            Plan::Probe { probes, left, .. } => {
                for p in probes {
                    assert!(left.contains(&p.node), "{} is no candidate", p.node);
                    assert!(!h.running.contains(&p.node), "{} already runs", p.node);
                    assert!(
                        h.marks.iter().all(|o| o.node != p.node),
                        "{} was tested",
                        p.node
                    );
                    h.running.push(p.node);
                }
            }
        }
        let ends = usize::from(*order.next().unwrap()) % h.running.len();
        let node = h.running.swap_remove(ends);
        h.marks.push(observe(node, oracle(node)));
    }
    panic!("does not end");
}

fn pick(g: &Graph, x: u32) -> Node {
    x % g.len() as u32
}

fn brute_force_distances(g: &Graph, left: &[Node]) -> Vec<(Node, u32)> {
    let n = left.len() as u32;
    let reach = |v: Node| left.iter().filter(|&&a| g.is_ancestor(a, v)).count() as u32;
    left.iter()
        .map(|&v| (v, reach(v).min(n - reach(v))))
        .collect()
}

/// 1,000 commits on a line of which every 33rd is likely: log2(31 + 969 / 64) = 5.5 steps to a likely
/// one instead of 10, and at most 6 more than without weights to an unlikely one.
#[test]
fn a_likely_culprit_takes_as_many_steps_as_it_has_bits() {
    let g = Graph::new(
        (0..1000u32)
            .map(|i| i.checked_sub(1).into_iter().collect())
            .collect(),
    );
    let g = g.unwrap();
    let heavy = |n: Node| n.is_multiple_of(33);
    let weights = (0..1000).map(|n| if heavy(n) { 64 } else { 1 }).collect();
    let policy = Policy {
        weights: Some(weights),
        ..Policy::default()
    };
    let steps = |culprit: Node| {
        let (found, h) = search(&g, &policy, &[0], |n| match n < culprit {
            true => Mark::Good,
            false => Mark::Bad,
        });
        assert_eq!(found, Found::Culprit { node: culprit });
        h.marks.len()
    };
    let (likely, others): (Vec<Node>, Vec<Node>) = (0..1000).partition(|n| heavy(*n));
    let mean = |of: &[Node]| of.iter().map(|n| steps(*n)).sum::<usize>() as f64 / of.len() as f64;
    assert!(mean(&likely) < 7.0, "{}", mean(&likely));
    assert!(mean(&others) < 13.0, "{}", mean(&others));
    assert!(others.iter().all(|n| steps(*n) <= 16));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_planted_culprit_is_found(
        g in graphs(150), at in any::<u32>(), workers in 1usize..6, order in prop::collection::vec(any::<u8>(), 1..20),
    ) {
        let culprit = pick(&g, at);
        let policy = Policy { workers, ..Policy::default() };
        let (found, h) = search(&g, &policy, &order, |n| {
            if g.is_ancestor(culprit, n) { Mark::Bad } else { Mark::Good }
        });
        prop_assert_eq!(found, Found::Culprit { node: culprit });
        prop_assert!(h.marks.len() <= g.len());
    }

    #[test]
    fn weights_change_the_order_and_not_the_answer(
        g in graphs(150), at in any::<u32>(), workers in 1usize..4,
        weights in prop::collection::vec(prop_oneof![Just(1u32), Just(64)], 150),
    ) {
        let culprit = pick(&g, at);
        let policy = Policy { workers, weights: Some(weights), ..Policy::default() };
        let (found, _) = search(&g, &policy, &[0], |n| {
            if g.is_ancestor(culprit, n) { Mark::Bad } else { Mark::Good }
        });
        prop_assert_eq!(found, Found::Culprit { node: culprit });
    }

    #[test]
    fn with_skips_the_culprit_is_named_or_in_the_range(
        g in graphs(60), at in any::<u32>(), workers in 1usize..4, skips in any::<u64>(), order in prop::collection::vec(any::<u8>(), 1..20),
    ) {
        let culprit = pick(&g, at);
        let skipped = |n: Node| skips >> (n % 64) & 1 == 1 && n as usize + 1 != g.len();
        let truth = |n| if g.is_ancestor(culprit, n) { Mark::Bad } else { Mark::Good };
        let policy = Policy { workers, ..Policy::default() };
        let (found, h) = search(&g, &policy, &order, |n| if skipped(n) { Mark::Skip } else { truth(n) });
        let bad = g.len() as Node - 1;
        match found {
            Found::Culprit { node } => prop_assert_eq!(node, culprit),
            Found::Range { nodes } => {
                prop_assert!(nodes.contains(&culprit));
                prop_assert_eq!(&nodes, &candidates(&g, bad, &h, &policy).unwrap());
                // What is left and could be tested would tell nothing.
                for (node, distance) in distances(&g, bad, &h, &policy).unwrap() {
                    prop_assert!(distance == 0 || skipped(node), "{} was not tested", node);
                }
            }
        }
    }

    #[test]
    fn distances_equal_brute_force(g in graphs(200), goods in prop::collection::vec(any::<u32>(), 0..3)) {
        let bad = g.len() as Node - 1;
        let marks = goods.iter().map(|&x| pick(&g, x)).filter(|&n| n != bad).map(|n| observe(n, Mark::Good)).collect();
        let h = History { marks, running: vec![] };
        let left = candidates(&g, bad, &h, &Policy::default()).unwrap();
        prop_assert_eq!(distances(&g, bad, &h, &Policy::default()).unwrap(), brute_force_distances(&g, &left));
        // One worker takes a revision of the largest distance.
        if let Plan::Probe { probes, .. } = plan(&g, bad, &h, &Policy::default()).unwrap() {
            let all = brute_force_distances(&g, &left);
            let best = all.iter().map(|d| d.1).max();
            prop_assert_eq!(all.iter().find(|d| d.0 == probes[0].node).map(|d| d.1), best);
        }
    }

    #[test]
    fn the_order_of_the_history_has_no_meaning(
        g in graphs(80), marks in prop::collection::vec((any::<u32>(), 0u8..3), 0..12),
        running in prop::collection::vec(any::<u32>(), 0..3), turn in any::<prop::sample::Index>(),
    ) {
        let bad = g.len() as Node - 1;
        let observed = |&(x, kind): &(u32, u8)| Observation {
            node: pick(&g, x),
            mark: [Mark::Good, Mark::Bad, Mark::Skip][usize::from(kind)],
        };
        let a = History {
            marks: marks.iter().map(observed).collect(),
            running: running.iter().map(|&x| pick(&g, x)).collect(),
        };
        let mut b = a.clone();
        b.marks.reverse();
        if !b.marks.is_empty() {
            let by = turn.index(b.marks.len());
            b.marks.rotate_left(by);
        }
        b.running.reverse();
        let policy = Policy { workers: 3, ..Policy::default() };
        prop_assert_eq!(plan(&g, bad, &a, &policy), plan(&g, bad, &b, &policy));
    }

    #[test]
    fn on_the_main_line_the_first_bad_revision_is_named(g in graphs(100), at in any::<u32>(), workers in 1usize..4) {
        let culprit = pick(&g, at);
        let bad_at = |n: Node| g.is_ancestor(culprit, n);
        let mut expected = g.len() as Node - 1;
        while let Some(&p) = g.parents(expected).first().filter(|&&p| bad_at(p)) {
            expected = p;
        }
        let policy = Policy { workers, first_parent: true, ..Policy::default() };
        let (found, _) = search(&g, &policy, &[0], |n| if bad_at(n) { Mark::Bad } else { Mark::Good });
        prop_assert_eq!(found, Found::Culprit { node: expected });
    }

    #[test]
    fn a_path_limit_names_the_eligible_culprit(g in graphs(100), at in any::<u32>(), some in any::<u64>(), workers in 1usize..4) {
        let culprit = pick(&g, at);
        let eligible = (0..g.len()).filter(|&n| some >> (n % 64) & 1 == 1 || n == culprit as usize).collect();
        let policy = Policy { workers, eligible: Some(eligible), ..Policy::default() };
        let (found, h) = search(&g, &policy, &[0], |n| if g.is_ancestor(culprit, n) { Mark::Bad } else { Mark::Good });
        prop_assert_eq!(found, Found::Culprit { node: culprit });
        let allowed = policy.eligible.as_ref().unwrap();
        prop_assert!(h.marks.iter().all(|o| allowed.contains(o.node as usize)));
    }
}
