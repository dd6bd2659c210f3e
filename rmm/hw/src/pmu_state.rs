//! The performance monitor: the host's, or a Realm's.
//!
//! EL3 does not switch its registers. While a Realm with a PMU is in the CPU they are the Realm's;
//! while another Realm runs, whose accesses trap, the host's counters are held, or the host would
//! learn what the Realm does from them.
//!
//! Event counters from the Realm's number on stay the host's. `MDCR_EL2.HPMN` takes them out of the
//! Realm's sight, and with `MDCR_EL2.HPME` clear they do not count.

use core::arch::{asm, global_asm};
use core::cell::Cell;
use core::marker::PhantomData;
use core::sync::atomic::AtomicU64;

use aarch64_cpu::registers::{ID_AA64DFR0_EL1, Readable};
use rmm_core::features::CpuIdentification;

/// Which word is which.
pub mod layout {
    /// Words of the state. Those after the last one that has a name are not used.
    pub const WORDS: usize = 80;
    /// Event counters that there is room for.
    pub const EVENT_COUNTERS: usize = 31;
    /// `PMCR_EL0`.
    pub const CONTROL: usize = 0;
    /// `PMCNTENSET_EL0`.
    pub const ENABLED: usize = CONTROL + 1;
    /// `PMINTENSET_EL1`.
    pub const INTERRUPTING: usize = ENABLED + 1;
    /// `PMOVSSET_EL0`.
    pub const OVERFLOWED: usize = INTERRUPTING + 1;
    /// `PMSELR_EL0`.
    pub const SELECTION: usize = OVERFLOWED + 1;
    /// `PMUSERENR_EL0`.
    pub const USER_ACCESS: usize = SELECTION + 1;
    /// `PMCCNTR_EL0`.
    pub const CYCLE_COUNT: usize = USER_ACCESS + 1;
    /// `PMCCFILTR_EL0`.
    pub const CYCLE_FILTER: usize = CYCLE_COUNT + 1;
    /// `PMEVCNTR<n>_EL0`, of which there are [`EVENT_COUNTERS`].
    pub const EVENT_COUNT: usize = CYCLE_FILTER + 1;
    /// `PMEVTYPER<n>_EL0`.
    pub const EVENT_TYPE: usize = EVENT_COUNT + EVENT_COUNTERS;

    const _: () = assert!(EVENT_TYPE + EVENT_COUNTERS <= WORDS);
}

/// The state of a Realm, laid out as [`layout`] says. `PMCR_EL0` has bits whose value out of reset
/// is not zero; everything else starts as zero.
pub type PmuWords = [AtomicU64; layout::WORDS];

global_asm!(
    include_str!("pmu_state/exchange.S"),
    EVENT_COUNT = const 8 * layout::EVENT_COUNT,
    CYCLE_COUNT = const 8 * layout::CYCLE_COUNT,
    EVENT_TYPE = const 8 * layout::EVENT_TYPE,
    CONTROL = const 8 * layout::CONTROL,
    INTERRUPTING = const 8 * layout::INTERRUPTING,
    SELECTION = const 8 * layout::SELECTION,
);

/// The routine moves these in pairs.
const _: () = {
    assert!(layout::ENABLED == layout::CONTROL + 1);
    assert!(layout::OVERFLOWED == layout::INTERRUPTING + 1);
    assert!(layout::USER_ACCESS == layout::SELECTION + 1);
    assert!(layout::CYCLE_FILTER == layout::CYCLE_COUNT + 1);
};

unsafe extern "C" {
    fn rmm_exchange_pmu(save: *const AtomicU64, load: *const AtomicU64, counters: u64) -> u64;
}

/// `PMCR_EL0.E`: counters count.
const COUNTING: u64 = 1;

/// The host's performance monitor while a Realm is in this CPU.
#[derive(Debug)]
pub struct PmuState {
    host: PmuWords,
    /// `PMCR_EL0` of the host while its counters are held.
    held: Cell<u64>,
    /// Event counters of a Realm whose monitor is in the CPU.
    realms: Cell<Option<u32>>,
    /// Event counters of the CPU; `None` without a PMU.
    counters: Option<u64>,
    /// The registers are this CPU's.
    not_send: PhantomData<*mut ()>,
}

impl PmuState {
    /// Asks the CPU what it has.
    pub fn of_this_cpu() -> Self {
        let id = CpuIdentification {
            dfr0: ID_AA64DFR0_EL1.get(),
            ..Default::default()
        };
        Self {
            host: [const { AtomicU64::new(0) }; layout::WORDS],
            held: Cell::new(0),
            realms: Cell::new(None),
            counters: id.has_pmu().then(|| control() >> 11 & 0x1f),
            not_send: PhantomData,
        }
    }

    /// Takes the host's monitor out of the CPU and puts a Realm's with `counters` event counters
    /// in. Nothing happens without a PMU.
    pub fn to_realm(&self, realm: &PmuWords, counters: u32) {
        self.exchange(&self.host, realm, counters);
        self.realms.set(Some(counters));
    }

    /// Takes the Realm's monitor out of the CPU and puts the host's back. Whether a counter of the
    /// Realm has overflowed and would interrupt (DEN0137 "`RmiRecExit`", `pmu_ovf_status`).
    pub fn to_host(&self, realm: &PmuWords, counters: u32) -> bool {
        self.realms.set(None);
        self.exchange(realm, &self.host, counters)
    }

    /// Gives the CPU back the host's monitor, whatever there is of a Realm's.
    pub(crate) fn evict(&self) {
        match self.realms.get() {
            Some(counters) => {
                let lost = [const { AtomicU64::new(0) }; layout::WORDS];
                self.to_host(&lost, counters);
            }
            None => self.resume(),
        }
    }

    /// Saves what the CPU has and loads other values. Whether a saved counter interrupts.
    fn exchange(&self, save: &PmuWords, load: &PmuWords, counters: u32) -> bool {
        let Some(implemented) = self.counters else {
            return false;
        };
        let counters = implemented.min(counters.into());
        // SAFETY: the CPU has a PMU with that many event counters, at most 31, and both places have
        // words for all. What is counted does not change what the RMM does.
        unsafe { rmm_exchange_pmu(save.as_ptr(), load.as_ptr(), counters) != 0 }
    }

    /// Stops the host's counters. Takes effect with the `ERET` to the Realm.
    pub fn hold(&self) {
        if self.counters.is_none() {
            return;
        }
        let control = control();
        self.held.set(control);
        if control & COUNTING != 0 {
            set_control(control & !COUNTING);
        }
    }

    /// Goes on with the host's counters after [`hold`](Self::hold).
    pub fn resume(&self) {
        let held = self.held.take();
        if self.counters.is_some() && held & COUNTING != 0 {
            set_control(held);
        }
    }
}

/// `PMCR_EL0`. There must be a PMU.
fn control() -> u64 {
    let value;
    // SAFETY: reading has no effect, and the bits that reset counters read as zero.
    unsafe { asm!("mrs {0}, pmcr_el0", out(reg) value, options(nostack, preserves_flags)) };
    value
}

/// Writes `PMCR_EL0`. There must be a PMU.
fn set_control(value: u64) {
    // SAFETY: counters are nothing that the RMM's own code depends on.
    unsafe { asm!("msr pmcr_el0, {0}", in(reg) value, options(nostack, preserves_flags)) };
}
