//! Chance that repeats: replays differ from each other, and are the same for the same input.

/// `SplitMix64`. Source: Steele, Lea and Flood, "Fast splittable pseudorandom number generators"
/// (2014).
#[derive(Debug, Clone)]
pub(crate) struct Rng(u64);

impl Rng {
    /// A source of chance from a seed.
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`, which is above 0 and below 2³².
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        let number = ((self.next() >> 32) * bound as u64) >> 32;
        usize::try_from(number).unwrap_or(usize::MAX)
    }
}
