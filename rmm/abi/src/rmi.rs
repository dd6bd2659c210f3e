//! The Realm Management Interface, host → RMM (DEN0137 1.0, chapter B4).

use crate::{Version, smc};

/// The revision of RMI that this crate describes.
pub const VERSION_1_0: Version = Version::new(1, 0);

/// Function identifiers (DEN0137 section B4.3).
pub mod fid {
    use super::smc::standard_service;

    /// `RMI_VERSION(requested)` → lower, higher.
    pub const VERSION: u64 = standard_service(0x150);
    /// `RMI_GRANULE_DELEGATE(addr)`.
    pub const GRANULE_DELEGATE: u64 = standard_service(0x151);
    /// `RMI_GRANULE_UNDELEGATE(addr)`.
    pub const GRANULE_UNDELEGATE: u64 = standard_service(0x152);
    /// `RMI_FEATURES(index)` → value.
    pub const FEATURES: u64 = standard_service(0x165);
}

/// Whether EL3 forwards a function identifier of the normal world to the RMM: a fast SMC64 call of
/// the standard-service owner, bits 23:17 zero, number in 0x150–0x18F or 0x1D0–0x2CF. The SVE
/// hint may be set, and the upper half of the register may hold anything.
pub const fn is_rmi(function: u64) -> bool {
    let base = smc::function_identifier(function);
    let number = base & 0xffff;
    base & !0xffff == 0xc400_0000
        && ((number >= 0x150 && number <= 0x18f) || (number >= 0x1d0 && number <= 0x2cf))
}

/// Outcome of a command, bits 7:0 of X0 (DEN0137 "`RmiStatusCode`").
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum StatusCode {
    /// Done.
    Success = 0,
    /// A register or structure that the host passed is unacceptable.
    ErrorInput = 1,
    /// An attribute of the Realm has the wrong value.
    ErrorRealm = 2,
    /// An attribute of the REC has the wrong value.
    ErrorRec = 3,
    /// The walk of the Realm translation table ended early or at an unexpected entry.
    ErrorRtt = 4,
}

/// X0 of a command: status in bits 7:0, index in bits 15:8 (DEN0137 "`RmiCommandReturnCode`").
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ReturnCode {
    /// What happened.
    pub status: StatusCode,
    /// What it happened to; the meaning depends on the status, zero when there is none.
    pub index: u8,
}

impl ReturnCode {
    /// Done.
    pub const SUCCESS: Self = Self::new(StatusCode::Success, 0);
    /// Unacceptable input.
    pub const ERROR_INPUT: Self = Self::new(StatusCode::ErrorInput, 0);

    /// A code with its index.
    pub const fn new(status: StatusCode, index: u8) -> Self {
        Self { status, index }
    }

    /// The word that travels in X0.
    pub const fn word(self) -> u64 {
        (self.index as u64) << 8 | self.status as u64
    }
}

/// Feature register 0, the answer to `RMI_FEATURES(0)` (DEN0137 "`RmiFeatureRegister0`").
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct FeatureRegister0 {
    /// Widest IPA space of a Realm, in bits.
    pub ipa_width: u8,
    /// Realms may use 52-bit addresses with 4 KiB granules.
    pub lpa2: bool,
    /// Largest SVE vector length of a Realm as (bits / 128) − 1; `None` without SVE.
    pub sve_vector_length: Option<u8>,
    /// Breakpoints − 1.
    pub breakpoints: u8,
    /// Watchpoints − 1.
    pub watchpoints: u8,
    /// Event counters of the PMU; `None` without a PMU.
    pub pmu_counters: Option<u8>,
    /// Measurements with SHA-256.
    pub sha_256: bool,
    /// Measurements with SHA-512.
    pub sha_512: bool,
    /// GIC list registers − 1.
    pub gic_list_registers: u8,
    /// A Realm has at most 2^order − 1 RECs.
    pub max_recs_order: u8,
}

impl FeatureRegister0 {
    /// The register as it travels in X1. Values wider than their field lose the excess bits.
    pub const fn word(self) -> u64 {
        const fn field(value: u8, shift: u32, width: u32) -> u64 {
            (value as u64 & ((1 << width) - 1)) << shift
        }
        let (sve, vector_length) = match self.sve_vector_length {
            Some(length) => (true, length),
            None => (false, 0),
        };
        let (pmu, counters) = match self.pmu_counters {
            Some(counters) => (true, counters),
            None => (false, 0),
        };
        field(self.ipa_width, 0, 8)
            | field(self.lpa2 as u8, 8, 1)
            | field(sve as u8, 9, 1)
            | field(vector_length, 10, 4)
            | field(self.breakpoints, 14, 6)
            | field(self.watchpoints, 20, 6)
            | field(pmu as u8, 26, 1)
            | field(counters, 27, 5)
            | field(self.sha_256 as u8, 32, 1)
            | field(self.sha_512 as u8, 33, 1)
            | field(self.gic_list_registers, 34, 4)
            | field(self.max_recs_order, 38, 4)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn function_identifiers() {
        assert_eq!(fid::VERSION, 0xc400_0150);
        assert_eq!(fid::GRANULE_DELEGATE, 0xc400_0151);
        assert_eq!(fid::GRANULE_UNDELEGATE, 0xc400_0152);
        assert_eq!(fid::FEATURES, 0xc400_0165);
    }

    #[test]
    fn forwarded_range() {
        for function in [
            0xc400_0150,
            0xc400_018f,
            0xc400_01d0,
            0xc400_02cf,
            0xc401_0150,
            0xdead_beef_c400_0150,
        ] {
            assert!(is_rmi(function), "{function:#x}");
        }
        for function in [
            0xc400_014f,
            0xc400_0190,
            0xc400_01b0,
            0xc400_01cf,
            0xc400_02d0,
            0x8400_0150,
            0x4400_0150,
            0xc500_0150,
            0xc402_0150,
            0xc480_0150,
        ] {
            assert!(!is_rmi(function), "{function:#x}");
        }
    }

    #[test]
    fn return_code_packs_status_and_index() {
        assert_eq!(ReturnCode::SUCCESS.word(), 0);
        assert_eq!(ReturnCode::ERROR_INPUT.word(), 1);
        assert_eq!(ReturnCode::new(StatusCode::ErrorRtt, 0xff).word(), 0xff04);
    }

    #[test]
    fn feature_fields_are_where_the_specification_puts_them() {
        let zero = FeatureRegister0::default();
        let cases = [
            (
                FeatureRegister0 {
                    ipa_width: 0xff,
                    ..zero
                },
                0xff,
            ),
            (FeatureRegister0 { lpa2: true, ..zero }, 1 << 8),
            (
                FeatureRegister0 {
                    sve_vector_length: Some(0),
                    ..zero
                },
                1 << 9,
            ),
            (
                FeatureRegister0 {
                    sve_vector_length: Some(15),
                    ..zero
                },
                0x1f << 9,
            ),
            (
                FeatureRegister0 {
                    breakpoints: 0x3f,
                    ..zero
                },
                0x3f << 14,
            ),
            (
                FeatureRegister0 {
                    watchpoints: 0x3f,
                    ..zero
                },
                0x3f << 20,
            ),
            (
                FeatureRegister0 {
                    pmu_counters: Some(0),
                    ..zero
                },
                1 << 26,
            ),
            (
                FeatureRegister0 {
                    pmu_counters: Some(31),
                    ..zero
                },
                0x3f << 26,
            ),
            (
                FeatureRegister0 {
                    sha_256: true,
                    ..zero
                },
                1 << 32,
            ),
            (
                FeatureRegister0 {
                    sha_512: true,
                    ..zero
                },
                1 << 33,
            ),
            (
                FeatureRegister0 {
                    gic_list_registers: 15,
                    ..zero
                },
                0xf << 34,
            ),
            (
                FeatureRegister0 {
                    max_recs_order: 15,
                    ..zero
                },
                0xf << 38,
            ),
        ];
        for (register, word) in cases {
            assert_eq!(register.word(), word, "{register:?}");
        }
    }
}
