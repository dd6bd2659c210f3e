//! How much memory the making of a token takes, from the allocator and in the room that an RMM has
//! for it.
#![allow(missing_docs)]

#[path = "heap/room.rs"]
mod room;
#[path = "token/samples.rs"]
mod samples;

use std::sync::{Mutex, PoisonError};

use attestation_token::HashAlgorithm;
use rmm_attest::attester::{LARGEST_PLATFORM_TOKEN, LARGEST_TOKEN};
use rmm_attest::{Attester, TokenError};
use room::{PAGE, Usage, inside};
use samples::{attester, entropy, request, scalar};

/// There is one room.
static TURN: Mutex<()> = Mutex::new(());

/// Pages that are enough, wherever they begin. An RMM has more.
const PAGES: usize = 2;

/// What the making of a token takes in a heap of some pages.
fn making(
    algorithm: HashAlgorithm,
    platform_token: usize,
    first_page: usize,
    pages: usize,
) -> Usage {
    let mut attester = attester();
    attester
        .set_platform_token(&vec![0x5a; platform_token])
        .unwrap();
    let request = request(algorithm);
    let entropy = entropy(9);
    let mut place = [0; LARGEST_TOKEN];
    let mut outcome = Err(TokenError::TooLarge);
    let usage = inside(first_page, pages, || {
        outcome = attester.token(&request, &entropy, &mut place);
    });
    assert!(outcome.is_ok_and(|size| size > platform_token));
    usage
}

#[test]
fn the_largest_token_is_made_in_few_pages() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    for algorithm in [HashAlgorithm::Sha256, HashAlgorithm::Sha512] {
        for platform_token in [1, 256, 1518, 2048, 3000, LARGEST_PLATFORM_TOKEN] {
            for first_page in 0..16 {
                let usage = making(algorithm, platform_token, first_page, PAGES);
                assert_eq!(usage.refused, 0, "{platform_token} {first_page} {usage:?}");
                assert_eq!(usage.left, 0, "{platform_token} {first_page} {usage:?}");
            }
        }
        let usage = making(algorithm, LARGEST_PLATFORM_TOKEN, 0, PAGES);
        println!("{algorithm:?}: {usage:?}");
        // More than the realm token, and something is seen at all.
        assert!(usage.most_asked > 590 && usage.most_taken <= PAGES * PAGE);
    }
}

/// One page is too small, and that is seen.
#[test]
fn a_heap_that_is_too_small() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let usage = making(HashAlgorithm::Sha512, LARGEST_PLATFORM_TOKEN, 0, 1);
    assert_ne!(usage.refused, 0, "{usage:?}");
    assert_eq!(usage.left, 0, "{usage:?}");
}

/// Cold boot: the key is taken, and the largest platform token. Both stay.
#[test]
fn key_and_platform_token() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let token = [0x5a; LARGEST_PLATFORM_TOKEN];
    for first_page in 0..16 {
        let usage = inside(first_page, PAGES, || {
            let mut attester = Attester::new(&scalar()).unwrap();
            attester.binding();
            attester.set_platform_token(&token).unwrap();
        });
        assert_eq!(usage.refused, 0, "{first_page} {usage:?}");
        assert_eq!(usage.left, 0, "{first_page} {usage:?}");
        assert!(usage.most_asked > LARGEST_PLATFORM_TOKEN);
    }
}
