//! Memory as a sequence of granules, one call after the other.

use crate::{Command, Granule, Owner};

/// Bytes of a granule.
pub const GRANULE_SIZE: u64 = 0x1000;

/// A contiguous range of granules. Everything around it is [`Owner::OutsideDram`].
#[derive(Debug)]
pub struct Model<'a> {
    base: u64,
    granules: &'a mut [Granule],
}

impl<'a> Model<'a> {
    /// The granules from physical address `base` on; `base` is rounded down to a granule.
    pub fn new(base: u64, granules: &'a mut [Granule]) -> Self {
        Self {
            base: base & !(GRANULE_SIZE - 1),
            granules,
        }
    }

    /// The granule that holds `address`.
    pub fn granule(&self, address: u64) -> Granule {
        self.index(address)
            .and_then(|index| self.granules.get(index))
            .copied()
            .unwrap_or(Granule::Fixed(Owner::OutsideDram))
    }

    /// The word that the command must return now.
    pub fn predict(&self, command: Command, address: u64) -> u64 {
        self.outcome(command, address).0
    }

    /// The word that the command must return, after which the model is in the state after it.
    pub fn apply(&mut self, command: Command, address: u64) -> u64 {
        let (word, after) = self.outcome(command, address);
        if let Some(granule) = self
            .index(address)
            .and_then(|index| self.granules.get_mut(index))
        {
            *granule = after;
        }
        word
    }

    fn outcome(&self, command: Command, address: u64) -> (u64, Granule) {
        let granule = self.granule(address);
        if address.is_multiple_of(GRANULE_SIZE) {
            granule.apply(command)
        } else {
            (rmm_abi::rmi::ReturnCode::ERROR_INPUT.word(), granule)
        }
    }

    fn index(&self, address: u64) -> Option<usize> {
        usize::try_from(address.checked_sub(self.base)? / GRANULE_SIZE).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: u64 = 0x4000_0000;

    #[test]
    fn a_granule_goes_there_and_back() {
        let mut granules = [Granule::Undelegated; 2];
        let mut model = Model::new(BASE, &mut granules);
        assert_eq!(model.apply(Command::Undelegate, BASE), 1);
        assert_eq!(model.predict(Command::Delegate, BASE), 0);
        assert_eq!(model.granule(BASE), Granule::Undelegated);
        assert_eq!(model.apply(Command::Delegate, BASE), 0);
        assert_eq!(model.granule(BASE + 0xfff), Granule::Delegated);
        assert_eq!(model.granule(BASE + 0x1000), Granule::Undelegated);
        assert_eq!(model.apply(Command::Delegate, BASE), 1);
        assert_eq!(model.apply(Command::Undelegate, BASE), 0);
        assert_eq!(model.apply(Command::Undelegate, BASE), 1);
    }

    #[test]
    fn an_unaligned_address_changes_nothing() {
        let mut granules = [Granule::Undelegated, Granule::Delegated];
        let mut model = Model::new(BASE, &mut granules);
        for bit in 0..12 {
            for command in [Command::Delegate, Command::Undelegate] {
                assert_eq!(model.apply(command, BASE | 1 << bit), 1);
                assert_eq!(model.apply(command, BASE + 0x1000 + (1 << bit)), 1);
            }
        }
        assert_eq!(granules, [Granule::Undelegated, Granule::Delegated]);
    }

    #[test]
    fn addresses_outside_are_refused() {
        let mut granules = [Granule::Undelegated];
        let mut model = Model::new(BASE, &mut granules);
        for address in [
            0,
            BASE - 0x1000,
            BASE + 0x1000,
            BASE | 1 << 48,
            1 << 52,
            u64::MAX,
            u64::MAX << 12,
        ] {
            assert_eq!(model.granule(address), Granule::Fixed(Owner::OutsideDram));
            assert_eq!(model.apply(Command::Delegate, address), 1);
            assert_eq!(model.apply(Command::Undelegate, address), 1);
        }
        assert_eq!(granules, [Granule::Undelegated]);
    }
}
