//! RECs: the descriptor of a virtual CPU of a Realm.

pub mod layout;
mod mpidr;

pub(crate) use mpidr::{index_of_mpidr, index_of_mpidr_el1, mpidr_el1};

use core::sync::atomic::Ordering;

use rmm_abi::rmi::{HashAlgorithm, MAX_REC_AUX, REC_RUNNABLE, RecParams};

use crate::cpu_view::Features;
use crate::granule::GranuleAddress;
use crate::machine::{GranuleWords, TOKEN_GRANULES};
use crate::realm;
use crate::rtt::Stage2;
use layout::SystemRegister;

/// Auxiliary granules for vector registers: as many as the largest SVE state needs.
pub(crate) const VECTOR_GRANULES: usize = 3;
/// Auxiliary granules of a REC: for vector registers, then for tokens.
pub(crate) const AUX_GRANULES: usize = VECTOR_GRANULES + TOKEN_GRANULES;

const _: () = assert!(AUX_GRANULES <= MAX_REC_AUX);

/// A REC in its granule.
#[derive(Clone, Copy)]
pub(crate) struct Descriptor<'g>(&'g GranuleWords);

/// Bits of a REC's flags.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u64)]
pub(crate) enum Flag {
    /// It may be entered.
    Runnable = REC_RUNNABLE,
    /// It waits for `RMI_PSCI_COMPLETE`.
    PsciPending = 1 << 1,
    /// It waits for the results of a host call.
    HostCallPending = 1 << 2,
    /// Some breakpoint or watchpoint is enabled, so they are loaded on entry.
    DebugEnabled = 1 << 3,
    /// The OS lock, which keeps breakpoints and watchpoints silent. It is the RMM's to emulate: the CPU's
    /// own would let the Realm change how the CPU halts (`EDSCR`).
    OsLock = 1 << 4,
    /// The Realm is still to take an `SError`.
    SErrorPending = 1 << 5,
}

/// How far a token has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum TokenState {
    /// The Realm has not asked for one.
    None,
    /// There is a challenge.
    Requested,
    /// It was begun, and an interrupt came.
    PutAside,
    /// It is being delivered.
    Ready,
}

impl TokenState {
    const fn from_word(word: u64) -> Self {
        match word {
            1 => Self::Requested,
            2 => Self::PutAside,
            3 => Self::Ready,
            _ => Self::None,
        }
    }
}

/// A change of RIPAS that the Realm has asked for and the host has not completed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct RipasRequest {
    /// First address that is still to be changed.
    pub(crate) base: u64,
    /// End of the range.
    pub(crate) top: u64,
    /// 0 empty, 1 RAM.
    pub(crate) value: u64,
    /// Memory that the host took away may change too.
    pub(crate) may_change_destroyed: bool,
}

impl RipasRequest {
    /// There is none.
    pub(crate) const NONE: Self = Self {
        base: 0,
        top: 0,
        value: 0,
        may_change_destroyed: false,
    };
}

/// PSTATE out of reset: EL1 with its own stack pointer, everything masked.
pub(crate) const RESET_PROCESSOR_STATE: u64 = 0x3c5;
/// `SCTLR_EL1` out of reset: SPAN, EIS, nTWE, nTWI, EOS, CP15BEN, SA0, SA, nAA; MMU and caches off.
const RESET_SCTLR: u64 = 0xc5_0878;
/// `MDSCR_EL1.TDCC`.
const RESET_MDSCR: u64 = 1 << 12;

impl<'g> Descriptor<'g> {
    /// The descriptor in the granule of a REC.
    pub(crate) const fn new(words: &'g GranuleWords) -> Self {
        Self(words)
    }

    /// The words of the granule.
    pub(crate) const fn words(self) -> &'g GranuleWords {
        self.0
    }

    pub(crate) fn get(self, word: usize) -> u64 {
        self.0[word].load(Ordering::Relaxed)
    }

    pub(crate) fn set(self, word: usize, value: u64) {
        self.0[word].store(value, Ordering::Relaxed);
    }

    /// Fills a descriptor of zeroes.
    pub(crate) fn initialise(
        self,
        owner: GranuleAddress,
        realm: realm::Descriptor<'_>,
        params: &RecParams,
        aux: &[u64; AUX_GRANULES],
    ) {
        self.set(layout::OWNER, owner.get());
        self.set(layout::MPIDR, params.mpidr);
        self.set(layout::FLAGS, params.flags & REC_RUNNABLE);
        for (offset, value) in params.gprs.into_iter().enumerate() {
            self.set_general(offset, value);
        }
        for (offset, address) in aux.iter().enumerate() {
            self.set(layout::AUX + offset, *address);
        }
        for (word, value) in [
            layout::TABLE_BASE,
            layout::TABLE_SHAPE,
            layout::VMID,
            layout::FEATURES,
        ]
        .into_iter()
        .zip(realm.fixed_words())
        {
            self.set(word, value);
        }
        self.reset(params.pc);
    }

    /// Gives the registers the values that a CPU starts with. General-purpose registers stay.
    pub(crate) fn reset(self, entry: u64) {
        for word in layout::SYSTEM..layout::PMU + layout::PMU_WORDS {
            self.set(word, 0);
        }
        self.set(layout::PROGRAM_COUNTER, entry);
        self.set(layout::PROCESSOR_STATE, RESET_PROCESSOR_STATE);
        self.set(SystemRegister::SCTLR_EL1.word(), RESET_SCTLR);
        self.set(layout::LOCKED_DEBUG_CONTROL, RESET_MDSCR);
        self.set(layout::STACK_POINTER_EL0, 0);
        self.set(layout::PMU + PMU_CONTROL, RESET_PMCR);
        self.set_flag(Flag::OsLock, true);
        self.set_flag(Flag::DebugEnabled, false);
        self.set_flag(Flag::SErrorPending, false);
        self.set_token_state(TokenState::None);
    }

    /// The Realm that the REC belongs to.
    pub(crate) fn owner(self) -> Option<GranuleAddress> {
        GranuleAddress::new(self.get(layout::OWNER))
    }

    /// MPIDR in the host's format.
    pub(crate) fn mpidr(self) -> u64 {
        self.get(layout::MPIDR)
    }

    /// The auxiliary granules.
    pub(crate) fn aux(self) -> [u64; AUX_GRANULES] {
        core::array::from_fn(|offset| self.get(layout::AUX + offset))
    }

    /// How the Realm's addresses are translated.
    pub(crate) fn stage2(self) -> Option<Stage2> {
        realm::stage2_of_words(
            self.get(layout::TABLE_BASE),
            self.get(layout::TABLE_SHAPE),
            self.get(layout::VMID),
        )
    }

    /// Hash algorithm of the Realm's measurements.
    pub(crate) fn hash_algorithm(self) -> HashAlgorithm {
        realm::hash_algorithm_of_word(self.get(layout::VMID))
    }

    /// What the Realm may use of the CPU.
    pub(crate) fn features(self) -> Features {
        realm::features_of_word(self.get(layout::FEATURES))
    }

    pub(crate) fn flag(self, flag: Flag) -> bool {
        self.get(layout::FLAGS) & flag as u64 != 0
    }

    pub(crate) fn set_flag(self, flag: Flag, value: bool) {
        let others = self.get(layout::FLAGS) & !(flag as u64);
        self.set(layout::FLAGS, others | if value { flag as u64 } else { 0 });
    }

    /// Whether a debug exception may come without a further access to the debug registers: a comparator
    /// is enabled, or `MDSCR_EL1` lets comparators (MDE) or software step (SS), which the host's OS
    /// lock would silence, have an effect.
    pub(crate) fn uses_debug(self) -> bool {
        const MDE_OR_SS: u64 = 1 << 15 | 1 << 0;
        !self.flag(Flag::OsLock)
            && (self.flag(Flag::DebugEnabled)
                || self.get(SystemRegister::MDSCR_EL1.word()) & MDE_OR_SS != 0)
    }

    /// A general-purpose register; 31 is zero.
    pub(crate) fn general(self, number: usize) -> u64 {
        if number < 31 {
            self.get(layout::GENERAL_PURPOSE + number)
        } else {
            0
        }
    }

    /// Sets a general-purpose register; 31 stays zero.
    pub(crate) fn set_general(self, number: usize, value: u64) {
        if number < 31 {
            self.set(layout::GENERAL_PURPOSE + number, value);
        }
    }

    /// How far a token has come.
    pub(crate) fn token_state(self) -> TokenState {
        TokenState::from_word(self.get(layout::TOKEN_STATE))
    }

    /// Notes how far a token has come.
    pub(crate) fn set_token_state(self, state: TokenState) {
        self.set(layout::TOKEN_STATE, state as u64);
    }

    /// The pending change of RIPAS; base and top are zero when there is none.
    pub(crate) fn ripas_request(self) -> RipasRequest {
        RipasRequest {
            base: self.get(layout::RIPAS_BASE),
            top: self.get(layout::RIPAS_TOP),
            value: self.get(layout::RIPAS_VALUE),
            may_change_destroyed: self.get(layout::RIPAS_FLAGS) != 0,
        }
    }

    /// Notes a change of RIPAS that the Realm asks for, or that there is none.
    pub(crate) fn set_ripas_request(self, request: RipasRequest) {
        self.set(layout::RIPAS_BASE, request.base);
        self.set(layout::RIPAS_TOP, request.top);
        self.set(layout::RIPAS_VALUE, request.value);
        self.set(layout::RIPAS_FLAGS, request.may_change_destroyed.into());
    }

    /// Notes how far the pending change has come.
    pub(crate) fn set_ripas_base(self, base: u64) {
        self.set(layout::RIPAS_BASE, base);
    }
}

/// `PMCR_EL0` is the first word of the performance monitor.
const PMU_CONTROL: usize = 0;
/// `PMCR_EL0` out of reset: LC, DP, and both kinds of counters zero.
const RESET_PMCR: u64 = 1 << 6 | 1 << 5;
