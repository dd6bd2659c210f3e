//! Running a REC: from the host's entry to the exit, with what the RMM handles itself in between
//! (DEN0137 chapter A4; reference, sections 7 and 8).
//!
//! | Module | What lives there |
//! |---|---|
//! | `entry` | what the host says on entry, and completing what the last exit left open |
//! | `abort` | aborts: page of the host's to provide, access to emulate, or the Realm's own mistake |
//! | `inject` | exceptions that the Realm takes |
//! | `system` | trapped system registers, `WFI`, vector registers |

mod abort;
pub(crate) mod entry;
mod inject;
mod system;

use rmm_abi::smc;
use rmm_abi::statistics::Fault;

use crate::error::Fatal;
use crate::exit::Exit;
use crate::machine::{ExceptionKind, Register};
use crate::rec::layout::SystemRegister;
use crate::rec::{self, Flag};
use crate::session::{Next, Session};
use crate::syndrome as bits;
use crate::{Machine, psci, rsi};

impl<M: Machine> Session<'_, M> {
    /// Lets the REC run until it exits.
    pub(crate) fn run(&self) -> Result<Exit, Fatal> {
        loop {
            let exception = self.machine().enter(self.rec.words());
            let next = match exception.kind {
                ExceptionKind::Synchronous => self.handle(exception.syndrome)?,
                ExceptionKind::Irq => Some(Exit::Irq),
                ExceptionKind::Fiq => Some(Exit::Fiq),
                ExceptionKind::SError => Some(self.serror(exception.syndrome)),
            };
            if let Some(exit) = next {
                return Ok(exit);
            }
            // A line that is masked says nothing when it falls and rises again.
            let lines = self.timer_lines.get();
            if lines != [false; 2] && self.update_timers(lines) {
                return Ok(Exit::Irq);
            }
        }
    }

    fn handle(&self, syndrome: u64) -> Result<Next, Fatal> {
        match bits::class_of(syndrome) {
            bits::SECURE_MONITOR_CALL => self.monitor_call(),
            bits::SYSTEM_ACCESS => Ok(self.system_access(syndrome)),
            bits::DATA_ABORT_LOWER | bits::INSTRUCTION_ABORT_LOWER => self.abort(syndrome),
            bits::SIMD => self.vectors(),
            bits::SVE if self.configuration.features.sve_vector_length.is_some() => self.vectors(),
            bits::WAIT => Ok(self.wait(syndrome)),
            bits::HYPERVISOR_CALL => {
                // The CPU counts the call as done. For the Realm there is no such instruction.
                let after = self.machine().read(Register::ProgramCounter);
                self.machine()
                    .write(Register::ProgramCounter, after.wrapping_sub(4));
                self.inject_undefined();
                Ok(None)
            }
            // Instructions and registers of what a Realm is not shown.
            _ => {
                self.inject_undefined();
                Ok(None)
            }
        }
    }

    /// A call by `SMC`: RSI, PSCI, or nothing that is there.
    fn monitor_call(&self) -> Result<Next, Fatal> {
        let function = smc::function_identifier(self.rec.general(0));
        match function {
            rsi::FIRST..=rsi::LAST => rsi::call(self, function),
            _ if psci::is_function(function) => psci::call(self, function),
            smc::SMCCC_VERSION => {
                const SMCCC_1_2: u64 = 0x1_0002;
                self.rec.set_general(0, SMCCC_1_2);
                self.advance();
                Ok(None)
            }
            _ => {
                self.rec.set_general(0, smc::NOT_SUPPORTED);
                self.advance();
                Ok(None)
            }
        }
    }

    /// An `SError` from outside. One that may have damaged what the Realm does is the Realm's to
    /// know as well.
    fn serror(&self, syndrome: u64) -> Exit {
        const ASYNCHRONOUS: u64 = 0x11;
        const RESTARTABLE: u64 = 0b010 << 10;
        const CORRECTED: u64 = 0b110 << 10;
        let is_described = syndrome & bits::IMPLEMENTATION_DEFINED_SYNDROME == 0
            && syndrome & bits::FAULT_STATUS == ASYNCHRONOUS;
        let is_harmless = is_described
            && matches!(
                syndrome & bits::ASYNCHRONOUS_ERROR_TYPE,
                RESTARTABLE | CORRECTED
            );
        if !is_harmless {
            const VSESR_FIELDS: u64 = 0x1ff_ffff;
            self.rec
                .set(rec::layout::SERROR_SYNDROME, syndrome & VSESR_FIELDS);
            self.rec.set_flag(Flag::SErrorPending, true);
            self.machine().inject_serror(syndrome & VSESR_FIELDS);
            self.note_fault(Fault::SError);
        }
        Exit::SError { syndrome }
    }

    /// Brings the lines of the timers to the CPU. True when the host does not know of a change yet.
    pub(crate) fn update_timers(&self, known: [bool; 2]) -> bool {
        let machine = self.machine();
        let lines = [
            Register::VirtualTimerControl,
            Register::PhysicalTimerControl,
        ]
        .map(|register| is_asserted(machine.read(register)));
        machine.mask_timers(lines[0], lines[1]);
        self.timer_lines.set(lines);
        lines != known
    }
}

/// The lines of both timers as the host was told at the last exit: virtual, physical.
pub(crate) fn known_timer_lines(rec: rec::Descriptor<'_>) -> [bool; 2] {
    [SystemRegister::CNTV_CTL_EL0, SystemRegister::CNTP_CTL_EL0]
        .map(|register| is_asserted(rec.get(register.word())))
}

/// Whether a timer asserts its line: ENABLE, no IMASK, ISTATUS.
const fn is_asserted(control: u64) -> bool {
    control & 0b111 == 0b101
}
