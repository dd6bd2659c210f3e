//! Tokens, made in the workroom.

use core::arch::asm;
use core::fmt;

use aarch64_cpu::registers::{ID_AA64PFR0_EL1, Readable};
use attestation_token::HashAlgorithm;
use rmm_abi::rmi;
use rmm_attest::attester::LARGEST_TOKEN;
use rmm_attest::entropy::EntropyError;
use rmm_attest::{Attester, Request, TokenError};
use rmm_core::granule::{GranuleAddress, Running};
use rmm_core::machine::{Attest, TOKEN_GRANULES, TokenProgress, TokenRequest};

use super::ThisCpu;
use crate::workroom::{Progress, Work};
use crate::{console, entropy};

/// A token in the making.
struct Making {
    attester: &'static Attester,
    request: Request,
    outcome: Option<Result<usize, NoToken>>,
}

/// Why there is no token.
#[derive(Clone, Copy, Debug)]
enum NoToken {
    Entropy(EntropyError),
    Token(TokenError),
}

impl fmt::Display for NoToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Entropy(error) => error.fmt(f),
            Self::Token(error) => error.fmt(f),
        }
    }
}

impl Work for Making {
    fn run(&mut self, result: &mut [u8; LARGEST_TOKEN]) {
        let timing = DataIndependentTiming::begin();
        // Sources may be slow, so they are asked where interrupts can put it aside.
        let token = entropy::gather()
            .map_err(NoToken::Entropy)
            .and_then(|entropy| {
                let token = self.attester.token(&self.request, &entropy, result);
                token.map_err(NoToken::Token)
            });
        self.outcome = Some(token);
        timing.end();
    }
}

/// What instructions take does not depend on what they compute with, where the CPU can promise that.
struct DataIndependentTiming {
    exists: bool,
}

impl DataIndependentTiming {
    fn begin() -> Self {
        // DIT of ID_AA64PFR0_EL1.
        let exists = ID_AA64PFR0_EL1.get() >> 48 & 0xf != 0;
        if exists {
            // SAFETY: the bit has an effect on timing only. S3_3_C4_C2_5 is DIT.
            unsafe {
                asm!("msr s3_3_c4_c2_5, {0}", in(reg) 1_u64 << 24, options(nostack, preserves_flags));
            }
        }
        Self { exists }
    }

    fn end(self) {
        if self.exists {
            // SAFETY: as above.
            unsafe { asm!("msr s3_3_c4_c2_5, xzr", options(nostack, preserves_flags)) };
        }
    }
}

impl Attest for ThisCpu<'_> {
    fn make_token(
        &self,
        _rec: &Running<'_>,
        granules: &[GranuleAddress; TOKEN_GRANULES],
        request: Option<&TokenRequest>,
    ) -> TokenProgress {
        let mut outcome = None;
        let read = |work: &Making| outcome = work.outcome;
        let progress = match request {
            None => {
                // SAFETY: the granules are auxiliary ones of a REC that this CPU runs, so they are in the
                // Realm world and nobody else's. The core says that work was put aside in them.
                unsafe { self.workroom.resume(granules, read) }
            }
            Some(request) => {
                let Some(work) = self.prepare(request) else {
                    return TokenProgress::Failed;
                };
                // SAFETY: as above.
                unsafe { self.workroom.begin(granules, work, read) }
            }
        };
        match (progress, outcome) {
            (Progress::Interrupted, _) => TokenProgress::Interrupted,
            (Progress::Done, Some(Ok(size))) => TokenProgress::Ready(size),
            (Progress::Done, Some(Err(error))) => {
                console::error(format_args!("no token: {error}"));
                TokenProgress::Failed
            }
            (Progress::Done, None) => TokenProgress::Failed,
        }
    }

    fn abandon_token(&self, _rec: &Running<'_>, granules: &[GranuleAddress; TOKEN_GRANULES]) {
        // SAFETY: as in `make_token`.
        unsafe { self.workroom.wipe(granules) };
    }
}

impl ThisCpu<'_> {
    fn prepare(&self, request: &TokenRequest) -> Option<Making> {
        let attester = self.attester?;
        Some(Making {
            attester,
            request: Request {
                challenge: bytes(&request.challenge),
                personalization: bytes(&request.personalization),
                algorithm: match request.algorithm {
                    rmi::HashAlgorithm::Sha256 => HashAlgorithm::Sha256,
                    rmi::HashAlgorithm::Sha512 => HashAlgorithm::Sha512,
                },
                measurements: request.measurements.each_ref().map(bytes),
            },
            outcome: None,
        })
    }
}

/// Words of memory as bytes.
fn bytes(words: &[u64; 8]) -> [u8; 64] {
    let mut bytes = [0; 64];
    for (place, word) in bytes.chunks_exact_mut(8).zip(words) {
        place.copy_from_slice(&word.to_le_bytes());
    }
    bytes
}
