//! Load, measure and boot the RMM.
#![allow(unsafe_code)]

use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering};

use el3_monitor::Region;
use el3_monitor::fault::Fault;
use el3_monitor::interface::VERSION;
use el3_monitor::psci::MAX_CPUS;
use rmm_abi::Version;
use rmm_abi::el3::{BootCode, P384_SCALAR_SIZE};
use sha2::{Digest, Sha256};

use crate::boot::Runtime;
use crate::console::say;
use crate::features::random;
use crate::memory;
use crate::worlds::{self, World};

/// Activation tokens: what the RMM left on each CPU when it last booted there.
static TOKENS: [AtomicU64; MAX_CPUS] = [const { AtomicU64::new(0) }; MAX_CPUS];

/// Measurement of an image.
#[derive(Clone, Copy)]
pub(crate) struct Measurement(pub(crate) [u8; 32]);

impl fmt::Display for Measurement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Measures an image as it is in memory.
pub(crate) fn measure(image: Region) -> Measurement {
    // SAFETY: the image is mapped, and nobody runs that could write it.
    Measurement(Sha256::digest(unsafe { memory::bytes(image) }).into())
}

/// Makes a private key for development on P-384: a number from 1 below the order of the curve.
/// `None` when the CPU gives no random bits.
pub(crate) fn make_realm_key() -> Option<[u8; P384_SCALAR_SIZE]> {
    const ATTEMPTS: usize = 8;
    /// The order of the group, big-endian (FIPS 186-4, D.1.2.4).
    const ORDER: [u8; P384_SCALAR_SIZE] = [
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xc7, 0x63, 0x4d, 0x81, 0xf4, 0x37,
        0x2d, 0xdf, 0x58, 0x1a, 0x0d, 0xb2, 0x48, 0xb0, 0xa7, 0x7a, 0xec, 0xec, 0x19, 0x6a, 0xcc,
        0xc5, 0x29, 0x73,
    ];
    for _ in 0..ATTEMPTS {
        let mut key = [0; P384_SCALAR_SIZE];
        for word in key.chunks_exact_mut(8) {
            word.copy_from_slice(&random()?.to_be_bytes());
        }
        if key != [0; P384_SCALAR_SIZE] && key < ORDER {
            return Some(key);
        }
    }
    None
}

/// The name of a boot result in the interface document.
fn name(code: BootCode) -> &'static str {
    match code {
        BootCode::Success => "E_RMM_BOOT_SUCCESS",
        BootCode::Unknown => "E_RMM_BOOT_UNKNOWN",
        BootCode::VersionNotValid => "E_RMM_BOOT_VERSION_NOT_VALID",
        BootCode::CpusOutOfRange => "E_RMM_BOOT_CPUS_OUT_OF_RANGE",
        BootCode::CpuIdOutOfRange => "E_RMM_BOOT_CPU_ID_OUT_OF_RANGE",
        BootCode::InvalidSharedBuffer => "E_RMM_BOOT_INVALID_SHARED_BUFFER",
        BootCode::ManifestVersion => "E_RMM_BOOT_MANIFEST_VERSION_NOT_SUPPORTED",
        BootCode::ManifestData => "E_RMM_BOOT_MANIFEST_DATA_ERROR",
    }
}

/// Boots the RMM for the first time, on the first CPU. Turns the Realm world on.
pub(crate) fn cold_boot(runtime: &Runtime, entry: u64, shared: u64) {
    let hand_over = &runtime.hand_over;
    let present = runtime.affinities.len() as u64;
    let version = match runtime.services.fault() {
        Some(Fault::OldInterface) => Version::new(0, 2),
        _ => VERSION,
    };
    let [x0, x1, x2, x3] = hand_over.registers([
        hand_over.first_number(present),
        version.word(),
        hand_over.cpus(present),
        shared,
    ]);
    let booted = boot(runtime, 0, entry, &[x0, x1, x2, x3, 0]);
    runtime.services.boot_is_complete();
    // Without it, calls of an RMM come to the monitor.
    if booted && runtime.services.fault() != Some(Fault::OtherRmi) {
        worlds::set_realm_world(true);
        say!("RMM booted, the Realm world is on");
    }
}

/// Boots the RMM on a CPU that was switched on, unless the Realm world is off.
pub(crate) fn warm_boot(runtime: &Runtime, cpu: usize, entry: u64) {
    if worlds::realm_world_is_on() {
        let token = TOKENS
            .get(cpu)
            .map_or(0, |token| token.load(Ordering::Relaxed));
        let present = runtime.affinities.len() as u64;
        let number = runtime.hand_over.first_number(present) + cpu as u64;
        boot(runtime, cpu, entry, &[number, token, 0, 0]);
    }
}

/// The physical counter.
fn counter() -> u64 {
    crate::registers::read_register!("cntpct_el0")
}

/// Enters the RMM with these first registers. `false` when it does not boot; the Realm world is
/// off then, on all CPUs.
fn boot(runtime: &Runtime, cpu: usize, entry: u64, registers: &[u64]) -> bool {
    worlds::prepare(cpu, World::Realm, runtime.features, entry, registers);
    let start = counter();
    let report = worlds::boot_realm(cpu);
    let ticks = counter().wrapping_sub(start);
    if runtime.hand_over.ticks {
        say!("the RMM's boot on CPU {cpu} took {ticks} ticks");
    }
    let code = BootCode::from_word(report.code);
    if code == BootCode::Success {
        if let Some(token) = TOKENS.get(cpu) {
            token.store(report.token, Ordering::Relaxed);
        }
        return true;
    }
    worlds::set_realm_world(false);
    say!(
        "the Realm world is off: the RMM did not boot on CPU {cpu}: {} ({})",
        name(code),
        report.code.cast_signed()
    );
    false
}
