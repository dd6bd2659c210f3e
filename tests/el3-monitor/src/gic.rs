//! The interrupt controller, a `GICv3`: every interrupt is the normal world's, but one with which the monitor wakes CPUs.
#![allow(unsafe_code)]

use el3_monitor::index;
use el3_monitor::machine::Gic;
use spin::Once;

use crate::registers::{execute, read_register, write_register};

static GIC: Once<Gic> = Once::new();

/// The software-generated interrupt that wakes a CPU, of the half that belongs to firmware.
const WAKE: u64 = 15;

const GICD_CTLR: u64 = 0x0000;
const GICD_TYPER: u64 = 0x0004;
const GICD_IGROUPR: u64 = 0x0080;
const CTLR_ENABLE_GROUP_0: u32 = 1 << 0;
const CTLR_ARE: u32 = 0b11 << 4;
const CTLR_WRITE_PENDING: u32 = 1 << 31;

const GICR_TYPER: u64 = 0x0008;
const GICR_WAKER: u64 = 0x0014;
const PROCESSOR_SLEEP: u32 = 1 << 1;
const CHILDREN_ASLEEP: u32 = 1 << 2;
const TYPER_VIRTUAL: u64 = 1 << 1;
const TYPER_LAST: u64 = 1 << 4;
const FRAME: u64 = 0x1_0000;
/// In the second frame of a redistributor.
const GICR_IGROUPR0: u64 = FRAME + 0x0080;
const GICR_ISENABLER0: u64 = FRAME + 0x0100;
const GICR_IPRIORITYR: u64 = FRAME + 0x0400;
const GICR_IGRPMODR0: u64 = FRAME + 0x0d00;

fn register<T>(address: u64) -> *mut T {
    core::ptr::with_exposed_provenance_mut(index(address))
}

/// Gives all shared interrupts to the normal world. For the first CPU; the registers are mapped.
pub(crate) fn init_distributor(gic: Gic) {
    let base = gic.distributor.start;
    // SAFETY: the distributor's registers are mapped as a device; no interrupt is enabled.
    unsafe {
        register::<u32>(base + GICD_CTLR).write_volatile(0);
        wait_for_distributor(base);
        register::<u32>(base + GICD_CTLR).write_volatile(CTLR_ARE);
        wait_for_distributor(base);
        let words = register::<u32>(base + GICD_TYPER).read_volatile() & 0x1f;
        for word in 1..=u64::from(words) {
            register::<u32>(base + GICD_IGROUPR + 4 * word).write_volatile(u32::MAX);
        }
        register::<u32>(base + GICD_CTLR).write_volatile(CTLR_ARE | CTLR_ENABLE_GROUP_0);
        wait_for_distributor(base);
    }
    GIC.call_once(|| gic);
}

/// Waits until a write to the control register is done.
///
/// # Safety
///
/// `base` is the distributor's, mapped.
unsafe fn wait_for_distributor(base: u64) {
    // SAFETY: the caller's promise.
    while unsafe { register::<u32>(base + GICD_CTLR).read_volatile() } & CTLR_WRITE_PENDING != 0 {}
}

/// The redistributor of the CPU with this affinity.
fn redistributor(affinity: u64) -> Option<u64> {
    // TYPER has the affinity as Aff3.Aff2.Aff1.Aff0.
    let wanted = affinity >> 32 << 24 | affinity & 0xff_ffff;
    for region in &GIC.get()?.redistributors {
        let mut base = region.start;
        while base + 2 * FRAME <= region.end {
            // SAFETY: inside a region that is mapped as a device.
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

/// Sets up this CPU's redistributor and CPU interface. `false` when it has no redistributor.
pub(crate) fn init_cpu(affinity: u64) -> bool {
    let Some(base) = redistributor(affinity) else {
        return false;
    };
    // SAFETY: the redistributor is this CPU's own; the CPU interface registers concern
    // interrupts only, and the monitor runs with interrupts masked.
    unsafe {
        let waker = register::<u32>(base + GICR_WAKER);
        waker.write_volatile(waker.read_volatile() & !PROCESSOR_SLEEP);
        while waker.read_volatile() & CHILDREN_ASLEEP != 0 {}
        register::<u32>(base + GICR_IGROUPR0).write_volatile(!(1 << WAKE));
        register::<u32>(base + GICR_IGRPMODR0).write_volatile(0);
        register::<u8>(base + GICR_IPRIORITYR + WAKE).write_volatile(0);
        register::<u32>(base + GICR_ISENABLER0).write_volatile(1 << WAKE);

        write_register!("s3_6_c12_c12_5", 0xf); // ICC_SRE_EL3
        execute!("isb");
        write_register!("s3_4_c12_c9_5", 0xf); // ICC_SRE_EL2
        execute!("isb");
        write_register!("s3_0_c12_c12_5", 0x7); // ICC_SRE_EL1
        execute!("isb");
        write_register!("s3_0_c4_c6_0", 0xff); // ICC_PMR_EL1
        write_register!("s3_0_c12_c12_6", 1); // ICC_IGRPEN0_EL1
        execute!("isb");
    }
    true
}

/// Wakes a CPU that is in [`wait_for_wake`].
pub(crate) fn wake(affinity: u64) {
    let byte = |level: u32| affinity >> (8 * level) & 0xff;
    let request = (affinity >> 32 & 0xff) << 48
        | byte(2) << 32
        | byte(1) << 16
        | (byte(0) >> 4) << 44
        | WAKE << 24
        | 1 << (byte(0) & 0xf);
    // SAFETY: sends an interrupt that only the monitor takes.
    unsafe {
        execute!("dsb ish");
        write_register!("s3_0_c12_c11_7", request); // ICC_SGI0R_EL1
        execute!("isb");
    }
}

/// Sleeps until [`wake`] is called for this CPU. Interrupts of the normal world do not disturb.
pub(crate) fn wait_for_wake() {
    // SAFETY: concerns interrupts only. The normal world enables its group again when it starts.
    unsafe {
        write_register!("s3_6_c12_c12_7", 0); // ICC_IGRPEN1_EL3
        write_register!("s3_0_c4_c6_0", 0xff); // ICC_PMR_EL1
        execute!("isb");
        while acknowledge() != WAKE {
            execute!("dsb sy");
            execute!("wfi");
        }
    }
}

/// Takes the pending interrupt of Group 0, if there is one, and ends it. Returns its number.
pub(crate) fn acknowledge() -> u64 {
    const NONE: u64 = 1020;
    let interrupt = read_register!("s3_0_c12_c8_0"); // ICC_IAR0_EL1
    if interrupt < NONE {
        // SAFETY: ends what was just acknowledged.
        unsafe {
            write_register!("s3_0_c12_c8_1", interrupt); // ICC_EOIR0_EL1
            execute!("isb");
        }
    }
    interrupt
}
