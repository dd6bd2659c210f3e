//! Features, and services that need not be there.

use rmm_abi::el3::{ServiceCode, fid};
use rmm_abi::{rmi, smc as convention};

use crate::memory::ManifestPage;
use crate::report::{Outcome, expect_equal, fail};
use crate::smc::{call, code};

const TOKEN_SIGNING: u64 = 1 << 0;

pub(crate) fn features() -> Outcome {
    let results = call(fid::FEATURES, [0; 4]);
    let Some(features) = results.value() else {
        fail!("index 0: {results:x?}");
    };
    if features & !TOKEN_SIGNING != 0 {
        fail!("index 0: features {features:#x} are not defined");
    }
    for index in [1, 2, 1 << 32, u64::MAX] {
        expect_equal!(
            code(fid::FEATURES, &[index]),
            ServiceCode::Invalid,
            "index {index:#x}"
        );
    }
    Ok(())
}

pub(crate) fn not_there(page: &ManifestPage) -> Outcome {
    let signs = call(fid::FEATURES, [0; 4]).value().unwrap_or_default() & TOKEN_SIGNING != 0;
    for operation in [0, 4, u64::MAX] {
        let seen = code(fid::TOKEN_SIGN, &[operation, page.address(), 64]);
        expect_equal!(
            seen,
            ServiceCode::Invalid,
            "token signing, operation {operation}"
        );
    }
    if !signs {
        for operation in [1, 2, 3] {
            let seen = code(fid::TOKEN_SIGN, &[operation, page.address(), 0x200]);
            expect_equal!(
                seen,
                ServiceCode::Unknown,
                "token signing, operation {operation}"
            );
        }
    }
    for function in [
        fid::IDE_KEY_PROG,
        fid::IDE_KEY_SET_GO,
        fid::IDE_KEY_SET_STOP,
        fid::IDE_KM_PULL_RESPONSE,
    ] {
        expect_equal!(code(function, &[]), ServiceCode::Unknown, "{function:#x}");
    }
    // A memory encryption context of this number cannot be there.
    let seen = code(fid::MEC_REFRESH, &[0xffff << 32]);
    if seen == ServiceCode::Ok {
        fail!("memory encryption: {seen:?}");
    }
    Ok(())
}

pub(crate) fn unknown() -> Outcome {
    for function in [
        0xc400_01bc,
        0xc400_01ce,
        0xc400_0190,
        0xc400_01af,
        0xc400_ffff,
        0x8400_01b0,
        rmi::fid::VERSION,
        rmi::fid::GRANULE_DELEGATE,
        0,
        u64::MAX,
    ] {
        let results = call(function, [0x1000, 0, 0, 0]);
        expect_equal!(results.0[0], u64::MAX, "{function:#x}");
    }
    Ok(())
}

pub(crate) fn power() -> Outcome {
    // Power is the normal world's: a call that did something would not come back here.
    for function in [
        convention::psci::VERSION,
        convention::psci::FEATURES,
        convention::psci::CPU_ON,
        convention::psci::AFFINITY_INFO,
        convention::psci::CPU_OFF,
        convention::psci::SYSTEM_OFF,
        convention::psci::SYSTEM_RESET,
    ] {
        expect_equal!(call(function, [0; 4]).0[0], u64::MAX, "{function:#x}");
    }
    Ok(())
}

pub(crate) fn complete_before_boot() -> Outcome {
    // There is no request yet, and no normal world to answer.
    let results = call(fid::REQUEST_COMPLETE, [0; 4]);
    expect_equal!(results.0[0], u64::MAX, "REQUEST_COMPLETE");
    Ok(())
}
