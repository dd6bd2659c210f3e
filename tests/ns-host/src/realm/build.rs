//! From delegated granules to a Realm that could run.

use core::fmt;
use core::sync::atomic::{AtomicI64, AtomicU16, Ordering};

use arrayvec::ArrayVec;
use rmm_abi::rmi::{MAX_REC_AUX, REC_RUNNABLE, RealmParams, RecParams, Ripas, RttEntryState};

use super::{PAGE_LEVEL, Realm, Rec, Shape, entry_size, nth, write_page};
use crate::memory::GRANULE;
use crate::outcome::{Outcome, ensure, ensure_word, fail};
use crate::register;
use crate::rmi::{commands, must_delegate};
use crate::suite::Host;

/// A VMID that no Realm of this program has used for long.
pub(crate) fn unused_vmid() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(1);
    let vmid = NEXT.fetch_add(1, Ordering::Relaxed);
    if has_16_bit_vmids() {
        vmid
    } else {
        vmid & 0xff
    }
}

/// Whether VMIDs have 16 bits instead of 8.
pub(crate) fn has_16_bit_vmids() -> bool {
    register::read!("id_aa64mmfr1_el1") >> 4 & 0xf == 2
}

/// What `RMI_RTT_READ_ENTRY` says of an entry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct EntryState {
    pub(crate) level: i8,
    pub(crate) state: RttEntryState,
    pub(crate) descriptor: u64,
    pub(crate) ripas: Ripas,
}

/// An unprotected entry without memory; the base for other expectations.
pub(crate) const NO_ENTRY: EntryState = EntryState {
    level: PAGE_LEVEL,
    state: RttEntryState::Unassigned,
    descriptor: 0,
    ripas: Ripas::Empty,
};

impl EntryState {
    /// A protected entry without memory.
    pub(crate) const fn unassigned(level: i8, ripas: Ripas) -> Self {
        Self {
            level,
            ripas,
            ..NO_ENTRY
        }
    }

    /// A protected entry with memory.
    pub(crate) const fn assigned(level: i8, address: u64, ripas: Ripas) -> Self {
        Self {
            level,
            state: RttEntryState::Assigned,
            descriptor: address,
            ripas,
        }
    }

    /// An unprotected entry with memory of the host.
    pub(crate) const fn mapped(level: i8, descriptor: u64) -> Self {
        Self::assigned(level, descriptor, Ripas::Empty)
    }

    /// A further table.
    pub(crate) const fn table(level: i8, address: u64) -> Self {
        Self {
            state: RttEntryState::Table,
            ..Self::assigned(level, address, Ripas::Empty)
        }
    }

    const fn outputs(self) -> [u64; 4] {
        [
            (self.level as i64).cast_unsigned(),
            self.state as u64,
            self.descriptor,
            self.ripas as u64,
        ]
    }
}

impl fmt::Display for EntryState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:?} {:#x} {:?} at level {}",
            self.state, self.descriptor, self.ripas, self.level
        )
    }
}

impl<'h> Realm<'h> {
    /// A new Realm without anything special.
    pub(crate) fn new(host: &'h Host, shape: Shape) -> Outcome<Self> {
        Self::with(host, shape, |_| ())
    }

    /// A new Realm with parameters of the caller's.
    pub(crate) fn with(
        host: &'h Host,
        shape: Shape,
        change: impl FnOnce(&mut RealmParams),
    ) -> Outcome<Self> {
        let mut realm = Self::without_descriptor(host, shape)?;
        let mut params = realm.params();
        change(&mut params);
        realm.vmid = params.vmid;
        write_page(realm.page, &params)?;
        commands::realm_create(realm.rd, realm.page)?.done("REALM_CREATE")?;
        Ok(realm)
    }

    /// All that a Realm needs, before `RMI_REALM_CREATE`.
    pub(crate) fn without_descriptor(host: &'h Host, shape: Shape) -> Outcome<Self> {
        let count = u64::from(shape.tables);
        let start_tables = host.aligned_granules(count, count * GRANULE)?;
        for index in 0..count {
            must_delegate(nth(start_tables, index))?;
        }
        let rd = host.granule()?;
        must_delegate(rd)?;
        Ok(Self {
            host,
            rd,
            start_tables,
            shape,
            vmid: unused_vmid(),
            page: host.granule()?,
            recs: ArrayVec::new(),
            lent: AtomicI64::new(0),
        })
    }

    /// Its parameters, when nothing is special.
    pub(crate) fn params(&self) -> RealmParams {
        self.shape.params(self.start_tables, self.vmid)
    }

    /// A granule for it.
    pub(crate) fn granule(&self) -> Outcome<u64> {
        let granule = self.host.granule()?;
        must_delegate(granule)?;
        Ok(granule)
    }

    /// Granules that a test gave to it (positive) or took from it with commands of its own.
    pub(crate) fn lend(&self, count: i64) {
        self.lent.fetch_add(count, Ordering::Relaxed);
    }

    pub(super) fn lent(&self) -> i64 {
        self.lent.load(Ordering::Relaxed)
    }

    /// Adds a table.
    pub(crate) fn table(&self, ipa: u64, level: i8) -> Outcome<u64> {
        let table = self.granule()?;
        commands::rtt_create(self.rd, table, ipa, level)?
            .done(format_args!("RTT_CREATE of {ipa:#x} level {level}"))?;
        self.lend(1);
        Ok(table)
    }

    /// Adds the tables that are missing on the way to entries of a level.
    pub(crate) fn tables(&self, ipa: u64, level: i8) -> Outcome {
        for level in self.shape.level + 1..=level {
            let base = ipa & !(entry_size(level - 1) - 1);
            if self.entry(base, level - 1)?.state != RttEntryState::Table {
                self.table(base, level)?;
            }
        }
        Ok(())
    }

    /// Makes a range RAM.
    pub(crate) fn init_ripas(&self, base: u64, top: u64) -> Outcome {
        let mut next = base;
        while next < top {
            let [out_top, ..] = commands::init_ripas(self.rd, next, top)?
                .done(format_args!("INIT_RIPAS of {next:#x} to {top:#x}"))?;
            ensure!(
                out_top > next && out_top <= top,
                "INIT_RIPAS of {next:#x} to {top:#x} got to {out_top:#x}"
            );
            next = out_top;
        }
        Ok(())
    }

    /// Adds a page with the content of the Realm's page of the host.
    pub(crate) fn data(&self, ipa: u64, flags: u64) -> Outcome<u64> {
        let data = self.granule()?;
        commands::data_create(self.rd, data, ipa, self.page, flags)?
            .done(format_args!("DATA_CREATE of {ipa:#x}"))?;
        self.lend(1);
        Ok(data)
    }

    /// Adds a page without content.
    pub(crate) fn data_unknown(&self, ipa: u64) -> Outcome<u64> {
        let data = self.granule()?;
        self.data_unknown_in(data, ipa)?;
        Ok(data)
    }

    /// Adds a page without content in a delegated granule.
    pub(crate) fn data_unknown_in(&self, data: u64, ipa: u64) -> Outcome {
        commands::data_create_unknown(self.rd, data, ipa)?
            .done(format_args!("DATA_CREATE_UNKNOWN of {ipa:#x}"))?;
        self.lend(1);
        Ok(())
    }

    /// Number of auxiliary granules of a REC.
    pub(crate) fn aux_count(&self) -> Outcome<usize> {
        let [count, ..] = commands::rec_aux_count(self.rd)?.done("REC_AUX_COUNT")?;
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        ensure!(
            count <= MAX_REC_AUX,
            "REC_AUX_COUNT says {count}, more than {MAX_REC_AUX}"
        );
        Ok(count)
    }

    /// Granules for a REC.
    pub(crate) fn rec_memory(&self) -> Outcome<Rec> {
        let mut rec = Rec {
            address: self.granule()?,
            aux: ArrayVec::new(),
        };
        for _ in 0..self.aux_count()? {
            rec.aux.push(self.granule()?);
        }
        Ok(rec)
    }

    /// Adds the next REC, runnable.
    pub(crate) fn rec(&mut self) -> Outcome<u64> {
        self.rec_with(|params| params.flags = REC_RUNNABLE)
    }

    /// Adds the next REC with parameters of the caller's.
    pub(crate) fn rec_with(&mut self, change: impl FnOnce(&mut RecParams)) -> Outcome<u64> {
        let rec = self.rec_memory()?;
        let index = self.recs.len() as u64;
        let mut params = rec.params(index, 0);
        change(&mut params);
        write_page(self.page, &params)?;
        commands::rec_create(self.rd, rec.address, self.page)?
            .done(format_args!("REC_CREATE of number {index}"))?;
        let address = rec.address;
        ensure!(
            self.recs.try_push(rec).is_ok(),
            "a test wants more RECs than it can keep"
        );
        Ok(address)
    }

    /// RECs that it has.
    pub(crate) fn recs(&self) -> &[Rec] {
        &self.recs
    }

    /// Ends its building.
    pub(crate) fn activate(&self) -> Outcome {
        commands::realm_activate(self.rd)?
            .done("REALM_ACTIVATE")
            .map(|_| ())
    }

    /// What the entry of an address says, or the one where the walk ends before.
    pub(crate) fn entry(&self, ipa: u64, level: i8) -> Outcome<EntryState> {
        let [at, state, descriptor, ripas] = commands::read_entry(self.rd, ipa, level)?
            .done(format_args!("READ_ENTRY of {ipa:#x} level {level}"))?;
        let known_state = match state {
            0 => Some(RttEntryState::Unassigned),
            1 => Some(RttEntryState::Assigned),
            2 => Some(RttEntryState::Table),
            _ => None,
        };
        let known_ripas = match ripas {
            0 => Some(Ripas::Empty),
            1 => Some(Ripas::Ram),
            2 => Some(Ripas::Destroyed),
            _ => None,
        };
        let reached = i8::try_from(at.cast_signed());
        match (reached, known_state, known_ripas) {
            (Ok(reached), Some(state), Some(ripas))
                if (self.shape.level..=level).contains(&reached) =>
            {
                Ok(EntryState {
                    level: reached,
                    state,
                    descriptor,
                    ripas,
                })
            }
            _ => fail!(
                "READ_ENTRY of {ipa:#x} level {level} says level {at:#x}, state {state:#x}, descriptor {descriptor:#x}, RIPAS {ripas:#x}"
            ),
        }
    }

    /// The entry must be that.
    pub(crate) fn expect(&self, ipa: u64, level: i8, expected: EntryState) -> Outcome {
        let seen = self.entry(ipa, level)?;
        ensure!(
            seen.outputs() == expected.outputs(),
            "entry of {ipa:#x} for level {level}: expected {expected}, got {seen}"
        );
        Ok(())
    }

    /// `RMI_RTT_FOLD` must succeed and hand back that table.
    pub(crate) fn fold(&self, ipa: u64, level: i8, table: u64) -> Outcome {
        let [folded, ..] = commands::rtt_fold(self.rd, ipa, level)?
            .done(format_args!("RTT_FOLD of {ipa:#x} level {level}"))?;
        self.lend(-1);
        ensure_word!(folded, table, "table of RTT_FOLD");
        super::tear_down::give_back(folded)
    }
}
