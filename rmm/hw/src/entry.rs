//! From EL3 to Rust: the assembly of `entry.S` and what it shares with Rust.

use core::arch::{asm, global_asm};
use core::sync::atomic::{AtomicU32, Ordering};

use aarch64_cpu::registers::{HCR_EL2, SCTLR_EL2};
use rmm_abi::el3::{BootCode, fid};
use rmm_core::boot::{HIGHEST_INTERFACE, LOWEST_INTERFACE};
use rmm_core::granule::GranuleRecord;

use crate::layout;
use crate::memory::Zeroer;
use crate::translation::{MAIR, TCR, TCR_UPPER_ONLY};

/// Not zero once cold boot is done. The assembly reads it with the MMU off on every entry, so it
/// is in the image and not among the data that cold boot zeroes.
#[unsafe(no_mangle)]
#[unsafe(link_section = ".data.first")]
static COLD_BOOTED: AtomicU32 = AtomicU32::new(0);

/// CPUs that EL3 announced. The assembly checks numbers against it on warm boot.
#[unsafe(no_mangle)]
static CPU_COUNT: AtomicU32 = AtomicU32::new(0);

/// R-EL2 with host extensions; external aborts of a Realm's accesses come here.
const HCR: u64 = HCR_EL2::RW::EL1IsAarch64.value | HCR_EL2::E2H::EnableOsAtEl2.value | 1 << 37; // TEA

/// MMU, caches, stack alignment, write-implies-never-executed; the bits that are one in an EL2
/// without the features they belong to.
const SCTLR: u64 = SCTLR_EL2::M::Enable.value
    | SCTLR_EL2::A::Enable.value
    | SCTLR_EL2::C::Cacheable.value
    | SCTLR_EL2::SA::Enable.value
    | SCTLR_EL2::I::Cacheable.value
    | SCTLR_EL2::WXN::Enable.value
    | 1 << 4 // SA0
    | 1 << 5 // CP15BEN
    | 1 << 11 // EOS
    | 1 << 16 // nTWI
    | 1 << 18 // nTWE
    | 1 << 22 // EIS
    | 1 << 23 // SPAN
    | 1 << 28 // nTLSMD
    | 1 << 29; // LSMAOE

global_asm!(
    include_str!("entry.S"),
    lowest_interface = const LOWEST_INTERFACE.word(),
    highest_interface = const HIGHEST_INTERFACE.word(),
    memory_per_cpu = const layout::MEMORY_PER_CPU,
    memory_per_granule = const size_of::<GranuleRecord>(),
    fixed_memory = const layout::FIXED_MEMORY,
    hcr = const HCR,
    mair = const MAIR,
    tcr = const TCR,
    tcr_upper_only = const TCR_UPPER_ONLY,
    sctlr = const SCTLR,
    boot_complete = const fid::BOOT_COMPLETE,
    cpu_out_of_range = const BootCode::CpuIdOutOfRange as i32,
    per_cpu_base = const layout::PER_CPU,
    per_cpu_shift = const layout::PER_CPU_SHIFT,
    exception_stack_end = const layout::EXCEPTION_STACK + layout::EXCEPTION_STACK_SIZE,
    stack_end = const layout::STACK + layout::STACK_SIZE,
);

unsafe extern "C" {
    #[link_name = "continue_on_cpu_stack"]
    fn continue_on_cpu_stack_asm(cpu: u64, next: extern "C" fn(u64) -> !) -> !;
}

/// Sets how many CPUs have stacks, for warm boot.
pub fn announce_cpus(cpus: u32) {
    CPU_COUNT.store(cpus, Ordering::Release);
}

/// Makes every entry from now on a warm one.
pub fn cold_boot_done() {
    COLD_BOOTED.store(1, Ordering::Release);
    // Other CPUs read the flag with the MMU, and so the caches, off.
    // SAFETY: cleaning a line of our own data to memory changes no value.
    unsafe {
        asm!("dc civac, {0}", "dsb sy", in(reg) COLD_BOOTED.as_ptr(), options(nostack, preserves_flags));
    }
}

unsafe extern "C" {
    static mut __boot_stack_start: u8;
    static mut __boot_stack_end: u8;
}

/// Wipes what cold boot has left on its stack: the realm attestation key has been there.
///
/// # Safety
///
/// Cold boot must be over, and the stack never be used again.
pub unsafe fn wipe_boot_stack() {
    let (start, end) = (&raw mut __boot_stack_start, &raw mut __boot_stack_end);
    // SAFETY: the range is mapped, and by the contract of this function nobody else uses it.
    unsafe { Zeroer::of_this_cpu().zero(start as u64, end as u64 - start as u64) };
}

/// Leaves the boot stack for good and goes on in `next` with the CPU's number, on the CPU's own
/// stacks, which must be mapped.
pub fn continue_on_cpu_stack(cpu: u32, next: extern "C" fn(u64) -> !) -> ! {
    // SAFETY: nothing on the boot stack is used again, because neither this function nor `next`
    // returns. A stack that is not mapped faults at the first push.
    unsafe { continue_on_cpu_stack_asm(cpu.into(), next) }
}
