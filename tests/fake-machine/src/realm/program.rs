//! Programs of RECs, step by step.

use std::collections::BTreeMap;
use std::fmt;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use rmm_core::rec::layout::SystemRegister;

use super::guest::Guest;
use super::instruction::{Instruction, Taken};
use crate::registers::Registers;

type Body = Pin<Box<dyn Future<Output = ()> + Send>>;

/// An instruction that came to the RMM.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pending {
    pub(crate) instruction: Instruction,
    /// Where it is.
    pub(crate) address: u64,
}

/// What becomes of an instruction when the RMM lets the REC go on.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Resumed {
    /// It is done again.
    Again,
    /// It is over.
    Over(Result<u64, Taken>),
}

/// The program of a REC.
pub(crate) struct Program {
    body: Option<Body>,
    guest: Guest,
    pub(crate) pending: Option<Pending>,
}

impl fmt::Debug for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Program")
            .field("ended", &self.body.is_none())
            .field("pending", &self.pending)
            .finish_non_exhaustive()
    }
}

impl Program {
    pub(crate) fn new<R>(body: impl FnOnce(Guest) -> R) -> Self
    where
        R: Future<Output = ()> + Send + 'static,
    {
        let guest = Guest::default();
        Self {
            body: Some(Box::pin(body(guest.clone()))),
            guest,
            pending: None,
        }
    }

    /// A program that has ended.
    pub(crate) fn ended() -> Self {
        Self {
            body: None,
            guest: Guest::default(),
            pending: None,
        }
    }

    /// Lets the program go on until its next instruction; `None` when it has ended.
    pub(crate) fn next(
        &mut self,
        registers: Box<Registers>,
    ) -> (Option<Instruction>, Box<Registers>) {
        let Some(body) = self.body.as_mut() else {
            return (None, registers);
        };
        self.guest.lend(registers);
        let poll = body.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        let registers = self.guest.take_back();
        if poll == Poll::Ready(()) {
            self.body = None;
            return (None, registers);
        }
        let instruction = self.guest.take_instruction();
        (Some(instruction), registers)
    }

    /// Tells the program how its instruction ended.
    pub(crate) fn finish(&self, outcome: Result<u64, Taken>) {
        self.guest.finish(outcome);
    }
}

impl Pending {
    /// What the RMM has made of the instruction, by where the REC goes on.
    pub(crate) fn resumed(&self, registers: &Registers) -> Resumed {
        let now = registers.program_counter;
        if now == self.address {
            return if self.instruction.is_over_when_taken() {
                Resumed::Over(Ok(0))
            } else {
                Resumed::Again
            };
        }
        if now == self.address.wrapping_add(4) {
            let result = match self.instruction {
                Instruction::ReadSystem(_, register) => general(registers, register),
                Instruction::Access(access) => general(registers, access.register),
                _ => 0,
            };
            return Resumed::Over(Ok(result));
        }
        Resumed::Over(Err(taken(registers)))
    }
}

/// A general-purpose register or the zero register.
pub(crate) fn general(registers: &Registers, number: u8) -> u64 {
    let register = registers.general.get(usize::from(number));
    register.copied().unwrap_or(0)
}

/// The exception that the REC has just taken to EL1.
///
/// # Panics
///
/// When it does not go on at one of its vectors.
pub(crate) fn taken(registers: &Registers) -> Taken {
    let base = registers.system(SystemRegister::VBAR_EL1);
    let now = registers.program_counter;
    let vector = now.wrapping_sub(base);
    assert!(
        matches!(vector, 0 | 0x200 | 0x400 | 0x600),
        "the REC goes on at {now:#x}; its vectors are at {base:#x}"
    );
    Taken {
        vector,
        syndrome: registers.system(SystemRegister::ESR_EL1),
        fault_address: registers.system(SystemRegister::FAR_EL1),
        link: registers.system(SystemRegister::ELR_EL1),
        saved_state: registers.system(SystemRegister::SPSR_EL1),
        state: registers.processor_state,
    }
}

/// The programs of all RECs of a machine, by the addresses of their granules.
#[derive(Debug, Default)]
pub(crate) struct Programs(Mutex<BTreeMap<u64, Program>>);

impl Programs {
    pub(crate) fn set(&self, rec: u64, program: Program) {
        self.with(|programs| programs.insert(rec, program));
    }

    /// The program of a REC, to be put back. A REC without one has a program that has ended.
    pub(crate) fn take(&self, rec: u64) -> Program {
        self.with(|programs| programs.remove(&rec))
            .unwrap_or_else(Program::ended)
    }

    fn with<R>(&self, action: impl FnOnce(&mut BTreeMap<u64, Program>) -> R) -> R {
        action(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
