//! Signatures and the nonces in them.

use attestation_token::{HashAlgorithm, Token};

use super::samples::{attester, entropy, request};
use super::{token, token_with, verify};

/// Bytes of a signature, which stands at the end of a token.
const SIGNATURE: usize = 96;

/// Other entropy, another nonce; the same entropy, the same nonce. (And so without entropy the nonce
/// would be that of key and message.)
#[test]
fn entropy_makes_the_nonce() {
    let attester = attester();
    let request = request(HashAlgorithm::Sha256);
    let mut signatures = Vec::new();
    let mut contents = Vec::new();
    for seed in [1, 2, 3, 1, 3] {
        let token = token_with(&attester, &request, &entropy(seed));
        let (content, signature) = token.split_at(token.len() - SIGNATURE);
        contents.push(content.to_vec());
        signatures.push(signature.to_vec());
        let decoded = Token::decode(&token).unwrap();
        assert!(verify(&decoded, request.challenge).is_trusted());
    }
    assert!(contents.iter().all(|content| *content == contents[0]));
    assert_eq!(signatures[3], signatures[0]);
    assert_eq!(signatures[4], signatures[2]);
    let nonces = |signature: &[u8]| signature[..SIGNATURE / 2].to_vec();
    for (first, second) in [(0, 1), (0, 2), (1, 2)] {
        assert_ne!(nonces(&signatures[first]), nonces(&signatures[second]));
    }
}

/// Each bit of the entropy counts.
#[test]
fn all_entropy_goes_into_the_nonce() {
    use rmm_attest::entropy::{ENTROPY_WORDS, Entropy};

    let attester = attester();
    let request = request(HashAlgorithm::Sha256);
    let mut signatures = std::collections::BTreeSet::new();
    for changed in 0..ENTROPY_WORDS {
        for bit in [0, 17, 63] {
            let mut number = 0;
            let entropy = Entropy::gather(|| {
                number += 1;
                let change = if number == changed + 1 { 1 << bit } else { 0 };
                Some((0x1111_1111 * number as u64) ^ change)
            })
            .unwrap();
            let token = token_with(&attester, &request, &entropy);
            assert!(signatures.insert(token[token.len() - SIGNATURE..].to_vec()));
        }
    }
}

/// The same nonce for two messages would give the key away, even with a source that has got stuck
/// since it was tested.
#[test]
fn another_message_has_another_nonce() {
    let attester = attester();
    let mut request = request(HashAlgorithm::Sha512);
    let mut nonces = std::collections::BTreeSet::new();
    for byte in 0..8 {
        request.challenge[63] = byte;
        let token = token(&attester, &request);
        let signature = &token[token.len() - SIGNATURE..];
        assert!(nonces.insert(signature[..SIGNATURE / 2].to_vec()));
    }
}
