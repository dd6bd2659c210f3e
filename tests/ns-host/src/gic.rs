//! The interrupt controller, a `GICv3`, as far as tests need it: the private interrupts of each CPU,
//! which stay masked at EL2 and are asked for when a test wants to know.

#![allow(unsafe_code)]

use spin::Once;

use crate::machine::GicRegisters;
use crate::register;

/// The timer that tests use: non-secure EL2 physical.
pub(crate) const HOST_PHYSICAL_TIMER: u64 = 26;
/// The timer by which the host takes its CPU back: non-secure EL2 virtual.
pub(crate) const HOST_VIRTUAL_TIMER: u64 = 28;
/// The virtual timer of EL1.
pub(crate) const VIRTUAL_TIMER: u64 = 27;
/// The physical timer of EL1.
pub(crate) const PHYSICAL_TIMER: u64 = 30;
/// A software-generated interrupt that CPUs send each other.
pub(crate) const KICK: u64 = 1;

/// What this program takes.
const ENABLED: u32 = 1 << KICK
    | 1 << HOST_PHYSICAL_TIMER
    | 1 << HOST_VIRTUAL_TIMER
    | 1 << VIRTUAL_TIMER
    | 1 << PHYSICAL_TIMER;

const GICD_CTLR: u64 = 0x0000;
const CTLR_GROUP_1: u32 = 1 << 1;
const CTLR_ARE: u32 = 1 << 4;
const CTLR_WRITE_PENDING: u32 = 1 << 31;

const GICR_TYPER: u64 = 0x0008;
const TYPER_VIRTUAL: u64 = 1 << 1;
const TYPER_LAST: u64 = 1 << 4;
const FRAME: u64 = 0x1_0000;
/// In the second frame of a redistributor.
const GICR_ISENABLER0: u64 = FRAME + 0x0100;
const GICR_ICENABLER0: u64 = FRAME + 0x0180;
const GICR_ICPENDR0: u64 = FRAME + 0x0280;
const GICR_IPRIORITYR: u64 = FRAME + 0x0400;

/// Interrupts of this priority and higher ones pass.
const PRIORITY_MASK: u64 = 0xf0;
const PRIORITY: u8 = 0xa0;

static REGISTERS: Once<GicRegisters> = Once::new();

const fn register<T>(address: u64) -> *mut T {
    address as *mut T
}

/// Starts the distributor. On the first CPU, before `start_cpu`.
pub(crate) fn start(registers: GicRegisters) {
    let control = register::<u32>(registers.distributor.start() + GICD_CTLR);
    // SAFETY: the device tree says that there is a distributor; it is mapped as a device.
    unsafe {
        control.write_volatile(CTLR_ARE | CTLR_GROUP_1);
        while control.read_volatile() & CTLR_WRITE_PENDING != 0 {}
    }
    REGISTERS.call_once(|| registers);
}

/// The redistributor of the CPU that runs this.
fn redistributor() -> Option<u64> {
    let affinity = register::read!("mpidr_el1");
    // TYPER has the affinity as Aff3.Aff2.Aff1.Aff0.
    let wanted = (affinity >> 32 & 0xff) << 24 | affinity & 0xff_ffff;
    for region in &REGISTERS.get()?.redistributors {
        let mut base = region.start();
        while base + 2 * FRAME <= region.end() {
            // SAFETY: inside a region of redistributors, mapped as a device.
            let typer = unsafe { register::<u64>(base + GICR_TYPER).read_volatile() };
            if typer >> 32 == wanted {
                return Some(base);
            }
            if typer & TYPER_LAST != 0 {
                break;
            }
            base += if typer & TYPER_VIRTUAL != 0 { 4 } else { 2 } * FRAME;
        }
    }
    None
}

/// Sets up the private interrupts of the CPU that runs this.
pub(crate) fn start_cpu() {
    let Some(base) = redistributor() else {
        return;
    };
    // SAFETY: the redistributor is this CPU's own; the registers of the CPU interface concern
    // interrupts only, which this program keeps masked.
    unsafe {
        register::<u32>(base + GICR_ICENABLER0).write_volatile(!ENABLED);
        register::<u32>(base + GICR_ICPENDR0).write_volatile(u32::MAX);
        for interrupt in (0..32).filter(|interrupt| ENABLED >> interrupt & 1 == 1) {
            register::<u8>(base + GICR_IPRIORITYR + interrupt).write_volatile(PRIORITY);
        }
        register::<u32>(base + GICR_ISENABLER0).write_volatile(ENABLED);
        register::write!("S3_4_C12_C9_5", 0xf); // ICC_SRE_EL2
        register::write!("S3_0_C4_C6_0", PRIORITY_MASK); // ICC_PMR_EL1
        register::write!("S3_0_C12_C12_3", 0); // ICC_BPR1_EL1
        register::write!("S3_0_C12_C12_4", 0); // ICC_CTLR_EL1: one write ends an interrupt
        register::write!("S3_0_C12_C12_7", 1); // ICC_IGRPEN1_EL1
    }
}

/// Takes the pending interrupt with the highest priority, if there is one, and ends it.
pub(crate) fn take() -> Option<u64> {
    const NONE: u64 = 1020;
    // Reading acknowledges the interrupt, which no handler waits for.
    let interrupt = register::read!("S3_0_C12_C12_0"); // ICC_IAR1_EL1
    if interrupt >= NONE {
        return None;
    }
    // SAFETY: ends what was just acknowledged.
    unsafe { register::write!("S3_0_C12_C12_1", interrupt) }; // ICC_EOIR1_EL1
    Some(interrupt)
}

/// The pending interrupt with the highest priority; it stays pending.
pub(crate) fn pending() -> Option<u64> {
    const NONE: u64 = 1020;
    let interrupt = register::read!("S3_0_C12_C12_2"); // ICC_HPPIR1_EL1
    (interrupt < NONE).then_some(interrupt)
}

/// Lets through only interrupts of a higher priority than this while `work` runs.
pub(crate) fn with_priority_mask<R>(mask: u64, work: impl FnOnce() -> R) -> R {
    // SAFETY: ICC_PMR_EL1 concerns interrupts only.
    unsafe { register::write!("S3_0_C4_C6_0", mask) };
    let result = work();
    // SAFETY: as above.
    unsafe { register::write!("S3_0_C4_C6_0", PRIORITY_MASK) };
    result
}

/// Sends [`KICK`] to the CPU with this affinity.
pub(crate) fn kick(affinity: u64) {
    let byte = |level: u32| affinity >> (8 * level) & 0xff;
    let request = (affinity >> 32 & 0xff) << 48
        | byte(2) << 32
        | byte(1) << 16
        | (byte(0) >> 4) << 44
        | KICK << 24
        | 1 << (byte(0) & 0xf);
    // SAFETY: sends an interrupt, which the other CPU keeps masked unless a Realm runs there.
    unsafe {
        core::arch::asm!("dsb ish", options(nostack, preserves_flags));
        register::write!("S3_0_C12_C11_5", request); // ICC_SGI1R_EL1
    }
}
