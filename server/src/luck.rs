//! Whether clean runs are luck where a behaviour shows in some runs only. Pure.

/// Chance of clean runs that counts as none.
const MISS: f64 = 1e-3;

/// Clean runs, at most so many, that chance gives in one case of a thousand where the behaviour
/// shows as often as in `(shown, all)` runs.
pub fn clean_runs(seen: (u32, u32), most: u32) -> u32 {
    let runs = (MISS.ln() / chance(seen, 1).ln()).ceil();
    runs.clamp(1.0, f64::from(most)) as u32
}

/// Chance that so many runs are all clean there.
pub fn chance((shown, all): (u32, u32), runs: u32) -> f64 {
    // Laplace's estimate: never certain.
    let rate = (f64::from(shown) + 1.0) / (f64::from(all) + 2.0);
    (1.0 - rate).powf(f64::from(runs))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rarer_it_shows_the_more_clean_runs_are_wanted() {
        for (seen, runs) in [((3, 3), 5), ((10, 20), 10), ((4, 20), 27), ((1, 20), 73)] {
            assert_eq!(clean_runs(seen, 200), runs);
            assert!(chance(seen, runs) <= MISS && chance(seen, runs - 1) > MISS);
        }
        assert_eq!(clean_runs((1, 20), 20), 20);
    }
}
