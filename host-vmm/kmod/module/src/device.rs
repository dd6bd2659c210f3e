//! The module as a whole: the RMM that it found, and what there is of memory.

use core::ffi::c_int;
use core::sync::atomic::{AtomicI32, AtomicU64, Ordering};

use realm_kmod_core::granules;
use realm_kmod_core::host::Host;
use realm_kmod_core::pool::Sweep;
use realm_kmod_core::realm::{MAX_SLOTS, most_vcpus, widest_ipa_space};
use realm_kmod_core::rmi::{self, Features, NoRmm};
use rmm_abi::statistics::Query;

use crate::error::Errno;
use crate::host::Kernel;
use crate::structures::{Information, Limits};

/// `REALM_MODULE_INTERFACE`.
const MODULE_INTERFACE: u32 = 1;

/// What `realm_init` has found, as an error number.
static STATE: AtomicI32 = AtomicI32::new(Errno::NoDevice.code());
/// Feature register 0 of the RMM; zero without one.
static FEATURES: AtomicU64 = AtomicU64::new(0);
/// Version of the RMM: minor in bits 15:0, major from bit 16 on.
static VERSION: AtomicU64 = AtomicU64::new(0);

/// The RMM's features, if there is one to work with.
pub(crate) fn features() -> Result<Features, c_int> {
    match STATE.load(Ordering::Acquire) {
        0 => Ok(Features {
            word: FEATURES.load(Ordering::Relaxed),
        }),
        error => Err(error),
    }
}

/// `realm_init`.
#[unsafe(no_mangle)]
pub(crate) extern "C" fn realm_init() -> c_int {
    let state = match rmi::greet(&Kernel::WITHOUT_VM) {
        Ok(features) => {
            FEATURES.store(features.word, Ordering::Relaxed);
            VERSION.store(rmm_abi::rmi::VERSION_1_0.word(), Ordering::Relaxed);
            0
        }
        Err(error) => {
            if let NoRmm::Version(version) = error {
                VERSION.store(version, Ordering::Relaxed);
            }
            Errno::from(error).code()
        }
    };
    STATE.store(state, Ordering::Release);
    state
}

/// `realm_exit`.
#[unsafe(no_mangle)]
pub(crate) extern "C" fn realm_exit() -> u64 {
    let kernel = Kernel::WITHOUT_VM;
    granules::sweep(&kernel, Sweep::Parts);
    kernel.with_shared(|shared| {
        let lost = shared.pool.counters().lost;
        // The chunks that are left are never given back; what is known of them is.
        *shared = realm_kmod_core::host::Shared::new();
        lost
    })
}

/// `realm_information`.
///
/// # Safety
///
/// `information` can be written to.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn realm_information(information: *mut Information) {
    let (counters, realms) =
        Kernel::WITHOUT_VM.with_shared(|shared| (shared.pool.counters(), shared.vmids.in_use()));
    let version = VERSION.load(Ordering::Relaxed);
    let number = |shift: u32| (version >> shift & 0x7fff) as u16;
    let filled = Information {
        module_interface: MODULE_INTERFACE,
        rmi_major: number(16),
        rmi_minor: number(0),
        features: FEATURES.load(Ordering::Relaxed),
        realms,
        pages_owned: counters.owned,
        pages_delegated: counters.used,
        pages_lost: counters.lost,
    };
    // SAFETY: by the contract of this function.
    unsafe { information.write(filled) };
}

/// `realm_limits`.
///
/// # Safety
///
/// `limits` can be written to.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn realm_limits(limits: *mut Limits) {
    let features = features().ok();
    let filled = Limits {
        ipa_bits: features.map_or(0, |features| u32::from(widest_ipa_space(features))),
        vcpus: features.map_or(0, |features| {
            u32::try_from(most_vcpus(features)).unwrap_or(u32::MAX)
        }),
        slots: u32::try_from(MAX_SLOTS).unwrap_or(u32::MAX),
        reserved: 0,
    };
    // SAFETY: by the contract of this function.
    unsafe { limits.write(filled) };
}

/// `realm_rmm_statistics`.
///
/// # Safety
///
/// `words` can be written to.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn realm_rmm_statistics(index: u64, words: *mut [u64; 3]) -> c_int {
    if let Err(error) = features() {
        return error;
    }
    // Nothing else is asked in the name of user space.
    let Some(query) = Query::from_index(index) else {
        return Errno::Invalid.code();
    };
    match rmi::statistics(&Kernel::WITHOUT_VM, query) {
        // SAFETY: by the contract of this function.
        Ok(answer) => unsafe { words.write(answer) },
        Err(_) => return Errno::Io.code(),
    }
    0
}
