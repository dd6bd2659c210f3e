//! Trustworthiness vectors (draft-ietf-rats-ar4si): what an appraisal means in the words that
//! relying parties share.

use crate::appraise::Appraisal;
use crate::check::{Reason, Subject, Verdict};

/// Values of trustworthiness claims that this verifier makes.
mod value {
    /// For all claims: no statement.
    pub(super) const NONE: i8 = 0;
    /// For all claims: affirmed. The exact meaning is each claim's.
    pub(super) const AFFIRMED: i8 = 2;
    /// Executables: all that was there at boot is approved.
    pub(super) const APPROVED_BOOT: i8 = 3;
    /// For several claims: genuine, but in a way that is not safe.
    pub(super) const UNSAFE: i8 = 32;
    /// Executables: something is not recognised.
    pub(super) const UNRECOGNIZED_RUNTIME: i8 = 33;
    /// For all claims: not as it has to be.
    pub(super) const CONTRAINDICATED: i8 = 96;
    /// Instance identity and hardware: not recognised, and it should be.
    pub(super) const UNRECOGNIZED: i8 = 97;
    /// For all claims: cryptography says no.
    pub(super) const CRYPTO_FAILED: i8 = 99;
}

/// Tiers of trustworthiness claims, from no statement to the worst.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Tier {
    /// No statement.
    None,
    /// Good.
    Affirming,
    /// With care.
    Warning,
    /// Bad.
    Contraindicated,
}

impl Tier {
    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Affirming => "affirming",
            Self::Warning => "warning",
            Self::Contraindicated => "contraindicated",
        }
    }

    /// The tier of a claim's value.
    pub const fn of(value: i8) -> Self {
        match value {
            -1..=1 => Self::None,
            2..=31 | -32..=-2 => Self::Affirming,
            32..=95 | -96..=-33 => Self::Warning,
            _ => Self::Contraindicated,
        }
    }
}

/// A trustworthiness vector.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Vector {
    /// Whether it is known who attests.
    pub instance_identity: i8,
    /// Whether it is configured as it should be.
    pub configuration: i8,
    /// Whether it runs what it should.
    pub executables: i8,
    /// Whether its files are as they should be. Never stated: tokens do not say.
    pub file_system: i8,
    /// Whether the hardware is genuine and can be trusted.
    pub hardware: i8,
    /// Whether its memory is closed to others.
    pub runtime_opaque: i8,
    /// Whether its storage is closed to others. Never stated: tokens do not say.
    pub storage_opaque: i8,
    /// Whether its data come from where they should. Never stated: tokens do not say.
    pub sourced_data: i8,
}

impl Vector {
    const fn all(value: i8) -> Self {
        Self {
            instance_identity: value,
            configuration: value,
            executables: value,
            file_system: value,
            hardware: value,
            runtime_opaque: value,
            storage_opaque: value,
            sourced_data: value,
        }
    }

    /// Claims by the names that attestation results have.
    pub const fn claims(&self) -> [(&'static str, i8); 8] {
        [
            ("instance-identity", self.instance_identity),
            ("configuration", self.configuration),
            ("executables", self.executables),
            ("file-system", self.file_system),
            ("hardware", self.hardware),
            ("runtime-opaque", self.runtime_opaque),
            ("storage-opaque", self.storage_opaque),
            ("sourced-data", self.sourced_data),
        ]
    }

    /// The worst tier in it.
    pub fn tier(&self) -> Tier {
        self.claims()
            .into_iter()
            .map(|(_, value)| Tier::of(value))
            .max()
            .unwrap_or(Tier::None)
    }
}

/// The vectors of machine and Realm.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Vectors {
    /// Of the machine.
    pub platform: Vector,
    /// Of the Realm.
    pub realm: Vector,
}

impl Vectors {
    /// What an appraisal means. Once anything cryptographic failed, nothing is affirmed of either
    /// part.
    pub fn from_appraisal(appraisal: &Appraisal) -> Self {
        if !appraisal.is_trusted() {
            let mut all = Vector::all(value::CRYPTO_FAILED);
            if is_unknown_machine(appraisal) {
                all.instance_identity = value::UNRECOGNIZED;
            }
            return Self {
                platform: all,
                realm: all,
            };
        }
        Self {
            platform: platform(appraisal),
            realm: realm(appraisal),
        }
    }
}

fn is_unknown_machine(appraisal: &Appraisal) -> bool {
    appraisal.checks().iter().any(|check| {
        check.subject == Subject::PlatformSignature && check.reason == Reason::NoTrustAnchor
    })
}

fn platform(appraisal: &Appraisal) -> Vector {
    let verdict = |subject| appraisal.verdict(&subject).unwrap_or(Verdict::NotCompared);
    let lifecycle = verdict(Subject::Lifecycle);
    let by_lifecycle = match lifecycle {
        Verdict::Affirmed => value::AFFIRMED,
        Verdict::Warning => value::UNSAFE,
        _ => value::CONTRAINDICATED,
    };
    let configuration =
        match verdict(Subject::PlatformConfig).max(verdict(Subject::ManufacturingConfig)) {
            Verdict::Failed => value::CONTRAINDICATED,
            _ if lifecycle != Verdict::Affirmed => by_lifecycle,
            _ if verdict(Subject::PlatformConfig) == Verdict::Affirmed => value::AFFIRMED,
            _ => value::NONE,
        };
    let hardware = match verdict(Subject::ImplementationId) {
        Verdict::Failed => value::UNRECOGNIZED,
        _ => by_lifecycle,
    };
    Vector {
        instance_identity: value::AFFIRMED,
        configuration,
        executables: components(appraisal),
        hardware,
        // In a debug state somebody may look into memory. Otherwise the token does not say how
        // memory is protected, but in the implementation's own format.
        runtime_opaque: match lifecycle {
            Verdict::Affirmed => value::NONE,
            _ => value::CONTRAINDICATED,
        },
        ..Vector::default()
    }
}

fn components(appraisal: &Appraisal) -> i8 {
    let verdicts = || {
        appraisal
            .checks()
            .iter()
            .filter(|check| matches!(check.subject, Subject::SoftwareComponent(_)))
            .map(|check| check.verdict)
    };
    if verdicts().any(|verdict| verdict == Verdict::Failed) {
        value::CONTRAINDICATED
    } else if verdicts().all(|verdict| verdict == Verdict::Affirmed) {
        value::APPROVED_BOOT
    } else if verdicts().any(|verdict| verdict == Verdict::Affirmed) {
        value::UNRECOGNIZED_RUNTIME
    } else {
        value::NONE
    }
}

fn realm(appraisal: &Appraisal) -> Vector {
    let verdict = |subject| appraisal.verdict(&subject).unwrap_or(Verdict::NotCompared);
    let rems = [0, 1, 2, 3].map(|index| verdict(Subject::ExtensibleMeasurement(index)));
    let executables = match verdict(Subject::InitialMeasurement) {
        Verdict::Failed => value::CONTRAINDICATED,
        _ if rems.contains(&Verdict::Failed) => value::CONTRAINDICATED,
        Verdict::Affirmed if rems.iter().all(|rem| *rem == Verdict::Affirmed) => value::AFFIRMED,
        Verdict::Affirmed => value::APPROVED_BOOT,
        _ => value::NONE,
    };
    let configuration = match verdict(Subject::PersonalizationValue) {
        Verdict::Affirmed => value::AFFIRMED,
        Verdict::Failed => value::CONTRAINDICATED,
        _ => value::NONE,
    };
    Vector {
        instance_identity: value::AFFIRMED,
        configuration,
        executables,
        ..Vector::default()
    }
}
