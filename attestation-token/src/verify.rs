//! Signatures, binding and challenge: whether a token is what it says, and new.

mod remembered;

use alloc::vec::Vec;

pub use remembered::VerifiedPlatforms;

use crate::check::{Check, Reason, Subject, Verdict};
use crate::claims::HashValue;
use crate::crypto::Crypto;
use crate::token::{PlatformToken, RealmToken, Token};
use crate::trust::{TrustAnchor, TrustAnchors};

/// 64 bytes that a Realm is given to put into its token.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Challenge(pub [u8; 64]);

impl Challenge {
    /// Fewest bytes that make a challenge: fewer can be guessed.
    pub const MIN_BYTES: usize = 32;

    /// A challenge of 32 to 64 bytes, with zeroes behind it, as Realms under Linux ask for it.
    pub fn padded(bytes: &[u8]) -> Option<Self> {
        if bytes.len() < Self::MIN_BYTES {
            return None;
        }
        let mut challenge = [0; 64];
        challenge.get_mut(..bytes.len())?.copy_from_slice(bytes);
        Some(Self(challenge))
    }
}

/// Verifies tokens. Trust anchors are prepared once.
#[derive(Debug)]
pub struct Verifier<C: Crypto> {
    crypto: C,
    anchors: TrustAnchors<C>,
}

/// What verifying a token gave.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Verification {
    checks: Vec<Check>,
    anchor: Option<TrustAnchor>,
}

impl Verification {
    /// The checks: signatures, binding, challenge.
    pub fn checks(&self) -> &[Check] {
        &self.checks
    }

    /// The trust anchor that vouches for the machine.
    pub const fn anchor(&self) -> Option<&TrustAnchor> {
        self.anchor.as_ref()
    }

    /// Whether what the token says may be believed: it has all its signatures, its parts belong
    /// together, and it is for the challenge if one was given.
    pub fn is_trusted(&self) -> bool {
        !self.checks.is_empty()
            && self.checks.iter().all(|check| match check.verdict {
                Verdict::Affirmed => true,
                _ => check.reason == Reason::NoChallenge,
            })
    }
}

impl<C: Crypto> Verifier<C> {
    /// A verifier that believes the machines of `anchors`.
    pub const fn new(crypto: C, anchors: TrustAnchors<C>) -> Self {
        Self { crypto, anchors }
    }

    /// The cryptography in use.
    pub const fn crypto(&self) -> &C {
        &self.crypto
    }

    /// Verifies a whole token.
    pub fn verify(&self, token: &Token, challenge: Option<&Challenge>) -> Verification {
        let platform = self.verify_platform(&token.platform);
        self.verify_realm(platform, token, challenge)
    }

    /// Verifies a whole token, the machine's part only if it was not verified before: the same
    /// bytes with the same key.
    pub fn verify_with(
        &self,
        token: &Token,
        challenge: Option<&Challenge>,
        verified: &mut VerifiedPlatforms,
    ) -> Verification {
        let platform = self.verify_platform_with(&token.platform, verified);
        self.verify_realm(platform, token, challenge)
    }

    /// Verifies the Realm's part, and that both belong together.
    fn verify_realm(
        &self,
        mut verification: Verification,
        token: &Token,
        challenge: Option<&Challenge>,
    ) -> Verification {
        verification.checks.push(self.realm_signature(&token.realm));
        // Anybody can write the right values into a token that nobody has signed.
        let unless_refused = |verification: &Verification, subject, check: Check| {
            if verification.is_trusted() {
                check
            } else {
                Check::new(subject, Verdict::NotChecked, Reason::NotTrusted)
            }
        };

        let realm = token.realm.claims();
        let hash = self
            .crypto
            .hash(realm.public_key_hash_algorithm, realm.public_key.encoded());
        let vouched_for = token.platform.claims().challenge;
        let binding = compare(Subject::Binding, &vouched_for, &hash);
        let binding = unless_refused(&verification, Subject::Binding, binding);
        verification.checks.push(binding);

        let challenge = match challenge {
            None => Check::new(Subject::Challenge, Verdict::NotChecked, Reason::NoChallenge),
            Some(challenge) => {
                let found = HashValue::from(realm.challenge);
                compare(Subject::Challenge, &HashValue::from(challenge.0), &found)
            }
        };
        let challenge = unless_refused(&verification, Subject::Challenge, challenge);
        verification.checks.push(challenge);
        verification
    }

    /// Verifies only the machine's part. It says nothing of any Realm.
    pub fn verify_platform(&self, token: &PlatformToken) -> Verification {
        let mut reason = Reason::NoTrustAnchor;
        for ready in self.anchors.find(token.claims()) {
            let curve = ready.anchor.key.curve();
            if token.algorithm().curve() != curve {
                if reason == Reason::NoTrustAnchor {
                    let algorithm = token.algorithm();
                    reason = Reason::AlgorithmMismatch { algorithm, curve };
                }
                continue;
            }
            let signature = self
                .crypto
                .verify(&ready.key, token.to_be_signed(), token.signature());
            if signature.is_ok() {
                return Verification {
                    checks: alloc::vec![Check::new(
                        Subject::PlatformSignature,
                        Verdict::Affirmed,
                        Reason::SignatureValid,
                    )],
                    anchor: Some(ready.anchor.clone()),
                };
            }
            reason = Reason::SignatureInvalid;
        }
        Verification {
            checks: alloc::vec![Check::new(
                Subject::PlatformSignature,
                Verdict::Failed,
                reason
            )],
            anchor: None,
        }
    }

    fn realm_signature(&self, token: &RealmToken) -> Check {
        let key = token.claims().public_key.key();
        let failed = |reason| Check::new(Subject::RealmSignature, Verdict::Failed, reason);
        if token.algorithm() != key.algorithm() {
            return failed(Reason::AlgorithmMismatch {
                algorithm: token.algorithm(),
                curve: key.curve(),
            });
        }
        let ready = match self.crypto.verifying_key(key) {
            Ok(ready) => ready,
            Err(error) => return failed(Reason::Key(error)),
        };
        match self
            .crypto
            .verify(&ready, token.to_be_signed(), token.signature())
        {
            Ok(()) => Check::new(
                Subject::RealmSignature,
                Verdict::Affirmed,
                Reason::SignatureValid,
            ),
            Err(_) => failed(Reason::SignatureInvalid),
        }
    }
}

/// Compares bytes of which the token has one and somebody else the other.
fn compare(subject: Subject, expected: &HashValue, found: &HashValue) -> Check {
    if expected == found {
        return Check::new(subject, Verdict::Affirmed, Reason::Matches);
    }
    let reason = Reason::Differs {
        expected: alloc::vec![alloc::format!("{expected}")],
        found: alloc::format!("{found}"),
    };
    Check::new(subject, Verdict::Failed, reason)
}
