//! Whom a verifier believes: public keys of machines.

#[cfg(feature = "appraisal")]
pub mod file;

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use crate::claims::{InstanceId, PlatformClaims};
use crate::crypto::Crypto;
use crate::key::{KeyError, PublicKey};

/// Whose key a trust anchor is.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Identity {
    /// One machine.
    pub instance_id: Option<InstanceId>,
    /// One kind of machine.
    pub implementation_id: Option<[u8; 32]>,
}

impl Identity {
    /// Whether a platform token claims to be from there.
    fn matches(&self, claims: &PlatformClaims) -> bool {
        self.instance_id.is_none_or(|id| id == claims.instance_id)
            && self
                .implementation_id
                .is_none_or(|id| id == claims.implementation_id)
    }
}

/// A public key that is believed, and whose it is. Without any identity it is believed for every
/// machine.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TrustAnchor {
    /// Whose key it is.
    pub identity: Identity,
    /// The key.
    pub key: PublicKey,
}

impl From<PublicKey> for TrustAnchor {
    fn from(key: PublicKey) -> Self {
        Self {
            identity: Identity::default(),
            key,
        }
    }
}

/// A trust anchor that is ready to verify.
#[derive(Debug)]
pub(crate) struct ReadyAnchor<K> {
    pub(crate) anchor: TrustAnchor,
    pub(crate) key: K,
}

/// Trust anchors, prepared once and used for any number of tokens.
#[derive(Debug)]
pub struct TrustAnchors<C: Crypto> {
    by_instance: BTreeMap<InstanceId, Vec<ReadyAnchor<C::VerifyingKey>>>,
    by_implementation: BTreeMap<[u8; 32], Vec<ReadyAnchor<C::VerifyingKey>>>,
    for_every_machine: Vec<ReadyAnchor<C::VerifyingKey>>,
}

impl<C: Crypto> TrustAnchors<C> {
    /// Prepares trust anchors.
    ///
    /// # Errors
    ///
    /// If a key is not on its curve.
    pub fn new(
        crypto: &C,
        anchors: impl IntoIterator<Item = TrustAnchor>,
    ) -> Result<Self, KeyError> {
        let mut ready = Self {
            by_instance: BTreeMap::new(),
            by_implementation: BTreeMap::new(),
            for_every_machine: Vec::new(),
        };
        for anchor in anchors {
            let key = crypto.verifying_key(&anchor.key)?;
            let list = match anchor.identity {
                Identity {
                    instance_id: Some(id),
                    ..
                } => ready.by_instance.entry(id).or_default(),
                Identity {
                    implementation_id: Some(id),
                    ..
                } => ready.by_implementation.entry(id).or_default(),
                _ => &mut ready.for_every_machine,
            };
            list.push(ReadyAnchor { anchor, key });
        }
        Ok(ready)
    }

    /// The anchors for the machine that the token claims to be from, and no others: first those
    /// of the machine, else those of its kind, else those for every machine.
    pub(crate) fn find(
        &self,
        claims: &PlatformClaims,
    ) -> impl Iterator<Item = &ReadyAnchor<C::VerifyingKey>> {
        let fitting = |list: &&Vec<ReadyAnchor<_>>| {
            list.iter()
                .any(|ready| ready.anchor.identity.matches(claims))
        };
        self.by_instance
            .get(&claims.instance_id)
            .filter(fitting)
            .or_else(|| {
                self.by_implementation
                    .get(&claims.implementation_id)
                    .filter(fitting)
            })
            .unwrap_or(&self.for_every_machine)
            .iter()
            .filter(|ready| ready.anchor.identity.matches(claims))
    }
}
