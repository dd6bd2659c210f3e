//! Tokens for Realms: who signs them, what they say, how large they are.
#![allow(missing_docs)]

#[path = "token/content.rs"]
mod content;
#[path = "token/entropy.rs"]
mod entropy;
#[path = "token/key.rs"]
mod key;
#[path = "token/samples.rs"]
mod samples;
#[path = "token/signature.rs"]
mod signature;
#[path = "token/size.rs"]
mod size;

use attestation_token::crypto::RustCrypto;
use attestation_token::{Challenge, Token, TrustAnchor, TrustAnchors, Verification, Verifier};
use rmm_attest::attester::LARGEST_TOKEN;
use rmm_attest::entropy::Entropy;
use rmm_attest::{Attester, Request};
use samples::{entropy as entropy_of, machine_key};

/// The bytes of a token; what is behind them in the place for them has not changed.
fn token(attester: &Attester, request: &Request) -> Vec<u8> {
    token_with(attester, request, &entropy_of(1))
}

/// The same with entropy of the test's choice.
fn token_with(attester: &Attester, request: &Request, entropy: &Entropy) -> Vec<u8> {
    const UNTOUCHED: u8 = 0xe7;
    let mut place = [UNTOUCHED; LARGEST_TOKEN];
    let size = attester.token(request, entropy, &mut place).unwrap();
    assert!(place[size..].iter().all(|byte| *byte == UNTOUCHED));
    place[..size].to_vec()
}

/// Verifies as the owner of a Realm does who trusts the machine.
fn verify(token: &Token, challenge: [u8; 64]) -> Verification {
    let anchor = TrustAnchor::from(machine_key().public_key());
    let anchors = TrustAnchors::new(&RustCrypto, [anchor]).unwrap();
    Verifier::new(RustCrypto, anchors).verify(token, Some(&Challenge(challenge)))
}
