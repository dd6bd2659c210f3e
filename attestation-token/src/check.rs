//! What was checked of a token, and what came out.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use crate::algorithm::{Algorithm, Curve};
use crate::claims::Lifecycle;
use crate::key::KeyError;

/// Something that is checked.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[non_exhaustive]
pub enum Subject {
    /// The platform token is signed by a machine whose key is trusted.
    PlatformSignature,
    /// The realm token is signed by the key in it.
    RealmSignature,
    /// The platform token vouches for the realm token's key.
    Binding,
    /// The realm token was made for this challenge.
    Challenge,
    /// The machine is in a state in which nobody can look into a Realm.
    Lifecycle,
    /// The machine is of a kind that reference values are for.
    ImplementationId,
    /// The machine's firmware, one component each: its type, or its position.
    SoftwareComponent(String),
    /// Configuration of the machine.
    PlatformConfig,
    /// Record of the machine's production.
    ManufacturingConfig,
    /// What the Realm was launched with (RIM).
    InitialMeasurement,
    /// What the Realm measured while it ran (REM 0 to 3).
    ExtensibleMeasurement(u8),
    /// What the host passed at launch (RPV).
    PersonalizationValue,
    /// A rule in the owner's policy: its name there.
    Policy(String),
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PlatformSignature => f.write_str("platform.signature"),
            Self::RealmSignature => f.write_str("realm.signature"),
            Self::Binding => f.write_str("binding"),
            Self::Challenge => f.write_str("challenge"),
            Self::Lifecycle => f.write_str("platform.lifecycle"),
            Self::ImplementationId => f.write_str("platform.implementation-id"),
            Self::SoftwareComponent(name) => write!(f, "platform.software-component.{name}"),
            Self::PlatformConfig => f.write_str("platform.config"),
            Self::ManufacturingConfig => f.write_str("platform.manufacturing-config"),
            Self::InitialMeasurement => f.write_str("realm.initial-measurement"),
            Self::ExtensibleMeasurement(index) => {
                write!(f, "realm.extensible-measurement.{index}")
            }
            Self::PersonalizationValue => f.write_str("realm.personalization-value"),
            Self::Policy(rule) => write!(f, "policy.{rule}"),
        }
    }
}

/// What came out of a check.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Verdict {
    /// As it should be.
    Affirmed,
    /// The owner allows it, though it is not as it should be.
    Warning,
    /// Nothing to compare with: neither good nor bad.
    NotCompared,
    /// Not looked at, because something before it failed or was not given.
    NotChecked,
    /// Not as it should be.
    Failed,
}

impl Verdict {
    /// The word for outputs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Affirmed => "affirmed",
            Self::Warning => "warning",
            Self::NotCompared => "not-compared",
            Self::NotChecked => "not-checked",
            Self::Failed => "failed",
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Why a check came out as it did.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Reason {
    /// The signature is one of the key over the token.
    SignatureValid,
    /// The signature is not one of the key over the token.
    SignatureInvalid,
    /// Nobody vouches for the machine.
    NoTrustAnchor,
    /// The token names another algorithm than its key's.
    AlgorithmMismatch {
        /// What the token names.
        algorithm: Algorithm,
        /// What the key is on.
        curve: Curve,
    },
    /// The key cannot be used.
    Key(KeyError),
    /// Equal to what it is compared with.
    Matches,
    /// Not equal to what it is compared with.
    Differs {
        /// What was expected: one of these.
        expected: Vec<String>,
        /// What the token has.
        found: String,
    },
    /// There is no reference value for it.
    NoReferenceValue,
    /// A reference value is for something that the token does not have.
    Absent,
    /// A signature failed or the parts do not belong together, so nothing was looked at.
    NotTrusted,
    /// No challenge was given, so nobody knows how old the token is.
    NoChallenge,
    /// The state of the machine's life.
    Lifecycle(Lifecycle),
    /// What the owner's policy says.
    Policy(String),
}

impl Reason {
    /// A word for programs.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::SignatureValid => "signature-valid",
            Self::SignatureInvalid => "signature-invalid",
            Self::NoTrustAnchor => "no-trust-anchor",
            Self::AlgorithmMismatch { .. } => "algorithm-mismatch",
            Self::Key(_) => "key",
            Self::Matches => "matches",
            Self::Differs { .. } => "differs",
            Self::NoReferenceValue => "no-reference-value",
            Self::Absent => "absent",
            Self::NotTrusted => "not-trusted",
            Self::NoChallenge => "no-challenge",
            Self::Lifecycle(_) => "lifecycle",
            Self::Policy(_) => "policy",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SignatureValid => f.write_str("signature is valid"),
            Self::SignatureInvalid => f.write_str("signature is not valid"),
            Self::NoTrustAnchor => f.write_str("no trust anchor for this machine"),
            Self::AlgorithmMismatch { algorithm, curve } => {
                write!(f, "the token says {algorithm}, its key is on {curve}")
            }
            Self::Key(error) => write!(f, "the key is {error}"),
            Self::Matches => f.write_str("as expected"),
            Self::Differs { expected, found } => {
                write!(f, "differs: found {found}, expected ")?;
                for (index, expected) in expected.iter().enumerate() {
                    let separator = if index == 0 { "" } else { " or " };
                    write!(f, "{separator}{expected}")?;
                }
                Ok(())
            }
            Self::NoReferenceValue => f.write_str("no reference value"),
            Self::Absent => f.write_str("has a reference value, but is not in the token"),
            Self::NotTrusted => f.write_str("not looked at: the token is not trusted"),
            Self::NoChallenge => f.write_str("no challenge given: the token may be an old one"),
            Self::Lifecycle(lifecycle) => lifecycle.fmt(f),
            Self::Policy(text) => f.write_str(text),
        }
    }
}

/// One check: what, with which outcome, and why.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Check {
    /// What was checked.
    pub subject: Subject,
    /// What came out.
    pub verdict: Verdict,
    /// Why.
    pub reason: Reason,
}

impl Check {
    pub(crate) const fn new(subject: Subject, verdict: Verdict, reason: Reason) -> Self {
        Self {
            subject,
            verdict,
            reason,
        }
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.verdict, self.subject, self.reason)
    }
}
