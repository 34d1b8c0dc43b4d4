//! Pseudo-random numbers that a seed repeats on every machine and with every version of kiln.

use std::hash::{BuildHasher, RandomState};

/// `SplitMix64` (Steele, Lea and Flood, 2014): small, and good enough for orders and resamples. Not for secrets.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// A sequence for a seed and the number of a stream, so that one seed has many independent sequences.
    pub fn new(seed: u64, stream: u64) -> Self {
        let mut random = Self(seed);
        let mixed = random.next_u64();
        Self(mixed ^ stream.wrapping_mul(0xD6E8_FEB8_6659_FD93))
    }

    /// A seed that is another one at each call.
    pub fn fresh_seed() -> u64 {
        // Short enough to be typed, and a number that JSON has exactly.
        RandomState::new().hash_one("a fresh random key makes this a random number") >> 32
    }

    /// The next number.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`, which is at least 1.
    pub fn below(&mut self, bound: usize) -> usize {
        // The product has the number in its upper half (Lemire, 2019); the bias is below 2^-32 for the bounds here.
        let product = u128::from(self.next_u64()) * bound as u128;
        (product >> 64) as usize
    }

    /// Puts items into a random order: each order is equally likely (Fisher and Yates).
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sequence_is_that_of_the_paper() {
        // The reference implementation (prng.di.unimi.it/splitmix64.c) with the state 1234567.
        let mut random = Random(1_234_567);
        let numbers = [(); 3].map(|()| random.next_u64());
        assert_eq!(
            numbers,
            [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]
        );
    }

    #[test]
    fn orders_are_repeated_by_a_seed_and_all_of_them_occur() {
        let order = |seed, stream| {
            let mut items = [0, 1, 2];
            Random::new(seed, stream).shuffle(&mut items);
            items
        };
        assert_eq!(order(5, 1), order(5, 1));
        let all: std::collections::BTreeSet<_> = (0..100).map(|stream| order(5, stream)).collect();
        assert_eq!(all.len(), 6);
    }

    #[test]
    fn numbers_stay_below_their_bound_and_reach_all_of_it() {
        let mut random = Random::new(0, 0);
        let mut seen = [false; 7];
        (0..1000).for_each(|_| seen[random.below(7)] = true);
        assert!(seen.iter().all(|seen| *seen));
        assert_eq!(random.below(1), 0);
    }
}
