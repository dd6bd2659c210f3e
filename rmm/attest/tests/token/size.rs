//! How large tokens are, and may be.

use attestation_token::HashAlgorithm;
use rmm_attest::attester::{LARGEST_PLATFORM_TOKEN, LARGEST_TOKEN};
use rmm_attest::{Attester, TokenError};

use super::samples::{attester, entropy, request, scalar};
use super::token;

/// Bytes of the heads of tag, map, labels and byte strings around the two tokens of usual size.
const HEADS: usize = 4 + 2 * (3 + 3);
/// Bytes of realm tokens (reference, section 10.5).
const REALM_TOKENS: [(HashAlgorithm, usize); 2] =
    [(HashAlgorithm::Sha256, 590), (HashAlgorithm::Sha512, 750)];

#[test]
fn the_largest_token_fits_into_a_granule() {
    let mut attester = attester();
    for (algorithm, realm_token) in REALM_TOKENS {
        let request = request(algorithm);
        for size in [
            256,
            1518,
            LARGEST_PLATFORM_TOKEN - 1,
            LARGEST_PLATFORM_TOKEN,
        ] {
            attester.set_platform_token(&vec![0x5a; size]).unwrap();
            let token = token(&attester, &request);
            assert_eq!(token.len(), HEADS + size + realm_token);
            assert!(token.len() <= LARGEST_TOKEN);
        }
    }
    let left = LARGEST_TOKEN - HEADS - LARGEST_PLATFORM_TOKEN - REALM_TOKENS[1].1;
    assert!(left < 64, "{left} bytes are never used");
}

#[test]
fn platform_tokens_that_are_refused() {
    let mut attester = attester();
    let request = request(HashAlgorithm::Sha256);
    let before = token(&attester, &request);
    for size in [LARGEST_PLATFORM_TOKEN + 1, LARGEST_TOKEN, 1 << 20] {
        let refused = attester.set_platform_token(&vec![0; size]);
        assert_eq!(refused, Err(TokenError::TooLarge), "{size}");
    }
    let refused = attester.set_platform_token(&[]);
    assert_eq!(refused, Err(TokenError::NoPlatformToken));
    assert_eq!(token(&attester, &request), before);
}

#[test]
fn no_token_without_a_platform_token() {
    let attester = Attester::new(&scalar()).unwrap();
    let mut place = [0xe7; LARGEST_TOKEN];
    let outcome = attester.token(&request(HashAlgorithm::Sha256), &entropy(1), &mut place);
    assert_eq!(outcome, Err(TokenError::NoPlatformToken));
    assert_eq!(place, [0xe7; LARGEST_TOKEN]);
}
