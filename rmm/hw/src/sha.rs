//! SHA-256 and SHA-512: with the CPU's instructions where it has them, else by portable code.

#[cfg(target_os = "none")]
mod instructions;
pub mod portable;
#[cfg(target_os = "none")]
mod self_test;

#[cfg(target_os = "none")]
pub use instructions::Sha;
#[cfg(target_os = "none")]
pub use self_test::WrongDigest;

/// Words of a block of SHA-256.
const SHA256_BLOCK: usize = 64 / size_of::<u64>();
/// Words of a block of SHA-512.
const SHA512_BLOCK: usize = 128 / size_of::<u64>();
