//! Changes of RIPAS in two pages that belong to the soak, and accesses of random form.

use realm_guest_kit::memory::{self, set_ripas};
use realm_guest_kit::rsi::{self, Destroyed};
use realm_payload::command::{Load, Size};
use realm_payload::{Random, SCRATCH_PAGES};
use rmm_abi::GRANULE_SIZE;
use rmm_abi::rmi::Ripas;

use super::succeeds;
use crate::access;
use crate::calls::{Mismatch, expect};
use crate::entry::conduit;

const PAGE: u64 = GRANULE_SIZE as u64;
/// Pages whose RIPAS changes: the last ones of the scratch area.
const PAGES: usize = 2;

/// The page that stays RAM, though it is asked for again and again.
pub(super) const fn steady_page(scratch: u64) -> u64 {
    scratch + PAGE
}

/// The pages whose RIPAS changes, and what it is.
pub(super) struct Pages {
    base: u64,
    ripas: [Ripas; PAGES],
}

impl Pages {
    /// The pages as they are.
    pub(super) fn new(scratch: u64) -> Result<Self, rsi::Error> {
        let mut pages = Self {
            base: scratch + (SCRATCH_PAGES - PAGES) as u64 * PAGE,
            ripas: [Ripas::Ram; PAGES],
        };
        for number in 0..PAGES {
            let address = pages.address(number);
            let range = rsi::ipa_state_get(&conduit(), address, address + PAGE)?;
            pages.ripas[number] = range.ripas;
        }
        Ok(pages)
    }

    fn address(&self, number: usize) -> u64 {
        self.base + number as u64 * PAGE
    }

    /// Changes some, or looks at all.
    pub(super) fn step(&mut self, random: &mut Random) -> Result<(), Mismatch> {
        match random.below(3) {
            0 => self.check(),
            1 => self.change(random),
            _ => self.use_ram(random),
        }
    }

    fn check(&self) -> Result<(), Mismatch> {
        let top = self.address(PAGES);
        let mut next = self.base;
        for range in memory::ripas_ranges(&conduit(), self.base, top) {
            let range = succeeds(0, range)?;
            expect(1, next, range.base)?;
            next = range.top;
            for (number, ripas) in self.ripas.iter().enumerate() {
                if (range.base..range.top).contains(&self.address(number)) {
                    expect(2, *ripas as u64, range.ripas as u64)?;
                }
            }
        }
        expect(3, top, next)
    }

    fn change(&mut self, random: &mut Random) -> Result<(), Mismatch> {
        let (first, end) = match random.below(3) {
            0 => (0, 1),
            1 => (1, 2),
            _ => (0, PAGES),
        };
        let ripas = if random.below(2) == 0 {
            Ripas::Empty
        } else {
            Ripas::Ram
        };
        let (base, top) = (self.address(first), self.address(end));
        let changed = match set_ripas(&conduit(), base, top, ripas, Destroyed::Change) {
            Ok(()) => top,
            Err(memory::Error::Rejected(address)) if ripas == Ripas::Ram => address,
            Err(_) => return succeeds(4, Err(())),
        };
        for number in first..end {
            if self.address(number) < changed {
                self.ripas[number] = ripas;
            }
        }
        self.check()
    }

    /// Writes to a page that is RAM, and reads it back.
    fn use_ram(&self, random: &mut Random) -> Result<(), Mismatch> {
        let number = usize::from(random.below(2) == 1);
        if self.ripas[number] != Ripas::Ram {
            return Ok(());
        }
        let load = random_load(random, self.address(number));
        let value = random.word();
        access::store(load.address, load.size, value);
        expect(5, load.extend(value), access::load(&load))
    }
}

/// A load of random form somewhere in a page.
pub(super) fn random_load(random: &mut Random, page: u64) -> Load {
    loop {
        let size = match random.below(4) {
            0 => Size::Byte,
            1 => Size::Halfword,
            2 => Size::Word,
            _ => Size::Doubleword,
        };
        let load = Load {
            address: page + random.below(PAGE / size as u64) * size as u64,
            size,
            sign_extend: random.below(2) == 0,
            wide: random.below(2) == 0,
        };
        // More than half of the forms exist.
        if load.exists() {
            return load;
        }
    }
}
