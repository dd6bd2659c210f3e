//! The Realm Services Interface, Realm → RMM (DEN0137 1.0, chapter B5).

use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout};

use crate::{GRANULE_SIZE, Version};

/// The revision of RSI that this crate describes.
pub const VERSION_1_0: Version = Version::new(1, 0);

/// Function identifiers (DEN0137 section B5.3).
pub mod fid {
    use crate::smc::standard_service;

    /// `RSI_VERSION(requested)` → lower, higher.
    pub const VERSION: u64 = standard_service(0x190);
    /// `RSI_FEATURES(index)` → value.
    pub const FEATURES: u64 = standard_service(0x191);
    /// `RSI_MEASUREMENT_READ(index)` → eight words.
    pub const MEASUREMENT_READ: u64 = standard_service(0x192);
    /// `RSI_MEASUREMENT_EXTEND(index, size, eight words)`.
    pub const MEASUREMENT_EXTEND: u64 = standard_service(0x193);
    /// `RSI_ATTESTATION_TOKEN_INIT(eight words)` → most bytes of the token.
    pub const ATTESTATION_TOKEN_INIT: u64 = standard_service(0x194);
    /// `RSI_ATTESTATION_TOKEN_CONTINUE(addr, offset, size)` → bytes written.
    pub const ATTESTATION_TOKEN_CONTINUE: u64 = standard_service(0x195);
    /// `RSI_REALM_CONFIG(addr)`.
    pub const REALM_CONFIG: u64 = standard_service(0x196);
    /// `RSI_IPA_STATE_SET(base, top, ripas, flags)` → new base, response.
    pub const IPA_STATE_SET: u64 = standard_service(0x197);
    /// `RSI_IPA_STATE_GET(base, top)` → top, ripas.
    pub const IPA_STATE_GET: u64 = standard_service(0x198);
    /// `RSI_HOST_CALL(addr)`.
    pub const HOST_CALL: u64 = standard_service(0x199);
}

/// X0 of a command (DEN0137 "`RsiCommandReturnCode`").
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u64)]
pub enum ReturnCode {
    /// Done.
    Success = 0,
    /// An argument is unacceptable.
    ErrorInput = 1,
    /// The state of the Realm or the REC does not allow it.
    ErrorState = 2,
    /// There is more to come: call again.
    Incomplete = 3,
    /// It failed.
    ErrorUnknown = 4,
}

impl ReturnCode {
    /// The word that travels in X0.
    pub const fn word(self) -> u64 {
        self as u64
    }

    /// The code behind a word; `None` for reserved ones.
    pub const fn from_word(word: u64) -> Option<Self> {
        Some(match word {
            0 => Self::Success,
            1 => Self::ErrorInput,
            2 => Self::ErrorState,
            3 => Self::Incomplete,
            4 => Self::ErrorUnknown,
            _ => return None,
        })
    }
}

/// Measurement registers: 0 is the RIM, 1 to 4 are extensible.
pub const MEASUREMENT_REGISTERS: usize = 5;
/// Bytes of a measurement, whatever the algorithm.
pub const MEASUREMENT_SIZE: usize = 64;
/// Bytes of the challenge of an attestation token.
pub const CHALLENGE_SIZE: usize = 64;

/// Bit 0 of X4 of `RSI_IPA_STATE_SET`: memory that the host took away may change too (DEN0137
/// "`RsiRipasChangeFlags`").
pub const CHANGE_DESTROYED: u64 = 1 << 0;

/// Second output of `RSI_IPA_STATE_SET` (DEN0137 "`RsiResponse`").
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u64)]
pub enum Response {
    /// The host goes along.
    Accept = 0,
    /// The host refuses the rest.
    Reject = 1,
}

/// What a Realm is told about itself (DEN0137 "`RsiRealmConfig`").
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C, align(4096))]
pub struct RealmConfig {
    /// Width of the IPA space, in bits.
    pub ipa_width: u64,
    /// [`HashAlgorithm`](crate::rmi::HashAlgorithm).
    pub hash_algo: u8,
    reserved_1: [u8; 0x1f7],
    /// Realm personalization value.
    pub rpv: [u8; 64],
    reserved_2: [u8; 0xdc0],
}

/// Arguments and results of a host call (DEN0137 "`RsiHostCall`").
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C, align(256))]
pub struct HostCall {
    /// Immediate value, for the host.
    pub imm: u16,
    reserved_1: [u8; 6],
    /// X0 to X30.
    pub gprs: [u64; 31],
}

const _: () = {
    use core::mem::offset_of;
    assert!(size_of::<RealmConfig>() == GRANULE_SIZE);
    assert!(offset_of!(RealmConfig, hash_algo) == 0x8);
    assert!(offset_of!(RealmConfig, rpv) == 0x200);
    assert!(size_of::<HostCall>() == 256);
    assert!(offset_of!(HostCall, gprs) == 0x8);
};

impl Default for RealmConfig {
    fn default() -> Self {
        Self::new_zeroed()
    }
}

impl Default for HostCall {
    fn default() -> Self {
        Self::new_zeroed()
    }
}
