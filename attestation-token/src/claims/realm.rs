//! Claims of the realm token.

use alloc::vec::Vec;

use ciborium::Value;

use super::platform::unknown_profile;
use super::{Claim, ClaimMap, HashValue, InstanceId, bytes, map, text};
use crate::algorithm::HashAlgorithm;
use crate::error::{ClaimProblem, DecodeError, Part};
use crate::key::{KeyError, PublicKey};

pub(crate) const PROFILE: Claim = Claim::new(265, "cca-realm-profile");
pub(crate) const CHALLENGE: Claim = Claim::new(10, "cca-realm-challenge");
const INSTANCE_ID: Claim = Claim::new(256, "cca-realm-instance-id");
const PERSONALIZATION_VALUE: Claim = Claim::new(44235, "cca-realm-personalization-value");
const HASH_ALGORITHM: Claim = Claim::new(44236, "cca-realm-hash-algo-id");
pub(crate) const PUBLIC_KEY: Claim = Claim::new(44237, "cca-realm-public-key");
const INITIAL_MEASUREMENT: Claim = Claim::new(44238, "cca-realm-initial-measurement");
const EXTENSIBLE_MEASUREMENTS: Claim = Claim::new(44239, "cca-realm-extensible-measurements");
const KEY_HASH_ALGORITHM: Claim = Claim::new(44240, "cca-realm-public-key-hash-algo-id");
const MEC_POLICY: Claim = Claim::new(44243, "cca-realm-mec-policy");
const LFA_POLICY: Claim = Claim::new(44244, "cca-realm-lfa-policy");
const DEVICES_TOKEN_HASH: Claim = Claim::new(44257, "cca-realm-devices-token-hash");

/// Extensible measurements of a Realm.
const EXTENSIBLE_MEASUREMENT_COUNT: usize = 4;

/// Generations of the realm token.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum RealmProfile {
    /// No profile claim: before RMM 1.0, or one that leaves the optional claim out.
    None,
    /// `tag:arm.com,2023:realm#1.0.0`.
    V2023,
    /// `tag:arm.com,2024:realm#2.0.0`.
    V2024,
}

impl RealmProfile {
    /// The value of the profile claim.
    pub const fn name(self) -> Option<&'static str> {
        match self {
            Self::None => None,
            Self::V2023 => Some("tag:arm.com,2023:realm#1.0.0"),
            Self::V2024 => Some("tag:arm.com,2024:realm#2.0.0"),
        }
    }

    /// The profile with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::V2023, Self::V2024]
            .into_iter()
            .find(|profile| profile.name() == Some(name))
    }
}

/// Whether Realms share a memory encryption context.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum MecPolicy {
    /// With other Realms.
    Shared,
    /// One of its own.
    Private,
}

/// Whether firmware under a Realm may be replaced while it runs.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum LfaPolicy {
    /// It may not.
    Disallow,
    /// It may.
    Allow,
}

/// The key of a realm token, with the bytes that the platform token's challenge is the hash of.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RealmKey {
    key: PublicKey,
    encoded: Vec<u8>,
}

impl RealmKey {
    /// The key as a `COSE_Key`, as every token since RMM 1.0 has it.
    pub fn new(key: PublicKey) -> Self {
        let encoded = key.to_cose_key();
        Self { key, encoded }
    }

    /// The key as a bare point, as tokens before RMM 1.0 had it.
    pub fn new_legacy(key: PublicKey) -> Self {
        let encoded = key.sec1().to_vec();
        Self { key, encoded }
    }

    /// The key as it stands in the claim.
    ///
    /// # Errors
    ///
    /// If it is neither a `COSE_Key` nor, where `bare_point` allows it, a point.
    pub fn decode(encoded: Vec<u8>, bare_point: bool) -> Result<Self, KeyError> {
        let key = match PublicKey::from_sec1(&encoded) {
            Ok(key) if bare_point => key,
            _ => PublicKey::from_cose_key(&encoded)?,
        };
        Ok(Self { key, encoded })
    }

    /// The key.
    pub const fn key(&self) -> &PublicKey {
        &self.key
    }

    /// The bytes of the claim.
    pub fn encoded(&self) -> &[u8] {
        &self.encoded
    }
}

/// What the realm token says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RealmClaims {
    /// The generation.
    pub profile: RealmProfile,
    /// What the Realm was asked to put in: shows that the token is fresh.
    pub challenge: [u8; 64],
    /// This Realm, newly chosen at each launch (2024).
    pub instance_id: Option<InstanceId>,
    /// What the host passed at launch, not measured.
    pub personalization_value: [u8; 64],
    /// What the measurements are made with.
    pub hash_algorithm: HashAlgorithm,
    /// The key that signs this token.
    pub public_key: RealmKey,
    /// How the platform token's challenge was made from the key.
    pub public_key_hash_algorithm: HashAlgorithm,
    /// Measurement of what the Realm was launched with (RIM).
    pub initial_measurement: HashValue,
    /// Measurements that the Realm extends while it runs (REM 0 to 3).
    pub extensible_measurements: [HashValue; EXTENSIBLE_MEASUREMENT_COUNT],
    /// Whether it has a memory encryption context of its own.
    pub mec_policy: Option<MecPolicy>,
    /// Whether firmware may be replaced under it (2024).
    pub lfa_policy: Option<LfaPolicy>,
    /// Hash of the tokens of its devices (2024).
    pub devices_token_hash: Option<HashValue>,
}

impl RealmClaims {
    /// Takes claims from the payload of a realm token.
    pub(crate) fn decode(payload: &[u8]) -> Result<Self, DecodeError> {
        let mut map = ClaimMap::from_payload(Part::Realm, payload)?;
        let profile = match map.text(PROFILE)? {
            None => RealmProfile::None,
            Some(name) => {
                RealmProfile::from_name(&name).ok_or_else(|| unknown_profile(map.part(), name))?
            }
        };
        let challenge = map.exact(CHALLENGE, "64 bytes")?;
        let challenge = map.required(CHALLENGE, challenge)?;
        let personalization_value = map.exact(PERSONALIZATION_VALUE, "64 bytes")?;
        let personalization_value = map.required(PERSONALIZATION_VALUE, personalization_value)?;
        let hash_algorithm = hash_algorithm(&mut map, HASH_ALGORITHM)?;
        let public_key = map.bytes(PUBLIC_KEY)?;
        let public_key = map.required(PUBLIC_KEY, public_key)?;
        let public_key = RealmKey::decode(public_key, profile == RealmProfile::None)
            .map_err(|error| map.error(PUBLIC_KEY, ClaimProblem::Key(error)))?;
        let public_key_hash_algorithm = self::hash_algorithm(&mut map, KEY_HASH_ALGORITHM)?;
        let initial_measurement = map.hash(INITIAL_MEASUREMENT)?;
        let initial_measurement = map.required(INITIAL_MEASUREMENT, initial_measurement)?;
        let extensible_measurements = extensible_measurements(&mut map)?;
        // An RMM between the two generations already put this into tokens of the older.
        let mec_policy = if profile == RealmProfile::None {
            None
        } else {
            two_values(&mut map, MEC_POLICY, MecPolicy::Shared, MecPolicy::Private)?
        };

        let mut claims = Self {
            profile,
            challenge,
            instance_id: None,
            personalization_value,
            hash_algorithm,
            public_key,
            public_key_hash_algorithm,
            initial_measurement,
            extensible_measurements,
            mec_policy,
            lfa_policy: None,
            devices_token_hash: None,
        };
        if profile == RealmProfile::V2024 {
            let instance_id = map.instance_id(INSTANCE_ID)?;
            claims.instance_id = Some(map.required(INSTANCE_ID, instance_id)?);
            map.required(MEC_POLICY, claims.mec_policy)?;
            claims.lfa_policy =
                two_values(&mut map, LFA_POLICY, LfaPolicy::Disallow, LfaPolicy::Allow)?;
            claims.devices_token_hash = map.hash(DEVICES_TOKEN_HASH)?;
        }
        map.finish()?;
        Ok(claims)
    }

    /// The payload of a realm token with these claims. What a profile does not have is left out;
    /// [`crate::build`] refuses claims that lack what a profile demands.
    pub fn encode(&self) -> Vec<u8> {
        let rems = self.extensible_measurements.iter();
        let mut entries = alloc::vec![
            (CHALLENGE, bytes(&self.challenge)),
            (PERSONALIZATION_VALUE, bytes(&self.personalization_value)),
            (PUBLIC_KEY, bytes(self.public_key.encoded())),
            (HASH_ALGORITHM, text(self.hash_algorithm.name())),
            (
                KEY_HASH_ALGORITHM,
                text(self.public_key_hash_algorithm.name())
            ),
        ];
        if let Some(profile) = self.profile.name() {
            entries.push((PROFILE, text(profile)));
        }
        entries.push((
            INITIAL_MEASUREMENT,
            bytes(self.initial_measurement.as_bytes()),
        ));
        entries.push((
            EXTENSIBLE_MEASUREMENTS,
            Value::Array(rems.map(|rem| bytes(rem.as_bytes())).collect()),
        ));
        if let Some(policy) = self.mec_policy
            && self.profile != RealmProfile::None
        {
            entries.push((
                MEC_POLICY,
                Value::from(u8::from(policy == MecPolicy::Private)),
            ));
        }
        if self.profile == RealmProfile::V2024 {
            if let Some(id) = &self.instance_id {
                entries.push((INSTANCE_ID, bytes(id.as_bytes())));
            }
            if let Some(policy) = self.lfa_policy {
                entries.push((
                    LFA_POLICY,
                    Value::from(u8::from(policy == LfaPolicy::Allow)),
                ));
            }
            if let Some(hash) = &self.devices_token_hash {
                entries.push((DEVICES_TOKEN_HASH, bytes(hash.as_bytes())));
            }
        }
        super::encode(entries)
    }
}

fn hash_algorithm(map: &mut ClaimMap, claim: Claim) -> Result<HashAlgorithm, DecodeError> {
    let name = map.text(claim)?;
    let name = map.required(claim, name)?;
    HashAlgorithm::from_name(&name)
        .ok_or_else(|| map.error(claim, ClaimProblem::Value("sha-256, sha-384 or sha-512")))
}

fn extensible_measurements(
    map: &mut ClaimMap,
) -> Result<[HashValue; EXTENSIBLE_MEASUREMENT_COUNT], DecodeError> {
    let values = map.array(EXTENSIBLE_MEASUREMENTS)?;
    let values = map.required(EXTENSIBLE_MEASUREMENTS, values)?;
    let found = values.len();
    let hashes = values
        .into_iter()
        .map(map::hash)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|problem| map.error(EXTENSIBLE_MEASUREMENTS, problem))?;
    <[HashValue; EXTENSIBLE_MEASUREMENT_COUNT]>::try_from(hashes).map_err(|_| {
        let expected = "4 entries";
        map.error(
            EXTENSIBLE_MEASUREMENTS,
            ClaimProblem::Length { expected, found },
        )
    })
}

/// A claim that is 0 or 1.
fn two_values<T>(
    map: &mut ClaimMap,
    claim: Claim,
    zero: T,
    one: T,
) -> Result<Option<T>, DecodeError> {
    match map.unsigned(claim)? {
        None => Ok(None),
        Some(0) => Ok(Some(zero)),
        Some(1) => Ok(Some(one)),
        Some(_) => Err(map.error(claim, ClaimProblem::Value("0 or 1"))),
    }
}
