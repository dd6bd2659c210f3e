//! The page through which the host runs a REC (DEN0137 "`RmiRecRun`"): what it says on entry in the
//! lower half, what it is told on exit in the upper half.

use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout};

use crate::GRANULE_SIZE;

/// General-purpose registers that pass through the page: X0 to X30.
pub const GENERAL_PURPOSE_REGISTERS: usize = 31;
/// List registers that there is room for.
pub const LIST_REGISTERS: usize = 16;

/// Bits of [`RecEnter::flags`].
pub mod enter_flags {
    /// The host has emulated the access that the last exit was about.
    pub const EMULATED_MMIO: u64 = 1 << 0;
    /// The access that the last exit was about ends in a synchronous external abort.
    pub const INJECT_SEA: u64 = 1 << 1;
    /// `WFI` and `WFIT` of the Realm exit.
    pub const TRAP_WFI: u64 = 1 << 2;
    /// `WFE` and `WFET` of the Realm exit.
    pub const TRAP_WFE: u64 = 1 << 3;
    /// The host rejects the rest of the RIPAS change.
    pub const RIPAS_REJECTED: u64 = 1 << 4;
}

/// Bits of `ICH_HCR_EL2` that the host controls ([`RecEnter::gicv3_hcr`]).
pub mod gic_control {
    /// `UIE`: maintenance interrupt when no, or one, list register is in use.
    pub const UNDERFLOW: u64 = 1 << 1;
    /// `LRENPIE`: maintenance interrupt for an end of interrupt that no list register knows.
    pub const ENTRY_NOT_PRESENT: u64 = 1 << 2;
    /// `NPIE`: maintenance interrupt when nothing is pending.
    pub const NO_PENDING: u64 = 1 << 3;
    /// `VGrp0EIE`: maintenance interrupt while group 0 is enabled.
    pub const GROUP_0_ENABLED: u64 = 1 << 4;
    /// `VGrp0DIE`: maintenance interrupt while group 0 is disabled.
    pub const GROUP_0_DISABLED: u64 = 1 << 5;
    /// `VGrp1EIE`: maintenance interrupt while group 1 is enabled.
    pub const GROUP_1_ENABLED: u64 = 1 << 6;
    /// `VGrp1DIE`: maintenance interrupt while group 1 is disabled.
    pub const GROUP_1_DISABLED: u64 = 1 << 7;
    /// `TDIR`: writes of `ICC_DIR_EL1` exit.
    pub const TRAP_DEACTIVATION: u64 = 1 << 14;
    /// All of them.
    pub const ALL: u64 = UNDERFLOW
        | ENTRY_NOT_PRESENT
        | NO_PENDING
        | GROUP_0_ENABLED
        | GROUP_0_DISABLED
        | GROUP_1_ENABLED
        | GROUP_1_DISABLED
        | TRAP_DEACTIVATION;
    /// `EOIcount`, which the host is told on exit beside its own bits.
    pub const END_OF_INTERRUPT_COUNT: u64 = 0x1f << 27;
}

/// Why a REC has exited ([`RecExit::exit_reason`], DEN0137 "`RmiRecExitReason`").
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum ExitReason {
    /// A synchronous exception that the host handles.
    Sync = 0,
    /// An interrupt is pending.
    Irq = 1,
    /// A fast interrupt is pending.
    Fiq = 2,
    /// The Realm has called PSCI.
    Psci = 3,
    /// The Realm asks for a change of RIPAS.
    RipasChange = 4,
    /// The Realm calls the host.
    HostCall = 5,
    /// An `SError` interrupt was taken.
    SError = 6,
}

impl ExitReason {
    /// The reason behind an encoding; `None` for reserved ones.
    pub const fn from_encoding(encoding: u8) -> Option<Self> {
        Some(match encoding {
            0 => Self::Sync,
            1 => Self::Irq,
            2 => Self::Fiq,
            3 => Self::Psci,
            4 => Self::RipasChange,
            5 => Self::HostCall,
            6 => Self::SError,
            _ => return None,
        })
    }
}

/// What the host says (DEN0137 "`RmiRecEnter`").
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct RecEnter {
    /// [`enter_flags`].
    pub flags: u64,
    reserved_1: [u8; 0x1f8],
    /// Result of an emulated read in the first; results of a host call in all.
    pub gprs: [u64; GENERAL_PURPOSE_REGISTERS],
    reserved_2: [u8; 8],
    /// [`gic_control`].
    pub gicv3_hcr: u64,
    /// `ICH_LR<n>_EL2`.
    pub gicv3_lrs: [u64; LIST_REGISTERS],
    reserved_3: [u8; 0x478],
}

/// What the host is told (DEN0137 "`RmiRecExit`").
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct RecExit {
    /// [`ExitReason`].
    pub exit_reason: u8,
    reserved_1: [u8; 0xff],
    /// Parts of `ESR_EL2`.
    pub esr: u64,
    /// Parts of `FAR_EL2`.
    pub far: u64,
    /// `HPFAR_EL2`.
    pub hpfar: u64,
    reserved_2: [u8; 0xe8],
    /// Value of an emulated write in the first; arguments of PSCI and host calls.
    pub gprs: [u64; GENERAL_PURPOSE_REGISTERS],
    reserved_3: [u8; 8],
    /// [`gic_control`], with the count of ends of interrupts.
    pub gicv3_hcr: u64,
    /// `ICH_LR<n>_EL2`.
    pub gicv3_lrs: [u64; LIST_REGISTERS],
    /// `ICH_MISR_EL2`.
    pub gicv3_misr: u64,
    /// `ICH_VMCR_EL2`.
    pub gicv3_vmcr: u64,
    reserved_4: [u8; 0x68],
    /// `CNTP_CTL_EL0` of the Realm.
    pub cntp_ctl: u64,
    /// `CNTP_CVAL_EL0` of the Realm.
    pub cntp_cval: u64,
    /// `CNTV_CTL_EL0` of the Realm.
    pub cntv_ctl: u64,
    /// `CNTV_CVAL_EL0` of the Realm.
    pub cntv_cval: u64,
    reserved_5: [u8; 0xe0],
    /// First address of the RIPAS change.
    pub ripas_base: u64,
    /// End of the RIPAS change.
    pub ripas_top: u64,
    /// RIPAS that is asked for.
    pub ripas_value: u8,
    reserved_6: [u8; 0xef],
    /// Immediate of the host call.
    pub imm: u16,
    reserved_7: [u8; 0xfe],
    /// 1 while a counter of the PMU has overflowed and would interrupt.
    pub pmu_ovf_status: u8,
    reserved_8: [u8; 0xff],
}

/// The whole page.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct RecRun {
    /// Written by the host.
    pub enter: RecEnter,
    /// Written by the RMM.
    pub exit: RecExit,
}

impl Default for RecRun {
    fn default() -> Self {
        Self::new_zeroed()
    }
}

impl Default for RecEnter {
    fn default() -> Self {
        Self::new_zeroed()
    }
}

impl Default for RecExit {
    fn default() -> Self {
        Self::new_zeroed()
    }
}

const _: () = {
    use core::mem::offset_of;
    assert!(size_of::<RecRun>() == GRANULE_SIZE);
    assert!(offset_of!(RecRun, exit) == 0x800);
    assert!(offset_of!(RecEnter, gprs) == 0x200);
    assert!(offset_of!(RecEnter, gicv3_hcr) == 0x300);
    assert!(offset_of!(RecEnter, gicv3_lrs) == 0x308);
    assert!(offset_of!(RecExit, esr) == 0x100);
    assert!(offset_of!(RecExit, far) == 0x108);
    assert!(offset_of!(RecExit, hpfar) == 0x110);
    assert!(offset_of!(RecExit, gprs) == 0x200);
    assert!(offset_of!(RecExit, gicv3_hcr) == 0x300);
    assert!(offset_of!(RecExit, gicv3_lrs) == 0x308);
    assert!(offset_of!(RecExit, gicv3_misr) == 0x388);
    assert!(offset_of!(RecExit, gicv3_vmcr) == 0x390);
    assert!(offset_of!(RecExit, cntp_ctl) == 0x400);
    assert!(offset_of!(RecExit, cntp_cval) == 0x408);
    assert!(offset_of!(RecExit, cntv_ctl) == 0x410);
    assert!(offset_of!(RecExit, cntv_cval) == 0x418);
    assert!(offset_of!(RecExit, ripas_base) == 0x500);
    assert!(offset_of!(RecExit, ripas_top) == 0x508);
    assert!(offset_of!(RecExit, ripas_value) == 0x510);
    assert!(offset_of!(RecExit, imm) == 0x600);
    assert!(offset_of!(RecExit, pmu_ovf_status) == 0x700);
};
