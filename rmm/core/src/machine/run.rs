//! Running a REC on a CPU.

use crate::cpu_view::{Features, RealmIdRegisters};
use crate::machine::GranuleWords;
use crate::rtt::Stage2;

/// List registers that the interface has room for.
pub const LIST_REGISTERS: usize = rmm_abi::rmi::run::LIST_REGISTERS;

/// How a REC is to run, beside what its granule says.
#[derive(Clone, Debug)]
pub struct Configuration {
    /// Translation of the Realm's addresses.
    pub stage2: Stage2,
    /// What the Realm may use.
    pub features: Features,
    /// `VMPIDR_EL2`.
    pub mpidr: u64,
    /// `WFI` and `WFIT` are trapped.
    pub trap_wfi: bool,
    /// `WFE` and `WFET` are trapped.
    pub trap_wfe: bool,
    /// What becomes of breakpoints and watchpoints.
    pub debug: DebugRegisters,
    /// `VSESR_EL2` of an `SError` that the Realm is to take.
    pub serror: Option<u64>,
    /// Another REC of the Realm has run on this CPU since this one did: what the TLB holds of the
    /// Realm may not be true for this one.
    pub forget_translations: bool,
    /// `ICH_HCR_EL2`.
    pub gic_control: u64,
    /// `ICH_LR<n>_EL2`; those that the CPU does not have are ignored.
    pub list_registers: [u64; LIST_REGISTERS],
}

/// Breakpoints and watchpoints when a REC enters the CPU.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DebugRegisters {
    /// They stay the host's, and a use traps.
    Trapped,
    /// They are the REC's at once.
    Loaded,
}

/// What is left in the CPU when a REC leaves it, beside what its granule keeps.
#[derive(Clone, Debug, Default)]
pub struct Departure {
    /// `ICH_LR<n>_EL2`; zero where the CPU has none.
    pub list_registers: [u64; LIST_REGISTERS],
    /// `ICH_HCR_EL2`.
    pub gic_control: u64,
    /// `ICH_MISR_EL2`.
    pub gic_maintenance: u64,
    /// `ICH_VMCR_EL2`.
    pub gic_machine_control: u64,
    /// A counter of the Realm has overflowed and would interrupt.
    pub pmu_overflow: bool,
    /// Some breakpoint or watchpoint is enabled; `None` when they were not loaded.
    pub debug_enabled: Option<bool>,
    /// The Realm has not taken its `SError` yet.
    pub serror_pending: bool,
}

/// What brought the CPU back to the RMM.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u64)]
pub enum ExceptionKind {
    /// A synchronous exception.
    Synchronous = 0,
    /// A physical interrupt.
    Irq = 1,
    /// A physical fast interrupt.
    Fiq = 2,
    /// An `SError`.
    SError = 3,
}

/// An exception taken from a REC.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Exception {
    /// What it is.
    pub kind: ExceptionKind,
    /// `ESR_EL2`.
    pub syndrome: u64,
}

/// A register of the REC that is in the CPU.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Register {
    /// `ELR_EL2`.
    ProgramCounter,
    /// `SPSR_EL2`.
    ProcessorState,
    /// `FAR_EL2`.
    FaultAddress,
    /// `HPFAR_EL2`.
    FaultIpa,
    /// `SCTLR_EL1`.
    SystemControl,
    /// `VBAR_EL1`.
    VectorBase,
    /// `ELR_EL1`.
    ExceptionLink,
    /// `SPSR_EL1`.
    SavedProcessorState,
    /// `ESR_EL1`.
    ExceptionSyndrome,
    /// `FAR_EL1`.
    ExceptionFaultAddress,
    /// `MDSCR_EL1`.
    DebugControl,
    /// `CNTV_CTL_EL0`.
    VirtualTimerControl,
    /// `CNTP_CTL_EL0`.
    PhysicalTimerControl,
}

/// Running a REC on a CPU. Between [`Self::load`] and [`Self::unload`] the registers of the CPU
/// are the REC's.
pub trait Run {
    /// Number of this CPU, below [`MAX_CPUS`](crate::boot::MAX_CPUS).
    fn number(&self) -> usize;

    /// Identification registers as Realms read them on this CPU.
    fn identification(&self) -> &RealmIdRegisters;

    /// Keeps the host's registers and loads those of a REC, which are in its granule.
    fn load(&self, rec: &GranuleWords, configuration: &Configuration);

    /// Saves the registers of the REC in its granule and gives the CPU back the host's.
    fn unload(&self, rec: &GranuleWords, configuration: &Configuration) -> Departure;

    /// Lets the REC run until an exception comes to the RMM. General-purpose registers are in the
    /// granule of the REC before and after.
    fn enter(&self, rec: &GranuleWords) -> Exception;

    /// Reads a register.
    fn read(&self, register: Register) -> u64;

    /// Writes a register.
    fn write(&self, register: Register, value: u64);

    /// Keeps the virtual and the physical timer from interrupting, or lets them.
    fn mask_timers(&self, virtual_timer: bool, physical_timer: bool);

    /// Translates an address of the REC by its stage 1, as for a read at EL1; `None` when it cannot
    /// be translated now.
    fn translate_stage_1(&self, address: u64) -> Option<u64>;

    /// Keeps the host's vector registers and loads the REC's, which are in three granules, and
    /// lets it use them.
    fn load_vectors(&self, areas: [&GranuleWords; 3], configuration: &Configuration);

    /// Saves the REC's vector registers, gives the CPU back the host's and takes them from the REC.
    fn unload_vectors(&self, areas: [&GranuleWords; 3], configuration: &Configuration);

    /// Keeps the host's breakpoints and watchpoints and its OS lock, loads the REC's, with the lock
    /// clear, and lets it use them.
    fn load_debug(&self, rec: &GranuleWords);

    /// Saves the REC's breakpoints and watchpoints, gives the CPU back the host's and takes them from
    /// the REC. Whether one of the REC's is enabled.
    fn unload_debug(&self, rec: &GranuleWords) -> bool;

    /// Lets the REC take an `SError` with this `VSESR_EL2` when it next can.
    fn inject_serror(&self, syndrome: u64);
}
