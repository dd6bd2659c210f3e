//! The platform token: what this machine says of itself, signed with its attestation key.
//!
//! A token is signed when the RMM first asks for it, once for each challenge, and handed over in
//! pieces as large as the RMM's buffer.

mod claims;
mod delivery;
mod key;

pub use claims::{IMPLEMENTATION_ID, Measurements};
pub use delivery::Piece;
pub use key::AttestationKey;

use alloc::vec::Vec;

use attestation_token::build::{Signer, Unsigned};
use attestation_token::{Algorithm, HashValue};
use p384::ecdsa::Signature;
use p384::ecdsa::signature::{RandomizedSigner as _, Signer as _};
use rmm_abi::el3::ServiceCode;
use spin::Mutex;

use self::delivery::Delivery;
use self::key::Random;
use crate::fault::Fault;
use crate::services::Hardware;

/// Who makes platform tokens.
pub struct Attester {
    key: AttestationKey,
    measurements: Measurements,
    fault: Option<Fault>,
    delivery: Mutex<Delivery>,
}

impl Attester {
    /// Makes tokens about firmware with these measurements.
    pub fn new(key: AttestationKey, measurements: Measurements, fault: Option<Fault>) -> Self {
        Self {
            key,
            measurements,
            fault,
            delivery: Mutex::new(Delivery::default()),
        }
    }

    /// The first piece of the token over a challenge, at most `room` bytes of it. A token that was
    /// on its way before is not continued.
    ///
    /// # Errors
    ///
    /// [`ServiceCode::Again`] while another CPU is here, [`ServiceCode::Unknown`] if there is no
    /// token.
    pub fn begin<H: Hardware>(
        &self,
        hardware: &H,
        challenge: HashValue,
        room: usize,
        take: impl FnOnce(&[u8]),
    ) -> Result<Piece, ServiceCode> {
        let mut delivery = self.delivery.try_lock().ok_or(ServiceCode::Again)?;
        if !delivery.restart(&challenge) {
            let claims = claims::platform(
                challenge,
                self.key.instance_id(),
                &self.measurements,
                self.fault,
            );
            let token = Unsigned::platform(&claims, Algorithm::Es384)
                .ok()
                .and_then(|unsigned| {
                    let mut signer = HedgedSigner {
                        key: &self.key,
                        hardware,
                    };
                    unsigned.sign(&mut signer).ok()
                })
                .ok_or(ServiceCode::Unknown)?;
            delivery.start(challenge, token);
        }
        delivery.next(room, take).ok_or(ServiceCode::Unknown)
    }

    /// The next piece of the token that is on its way.
    ///
    /// # Errors
    ///
    /// [`ServiceCode::Again`] while another CPU is here, [`ServiceCode::Invalid`] if none is on its
    /// way.
    pub fn proceed(&self, room: usize, take: impl FnOnce(&[u8])) -> Result<Piece, ServiceCode> {
        let mut delivery = self.delivery.try_lock().ok_or(ServiceCode::Again)?;
        delivery.next(room, take).ok_or(ServiceCode::Invalid)
    }
}

/// Signs with nonces of RFC 6979 that fresh entropy goes into, where the CPU has any.
struct HedgedSigner<'a, H> {
    key: &'a AttestationKey,
    hardware: &'a H,
}

impl<H: Hardware> Signer for HedgedSigner<'_, H> {
    type Error = core::convert::Infallible;

    fn algorithm(&self) -> Algorithm {
        Algorithm::Es384
    }

    fn sign(&mut self, message: &[u8]) -> Result<Vec<u8>, Self::Error> {
        let key = self.key.signing_key();
        let signature: Signature = self.hardware.with_independent_timing(|| {
            key.try_sign_with_rng(&mut Random(self.hardware), message)
                .unwrap_or_else(|_| key.sign(message))
        });
        Ok(signature.to_bytes().to_vec())
    }
}

#[cfg(test)]
pub(crate) mod tests;
