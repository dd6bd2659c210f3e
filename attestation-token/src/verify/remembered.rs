//! Platform tokens that were verified before. A machine gives the same one with every token until
//! it boots again, so verifying it once halves the work.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;

use super::Verifier;
use crate::algorithm::HashAlgorithm;
use crate::check::{Check, Reason, Subject, Verdict};
use crate::claims::HashValue;
use crate::crypto::Crypto;
use crate::key::PublicKey;
use crate::token::PlatformToken;
use crate::verify::Verification;

/// Signatures of platform tokens that were right, and the keys that they are of. Each thread of a
/// server has one of its own, or takes a lock.
///
/// Only that is remembered: whether a key is believed for the machine is asked again each time, so
/// that what was learned under other trust anchors does no harm.
#[derive(Debug)]
pub struct VerifiedPlatforms {
    capacity: usize,
    keys: BTreeMap<HashValue, PublicKey>,
    /// In the order in which they came.
    order: VecDeque<HashValue>,
}

impl VerifiedPlatforms {
    /// Remembers `capacity` tokens, and forgets the oldest. Each takes about 300 bytes.
    pub const fn new(capacity: usize) -> Self {
        Self {
            capacity,
            keys: BTreeMap::new(),
            order: VecDeque::new(),
        }
    }

    /// How many are remembered.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether none is remembered.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    fn insert(&mut self, token: HashValue, key: PublicKey) {
        if self.capacity == 0 {
            return;
        }
        if self.keys.insert(token, key).is_none() {
            self.order.push_back(token);
        }
        while self.order.len() > self.capacity {
            if let Some(oldest) = self.order.pop_front() {
                self.keys.remove(&oldest);
            }
        }
    }
}

impl<C: Crypto> Verifier<C> {
    /// Verifies only the machine's part, as [`Verifier::verify_platform`] does, unless it was
    /// verified before: the same bytes with the same key.
    pub fn verify_platform_with(
        &self,
        token: &PlatformToken,
        verified: &mut VerifiedPlatforms,
    ) -> Verification {
        let name = self.name(token);
        if let Some(key) = verified.keys.get(&name)
            && let Some(ready) = self
                .anchors
                .find(token.claims())
                .find(|ready| ready.anchor.key == *key)
        {
            let check = Check::new(
                Subject::PlatformSignature,
                Verdict::Affirmed,
                Reason::SignatureValid,
            );
            return Verification {
                checks: alloc::vec![check],
                anchor: Some(ready.anchor.clone()),
            };
        }
        let verification = self.verify_platform(token);
        if let Some(anchor) = verification.anchor() {
            verified.insert(name, anchor.key.clone());
        }
        verification
    }

    /// A hash over everything that the verification of a platform token depends on, but the key.
    fn name(&self, token: &PlatformToken) -> HashValue {
        // The algorithm says how long the signature is, so no other token gives the same bytes.
        let algorithm = token.algorithm().name().as_bytes();
        let parts: Vec<u8> = [algorithm, token.signature(), token.to_be_signed()].concat();
        self.crypto.hash(HashAlgorithm::Sha256, &parts)
    }
}
