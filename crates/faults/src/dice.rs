//! Chance that a seed decides.

use tollgate_testkit::failure::draw;

/// Draws numbers; the same for the same seed.
#[derive(Debug, Clone)]
pub struct Dice(u64);

impl Dice {
    /// By a text.
    pub fn new(seed: &str) -> Self {
        // FNV-1a, whose result does not change with the compiler.
        let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        Self(seed.bytes().fold(0xcbf2_9ce4_8422_2325, step))
    }

    /// Others, which take nothing of these.
    pub fn another(&mut self) -> Self {
        Self(draw(&mut self.0))
    }

    /// A number below `bound`, which is at least 1.
    pub fn below(&mut self, bound: u64) -> u64 {
        draw(&mut self.0) % bound.max(1)
    }

    /// True in this part of all cases.
    #[expect(clippy::float_arithmetic, reason = "a part of one is a number between 0 and 1")]
    pub fn falls(&mut self, chance: f64) -> bool {
        const PARTS: u32 = 1_000_000;
        let drawn = u32::try_from(self.below(PARTS.into())).unwrap_or_default();
        f64::from(drawn) < chance * f64::from(PARTS)
    }

    /// Puts a list into another order.
    pub fn shuffle<T>(&mut self, list: &mut [T]) {
        for end in (1..list.len()).rev() {
            let bound = u64::try_from(end).unwrap_or(u64::MAX).saturating_add(1);
            list.swap(end, usize::try_from(self.below(bound)).unwrap_or_default());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_falls_the_same() {
        let run = |seed: &str| {
            let mut dice = Dice::new(seed);
            (0..64).map(|_| dice.falls(0.5)).collect::<Vec<_>>()
        };
        assert_eq!(run("7/r"), run("7/r"));
        assert_ne!(run("7/r"), run("8/r"));
    }

    #[test]
    fn the_part_is_the_chance() {
        let mut dice = Dice::new("1");
        let mut part = |chance| (0..10_000).filter(|_| dice.falls(chance)).count();
        assert_eq!((part(0.0), part(1.0)), (0, 10_000));
        assert!((900..1_100).contains(&part(0.1)));
    }
}
