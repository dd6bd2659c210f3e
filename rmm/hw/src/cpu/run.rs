//! Running a REC on this CPU.

use core::arch::{asm, global_asm};
use core::sync::atomic::{AtomicU64, Ordering};

use rmm_core::cpu_view::RealmIdRegisters;
use rmm_core::machine::{
    Configuration, DebugRegisters, Departure, Exception, ExceptionKind, Register, Run,
};
use rmm_core::rec::layout;
use rmm_core::{GranuleWords, WORDS_PER_GRANULE};

use super::ThisCpu;
use crate::memory::translation;
use crate::resident::SwitchedState;

global_asm!(include_str!("../run.S"), options(raw));

/// What `rmm_run` returns.
#[repr(C)]
struct RawException {
    kind: u64,
    syndrome: u64,
}

unsafe extern "C" {
    fn rmm_run(registers: *const AtomicU64) -> RawException;
}

/// Word of `ZCR_EL1` in the third granule of vector registers, where nothing else is.
const VECTOR_LENGTH: usize = WORDS_PER_GRANULE - 1;

/// Some words of a REC's granule.
fn part<const WORDS: usize>(rec: &GranuleWords, first: usize) -> &[AtomicU64; WORDS] {
    // The positions are constants of the layout; one that is out of bounds would not get past the
    // first entry of any REC.
    match rec[first..].first_chunk() {
        Some(part) => part,
        None => unreachable!("a REC has {WORDS} words from {first} on"),
    }
}

macro_rules! read {
    ($register:literal) => {{
        let value: u64;
        // SAFETY: reading a register that holds a Realm's state has no effect.
        unsafe {
            asm!(
                concat!("mrs {0}, ", $register),
                out(reg) value,
                options(nomem, nostack, preserves_flags)
            );
        }
        value
    }};
}

macro_rules! write {
    ($register:literal, $value:expr) => {
        // SAFETY: the register holds a Realm's state, which the RMM does not run by.
        unsafe {
            asm!(
                concat!("msr ", $register, ", {0}"),
                in(reg) $value,
                options(nomem, nostack, preserves_flags)
            );
        }
    };
}

impl Run for ThisCpu<'_> {
    fn number(&self) -> usize {
        self.number
    }

    fn identification(&self) -> &RealmIdRegisters {
        &self.realm_cpu.identification
    }

    fn load(&self, rec: &GranuleWords, configuration: &Configuration) {
        self.state.begin();
        self.realm_cpu.enter(configuration);
        if configuration.features.pmu_counters.is_some() {
            let counters = self.realm_cpu.event_counters();
            self.state.pmu.to_realm(part(rec, layout::PMU), counters);
        } else {
            self.state.pmu.hold();
        }
        self.state
            .system
            .exchange_to_realm(part(rec, layout::SYSTEM));
        if configuration.debug == DebugRegisters::Loaded {
            self.load_debug_registers(rec);
        }
        self.state.gic.load(
            part(rec, layout::GIC),
            configuration.gic_control,
            &configuration.list_registers,
        );
        let word = |word: usize| rec[word].load(Ordering::Relaxed);
        self.write(Register::ProgramCounter, word(layout::PROGRAM_COUNTER));
        self.write(Register::ProcessorState, word(layout::PROCESSOR_STATE));
    }

    fn unload(&self, rec: &GranuleWords, configuration: &Configuration) -> Departure {
        let mut departure = Departure::default();
        let set = |word: usize, value| rec[word].store(value, Ordering::Relaxed);
        set(layout::PROGRAM_COUNTER, self.read(Register::ProgramCounter));
        set(layout::PROCESSOR_STATE, self.read(Register::ProcessorState));
        self.state
            .gic
            .unload(part(rec, layout::GIC), &mut departure);
        departure.debug_enabled = self.unload_debug_registers(rec);
        self.state
            .system
            .exchange_to_host(part(rec, layout::SYSTEM));
        if configuration.features.pmu_counters.is_some() {
            let counters = self.realm_cpu.event_counters();
            departure.pmu_overflow = self.state.pmu.to_host(part(rec, layout::PMU), counters);
        } else {
            self.state.pmu.resume();
        }
        departure.serror_pending = self.realm_cpu.leave();
        SwitchedState::end();
        departure
    }

    #[inline]
    fn enter(&self, rec: &GranuleWords) -> Exception {
        // SAFETY: the registers of the REC are in the CPU (`load`), and this CPU alone uses its
        // granule. Whatever the Realm does comes back as an exception, with the RMM's registers as
        // they were, except those that a function may change.
        let RawException { kind, syndrome } =
            unsafe { rmm_run(rec.as_ptr().add(layout::GENERAL_PURPOSE)) };
        Exception {
            kind: match kind {
                0 => ExceptionKind::Synchronous,
                1 => ExceptionKind::Irq,
                2 => ExceptionKind::Fiq,
                _ => ExceptionKind::SError,
            },
            syndrome,
        }
    }

    #[inline]
    fn read(&self, register: Register) -> u64 {
        match register {
            Register::ProgramCounter => read!("elr_el2"),
            Register::ProcessorState => read!("spsr_el2"),
            Register::FaultAddress => read!("far_el2"),
            Register::FaultIpa => read!("hpfar_el2"),
            Register::SystemControl => read!("s3_5_c1_c0_0"),
            Register::VectorBase => read!("s3_5_c12_c0_0"),
            Register::ExceptionLink => read!("s3_5_c4_c0_1"),
            Register::SavedProcessorState => read!("s3_5_c4_c0_0"),
            Register::ExceptionSyndrome => read!("s3_5_c5_c2_0"),
            Register::ExceptionFaultAddress => read!("s3_5_c6_c0_0"),
            Register::DebugControl => read!("mdscr_el1"),
            Register::VirtualTimerControl => read!("s3_5_c14_c3_1"),
            Register::PhysicalTimerControl => read!("s3_5_c14_c2_1"),
        }
    }

    #[inline]
    fn write(&self, register: Register, value: u64) {
        match register {
            Register::ProgramCounter => write!("elr_el2", value),
            Register::ProcessorState => write!("spsr_el2", value),
            Register::FaultAddress => write!("far_el2", value),
            Register::FaultIpa => write!("hpfar_el2", value),
            Register::SystemControl => write!("s3_5_c1_c0_0", value),
            Register::VectorBase => write!("s3_5_c12_c0_0", value),
            Register::ExceptionLink => write!("s3_5_c4_c0_1", value),
            Register::SavedProcessorState => write!("s3_5_c4_c0_0", value),
            Register::ExceptionSyndrome => write!("s3_5_c5_c2_0", value),
            Register::ExceptionFaultAddress => write!("s3_5_c6_c0_0", value),
            Register::DebugControl => write!("mdscr_el1", value),
            Register::VirtualTimerControl => write!("s3_5_c14_c3_1", value),
            Register::PhysicalTimerControl => write!("s3_5_c14_c2_1", value),
        }
    }

    fn mask_timers(&self, virtual_timer: bool, physical_timer: bool) {
        self.realm_cpu.mask_timers(virtual_timer, physical_timer);
    }

    fn translate_stage_1(&self, address: u64) -> Option<u64> {
        translation::of_realm(address)
    }

    fn load_vectors(&self, areas: [&GranuleWords; 3], configuration: &Configuration) {
        let sve = configuration.features.sve_vector_length;
        self.state.vectors.to_realm(areas, sve);
        if sve.is_some() {
            // ZCR_EL1, which traps no more.
            self.state.zcr.set(read!("s3_5_c1_c2_0"));
            let length = areas[2][VECTOR_LENGTH].load(Ordering::Relaxed);
            write!("s3_5_c1_c2_0", length);
        }
    }

    fn unload_vectors(&self, areas: [&GranuleWords; 3], configuration: &Configuration) {
        let sve = configuration.features.sve_vector_length;
        if sve.is_some() {
            areas[2][VECTOR_LENGTH].store(read!("s3_5_c1_c2_0"), Ordering::Relaxed);
            write!("s3_5_c1_c2_0", self.state.zcr.get());
        }
        self.state.vectors.to_host(areas, sve);
    }

    fn load_debug(&self, rec: &GranuleWords) {
        self.load_debug_registers(rec);
        self.realm_cpu.open_debug();
    }

    fn unload_debug(&self, rec: &GranuleWords) -> bool {
        self.realm_cpu.close_debug();
        self.unload_debug_registers(rec) == Some(true)
    }

    fn inject_serror(&self, syndrome: u64) {
        self.realm_cpu.inject_serror(syndrome);
    }
}

impl ThisCpu<'_> {
    fn load_debug_registers(&self, rec: &GranuleWords) {
        self.state.debug.exchange_to_realm(part(rec, layout::DEBUG));
        self.state.has_realms_debug.set(true);
    }

    /// Whether one of the REC's is enabled; `None` when they are not in the CPU.
    fn unload_debug_registers(&self, rec: &GranuleWords) -> Option<bool> {
        self.state
            .has_realms_debug
            .take()
            .then(|| self.state.debug.exchange_to_host(part(rec, layout::DEBUG)))
    }
}
