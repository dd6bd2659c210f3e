//! Calls that nobody answers.

#![allow(unsafe_code)]

use rmm_abi::el3;
use rmm_abi::rmi::{self as abi, fid};
use rmm_abi::smc::{NOT_SUPPORTED, SVE_HINT, psci, standard_service};

use crate::outcome::{Outcome, ensure, ensure_word, fail};
use crate::rmi::{self, must_delegate, must_undelegate};
use crate::smc::{self, Registers};
use crate::suite::{Host, expect};

/// Numbers of calls that EL3 forwards to the RMM.
const FORWARDED: [core::ops::RangeInclusive<u16>; 2] = [0x150..=0x18f, 0x1d0..=0x2cf];

/// Commands that the RMM has.
const COMMANDS: [u64; 23] = [
    fid::VERSION,
    fid::FEATURES,
    fid::GRANULE_DELEGATE,
    fid::GRANULE_UNDELEGATE,
    fid::REALM_CREATE,
    fid::REALM_ACTIVATE,
    fid::REALM_DESTROY,
    fid::REC_AUX_COUNT,
    fid::REC_CREATE,
    fid::REC_DESTROY,
    fid::REC_ENTER,
    fid::PSCI_COMPLETE,
    fid::DATA_CREATE,
    fid::DATA_CREATE_UNKNOWN,
    fid::DATA_DESTROY,
    fid::RTT_CREATE,
    fid::RTT_DESTROY,
    fid::RTT_FOLD,
    fid::RTT_READ_ENTRY,
    fid::RTT_INIT_RIPAS,
    fid::RTT_SET_RIPAS,
    fid::RTT_MAP_UNPROTECTED,
    fid::RTT_UNMAP_UNPROTECTED,
];

/// Nobody may answer this call, and nothing of another world may be in the registers after it.
fn unanswered(function: u64, arguments: &[u64]) -> Outcome {
    let before = Registers::new(function, arguments);
    let after = before.call();
    ensure_word!(after.0[0], NOT_SUPPORTED, "x0 of {function:#x}");
    nothing_leaks(function, &before, &after)
}

fn nothing_leaks(function: u64, before: &Registers, after: &Registers) -> Outcome {
    for number in 1..4 {
        let (now, was) = (after.0[number], before.0[number]);
        ensure!(
            now == was || now == 0,
            "x{number} is {now:#x} after {function:#x}"
        );
    }
    after.expect_kept(before, 4)
}

fn forwarded() -> impl Iterator<Item = u16> {
    FORWARDED.into_iter().flatten()
}

pub(crate) fn unknown_commands(_: &Host) -> Outcome {
    let mut count = 0;
    for function in forwarded().map(standard_service) {
        for function in [function, function | SVE_HINT] {
            ensure!(abi::is_rmi(function), "{function:#x} is no RMI number");
            if !COMMANDS.contains(&(function & !SVE_HINT)) {
                unanswered(function, &[])?;
                count += 1;
            }
        }
    }
    ensure!(
        count == 2 * (0x40 + 0x100 - COMMANDS.len()),
        "tried {count} numbers"
    );
    rmi::must_be_there()
}

pub(crate) fn services_for_the_rmm(host: &Host) -> Outcome {
    let (undelegated, delegated) = (host.granule()?, host.granule()?);
    let content = |index| index | 1 << 63;
    expect::fill(undelegated, content)?;
    must_delegate(delegated)?;
    for function in (0x1b0..=0x1cf).map(standard_service) {
        for granule in [undelegated, delegated] {
            unanswered(function, &[granule, 0x1000, 0])?;
        }
    }
    unanswered(el3::fid::GTSI_DELEGATE, &[undelegated])?;
    unanswered(el3::fid::GTSI_UNDELEGATE, &[delegated])?;
    expect::holds(undelegated, content)?;
    // SAFETY: the pool gave the granule out.
    unsafe { expect::protected(delegated) }?;
    must_undelegate(delegated)
}

pub(crate) fn realm_services(_: &Host) -> Outcome {
    for function in (0x190..=0x1af).map(standard_service) {
        unanswered(function, &[])?;
        unanswered(function | SVE_HINT, &[])?;
    }
    Ok(())
}

pub(crate) fn calls_of_32_bits(host: &Host) -> Outcome {
    let granule = host.granule()?;
    expect::fill(granule, |index| index)?;
    for number in forwarded().chain(0x190..=0x1cf) {
        let function = 0x8400_0000 | u64::from(number);
        let before = Registers::new(function, &[granule]);
        let after = before.call();
        // The result of such a call is 32 bits wide.
        let result = after.0[0] & 0xffff_ffff;
        ensure_word!(result, 0xffff_ffff, "w0 of {function:#x}");
        nothing_leaks(function, &before, &after)?;
    }
    expect::holds(granule, |index| index)
}

pub(crate) fn malformed_identifiers(host: &Host) -> Outcome {
    let granule = host.granule()?;
    expect::fill(granule, |index| index)?;
    let delegate = fid::GRANULE_DELEGATE;
    // Bits 23:17 are reserved, 29:24 name the owner, 31 is set for a fast call.
    let bits = (17..30).chain([31]);
    for bit in bits {
        let function = delegate ^ 1 << bit;
        let before = Registers::new(function, &[granule]);
        let after = before.call();
        if after.0[0] & 0xffff_ffff != 0xffff_ffff {
            return fail!("{function:#x} returned {:#x}", after.0[0]);
        }
        nothing_leaks(function, &before, &after)?;
    }
    for function in [0xc400_014f, 0xc400_02d0, 0xc400_ffff] {
        unanswered(function, &[granule])?;
    }
    expect::holds(granule, |index| index)
}

/// The identifier is W0; every bit above it may be anything.
pub(crate) fn upper_half(host: &Host) -> Outcome {
    let granule = host.granule()?;
    for high in (32..64).map(|bit| 1 << bit).chain([0xffff_ffff << 32]) {
        for (function, hint) in [
            (fid::GRANULE_DELEGATE, 0),
            (fid::GRANULE_UNDELEGATE, SVE_HINT),
        ] {
            let function = high | function | hint;
            let word = rmi::command_without_output(function, &[granule])?;
            ensure_word!(word, rmi::SUCCESS, "x0 of {function:#x}");
        }
        let version = smc::psci(high | psci::VERSION, &[]);
        ensure!(
            version == 0x1_0001,
            "PSCI_VERSION with {high:#x} returned {version:#x}"
        );
        unanswered(high | 0xc400_018e, &[granule])?;
        unanswered(high | el3::fid::GTSI_DELEGATE, &[granule])?;
    }
    expect::accessible(granule)
}
