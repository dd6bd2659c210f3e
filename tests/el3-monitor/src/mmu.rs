//! The translation tables of EL3: every address to itself, with no more rights than needed.
//!
//! 39 bits of address from level 1. Built by the first CPU at boot, used by all.
#![allow(unsafe_code)]

use core::cell::UnsafeCell;

use el3_monitor::region::{GIB, GRANULE};
use el3_monitor::{Region, index};

use crate::console::fatal;
use crate::registers::{execute, read_register, write_register};

/// What a region is, and in which physical address space.
#[derive(Clone, Copy)]
pub(crate) enum Memory {
    Code,
    Constants,
    Data,
    Device,
    Realm,
    NonSecure,
}

const TABLE: u64 = 0b11;
const PAGE: u64 = 0b11;
const BLOCK: u64 = 0b01;
const ADDRESS: u64 = 0x0000_ffff_ffff_f000;
const ENTRIES: usize = 512;
const TABLES: usize = 40;

impl Memory {
    fn attributes(self) -> u64 {
        const DEVICE: u64 = 1 << 2;
        const NS: u64 = 1 << 5;
        const RES1: u64 = 1 << 6;
        const READ_ONLY: u64 = 1 << 7;
        const INNER_SHAREABLE: u64 = 0b11 << 8;
        const ACCESSED: u64 = 1 << 10;
        const NSE: u64 = 1 << 11;
        const NEVER_EXECUTE: u64 = 1 << 54;
        const COMMON: u64 = RES1 | INNER_SHAREABLE | ACCESSED;
        COMMON
            | match self {
                Self::Code => NSE | READ_ONLY,
                Self::Constants => NSE | READ_ONLY | NEVER_EXECUTE,
                Self::Data => NSE | NEVER_EXECUTE,
                Self::Device => NSE | DEVICE | NEVER_EXECUTE,
                Self::Realm => NSE | NS | NEVER_EXECUTE,
                Self::NonSecure => NS | NEVER_EXECUTE,
            }
    }
}

#[derive(Clone, Copy)]
#[repr(C, align(4096))]
struct Table([u64; ENTRIES]);

struct Tables {
    /// The first is the level 1 table.
    tables: [Table; TABLES],
    /// How many of the others are in use.
    lower: usize,
}

struct Shared(UnsafeCell<Tables>);

// SAFETY: only the first CPU writes the tables, at boot, before it wakes the others; afterwards
// only the hardware reads them.
unsafe impl Sync for Shared {}

static TRANSLATION: Shared = Shared(UnsafeCell::new(Tables {
    tables: [Table([0; ENTRIES]); TABLES],
    lower: 0,
}));

impl Tables {
    /// Maps a region, in the largest pieces that fit.
    fn map(&mut self, region: Region, memory: Memory) -> Option<()> {
        let mut address = region.start;
        while address < region.end {
            let mut table = 0;
            let mut size = GIB;
            while !address.is_multiple_of(size)
                || region.end - address < size
                || self.is_table(table, size, address)
            {
                if size == GRANULE {
                    return None;
                }
                table = self.next_level(table, size, address)?;
                size /= ENTRIES as u64;
            }
            let kind = if size == GRANULE { PAGE } else { BLOCK };
            *self.entry(table, size, address)? = address | memory.attributes() | kind;
            address = address.checked_add(size)?;
        }
        Some(())
    }

    fn entry(&mut self, table: usize, size: u64, address: u64) -> Option<&mut u64> {
        let place = address / size;
        let place = if size == GIB {
            index(place)
        } else {
            index(place) % ENTRIES
        };
        self.tables.get_mut(table)?.0.get_mut(place)
    }

    fn is_table(&mut self, table: usize, size: u64, address: u64) -> bool {
        size != GRANULE
            && self
                .entry(table, size, address)
                .is_some_and(|entry| *entry & 0b11 == TABLE)
    }

    /// The table below an entry; it is made where there is none.
    fn next_level(&mut self, table: usize, size: u64, address: u64) -> Option<usize> {
        let base = self.tables.as_ptr() as u64;
        let entry = *self.entry(table, size, address)?;
        if entry & 0b11 == TABLE {
            return Some(index((entry & ADDRESS) - base) / size_of::<Table>());
        }
        if entry != 0 {
            return None;
        }
        let new = self.lower + 1;
        let descriptor = (base + (new * size_of::<Table>()) as u64) | TABLE;
        *self.entry(table, size, address)? = descriptor;
        self.lower = new;
        (new < TABLES).then_some(new)
    }
}

/// Maps a region whose ends are granule aligned. For the first CPU, at boot.
pub(crate) fn map(region: Region, memory: Memory) {
    // SAFETY: see `Shared`.
    let tables = unsafe { &mut *TRANSLATION.0.get() };
    if tables.map(region, memory).is_none() {
        fatal!("cannot map {region}: the translation tables are used up");
    }
    // SAFETY: barriers; a new entry needs no invalidation, and the old ones stay as they were.
    unsafe {
        execute!("dsb ish");
        execute!("isb");
    }
}

/// Maps whole granules around a device's registers.
pub(crate) fn map_device(region: Region) {
    map(
        Region {
            start: region.start & !(GRANULE - 1),
            end: region.end.next_multiple_of(GRANULE),
        },
        Memory::Device,
    );
}

/// The value of `SCTLR_EL3` at reset: MMU and caches off.
pub(crate) const SCTLR_RES1: u64 = 0x30c5_0830;

/// Turns on translation on this CPU.
pub(crate) fn enable() {
    const MAIR: u64 = 0x04ff;
    const M: u64 = 1 << 0;
    const C: u64 = 1 << 2;
    const SA: u64 = 1 << 3;
    const I: u64 = 1 << 12;
    const WXN: u64 = 1 << 19;
    const T0SZ: u64 = 64 - 39;
    const INNER_WRITE_BACK: u64 = 1 << 8;
    const OUTER_WRITE_BACK: u64 = 1 << 10;
    const INNER_SHAREABLE: u64 = 0b11 << 12;
    const RES1: u64 = 1 << 31 | 1 << 23;
    const LARGEST_PHYSICAL: u64 = 0b101;
    let physical = (read_register!("id_aa64mmfr0_el1") & 0xf).min(LARGEST_PHYSICAL);
    let tcr = T0SZ | INNER_WRITE_BACK | OUTER_WRITE_BACK | INNER_SHAREABLE | physical << 16 | RES1;
    // SAFETY: the tables map everything that is in use to itself.
    unsafe {
        write_register!("mair_el3", MAIR);
        write_register!("tcr_el3", tcr);
        write_register!("ttbr0_el3", TRANSLATION.0.get() as u64);
        execute!("tlbi alle3");
        execute!("dsb ish");
        execute!("isb");
        write_register!("sctlr_el3", SCTLR_RES1 | M | C | SA | I | WXN);
        execute!("isb");
    }
}
