//! Where the fields of a REC are in its granule, in words.
//!
//! The hardware side saves and loads registers there directly, so the order of
//! [`SystemRegister`]s is part of the contract between the two.

/// Physical address of the Realm descriptor.
pub(crate) const OWNER: usize = 0;
/// MPIDR in the host's format.
pub(crate) const MPIDR: usize = 1;
/// Flags, see [`super::Flag`].
pub(crate) const FLAGS: usize = 2;
/// Where the REC goes on.
pub const PROGRAM_COUNTER: usize = 3;
/// First address of a change of RIPAS that is under way.
pub(crate) const RIPAS_BASE: usize = 4;
/// End of it; zero when there is none.
pub(crate) const RIPAS_TOP: usize = 5;
/// RIPAS that the Realm wants.
pub(crate) const RIPAS_VALUE: usize = 6;
/// Whether memory that the host took away may change.
pub(crate) const RIPAS_FLAGS: usize = 7;
/// PSTATE, in the format of `SPSR_EL2`.
pub const PROCESSOR_STATE: usize = 8;
/// Syndrome of the access that the last exit was about, if the host may complete it.
pub(crate) const LAST_SYNDROME: usize = 9;
/// `FAR_EL2` of that access.
pub(crate) const LAST_FAULT_ADDRESS: usize = 10;
/// `VSESR_EL2` of an `SError` that the Realm is still to take.
pub(crate) const SERROR_SYNDROME: usize = 11;
/// First start-level table.
pub(crate) const TABLE_BASE: usize = 12;
/// Shape of the Realm's address space.
pub(crate) const TABLE_SHAPE: usize = 13;
/// VMID, hash algorithm.
pub(crate) const VMID: usize = 14;
/// Features of the Realm.
pub(crate) const FEATURES: usize = 15;
/// X0 to X30.
pub const GENERAL_PURPOSE: usize = 16;
/// `SP_EL0`, right after X30.
pub const STACK_POINTER_EL0: usize = GENERAL_PURPOSE + 31;
/// Physical addresses of the auxiliary granules.
pub(crate) const AUX: usize = 48;
/// [`SystemRegister`]s.
pub const SYSTEM: usize = 64;
/// Words of the system registers.
pub const SYSTEM_WORDS: usize = 48;
/// `ICH_VMCR_EL2`, `ICH_AP0R<n>_EL2` and `ICH_AP1R<n>_EL2`, four of each.
pub const GIC: usize = SYSTEM + SYSTEM_WORDS;
/// Words of the GIC's registers.
pub const GIC_WORDS: usize = 16;
/// Breakpoints and watchpoints.
pub const DEBUG: usize = GIC + GIC_WORDS;
/// Words of the debug registers.
pub const DEBUG_WORDS: usize = 68;
/// Performance monitor.
pub const PMU: usize = DEBUG + DEBUG_WORDS;
/// Words of the performance monitor.
pub const PMU_WORDS: usize = 80;

/// `MDSCR_EL1` as the Realm sees it while its OS lock is set.
pub(crate) const LOCKED_DEBUG_CONTROL: usize = PMU + PMU_WORDS;

/// How far a token has come, see [`super::TokenState`].
pub(crate) const TOKEN_STATE: usize = LOCKED_DEBUG_CONTROL + 1;
/// Bytes of a token that is ready.
pub(crate) const TOKEN_SIZE: usize = TOKEN_STATE + 1;
/// Bytes of it that the Realm has got.
pub(crate) const TOKEN_DELIVERED: usize = TOKEN_SIZE + 1;
/// What the Realm wants to find in the token.
pub(crate) const CHALLENGE: usize = TOKEN_DELIVERED + 1;
/// Words of a challenge.
pub(crate) const CHALLENGE_WORDS: usize = 8;

const _: () = assert!(CHALLENGE + CHALLENGE_WORDS <= crate::WORDS_PER_GRANULE);

/// A system register of a REC, at [`SYSTEM`] plus its number. All of them are the host's while no REC
/// is in the CPU, and are kept for it. `ZCR_EL1` goes with the vector registers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(usize)]
#[expect(missing_docs, reason = "the names are the architecture's")]
#[allow(
    non_camel_case_types,
    clippy::upper_case_acronyms,
    reason = "the names are the architecture's"
)]
pub enum SystemRegister {
    SP_EL1,
    ELR_EL1,
    SPSR_EL1,
    SCTLR_EL1,
    ACTLR_EL1,
    CPACR_EL1,
    TTBR0_EL1,
    TTBR1_EL1,
    TCR_EL1,
    ESR_EL1,
    AFSR0_EL1,
    AFSR1_EL1,
    FAR_EL1,
    MAIR_EL1,
    AMAIR_EL1,
    VBAR_EL1,
    CONTEXTIDR_EL1,
    TPIDR_EL1,
    TPIDR_EL0,
    TPIDRRO_EL0,
    CSSELR_EL1,
    PAR_EL1,
    MDSCR_EL1,
    CNTKCTL_EL1,
    CNTV_CVAL_EL0,
    CNTV_CTL_EL0,
    CNTP_CVAL_EL0,
    CNTP_CTL_EL0,
    APIAKeyLo_EL1,
    APIAKeyHi_EL1,
    APIBKeyLo_EL1,
    APIBKeyHi_EL1,
    APDAKeyLo_EL1,
    APDAKeyHi_EL1,
    APDBKeyLo_EL1,
    APDBKeyHi_EL1,
    APGAKeyLo_EL1,
    APGAKeyHi_EL1,
    VDISR_EL2,
}

impl SystemRegister {
    /// All registers.
    pub const COUNT: usize = Self::VDISR_EL2 as usize + 1;

    /// The register's word in the granule of its REC.
    pub const fn word(self) -> usize {
        SYSTEM + self as usize
    }
}

const _: () = assert!(SystemRegister::COUNT <= SYSTEM_WORDS);
