//! How many runs a verdict needs. Must not know the graph.

/// No revision is ever asked for more runs than this.
pub const MAX_RUNS: u32 = 40;

/// Normal quantile of 0.8: the failure rate is estimated at its lower 80 % confidence bound.
const CAUTION: f64 = 0.841_621_233_572_914;

/// How many clean runs are needed to call a revision good, so that a bad one is missed with
/// probability at most `miss`, when `bad_runs` of `runs` failed at the bad end.
///
/// `ceil(ln miss / ln(1 - p))` with `p` the lower
/// Wilson bound of the failure rate. 1 when at least three runs were made and all failed; never more
/// than [`MAX_RUNS`], which is also the answer while no failure was seen.
pub fn runs_needed(bad_runs: u32, runs: u32, miss: f64) -> u32 {
    if runs >= 3 && bad_runs >= runs {
        return 1;
    }
    if bad_runs == 0 || runs == 0 {
        return MAX_RUNS;
    }
    let rate = lower_bound(f64::from(bad_runs.min(runs)), f64::from(runs));
    let needed = (miss.ln() / (1.0 - rate).ln()).ceil();
    // A `miss` of 1 or more asks for nothing, one of 0 or not a number for everything.
    if needed.is_finite() {
        needed.clamp(1.0, f64::from(MAX_RUNS)) as u32
    } else {
        MAX_RUNS
    }
}

fn lower_bound(hits: f64, n: f64) -> f64 {
    let (p, z2) = (hits / n, CAUTION * CAUTION);
    let spread = CAUTION * (p * (1.0 - p) / n + z2 / (4.0 * n * n)).sqrt();
    ((p + z2 / (2.0 * n) - spread) / (1.0 + z2 / n)).max(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn certain_failures_need_one_run() {
        assert_eq!(runs_needed(3, 3, 0.01), 1);
        assert_eq!(runs_needed(20, 20, 1e-6), 1);
        assert!(runs_needed(2, 2, 0.01) > 1, "two runs prove little");
    }

    #[test]
    fn rarer_failures_need_more_runs() {
        let third = runs_needed(7, 20, 0.01);
        assert!((11..=16).contains(&third), "{third}");
        assert!(runs_needed(10, 20, 0.01) < third);
        assert!(runs_needed(7, 20, 0.05) < third);
        assert_eq!(runs_needed(1, 100, 0.01), MAX_RUNS);
    }

    #[test]
    fn odd_input_stays_within_the_cap() {
        assert_eq!(runs_needed(0, 20, 0.01), MAX_RUNS);
        assert_eq!(runs_needed(0, 0, 0.01), MAX_RUNS);
        assert_eq!(runs_needed(1, 2, 0.0), MAX_RUNS);
        assert_eq!(runs_needed(1, 2, f64::NAN), MAX_RUNS);
        assert_eq!(runs_needed(1, 2, 1.0), 1);
        assert_eq!(runs_needed(5, 2, 0.5), runs_needed(2, 2, 0.5));
    }
}
