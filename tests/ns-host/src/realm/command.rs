//! Commands for the payload, by what the tests want of it.

use realm_payload::command::{CALL_REGISTERS, Load, Size, TimerKind, UnprotectedMemory};
pub(crate) use realm_payload::{Command, Reply};
use realm_payload::{SystemRegister, command::InterruptCount};

use crate::outcome::{Outcome, fail};

/// Attributes of a mapping of the host's memory: write-back, readable and writable.
pub(crate) const READ_WRITE: u64 = WRITE_BACK | 3 << 6;
/// The same, not writable.
pub(crate) const READ_ONLY: u64 = WRITE_BACK | 1 << 6;
/// The same, neither readable nor writable.
pub(crate) const NO_ACCESS: u64 = WRITE_BACK;
const WRITE_BACK: u64 = 0b110 << 2;

/// An exception that the Realm took at EL1.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Exception {
    pub(crate) esr: u64,
    pub(crate) far: u64,
    pub(crate) elr: u64,
    pub(crate) spsr: u64,
    pub(crate) vector: u64,
}

impl Exception {
    /// Whether it was synchronous and came from EL1 with its own stack pointer, all masked.
    pub(crate) const fn is_from_the_same_level(&self) -> bool {
        const EL1H: u64 = 0b0101;
        self.vector == 0x200 && self.spsr & 0x1f == EL1H
    }
}

/// What tests want of replies.
pub(crate) trait Replied {
    /// The command must have been carried out; its results.
    fn done(self, what: impl core::fmt::Display) -> Outcome<[u64; 30]>;
    /// The command must have ended in an exception.
    fn exception(self, what: impl core::fmt::Display) -> Outcome<Exception>;
}

impl Replied for Reply {
    fn done(self, what: impl core::fmt::Display) -> Outcome<[u64; 30]> {
        match self {
            Self::Done(results) => Ok(results),
            other => fail!("{what}: the payload answers {other:x?}"),
        }
    }

    fn exception(self, what: impl core::fmt::Display) -> Outcome<Exception> {
        match self {
            Self::Exception {
                syndrome,
                address,
                link,
                state,
                vector,
            } => Ok(Exception {
                esr: syndrome,
                far: address,
                elr: link,
                spsr: state,
                vector,
            }),
            Self::Done([first, second, ..]) => {
                fail!("{what}: no exception, results {first:#x}, {second:#x}")
            }
            other => fail!("{what}: the payload answers {other:x?}"),
        }
    }
}

/// A size of a load or store.
pub(crate) fn size(bytes: u64) -> Size {
    match bytes {
        1 => Size::Byte,
        2 => Size::Halfword,
        4 => Size::Word,
        _ => Size::Doubleword,
    }
}

/// A load without sign.
pub(crate) fn load(address: u64, bytes: u64) -> Command {
    Command::Load(Load {
        address,
        size: size(bytes),
        sign_extend: false,
        wide: bytes == 8,
    })
}

/// A store of the low bytes of a value.
pub(crate) fn store(address: u64, bytes: u64, value: u64) -> Command {
    Command::Store {
        address,
        size: size(bytes),
        value,
    }
}

/// A load of two doublewords.
pub(crate) const fn load_pair(address: u64) -> Command {
    Command::LoadPair { address }
}

/// An addition in memory.
pub(crate) const fn atomic_add(address: u64, value: u64) -> Command {
    Command::AtomicAdd { address, value }
}

/// A call of the subroutine at an address.
pub(crate) const fn fetch(address: u64) -> Command {
    Command::Fetch { address }
}

/// An SMC with its function and arguments.
pub(crate) fn smc(words: &[u64]) -> Command {
    Command::Smc(call_registers(words))
}

/// X0 to X17, with something in those that are no argument.
pub(crate) fn call_registers(words: &[u64]) -> [u64; CALL_REGISTERS] {
    let mut registers =
        core::array::from_fn(|number| 0x0ddc_0de0_0000_0000 | (number as u64) << 20 | 0x5a5a5);
    registers[..words.len()].copy_from_slice(words);
    registers
}

/// A read of a system register.
pub(crate) fn read_register(op0: u8, op1: u8, crn: u8, crm: u8, op2: u8) -> Command {
    Command::ReadRegister(register(op0, op1, crn, crm, op2))
}

/// A write of a system register.
pub(crate) fn write_register([op0, op1, crn, crm, op2]: [u8; 5], value: u64) -> Command {
    Command::WriteRegister {
        register: register(op0, op1, crn, crm, op2),
        value,
    }
}

fn register(op0: u8, op1: u8, crn: u8, crm: u8, op2: u8) -> SystemRegister {
    SystemRegister {
        op0,
        op1,
        crn,
        crm,
        op2,
    }
}

/// Takes virtual interrupts, or masks them.
pub(crate) const fn interrupts(enable: bool) -> Command {
    Command::Interrupts {
        enable,
        split: false,
    }
}

/// How often the payload took an interrupt, from its reply to [`Command::InterruptCounts`].
pub(crate) fn count_of(results: &[u64; 30], number: u64) -> u64 {
    let kinds = usize::try_from(results[0]).unwrap_or(0);
    results[1..]
        .iter()
        .take(kinds)
        .map(|word| InterruptCount::from_word(*word))
        .filter(|count| u64::from(count.intid) == number)
        .map(|count| u64::from(count.count))
        .sum()
}

/// A timer of the Realm.
pub(crate) type Timer = TimerKind;

/// The command that makes a timer of the Realm what these two say: deadline, then control.
pub(crate) fn timer(which: Timer, control: u64, deadline: u64) -> [Command; 2] {
    let crm = match which {
        Timer::Virtual => 3,
        Timer::Physical => 2,
    };
    [
        write_register([3, 3, 14, crm, 2], deadline),
        write_register([3, 3, 14, crm, 1], control),
    ]
}

/// Makes unprotected memory normal, so that atomic accesses to it are allowed.
pub(crate) const NORMAL_UNPROTECTED: Command =
    Command::MapUnprotected(UnprotectedMemory::NonCacheable);
