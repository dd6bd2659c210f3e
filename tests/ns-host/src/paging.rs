//! Translation tables: all of physical memory at its own address, and a window for single pages.
//!
//! `asm/boot.S` maps the image in the upper half. The lower half maps each address below
//! [`IDENTITY_LIMIT`] to itself in blocks of 1 GiB, never executable.

#![allow(unsafe_code)]

use core::sync::atomic::{AtomicU64, Ordering};

use crate::cpus::current;
use crate::machine::MAX_CPUS;
use crate::memory::{GRANULE, Range};
use crate::register;

/// First address that the identity map does not reach.
pub(crate) const IDENTITY_LIMIT: u64 = 512 << 30;
/// First address that no mapping of this program reaches.
pub(crate) const ADDRESS_LIMIT: u64 = 1 << 48;

/// Where the image is linked; `image.ld` agrees.
const IMAGE_BASE: u64 = 0xffff_ff80_0000_0000;
/// Where the window is mapped: entry 40 of the level 2 table in `asm/boot.S`.
const WINDOW_BASE: u64 = IMAGE_BASE + (40 << 21);

const GIGABYTE: u64 = 1 << 30;
const TABLE: u64 = 0b11;
const BLOCK: u64 = 0b01;
const PAGE: u64 = 0b11;
const ACCESS_FLAG: u64 = 1 << 10;
const INNER_SHAREABLE: u64 = 3 << 8;
const DEVICE: u64 = 1 << 2;
const READ_ONLY: u64 = 1 << 7;
const PRIVILEGED_NEVER_EXECUTES: u64 = 1 << 53;
const UNPRIVILEGED_NEVER_EXECUTES: u64 = 1 << 54;
const DATA: u64 =
    ACCESS_FLAG | INNER_SHAREABLE | PRIVILEGED_NEVER_EXECUTES | UNPRIVILEGED_NEVER_EXECUTES;
const CODE: u64 = ACCESS_FLAG | INNER_SHAREABLE | READ_ONLY | UNPRIVILEGED_NEVER_EXECUTES;

#[repr(C, align(4096))]
struct Table([AtomicU64; 512]);

impl Table {
    const fn new() -> Self {
        Self([const { AtomicU64::new(0) }; 512])
    }
}

static IDENTITY_LEVEL_0: Table = Table::new();
static IDENTITY_LEVEL_1: Table = Table::new();
static LOAD_ADDRESS: AtomicU64 = AtomicU64::new(0);

unsafe extern "C" {
    static image_l3: Table;
    static slot_l3: Table;
    static image_end: u8;
    static stacks: u8;
    static stacks_end: u8;
}

/// How a page of the window is used.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Use {
    /// Loads and stores.
    Data,
    /// Instruction fetches.
    Code,
}

/// Says where the image was loaded. Before anything else here.
pub(crate) fn set_load_address(address: u64) {
    LOAD_ADDRESS.store(address, Ordering::Relaxed);
    IDENTITY_LEVEL_0.0[0].store(
        physical(&raw const IDENTITY_LEVEL_1) | TABLE,
        Ordering::Relaxed,
    );
}

/// Physical address of something in the image.
pub(crate) fn physical<T>(item: *const T) -> u64 {
    item as u64 - IMAGE_BASE + LOAD_ADDRESS.load(Ordering::Relaxed)
}

/// Memory that the image fills, with zeroed data and stacks.
pub(crate) fn image() -> Range {
    let end = &raw const image_end;
    Range::new(
        LOAD_ADDRESS.load(Ordering::Relaxed),
        end as u64 - IMAGE_BASE,
    )
}

/// Makes the gigabytes that hold a range accessible as memory.
pub(crate) fn map_memory(range: Range) {
    map(range, DATA);
}

/// Makes the gigabytes that hold a range accessible as devices.
pub(crate) fn map_device(range: Range) {
    map(range, DATA | DEVICE);
}

/// Makes everything else accessible as devices.
pub(crate) fn map_devices() {
    map(Range::new(0, IDENTITY_LIMIT), DATA | DEVICE);
}

fn map(range: Range, attributes: u64) {
    let first = range.start() / GIGABYTE;
    let last = range.end().saturating_sub(1) / GIGABYTE;
    for (number, entry) in (0..).zip(&IDENTITY_LEVEL_1.0) {
        if (first..=last).contains(&number) && entry.load(Ordering::Relaxed) == 0 {
            entry.store((number * GIGABYTE) | attributes | BLOCK, Ordering::Relaxed);
        }
    }
    // SAFETY: only orders accesses.
    unsafe { core::arch::asm!("dsb ishst", "isb", options(nostack, preserves_flags)) };
}

/// Switches this CPU from the boot mapping of the lower half to the identity map.
pub(crate) fn use_identity_map() {
    let table = physical(&raw const IDENTITY_LEVEL_0);
    // SAFETY: code, stack and data are in the upper half, which stays as it is.
    unsafe {
        core::arch::asm!("dsb ishst", options(nostack, preserves_flags));
        register::write!("ttbr0_el2", table);
        core::arch::asm!(
            "tlbi alle2",
            "dsb nsh",
            "isb",
            options(nostack, preserves_flags)
        );
    }
}

/// Takes away the gaps between the stacks, so that an overflow faults.
pub(crate) fn unmap_stack_gaps() {
    const SLOT: u64 = 1 << 20;
    // SAFETY: only the addresses of the symbols are used; the table is ours to write.
    let (start, end, table) = unsafe {
        (
            (&raw const stacks) as u64,
            (&raw const stacks_end) as u64,
            &image_l3,
        )
    };
    let gaps = (0..(end - start) / SLOT).map(|slot| start + slot * SLOT);
    for gap in gaps {
        for page in (0..SLOT / 2 / GRANULE).map(|page| gap + page * GRANULE) {
            // The table of the image may be longer than one page; the next follows it.
            let index = ((page - IMAGE_BASE) / GRANULE) as usize;
            // SAFETY: `image.ld` limits the image to what the tables map.
            unsafe { (*table.0.as_ptr().add(index)).store(0, Ordering::Relaxed) };
        }
    }
    // SAFETY: nothing uses the gaps.
    unsafe {
        core::arch::asm!(
            "dsb ishst",
            "tlbi alle2is",
            "dsb ish",
            "isb",
            options(nostack, preserves_flags)
        );
    }
}

/// The page of the window that CPU `cpu` has for a use.
pub(crate) fn window(cpu: usize, usage: Use) -> u64 {
    WINDOW_BASE + GRANULE * window_index(cpu, usage) as u64
}

fn window_index(cpu: usize, usage: Use) -> usize {
    match usage {
        Use::Data => cpu,
        Use::Code => MAX_CPUS + cpu,
    }
}

/// Maps the page at `page` into the window of this CPU while `access` runs with its address.
/// `None` when the address is beyond what a page table entry can hold.
pub(crate) fn with_page<R>(page: u64, usage: Use, access: impl FnOnce(u64) -> R) -> Option<R> {
    if page >= ADDRESS_LIMIT {
        return None;
    }
    let cpu = current();
    let address = window(cpu, usage);
    // SAFETY: the table is ours, and this entry belongs to this CPU.
    let entry = unsafe { &slot_l3.0[window_index(cpu, usage)] };
    let attributes = if usage == Use::Code { CODE } else { DATA };
    entry.store(page & !(GRANULE - 1) | attributes | PAGE, Ordering::Relaxed);
    // SAFETY: the entry was invalid before.
    unsafe {
        core::arch::asm!(
            "dsb ish",
            "ic iallu",
            "dsb nsh",
            "isb",
            options(nostack, preserves_flags)
        );
    }
    let result = access(address);
    entry.store(0, Ordering::Relaxed);
    // SAFETY: nothing uses the page of the window any more.
    unsafe {
        core::arch::asm!(
            "dsb ishst",
            "tlbi vae2, {page}",
            "dsb nsh",
            "isb",
            page = in(reg) (address >> 12) & 0xfff_ffff_ffff,
            options(nostack, preserves_flags)
        );
    }
    Some(result)
}
