//! Why the RMM does not boot.

use core::fmt;

use rmm_abi::Version;
use rmm_abi::el3::BootCode;
use rmm_abi::manifest;

use super::{HIGHEST_INTERFACE, LOWEST_INTERFACE, MAX_CPUS, MAX_GRANULES};
use crate::granule::{GranuleAddress, MAX_DRAM_BANKS};

/// A value from EL3 that the RMM cannot boot with. Its `Display` is the line for the console.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BootError {
    /// X1 is not an interface version that fits.
    Interface {
        /// X1.
        offered: u64,
    },
    /// X2 is zero or more than [`MAX_CPUS`].
    TooManyCpus {
        /// X2.
        offered: u64,
    },
    /// X0 is not below X2.
    CpuNumber {
        /// X0.
        cpu: u64,
        /// X2.
        cpus: u32,
    },
    /// X3 is zero or not the address of a page.
    SharedPage {
        /// X3.
        address: u64,
    },
    /// The shared page is not memory of the Realm world.
    SharedPageFaults {
        /// X3.
        address: GranuleAddress,
    },
    /// The manifest's version is not one that the RMM reads.
    ManifestVersion {
        /// The version word.
        word: u32,
    },
    /// A list of the manifest is not inside the shared page.
    ListOutside {
        /// Name of the list.
        list: &'static str,
        /// Its elements.
        count: u64,
        /// Its address.
        address: u64,
    },
    /// The words of a list do not add up to zero.
    ListChecksum {
        /// Name of the list.
        list: &'static str,
    },
    /// The manifest names no DRAM.
    NoDram,
    /// A DRAM bank is empty, misaligned, at zero, beyond the physical address space, or not above
    /// the one before it.
    DramBank {
        /// Position in the list.
        index: usize,
        /// Its base.
        base: u64,
        /// Its size.
        size: u64,
    },
    /// More banks than [`MAX_DRAM_BANKS`].
    TooManyDramBanks {
        /// Banks in the manifest.
        count: u64,
    },
    /// More DRAM than [`MAX_GRANULES`].
    TooMuchDram {
        /// Granules of all banks.
        granules: u64,
    },
    /// EL3 has not left enough Realm memory for the RMM's tables.
    NotEnoughMemory {
        /// First byte after the image.
        base: GranuleAddress,
        /// Bytes needed from there on.
        needed: u64,
        /// Bytes found.
        found: u64,
    },
}

impl BootError {
    /// The code for EL3 (RMM-EL3 interface, "`RMM_BOOT_COMPLETE`").
    pub const fn code(&self) -> BootCode {
        match self {
            Self::Interface { .. } => BootCode::VersionNotValid,
            Self::TooManyCpus { .. } => BootCode::CpusOutOfRange,
            Self::CpuNumber { .. } => BootCode::CpuIdOutOfRange,
            Self::SharedPage { .. } | Self::SharedPageFaults { .. } => {
                BootCode::InvalidSharedBuffer
            }
            Self::ManifestVersion { .. } => BootCode::ManifestVersion,
            Self::ListOutside { .. }
            | Self::ListChecksum { .. }
            | Self::NoDram
            | Self::DramBank { .. }
            | Self::TooManyDramBanks { .. }
            | Self::TooMuchDram { .. } => BootCode::ManifestData,
            Self::NotEnoughMemory { .. } => BootCode::Unknown,
        }
    }
}

impl fmt::Display for BootError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Interface { offered } => {
                write!(f, "EL3 offers RMM-EL3 interface ")?;
                match Version::from_word(offered) {
                    Some(version) => write!(f, "{version}")?,
                    None => write!(f, "{offered:#x}, which is no version,")?,
                }
                write!(
                    f,
                    "; this RMM speaks {LOWEST_INTERFACE} to {HIGHEST_INTERFACE} and later minors of {}",
                    HIGHEST_INTERFACE.major()
                )
            }
            Self::TooManyCpus { offered } => {
                write!(
                    f,
                    "EL3 announces {offered} CPUs (x2); this RMM serves 1 to {MAX_CPUS}"
                )
            }
            Self::CpuNumber { cpu, cpus } => {
                write!(
                    f,
                    "this is CPU {cpu} (x0), but EL3 announces {cpus} CPUs (x2)"
                )
            }
            Self::SharedPage { address } => {
                write!(
                    f,
                    "shared page at {address:#x} (x3): not the address of a 4 KiB page"
                )
            }
            Self::SharedPageFaults { address } => {
                write!(
                    f,
                    "shared page at {address} (x3) is not accessible from the Realm world"
                )
            }
            Self::ManifestVersion { word } => {
                write!(
                    f,
                    "boot manifest version word {word:#x}; this RMM reads 0.1 to {}",
                    manifest::VERSION
                )
            }
            Self::ListOutside {
                list,
                count,
                address,
            } => write!(
                f,
                "boot manifest: {list} list, {count} at {address:#x}, is not inside the shared page"
            ),
            Self::ListChecksum { list } => {
                write!(f, "boot manifest: checksum of the {list} list is wrong")
            }
            Self::NoDram => write!(f, "boot manifest: no DRAM bank"),
            Self::DramBank { index, base, size } => write!(
                f,
                "boot manifest: DRAM bank {index}, {size:#x} bytes at {base:#x}: must be whole granules, above zero, inside the physical address space, and above the bank before it"
            ),
            Self::TooManyDramBanks { count } => {
                write!(
                    f,
                    "boot manifest: {count} DRAM banks; this RMM takes {MAX_DRAM_BANKS}"
                )
            }
            Self::TooMuchDram { granules } => write!(
                f,
                "boot manifest: {granules} granules of DRAM; this RMM tracks {MAX_GRANULES}"
            ),
            Self::NotEnoughMemory {
                base,
                needed,
                found,
            } => write!(
                f,
                "tables need {needed:#x} bytes of Realm memory at {base} after the image; EL3 left {found:#x}"
            ),
        }
    }
}
