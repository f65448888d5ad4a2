//! Graphs of the size of a kernel's history are planned in well under a second.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use firstbad_bisect::{Graph, History, Mark, Node, Observation, Plan, Policy, plan};

fn mark(node: Node, mark: Mark) -> Observation {
    Observation { node, mark }
}

fn probes(p: &Plan) -> usize {
    match p {
        Plan::Probe { probes, .. } => probes.len(),
        other => panic!("not a probe: {other:?}"),
    }
}

/// `n` revisions under one tip, one in `merges` of them a merge, one in `forks` off the line.
fn history_like_a_kernel(n: u32, merges: u32, forks: u32) -> Graph {
    let mut seed = 1u64;
    let mut next = |below: u32| {
        seed = seed
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        (seed >> 33) as u32 % below
    };
    let mut parents: Vec<Vec<Node>> = vec![vec![]];
    let mut is_head = vec![true; n as usize];
    for i in 1..n {
        let near = i - 1 - next(i.min(60));
        let merged = i - 1 - next(i.min(600));
        let mut list = vec![if next(forks) == 0 { near } else { i - 1 }];
        if next(merges) == 0 && merged != list[0] {
            list.push(merged);
        }
        if i + 1 == n {
            list = (0..i).filter(|&h| is_head[h as usize]).collect();
        }
        list.iter().for_each(|&p| is_head[p as usize] = false);
        parents.push(list);
    }
    Graph::new(parents).unwrap()
}

#[test]
fn a_kernel_sized_graph_is_planned_quickly() {
    // Roughly the shares of merges in the kernel's and in git's own history.
    for (n, merges, forks) in [(70_000u32, 15, 15), (66_000, 3, 3)] {
        let g = history_like_a_kernel(n, merges, forks);
        for workers in [1, 4, 8] {
            let start = std::time::Instant::now();
            let policy = Policy {
                workers,
                ..Policy::default()
            };
            let p = plan(&g, n - 1, &History::default(), &policy).unwrap();
            let took = start.elapsed();
            println!("{n} revisions, one merge in {merges}, {workers} workers: {took:?}");
            assert_eq!(probes(&p), workers);
            // Generous: other tests share the machine.
            assert!(took.as_secs() < 10, "{took:?}");
        }
        let start = std::time::Instant::now();
        let skips = History {
            marks: vec![
                mark(n / 50, Mark::Good),
                mark(n - 2, Mark::Bad),
                mark(n / 2, Mark::Skip),
            ],
            running: vec![],
        };
        let p = plan(&g, n - 1, &skips, &Policy::default()).unwrap();
        println!("with a skip: {:?}, {}", start.elapsed(), probes(&p));
    }
}
