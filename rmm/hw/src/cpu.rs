//! This CPU, as the core asks of it.

mod run;
mod token;

use core::arch::asm;
use core::sync::atomic::AtomicU64;

use aarch64_cpu::registers::{CNTPCT_EL0, Readable};
use rmm_abi::el3::{BootCode, ServiceCode};
use rmm_attest::Attester;
use rmm_core::features::CpuIdentification;
use rmm_core::granule::{
    Data, Delegated, GranuleAddress, InRealmWorld, KeepsRealm, Locked, Rec, Running, Undelegated,
    Wiped,
};
use rmm_core::rtt::Invalidation;
use rmm_core::statistics::CpuStatistics;
use rmm_core::{HostFault, Machine, WORDS_PER_GRANULE};

use crate::fetch::{self, Fetches};
use crate::memory::{Zeroer, host};
use crate::realm_cpu::RealmCpu;
use crate::resident::SwitchedState;
use crate::sha::Sha;
use crate::slot::{Mapping, Slots};
use crate::tlb::{self, TlbMaintenance};
use crate::vector_state::HostArea;
use crate::workroom::Workroom;
use crate::{console, el3, identity, park};

/// The CPU that runs this code.
#[derive(Debug)]
pub struct ThisCpu<'a> {
    number: usize,
    slots: Slots,
    zeroer: Zeroer,
    sha: Sha,
    tlb: TlbMaintenance,
    fetches: Fetches,
    realm_cpu: RealmCpu,
    state: SwitchedState<'a>,
    workroom: Workroom,
    attester: Option<&'static Attester>,
    own_statistics: &'static CpuStatistics,
    all_statistics: &'static [CpuStatistics],
}

/// What boot has prepared for a CPU.
#[derive(Debug)]
pub struct Prepared<'a> {
    /// Windows for granules.
    pub slots: Slots,
    /// Where tokens are made.
    pub workroom: Workroom,
    /// Memory for the host's vector registers.
    pub area: &'a HostArea,
    /// Who signs tokens, if EL3 has given a key.
    pub attester: Option<&'static Attester>,
    /// What this CPU counts; no other CPU does.
    pub own_statistics: &'static CpuStatistics,
    /// What all CPUs count.
    pub all_statistics: &'static [CpuStatistics],
}

impl<'a> ThisCpu<'a> {
    /// This CPU, with its number and what boot has prepared for it; `first` is what the first CPU is. A
    /// CPU that computes wrong digests does not boot, nor one that has less than the first.
    pub fn new(number: usize, prepared: Prepared<'a>, first: &CpuIdentification) -> Self {
        let sha = Sha::of_this_cpu();
        if let Err(wrong) = sha.self_test() {
            park::refuse_boot(BootCode::Unknown, format_args!("{wrong}"));
        }
        let id = identity::identify();
        if !id.covers(first) {
            park::refuse_boot(
                BootCode::Unknown,
                format_args!("CPU {number} has less than the first one: {id:x?}, {first:x?}"),
            );
        }
        Self {
            number,
            slots: prepared.slots,
            workroom: prepared.workroom,
            attester: prepared.attester,
            own_statistics: prepared.own_statistics,
            all_statistics: prepared.all_statistics,
            zeroer: Zeroer::of_this_cpu(),
            sha,
            tlb: TlbMaintenance::of_this_cpu(),
            fetches: Fetches::of_this_cpu(),
            state: SwitchedState::of_this_cpu(prepared.area, &id, first),
            realm_cpu: RealmCpu::of_this_cpu(&id),
        }
    }

    /// Maps a granule that a token or a reference from another granule keeps in the Realm world.
    fn map_granule(&self, granule: GranuleAddress) -> Mapping<'_> {
        // SAFETY: the granule table covers DRAM without the RMM's own memory, which EL3 does not
        // let the host delegate, and the granule is not undelegated while it is locked or
        // referred to.
        unsafe { self.slots.map(granule) }
    }
}

impl Machine for ThisCpu<'_> {
    type Mapping<'m>
        = Mapping<'m>
    where
        Self: 'm;

    fn map<'m, S: InRealmWorld>(&'m self, granule: &'m Locked<'_, S>) -> Mapping<'m> {
        self.map_granule(granule.address())
    }

    fn map_owner<'m>(&'m self, _rec: &'m impl KeepsRealm, owner: GranuleAddress) -> Mapping<'m> {
        self.map_granule(owner)
    }

    fn map_constant<'m>(&'m self, rec: &'m Locked<'_, Rec>) -> Mapping<'m> {
        self.map_granule(rec.address())
    }

    fn map_running<'m>(&'m self, rec: &'m Running<'_>) -> Mapping<'m> {
        self.map_granule(rec.address())
    }

    fn map_aux<'m>(&'m self, _rec: &'m Running<'_>, aux: GranuleAddress) -> Mapping<'m> {
        self.map_granule(aux)
    }

    fn clear(&self, granule: &Locked<'_, Data>) {
        self.zeroer
            .zero_granule(&self.map_granule(granule.address()));
    }

    fn read_host_parts<const PARTS: usize>(
        &self,
        source: GranuleAddress,
        parts: [(usize, &mut [u64]); PARTS],
    ) -> Result<(), HostFault> {
        let source = self.slots.map_host(source)?;
        for (first, into) in parts {
            host::read_words(&source, first, into)?;
        }
        Ok(())
    }

    fn write_host_upper_half<const PARTS: usize>(
        &self,
        target: GranuleAddress,
        parts: [(usize, &[u64]); PARTS],
    ) -> Result<(), HostFault> {
        let target = self.slots.map_host_writable(target)?;
        host::clear_upper_half(&target, self.zeroer)?;
        for (first, from) in parts {
            host::write_words(&target, first, from)?;
        }
        Ok(())
    }

    fn wipe(&self, granule: &Locked<'_, Delegated>) {
        self.zeroer
            .zero_granule(&self.map_granule(granule.address()));
    }

    fn read_host(
        &self,
        source: GranuleAddress,
        into: &mut [u64; WORDS_PER_GRANULE],
    ) -> Result<(), HostFault> {
        host::read(&self.slots.map_host(source)?, into)
    }

    fn copy_from_host(
        &self,
        source: GranuleAddress,
        into: &Locked<'_, Delegated>,
    ) -> Result<(), HostFault> {
        let into = self.map_granule(into.address());
        host::copy(&self.slots.map_host(source)?, &into)
    }

    fn sha256(&self, state: &mut [u32; 8], blocks: &[AtomicU64]) {
        self.sha.sha256(state, blocks);
    }

    fn sha512(&self, state: &mut [u64; 8], blocks: &[AtomicU64]) {
        self.sha.sha512(state, blocks);
    }

    fn publish_tables(&self) {
        tlb::publish();
    }

    fn clean_for_fetches(&self, granule: &Locked<'_, Data>) {
        if self.fetches.needs_clean() {
            fetch::clean(&self.map_granule(granule.address()));
        }
    }

    fn forget_instructions(&self) {
        if self.fetches.needs_invalidation() {
            fetch::invalidate_all();
        }
    }

    fn invalidate(&self, invalidation: &Invalidation) {
        self.tlb.invalidate(invalidation);
    }

    fn delegate(&self, granule: &Locked<'_, Undelegated>) -> Result<(), ServiceCode> {
        el3::delegate(granule.address()).inspect_err(|&code| {
            // A granule of another world is an everyday answer; anything else is EL3's trouble.
            if !matches!(code, ServiceCode::BadPas | ServiceCode::BadAddress) {
                console::error(format_args!(
                    "EL3 does not delegate granule {}: {code:?}",
                    granule.address()
                ));
            }
        })
    }

    fn undelegate(&self, granule: &Locked<'_, Wiped>) -> Result<(), ServiceCode> {
        el3::undelegate(granule.address())
    }

    fn relax(&self) {
        // Whoever holds the lock may be the one that gave up, and will never release it.
        if park::stopped() {
            park::park();
        }
        // Unlike `core::hint::spin_loop`, which is an ISB, this lets an emulator run the CPU that
        // holds the lock.
        // SAFETY: a hint.
        unsafe { asm!("yield", options(nomem, nostack, preserves_flags)) };
    }

    fn statistics(&self) -> &CpuStatistics {
        self.own_statistics
    }

    fn all_statistics(&self) -> &[CpuStatistics] {
        self.all_statistics
    }

    fn time(&self) -> u64 {
        CNTPCT_EL0.get()
    }

    fn mapped_granules(&self) -> usize {
        self.slots.used()
    }
}
