//! The granule protection check of the CPU, and the hardware's part of its tables' updates.
#![allow(unsafe_code)]

use el3_monitor::granule_protection::ProtectedSpace;
use el3_monitor::region::GRANULE;
use el3_monitor::services::{Alias, Hardware};

use crate::registers::{execute, execute_with, field, read_register, write_register};
use crate::{features, memory};

/// What every CPU needs to know to turn on the check.
#[derive(Clone, Copy)]
pub(crate) struct Check {
    pub(crate) level_0: u64,
    pub(crate) space: ProtectedSpace,
}

/// Whether the CPU's level 0 entries cover a GiB, as the tables do.
pub(crate) fn entries_cover_a_gib() -> bool {
    field(read_register!("s3_6_c2_c1_6"), 20) == 0
}

impl Check {
    /// Turns the check on, on this CPU.
    pub(crate) fn enable(self) {
        const INNER_WRITE_BACK: u64 = 1 << 8;
        const OUTER_WRITE_BACK: u64 = 1 << 10;
        const INNER_SHAREABLE: u64 = 0b11 << 12;
        const GRANULES_4_KIB: u64 = 0b00 << 14;
        const ENABLE: u64 = 1 << 16;
        let gpccr = self.space.encoding()
            | INNER_WRITE_BACK
            | OUTER_WRITE_BACK
            | INNER_SHAREABLE
            | GRANULES_4_KIB
            | ENABLE;
        // SAFETY: the tables allow EL3 everything that it uses.
        unsafe {
            execute!("dsb sy");
            write_register!("s3_6_c2_c1_4", self.level_0 >> 12); // GPTBR_EL3
            write_register!("s3_6_c2_c1_6", gpccr); // GPCCR_EL3
            execute!("isb");
            execute!("sys #6, c8, c7, #4"); // TLBI PAALL
            execute!("dsb sy");
            execute!("isb");
        }
    }
}

/// The caches and TLBs behind the services.
pub(crate) struct Maintenance {
    line: u64,
    tags: bool,
}

impl Maintenance {
    pub(crate) fn of_this_cpu() -> Self {
        let words = 1_u64 << field(read_register!("ctr_el0"), 16);
        Self {
            line: (4 * words).clamp(16, 2048),
            tags: field(read_register!("id_aa64pfr1_el1"), 8) > 1,
        }
    }
}

impl Hardware for Maintenance {
    fn flush_granule(&self, address: u64, alias: Alias) {
        const NS: u64 = 1 << 63;
        const NSE: u64 = 1 << 62;
        let space = match alias {
            Alias::NonSecure => NS,
            Alias::Realm => NS | NSE,
        };
        let mut place = address | space;
        let end = place + GRANULE;
        // SAFETY: cleaning and invalidating to the point of physical aliasing loses nothing: a
        // granule changes hands only without its contents.
        unsafe {
            if self.tags {
                while place < end {
                    execute_with!("sys #6, c7, c14, #5", place); // DC CIGDPAPA
                    place += self.line;
                }
            } else {
                // Lines are at least 16 bytes, so a granule has a multiple of four of them.
                while place < end {
                    execute_with!("sys #6, c7, c14, #1", place); // DC CIPAPA
                    execute_with!("sys #6, c7, c14, #1", place + self.line);
                    execute_with!("sys #6, c7, c14, #1", place + 2 * self.line);
                    execute_with!("sys #6, c7, c14, #1", place + 3 * self.line);
                    place += 4 * self.line;
                }
            }
            execute!("dsb osh");
        }
    }

    fn forget_protection(&self, address: u64) {
        // SAFETY: the table entry is visible to every walker before any TLB is asked to forget,
        // and all have forgotten before the monitor goes on.
        unsafe {
            execute!("dsb oshst");
            execute_with!("sys #6, c8, c4, #7", address / GRANULE); // TLBI RPALOS, one granule
            execute!("dsb osh");
            execute!("isb");
        }
    }

    fn write_shared(&self, address: u64, bytes: &[u8]) {
        // SAFETY: the services checked that the place is inside the shared page, which is mapped
        // for this.
        unsafe { memory::write_clean(address, bytes) };
    }

    fn read_shared(&self, address: u64, bytes: &mut [u8]) {
        // SAFETY: as in `write_shared`.
        unsafe { memory::read_fresh(address, bytes) };
    }

    fn random(&self) -> Option<u64> {
        features::random()
    }

    fn with_independent_timing<R>(&self, work: impl FnOnce() -> R) -> R {
        features::with_independent_timing(work)
    }

    fn let_time_pass(&self) {
        let tenth_of_a_second = read_register!("cntfrq_el0") / 10;
        let start = read_register!("cntpct_el0");
        while read_register!("cntpct_el0").wrapping_sub(start) < tenth_of_a_second {
            core::hint::spin_loop();
        }
    }
}
