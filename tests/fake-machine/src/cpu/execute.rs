//! What becomes of an instruction of a Realm: it is done, or it comes to the RMM.

use rmm_core::machine::{Exception, ExceptionKind};
use rmm_core::rec::layout::SystemRegister;

use super::FakeCpu;
use crate::realm::{Effect, Instruction, SystemEncoding, VectorUse, WaitFor, general};
use crate::registers::{OpenVectors, Registers};

/// `ESR_EL2.IL`.
const LENGTH: u64 = 1 << 25;
/// `ISS.CV` and `ISS.COND` of an instruction without a condition.
const ALWAYS: u64 = 0x1e << 20;

const fn trap(class: u64, specific: u64) -> Effect {
    Effect::Trap(Exception {
        kind: ExceptionKind::Synchronous,
        syndrome: class << 26 | LENGTH | specific,
    })
}

impl FakeCpu<'_> {
    /// Does what an instruction does, except that the program counter stays.
    pub(super) fn execute(&self, registers: &mut Registers, instruction: &Instruction) -> Effect {
        match *instruction {
            Instruction::Smc(immediate) => trap(0x17, immediate.into()),
            Instruction::Hvc(immediate) => {
                // The preferred return address is behind the instruction.
                registers.program_counter = registers.program_counter.wrapping_add(4);
                trap(0x16, immediate.into())
            }
            Instruction::Wait(what) => wait(registers, what),
            Instruction::Access(access) => self.access_memory(registers, &access),
            Instruction::Fetch(address) => self.fetch(registers, address),
            Instruction::ReadSystem(encoding, register) => {
                read_system(registers, encoding, register)
            }
            Instruction::WriteSystem(encoding, register) => {
                write_system(registers, encoding, register)
            }
            Instruction::ReadVector(what, area, word) => {
                vector(registers, what, |registers| registers.vectors[area][word])
            }
            Instruction::WriteVector(what, area, word, value) => {
                vector(registers, what, |registers| {
                    registers.vectors[area][word] = value;
                    0
                })
            }
            Instruction::Interruption(kind, syndrome) => Effect::Trap(Exception { kind, syndrome }),
            Instruction::Synchronous(syndrome, fault_address, fault_ipa) => {
                registers.fault_address = fault_address;
                registers.fault_ipa = fault_ipa;
                Effect::Trap(Exception {
                    kind: ExceptionKind::Synchronous,
                    syndrome,
                })
            }
        }
    }
}

/// `WFI` and the like: trapped, or over at once, as if something had come.
fn wait(registers: &Registers, what: WaitFor) -> Effect {
    const REGISTER_VALID: u64 = 1 << 2;
    let with_register = |register: u8| u64::from(register) << 5 | REGISTER_VALID;
    let (trapped, specific) = match what {
        WaitFor::Interrupt => (registers.trap_wfi, 0),
        WaitFor::Event => (registers.trap_wfe, 1),
        WaitFor::InterruptUntil(register) => (registers.trap_wfi, with_register(register) | 2),
        WaitFor::EventUntil(register) => (registers.trap_wfe, with_register(register) | 3),
    };
    if trapped {
        trap(0x01, ALWAYS | specific)
    } else {
        Effect::Done(0)
    }
}

fn vector(
    registers: &mut Registers,
    what: VectorUse,
    action: impl FnOnce(&mut Registers) -> u64,
) -> Effect {
    match (what, registers.open_vectors) {
        (VectorUse::Sme, _) => trap(0x1d, 0),
        (VectorUse::Sve, Some(OpenVectors::Sve)) | (VectorUse::Simd, Some(_)) => {
            Effect::Done(action(registers))
        }
        (VectorUse::Sve, _) => trap(0x19, 0),
        (VectorUse::Simd, None) => trap(0x07, ALWAYS),
    }
}

/// Where an open register of the Realm is.
fn open_register(registers: &mut Registers, encoding: SystemEncoding) -> Option<&mut u64> {
    let SystemEncoding {
        op0,
        op1,
        crn,
        crm,
        op2,
    } = encoding;
    if registers.has_debug && (op0, op1, crn) == (2, 0, 0) {
        match (crm, op2) {
            (_, 4..8) => {
                let word = usize::from(op2 - 4) * 16 + usize::from(crm);
                return Some(&mut registers.debug[word]);
            }
            (2, 2) => return Some(registers.system_mut(SystemRegister::MDSCR_EL1 as usize)),
            _ => {}
        }
    }
    if registers.pmu_open {
        let word = match (op0, op1, crn, crm, op2) {
            (3, 3, 9, 12, 0) => Registers::PMU_CONTROL,
            (3, 3, 9, 12, 1) => Registers::PMU_ENABLED,
            (3, 0, 9, 14, 1) => Registers::PMU_INTERRUPTS,
            (3, 3, 9, 14, 3) => Registers::PMU_OVERFLOWS,
            _ => return None,
        };
        return Some(&mut registers.pmu[word]);
    }
    None
}

fn read_system(registers: &mut Registers, encoding: SystemEncoding, register: u8) -> Effect {
    if encoding == SystemEncoding::MPIDR {
        registers.general[usize::from(register)] = registers.multiprocessor_affinity;
        return Effect::Done(registers.multiprocessor_affinity);
    }
    let Some(value) = open_register(registers, encoding).copied() else {
        return trap(0x18, encoding.syndrome(register, true));
    };
    if let Some(target) = registers.general.get_mut(usize::from(register)) {
        *target = value;
    }
    Effect::Done(value)
}

fn write_system(registers: &mut Registers, encoding: SystemEncoding, register: u8) -> Effect {
    let value = general(registers, register);
    match open_register(registers, encoding) {
        Some(target) => {
            *target = value;
            Effect::Done(0)
        }
        None => trap(0x18, encoding.syndrome(register, false)),
    }
}
