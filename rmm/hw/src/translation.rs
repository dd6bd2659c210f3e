//! Stage 1 of the RMM: the EL2&0 regime of the Realm world.
//!
//! `entry.S` maps the image. Everything else is mapped here, during cold boot, by one CPU. After
//! that only the entries of slots change, each by the CPU that owns it.

use core::arch::asm;
use core::fmt;
use core::ptr;

use rmm_core::boot::Region;
use rmm_core::granule::GranuleAddress;

use crate::layout::{self, PAGE, UPPER_HALF, WINDOW_SIZE};

/// Attribute 0: Normal, write-back. Attribute 1: Device-nGnRE.
pub(crate) const MAIR: u64 = 0x04ff;

/// Lower half 48 bits, for the one page in which the MMU comes on; upper half 39 bits; 4 KiB
/// granules, walks inner shareable and write-back. The size of physical addresses is added at
/// run time. The register has the layout of `TCR_EL1`, for host extensions are on.
pub(crate) const TCR: u64 = 16
    | 1 << 8 // IRGN0
    | 1 << 10 // ORGN0
    | 3 << 12 // SH0
    | 25 << 16 // T1SZ
    | 1 << 24 // IRGN1
    | 1 << 26 // ORGN1
    | 3 << 28 // SH1
    | 2 << 30; // TG1

/// No walks for the lower half (EPD0).
pub(crate) const TCR_UPPER_ONLY: u64 = 1 << 7;
/// T0SZ of the lower half once each CPU has one: 30 bits, from level 2.
const LOWER_HALF_SIZE: u64 = 64 - 30;
const T0SZ: u64 = 0x3f;

/// Bits of the physical addresses that the tables can express.
pub const ADDRESS_BITS: u8 = 48;
const ADDRESS_LIMIT: u64 = 1 << ADDRESS_BITS;

const ENTRIES: usize = 512;

/// What a mapping is for. Everything is never executed; text is mapped by `entry.S` alone.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Attributes {
    /// Memory of the Realm world, read and written.
    RealmMemory,
    /// A device, in the Realm physical address space.
    RealmDevice,
    /// A device, in the Non-secure physical address space.
    NonSecureDevice,
    /// Memory of the host, read only.
    HostMemory,
    /// Memory of the host.
    WritableHostMemory,
}

impl Attributes {
    /// Access flag, inner shareable, never executed, with the bits of the kind.
    const fn descriptor(self) -> u64 {
        const COMMON: u64 = 1 << 54 | 1 << 53 | 1 << 10 | 3 << 8;
        const DEVICE: u64 = 1 << 2;
        const NON_SECURE: u64 = 1 << 5;
        const READ_ONLY: u64 = 1 << 7;
        match self {
            Self::RealmMemory => COMMON,
            Self::RealmDevice => COMMON | DEVICE,
            Self::NonSecureDevice => COMMON | DEVICE | NON_SECURE,
            Self::HostMemory => COMMON | NON_SECURE | READ_ONLY,
            Self::WritableHostMemory => COMMON | NON_SECURE,
        }
    }
}

/// Descriptor of a page at a physical address.
pub(crate) const fn page(address: GranuleAddress, attributes: Attributes) -> u64 {
    address.get() | attributes.descriptor() | PAGE_OR_TABLE
}

const PAGE_OR_TABLE: u64 = 3;
const BLOCK: u64 = 1;

/// A mapping that cannot be made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MapError {
    /// The memory for tables is used up, or the address is outside the windows.
    NoTable,
    /// Beyond the physical addresses that 48-bit tables express.
    AddressTooHigh,
}

impl fmt::Display for MapError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoTable => write!(f, "no room for another translation table"),
            Self::AddressTooHigh => {
                write!(f, "a physical address has more than {ADDRESS_BITS} bits")
            }
        }
    }
}

#[repr(C, align(4096))]
struct Table([u64; ENTRIES]);

unsafe extern "C" {
    static mut __level1_table: Table;
    static mut __level2_table: Table;
    static mut __device_table: Table;
    static mut __table_window_table: Table;
}

/// The tables while boot extends them. There is one, for the boot CPU.
#[derive(Debug)]
pub struct Tables {
    /// Memory for further tables, mapped at [`layout::TABLES`], and how much of it is used.
    memory: Option<(Region, u64)>,
}

impl Tables {
    /// The tables as `entry.S` left them.
    ///
    /// # Safety
    ///
    /// To be called once, by the boot CPU, before any other CPU runs.
    pub unsafe fn take() -> Self {
        // SAFETY: by the contract of this function nobody else uses the tables. The link script
        // places them page-aligned in zeroed memory that is mapped one to one with an offset.
        unsafe {
            let level2 = &raw mut __level2_table;
            write(
                level2,
                2,
                physical_of_image_page(&raw const __device_table) | PAGE_OR_TABLE,
            );
            write(
                level2,
                3,
                physical_of_image_page(&raw const __table_window_table) | PAGE_OR_TABLE,
            );
        }
        Self { memory: None }
    }

    /// Maps one page of the device window; an earlier mapping there is replaced.
    ///
    /// # Errors
    ///
    /// [`MapError`]; nothing has changed.
    ///
    /// # Safety
    ///
    /// Nothing may be using an earlier mapping of the page.
    pub unsafe fn map_device_page(
        &mut self,
        address: u64,
        physical: GranuleAddress,
        attributes: Attributes,
    ) -> Result<(), MapError> {
        let index = usize::try_from((address.wrapping_sub(layout::DEVICES)) / PAGE)
            .ok()
            .filter(|&index| index < ENTRIES)
            .ok_or(MapError::NoTable)?;
        below_limit(physical.get(), PAGE)?;
        let physical = physical.get();
        // SAFETY: the table is ours (`take`), the index is inside it. By the contract of this
        // function an earlier mapping may go.
        unsafe {
            write(&raw mut __device_table, index, 0);
            forget(address);
            write(
                &raw mut __device_table,
                index,
                physical | attributes.descriptor() | PAGE_OR_TABLE,
            );
        }
        Ok(())
    }

    /// Unmaps a page of the device window.
    ///
    /// # Safety
    ///
    /// Nothing may be using the mapping.
    pub unsafe fn unmap_device_page(&mut self, address: u64) {
        let index = (address.wrapping_sub(layout::DEVICES) / PAGE) as usize;
        if index < ENTRIES {
            // SAFETY: as in `map_device_page`.
            unsafe { write(&raw mut __device_table, index, 0) };
            forget(address);
        }
    }

    /// Takes over memory for further tables.
    ///
    /// # Errors
    ///
    /// [`MapError`]; nothing has changed.
    pub fn add_table_memory(&mut self, region: Region) -> Result<(), MapError> {
        below_limit(region.base.get(), region.size)?;
        if region.size > WINDOW_SIZE || self.memory.is_some() {
            return Err(MapError::NoTable);
        }
        for page in 0..region.size / PAGE {
            let descriptor = (region.base.get() + page * PAGE)
                | Attributes::RealmMemory.descriptor()
                | PAGE_OR_TABLE;
            let index = usize::try_from(page).map_err(|_| MapError::NoTable)?;
            // SAFETY: the table is ours (`take`); the window was empty, so nothing is remapped.
            unsafe { write(&raw mut __table_window_table, index, descriptor) };
        }
        self.memory = Some((region, 0));
        Ok(())
    }

    /// Maps memory of the Realm world, with 2 MiB blocks where both addresses allow.
    ///
    /// # Errors
    ///
    /// [`MapError`]; part of the range may be mapped.
    pub fn map_memory(&mut self, address: u64, region: Region) -> Result<(), MapError> {
        below_limit(region.base.get(), region.size)?;
        let mut done = 0;
        while done < region.size {
            let (virtual_address, physical) = (address + done, region.base.get() + done);
            let rest = region.size - done;
            let attributes = Attributes::RealmMemory.descriptor();
            let block = virtual_address.is_multiple_of(WINDOW_SIZE)
                && physical.is_multiple_of(WINDOW_SIZE)
                && rest >= WINDOW_SIZE;
            let level2 = self.next_table(&raw mut __level1_table, index(virtual_address, 1)?)?;
            if block {
                // SAFETY: as below, one level up.
                unsafe {
                    write(
                        level2,
                        index(virtual_address, 2)?,
                        physical | attributes | BLOCK,
                    );
                };
                done += WINDOW_SIZE;
            } else {
                let level3 = self.next_table(level2, index(virtual_address, 2)?)?;
                // SAFETY: `next_table` returns tables of ours; the entry was empty, because boot
                // maps each range once.
                unsafe {
                    write(
                        level3,
                        index(virtual_address, 3)?,
                        physical | attributes | PAGE_OR_TABLE,
                    );
                }
                done += PAGE;
            }
        }
        Ok(())
    }

    /// Where the level 3 entry for an address is, making tables down to it.
    ///
    /// # Errors
    ///
    /// [`MapError`].
    pub fn entry(&mut self, address: u64) -> Result<*mut u64, MapError> {
        let level2 = self.next_table(&raw mut __level1_table, index(address, 1)?)?;
        let level3 = self.next_table(level2, index(address, 2)?)?;
        // SAFETY: the index is below the number of entries of the table.
        Ok(unsafe { (&raw mut (*level3).0).cast::<u64>().add(index(address, 3)?) })
    }

    /// The table that an entry refers to; a new one when the entry is empty.
    fn next_table(&mut self, table: *mut Table, index: usize) -> Result<*mut Table, MapError> {
        let (memory, used) = self.memory.as_mut().ok_or(MapError::NoTable)?;
        // SAFETY: `table` is one of our tables and `index` is below its number of entries.
        let entry = unsafe { ptr::read_volatile((&raw const (*table).0).cast::<u64>().add(index)) };
        if entry & PAGE_OR_TABLE == PAGE_OR_TABLE {
            let offset = (entry & 0x0000_ffff_ffff_f000).wrapping_sub(memory.base.get());
            return (offset < memory.size)
                .then_some((layout::TABLES + offset) as *mut Table)
                .ok_or(MapError::NoTable);
        }
        if *used == memory.size {
            return Err(MapError::NoTable);
        }
        let offset = *used;
        *used += PAGE;
        let next = (layout::TABLES + offset) as *mut Table;
        // SAFETY: the page at this offset of the table memory is mapped (`add_table_memory`) and
        // handed out once.
        unsafe {
            ptr::write_bytes(next, 0, 1);
            barrier();
            write(table, index, (memory.base.get() + offset) | PAGE_OR_TABLE);
        }
        Ok(next)
    }
}

/// Checks that the tables can express a range of physical addresses.
fn below_limit(base: u64, size: u64) -> Result<(), MapError> {
    match base.checked_add(size) {
        Some(end) if end <= ADDRESS_LIMIT => Ok(()),
        _ => Err(MapError::AddressTooHigh),
    }
}

/// Index of an address in its table of a level.
fn index(address: u64, level: u32) -> Result<usize, MapError> {
    if address < UPPER_HALF {
        return Err(MapError::NoTable);
    }
    let shift = 12 + 9 * (3 - level);
    usize::try_from((address >> shift) & (ENTRIES as u64 - 1)).map_err(|_| MapError::NoTable)
}

/// What the MMU makes of an address for a read, or for a write: the physical address of the page;
/// `None` when the access would fault.
pub fn translate(address: u64, write: bool) -> Option<u64> {
    let result: u64;
    // SAFETY: address translation reads and changes nothing but PAR_EL1, which holds nothing of
    // value between calls: a Realm's copy is not loaded while the RMM boots.
    unsafe {
        asm!(
            "cbnz {write:w}, 2f",
            "at s1e2r, {address}",
            "b 3f",
            "2:",
            "at s1e2w, {address}",
            "3:",
            "isb",
            "mrs {result}, par_el1",
            write = in(reg) u32::from(write),
            address = in(reg) address,
            result = out(reg) result,
            options(nostack, preserves_flags),
        );
    }
    (result & 1 == 0).then_some(result & 0x0000_ffff_ffff_f000)
}

/// Physical address of a page of the image.
fn physical_of_image_page<T>(page: *const T) -> u64 {
    // The image is mapped: this code runs in it.
    translate(page as u64, false).unwrap_or_default()
}

/// Writes an entry and makes it visible to walks.
///
/// # Safety
///
/// `table` must be a table of the RMM that nobody else writes, `index` below [`ENTRIES`], and the
/// new entry must not take away or alter a mapping that is in use.
unsafe fn write(table: *mut Table, index: usize, descriptor: u64) {
    // SAFETY: by the contract of this function.
    unsafe { ptr::write_volatile((&raw mut (*table).0).cast::<u64>().add(index), descriptor) };
    barrier();
}

fn barrier() {
    // SAFETY: barriers only order.
    unsafe { asm!("dsb ishst", "isb", options(nostack, preserves_flags)) };
}

/// Gives the CPU that calls a lower half, empty but for one level 3 table, whose entries translate
/// [`WINDOW_SIZE`] bytes from that address on. Where these entries are; `None` when the tables are
/// not mapped.
///
/// # Safety
///
/// `cpu` must be the number of the CPU that calls, and nothing be using its lower half.
pub(crate) unsafe fn use_lower_half(cpu: u32) -> Option<*mut u64> {
    let level2 =
        layout::PER_CPU + (u64::from(cpu) << layout::PER_CPU_SHIFT) + layout::LOWER_HALF_TABLES;
    let level3 = level2 + PAGE;
    let (level2_at, level3_at) = (translate(level2, true)?, translate(level3, true)?);
    let (level2, level3) = (level2 as *mut Table, level3 as *mut Table);
    // SAFETY: both pages are mapped for this, and by the contract of this function nobody uses
    // them. The tables are complete before the register names them.
    unsafe {
        ptr::write_bytes(level2, 0, 1);
        ptr::write_bytes(level3, 0, 1);
        write(level2, 1, level3_at | PAGE_OR_TABLE);
        asm!(
            "dsb ish",
            "msr ttbr0_el2, {table}",
            // No walk may begin by the register as it was.
            "isb",
            "mrs {control}, tcr_el2",
            "bic {control}, {control}, {cleared}",
            "orr {control}, {control}, {size}",
            "msr tcr_el2, {control}",
            "isb",
            "tlbi alle2",
            "dsb nsh",
            "isb",
            table = in(reg) level2_at,
            control = out(reg) _,
            cleared = in(reg) T0SZ | TCR_UPPER_ONLY,
            size = in(reg) LOWER_HALF_SIZE,
            options(nostack, preserves_flags),
        );
    }
    // SAFETY: a pointer to the table's first entry.
    Some(unsafe { (&raw mut (*level3).0).cast() })
}

/// Drops what this CPU's TLB holds for some addresses of the RMM.
pub(crate) fn forget_each(addresses: impl Iterator<Item = u64>) {
    // SAFETY: as in `forget`.
    unsafe { asm!("dsb nshst", options(nostack, preserves_flags)) };
    for address in addresses {
        // SAFETY: as above.
        unsafe {
            asm!(
                "tlbi vale2, {page}",
                page = in(reg) (address >> 12) & 0xfff_ffff_ffff,
                options(nostack, preserves_flags),
            );
        }
    }
    // SAFETY: as above.
    unsafe { asm!("dsb nsh", "isb", options(nostack, preserves_flags)) };
}

/// Drops what this CPU's TLB holds for an address of the RMM.
pub(crate) fn forget(address: u64) {
    // SAFETY: invalidation makes the next access walk again; it changes no mapping.
    unsafe {
        asm!(
            "dsb nshst",
            "tlbi vale2, {page}",
            "dsb nsh",
            "isb",
            page = in(reg) (address >> 12) & 0xfff_ffff_ffff,
            options(nostack, preserves_flags),
        );
    }
}

const _: () = {
    // T0SZ and T1SZ of the constant above agree with the layout.
    assert!(TCR >> 16 & 0x3f == 25);
    assert!(UPPER_HALF == (!0) << 39);
};
