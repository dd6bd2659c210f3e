//! What the measurements of a Realm have to be (DEN0137 1.0, A7.1; definition A of the REM), computed
//! beside the RMM.

use core::ops::Range;

use rmm_abi::rmi::{DATA_MEASURE, HashAlgorithm, REC_RUNNABLE, RealmParams, RecParams};
use sha2::{Digest, Sha256, Sha512};
use zerocopy::IntoBytes;

/// A measurement; SHA-256 leaves the second half zero.
pub type Measurement = [u8; 64];

/// Fields of the parameters that are measured.
const REALM_FIELDS: [Range<usize>; 7] = [
    0x00..0x08,
    0x08..0x09,
    0x10..0x11,
    0x18..0x19,
    0x20..0x21,
    0x28..0x29,
    0x30..0x31,
];
const REC_FIELDS: [Range<usize>; 3] = [0x000..0x008, 0x200..0x208, 0x300..0x340];

fn hash(algorithm: HashAlgorithm, bytes: &[u8]) -> Measurement {
    let mut measurement = [0; 64];
    match algorithm {
        HashAlgorithm::Sha256 => measurement[..32].copy_from_slice(&Sha256::digest(bytes)),
        HashAlgorithm::Sha512 => measurement.copy_from_slice(&Sha512::digest(bytes)),
    }
    measurement
}

fn hash_of_fields(
    algorithm: HashAlgorithm,
    page: &[u8],
    fields: impl IntoIterator<Item = Range<usize>>,
) -> Measurement {
    let mut kept = [0; 0x1000];
    for field in fields {
        kept[field.clone()].copy_from_slice(&page[field]);
    }
    hash(algorithm, &kept)
}

/// An extensible measurement after `RSI_MEASUREMENT_EXTEND` with the first `size` bytes of `value`.
pub fn extended(
    algorithm: HashAlgorithm,
    old: &Measurement,
    value: &Measurement,
    size: usize,
) -> Measurement {
    let mut input = [0; 128];
    input[..64].copy_from_slice(old);
    let size = size.min(64);
    input[64..64 + size].copy_from_slice(&value[..size]);
    hash(algorithm, &input)
}

/// The eight words in which a measurement travels in registers.
pub fn words(measurement: &Measurement) -> [u64; 8] {
    let mut words = [0; 8];
    for (word, bytes) in words.iter_mut().zip(measurement.as_chunks().0) {
        *word = u64::from_le_bytes(*bytes);
    }
    words
}

/// The measurement that eight words carry.
pub fn from_words(words: &[u64; 8]) -> Measurement {
    let mut measurement = [0; 64];
    for (bytes, word) in measurement.as_chunks_mut().0.iter_mut().zip(words) {
        *bytes = word.to_le_bytes();
    }
    measurement
}

/// The measurement of a Realm's initial state, as it grows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Initial {
    algorithm: HashAlgorithm,
    value: Measurement,
}

impl Initial {
    /// After `RMI_REALM_CREATE`. An algorithm that there is not counts as SHA-256.
    pub fn new(params: &RealmParams) -> Self {
        let algorithm =
            HashAlgorithm::from_encoding(params.hash_algo).unwrap_or(HashAlgorithm::Sha256);
        Self {
            algorithm,
            value: hash_of_fields(algorithm, params.as_bytes(), REALM_FIELDS),
        }
    }

    /// The algorithm.
    pub const fn algorithm(&self) -> HashAlgorithm {
        self.algorithm
    }

    /// The measurement so far.
    pub const fn value(&self) -> &Measurement {
        &self.value
    }

    fn extend(&mut self, kind: u8, specific: &[&[u8]]) {
        let mut descriptor = [0; 0x100];
        descriptor[0] = kind;
        descriptor[0x08..0x10].copy_from_slice(&0x100_u64.to_le_bytes());
        descriptor[0x10..0x50].copy_from_slice(&self.value);
        let mut offset = 0x50;
        for part in specific {
            descriptor[offset..offset + part.len()].copy_from_slice(part);
            offset += part.len();
        }
        self.value = hash(self.algorithm, &descriptor);
    }

    /// After `RMI_DATA_CREATE` of a page with this content.
    pub fn data(&mut self, ipa: u64, flags: u64, content: &[u8; 0x1000]) {
        let content = if flags & DATA_MEASURE == 0 {
            [0; 64]
        } else {
            hash(self.algorithm, content)
        };
        self.extend(0, &[&ipa.to_le_bytes(), &flags.to_le_bytes(), &content]);
    }

    /// After `RMI_REC_CREATE`.
    pub fn rec(&mut self, params: &RecParams) {
        if params.flags & REC_RUNNABLE != 0 {
            let content = hash_of_fields(self.algorithm, params.as_bytes(), REC_FIELDS);
            self.extend(1, &[&content]);
        }
    }

    /// After `RMI_RTT_INIT_RIPAS` has changed one entry, from its first address up to the end of it or
    /// of the call.
    pub fn ripas(&mut self, base: u64, top: u64) {
        self.extend(2, &[&base.to_le_bytes(), &top.to_le_bytes()]);
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::fmt::Write as _;
    use std::format;
    use std::string::String;

    use super::*;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
    }

    /// The steps of the published vectors (reference, section 9.7).
    fn steps(hash_algo: u8) -> [Initial; 5] {
        let mut params = RealmParams::default();
        params.s2sz = 40;
        params.num_bps = 1;
        params.num_wps = 1;
        params.hash_algo = hash_algo;
        // None of these is measured.
        params.rpv = [0x77; 64];
        params.vmid = 9;
        params.rtt_base = 0x1000;
        let created = Initial::new(&params);
        let mut with_ripas = created;
        with_ripas.ripas(0x8000_0000, 0x8020_0000);
        let mut with_page = with_ripas;
        with_page.data(0x8000_0000, DATA_MEASURE, &[0; 0x1000]);
        let mut with_two = with_page;
        with_two.data(0x8000_1000, 0, &[1; 0x1000]);
        let mut with_rec = with_two;
        let mut rec = RecParams::default();
        rec.flags = REC_RUNNABLE;
        rec.pc = 0x8000_0000;
        rec.gprs[0] = 0x8800_0000;
        rec.mpidr = 3;
        with_rec.rec(&rec);
        rec.flags = 0;
        with_rec.rec(&rec);
        [created, with_ripas, with_page, with_two, with_rec]
    }

    #[test]
    fn initial_measurement_with_sha_256() {
        let expected = [
            "045cb3602843a6845cb710fbbfbb92f0c7d611afe0106ac2953e46950a70c42b",
            "7ca45e3aec88361274bb4a7157ac88c9f2325e4b125241674ec2f53f4f2c039e",
            "778f59d1426ddf461c43e7620b29c0dd59a24d74263572787d9c4c6461c53c3e",
            "69024a7dacea7fcc282dde38dde115ddc6cf1bedc5bb22815b7ba02f9a413efe",
            "b9b5d8c138ec4679863edde30a82dc51a1af50fcd526dfec569e276a8b8b0778",
        ];
        for (step, expected) in steps(0).iter().zip(expected) {
            assert_eq!(hex(&step.value[..32]), expected);
            assert_eq!(step.value[32..], [0; 32]);
        }
    }

    #[test]
    fn initial_measurement_with_sha_512() {
        let expected = [
            "066e19aa2c3418dadc20ef31b5595907c612991952553e1e99731a677b5797c9898dffb6e3963a20b8e1af6d136cd2fe6fe25f048577dc3d7e5bf3a79a4b1e81",
            "8e5f9b47a4912e18d091c3f5d36c970b81380d12fd65b09beb6a7112a02f91a437d540b15782b6c6afd9fbb0373c266febab730ec63aa1c8e09f5d5e4dc2baa9",
            "7fabeeff7b106ba9133511edba5be94423fd1e96d804ef1893154fd51c73a307722557812944a75d9e5ba94aa4462fdb5f2d6b19cdde935aee471463c70c4fc1",
            "b4883c00bc15e883dac390b989ea91b7aa0c73120f1d99cd3cc0e57a9ef7046ca24bb64e42f3bc0762a45de4730b840f15874ba2b03feeae7983e3e2c3369745",
            "c2393be7e1e32bd52ca3486ae0ecf5e5388c40c34736bac90c3bf0ca4738fe53091e915e2626eae17698b4d66e45e866acfd58b673360cda02397780bf94a13e",
        ];
        for (step, expected) in steps(1).iter().zip(expected) {
            assert_eq!(hex(&step.value), expected);
        }
    }

    #[test]
    fn extensible_measurements() {
        let mut value = [0xee; 64];
        for (number, byte) in (1..=32).zip(&mut value) {
            *byte = number;
        }
        let short = extended(HashAlgorithm::Sha256, &[0; 64], &value, 32);
        assert_eq!(
            hex(&short),
            format!(
                "c490fcb8406937e154290bb8946f8dc562908c948110cc6d65055c1e26e35113{}",
                "0".repeat(64)
            )
        );
        let long = extended(HashAlgorithm::Sha512, &[0; 64], &value, 32);
        assert_eq!(
            hex(&long[..32]),
            "f45bd3df811b00d583e53ff8b7aec106f6277b6f23854dc3c4d1981f7e39ce64"
        );
    }

    #[test]
    fn words_are_little_endian() {
        let measurement = core::array::from_fn(|index| u8::try_from(index).unwrap());
        assert_eq!(words(&measurement)[0], 0x0706_0504_0302_0100);
        assert_eq!(words(&measurement)[7], 0x3f3e_3d3c_3b3a_3938);
        assert_eq!(from_words(&words(&measurement)), measurement);
    }
}
