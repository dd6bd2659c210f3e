//! Realms for the tests: built step by step, taken down completely.

mod build;
mod call;
pub(crate) mod command;
mod exit;
pub(crate) mod lr;
mod run_page;
mod running;
mod serve;
mod specimens;
mod tear_down;
pub(crate) mod token;
mod vcpu;

pub(crate) use build::{EntryState, NO_ENTRY, has_16_bit_vmids, unused_vmid};
pub(crate) use call::{Results, Unused};
pub(crate) use command::{Command, Exception, Replied, Reply, Timer};
pub(crate) use exit::{Exit, Report, Surroundings, esr, hpfar};
pub(crate) use run_page::RunPage;
pub(crate) use running::{IMAGE, NO_RAM, Options, RAM_END, RunningRealm, SPARE};
pub(crate) use specimens::{Kind, Specimens};
pub(crate) use tear_down::give_back;
pub(crate) use vcpu::{Vcpu, needs_nothing, reply_in};

use core::sync::atomic::AtomicI64;

use arrayvec::ArrayVec;
use rmm_abi::rmi::{MAX_REC_AUX, RealmParams, RecParams, realm_flags};
use zerocopy::IntoBytes;

use crate::memory::GRANULE;
use crate::outcome::Outcome;
use crate::suite::{Host, expect};

/// Level of the entries that translate single pages.
pub(crate) const PAGE_LEVEL: i8 = 3;

/// Bytes that an entry of a level translates.
pub(crate) const fn entry_size(level: i8) -> u64 {
    1 << (12 + 9 * (PAGE_LEVEL - level).unsigned_abs())
}

/// What an entry of level 2 translates.
pub(crate) const TWO_MEGABYTES: u64 = entry_size(2);
/// What an entry of level 1 translates.
pub(crate) const GIGABYTE: u64 = entry_size(1);
/// What an entry of level 0 translates.
pub(crate) const HALF_TERABYTE: u64 = entry_size(0);

/// Shape of an IPA space.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Shape {
    /// Bits of an address.
    pub(crate) width: u8,
    /// Start level.
    pub(crate) level: i8,
    /// Start tables.
    pub(crate) tables: u32,
    /// With 52-bit addresses.
    pub(crate) lpa2: bool,
}

impl Shape {
    /// A space with four levels, so that a walk may end at each of them.
    pub(crate) const DEEP: Self = Self::new(42, 0, 1);
    /// A space as hosts usually choose it: two tables side by side.
    pub(crate) const USUAL: Self = Self::new(40, 1, 2);

    /// Without 52-bit addresses.
    pub(crate) const fn new(width: u8, level: i8, tables: u32) -> Self {
        Self {
            width,
            level,
            tables,
            lpa2: false,
        }
    }

    /// First unprotected address.
    pub(crate) const fn half(self) -> u64 {
        1 << (self.width - 1)
    }

    /// First address behind the space.
    pub(crate) const fn end(self) -> u64 {
        1 << self.width
    }

    /// Parameters of a Realm of this shape without anything special.
    pub(crate) fn params(self, tables: u64, vmid: u16) -> RealmParams {
        let mut params = RealmParams::default();
        params.flags = if self.lpa2 { realm_flags::LPA2 } else { 0 };
        params.s2sz = self.width;
        params.num_bps = 1;
        params.num_wps = 1;
        params.vmid = vmid;
        params.rtt_base = tables;
        params.rtt_level_start = self.level.into();
        params.rtt_num_start = self.tables;
        params
    }
}

/// Most RECs that a Realm of the tests keeps.
pub(crate) const MOST_RECS: usize = 8;

/// A REC and its auxiliary granules.
#[derive(Clone, Debug)]
pub(crate) struct Rec {
    pub(crate) address: u64,
    pub(crate) aux: ArrayVec<u64, MAX_REC_AUX>,
}

impl Rec {
    /// Parameters of this REC.
    pub(crate) fn params(&self, mpidr: u64, flags: u64) -> RecParams {
        let mut params = RecParams::default();
        params.flags = flags;
        params.mpidr = mpidr;
        params.num_aux = self.aux.len() as u64;
        params.aux[..self.aux.len()].copy_from_slice(&self.aux);
        params
    }
}

/// A Realm.
pub(crate) struct Realm<'h> {
    host: &'h Host,
    /// Its descriptor.
    pub(crate) rd: u64,
    /// Its first start table.
    pub(crate) start_tables: u64,
    pub(crate) shape: Shape,
    pub(crate) vmid: u16,
    /// A page of the host for parameters and content.
    pub(crate) page: u64,
    recs: ArrayVec<Rec, MOST_RECS>,
    /// Tables below the start level and data granules that the Realm has.
    lent: AtomicI64,
}

/// Writes a structure into a page of the host.
pub(crate) fn write_page(page: u64, content: &(impl IntoBytes + zerocopy::Immutable)) -> Outcome {
    for (address, bytes) in (page..).step_by(8).zip(content.as_bytes().as_chunks().0) {
        expect::write(address, u64::from_le_bytes(*bytes))?;
    }
    Ok(())
}

/// The address of number `index` of granules in a row.
pub(crate) const fn nth(first: u64, index: u64) -> u64 {
    first + index * GRANULE
}
