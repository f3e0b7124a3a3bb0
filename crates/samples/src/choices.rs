//! Choices that a seed decides.

use tollgate_core::id::hex_sha256;

/// A small generator (SplitMix64, <https://prng.di.unimi.it/splitmix64.c>): the same seed makes the same choices.
#[derive(Debug, Clone)]
pub struct Choices(u64);

impl Choices {
    /// The choices of `seed`.
    pub fn new(seed: &str) -> Self {
        let hex = hex_sha256(seed.as_bytes());
        Self(hex.get(..16).and_then(|hex| u64::from_str_radix(hex, 16).ok()).unwrap_or_default())
    }

    /// Any number. Not `next`: it is no iterator, it never ends.
    pub fn any(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// From 0 to below `bound`; 0 where `bound` is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.any() % bound.max(1)
    }

    /// One of `from`; `None` where there is none.
    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> Option<&'a T> {
        let index = self.below(from.len() as u64);
        from.get(usize::try_from(index).ok()?)
    }
}
