//! Commands as registers: the number in the first, arguments behind it.

use super::{CALL_REGISTERS, Command, TRANSLATED_SPAN, TimerKind, UnprotectedMemory, decode_load};
use crate::command::Size;
use crate::exit::Exit;
use crate::measure::Operation;
use crate::pattern::Kind;
use crate::{Registers, SystemRegister};

mod number {
    pub(super) const SMC: u64 = 1;
    pub(super) const HVC: u64 = 2;
    pub(super) const LOAD: u64 = 3;
    pub(super) const STORE: u64 = 4;
    pub(super) const LOAD_PAIR: u64 = 5;
    pub(super) const FETCH: u64 = 6;
    pub(super) const ATOMIC_ADD: u64 = 7;
    pub(super) const CLEAN_INVALIDATE: u64 = 8;
    pub(super) const LOAD_TRANSLATED: u64 = 9;
    pub(super) const READ_REGISTER: u64 = 10;
    pub(super) const WRITE_REGISTER: u64 = 11;
    pub(super) const WFI: u64 = 12;
    pub(super) const WFE: u64 = 13;
    pub(super) const WFIT: u64 = 14;
    pub(super) const WFET: u64 = 15;
    pub(super) const YIELD: u64 = 16;
    pub(super) const SET_DAIF: u64 = 17;
    pub(super) const MAP_UNPROTECTED: u64 = 18;
    pub(super) const FILL: u64 = 19;
    pub(super) const CHECK: u64 = 20;
    pub(super) const CANARY_EXIT: u64 = 21;
    pub(super) const INTERRUPTS: u64 = 22;
    pub(super) const INTERRUPT_COUNTS: u64 = 23;
    pub(super) const TIMER: u64 = 24;
    pub(super) const SEND_SGI: u64 = 25;
    pub(super) const SOAK: u64 = 26;
    pub(super) const TIME: u64 = 27;
    pub(super) const MEASURE: u64 = 28;
    pub(super) const ATTEST: u64 = 29;
}

/// `DAIF` has its bits here.
const DAIF: u64 = 0xf << 6;

impl Command {
    /// The registers that carry the command.
    pub fn encode(&self) -> Registers {
        match *self {
            Self::Smc(registers) => words(number::SMC, &registers),
            Self::Hvc(registers) => words(number::HVC, &registers),
            Self::Load(load) => words(
                number::LOAD,
                &[
                    load.address,
                    load.size as u64,
                    u64::from(load.sign_extend) | u64::from(load.wide) << 1,
                ],
            ),
            Self::Store {
                address,
                size,
                value,
            } => words(number::STORE, &[address, size as u64, value]),
            Self::LoadPair { address } => words(number::LOAD_PAIR, &[address]),
            Self::Fetch { address } => words(number::FETCH, &[address]),
            Self::AtomicAdd { address, value } => words(number::ATOMIC_ADD, &[address, value]),
            Self::CleanInvalidate { address } => words(number::CLEAN_INVALIDATE, &[address]),
            Self::LoadTranslated { offset, table } => {
                words(number::LOAD_TRANSLATED, &[offset, table])
            }
            Self::ReadRegister(register) => words(number::READ_REGISTER, &[register.word()]),
            Self::WriteRegister { register, value } => {
                words(number::WRITE_REGISTER, &[register.word(), value])
            }
            Self::Wfi => words(number::WFI, &[]),
            Self::Wfe => words(number::WFE, &[]),
            Self::Wfit { deadline } => words(number::WFIT, &[deadline]),
            Self::Wfet { deadline } => words(number::WFET, &[deadline]),
            Self::Yield { count } => words(number::YIELD, &[count]),
            Self::SetDaif(daif) => words(number::SET_DAIF, &[daif]),
            Self::MapUnprotected(memory) => words(number::MAP_UNPROTECTED, &[memory as u64]),
            Self::Fill { kind, seed } => words(number::FILL, &[kind as u64, seed.into()]),
            Self::Check { kind, seed } => words(number::CHECK, &[kind as u64, seed.into()]),
            Self::CanaryExit {
                exit,
                seed,
                address,
            } => words(number::CANARY_EXIT, &[exit as u64, seed.into(), address]),
            Self::Interrupts { enable, split } => {
                words(number::INTERRUPTS, &[enable.into(), split.into()])
            }
            Self::InterruptCounts => words(number::INTERRUPT_COUNTS, &[]),
            Self::Timer {
                timer,
                ticks,
                enable,
            } => words(number::TIMER, &[timer as u64, ticks, enable.into()]),
            Self::SendSgi(value) => words(number::SEND_SGI, &[value]),
            Self::Soak {
                steps,
                seed,
                device,
            } => words(number::SOAK, &[steps, seed, device]),
            Self::Time => words(number::TIME, &[]),
            Self::Measure {
                operation,
                repetitions,
                address,
            } => words(number::MEASURE, &[operation as u64, repetitions, address]),
            Self::Attest { challenge } => words(number::ATTEST, &challenge),
        }
    }

    /// The command in these registers; `None` if there is no such command, or an argument of it is
    /// out of range.
    pub fn decode(registers: &Registers) -> Option<Self> {
        let [number, first, second, third, ..] = *registers;
        Some(match number {
            number::SMC => Self::Smc(call_registers(registers)),
            number::HVC => Self::Hvc(call_registers(registers)),
            number::LOAD => Self::Load(decode_load(first, second, third)?),
            number::STORE => Self::Store {
                address: first,
                size: Size::from_word(second)?,
                value: third,
            },
            number::LOAD_PAIR => Self::LoadPair { address: first },
            number::FETCH => Self::Fetch { address: first },
            number::ATOMIC_ADD => Self::AtomicAdd {
                address: first,
                value: second,
            },
            number::CLEAN_INVALIDATE => Self::CleanInvalidate { address: first },
            number::LOAD_TRANSLATED => Self::LoadTranslated {
                offset: (first < TRANSLATED_SPAN).then_some(first)?,
                table: second,
            },
            number::READ_REGISTER => Self::ReadRegister(SystemRegister::from_word(first)?),
            number::WRITE_REGISTER => Self::WriteRegister {
                register: SystemRegister::from_word(first)?,
                value: second,
            },
            number::WFI => Self::Wfi,
            number::WFE => Self::Wfe,
            number::WFIT => Self::Wfit { deadline: first },
            number::WFET => Self::Wfet { deadline: first },
            number::YIELD => Self::Yield { count: first },
            number::SET_DAIF => Self::SetDaif((first & !DAIF == 0).then_some(first)?),
            number::MAP_UNPROTECTED => Self::MapUnprotected(match first {
                0 => UnprotectedMemory::Device,
                1 => UnprotectedMemory::NonCacheable,
                _ => return None,
            }),
            number::FILL => Self::Fill {
                kind: Kind::from_encoding(first)?,
                seed: second.try_into().ok()?,
            },
            number::CHECK => Self::Check {
                kind: Kind::from_encoding(first)?,
                seed: second.try_into().ok()?,
            },
            number::CANARY_EXIT => Self::CanaryExit {
                exit: Exit::from_encoding(first)?,
                seed: second.try_into().ok()?,
                address: third,
            },
            number::INTERRUPTS => Self::Interrupts {
                enable: flag(first)?,
                split: flag(second)?,
            },
            number::INTERRUPT_COUNTS => Self::InterruptCounts,
            number::TIMER => Self::Timer {
                timer: match first {
                    0 => TimerKind::Virtual,
                    1 => TimerKind::Physical,
                    _ => return None,
                },
                ticks: second,
                enable: flag(third)?,
            },
            number::SEND_SGI => Self::SendSgi(first),
            number::SOAK => Self::Soak {
                steps: first,
                seed: second,
                device: third,
            },
            number::TIME => Self::Time,
            number::MEASURE => Self::Measure {
                operation: Operation::from_encoding(first)?,
                repetitions: second,
                address: third,
            },
            number::ATTEST => Self::Attest {
                challenge: core::array::from_fn(|number| registers[number + 1]),
            },
            _ => return None,
        })
    }
}

fn words(number: u64, arguments: &[u64]) -> Registers {
    let mut registers = Registers::default();
    registers[0] = number;
    registers[1..=arguments.len()].copy_from_slice(arguments);
    registers
}

fn call_registers(registers: &Registers) -> [u64; CALL_REGISTERS] {
    core::array::from_fn(|number| registers[number + 1])
}

fn flag(word: u64) -> Option<bool> {
    match word {
        0 => Some(false),
        1 => Some(true),
        _ => None,
    }
}
