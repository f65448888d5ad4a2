//! What people do today: git's bisection with each revision judged by votes. Owns the votes; the
//! bisection is the noise-free search, which picks as git does.

use super::dice::Dice;
use super::world::World;
use super::{Answer, Decision, Layout, Run, Search, Settings, Signal};
use crate::graph::Node;
use crate::search::Outcome;
use std::sync::Arc;

/// How many runs judge a revision, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Vote {
    /// Most of so many runs; stops when decided.
    Majority(u32),
    /// Bad if any of so many runs fails; stops when decided.
    Any(u32),
}

impl Vote {
    /// Whether the revision is bad, and the runs it took. Skips count as passes.
    fn judge(self, node: Node, world: &World, dice: &mut Dice) -> (bool, u32) {
        let (most, failures) = match self {
            Vote::Majority(n) => (n, n / 2 + 1),
            Vote::Any(n) => (n, 1),
        };
        let (mut failed, mut runs) = (0, 0);
        while failed < failures && failed + (most - runs) >= failures {
            runs += 1;
            failed += u32::from(world.run(node, dice) == Outcome::Fail);
        }
        (failed >= failures, runs)
    }
}

pub(super) fn search(
    layout: &Arc<Layout>,
    vote: Vote,
    world: &World,
    mut dice: Dice,
    run: &mut Run,
) -> Answer {
    let signal = Signal::Known {
        bad: 1.0,
        good: 0.0,
    };
    let settings = Settings {
        none_prior: 0.0,
        verify: false,
        ..Settings::new(signal)
    };
    let mut search = Search::new(layout.clone(), settings, None);
    loop {
        match search.decide(&[]) {
            Decision::Start(probes) => {
                for probe in probes {
                    let (bad, runs) = vote.judge(probe.node, world, &mut dice);
                    run.test_runs += runs;
                    run.rounds += 1.0;
                    search.record(probe.node, if bad { Outcome::Fail } else { Outcome::Pass });
                }
            }
            // One worker never waits.
            Decision::Wait => {}
            Decision::Done(answer) => {
                run.revisions = search.revisions();
                return answer;
            }
        }
    }
}
