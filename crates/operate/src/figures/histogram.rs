//! Durations in buckets. Buckets of several times and sources add up, which percentiles do not.

use serde::Serialize;

/// The upper bounds of the buckets, in milliseconds, each included; the last bucket has none.
pub const BOUNDS: [u64; 31] = [
    1, 2, 3, 5, 7, 10, 20, 30, 50, 70, 100, 200, 300, 500, 700, 1_000, 2_000, 3_000, 5_000, 7_000, 10_000,
    20_000, 30_000, 50_000, 70_000, 100_000, 200_000, 300_000, 500_000, 700_000, 1_000_000,
];
/// Buckets.
pub(super) const BUCKETS: usize = BOUNDS.len() + 1;

/// So many durations in each bucket of [`BOUNDS`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Histogram {
    counts: Vec<u64>,
    max: Option<u64>,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { counts: vec![0; BUCKETS], max: None }
    }
}

impl Histogram {
    /// Of each bucket how many, in the order of [`BOUNDS`] and then those above all bounds.
    pub fn counts(&self) -> &[u64] {
        &self.counts
    }

    /// How many.
    pub fn count(&self) -> u64 {
        self.counts.iter().fold(0, |sum, count| sum.saturating_add(*count))
    }

    /// The longest.
    pub fn max(&self) -> Option<u64> {
        self.max
    }

    /// The duration that so many of a thousand took at most, in milliseconds: what is within a bucket is taken as evenly spread.
    pub fn quantile(&self, of_thousand: u64) -> Option<u64> {
        let (count, max) = (self.count(), self.max?);
        let rank = part(count, of_thousand, 1_000).clamp(1, count.max(1));
        let mut before = 0_u64;
        for (bucket, in_it) in self.counts.iter().enumerate() {
            if *in_it > 0 && before + in_it >= rank {
                let lower = bucket.checked_sub(1).and_then(|below| BOUNDS.get(below)).copied().unwrap_or(0);
                let upper = BOUNDS.get(bucket).copied().unwrap_or(max).min(max).max(lower);
                return Some(lower + part(upper - lower, rank - before, *in_it));
            }
            before += in_it;
        }
        None
    }

    /// Adds a duration that so many took.
    pub(super) fn add(&mut self, milliseconds: u64, count: u64) {
        if count > 0 {
            self.add_to(bucket_of(milliseconds), count);
            self.max = self.max.max(Some(milliseconds));
        }
    }

    /// Adds what a source has counted in a bucket by itself.
    pub(super) fn add_to(&mut self, bucket: usize, count: u64) {
        if let Some(one) = self.counts.get_mut(bucket) {
            *one = one.saturating_add(count);
        }
    }

    /// The longest is at least so long.
    pub(super) fn at_least(&mut self, milliseconds: u64) {
        self.max = self.max.max(Some(milliseconds));
    }
}

/// `number * of / all`, rounded up.
fn part(number: u64, of: u64, all: u64) -> u64 {
    let part = (u128::from(number) * u128::from(of)).div_ceil(u128::from(all.max(1)));
    u64::try_from(part).unwrap_or(u64::MAX)
}

fn bucket_of(milliseconds: u64) -> usize {
    BOUNDS.partition_point(|bound| *bound < milliseconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_is_in_the_bucket_that_it_ends() {
        for (milliseconds, bucket) in
            [(0, 0), (1, 0), (2, 1), (3, 2), (4, 3), (1_000_000, 30), (1_000_001, 31)]
        {
            assert_eq!(bucket_of(milliseconds), bucket, "{milliseconds}");
        }
        assert!(BOUNDS.is_sorted());
    }

    #[test]
    fn a_quantile_is_within_its_bucket_and_never_above_the_longest() {
        let mut histogram = Histogram::default();
        assert_eq!((histogram.quantile(500), histogram.max()), (None, None));
        for milliseconds in 1..=1_000 {
            histogram.add(milliseconds, 1);
        }
        assert_eq!(histogram.count(), 1_000);
        for (share, exact) in [(500, 500), (900, 900), (990, 990), (1_000, 1_000), (0, 1)] {
            let found = histogram.quantile(share).unwrap();
            assert!(found.abs_diff(exact) <= 1, "{share}: {found}");
        }
        histogram.add(3_000_000, 1);
        assert_eq!(histogram.quantile(1_000), Some(3_000_000));
        let mut one = Histogram::default();
        one.add(12, 5);
        assert_eq!(one.quantile(500), Some(12));
        assert_eq!((one.quantile(1_000), one.max()), (Some(12), Some(12)));
    }
}
