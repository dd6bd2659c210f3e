//! The registers of a world on a CPU while the other world runs.
//!
//! A context lies at the top of the EL3 stack for that world on that CPU, and `SP_EL3` points at
//! it while the world runs: an exception finds it without a look-up.
#![allow(unsafe_code)]

use core::mem::offset_of;

use crate::features::{self, Feature};

/// Registers of EL2 that a world switch always keeps, in the order of the table in `switch.S`.
pub(crate) const BASE_REGISTERS: usize = 32;
/// Registers that it keeps where the CPU has them.
pub(crate) const FEATURE_REGISTERS: usize = 50;

/// The registers of a world.
#[repr(C, align(16))]
pub(crate) struct Context {
    /// X0 to X30.
    pub(crate) general: [u64; 31],
    /// Routing and enabled features of the world.
    pub(crate) scr_el3: u64,
    /// Where the world goes on.
    pub(crate) elr_el3: u64,
    /// In which state.
    pub(crate) spsr_el3: u64,
    /// The context of the other world on this CPU.
    pub(crate) other: *mut Context,
    /// Set of [`Feature`].
    pub(crate) features: u64,
    /// Stack of a boot function that waits for the RMM to boot.
    pub(crate) boot_stack: u64,
    /// Linear number of the CPU.
    pub(crate) cpu: u64,
    base: [u64; BASE_REGISTERS],
    by_feature: [u64; FEATURE_REGISTERS],
}

const _: () = {
    assert!(size_of::<Context>().is_multiple_of(16));
    // `switch.S` stores both in pairs and reaches the second from the first.
    assert!(offset_of!(Context, elr_el3) + 8 == offset_of!(Context, spsr_el3));
    assert!(8 * FEATURE_REGISTERS <= 512);
};

core::arch::global_asm!(
    include_str!("switch.S"),
    GENERAL = const offset_of!(Context, general),
    SCR_EL3 = const offset_of!(Context, scr_el3),
    ELR_EL3 = const offset_of!(Context, elr_el3),
    OTHER = const offset_of!(Context, other),
    FEATURES = const offset_of!(Context, features),
    BOOT_STACK = const offset_of!(Context, boot_stack),
    BASE = const offset_of!(Context, base),
    BY_FEATURE = const offset_of!(Context, by_feature),
    PAUTH = const Feature::PointerAuthentication as u32,
    VHE = const Feature::HostExtensions as u32,
    FGT = const Feature::FineGrainedTraps as u32,
    AMU = const Feature::ActivityMonitorTraps as u32,
    FGT2 = const Feature::FineGrainedTraps2 as u32,
    HCX = const Feature::ExtendedHypervisorConfiguration as u32,
    ECV = const Feature::PhysicalCounterOffset as u32,
    RARE = const features::FIRST_RARE as u32,
    MTE = const Feature::MemoryTagging as u32,
    RAS = const Feature::ReliabilityExtension as u32,
    TRF = const Feature::TraceFilter as u32,
    CSV2 = const Feature::SoftwareContextNumber as u32,
    NV2 = const Feature::NestedVirtualization2 as u32,
    MPAM = const Feature::MemoryPartitioning as u32,
    TCR2 = const Feature::TranslationControl2 as u32,
    S1PIE = const Feature::Stage1PermissionIndirection as u32,
    S2PIE = const Feature::Stage2PermissionIndirection as u32,
    POE = const Feature::PermissionOverlay as u32,
    GCS = const Feature::GuardedControlStack as u32,
    SCTLR2 = const Feature::SystemControl2 as u32,
    REALM_WORLD_IS_ON = sym crate::worlds::REALM_WORLD_IS_ON,
    handle_normal_call = sym crate::handlers::handle_normal_call,
    handle_realm_call = sym crate::handlers::handle_realm_call,
    handle_trap = sym crate::handlers::handle_trap,
    handle_fast_interrupt = sym crate::handlers::handle_fast_interrupt,
    handle_crash = sym crate::crash::handle_crash,
    CRASH_FRAME = sym crate::crash::CRASH_FRAME,
    CRASH_STACK = sym crate::crash::CRASH_STACK,
    CRASH_STACK_SIZE = const crate::crash::CRASH_STACK_SIZE,
);
