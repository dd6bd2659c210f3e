//! The Realm Management Interface, host → RMM (DEN0137 1.0, chapter B4).

pub mod run;

use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout};

use crate::{GRANULE_SIZE, Version, smc};

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
    /// `RMI_DATA_CREATE(rd, data, ipa, src, flags)`.
    pub const DATA_CREATE: u64 = standard_service(0x153);
    /// `RMI_DATA_CREATE_UNKNOWN(rd, data, ipa)`.
    pub const DATA_CREATE_UNKNOWN: u64 = standard_service(0x154);
    /// `RMI_DATA_DESTROY(rd, ipa)` → data, top.
    pub const DATA_DESTROY: u64 = standard_service(0x155);
    /// `RMI_REALM_ACTIVATE(rd)`.
    pub const REALM_ACTIVATE: u64 = standard_service(0x157);
    /// `RMI_REALM_CREATE(rd, params)`.
    pub const REALM_CREATE: u64 = standard_service(0x158);
    /// `RMI_REALM_DESTROY(rd)`.
    pub const REALM_DESTROY: u64 = standard_service(0x159);
    /// `RMI_REC_CREATE(rd, rec, params)`.
    pub const REC_CREATE: u64 = standard_service(0x15a);
    /// `RMI_REC_DESTROY(rec)`.
    pub const REC_DESTROY: u64 = standard_service(0x15b);
    /// `RMI_REC_ENTER(rec, run)`.
    pub const REC_ENTER: u64 = standard_service(0x15c);
    /// `RMI_RTT_CREATE(rd, rtt, ipa, level)`.
    pub const RTT_CREATE: u64 = standard_service(0x15d);
    /// `RMI_RTT_DESTROY(rd, ipa, level)` → rtt, top.
    pub const RTT_DESTROY: u64 = standard_service(0x15e);
    /// `RMI_RTT_MAP_UNPROTECTED(rd, ipa, level, desc)`.
    pub const RTT_MAP_UNPROTECTED: u64 = standard_service(0x15f);
    /// `RMI_RTT_READ_ENTRY(rd, ipa, level)` → walk level, state, desc, ripas.
    pub const RTT_READ_ENTRY: u64 = standard_service(0x161);
    /// `RMI_RTT_UNMAP_UNPROTECTED(rd, ipa, level)` → top.
    pub const RTT_UNMAP_UNPROTECTED: u64 = standard_service(0x162);
    /// `RMI_PSCI_COMPLETE(calling rec, target rec, status)`.
    pub const PSCI_COMPLETE: u64 = standard_service(0x164);
    /// `RMI_FEATURES(index)` → value.
    pub const FEATURES: u64 = standard_service(0x165);
    /// `RMI_RTT_FOLD(rd, ipa, level)` → rtt.
    pub const RTT_FOLD: u64 = standard_service(0x166);
    /// `RMI_REC_AUX_COUNT(rd)` → count.
    pub const REC_AUX_COUNT: u64 = standard_service(0x167);
    /// `RMI_RTT_INIT_RIPAS(rd, base, top)` → out top.
    pub const RTT_INIT_RIPAS: u64 = standard_service(0x168);
    /// `RMI_RTT_SET_RIPAS(rd, rec, base, top)` → out top.
    pub const RTT_SET_RIPAS: u64 = standard_service(0x169);
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
    /// The Realm's state does not allow it.
    pub const ERROR_REALM: Self = Self::new(StatusCode::ErrorRealm, 0);
    /// The REC's state does not allow it.
    pub const ERROR_REC: Self = Self::new(StatusCode::ErrorRec, 0);

    /// The walk ended at this level, −1 to 3, or found an unexpected entry there.
    pub const fn error_rtt(level: i8) -> Self {
        Self::new(StatusCode::ErrorRtt, level.cast_unsigned())
    }

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

/// Auxiliary granules that a REC may have at most.
pub const MAX_REC_AUX: usize = 16;

/// Whether a Realm may use memory at a protected IPA (DEN0137 "`RmiRipas`").
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Ripas {
    /// No memory; an access is the Realm's own mistake.
    Empty = 0,
    /// Memory.
    Ram = 1,
    /// Memory that the host took away.
    Destroyed = 2,
}

/// State of an entry, the second output of `RMI_RTT_READ_ENTRY` (DEN0137 "`RmiRttEntryState`").
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum RttEntryState {
    /// Nothing is mapped.
    Unassigned = 0,
    /// Memory is mapped.
    Assigned = 1,
    /// A further table.
    Table = 2,
}

/// Hash algorithm of a Realm's measurements (DEN0137 "`RmiHashAlgorithm`").
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum HashAlgorithm {
    /// SHA-256.
    Sha256 = 0,
    /// SHA-512.
    Sha512 = 1,
}

impl HashAlgorithm {
    /// The algorithm behind an encoding; `None` for reserved ones.
    pub const fn from_encoding(encoding: u8) -> Option<Self> {
        match encoding {
            0 => Some(Self::Sha256),
            1 => Some(Self::Sha512),
            _ => None,
        }
    }
}

/// Bits of [`RealmParams::flags`].
pub mod realm_flags {
    /// Translate 52-bit addresses.
    pub const LPA2: u64 = 1 << 0;
    /// The Realm may use SVE.
    pub const SVE: u64 = 1 << 1;
    /// The Realm may use the PMU.
    pub const PMU: u64 = 1 << 2;
}

/// Bit 0 of [`RecParams::flags`]: the REC may be entered at once.
pub const REC_RUNNABLE: u64 = 1 << 0;

/// Bit 0 of the flags of `RMI_DATA_CREATE`: the content is measured.
pub const DATA_MEASURE: u64 = 1 << 0;

/// Parameters of a Realm (DEN0137 "`RmiRealmParams`").
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct RealmParams {
    /// [`realm_flags`].
    pub flags: u64,
    /// Width of the IPA space, in bits.
    pub s2sz: u8,
    reserved_1: [u8; 7],
    /// SVE vector length as (bits / 128) − 1.
    pub sve_vl: u8,
    reserved_2: [u8; 7],
    /// Breakpoints − 1; zero is reserved.
    pub num_bps: u8,
    reserved_3: [u8; 7],
    /// Watchpoints − 1; zero is reserved.
    pub num_wps: u8,
    reserved_4: [u8; 7],
    /// PMU event counters.
    pub pmu_num_ctrs: u8,
    reserved_5: [u8; 7],
    /// [`HashAlgorithm`].
    pub hash_algo: u8,
    reserved_6: [u8; 0x3cf],
    /// Realm personalization value.
    pub rpv: [u8; 64],
    reserved_7: [u8; 0x3c0],
    /// Virtual machine identifier.
    pub vmid: u16,
    reserved_8: [u8; 6],
    /// Physical address of the first start-level table.
    pub rtt_base: u64,
    /// Start level.
    pub rtt_level_start: i64,
    /// Start-level tables.
    pub rtt_num_start: u32,
    reserved_9: [u8; 0x7e4],
}

/// Parameters of a REC (DEN0137 "`RmiRecParams`").
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct RecParams {
    /// [`REC_RUNNABLE`].
    pub flags: u64,
    reserved_1: [u8; 0xf8],
    /// DEN0137 "`RmiRecMpidr`".
    pub mpidr: u64,
    reserved_2: [u8; 0xf8],
    /// Initial program counter.
    pub pc: u64,
    reserved_3: [u8; 0xf8],
    /// Initial X0 to X7.
    pub gprs: [u64; 8],
    reserved_4: [u8; 0x4c0],
    /// Auxiliary granules.
    pub num_aux: u64,
    /// Their physical addresses.
    pub aux: [u64; MAX_REC_AUX],
    reserved_5: [u8; 0x778],
}

const _: () = {
    use core::mem::offset_of;
    assert!(size_of::<RealmParams>() == GRANULE_SIZE);
    assert!(offset_of!(RealmParams, s2sz) == 0x8);
    assert!(offset_of!(RealmParams, sve_vl) == 0x10);
    assert!(offset_of!(RealmParams, num_bps) == 0x18);
    assert!(offset_of!(RealmParams, num_wps) == 0x20);
    assert!(offset_of!(RealmParams, pmu_num_ctrs) == 0x28);
    assert!(offset_of!(RealmParams, hash_algo) == 0x30);
    assert!(offset_of!(RealmParams, rpv) == 0x400);
    assert!(offset_of!(RealmParams, vmid) == 0x800);
    assert!(offset_of!(RealmParams, rtt_base) == 0x808);
    assert!(offset_of!(RealmParams, rtt_level_start) == 0x810);
    assert!(offset_of!(RealmParams, rtt_num_start) == 0x818);
    assert!(size_of::<RecParams>() == GRANULE_SIZE);
    assert!(offset_of!(RecParams, mpidr) == 0x100);
    assert!(offset_of!(RecParams, pc) == 0x200);
    assert!(offset_of!(RecParams, gprs) == 0x300);
    assert!(offset_of!(RecParams, num_aux) == 0x800);
    assert!(offset_of!(RecParams, aux) == 0x808);
};

impl Default for RealmParams {
    fn default() -> Self {
        Self::new_zeroed()
    }
}

impl Default for RecParams {
    fn default() -> Self {
        Self::new_zeroed()
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
