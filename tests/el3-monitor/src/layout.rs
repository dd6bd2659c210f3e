//! Where everything goes in the first bank of DRAM.
//!
//! ```text
//! bank start   the machine's own device tree            normal world, free after boot
//! 2 MiB        root carve-out: scratch page, granule protection tables
//!              secure carve-out: one granule
//! 2 MiB        realm carve-out: RMM image and its memory, pool for RESERVE_MEMORY
//!              shared page
//! 2 MiB        normal-world image at its text offset
//!              rewritten device tree, initial RAM disk
//! ```

use core::fmt;

use rmm_abi::el3::ImageHeader;

use crate::Region;
use crate::granule_protection::{L0_ENTRY_SIZE, L1_TABLE_SIZE, ProtectedSpace};
use crate::kernel_image::KernelImage;
use crate::machine::Machine;
use crate::region::{GRANULE, MIB_2, align_up};

/// Memory for `RMM_RESERVE_MEMORY`.
pub const POOL_SIZE: u64 = 1 << 20;
/// What an RMM gets whose image does not say what it needs: this, and so much for each granule.
const UNSTATED_MEMORY: u64 = 24 << 20;
const UNSTATED_PER_GRANULE: u64 = 8;
/// Room for the device tree of the normal world; Linux maps no more than this.
const DEVICE_TREE_ROOM: u64 = MIB_2;

/// The RMM image as the loader found it.
#[derive(Clone, Copy, Debug)]
pub struct RmmImage {
    /// Bytes of the file.
    pub file_size: u64,
    /// Its header, where it has one.
    pub header: Option<ImageHeader>,
    /// CPUs that it has to have memory for.
    pub cpus: u64,
    /// Bytes that it gets less than it needs; then what follows is not its memory.
    pub withheld: u64,
}

/// Where everything is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Layout {
    /// Root memory.
    pub root: Region,
    /// The page in it through which the firmware-configuration device is driven.
    pub scratch: Region,
    /// The level 0 granule protection table in it.
    pub level_0: Region,
    /// The level 1 granule protection tables in it.
    pub level_1: Region,
    /// Secure memory; nobody uses it.
    pub secure: Region,
    /// Realm memory.
    pub realm: Region,
    /// A granule of it that is Root memory, where memory is withheld from the RMM; empty otherwise.
    pub gap: Region,
    /// The part of it for `RMM_RESERVE_MEMORY`.
    pub pool: Region,
    /// The page shared between RMM and monitor, Realm memory too.
    pub shared: Region,
    /// The normal-world image.
    pub kernel: Region,
    /// Room for the normal world's device tree.
    pub device_tree: Region,
    /// The initial RAM disk, empty when there is none.
    pub initrd: Region,
}

/// Why there is no layout.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LayoutError {
    /// The first bank is too small.
    TooLittleMemory {
        /// Bytes that are there.
        available: u64,
        /// Bytes that it would need.
        needed: u64,
    },
    /// A size in a header does not fit the numbers.
    Overflow,
    /// The device tree is not at the start of the first bank.
    DeviceTreeElsewhere,
}

impl fmt::Display for LayoutError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLittleMemory { available, needed } => write!(
                f,
                "too little memory: the first bank has {} MiB, and {} MiB are needed",
                available >> 20,
                needed.div_ceil(1 << 20)
            ),
            Self::Overflow => write!(f, "an image asks for more memory than can be counted"),
            Self::DeviceTreeElsewhere => {
                write!(f, "the device tree is not in the first bank of memory")
            }
        }
    }
}

/// Where the carve-outs begin: the first 2 MiB boundary after the machine's device tree.
///
/// # Errors
///
/// [`LayoutError::DeviceTreeElsewhere`], [`LayoutError::Overflow`]
pub fn carve_out_base(machine: &Machine, device_tree: &Region) -> Result<u64, LayoutError> {
    match machine.banks.first() {
        Some(bank) if bank.covers(device_tree) => {
            align_up(device_tree.end, MIB_2).ok_or(LayoutError::Overflow)
        }
        _ => Err(LayoutError::DeviceTreeElsewhere),
    }
}

impl Layout {
    /// Finds room for everything.
    ///
    /// # Errors
    ///
    /// See [`LayoutError`].
    pub fn plan(
        machine: &Machine,
        space: &ProtectedSpace,
        device_tree: &Region,
        rmm: Option<&RmmImage>,
        kernel: &KernelImage,
        initrd_size: u64,
    ) -> Result<Self, LayoutError> {
        let base = carve_out_base(machine, device_tree)?;
        let mut cursor = Cursor(base);

        let scratch = cursor.take(GRANULE, GRANULE)?;
        let level_0_size = space.level_0_entries() * L0_ENTRY_SIZE;
        let level_0 = cursor.take(level_0_size, level_0_size.max(GRANULE))?;
        let tables = space.level_1_tables() as u64;
        let level_1 = cursor.take(tables * L1_TABLE_SIZE, L1_TABLE_SIZE)?;
        // The secure granule is the last one before the next boundary.
        cursor.take(GRANULE, GRANULE)?;
        let end = cursor.align(MIB_2)?;
        let secure = Region {
            start: end - GRANULE,
            end,
        };
        let root = Region {
            start: base,
            end: secure.start,
        };

        let realm_start = end;
        cursor.take(rmm_memory(machine, rmm)?, GRANULE)?;
        let withheld = rmm.is_some_and(|rmm| rmm.withheld > 0);
        let gap = cursor.take(if withheld { GRANULE } else { 0 }, GRANULE)?;
        let pool = cursor.take(POOL_SIZE, GRANULE)?;
        cursor.take(GRANULE, GRANULE)?;
        let end = cursor.align(MIB_2)?;
        let shared = Region {
            start: end - GRANULE,
            end,
        };
        let realm = Region {
            start: realm_start,
            end: shared.start,
        };

        cursor.take(kernel.text_offset, 1)?;
        let kernel = cursor.take(kernel.memory_size, 1)?;
        let device_tree = cursor.take(DEVICE_TREE_ROOM, MIB_2)?;
        let initrd = cursor.take(initrd_size, GRANULE)?;

        let bank = machine.banks[0];
        if cursor.0 > bank.end {
            return Err(LayoutError::TooLittleMemory {
                available: bank.size(),
                needed: cursor.0 - bank.start,
            });
        }
        Ok(Self {
            root,
            scratch,
            level_0,
            level_1,
            secure,
            realm,
            gap,
            pool,
            shared,
            kernel,
            device_tree,
            initrd,
        })
    }

    /// All carve-outs together.
    pub fn carve_outs(&self) -> Region {
        Region {
            start: self.root.start,
            end: self.shared.end,
        }
    }
}

/// Bytes for the RMM from its load address on.
fn rmm_memory(machine: &Machine, rmm: Option<&RmmImage>) -> Result<u64, LayoutError> {
    let Some(rmm) = rmm else { return Ok(0) };
    let granules = machine.granules();
    // An image without its zeroed data would not come so far as to complain.
    let (image, needed) = match rmm.header {
        Some(header) => (
            header.image_memory.max(rmm.file_size),
            header.memory_needed(rmm.cpus, granules),
        ),
        None => (
            rmm.file_size,
            granules
                .checked_mul(UNSTATED_PER_GRANULE)
                .and_then(|tables| tables.checked_add(UNSTATED_MEMORY)),
        ),
    };
    let needed = needed.ok_or(LayoutError::Overflow)?;
    Ok(needed.saturating_sub(rmm.withheld).max(image))
}

/// Where the next thing goes.
struct Cursor(u64);

impl Cursor {
    fn align(&mut self, alignment: u64) -> Result<u64, LayoutError> {
        self.0 = align_up(self.0, alignment).ok_or(LayoutError::Overflow)?;
        Ok(self.0)
    }

    fn take(&mut self, size: u64, alignment: u64) -> Result<Region, LayoutError> {
        let start = self.align(alignment)?;
        let region = Region::new(start, size).ok_or(LayoutError::Overflow)?;
        self.0 = region.end;
        Ok(region)
    }
}

#[cfg(test)]
mod tests;
