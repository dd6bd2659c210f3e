//! Calls to EL3 (RMM-EL3 interface).

pub mod attestation;

use core::arch::asm;

use rmm_abi::el3::{BootCode, ServiceCode, fid};
use rmm_abi::smc::TRNG_RND64;
use rmm_core::granule::GranuleAddress;
use rmm_core::{Call, Reply};

/// Makes a call to EL3.
///
/// EL3 keeps the registers that carry no result, by the calling convention; this does not rely
/// on it for those that a function may clobber.
fn smc(registers: [u64; 8]) -> [u64; 8] {
    let [
        mut x0,
        mut x1,
        mut x2,
        mut x3,
        mut x4,
        mut x5,
        mut x6,
        mut x7,
    ] = registers;
    // SAFETY: an SMC hands control to EL3, which comes back after this instruction with results
    // in x0 to x7. It may change memory only where the callers of this function expect it: the
    // shared page, which is read through volatile accesses after a call.
    unsafe {
        asm!(
            "smc #0",
            inout("x0") x0,
            inout("x1") x1,
            inout("x2") x2,
            inout("x3") x3,
            inout("x4") x4,
            inout("x5") x5,
            inout("x6") x6,
            inout("x7") x7,
            out("x8") _,
            out("x9") _,
            out("x10") _,
            out("x11") _,
            out("x12") _,
            out("x13") _,
            out("x14") _,
            out("x15") _,
            out("x16") _,
            out("x17") _,
            options(nostack),
        );
    }
    [x0, x1, x2, x3, x4, x5, x6, x7]
}

/// Reports how boot went on this CPU and waits for the first call of the host. After a failure
/// EL3 does not come back.
pub fn boot_complete(code: BootCode) -> Call {
    // No activation token: EL3 hands back whatever is in X2, so it is zero on purpose.
    smc([fid::BOOT_COMPLETE, code.word(), 0, 0, 0, 0, 0, 0])
}

/// Hands the reply of a call to EL3 and waits for the next call.
pub fn request_complete(reply: &Reply) -> Call {
    let [x0, x1, x2, x3, x4] = *reply;
    smc([fid::REQUEST_COMPLETE, x0, x1, x2, x3, x4, 0, 0])
}

/// Gives a granule to the Realm world.
///
/// # Errors
///
/// The code of EL3; the granule has not moved.
pub fn delegate(granule: GranuleAddress) -> Result<(), ServiceCode> {
    service(fid::GTSI_DELEGATE, granule.get(), 0).map(|_| ())
}

/// Gives a granule back to the normal world.
///
/// # Errors
///
/// The code of EL3; the granule has not moved.
pub fn undelegate(granule: GranuleAddress) -> Result<(), ServiceCode> {
    service(fid::GTSI_UNDELEGATE, granule.get(), 0).map(|_| ())
}

/// Asks for `size` bytes of Realm memory, aligned to `1 << alignment_bits` bytes. During cold boot
/// only, and only where EL3 offers interface 0.7 or later. The memory is never given back.
///
/// # Errors
///
/// The code of EL3, or [`ServiceCode::BadAddress`] when its answer is no granule.
pub fn reserve_memory(size: u64, alignment_bits: u8) -> Result<GranuleAddress, ServiceCode> {
    let base = service(fid::RESERVE_MEMORY, size, u64::from(alignment_bits) << 56)?;
    GranuleAddress::new(base).ok_or(ServiceCode::BadAddress)
}

/// A random word of EL3's (SMCCC TRNG, DEN0098, `TRNG_RND64`); `None` when EL3 has none, or none now.
pub fn random() -> Option<u64> {
    let [code, _, _, low, ..] = smc([TRNG_RND64, 64, 0, 0, 0, 0, 0, 0]);
    (code == 0).then_some(low)
}

fn service(function: u64, x1: u64, x2: u64) -> Result<u64, ServiceCode> {
    let [x0, result, ..] = smc([function, x1, x2, 0, 0, 0, 0, 0]);
    match ServiceCode::from_word(x0) {
        ServiceCode::Ok => Ok(result),
        code => Err(code),
    }
}
