//! Random numbers that can be had again (splitmix64).

/// A source of random numbers.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below a limit, which is not zero.
    pub(crate) const fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    /// True once in so many times.
    pub(crate) const fn one_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }

    /// One of several.
    pub(crate) fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        let index = self.below(choices.len() as u64);
        choices[usize::try_from(index).unwrap_or(0)]
    }

    /// A word as an attacker would choose it: small, aligned, at an edge, or anything.
    pub(crate) fn word(&mut self) -> u64 {
        match self.below(8) {
            0 => self.below(16),
            1 => self.below(1 << 16),
            2 => (1 << self.below(64)) - self.below(2),
            3 => u64::MAX - self.below(4096),
            4 => 0x8000_0000 + self.below(64) * 0x20_0000,
            5 => self.next() & !0xfff,
            6 => (0x4000_0000 + self.below(1 << 30)) & !0xfff,
            _ => self.next(),
        }
    }
}
