//! What the program of a REC can do.

use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;

use rmm_core::machine::ExceptionKind;
use rmm_core::rec::layout::SystemRegister;

use super::instruction::{Instruction, MemoryAccess, SystemEncoding, Taken, VectorUse, WaitFor};
use crate::registers::{Registers, Timer};

/// The REC, for its program.
#[derive(Clone, Debug, Default)]
pub struct Guest(Arc<Mutex<Slot>>);

/// What program and CPU hand to each other.
#[derive(Debug, Default)]
struct Slot {
    registers: Option<Box<Registers>>,
    instruction: Option<Instruction>,
    outcome: Option<Result<u64, Taken>>,
}

impl Guest {
    fn slot(&self) -> MutexGuard<'_, Slot> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn lend(&self, registers: Box<Registers>) {
        self.slot().registers = Some(registers);
    }

    pub(super) fn take_back(&self) -> Box<Registers> {
        self.slot().registers.take().expect("lent")
    }

    pub(super) fn take_instruction(&self) -> Instruction {
        let instruction = self.slot().instruction.take();
        instruction.expect("a program waits for nothing but its instructions")
    }

    pub(super) fn finish(&self, outcome: Result<u64, Taken>) {
        self.slot().outcome = Some(outcome);
    }

    /// Looks at the registers, and changes them, as instructions do that never come to the RMM.
    ///
    /// # Panics
    ///
    /// When the REC is not on a CPU.
    pub fn registers<R>(&self, action: impl FnOnce(&mut Registers) -> R) -> R {
        let mut slot = self.slot();
        action(slot.registers.as_mut().expect("the REC is on a CPU"))
    }

    /// Executes an instruction.
    ///
    /// # Errors
    ///
    /// The exception that the Realm takes to its EL1 instead.
    pub async fn execute(&self, instruction: Instruction) -> Result<u64, Taken> {
        self.slot().instruction = Some(instruction);
        poll_fn(|_| match self.slot().outcome.take() {
            Some(outcome) => Poll::Ready(outcome),
            None => Poll::Pending,
        })
        .await
    }

    /// A general-purpose register.
    pub fn general(&self, number: usize) -> u64 {
        self.registers(|registers| registers.general[number])
    }

    /// Sets a general-purpose register.
    pub fn set_general(&self, number: usize, value: u64) {
        self.registers(|registers| registers.general[number] = value);
    }

    /// A system register.
    pub fn system(&self, register: SystemRegister) -> u64 {
        self.registers(|registers| registers.system(register))
    }

    /// Sets a system register.
    pub fn set_system(&self, register: SystemRegister, value: u64) {
        self.registers(|registers| registers.set_system(register, value));
    }

    /// Where the next instruction is.
    pub fn program_counter(&self) -> u64 {
        self.registers(|registers| registers.program_counter)
    }

    /// PSTATE from now on, and where the next instruction is, as `ERET` sets them.
    pub fn continue_at(&self, address: u64, processor_state: u64) {
        self.registers(|registers| {
            registers.program_counter = address;
            registers.processor_state = processor_state;
        });
    }

    /// Turns address translation on: addresses from this one on are IPAs from zero on.
    pub fn translate_from(&self, first: u64) {
        let control = self.system(SystemRegister::SCTLR_EL1);
        self.set_system(SystemRegister::SCTLR_EL1, control | 1);
        self.set_system(SystemRegister::TTBR0_EL1, first);
    }

    /// Goes back to where an exception came from.
    pub fn return_from_exception(&self) {
        let address = self.system(SystemRegister::ELR_EL1);
        let state = self.system(SystemRegister::SPSR_EL1);
        self.continue_at(address, state);
    }

    /// Sets the compare value and the control register of a timer.
    pub fn set_timer(&self, timer: Timer, compare: u64, control: u64) {
        self.set_system(timer.compare(), compare);
        self.set_system(timer.control(), control);
    }

    /// Takes the `SError` that waits for the Realm, if PSTATE lets it: its syndrome.
    pub fn take_serror(&self) -> Option<u64> {
        const MASKED: u64 = 1 << 8;
        self.registers(|registers| {
            let open = registers.processor_state & MASKED == 0;
            let taken = registers.serror_pending && open;
            registers.serror_pending &= !taken;
            taken.then_some(registers.serror_syndrome)
        })
    }

    /// `SMC #0` with these registers from X0 on, and what they hold afterwards.
    ///
    /// # Panics
    ///
    /// When the Realm takes an exception.
    pub async fn smc(&self, arguments: &[u64]) -> [u64; 18] {
        self.registers(|registers| {
            registers.general[..arguments.len()].copy_from_slice(arguments);
        });
        self.finished(Instruction::Smc(0)).await;
        self.registers(|registers| std::array::from_fn(|number| registers.general[number]))
    }

    /// A call by `SMC #0` with these registers from X0 on and a value in each other one. Gives X0 to
    /// X3; the others must be as they were.
    ///
    /// # Panics
    ///
    /// When they are not, or the Realm does not go on behind the instruction.
    pub async fn call(&self, arguments: &[u64]) -> [u64; 4] {
        let before: [u64; 31] = std::array::from_fn(|number| {
            let argument = arguments.get(number).copied();
            argument.unwrap_or(0x7700 + number as u64)
        });
        self.registers(|registers| registers.general = before);
        let here = self.program_counter();
        self.finished(Instruction::Smc(0)).await;
        let after = self.registers(|registers| registers.general);
        assert_eq!(after[4..], before[4..], "{arguments:x?}");
        assert_eq!(self.program_counter(), here + 4, "{arguments:x?}");
        [after[0], after[1], after[2], after[3]]
    }

    /// Executes an instruction that must end, and gives its result.
    ///
    /// # Panics
    ///
    /// When the Realm takes an exception.
    pub async fn finished(&self, instruction: Instruction) -> u64 {
        match self.execute(instruction).await {
            Ok(value) => value,
            Err(taken) => panic!("{instruction:x?} ended with {taken:x?}"),
        }
    }

    /// Executes an instruction that must not end, and gives the exception.
    ///
    /// # Panics
    ///
    /// When the instruction ends.
    pub async fn refused(&self, instruction: Instruction) -> Taken {
        match self.execute(instruction).await {
            Ok(value) => panic!("{instruction:x?} ended, with {value:#x}"),
            Err(taken) => taken,
        }
    }

    /// `WFI`.
    pub async fn wait_for_interrupt(&self) {
        self.finished(Instruction::Wait(WaitFor::Interrupt)).await;
    }

    /// A physical interrupt comes.
    pub async fn interrupt(&self) {
        self.finished(Instruction::Interruption(ExceptionKind::Irq, 0))
            .await;
    }

    /// Loads from an address, without the help of a syndrome beyond the usual.
    pub async fn load(&self, address: u64, size: u64) -> u64 {
        self.finished(Instruction::Access(MemoryAccess::load(address, size)))
            .await
    }

    /// Stores to an address.
    pub async fn store(&self, address: u64, size: u64, value: u64) {
        self.set_general(0, value);
        self.finished(Instruction::Access(MemoryAccess::store(address, size)))
            .await;
    }

    /// Reads a system register into X0.
    pub async fn read_system(&self, encoding: SystemEncoding) -> u64 {
        self.finished(Instruction::ReadSystem(encoding, 0)).await
    }

    /// Writes a system register from X0.
    pub async fn write_system(&self, encoding: SystemEncoding, value: u64) {
        self.set_general(0, value);
        self.finished(Instruction::WriteSystem(encoding, 0)).await;
    }

    /// A word of the registers without SVE.
    pub async fn vector(&self, word: usize) -> u64 {
        self.finished(Instruction::ReadVector(VectorUse::Simd, 0, word))
            .await
    }

    /// Sets a word of the registers without SVE.
    pub async fn set_vector(&self, word: usize, value: u64) {
        self.finished(Instruction::WriteVector(VectorUse::Simd, 0, word, value))
            .await;
    }
}
