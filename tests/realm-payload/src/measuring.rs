//! How long operations take.

#![allow(unsafe_code)]

use realm_payload::command::CALL_REGISTERS;
use realm_payload::measure::{Operation, RANGE};
use realm_payload::{Reply, immediate};
use rmm_abi::GRANULE_SIZE;
use rmm_abi::rmi::Ripas;
use rmm_abi::rsi::{ReturnCode, VERSION_1_0, fid};
use rmm_abi::smc::psci;

use crate::calls::expect;
use crate::rec::Rec;

unsafe extern "C" {
    fn time_smc(registers: &mut [u64; CALL_REGISTERS]) -> u64;
    fn time_nothing() -> u64;
    fn time_id_register() -> u64;
    fn time_load(address: u64) -> u64;
}

/// The registers of the call that an operation is; `None` for what is no call.
fn call(rec: &mut Rec, operation: Operation, address: u64) -> Option<[u64; CALL_REGISTERS]> {
    let arguments: &[u64] = match operation {
        Operation::Nothing | Operation::IdRegister | Operation::EmulatedRead | Operation::Token => {
            return None;
        }
        Operation::Version => &[fid::VERSION, VERSION_1_0.word()],
        Operation::PsciVersion => &[psci::VERSION],
        Operation::RealmConfig => &[fid::REALM_CONFIG, rec.scratch()],
        Operation::IpaStateGet => &[fid::IPA_STATE_GET, address, address.wrapping_add(RANGE)],
        Operation::MeasurementRead => &[fid::MEASUREMENT_READ, 0],
        Operation::MeasurementExtend => &[fid::MEASUREMENT_EXTEND, 1, 64, 1, 2, 3, 4, 5, 6, 7, 8],
        Operation::HostCall => {
            rec.call.imm = immediate::NOTHING;
            let structure = core::ptr::from_mut(&mut rec.call).expose_provenance();
            &[fid::HOST_CALL, structure as u64]
        }
        Operation::TokenInit => &[fid::ATTESTATION_TOKEN_INIT, 1, 2, 3, 4, 5, 6, 7, 8],
        Operation::RipasChange => &[
            fid::IPA_STATE_SET,
            address,
            address.wrapping_add(RANGE),
            0,
            0,
        ],
    };
    let mut registers = [0; CALL_REGISTERS];
    registers[..arguments.len()].copy_from_slice(arguments);
    Some(registers)
}

/// Measures an operation. A call that does not succeed fails the check of its X0; the index is the
/// repetition.
pub(crate) fn measure(
    rec: &mut Rec,
    operation: Operation,
    repetitions: u64,
    address: u64,
) -> Reply {
    if operation == Operation::Token {
        return tokens(rec, repetitions);
    }
    let template = call(rec, operation, address);
    let mut least = [u64::MAX; 2];
    for repetition in 0..repetitions {
        let mut slot = 0;
        let ticks = if let Some(mut registers) = template {
            if operation == Operation::RipasChange {
                slot = usize::from(repetition % 2 == 1);
                let ripas = if slot == 0 { Ripas::Empty } else { Ripas::Ram };
                registers[3] = ripas as u64;
            }
            // SAFETY: calls write to the scratch area and to the structure of the REC's own host
            // call, whose address has been exposed, and to nothing else.
            let ticks = unsafe { time_smc(&mut registers) };
            let index = usize::try_from(repetition).unwrap_or(usize::MAX);
            let good_codes = match operation {
                Operation::PsciVersion => 0x1_0001,
                _ => 0,
            };
            if let Err(mismatch) = expect(index, good_codes, registers[0]) {
                return mismatch.into();
            }
            if operation == Operation::RipasChange
                && let Err(mismatch) = expect(index, address.wrapping_add(RANGE), registers[1])
            {
                return mismatch.into();
            }
            ticks
        } else {
            // SAFETY: reads of registers, and a load from where the host says.
            unsafe {
                match operation {
                    Operation::IdRegister => time_id_register(),
                    Operation::EmulatedRead => time_load(address),
                    _ => time_nothing(),
                }
            }
        };
        least[slot] = least[slot].min(ticks);
    }
    if operation == Operation::RipasChange {
        Reply::done(&least)
    } else {
        Reply::done(&least[..1])
    }
}

/// Most calls that a token may take: it comes back whenever the host is interrupted.
const MOST_CALLS: usize = 100_000;

fn tokens(rec: &mut Rec, repetitions: u64) -> Reply {
    let Some(init) = call(rec, Operation::TokenInit, 0) else {
        return Reply::done(&[]);
    };
    let mut proceed = [0; CALL_REGISTERS];
    let page = GRANULE_SIZE as u64;
    proceed[..4].copy_from_slice(&[fid::ATTESTATION_TOKEN_CONTINUE, rec.scratch(), 0, page]);
    let (mut least, mut size) = (u64::MAX, 0);
    for _ in 0..repetitions {
        let mut registers = init;
        // SAFETY: as in `measure`.
        let mut ticks = unsafe { time_smc(&mut registers) };
        if let Err(mismatch) = expect(0, ReturnCode::Success as u64, registers[0]) {
            return mismatch.into();
        }
        size = 0;
        for number in 1..MOST_CALLS {
            registers = proceed;
            registers[2] = size;
            registers[3] -= size;
            // SAFETY: as in `measure`.
            ticks += unsafe { time_smc(&mut registers) };
            let [code, written, ..] = registers;
            size += written.min(page);
            if code == ReturnCode::Success as u64 {
                break;
            }
            if let Err(mismatch) = expect(number, ReturnCode::Incomplete as u64, code) {
                return mismatch.into();
            }
        }
        least = least.min(ticks);
    }
    Reply::done(&[least, size])
}
