//! Running a REC: its registers come into the CPU, its program goes on, and its registers leave.
//!
//! What the RMM must not do ends the test: to use the registers of a REC that is not in the CPU, to
//! bring another one, to leave vector registers behind.

use std::cell::RefMut;
use std::sync::atomic::Ordering;

use rmm_core::GranuleWords;
use rmm_core::cpu_view::RealmIdRegisters;
use rmm_core::machine::{
    Configuration, DebugRegisters, Departure, Exception, ExceptionKind, Register, Run,
};
use rmm_core::rec::layout;

use super::FakeCpu;
use crate::realm::{Effect, Pending, Program, Resumed};
use crate::registers::{
    CONTROL_WORDS, OpenVectors, Registers, SIMD_WORDS, Timer, VECTOR_AREAS, Vectors,
};

/// Traps in a row of one instruction that the RMM may answer by letting it be done again.
const MOST_ATTEMPTS: u32 = 8;

const BREAKPOINT_CONTROLS: std::ops::Range<usize> = 16..32;
const WATCHPOINT_CONTROLS: std::ops::Range<usize> = 48..64;

fn load_words<const COUNT: usize>(rec: &GranuleWords, first: usize) -> [u64; COUNT] {
    std::array::from_fn(|word| rec[first + word].load(Ordering::Relaxed))
}

fn store_words(rec: &GranuleWords, first: usize, words: &[u64]) {
    for (word, value) in rec[first..].iter().zip(words) {
        word.store(*value, Ordering::Relaxed);
    }
}

impl Registers {
    /// Breakpoints and watchpoints become the REC's.
    fn open_debug(&mut self, rec: &GranuleWords) {
        assert!(!self.has_debug, "debug registers twice");
        self.debug = load_words(rec, layout::DEBUG);
        self.has_debug = true;
    }

    /// They become the host's again. Whether one of the REC's is enabled.
    fn close_debug(&mut self, rec: &GranuleWords, host: &Self) -> bool {
        store_words(rec, layout::DEBUG, &self.debug);
        let mut controls = self.debug[BREAKPOINT_CONTROLS]
            .iter()
            .chain(&self.debug[WATCHPOINT_CONTROLS]);
        let enabled = controls.any(|control| control & 1 != 0);
        self.debug = host.debug;
        self.has_debug = false;
        enabled
    }
}

impl FakeCpu<'_> {
    /// The registers, of the REC that is in the CPU.
    fn of_rec(&self) -> RefMut<'_, Registers> {
        assert!(self.loaded.get().is_some(), "no REC is in the CPU");
        RefMut::map(self.registers.borrow_mut(), |registers| {
            registers.as_mut().expect("no program runs").as_mut()
        })
    }

    /// Ends the test when another REC than this one is in the CPU, or none.
    fn assert_loaded(&self, rec: &GranuleWords) -> u64 {
        let address = self.memory.address_of(rec);
        assert_eq!(self.loaded.get(), Some(address), "REC {address:#x}");
        address
    }

    /// Exchanges vector registers of the CPU with words of the REC's granules.
    fn exchange_vectors(
        registers: &mut Registers,
        areas: [&GranuleWords; VECTOR_AREAS],
        kept: &Vectors,
        with_sve: bool,
        save: bool,
    ) {
        for (number, area) in areas.into_iter().enumerate() {
            for (word, value) in registers.vectors[number].iter_mut().enumerate() {
                let switched = with_sve || is_simd_word(number, word);
                if save && switched {
                    area[word].store(*value, Ordering::Relaxed);
                }
                *value = match (save, switched) {
                    (true, _) => kept[number][word],
                    (false, true) => area[word].load(Ordering::Relaxed),
                    // Upper halves of the registers: nothing of the host's stays there.
                    (false, false) => 0,
                };
            }
        }
    }

    fn host_registers(&self) -> Registers {
        Registers::of_host(self.identity)
    }

    fn interrupted(&self, registers: &Registers) -> bool {
        let now = self.memory.counter();
        registers.timer_interrupts(Timer::Virtual, now)
            || registers.timer_interrupts(Timer::Physical, now)
    }

    /// Lets the program go on until something comes to the RMM.
    fn run_program(
        &self,
        program: &mut Program,
        mut registers: Box<Registers>,
    ) -> (Exception, Box<Registers>) {
        let interrupt = Exception {
            kind: ExceptionKind::Irq,
            syndrome: 0,
        };
        loop {
            if self.interrupted(&registers) {
                return (interrupt, registers);
            }
            let again = match program.pending.take() {
                None => None,
                Some(pending) => match pending.resumed(&registers) {
                    Resumed::Again => Some(pending.instruction),
                    Resumed::Over(outcome) => {
                        registers.attempts = 0;
                        program.finish(outcome);
                        None
                    }
                },
            };
            let next;
            (next, registers) = match again {
                Some(_) => (again, registers),
                None => program.next(registers),
            };
            let Some(instruction) = next else {
                return (interrupt, registers);
            };
            let address = registers.program_counter;
            match self.execute(&mut registers, &instruction) {
                Effect::Done(value) => {
                    registers.program_counter = registers.program_counter.wrapping_add(4);
                    program.finish(Ok(value));
                }
                Effect::Jumped => program.finish(Ok(0)),
                Effect::Taken(taken) => program.finish(Err(taken)),
                Effect::Trap(exception) => {
                    program.pending = Some(Pending {
                        instruction,
                        address: instruction.address(address),
                    });
                    registers.count_attempt(address, MOST_ATTEMPTS);
                    return (exception, registers);
                }
            }
        }
    }
}

/// Whether a word of the vector areas is used without SVE.
fn is_simd_word(area: usize, word: usize) -> bool {
    match area {
        0 => word < SIMD_WORDS,
        2 => word >= crate::memory::WORDS_PER_GRANULE - CONTROL_WORDS,
        _ => false,
    }
}

impl Run for FakeCpu<'_> {
    fn number(&self) -> usize {
        self.number
    }

    fn identification(&self) -> &RealmIdRegisters {
        self.memory.identification()
    }

    fn load(&self, rec: &GranuleWords, configuration: &Configuration) {
        self.interruption.run();
        let address = self.memory.address_of(rec);
        assert_eq!(self.loaded.replace(Some(address)), None, "two RECs");
        assert!(self.memory.is_mapped(address), "REC {address:#x}");
        self.loads.set(self.loads.get() + 1);
        self.memory.run_on(
            self.number,
            configuration.stage2.vmid,
            address,
            configuration.forget_translations,
        );
        let mut registers = self.registers.borrow_mut();
        let registers = registers.get_or_insert_with(|| Box::new(self.host_registers()));
        registers.assert_the_hosts(self.identity);
        registers.system = load_words(rec, layout::SYSTEM);
        registers.gic = load_words(rec, layout::GIC);
        registers.program_counter = rec[layout::PROGRAM_COUNTER].load(Ordering::Relaxed);
        registers.processor_state = rec[layout::PROCESSOR_STATE].load(Ordering::Relaxed);
        registers.gic_control = configuration.gic_control;
        registers.gic_maintenance = 0;
        let available = self.memory.list_registers();
        for (number, register) in registers.list_registers.iter_mut().enumerate() {
            *register = if number < available {
                configuration.list_registers[number]
            } else {
                0
            };
        }
        registers.serror_pending = configuration.serror.is_some();
        registers.serror_syndrome = configuration.serror.unwrap_or(0);
        registers.trap_wfi = configuration.trap_wfi;
        registers.trap_wfe = configuration.trap_wfe;
        registers.stage2 = Some(configuration.stage2);
        registers.multiprocessor_affinity = configuration.mpidr;
        registers.attempts = 0;
        if configuration.debug == DebugRegisters::Loaded {
            registers.open_debug(rec);
        }
        registers.pmu_open = configuration.features.pmu_counters.is_some();
        if registers.pmu_open {
            registers.pmu = load_words(rec, layout::PMU);
        }
    }

    fn unload(&self, rec: &GranuleWords, configuration: &Configuration) -> Departure {
        self.interruption.run();
        self.assert_loaded(rec);
        let now = self.memory.counter();
        let host = self.host_registers();
        let mut departure = Departure::default();
        {
            let mut registers = self.of_rec();
            assert_eq!(
                registers.open_vectors, None,
                "the REC leaves its vector registers behind"
            );
            assert_eq!(registers.stage2, Some(configuration.stage2));
            for timer in [Timer::Virtual, Timer::Physical] {
                let control = registers.timer_control(timer, now);
                registers.set_system(timer.control(), control);
            }
            store_words(rec, layout::SYSTEM, &registers.system);
            store_words(rec, layout::GIC, &registers.gic);
            store_words(rec, layout::PROGRAM_COUNTER, &[registers.program_counter]);
            store_words(rec, layout::PROCESSOR_STATE, &[registers.processor_state]);
            departure.gic_control = registers.gic_control;
            departure.gic_maintenance = registers.gic_maintenance;
            departure.gic_machine_control = registers.gic[0];
            departure.list_registers = registers.list_registers;
            departure.serror_pending = registers.serror_pending;
            if registers.pmu_open {
                store_words(rec, layout::PMU, &registers.pmu);
                departure.pmu_overflow = registers.pmu_overflows();
            }
            if registers.has_debug {
                departure.debug_enabled = Some(registers.close_debug(rec, &host));
            }
            *registers = host;
        }
        self.loaded.set(None);
        departure
    }

    fn enter(&self, rec: &GranuleWords) -> Exception {
        self.interruption.run();
        let address = self.assert_loaded(rec);
        let mut registers = self.registers.borrow_mut().take().expect("loaded");
        registers.assert_debug_is_the_realms();
        registers.general = load_words(rec, layout::GENERAL_PURPOSE);
        registers.stack_pointer = rec[layout::STACK_POINTER_EL0].load(Ordering::Relaxed);
        let mut program = self.memory.programs().take(address);
        let (exception, registers) = self.run_program(&mut program, registers);
        self.memory.programs().set(address, program);
        store_words(rec, layout::GENERAL_PURPOSE, &registers.general);
        store_words(rec, layout::STACK_POINTER_EL0, &[registers.stack_pointer]);
        *self.registers.borrow_mut() = Some(registers);
        exception
    }

    fn read(&self, register: Register) -> u64 {
        let now = self.memory.counter();
        let mut registers = self.of_rec();
        match register {
            Register::VirtualTimerControl => registers.timer_control(Timer::Virtual, now),
            Register::PhysicalTimerControl => registers.timer_control(Timer::Physical, now),
            register => *registers.named(register),
        }
    }

    fn write(&self, register: Register, value: u64) {
        *self.of_rec().named(register) = value;
    }

    fn mask_timers(&self, virtual_timer: bool, physical_timer: bool) {
        let mut registers = self.of_rec();
        registers.virtual_timer_masked = virtual_timer;
        registers.physical_timer_masked = physical_timer;
    }

    fn translate_stage_1(&self, address: u64) -> Option<u64> {
        self.of_rec().translate_stage_1(address)
    }

    fn load_vectors(&self, areas: [&GranuleWords; 3], configuration: &Configuration) {
        self.interruption.run();
        let kept = self.host_registers().vectors;
        let mut registers = self.of_rec();
        assert_eq!(registers.open_vectors, None, "vector registers twice");
        assert_eq!(registers.vectors, kept, "the host's vector registers");
        let with_sve = configuration.features.sve_vector_length.is_some();
        Self::exchange_vectors(&mut registers, areas, &kept, with_sve, false);
        registers.open_vectors = Some(if with_sve {
            OpenVectors::Sve
        } else {
            OpenVectors::Simd
        });
    }

    fn unload_vectors(&self, areas: [&GranuleWords; 3], configuration: &Configuration) {
        self.interruption.run();
        let kept = self.host_registers().vectors;
        let mut registers = self.of_rec();
        let with_sve = configuration.features.sve_vector_length.is_some();
        let open = registers.open_vectors.take().expect("vector registers");
        assert_eq!(open == OpenVectors::Sve, with_sve);
        Self::exchange_vectors(&mut registers, areas, &kept, with_sve, true);
    }

    fn load_debug(&self, rec: &GranuleWords) {
        self.interruption.run();
        self.assert_loaded(rec);
        let mut registers = self.of_rec();
        registers.open_debug(rec);
    }

    fn unload_debug(&self, rec: &GranuleWords) -> bool {
        self.interruption.run();
        self.assert_loaded(rec);
        let host = self.host_registers();
        let mut registers = self.of_rec();
        assert!(registers.has_debug, "the debug registers are the host's");
        registers.close_debug(rec, &host)
    }

    fn inject_serror(&self, syndrome: u64) {
        let mut registers = self.of_rec();
        registers.serror_pending = true;
        registers.serror_syndrome = syndrome;
    }
}
