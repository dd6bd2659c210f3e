//! The registers of a CPU that matter to a Realm.

use rmm_core::machine::{LIST_REGISTERS, Register};
use rmm_core::rec::layout::{DEBUG_WORDS, GIC_WORDS, PMU_WORDS, SystemRegister};
use rmm_core::rtt::Stage2;

use crate::memory::WORDS_PER_GRANULE;

/// Granules that the vector registers fill.
pub(crate) const VECTOR_AREAS: usize = 3;
/// Words of the first vector area that the 32 registers without SVE fill.
pub(crate) const SIMD_WORDS: usize = 64;
/// Words of the last vector area, from the end, that `FPCR` and `FPSR` fill in this machine.
pub(crate) const CONTROL_WORDS: usize = 2;

/// The vector registers in the order of the RMM's granules.
pub(crate) type Vectors = [[u64; WORDS_PER_GRANULE]; VECTOR_AREAS];

/// Which vector registers a Realm may use without a trap.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum OpenVectors {
    /// Those of floating point and SIMD.
    Simd,
    /// Those of SVE, which hold the others.
    Sve,
}

/// One of the two timers of a Realm.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Timer {
    /// `CNTV_*_EL0`.
    Virtual,
    /// `CNTP_*_EL0`.
    Physical,
}

impl Timer {
    pub(crate) const fn control(self) -> SystemRegister {
        match self {
            Self::Virtual => SystemRegister::CNTV_CTL_EL0,
            Self::Physical => SystemRegister::CNTP_CTL_EL0,
        }
    }

    pub(crate) const fn compare(self) -> SystemRegister {
        match self {
            Self::Virtual => SystemRegister::CNTV_CVAL_EL0,
            Self::Physical => SystemRegister::CNTP_CVAL_EL0,
        }
    }
}

/// `CNT*_CTL_EL0.ENABLE`.
pub const TIMER_ENABLE: u64 = 1 << 0;
/// `CNT*_CTL_EL0.IMASK`.
pub const TIMER_MASK: u64 = 1 << 1;
/// `CNT*_CTL_EL0.ISTATUS`.
pub const TIMER_STATUS: u64 = 1 << 2;

/// What a CPU's registers hold while a REC is in it. Outside of that time they hold the host's.
#[derive(Clone, Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "bits of registers that have nothing to do with each other"
)]
pub struct Registers {
    /// X0 to X30.
    pub general: [u64; 31],
    /// `SP_EL0`.
    pub stack_pointer: u64,
    /// `ELR_EL2`: where the Realm goes on.
    pub program_counter: u64,
    /// `SPSR_EL2`: PSTATE of the Realm.
    pub processor_state: u64,
    /// `FAR_EL2`.
    pub fault_address: u64,
    /// `HPFAR_EL2`.
    pub fault_ipa: u64,
    /// `VSESR_EL2`.
    pub serror_syndrome: u64,
    /// `HCR_EL2.VSE`.
    pub serror_pending: bool,
    /// `ICH_HCR_EL2`.
    pub gic_control: u64,
    /// `ICH_MISR_EL2`.
    pub gic_maintenance: u64,
    /// `ICH_LR<n>_EL2`.
    pub list_registers: [u64; LIST_REGISTERS],
    /// `ICH_VMCR_EL2` and the active priorities.
    pub gic: [u64; GIC_WORDS],
    /// Breakpoints and watchpoints.
    pub debug: [u64; DEBUG_WORDS],
    /// Breakpoints and watchpoints are the Realm's, and the OS lock is clear.
    pub has_debug: bool,
    /// The performance monitor.
    pub pmu: [u64; PMU_WORDS],
    pub(crate) system: [u64; SystemRegister::COUNT],
    pub(crate) vectors: Box<Vectors>,
    pub(crate) virtual_timer_masked: bool,
    pub(crate) physical_timer_masked: bool,
    pub(crate) open_vectors: Option<OpenVectors>,
    pub(crate) pmu_open: bool,
    pub(crate) trap_wfi: bool,
    pub(crate) trap_wfe: bool,
    pub(crate) stage2: Option<Stage2>,
    /// `VMPIDR_EL2`.
    pub(crate) multiprocessor_affinity: u64,
    /// Traps in a row of one instruction since the REC was loaded.
    pub(crate) attempts: u32,
    pub(crate) last_trap: u64,
}

/// A value that tells whose it is and where it was put.
const fn pattern(identity: u64, kind: u64, index: usize) -> u64 {
    let word = identity << 32 ^ kind << 24 ^ index as u64 ^ 0x5ca1_ab1e_0000_0000;
    let word = (word ^ word >> 31).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (word ^ word >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9) | 1
}

fn patterns<const COUNT: usize>(identity: u64, kind: u64) -> [u64; COUNT] {
    std::array::from_fn(|index| pattern(identity, kind, index))
}

impl Registers {
    /// The registers of a CPU that no REC was ever in: each holds a value of the host's of its own.
    pub(crate) fn of_host(identity: u64) -> Self {
        Self {
            general: patterns(identity, 1),
            stack_pointer: pattern(identity, 2, 0),
            program_counter: pattern(identity, 2, 1),
            processor_state: pattern(identity, 2, 2),
            fault_address: pattern(identity, 2, 3),
            fault_ipa: pattern(identity, 2, 4),
            serror_syndrome: pattern(identity, 2, 5),
            serror_pending: false,
            gic_control: 0,
            gic_maintenance: 0,
            list_registers: [0; LIST_REGISTERS],
            gic: [0; GIC_WORDS],
            debug: patterns(identity, 3),
            has_debug: false,
            pmu: patterns(identity, 4),
            system: patterns(identity, 5),
            vectors: Box::new([
                patterns(identity, 6),
                patterns(identity, 7),
                patterns(identity, 8),
            ]),
            virtual_timer_masked: false,
            physical_timer_masked: false,
            open_vectors: None,
            pmu_open: false,
            trap_wfi: false,
            trap_wfe: false,
            stage2: None,
            multiprocessor_affinity: 0,
            attempts: 0,
            last_trap: 0,
        }
    }

    /// Ends the test when something that is the host's outside of Realms is not as it was.
    pub(crate) fn assert_the_hosts(&self, identity: u64) {
        let host = Self::of_host(identity);
        let same = |what: &str, now: &[u64], then: &[u64]| {
            for (index, (now, then)) in now.iter().zip(then).enumerate() {
                assert_eq!(
                    now, then,
                    "the host's {what} register {index} is not as it was"
                );
            }
        };
        same("system", &self.system, &host.system);
        same("debug", &self.debug, &host.debug);
        same("performance monitor", &self.pmu, &host.pmu);
        for (now, then) in self.vectors.iter().zip(host.vectors.iter()) {
            same("vector", now, then);
        }
        assert_eq!(
            self.gic_control & 1,
            0,
            "the virtual GIC interface is left enabled"
        );
        assert_eq!(
            self.list_registers, [0; LIST_REGISTERS],
            "list registers are left behind"
        );
    }

    /// A system register.
    pub fn system(&self, register: SystemRegister) -> u64 {
        self.system[register as usize]
    }

    /// A system register by its place among all.
    pub fn system_mut(&mut self, number: usize) -> &mut u64 {
        &mut self.system[number]
    }

    /// Sets a system register.
    pub fn set_system(&mut self, register: SystemRegister, value: u64) {
        self.system[register as usize] = value;
    }

    /// The IPA of an address. While `SCTLR_EL1.M` is clear the address is the IPA. Otherwise addresses
    /// from `TTBR0_EL1` on are IPAs from zero on, and no others are translated: a stage 1 so simple
    /// that tests can say what should come of it.
    pub(crate) fn translate_stage_1(&self, address: u64) -> Option<u64> {
        const MMU: u64 = 1 << 0;
        if self.system(SystemRegister::SCTLR_EL1) & MMU == 0 {
            return Some(address);
        }
        address.checked_sub(self.system(SystemRegister::TTBR0_EL1))
    }

    /// What the control register of a timer reads at a moment.
    pub(crate) fn timer_control(&self, timer: Timer, now: u64) -> u64 {
        let written = self.system(timer.control()) & (TIMER_ENABLE | TIMER_MASK);
        let due = written & TIMER_ENABLE != 0 && now >= self.system(timer.compare());
        written | if due { TIMER_STATUS } else { 0 }
    }

    /// Whether a timer would interrupt the CPU at a moment.
    pub(crate) fn timer_interrupts(&self, timer: Timer, now: u64) -> bool {
        let masked = match timer {
            Timer::Virtual => self.virtual_timer_masked,
            Timer::Physical => self.physical_timer_masked,
        };
        !masked && self.timer_control(timer, now) == TIMER_ENABLE | TIMER_STATUS
    }

    /// `PMCR_EL0` of the performance monitor, in the RMM's order of words. That of the next three is
    /// this machine's own.
    pub(crate) const PMU_CONTROL: usize = 0;
    /// `PMCNTENSET_EL0`.
    pub(crate) const PMU_ENABLED: usize = 1;
    /// `PMINTENSET_EL1`.
    pub(crate) const PMU_INTERRUPTS: usize = 2;
    /// `PMOVSSET_EL0`.
    pub(crate) const PMU_OVERFLOWS: usize = 3;

    /// Whether the performance monitor asserts its interrupt.
    pub(crate) fn pmu_overflows(&self) -> bool {
        const ENABLE: u64 = 1 << 0;
        let active = self.pmu[Self::PMU_ENABLED]
            & self.pmu[Self::PMU_INTERRUPTS]
            & self.pmu[Self::PMU_OVERFLOWS];
        self.pmu[Self::PMU_CONTROL] & ENABLE != 0 && active != 0
    }

    /// Ends the test when the RMM has one instruction done again and again.
    pub(crate) fn count_attempt(&mut self, address: u64, most: u32) {
        if address != self.last_trap {
            self.last_trap = address;
            self.attempts = 0;
        }
        self.attempts += 1;
        assert!(
            self.attempts <= most,
            "the instruction at {address:#x} comes to the RMM again and again"
        );
    }

    /// Ends the test when the host's breakpoints, watchpoints or OS lock would have an effect on a
    /// Realm.
    pub(crate) fn assert_debug_is_the_realms(&self) {
        const MDE_OR_SS: u64 = 1 << 15 | 1 << 0;
        let control = self.system[SystemRegister::MDSCR_EL1 as usize];
        assert!(
            self.has_debug || control & MDE_OR_SS == 0,
            "MDSCR_EL1 {control:#x} with the host's debug registers"
        );
    }

    /// A register by the RMM's name for it.
    pub(crate) fn named(&mut self, register: Register) -> &mut u64 {
        let system = match register {
            Register::ProgramCounter => return &mut self.program_counter,
            Register::ProcessorState => return &mut self.processor_state,
            Register::FaultAddress => return &mut self.fault_address,
            Register::FaultIpa => return &mut self.fault_ipa,
            Register::SystemControl => SystemRegister::SCTLR_EL1,
            Register::VectorBase => SystemRegister::VBAR_EL1,
            Register::ExceptionLink => SystemRegister::ELR_EL1,
            Register::SavedProcessorState => SystemRegister::SPSR_EL1,
            Register::ExceptionSyndrome => SystemRegister::ESR_EL1,
            Register::ExceptionFaultAddress => SystemRegister::FAR_EL1,
            Register::DebugControl => SystemRegister::MDSCR_EL1,
            Register::VirtualTimerControl => SystemRegister::CNTV_CTL_EL0,
            Register::PhysicalTimerControl => SystemRegister::CNTP_CTL_EL0,
        };
        &mut self.system[system as usize]
    }

    /// Exception level that the Realm is at, 0 or 1.
    pub fn exception_level(&self) -> u64 {
        self.processor_state >> 2 & 3
    }

    /// Whether the Realm runs `AArch32` code.
    pub fn is_aarch32(&self) -> bool {
        self.processor_state & 1 << 4 != 0
    }
}
