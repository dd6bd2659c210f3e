//! Stage 1 translation: everything one to one, in blocks of a gigabyte.

#![allow(unsafe_code)]

use core::arch::asm;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

use realm_payload::command::UnprotectedMemory;

const ENTRIES: usize = 512;

#[repr(C, align(4096))]
struct Table([AtomicU64; ENTRIES]);

unsafe extern "C" {
    static table_level_0: Table;
    static table_lowest: Table;
    static table_unprotected: Table;
    static table_beyond: Table;
}

/// Tables of the program, by what they cover.
struct Tables {
    level_0: &'static Table,
    /// The lowest 512 GiB.
    lowest: &'static Table,
    /// The lowest 512 GiB of the unprotected half, when the table above does not cover them.
    unprotected: &'static Table,
    /// What lies above all memory, for accesses that go too far.
    beyond: &'static Table,
}

fn tables() -> Tables {
    // SAFETY: `entry.S` has them, each a page; they are only reached by atomic accesses here, and
    // by the table walks of the CPUs.
    unsafe {
        Tables {
            level_0: &table_level_0,
            lowest: &table_lowest,
            unprotected: &table_unprotected,
            beyond: &table_beyond,
        }
    }
}

/// Width of intermediate physical addresses, once it is known.
static IPA_WIDTH: AtomicU64 = AtomicU64::new(0);

const BLOCK_SHIFT: u32 = 30;
const TABLE_SHIFT: u32 = 39;
/// Valid, access flag, inner shareable.
const BLOCK: u64 = 0x701;
const TABLE_DESCRIPTOR: u64 = 3;
const DEVICE: u64 = 1 << 2;
const NON_CACHEABLE: u64 = 2 << 2;
/// The block that the program is in. It is there from the start, and stays.
const OWN_BLOCK: usize = 1;
/// Where [`translate_through`] puts tables, one entry for each REC.
const SPARE: usize = 0x180;

impl Table {
    /// Maps from `base` on. Attributes depend on which half an address is in.
    fn map(&self, base: u64, width: u64, unprotected: u64) {
        for (number, entry) in (0..).zip(&self.0) {
            let address = base + (number << BLOCK_SHIFT);
            let attributes = match address >> (width - 1) {
                0 => 0,
                _ => unprotected,
            };
            let descriptor = address | attributes | BLOCK;
            // An entry may change what it says only by way of being invalid.
            if entry.load(Relaxed) != descriptor {
                entry.store(0, Relaxed);
            }
        }
        invalidate_all();
        for (number, entry) in (0..).zip(&self.0) {
            let address = base + (number << BLOCK_SHIFT);
            let attributes = match address >> (width - 1) {
                0 => 0,
                _ => unprotected,
            };
            entry.store(address | attributes | BLOCK, Relaxed);
        }
        publish();
    }
}

fn address(table: &'static Table) -> u64 {
    core::ptr::from_ref(table).addr() as u64
}

/// Maps everything that the tables have room for: the lowest 512 GiB of either half, and of what
/// lies above both. Widths that no Realm has are taken for the nearest that one can have.
pub(crate) fn map_all(ipa_width: u64) {
    let width = ipa_width.clamp(32, 48);
    IPA_WIDTH.store(width, Relaxed);
    let tables = tables();
    let end = 1_u64 << width;
    for (base, table) in [(end >> 1, tables.unprotected), (end, tables.beyond)] {
        let index = usize::try_from(base >> TABLE_SHIFT).unwrap_or(usize::MAX);
        // Index 0 is what `lowest` covers.
        if index != 0
            && let Some(entry) = tables.level_0.0.get(index)
        {
            entry.store(address(table) | TABLE_DESCRIPTOR, Relaxed);
        }
    }
    map_unprotected(UnprotectedMemory::Device);
}

/// Changes what accesses to the unprotected half are.
pub(crate) fn map_unprotected(memory: UnprotectedMemory) {
    let width = IPA_WIDTH.load(Relaxed);
    let attributes = match memory {
        UnprotectedMemory::Device => DEVICE,
        UnprotectedMemory::NonCacheable => NON_CACHEABLE,
    };
    let tables = tables();
    debug_assert_eq!(
        tables.lowest.0[OWN_BLOCK].load(Relaxed),
        (OWN_BLOCK as u64) << BLOCK_SHIFT | BLOCK
    );
    tables.lowest.map(0, width, attributes);
    tables.unprotected.map(1 << (width - 1), width, attributes);
    tables.beyond.map(1 << width, width, attributes);
}

/// Puts a table of level 1 into the tables of the program, for one REC. Where addresses that it
/// translates start.
pub(crate) fn translate_through(rec: usize, table: u64) -> u64 {
    let index = SPARE + rec;
    if let Some(entry) = tables().level_0.0.get(index) {
        let descriptor = table & 0x0000_ffff_ffff_f000 | TABLE_DESCRIPTOR;
        entry.store(descriptor, Relaxed);
        publish();
    }
    (index as u64) << TABLE_SHIFT
}

/// Takes the table out again, if there is one.
pub(crate) fn forget_spare(rec: usize) {
    if let Some(entry) = tables().level_0.0.get(SPARE + rec)
        && entry.load(Relaxed) != 0
    {
        entry.store(0, Relaxed);
        invalidate_all();
    }
}

/// What was written to tables holds for accesses from here on, where nothing was valid before.
fn publish() {
    // SAFETY: barriers change nothing that Rust knows of.
    unsafe { asm!("dsb ishst", "isb", options(nostack, preserves_flags)) };
}

/// Forgets translations on all CPUs.
fn invalidate_all() {
    // SAFETY: what the program itself uses stays mapped as it is.
    unsafe {
        asm!(
            "dsb ishst",
            "tlbi vmalle1is",
            "dsb ish",
            "isb",
            options(nostack, preserves_flags)
        );
    }
}
