//! The page through which a REC is run: written whole, and checked to the last byte.

use core::fmt;

use rmm_abi::rmi::run::{RecEnter, RecExit};
use zerocopy::{FromZeros, IntoBytes};

use crate::memory::GRANULE;
use crate::outcome::{Outcome, ensure, fail};
use crate::rmi::Reply;
use crate::rmi::commands;
use crate::suite::{Host, expect};

/// Bytes of each half.
const HALF: u64 = GRANULE / 2;

/// A page of the host for one REC.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct RunPage {
    address: u64,
}

/// What was in the lower half when a test left it to somebody else.
fn poison(index: u64) -> u64 {
    0xa5a5_0000_5a5a_0000 | index << 32 | index
}

fn words(bytes: &[u8]) -> impl Iterator<Item = u64> + '_ {
    bytes
        .as_chunks()
        .0
        .iter()
        .map(|bytes| u64::from_le_bytes(*bytes))
}

impl RunPage {
    /// In a granule that no test has had.
    pub(crate) fn new(host: &Host) -> Outcome<Self> {
        Ok(Self::at(host.granule()?))
    }

    /// In a granule that the test has.
    pub(crate) const fn at(address: u64) -> Self {
        Self { address }
    }

    /// Physical address.
    pub(crate) const fn address(self) -> u64 {
        self.address
    }

    /// Says what the RMM shall do, and fills the half that it writes with something else.
    pub(crate) fn write(self, enter: &RecEnter) -> Outcome {
        for (address, word) in (self.address..).step_by(8).zip(words(enter.as_bytes())) {
            expect::write(address, word)?;
        }
        for index in 0..HALF / 8 {
            expect::write(self.address + HALF + 8 * index, poison(index))?;
        }
        Ok(())
    }

    /// What the RMM says.
    pub(crate) fn read(self) -> Outcome<RecExit> {
        let mut exit = RecExit::new_zeroed();
        let chunks = exit.as_mut_bytes().as_chunks_mut().0;
        for (address, bytes) in (self.address + HALF..).step_by(8).zip(chunks) {
            *bytes = expect::read(address)?.to_le_bytes();
        }
        Ok(exit)
    }

    /// The host's half must be as the host wrote it.
    pub(crate) fn enter_is_kept(self, enter: &RecEnter) -> Outcome {
        for (address, word) in (self.address..).step_by(8).zip(words(enter.as_bytes())) {
            let seen = expect::read(address)?;
            ensure!(
                seen == word,
                "REC_ENTER changed the host's half of the run page at {:#x} from {word:#x} to {seen:#x}",
                address - self.address
            );
        }
        Ok(())
    }

    /// The RMM must have written nothing.
    pub(crate) fn exit_is_untouched(self) -> Outcome {
        for index in 0..HALF / 8 {
            let seen = expect::read(self.address + HALF + 8 * index)?;
            ensure!(
                seen == poison(index),
                "a refused REC_ENTER wrote {seen:#x} into the run page at {:#x}",
                HALF + 8 * index
            );
        }
        Ok(())
    }

    /// `RMI_REC_ENTER` with this page.
    pub(crate) fn enter(self, rec: u64) -> Outcome<Reply> {
        commands::rec_enter(rec, self.address)
    }
}

/// The halves must be equal in every byte.
pub(crate) fn same(what: impl fmt::Display, seen: &RecExit, expected: &RecExit) -> Outcome {
    let pairs = seen.as_bytes().iter().zip(expected.as_bytes());
    for (offset, (seen, expected)) in pairs.enumerate() {
        if seen != expected {
            return fail!(
                "{what}: byte {offset:#x} of the exit half is {seen:#x} instead of {expected:#x}"
            );
        }
    }
    Ok(())
}
