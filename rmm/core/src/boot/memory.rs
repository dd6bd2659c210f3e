//! Where the RMM's tables go: Realm memory after the image.
//!
//! EL3 does not say how much memory it has set aside for the RMM. The image therefore asks for
//! as much as the machine needs, right after its last byte, and the boot code tries every granule
//! of it before it relies on it.

use rmm_abi::GRANULE_SIZE;

use super::BootParameters;
use crate::granule::{DramBanks, GranuleAddress, GranuleRecord};
use crate::statistics::CpuStatistics;

/// A range of physical memory in whole granules.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Region {
    /// First granule.
    pub base: GranuleAddress,
    /// Bytes, a multiple of the granule size.
    pub size: u64,
}

/// The parts of the memory after the image, in address order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MemoryPlan {
    /// Translation tables.
    pub tables: Region,
    /// Stacks, one share for each CPU.
    pub stacks: Region,
    /// Granule records.
    pub records: Region,
    /// What is counted for the operator, right after the records.
    pub statistics: Region,
}

impl MemoryPlan {
    /// Plans the memory from `base` on. `None` when a size or the end overflows.
    pub fn new(
        base: GranuleAddress,
        parameters: &BootParameters,
        dram: &DramBanks,
        table_pages: u64,
        stack_size_per_cpu: u64,
    ) -> Option<Self> {
        let granule = GRANULE_SIZE as u64;
        let tables = table_pages.checked_mul(granule)?;
        let stacks = stack_size_per_cpu.checked_mul(u64::from(parameters.cpus))?;
        let records = dram
            .granules()
            .checked_mul(size_of::<GranuleRecord>() as u64)?
            .checked_next_multiple_of(granule)?;
        let statistics = u64::from(parameters.cpus) * size_of::<CpuStatistics>() as u64;
        let mut next = base.get();
        let mut region = |size: u64| {
            let region = Region {
                base: GranuleAddress::new(next)?,
                size,
            };
            next = next.checked_add(size)?;
            Some(region)
        };
        Some(Self {
            tables: region(tables)?,
            stacks: region(stacks)?,
            records: region(records)?,
            statistics: region(statistics)?,
        })
    }

    /// All of it as one region.
    pub fn whole(&self) -> Region {
        Region {
            base: self.tables.base,
            size: self.tables.size + self.stacks.size + self.records.size + self.statistics.size,
        }
    }
}
