//! A key, a platform token that vouches for it, and requests.

use attestation_token::build::Unsigned;
use attestation_token::claims::{InstanceId, PlatformProfile};
use attestation_token::crypto::SigningKey;
use attestation_token::{
    Algorithm, Curve, HashAlgorithm, Lifecycle, PlatformClaims, SoftwareComponent,
};
use rmm_attest::entropy::Entropy;
use rmm_attest::{Attester, Request};

/// Bytes from hexadecimal digits.
pub(crate) fn bytes<const SIZE: usize>(digits: &str) -> [u8; SIZE] {
    assert_eq!(digits.len(), 2 * SIZE);
    let (pairs, _) = digits.as_bytes().as_chunks::<2>();
    std::array::from_fn(|number| {
        let pair = str::from_utf8(&pairs[number]).unwrap();
        u8::from_str_radix(pair, 16).unwrap()
    })
}

/// A realm attestation key that is public: that of TF-A's development platforms (reference,
/// section 10.4).
pub(crate) fn scalar() -> [u8; 48] {
    bytes(concat!(
        "2011c7f03cee4325176e524f033c0ce1e21a76e6c1a4f0b8",
        "39aa1df61e0e8a5c8a05740f9b69efa7eb1a4185bd117f68"
    ))
}

/// The key of the machine.
pub(crate) fn machine_key() -> SigningKey {
    SigningKey::from_scalar(Curve::P384, &[0x13; 48]).unwrap()
}

/// What the machine says of itself, to a realm attestation key with this binding.
pub(crate) fn platform_claims(binding: [u8; 32]) -> PlatformClaims {
    PlatformClaims {
        profile: PlatformProfile::V2023,
        challenge: binding.into(),
        implementation_id: [0x17; 32],
        instance_id: InstanceId::from_random([0x29; 32]),
        config: vec![0xcf; 33],
        lifecycle: Lifecycle(0x3000),
        software_components: vec![SoftwareComponent {
            component_type: Some("RMM".into()),
            measurement: [0x3c; 32].into(),
            version: None,
            signer_id: [0; 32].into(),
            hash_algorithm: None,
            live_activation: None,
            countersigners: Vec::new(),
        }],
        verification_service: None,
        hash_algorithm: "sha-256".into(),
        manufacturing_config: None,
        extension: Vec::new(),
        rot_public_keys: Vec::new(),
        peer_signers: None,
    }
}

/// A platform token with these claims.
pub(crate) fn signed(claims: &PlatformClaims) -> Vec<u8> {
    let unsigned = Unsigned::platform(claims, Algorithm::Es384).unwrap();
    unsigned.sign(&mut machine_key()).unwrap()
}

/// The key, with a platform token that vouches for it.
pub(crate) fn attester() -> Attester {
    let mut attester = Attester::new(&scalar()).unwrap();
    let token = signed(&platform_claims(attester.binding()));
    attester.set_platform_token(&token).unwrap();
    attester
}

/// Entropy that is different for each seed.
pub(crate) fn entropy(seed: u64) -> Entropy {
    let mut word = seed;
    Entropy::gather(|| {
        word = word.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
        Some(word)
    })
    .unwrap()
}

/// A request in which each byte tells where it is.
pub(crate) fn request(algorithm: HashAlgorithm) -> Request {
    let pattern = |first: u8| std::array::from_fn(|at| first ^ u8::try_from(at).unwrap());
    Request {
        challenge: pattern(0x40),
        personalization: pattern(0x80),
        algorithm,
        measurements: [0xc0, 0xd3, 0xe6, 0xf9, 0x1c].map(pattern),
    }
}
