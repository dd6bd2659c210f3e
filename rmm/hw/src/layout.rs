//! Virtual addresses of the RMM.
//!
//! All of it is in the upper half, translated from level 1 (39 bits). The lower half is switched
//! off, so null and small pointers fault.
//!
//! | From | What |
//! |---|---|
//! | [`IMAGE`] | the image: text, read-only data, data and zeroed data with the boot stack |
//! | [`DEVICES`] | shared page, console, probe window |
//! | [`TABLES`] | translation tables that are made at boot |
//! | [`PER_CPU`] | for each CPU: guard, stack, guard, exception stack, guard, slots, tables of the lower half |
//! | [`RECORDS`] | granule records, then statistics |

/// CPUs that there is room for.
const MAX_CPUS: u64 = rmm_core::boot::MAX_CPUS as u64;

/// First address of the upper half.
pub const UPPER_HALF: u64 = 0xffff_ff80_0000_0000;

/// Bytes that a level 3 table translates, and the size of each single-table window.
pub const WINDOW_SIZE: u64 = 2 << 20;

/// Where the image is linked (`rmm/image/link.ld` uses the same figure).
pub const IMAGE: u64 = UPPER_HALF + WINDOW_SIZE;

/// Window of the shared page and devices.
pub const DEVICES: u64 = UPPER_HALF + 2 * WINDOW_SIZE;
/// The page shared with EL3.
pub const SHARED_PAGE: u64 = DEVICES;
/// The console's registers.
pub const CONSOLE: u64 = DEVICES + PAGE;
/// Where a page is mapped to find out whether it can be.
pub const PROBE: u64 = DEVICES + 2 * PAGE;

/// Window of the translation tables made at boot.
pub const TABLES: u64 = UPPER_HALF + 3 * WINDOW_SIZE;

/// First CPU's stacks and slots.
pub const PER_CPU: u64 = UPPER_HALF + (1 << 30);
/// Distance from one CPU to the next is `1 << PER_CPU_SHIFT` bytes.
pub const PER_CPU_SHIFT: u64 = 17;
/// Offset of the stack's lowest byte; the page below is a guard.
pub const STACK: u64 = PAGE;
/// Bytes of a stack.
pub const STACK_SIZE: u64 = 10 * PAGE;
/// Offset of the exception stack's lowest byte; the page below is a guard.
pub const EXCEPTION_STACK: u64 = STACK + STACK_SIZE + PAGE;
/// Bytes of an exception stack.
pub const EXCEPTION_STACK_SIZE: u64 = 2 * PAGE;
/// Offset of the slots; the page below is a guard.
pub const SLOTS: u64 = EXCEPTION_STACK + EXCEPTION_STACK_SIZE + PAGE;
/// Granules that a CPU can have mapped at once.
pub const SLOT_COUNT: usize = 8;
/// Offset of the tables of a CPU's lower half: level 2, then level 3 (see [`crate::workroom`]).
pub const LOWER_HALF_TABLES: u64 = SLOTS + SLOT_COUNT as u64 * PAGE;
/// Bytes of these tables.
pub const LOWER_HALF_TABLES_SIZE: u64 = 2 * PAGE;

/// Granule records. The first one is at the same offset in a 2 MiB block as in physical memory,
/// so that most of them can be mapped by blocks.
pub const RECORDS: u64 = UPPER_HALF + (2 << 30);
/// Room for granule records and statistics, in bytes.
pub const RECORDS_SIZE: u64 = (1 << 30) - WINDOW_SIZE;

const _: () = {
    // All records that there can be fit, wherever in a 2 MiB block they begin.
    let records =
        rmm_core::boot::MAX_GRANULES * size_of::<rmm_core::granule::GranuleRecord>() as u64;
    assert!(records + MAX_CPUS * STATISTICS_SIZE <= RECORDS_SIZE);
};

/// Bytes of a CPU's statistics.
const STATISTICS_SIZE: u64 = size_of::<rmm_core::statistics::CpuStatistics>() as u64;

/// Size of a page.
pub const PAGE: u64 = 4096;

/// Physical memory for stacks and lower half tables of one CPU, in bytes.
pub const STACK_MEMORY_PER_CPU: u64 = STACK_SIZE + EXCEPTION_STACK_SIZE + LOWER_HALF_TABLES_SIZE;

/// CPUs whose stacks and slots one level 3 table translates.
const CPUS_PER_TABLE: u64 = WINDOW_SIZE >> PER_CPU_SHIFT;

/// Translation tables whatever the machine: level 2 for CPUs and for records, and level 3 for
/// both ends of the records with the statistics.
const FIXED_TABLES: u64 = 4;

/// Translation tables that boot makes for a machine with this many CPUs.
pub const fn table_pages(cpus: u64) -> u64 {
    FIXED_TABLES + cpus.div_ceil(CPUS_PER_TABLE)
}

/// Memory after the image for each CPU, for the image header.
pub const MEMORY_PER_CPU: u64 = STACK_MEMORY_PER_CPU + PAGE / CPUS_PER_TABLE + STATISTICS_SIZE;
/// Memory after the image that depends on neither CPUs nor DRAM, for the image header: the fixed
/// tables and what is lost to rounding.
pub const FIXED_MEMORY: u64 = (FIXED_TABLES + 2) * PAGE;

const _: () = {
    assert!(LOWER_HALF_TABLES + LOWER_HALF_TABLES_SIZE < 1 << PER_CPU_SHIFT);
    assert!(PER_CPU + (MAX_CPUS << PER_CPU_SHIFT) <= RECORDS);
    assert!(table_pages(MAX_CPUS) * PAGE <= WINDOW_SIZE);
};

#[cfg(test)]
mod tests {
    use rmm_core::boot::{BootParameters, MAX_GRANULES, MemoryPlan};
    use rmm_core::granule::{DramBanks, GranuleAddress, GranuleRecord};

    use super::*;

    fn needed(cpus: u32, granules: u64) -> u64 {
        let at = |address| GranuleAddress::new(address).unwrap();
        let parameters = BootParameters {
            cpu: 0,
            interface: rmm_core::boot::HIGHEST_INTERFACE,
            cpus,
            shared_page: at(PAGE),
        };
        let banks = DramBanks::from_ranges([(at(1 << 30), granules)]).unwrap();
        let tables = table_pages(cpus.into());
        let plan = MemoryPlan::new(at(PAGE), &parameters, &banks, tables, STACK_MEMORY_PER_CPU);
        plan.unwrap().whole().size
    }

    /// Firmware that believes the image header sets enough memory aside, and not much more.
    #[test]
    fn the_image_header_asks_for_what_boot_takes() {
        for cpus in [1, 2, 15, 16, 17, 31, 64, 255, 256, 511, 512] {
            for granules in [1, 2048, 2049, 1 << 18, (1 << 18) + 1, MAX_GRANULES] {
                let header = MEMORY_PER_CPU * u64::from(cpus)
                    + size_of::<GranuleRecord>() as u64 * granules
                    + FIXED_MEMORY;
                let needed = needed(cpus, granules);
                assert!(
                    (needed..needed + 4 * PAGE).contains(&header),
                    "{cpus} CPUs, {granules} granules: {needed:#x}, the header says {header:#x}"
                );
            }
        }
    }

    #[test]
    fn what_a_cpu_costs() {
        println!(
            "{} KiB for each CPU, {} KiB for {MAX_CPUS}, {} tables for them",
            MEMORY_PER_CPU >> 10,
            (MEMORY_PER_CPU * MAX_CPUS) >> 10,
            table_pages(MAX_CPUS)
        );
        let more = needed(512, 1) - needed(256, 1);
        assert_eq!(more, 256 * MEMORY_PER_CPU);
        const { assert!(MEMORY_PER_CPU <= 64 << 10) };
    }
}
