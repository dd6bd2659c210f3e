//! No bit of a token can be changed without its being refused.

use std::collections::HashMap;
use std::sync::Mutex;

use attestation_token::crypto::{AwsLc, RustCrypto, SignatureError};
use attestation_token::key::KeyError;
use attestation_token::{
    Crypto, HashAlgorithm, HashValue, PublicKey, Token, TrustAnchor, TrustAnchors, Verifier,
};

use crate::samples::{CHALLENGE, Sample};

/// Cryptography that remembers: most of a changed token is unchanged.
struct Remembering<C> {
    crypto: C,
    known: Mutex<HashMap<Vec<u8>, Result<(), SignatureError>>>,
}

impl<C: Crypto> Crypto for Remembering<C> {
    type VerifyingKey = (Vec<u8>, C::VerifyingKey);

    fn verifying_key(&self, key: &PublicKey) -> Result<Self::VerifyingKey, KeyError> {
        Ok((key.sec1().to_vec(), self.crypto.verifying_key(key)?))
    }

    fn verify(
        &self,
        key: &Self::VerifyingKey,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), SignatureError> {
        let all = [key.0.as_slice(), message, signature].concat();
        if let Some(known) = self.known.lock().unwrap().get(&all) {
            return *known;
        }
        let result = self.crypto.verify(&key.1, message, signature);
        self.known.lock().unwrap().insert(all, result);
        result
    }

    fn hash(&self, algorithm: HashAlgorithm, message: &[u8]) -> HashValue {
        self.crypto.hash(algorithm, message)
    }
}

fn every_flip_is_refused<C: Crypto + Sync>(sample: &Sample, crypto: C)
where
    C::VerifyingKey: Sync,
{
    let token = sample.token();
    // For every machine: a changed identifier must not only fail for want of an anchor.
    let anchor = TrustAnchor::from(sample.platform_key.public_key());
    let crypto = Remembering {
        crypto,
        known: Mutex::default(),
    };
    let anchors = TrustAnchors::new(&crypto, [anchor]).unwrap();
    let verifier = Verifier::new(crypto, anchors);
    let accepts = |bytes: &[u8]| {
        Token::decode(bytes)
            .is_ok_and(|token| verifier.verify(&token, Some(&CHALLENGE)).is_trusted())
    };
    assert!(accepts(&token));
    std::thread::scope(|scope| {
        let half = token.len() / 2;
        for range in [0..half, half..token.len()] {
            let (token, accepts) = (&token, &accepts);
            scope.spawn(move || {
                for index in range {
                    for bit in 0..8 {
                        let mut changed = token.clone();
                        changed[index] ^= 1 << bit;
                        assert!(!accepts(&changed), "bit {bit} of byte {index}");
                    }
                }
            });
        }
    });
}

#[test]
fn in_a_token_of_2023() {
    every_flip_is_refused(&Sample::new(), RustCrypto);
}

#[test]
fn in_a_token_of_2024() {
    every_flip_is_refused(&Sample::v2024(), AwsLc);
}

#[test]
fn in_a_legacy_token() {
    every_flip_is_refused(&Sample::legacy(), AwsLc);
}

/// What the reference stack gives today: the wrapper and the realm token of 2024 around a platform
/// token of 2023.
#[test]
fn in_a_mixed_pair() {
    let mut sample = Sample::v2024();
    sample.platform = Sample::new().platform;
    every_flip_is_refused(&sample, AwsLc);
}
