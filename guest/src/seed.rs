//! The generator behind every choice in the guest: a function of the plan's seed.

/// FNV-1a, a word at a time: one number for all of `words`, in their order.
pub fn digest(words: impl IntoIterator<Item = u64>) -> u64 {
    words.into_iter().fold(0xcbf2_9ce4_8422_2325, |h, word| {
        (h ^ word).wrapping_mul(0x0100_0000_01b3)
    })
}

/// SplitMix64: small, seedable, the same on every machine.
pub struct Rng(u64);

impl Rng {
    /// A generator for one purpose: the same seed and label give the same numbers.
    pub fn new(seed: u64, label: &str) -> Rng {
        Rng(seed ^ digest(label.bytes().map(u64::from)))
    }

    /// The next 64 bits.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound` (0 when `bound` is 0).
    pub fn below(&mut self, bound: u64) -> u64 {
        if bound == 0 { 0 } else { self.next() % bound }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn same_seed_and_label_repeat_others_differ() {
        let take = |seed, label| {
            let mut r = Rng::new(seed, label);
            [r.next(), r.next(), r.below(10)]
        };
        assert_eq!(take(1, "a"), take(1, "a"));
        assert_ne!(take(1, "a"), take(2, "a"));
        assert_ne!(take(1, "a"), take(1, "b"));
        assert_eq!(Rng::new(1, "a").below(0), 0);
    }
}
