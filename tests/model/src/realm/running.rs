//! RECs run. The model says when one may; what its Realm then does, whoever plays the Realm says.

use rmm_abi::rmi::ReturnCode;
use rmm_abi::smc::psci;

use super::failures::Cause::{self, Input, RecGranule};
use super::failures::{Failures, Prediction};
use super::parameters::Page;
use super::shape::entry_size;
use super::token::Token;
use super::tree::{ENTRIES, Entry, Ripas};
use super::world::{HostMemory, Rec, RipasRequest, World};
use crate::Granule;

const EMULATED_MMIO: u64 = 1 << 0;
const INJECT_SEA: u64 = 1 << 1;
/// Bits of `ICH_HCR_EL2` that are the host's: 1 to 7, and TDIR.
const GIC_CONTROL: u64 = 0x40fe;

/// What the host may do about the access that a REC exited for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum LastAccess {
    /// Nothing: it exited for something else, or for memory that is its own.
    #[default]
    Closed,
    /// To refuse it.
    Refusable,
    /// To refuse it, or to emulate it.
    Emulatable,
}

/// A call of PSCI that waits for `RMI_PSCI_COMPLETE`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PsciCall {
    /// `CPU_ON` of the REC with an index.
    CpuOn(u64),
    /// `AFFINITY_INFO` of the REC with an index.
    AffinityInfo(u64),
}

impl World {
    pub(super) fn rec_enter(
        &mut self,
        [rec, run]: [u64; 2],
        x4: u64,
        host: &dyn HostMemory,
    ) -> Prediction {
        let mut failures = Failures::default();
        failures.input(self.not_the_hosts(run), Input);
        failures.input(!self.is(rec, Granule::Rec), RecGranule);
        if !failures.is_empty() {
            return failures.prediction(x4);
        }
        let page = Page(host.read(run));
        let has = |flag| page.u64(0) & flag != 0;
        let context = &self.recs[&rec];
        let realm = &self.realms[&context.owner];
        failures.add(!realm.active, Cause::Realm, ReturnCode::ERROR_REALM);
        let is_off = ReturnCode {
            index: 1,
            ..ReturnCode::ERROR_REALM
        };
        failures.add(realm.off, Cause::Realm, is_off);
        let wrong_emulation =
            has(EMULATED_MMIO) && !has(INJECT_SEA) && context.last_access != LastAccess::Emulatable;
        let closed = !context.runnable
            || context.psci_call.is_some()
            || wrong_emulation
            || !self.accepts_gic(&page);
        failures.add(closed, Cause::Rec, ReturnCode::ERROR_REC);
        if !failures.is_empty() {
            return failures.prediction(x4);
        }
        let context = self.recs.get_mut(&rec).expect("checked");
        context.last_access = LastAccess::Closed;
        context.request = RipasRequest::default();
        Prediction::success([0; 3], x4)
    }

    /// Whether the host may have the GIC registers of a run page, on a machine with five bits of
    /// priority and sixteen of identifier.
    fn accepts_gic(&self, page: &Page) -> bool {
        let count = usize::from(self.limits.features.gic_list_registers) + 1;
        let in_use: Vec<u64> = (0..count)
            .map(|number| page.u64(0x308 + 8 * number))
            .filter(|register| register >> 62 != 0)
            .collect();
        let identifier = |register: u64| register & 0xffff_ffff;
        let is_valid = |register: u64| {
            let others = register & !(0xc000_0200_ffff_ffff | 1 << 60 | 0xf8 << 48);
            // What the specification says nothing about between priority and state is let through.
            let unspecified = 0x1f << 56 | 0x7 << 45;
            others & !unspecified == 0
                && (identifier(register) < 1020 || (8192..1 << 16).contains(&identifier(register)))
        };
        let mut identifiers: Vec<u64> = in_use.iter().map(|&r| identifier(r)).collect();
        identifiers.sort_unstable();
        identifiers.dedup();
        page.u64(0x300) & !GIC_CONTROL == 0
            && in_use.iter().all(|&register| is_valid(register))
            && identifiers.len() == in_use.len()
    }

    pub(super) fn psci_complete(
        &mut self,
        [calling, target, status]: [u64; 3],
        x4: u64,
    ) -> Prediction {
        let mut failures = Failures::default();
        failures.input(calling == target, Input);
        failures.input(!self.is(calling, Granule::Rec), Input);
        failures.input(!self.is(target, Granule::Rec), Input);
        if !failures.is_empty() {
            return failures.prediction(x4);
        }
        let caller = &self.recs[&calling];
        let named = &self.recs[&target];
        failures.input(named.owner != caller.owner, Input);
        let (index, is_switch_on) = match caller.psci_call {
            None => (None, false),
            Some(PsciCall::CpuOn(index)) => (Some(index), true),
            Some(PsciCall::AffinityInfo(index)) => (Some(index), false),
        };
        failures.input(index != Some(named.index), Input);
        let permitted = match status.cast_signed() {
            psci::SUCCESS => true,
            psci::DENIED => is_switch_on && !named.runnable,
            _ => false,
        };
        failures.input(!permitted, Input);
        if !failures.is_empty() {
            return failures.prediction(x4);
        }
        if is_switch_on && status.cast_signed() == psci::SUCCESS {
            self.recs.get_mut(&target).expect("checked").runnable = true;
        }
        self.recs.get_mut(&calling).expect("checked").psci_call = None;
        Prediction::success([0; 3], x4)
    }

    /// A REC has exited for an access.
    pub fn note_access(&mut self, rec: u64, access: LastAccess) {
        if let Some(rec) = self.recs.get_mut(&rec) {
            rec.last_access = access;
        }
    }

    /// A REC has exited for a call of PSCI that the host must complete.
    pub fn note_psci_call(&mut self, rec: u64, call: PsciCall) {
        if let Some(rec) = self.recs.get_mut(&rec) {
            rec.psci_call = Some(call);
        }
    }

    /// A REC has switched itself off.
    pub fn note_cpu_off(&mut self, rec: u64) {
        if let Some(rec) = self.recs.get_mut(&rec) {
            rec.runnable = false;
            rec.token = Token::None;
        }
    }

    /// The Realm of a REC has switched itself off.
    pub fn note_system_off(&mut self, rec: u64) {
        let owner = self.recs.get(&rec).map(|rec| rec.owner);
        if let Some(realm) = owner.and_then(|owner| self.realms.get_mut(&owner)) {
            realm.off = true;
        }
    }
}

/// What comes of an access of a Realm.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reach {
    /// It takes place, at a physical address of the Realm's or the host's.
    Memory(u64),
    /// The Realm takes an external abort.
    ExternalAbort,
    /// The Realm takes an address size fault.
    AddressSizeFault,
    /// The REC exits, and the host is to provide the page.
    Missing,
    /// The REC exits, and the host may emulate the access.
    Emulated,
}

impl World {
    /// What comes of a load of eight bytes at an IPA, or of a fetch.
    ///
    /// # Panics
    ///
    /// When there is no Realm.
    pub fn reach(&self, rd: u64, ipa: u64, is_fetch: bool) -> Reach {
        let shape = &self.realms[&rd].shape;
        if !shape.contains(ipa) {
            return Reach::AddressSizeFault;
        }
        let readable = |descriptor: u64| descriptor & 1 << 6 != 0;
        let walk = self.walk(shape, ipa, 3);
        let offset = ipa % entry_size(walk.level);
        match walk.entry {
            Entry::Assigned(address, Ripas::Ram) => Reach::Memory(address + offset),
            Entry::Assigned(_, Ripas::Empty) | Entry::Unassigned(Ripas::Empty) => {
                Reach::ExternalAbort
            }
            Entry::Assigned(..) | Entry::Unassigned(_) => Reach::Missing,
            Entry::UnassignedNs | Entry::AssignedNs(_) if is_fetch => Reach::ExternalAbort,
            Entry::AssignedNs(descriptor) if readable(descriptor) => {
                Reach::Memory((descriptor & 0xffff_ffff_f000) + offset)
            }
            Entry::UnassignedNs | Entry::AssignedNs(_) => Reach::Emulated,
            Entry::Table(_) => unreachable!("a walk to the pages ends at no table"),
        }
    }

    /// RIPAS at a protected IPA, and how far it is the same in the table where the walk ends.
    ///
    /// # Panics
    ///
    /// When there is no Realm, or the IPA is not protected.
    pub fn ripas(&self, rd: u64, base: u64, top: u64) -> (u64, Ripas) {
        let walk = self.walk(&self.realms[&rd].shape, base, 3);
        let table = &self.tables[&walk.table];
        let ripas = |index: usize| match table.entries[index] {
            Entry::Unassigned(ripas) | Entry::Assigned(_, ripas) => Some(ripas),
            _ => None,
        };
        let first = ripas(walk.index).expect("protected");
        let mut end = walk.index;
        while end < ENTRIES && ripas(end) == Some(first) {
            end += 1;
        }
        (table.address(end).min(top), first)
    }

    /// A REC by its address.
    pub fn rec(&self, rec: u64) -> Option<&Rec> {
        self.recs.get(&rec)
    }

    /// What is left of the change of RIPAS that a REC has asked for.
    pub fn ripas_request(&self, rec: u64) -> Option<std::ops::Range<u64>> {
        let request = self.recs.get(&rec)?.request;
        (request.top != 0).then_some(request.base..request.top)
    }

    /// The call of PSCI that a REC waits for.
    pub fn psci_call(&self, rec: u64) -> Option<PsciCall> {
        self.recs.get(&rec)?.psci_call
    }

    /// A REC has called the host, or the call has been answered.
    pub fn note_host_call(&mut self, rec: u64, buffer: Option<u64>) {
        if let Some(rec) = self.recs.get_mut(&rec) {
            rec.host_call = buffer;
        }
    }
}
