//! Calls and exits with all registers under control.

#![allow(unsafe_code)]

use core::arch::global_asm;

use realm_guest_kit::rsi;
use realm_payload::command::CALL_REGISTERS;
use realm_payload::exit::{Afterwards, Exit};
use realm_payload::pattern::{Kind, pattern};
use realm_payload::{Reply, immediate};
use rmm_abi::rsi::HostCall;

use crate::entry::conduit;
use crate::rec::Rec;

global_asm!(include_str!("asm/calls.S"));

unsafe extern "C" {
    fn smc_with_registers(registers: &mut [u64; 31]);
    fn hvc_with_registers(registers: &mut [u64; 31]);
    fn canary_wfi(state: &mut State);
    fn canary_load(state: &mut State);
    fn canary_store(state: &mut State);
    fn canary_smc(state: &mut State);
    fn canary_sgi(state: &mut State);
    fn wait_for_interrupt_until(deadline: u64);
    fn wait_for_event_until(deadline: u64);
}

/// Seed of the registers that a call does not use.
const SEED: u16 = 0xca11;

/// A check that has failed.
pub(crate) struct Mismatch {
    pub(crate) index: u64,
    pub(crate) expected: u64,
    pub(crate) found: u64,
}

impl From<Mismatch> for Reply {
    fn from(mismatch: Mismatch) -> Self {
        let Mismatch {
            index,
            expected,
            found,
        } = mismatch;
        Self::CheckFailed {
            index,
            expected,
            found,
        }
    }
}

/// `Ok` if a value is what it has to be.
pub(crate) fn expect(index: usize, expected: u64, found: u64) -> Result<(), Mismatch> {
    if expected == found {
        return Ok(());
    }
    Err(Mismatch {
        index: index as u64,
        expected,
        found,
    })
}

/// Which instruction makes a call.
#[derive(Clone, Copy)]
pub(crate) enum Instruction {
    Smc,
    Hvc,
}

/// Makes a call with X0 to X17, and checks that the others are kept.
pub(crate) fn call(
    instruction: Instruction,
    arguments: &[u64; CALL_REGISTERS],
) -> Result<[u64; CALL_REGISTERS], Mismatch> {
    let mut registers = [0; 31];
    for (number, register) in registers.iter_mut().enumerate() {
        *register = arguments
            .get(number)
            .copied()
            .unwrap_or_else(|| pattern(SEED, Kind::General, number));
    }
    // SAFETY: the routines keep to the procedure call standard whatever the call does to the
    // registers. Memory that a call changes is the host's choice.
    unsafe {
        match instruction {
            Instruction::Smc => smc_with_registers(&mut registers),
            Instruction::Hvc => hvc_with_registers(&mut registers),
        }
    }
    for (number, register) in registers.iter().enumerate().skip(CALL_REGISTERS) {
        expect(number, pattern(SEED, Kind::General, number), *register)?;
    }
    Ok(core::array::from_fn(|number| registers[number]))
}

/// `WFIT`.
pub(crate) fn wait_for_interrupt_with_deadline(deadline: u64) {
    // SAFETY: waiting changes nothing.
    unsafe { wait_for_interrupt_until(deadline) };
}

/// `WFET`.
pub(crate) fn wait_for_event_with_deadline(deadline: u64) {
    // SAFETY: waiting changes nothing.
    unsafe { wait_for_event_until(deadline) };
}

/// Everything that [`canary_exit`] watches, as `calls.S` has it.
#[repr(C, align(16))]
struct State {
    general: [u64; 31],
    flags: u64,
    vectors: [u64; 64],
}

/// Index of the flags in a check.
const FLAGS: usize = 96;
/// Index of the first register of a host call in a check.
const HOST_CALL: usize = 128;

/// Causes an exit with patterns in all registers, and checks them after it. X0 to X3.
pub(crate) fn canary_exit(
    rec: &mut Rec,
    exit: Exit,
    seed: u16,
    address: u64,
) -> Result<[u64; 4], Mismatch> {
    let address = if exit == Exit::HostCall {
        prepare_host_call(&mut rec.call, seed);
        core::ptr::from_mut(&mut rec.call).expose_provenance() as u64
    } else {
        address
    };
    let before = |number| {
        exit.argument(number, address)
            .unwrap_or_else(|| pattern(seed, Kind::General, number))
    };
    let flags = pattern(seed, Kind::General, 31) & 0xf000_0000;
    let mut state = State {
        general: core::array::from_fn(before),
        flags,
        vectors: core::array::from_fn(|index| pattern(seed, Kind::Fpsimd, index)),
    };
    // SAFETY: the routines keep to the procedure call standard but for vector registers, which
    // compiled code does not use. A store goes where the host says; calls change no memory but the
    // structure of a host call, whose address has been exposed.
    unsafe {
        match exit {
            Exit::Wfi => canary_wfi(&mut state),
            Exit::Load => canary_load(&mut state),
            Exit::Store => canary_store(&mut state),
            Exit::SendSgi => canary_sgi(&mut state),
            Exit::UnknownSmc
            | Exit::RipasChange
            | Exit::HostCall
            | Exit::CpuSuspend
            | Exit::Version => canary_smc(&mut state),
        }
    }
    for (number, found) in state.general.into_iter().enumerate() {
        match exit.afterwards(number, address) {
            Afterwards::KeptOrZero if found == 0 => {}
            Afterwards::Kept | Afterwards::KeptOrZero => expect(number, before(number), found)?,
            Afterwards::Exactly(value) => expect(number, value, found)?,
            Afterwards::Anything => {}
        }
    }
    expect(FLAGS, flags, state.flags)?;
    for (index, found) in state.vectors.into_iter().enumerate() {
        expect(32 + index, pattern(seed, Kind::Fpsimd, index), found)?;
    }
    if exit == Exit::HostCall {
        check_host_call(&rec.call, seed)?;
    }
    Ok(core::array::from_fn(|number| state.general[number]))
}

fn prepare_host_call(call: &mut HostCall, seed: u16) {
    call.imm = immediate::INVERT;
    call.gprs = core::array::from_fn(|number| pattern(seed, Kind::HostCall, number));
}

fn check_host_call(call: &HostCall, seed: u16) -> Result<(), Mismatch> {
    for (number, found) in call.gprs.into_iter().enumerate() {
        expect(
            HOST_CALL + number,
            !pattern(seed, Kind::HostCall, number),
            found,
        )?;
    }
    expect(
        HOST_CALL + call.gprs.len(),
        immediate::INVERT.into(),
        call.imm.into(),
    )
}

/// A host call with patterns, whose inverse has to come back.
pub(crate) fn inverted_host_call(rec: &mut Rec, seed: u16) -> Result<(), Mismatch> {
    prepare_host_call(&mut rec.call, seed);
    let done = rsi::host_call(&conduit(), &mut rec.call).is_ok();
    expect(HOST_CALL - 1, 1, done.into())?;
    check_host_call(&rec.call, seed)
}
