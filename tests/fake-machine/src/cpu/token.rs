//! Making tokens, without cryptography: a token is what was asked for, again and again.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use rmm_abi::rmi::HashAlgorithm;
use rmm_core::granule::{GranuleAddress, Running};
use rmm_core::machine::{Attest, TOKEN_GRANULES, TokenProgress, TokenRequest};

use super::FakeCpu;

/// How tokens are made on a machine.
#[derive(Debug)]
pub struct TokenScript {
    interruptions: AtomicU64,
    size: AtomicUsize,
}

impl Default for TokenScript {
    fn default() -> Self {
        Self {
            interruptions: AtomicU64::new(0),
            size: AtomicUsize::new(2121),
        }
    }
}

impl TokenScript {
    /// So many times from now on work is interrupted when it begins or goes on.
    pub fn interrupt(&self, times: u64) {
        self.interruptions.store(times, Ordering::SeqCst);
    }

    /// From now on tokens have so many bytes. With zero there are none, and with more than a
    /// granule's the machine breaks its promise.
    pub fn set_size(&self, size: usize) {
        self.size.store(size, Ordering::SeqCst);
    }
}

/// The words of a token for a request.
pub fn token_words(request: &TokenRequest) -> impl Iterator<Item = u64> {
    let algorithm = match request.algorithm {
        HashAlgorithm::Sha256 => 256,
        HashAlgorithm::Sha512 => 512,
    };
    let words: Vec<u64> = [request.challenge, request.personalization]
        .into_iter()
        .chain(request.measurements)
        .flatten()
        .chain([algorithm])
        .collect();
    words.into_iter().cycle()
}

/// What work leaves in a granule while it is put aside.
const fn mark(number: usize, word: usize) -> u64 {
    0xa51d_e000_0000_0000 | (number as u64) << 16 | word as u64
}

impl Attest for FakeCpu<'_> {
    fn make_token(
        &self,
        rec: &Running<'_>,
        granules: &[GranuleAddress; TOKEN_GRANULES],
        request: Option<&TokenRequest>,
    ) -> TokenProgress {
        self.interruption.run();
        assert_eq!(
            self.loaded.get(),
            Some(rec.address().get()),
            "a token for a REC that is not in the CPU"
        );
        let script = self.memory.tokens();
        let [token, work @ ..] = granules.map(|granule| self.access(granule.get(), true));
        if let Some(request) = request {
            for granule in &work {
                let words = granule.iter();
                assert!(
                    words
                        .map(|word| word.load(Ordering::Relaxed))
                        .all(|word| word == 0),
                    "work begins in granules that are not empty"
                );
            }
            // What was asked for is part of the work.
            for (word, value) in token.iter().zip(token_words(request)) {
                word.store(value, Ordering::Relaxed);
            }
        } else {
            for (number, granule) in work.iter().enumerate() {
                for (word, value) in granule.iter().enumerate() {
                    assert_eq!(
                        value.swap(0, Ordering::Relaxed),
                        mark(number, word),
                        "work goes on in granules in which it was not put aside"
                    );
                }
            }
        }
        let interrupted = script
            .interruptions
            .try_update(Ordering::SeqCst, Ordering::SeqCst, |times| {
                times.checked_sub(1)
            })
            .is_ok();
        if interrupted {
            for (number, granule) in work.iter().enumerate() {
                for (word, value) in granule.iter().enumerate() {
                    value.store(mark(number, word), Ordering::Relaxed);
                }
            }
            return TokenProgress::Interrupted;
        }
        match script.size.load(Ordering::SeqCst) {
            0 => TokenProgress::Failed,
            size => TokenProgress::Ready(size),
        }
    }

    fn abandon_token(&self, _rec: &Running<'_>, granules: &[GranuleAddress; TOKEN_GRANULES]) {
        for granule in granules {
            self.access(granule.get(), true).zero();
        }
    }
}
