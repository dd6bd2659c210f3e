//! Known answers: a CPU that computes wrong digests must not measure Realms.

use core::fmt;
use core::sync::atomic::AtomicU64;

use super::Sha;

/// A digest algorithm whose result on this CPU is wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WrongDigest {
    /// SHA-256.
    Sha256,
    /// SHA-512.
    Sha512,
}

impl fmt::Display for WrongDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sha256 => "this CPU computes SHA-256 of \"abc\" wrong",
            Self::Sha512 => "this CPU computes SHA-512 of \"abc\" wrong",
        })
    }
}

/// "abc" and the end marker, as the first word of a message in memory.
const ABC: u64 = u64::from_le_bytes(*b"abc\x80\0\0\0\0");
/// Length of the message in bits, as the last word.
const ABC_BITS: u64 = 24_u64.swap_bytes();

/// "abc" as the only block of a message of `N` words.
const fn abc<const N: usize>() -> [AtomicU64; N] {
    let mut block = [const { AtomicU64::new(0) }; N];
    block[0] = AtomicU64::new(ABC);
    block[N - 1] = AtomicU64::new(ABC_BITS);
    block
}

impl Sha {
    /// Computes the digests of "abc" that FIPS 180-4 gives as examples.
    ///
    /// # Errors
    ///
    /// The algorithm that gives another digest.
    pub fn self_test(self) -> Result<(), WrongDigest> {
        let mut state = [
            0x6a09_e667,
            0xbb67_ae85,
            0x3c6e_f372,
            0xa54f_f53a,
            0x510e_527f,
            0x9b05_688c,
            0x1f83_d9ab,
            0x5be0_cd19,
        ];
        self.sha256(&mut state, &abc::<8>());
        let expected = [
            0xba78_16bf,
            0x8f01_cfea,
            0x4141_40de,
            0x5dae_2223,
            0xb003_61a3,
            0x9617_7a9c,
            0xb410_ff61,
            0xf200_15ad,
        ];
        if state != expected {
            return Err(WrongDigest::Sha256);
        }
        let mut state = [
            0x6a09_e667_f3bc_c908,
            0xbb67_ae85_84ca_a73b,
            0x3c6e_f372_fe94_f82b,
            0xa54f_f53a_5f1d_36f1,
            0x510e_527f_ade6_82d1,
            0x9b05_688c_2b3e_6c1f,
            0x1f83_d9ab_fb41_bd6b,
            0x5be0_cd19_137e_2179,
        ];
        self.sha512(&mut state, &abc::<16>());
        let expected = [
            0xddaf_35a1_9361_7aba,
            0xcc41_7349_ae20_4131,
            0x12e6_fa4e_89a9_7ea2,
            0x0a9e_eee6_4b55_d39a,
            0x2192_992a_274f_c1a8,
            0x36ba_3c23_a3fe_ebbd,
            0x454d_4423_643c_e80e,
            0x2a9a_c94f_a54c_a49f,
        ];
        if state == expected {
            Ok(())
        } else {
            Err(WrongDigest::Sha512)
        }
    }
}
