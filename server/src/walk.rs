//! Walking back over releases until one is good: which one to look at next. Pure.
//!
//! Each look goes twice as far back as the oldest bad release; among those about as far back, one
//! that need not be built is taken. Must not know how a release is run or judged.

/// Releases that cannot be tested before the walk is given up.
pub const SKIPS: usize = 20;
/// Releases tried in place of one that cannot be tested, before nearer ones are.
const STEP_ON: usize = 3;

/// What is known of a release.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stand {
    Untested,
    /// Begun, and not settled.
    Open,
    Good,
    Bad,
    /// Cannot be tested.
    Skip,
}

/// A release before the bad end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Release {
    pub stand: Stand,
    /// Has a kernel that need not be built.
    pub prebuilt: bool,
}

/// What comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Run the release at this index.
    Look(usize),
    /// This one is good.
    Found(usize),
    /// None is good, as far as they can be tested.
    Over,
}

/// The next step over a row of releases, the newest first.
pub fn next(row: &[Release]) -> Step {
    let is = |stand: Stand| row.iter().position(|r| r.stand == stand);
    if let Some(found) = is(Stand::Good) {
        return Step::Found(found);
    }
    if let Some(open) = is(Stand::Open) {
        return Step::Look(open);
    }
    let skips = row.iter().filter(|r| r.stand == Stand::Skip);
    if skips.count() >= SKIPS {
        return Step::Over;
    }
    // Counted in releases back from the bad end, which is none back.
    let bad = row.iter().rposition(|r| r.stand == Stand::Bad);
    let bad = bad.map_or(0, |index| index + 1);
    let mut target = (2 * bad).clamp(1, row.len().max(1));
    while target > bad {
        if let Some(back) = about(row, bad, target) {
            return Step::Look(back - 1);
        }
        target = bad + (target - bad) / 2;
    }
    let mut older = (bad..row.len()).filter(|i| row[*i].stand == Stand::Untested);
    older.next().map_or(Step::Over, Step::Look)
}

/// The best release about as far back as `target`, older than the bad one at `bad`.
fn about(row: &[Release], bad: usize, target: usize) -> Option<usize> {
    let quarter = target / 4;
    let first = (target - quarter).max(bad + 1);
    let last = (target + quarter.max(STEP_ON)).min(row.len());
    let untested = (first..=last).filter(|back| row[back - 1].stand == Stand::Untested);
    untested.min_by_key(|back| {
        let away = back.abs_diff(target);
        let prebuilt = row[back - 1].prebuilt && away <= quarter;
        // Older before newer: a skip steps on.
        (!prebuilt, *back < target, away)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A row, the newest first: `g`ood, `b`ad, `s`kip, `o`pen, `.` untested, `p` untested and prebuilt.
    fn row(text: &str) -> Vec<Release> {
        let release = |c: char| Release {
            stand: match c {
                'g' => Stand::Good,
                'b' => Stand::Bad,
                's' => Stand::Skip,
                'o' => Stand::Open,
                _ => Stand::Untested,
            },
            prebuilt: c == 'p',
        };
        text.chars().map(release).collect()
    }

    #[test]
    fn steps_grow_until_one_is_good() {
        for (text, step) in [
            ("", Step::Over),
            ("....", Step::Look(0)),
            ("o...", Step::Look(0)),
            ("b.......", Step::Look(1)),
            ("bb......", Step::Look(3)),
            ("bb.b............", Step::Look(7)),
            // The last step is as long as the row.
            ("bb.b..", Step::Look(5)),
            ("bb.b.b", Step::Over),
            ("bb.g....", Step::Found(3)),
            ("g", Step::Found(0)),
        ] {
            assert_eq!(next(&row(text)), step, "{text}");
        }
    }

    #[test]
    fn a_skip_steps_on_to_older_ones_and_then_to_nearer_ones() {
        for (text, step) in [
            ("s...", Step::Look(1)),
            ("bs..", Step::Look(2)),
            ("bb.s......", Step::Look(4)),
            ("bb.sss....", Step::Look(6)),
            // What is there as far back cannot be tested: half as far.
            ("bb.ssss...", Step::Look(2)),
            ("bbsssss...", Step::Look(7)),
            ("bbsssss", Step::Over),
            ("ss", Step::Over),
        ] {
            assert_eq!(next(&row(text)), step, "{text}");
        }
        let skips = "s".repeat(SKIPS);
        assert_eq!(next(&row(&format!("{skips}...."))), Step::Over);
        assert_eq!(
            next(&row(&format!("{}....", &skips[1..]))),
            Step::Look(SKIPS - 1)
        );
    }

    #[test]
    fn a_prebuilt_release_about_as_far_back_is_taken() {
        for (text, step) in [
            // Of the first few no other one is as far back.
            (".p..", Step::Look(0)),
            ("bb.b..p.........", Step::Look(6)),
            ("bb.b.....p......", Step::Look(9)),
            ("bb.b..p.p.......", Step::Look(8)),
            ("bb.b.p..........", Step::Look(5)),
            // Too far from it.
            ("bb.bp...........", Step::Look(7)),
            ("bb.b......p.....", Step::Look(7)),
        ] {
            assert_eq!(next(&row(text)), step, "{text}");
        }
    }

    #[test]
    fn every_walk_ends() {
        // Whatever the releases answer: each step settles one of them.
        for seed in 0..2000_u32 {
            let mut row = row(&".p".repeat(10)[..(seed % 21) as usize]);
            let mut dice = seed.wrapping_mul(2_654_435_761);
            for looks in 0.. {
                assert!(looks <= row.len());
                let Step::Look(at) = next(&row) else { break };
                assert_eq!(row[at].stand, Stand::Untested);
                dice = dice.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                row[at].stand = match dice >> 28 {
                    0 => Stand::Good,
                    1..8 => Stand::Bad,
                    _ => Stand::Skip,
                };
            }
        }
    }
}
