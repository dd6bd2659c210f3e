//! Repeatable random numbers (xorshift64*).

/// A generator.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// The sequence that belongs to `seed`.
    pub const fn new(seed: u64) -> Self {
        // Zero is the one state that the generator never leaves.
        Self(seed ^ 0x6a09_e667_f3bc_c908 | 1 << 63)
    }

    /// Any 64 bits.
    pub const fn word(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number below `bound`, and zero when `bound` is zero.
    pub const fn below(&mut self, bound: u64) -> u64 {
        // The low half of the words is weaker than the high half, which this product uses.
        ((self.word() as u128 * bound as u128) >> 64) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequences_repeat_and_differ_by_seed() {
        let words = |seed| {
            let mut random = Random::new(seed);
            [(); 8].map(|()| random.word())
        };
        assert_eq!(words(1), words(1));
        assert_ne!(words(1), words(2));
        assert_ne!(words(0)[0], words(0)[1]);
    }

    #[test]
    fn numbers_stay_below_their_bound_and_reach_all_of_it() {
        let mut random = Random::new(0);
        let mut seen = [false; 7];
        for _ in 0..1000 {
            seen[usize::try_from(random.below(7)).unwrap()] = true;
        }
        assert_eq!(seen, [true; 7]);
        assert_eq!(random.below(0), 0);
    }
}
