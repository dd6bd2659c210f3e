//! Identifiers of Realms in the TLBs.

use alloc::vec::Vec;

/// Identifiers that 16 bits can say.
const ALL: usize = 1 << 16;

/// Which identifiers are in use. The lowest free one is taken, so that machines with 8 bits of them
/// serve as long as there are no more than 255 Realms; nothing tells a host how many bits there are.
/// Zero is never taken.
#[derive(Debug, Default)]
pub struct Vmids {
    /// A bit for each, as far as they have been in use.
    used: Vec<u64>,
}

impl Vmids {
    /// None in use.
    pub const fn new() -> Self {
        Self { used: Vec::new() }
    }

    /// Takes an identifier; `None` when there is none, or no memory to note it.
    pub fn take(&mut self) -> Option<u16> {
        if self.used.is_empty() {
            self.used.try_reserve(1).ok()?;
            self.used.push(1);
        }
        if let Some((index, word)) = (self.used.iter_mut().enumerate()).find(|(_, w)| **w != !0) {
            let bit = word.trailing_ones();
            *word |= 1 << bit;
            return u16::try_from(index * 64 + bit as usize).ok();
        }
        if self.used.len() * 64 >= ALL {
            return None;
        }
        self.used.try_reserve(1).ok()?;
        self.used.push(1);
        u16::try_from((self.used.len() - 1) * 64).ok()
    }

    /// Gives an identifier back.
    pub fn release(&mut self, vmid: u16) {
        if vmid != 0
            && let Some(word) = self.used.get_mut(usize::from(vmid) / 64)
        {
            *word &= !(1 << (vmid % 64));
        }
    }

    /// How many are in use, which is how many Realms there are.
    pub fn in_use(&self) -> u64 {
        let bits: u64 = self
            .used
            .iter()
            .map(|word| u64::from(word.count_ones()))
            .sum();
        bits.saturating_sub(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lowest_free_one_and_never_zero() {
        let mut vmids = Vmids::default();
        assert_eq!((vmids.take(), vmids.take()), (Some(1), Some(2)));
        vmids.release(1);
        vmids.release(0);
        assert_eq!((vmids.take(), vmids.take()), (Some(1), Some(3)));
        assert_eq!(vmids.in_use(), 3);
    }

    #[test]
    fn all_of_them() {
        let mut vmids = Vmids::default();
        for expected in 1..=u16::MAX {
            assert_eq!(vmids.take(), Some(expected));
        }
        assert_eq!(vmids.take(), None);
        vmids.release(40_000);
        assert_eq!(vmids.take(), Some(40_000));
    }
}
