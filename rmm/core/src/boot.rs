//! Checks of what EL3 hands over at boot, and what follows from it.
//!
//! Everything here is pure: registers and a copy of the manifest in, a decision out. EL3 is
//! trusted firmware, but a mistake in it must end in a line that says what is wrong, not in a
//! machine that hangs.

mod error;
mod manifest;
mod memory;

pub use error::BootError;
pub use manifest::{BootManifest, ConsoleDescription, ConsoleKind, GuessedConsole, MAX_CONSOLES};
pub use memory::{MemoryPlan, Region};

use rmm_abi::{GRANULE_SIZE, Version};

use crate::granule::GranuleAddress;

/// Lowest RMM-EL3 interface that will do: from 0.2 on EL3 keeps pointer-authentication keys
/// apart for each world.
pub const LOWEST_INTERFACE: Version = Version::new(0, 2);
/// The RMM-EL3 interface that this RMM was written for. EL3 may offer a higher minor number.
pub const HIGHEST_INTERFACE: Version = Version::new(0, 8);
/// CPUs that the RMM can serve.
pub const MAX_CPUS: u32 = 512;
/// Granules that the RMM can keep records of: 1 TiB of DRAM.
pub const MAX_GRANULES: u64 = 1 << 28;

/// What EL3 passes in X0 to X3 at cold boot (RMM-EL3 interface, "Cold boot interface").
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ColdBootRegisters {
    /// Number of this CPU, counted from zero.
    pub cpu: u64,
    /// Version of the interface that EL3 offers.
    pub interface: u64,
    /// CPUs that may ever enter the RMM.
    pub cpus: u64,
    /// Physical address of the page shared with EL3.
    pub shared_page: u64,
}

/// The cold-boot registers, checked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BootParameters {
    /// Number of this CPU.
    pub cpu: u32,
    /// Version of the interface that EL3 offers.
    pub interface: Version,
    /// CPUs that may ever enter the RMM, 1 to [`MAX_CPUS`].
    pub cpus: u32,
    /// The page shared with EL3.
    pub shared_page: GranuleAddress,
}

impl ColdBootRegisters {
    /// Checks the registers in the order of their error codes.
    ///
    /// # Errors
    ///
    /// [`BootError`], each with the values that do not fit.
    pub fn check(&self) -> Result<BootParameters, BootError> {
        let wrong_version = BootError::Interface {
            offered: self.interface,
        };
        let interface = Version::from_word(self.interface).ok_or(wrong_version)?;
        if interface.major() != HIGHEST_INTERFACE.major() || interface < LOWEST_INTERFACE {
            return Err(wrong_version);
        }
        let cpus = u32::try_from(self.cpus)
            .ok()
            .filter(|&cpus| (1..=MAX_CPUS).contains(&cpus))
            .ok_or(BootError::TooManyCpus { offered: self.cpus })?;
        let cpu = u32::try_from(self.cpu)
            .ok()
            .filter(|&cpu| cpu < cpus)
            .ok_or(BootError::CpuNumber {
                cpu: self.cpu,
                cpus,
            })?;
        let shared_page = GranuleAddress::new(self.shared_page)
            .filter(|page| page.get() != 0 && page.get() <= u64::MAX - GRANULE_SIZE as u64)
            .ok_or(BootError::SharedPage {
                address: self.shared_page,
            })?;
        Ok(BootParameters {
            cpu,
            interface,
            cpus,
            shared_page,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rmm_abi::el3::BootCode;

    const GOOD: ColdBootRegisters = ColdBootRegisters {
        cpu: 0,
        interface: 0x8,
        cpus: 4,
        shared_page: 0x418f_f000,
    };

    fn code(registers: ColdBootRegisters) -> BootCode {
        registers.check().unwrap_err().code()
    }

    #[test]
    fn good_registers_pass() {
        let parameters = GOOD.check().unwrap();
        assert_eq!((parameters.cpu, parameters.cpus), (0, 4));
        assert_eq!(parameters.interface, Version::new(0, 8));
        assert_eq!(parameters.shared_page.get(), 0x418f_f000);
        for minor in 2..0x100 {
            assert!(
                ColdBootRegisters {
                    interface: minor,
                    ..GOOD
                }
                .check()
                .is_ok(),
                "0.{minor}"
            );
        }
        assert!(
            ColdBootRegisters {
                cpu: 511,
                cpus: 512,
                ..GOOD
            }
            .check()
            .is_ok()
        );
    }

    #[test]
    fn other_interfaces_are_refused() {
        for interface in [0, 1, 0x1_0000, 0x2_0000, 1 << 31, u64::MAX] {
            assert_eq!(
                code(ColdBootRegisters { interface, ..GOOD }),
                BootCode::VersionNotValid
            );
        }
    }

    #[test]
    fn cpu_counts_and_numbers() {
        for cpus in [0, 513, 1 << 32, u64::MAX] {
            assert_eq!(
                code(ColdBootRegisters { cpus, ..GOOD }),
                BootCode::CpusOutOfRange
            );
        }
        for cpu in [4, 1 << 32, u64::MAX] {
            assert_eq!(
                code(ColdBootRegisters { cpu, ..GOOD }),
                BootCode::CpuIdOutOfRange
            );
        }
    }

    #[test]
    fn shared_page_must_be_a_page() {
        for shared_page in [0, 0x418f_f008, 0x418f_f800, u64::MAX, u64::MAX - 0xfff] {
            assert_eq!(
                code(ColdBootRegisters {
                    shared_page,
                    ..GOOD
                }),
                BootCode::InvalidSharedBuffer
            );
        }
    }

    #[test]
    fn the_first_failing_register_is_the_one_reported() {
        let all_wrong = ColdBootRegisters {
            cpu: 9,
            interface: 0,
            cpus: 0,
            shared_page: 0,
        };
        assert_eq!(code(all_wrong), BootCode::VersionNotValid);
        assert_eq!(
            code(ColdBootRegisters {
                interface: 8,
                ..all_wrong
            }),
            BootCode::CpusOutOfRange
        );
        assert_eq!(
            code(ColdBootRegisters {
                interface: 8,
                cpus: 2,
                ..all_wrong
            }),
            BootCode::CpuIdOutOfRange
        );
    }
}
