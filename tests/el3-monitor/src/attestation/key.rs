//! The CCA platform attestation key (CPAK).

use core::fmt;

use attestation_token::claims::InstanceId;
use p384::SecretKey;
use p384::ecdsa::SigningKey;
use p384::elliptic_curve::rand_core::{TryCryptoRng, TryRng};
use p384::pkcs8::DecodePrivateKey as _;
use sha2::{Digest as _, Sha256};

use crate::services::Hardware;

/// The key that platform tokens are signed with, on P-384.
pub struct AttestationKey {
    signing: SigningKey,
    instance_id: InstanceId,
}

impl AttestationKey {
    /// The key in a file: PKCS #8 in PEM. Zero bytes after it do not count.
    pub fn from_pem(file: &[u8]) -> Option<Self> {
        let text = core::str::from_utf8(file).ok()?.trim_end_matches('\0');
        let secret = SecretKey::from_pkcs8_pem(text).ok()?;
        let signing = SigningKey::from(&secret);
        let point = signing.verifying_key().to_sec1_point(false);
        let hash = Sha256::digest(point.as_bytes());
        Some(Self {
            instance_id: InstanceId::from_random(hash.into()),
            signing,
        })
    }

    /// What the machine is known by: 0x01, then the SHA-256 of the public key as an uncompressed
    /// point. Trusted Firmware-M and what descends from it do the same.
    pub const fn instance_id(&self) -> InstanceId {
        self.instance_id
    }

    pub(super) const fn signing_key(&self) -> &SigningKey {
        &self.signing
    }
}

/// Random bits of the CPU.
pub(super) struct Random<'a, H>(pub(super) &'a H);

/// The CPU gives no random bits.
#[derive(Debug)]
pub(super) struct NoRandomBits;

impl fmt::Display for NoRandomBits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the CPU gives no random bits")
    }
}

impl core::error::Error for NoRandomBits {}

impl<H: Hardware> TryRng for Random<'_, H> {
    type Error = NoRandomBits;

    fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
        let mut bytes = [0; 4];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
        self.0.random().ok_or(NoRandomBits)
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Self::Error> {
        for piece in bytes.chunks_mut(size_of::<u64>()) {
            let word = self.try_next_u64()?.to_le_bytes();
            piece.copy_from_slice(&word[..piece.len()]);
        }
        Ok(())
    }
}

impl<H: Hardware> TryCryptoRng for Random<'_, H> {}
