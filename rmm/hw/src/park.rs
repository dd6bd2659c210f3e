//! The end of service.
//!
//! An RMM that finds something impossible says so and stops: from then on every new call on every
//! CPU is answered with "not supported", no Realm is entered, and nothing of what the RMM holds is
//! used again. Calls that are under way on other CPUs come to their end, or are cut off when they
//! wait for a lock. The machine itself goes on.

use core::arch::asm;
use core::fmt;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use rmm_abi::el3::BootCode;
use rmm_abi::smc::NOT_SUPPORTED;
use rmm_core::boot::MAX_CPUS;

use crate::{console, el3, identity, resident};

static STOPPED: AtomicBool = AtomicBool::new(false);

/// Whether the RMM has stopped serving.
pub fn stopped() -> bool {
    STOPPED.load(Ordering::Relaxed)
}

/// Ends service on all CPUs, says why, and parks this one.
pub fn give_up(why: fmt::Arguments<'_>) -> ! {
    mask_interrupts();
    let first = !STOPPED.swap(true, Ordering::SeqCst);
    if first {
        console::last_words(format_args!("STOPPED on CPU {}: {why}", identity::number()));
    }
    if !identity::is_serving() {
        refuse(BootCode::Unknown);
    }
    park()
}

/// From here on nothing is put aside: what gave up may have been work in the workroom, where interrupts are
/// not masked.
fn mask_interrupts() {
    // SAFETY: masked is how the RMM runs everywhere else.
    unsafe {
        asm!(
            "msr daifset, #0xf",
            options(nomem, nostack, preserves_flags)
        );
    };
}

/// Refuses to boot on this CPU, with a code for EL3.
pub fn refuse_boot(code: BootCode, why: fmt::Arguments<'_>) -> ! {
    STOPPED.store(true, Ordering::SeqCst);
    console::last_words(format_args!("does not boot: {why}"));
    refuse(code)
}

/// Tells EL3 that the RMM has not booted on this CPU.
pub fn refuse(code: BootCode) -> ! {
    el3::boot_complete(code);
    park()
}

/// Answers every call of this CPU with "not supported". X4 stays the caller's, as in every reply
/// that has no output there.
pub fn park() -> ! {
    resident::evict();
    let mut x4 = last_call().map_or(0, |x4| x4.load(Ordering::Relaxed));
    loop {
        let call = el3::request_complete(&[NOT_SUPPORTED, 0, 0, 0, x4]);
        x4 = call[4];
    }
}

/// X4 of the call that each CPU serves: what a reply from the middle of nowhere must give back.
static LAST_X4: [AtomicU64; MAX_CPUS as usize] = [const { AtomicU64::new(0) }; MAX_CPUS as usize];

/// Where this CPU notes X4 of the call that it serves.
pub fn last_call() -> Option<&'static AtomicU64> {
    LAST_X4.get(usize::try_from(identity::number()).ok()?)
}
