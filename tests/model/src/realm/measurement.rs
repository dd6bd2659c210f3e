//! The measurement of a Realm's initial state (reference, section 9).

use rmm_abi::rmi::HashAlgorithm;
use sha2::{Digest, Sha256, Sha512};

/// A measurement; SHA-256 leaves the second half zero.
pub type Measurement = [u8; 64];

/// The kinds of measurement descriptors.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    Data = 0,
    Rec = 1,
    Ripas = 2,
}

pub(super) fn hash(algorithm: HashAlgorithm, bytes: &[u8]) -> Measurement {
    let mut measurement = [0; 64];
    match algorithm {
        HashAlgorithm::Sha256 => measurement[..32].copy_from_slice(&Sha256::digest(bytes)),
        HashAlgorithm::Sha512 => measurement.copy_from_slice(&Sha512::digest(bytes)),
    }
    measurement
}

/// The hash of a page in which only some ranges of `page` are kept.
pub(super) fn hash_of_fields(
    algorithm: HashAlgorithm,
    page: &[u8],
    fields: &[(usize, usize)],
) -> Measurement {
    let mut kept = [0; 0x1000];
    for &(offset, length) in fields {
        kept[offset..offset + length].copy_from_slice(&page[offset..offset + length]);
    }
    hash(algorithm, &kept)
}

/// The RIM after a descriptor of a kind, with what is specific to it.
pub(super) fn extended(
    algorithm: HashAlgorithm,
    rim: &Measurement,
    kind: Kind,
    specific: &[u8],
) -> Measurement {
    let mut descriptor = [0; 0x100];
    descriptor[0] = kind as u8;
    descriptor[8..16].copy_from_slice(&0x100_u64.to_le_bytes());
    descriptor[0x10..0x50].copy_from_slice(rim);
    descriptor[0x50..0x50 + specific.len()].copy_from_slice(specific);
    hash(algorithm, &descriptor)
}
