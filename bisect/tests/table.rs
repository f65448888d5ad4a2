//! Scenarios with known answers: merges, several goods, skips, contradictions, first parent, path
//! limits, several workers.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use firstbad_bisect::{
    Contradiction, FixedBitSet, Found, Graph, GraphError, History, Mark, Node, Observation, Plan,
    Policy, candidates, plan, steps_left,
};

fn line(n: u32) -> Graph {
    Graph::new(
        (0..n)
            .map(|i| if i == 0 { vec![] } else { vec![i - 1] })
            .collect(),
    )
    .unwrap()
}

/// 0 - 1 - 2 ------- 6 - 7 with the side branch 1 - 3 - 4 - 5 merged by 6.
fn with_merge() -> Graph {
    let parents = [
        vec![],
        vec![0],
        vec![1],
        vec![1],
        vec![3],
        vec![4],
        vec![2, 5],
        vec![6],
    ];
    Graph::new(parents.to_vec()).unwrap()
}

fn mark(node: Node, mark: Mark) -> Observation {
    Observation { node, mark }
}

fn history(good: &[Node], bad: &[Node], skip: &[Node]) -> History {
    let of = |nodes: &[Node], m| nodes.iter().map(|&n| mark(n, m)).collect::<Vec<_>>();
    let marks = [
        of(good, Mark::Good),
        of(bad, Mark::Bad),
        of(skip, Mark::Skip),
    ]
    .concat();
    History {
        marks,
        running: vec![],
    }
}

fn probes(p: &Plan) -> Vec<Node> {
    match p {
        Plan::Probe { probes, .. } => probes.iter().map(|p| p.node).collect(),
        other => panic!("not a probe: {other:?}"),
    }
}

/// Tests until an outcome, all probes of a round at once. Answers the outcome and the numbers of
/// tests and rounds.
fn search(g: &Graph, policy: &Policy, oracle: impl Fn(Node) -> Mark) -> (Found, usize, usize) {
    let bad = g.len() as Node - 1;
    let mut h = History::default();
    for round in 0..=g.len() {
        match plan(g, bad, &h, policy).unwrap() {
            Plan::Done(found) => return (found, h.marks.len(), round),
            Plan::Wait { .. } => panic!("waits with nothing running"),
            Plan::Probe { probes, .. } => h
                .marks
                .extend(probes.iter().map(|p| mark(p.node, oracle(p.node)))),
        }
    }
    panic!("does not end");
}

fn by_culprit(g: &Graph, culprit: Node) -> impl Fn(Node) -> Mark {
    let inside: Vec<bool> = (0..g.len() as Node)
        .map(|n| g.is_ancestor(culprit, n))
        .collect();
    move |n| {
        if inside[n as usize] {
            Mark::Bad
        } else {
            Mark::Good
        }
    }
}

#[test]
fn graph_checks_its_input_and_answers_reachability() {
    let wrong = Graph::new(vec![vec![], vec![2], vec![]]);
    assert_eq!(wrong.unwrap_err(), GraphError::Order { node: 1, parent: 2 });
    assert!(Graph::new(vec![]).unwrap().is_empty());
    let g = with_merge();
    assert!(
        g.is_ancestor(3, 6) && g.is_ancestor(6, 6) && !g.is_ancestor(2, 5) && !g.is_ancestor(6, 3)
    );
    assert_eq!(g.ancestors(5).ones().collect::<Vec<_>>(), [0, 1, 3, 4, 5]);
}

#[test]
fn one_worker_halves() {
    let p = plan(&line(23), 22, &History::default(), &Policy::default()).unwrap();
    let Plan::Probe {
        probes,
        left,
        steps_left,
    } = p
    else {
        panic!("{p:?}")
    };
    assert_eq!(probes[0].reason, "splits 23 candidates into 11 and 12");
    assert_eq!(
        (probes.len(), probes[0].node, left.len(), steps_left),
        (1, 10, 23, 5)
    );
}

#[test]
fn one_revision_is_the_culprit_at_once() {
    let p = plan(&line(1), 0, &History::default(), &Policy::default()).unwrap();
    assert_eq!(p, Plan::Done(Found::Culprit { node: 0 }));
}

#[test]
fn every_culprit_of_a_merge_graph_is_found_with_any_number_of_workers() {
    let g = with_merge();
    for workers in 1..=4 {
        for culprit in 0..8 {
            let policy = Policy {
                workers,
                ..Policy::default()
            };
            let (found, _, _) = search(&g, &policy, by_culprit(&g, culprit));
            assert_eq!(found, Found::Culprit { node: culprit });
        }
    }
}

#[test]
fn goods_remove_their_ancestors_and_bads_what_they_lack() {
    let g = with_merge();
    let left = |h: &History| candidates(&g, 7, h, &Policy::default()).unwrap();
    assert_eq!(left(&history(&[2], &[], &[])), [3, 4, 5, 6, 7]);
    assert_eq!(left(&history(&[2, 3], &[], &[])), [4, 5, 6, 7]);
    assert_eq!(left(&history(&[], &[5], &[])), [0, 1, 3, 4, 5]);
    assert_eq!(left(&history(&[3], &[5], &[])), [4, 5]);
    // Two bad sides: the change is in what they share.
    assert_eq!(left(&history(&[], &[2, 5], &[])), [0, 1]);
}

#[test]
fn a_culprit_merge_is_named_when_both_sides_are_good() {
    let p = plan(
        &with_merge(),
        6,
        &history(&[2, 5], &[], &[]),
        &Policy::default(),
    )
    .unwrap();
    assert_eq!(p, Plan::Done(Found::Culprit { node: 6 }));
}

#[test]
fn contradictions_name_the_revisions() {
    let g = with_merge();
    let err = |h: &History| plan(&g, 7, h, &Policy::default()).unwrap_err();
    let e = err(&history(&[6], &[3], &[]));
    assert_eq!(e, Contradiction::BadBeforeGood { bad: 3, good: 6 });
    assert_eq!(
        e.to_string(),
        "bad revision 3 is an ancestor of good revision 6"
    );
    assert_eq!(
        err(&history(&[4], &[4], &[])),
        Contradiction::Both { node: 4 }
    );
    assert_eq!(
        err(&history(&[7], &[], &[])),
        Contradiction::Both { node: 7 }
    );
    assert_eq!(
        err(&history(&[1], &[2, 5], &[])),
        Contradiction::NoCommonCause {
            first: 2,
            second: 5
        }
    );
    assert_eq!(
        err(&history(&[9], &[], &[])),
        Contradiction::OutOfRange { node: 9, len: 8 }
    );
    let nothing = Policy {
        eligible: Some(FixedBitSet::with_capacity(8)),
        ..Policy::default()
    };
    let e = plan(&g, 7, &history(&[1], &[], &[]), &nothing).unwrap_err();
    assert_eq!(
        e,
        Contradiction::NothingEligible {
            bad: 7,
            good: Some(1)
        }
    );
}

#[test]
fn skipped_revisions_are_never_proposed_and_the_search_steps_away() {
    let g = line(101);
    let p = plan(
        &g,
        100,
        &history(&[], &[], &[49, 50, 51]),
        &Policy::default(),
    )
    .unwrap();
    let at = probes(&p)[0];
    assert!((10..=40).contains(&at) || (60..=90).contains(&at), "{at}");
    for culprit in [10, 48, 53, 99, 100] {
        let judge = by_culprit(&g, culprit);
        let oracle = |n| {
            if (49..=52).contains(&n) {
                Mark::Skip
            } else {
                judge(n)
            }
        };
        let (found, tests, _) = search(&g, &Policy::default(), oracle);
        // 53 hides behind the stretch before it: the stretch cannot be excluded.
        let hidden = Found::Range {
            nodes: (49..=53).collect(),
        };
        let expected = if culprit == 53 {
            hidden
        } else {
            Found::Culprit { node: culprit }
        };
        assert_eq!(found, expected);
        // A hidden culprit costs a test of every broken revision.
        let most = if culprit == 53 { 20 } else { 16 };
        assert!(tests <= most, "{culprit}: {tests} tests");
    }
}

#[test]
fn a_culprit_inside_a_stretch_that_cannot_be_tested_gives_exactly_that_range() {
    let g = with_merge();
    for culprit in [3, 4] {
        let judge = by_culprit(&g, culprit);
        let oracle = |n| {
            if n == 3 || n == 4 {
                Mark::Skip
            } else {
                judge(n)
            }
        };
        for workers in [1, 3] {
            let policy = Policy {
                workers,
                ..Policy::default()
            };
            let (found, _, _) = search(&g, &policy, oracle);
            assert_eq!(
                found,
                Found::Range {
                    nodes: vec![3, 4, 5]
                }
            );
        }
    }
    // Everything but the bad end is skipped.
    let p = plan(&line(3), 2, &history(&[], &[], &[0, 1]), &Policy::default()).unwrap();
    assert_eq!(
        p,
        Plan::Done(Found::Range {
            nodes: vec![0, 1, 2]
        })
    );
}

#[test]
fn a_long_broken_stretch_costs_few_extra_tests_when_the_culprit_is_elsewhere() {
    let g = line(1000);
    for culprit in [5, 250, 399, 602, 750, 990] {
        let judge = by_culprit(&g, culprit);
        let oracle = |n| {
            if (400..600).contains(&n) {
                Mark::Skip
            } else {
                judge(n)
            }
        };
        let (found, tests, _) = search(&g, &Policy::default(), oracle);
        assert_eq!(found, Found::Culprit { node: culprit });
        assert!(tests <= 28, "{culprit}: {tests} tests");
    }
}

#[test]
fn first_parent_names_the_merge() {
    let g = with_merge();
    let policy = Policy {
        first_parent: true,
        ..Policy::default()
    };
    assert_eq!(
        candidates(&g, 7, &History::default(), &policy).unwrap(),
        [0, 1, 2, 6, 7]
    );
    let (found, _, _) = search(&g, &policy, by_culprit(&g, 4));
    assert_eq!(found, Found::Culprit { node: 6 });
    // A mark on the side branch bounds the main line only as far as it is proof.
    let left = |h: &History| candidates(&g, 7, h, &policy).unwrap();
    assert_eq!(left(&history(&[], &[4], &[])), [0, 1, 2, 6]);
    assert_eq!(left(&history(&[4], &[], &[])), [2, 6, 7]);
}

#[test]
fn a_path_limit_probes_and_names_only_what_touches_the_paths() {
    let g = line(100);
    let eligible: FixedBitSet = (0..100).filter(|n| n % 10 == 3).collect();
    let policy = Policy {
        eligible: Some(eligible.clone()),
        ..Policy::default()
    };
    assert_eq!(
        candidates(&g, 99, &History::default(), &policy)
            .unwrap()
            .len(),
        10
    );
    for culprit in eligible.ones().map(|n| n as Node) {
        let judge = by_culprit(&g, culprit);
        let oracle = |n: Node| {
            assert!(eligible.contains(n as usize), "{n} was probed");
            judge(n)
        };
        let (found, tests, _) = search(&g, &policy, oracle);
        assert_eq!(found, Found::Culprit { node: culprit });
        assert!(tests <= 4);
    }
}

#[test]
fn several_workers_cut_a_line_into_equal_parts() {
    let g = line(1000);
    for workers in [2u32, 3, 4, 8] {
        let policy = Policy {
            workers: workers as usize,
            ..Policy::default()
        };
        let first = plan(&g, 999, &History::default(), &policy).unwrap();
        let mut cuts = probes(&first);
        cuts.sort_unstable();
        assert_eq!(cuts.len(), workers as usize);
        let largest = cuts.windows(2).map(|w| w[1] - w[0]).max().unwrap();
        assert!(largest <= 1000 / (workers + 1) + 12, "{workers}: {cuts:?}");
        let mut worst = 0;
        for culprit in (0..1000).step_by(37) {
            let (found, _, rounds) = search(&g, &policy, by_culprit(&g, culprit));
            assert_eq!(found, Found::Culprit { node: culprit });
            worst = worst.max(rounds);
        }
        let ideal = steps_left(1000, workers as usize) as usize;
        assert!(
            worst <= ideal + 1,
            "{workers} workers: {worst} rounds, ideal {ideal}"
        );
    }
}

#[test]
fn running_probes_count() {
    let g = line(100);
    let policy = Policy {
        workers: 2,
        ..Policy::default()
    };
    let mut h = History {
        marks: vec![],
        running: vec![49],
    };
    let next = probes(&plan(&g, 99, &h, &policy).unwrap());
    assert_eq!(next.len(), 1);
    assert!(
        (20..=30).contains(&next[0]) || (70..=80).contains(&next[0]),
        "{next:?}"
    );
    h.running.push(next[0]);
    assert!(matches!(
        plan(&g, 99, &h, &policy).unwrap(),
        Plan::Wait { .. }
    ));
    // A running probe that can tell nothing any more does not block the next one.
    h.marks.push(mark(60, Mark::Good));
    h.running = vec![10, 20];
    assert_eq!(probes(&plan(&g, 99, &h, &policy).unwrap()).len(), 2);
    // With only skips left, a running probe is waited for.
    let mut h = history(&[], &[], &[0]);
    h.running = vec![1];
    assert!(matches!(
        plan(&line(3), 2, &h, &policy).unwrap(),
        Plan::Wait { .. }
    ));
}

#[test]
fn no_probe_is_planned_that_tells_nothing() {
    let policy = Policy {
        workers: 8,
        ..Policy::default()
    };
    let p = plan(&line(4), 3, &History::default(), &policy).unwrap();
    let mut at = probes(&p);
    at.sort_unstable();
    assert_eq!(at, [0, 1, 2]);
}

#[test]
fn rounds_are_counted() {
    assert_eq!(
        [1, 2, 3, 4, 5, 1000].map(|n| steps_left(n, 1)),
        [0, 1, 2, 2, 3, 10]
    );
    assert_eq!(
        [1, 2, 3, 4, 9, 10].map(|n| steps_left(n, 2)),
        [0, 1, 1, 2, 2, 3]
    );
}
