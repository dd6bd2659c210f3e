//! Claims of the platform token.

use alloc::string::String;
use alloc::vec::Vec;

use ciborium::Value;

use super::{Claim, ClaimMap, HashValue, InstanceId, Lifecycle, bytes, map, text};
use crate::error::{ClaimProblem, DecodeError, Part, Problem};

mod component;
mod extension;

pub use component::SoftwareComponent;
pub use extension::{ExtensionDevice, RotPublicKeyHash};

pub(crate) const PROFILE: Claim = Claim::new(265, "cca-platform-profile");
pub(crate) const CHALLENGE: Claim = Claim::new(10, "cca-platform-challenge");
const IMPLEMENTATION_ID: Claim = Claim::new(2396, "cca-platform-implementation-id");
const INSTANCE_ID: Claim = Claim::new(256, "cca-platform-instance-id");
const CONFIG: Claim = Claim::new(2401, "cca-platform-config");
const LIFECYCLE: Claim = Claim::new(2395, "cca-platform-lifecycle");
pub(crate) const SOFTWARE_COMPONENTS: Claim = Claim::new(2399, "cca-platform-sw-components");
const VERIFICATION_SERVICE: Claim = Claim::new(2400, "cca-platform-verification-service");
const HASH_ALGORITHM: Claim = Claim::new(2402, "cca-platform-hash-algo-id");
const CLIENT_ID: Claim = Claim::new(2394, "cca-platform-client-id");
const MANUFACTURING_CONFIG: Claim = Claim::new(2403, "cca-platform-manufacturing-config");
const EXTENSION: Claim = Claim::new(2404, "cca-platform-extension");
const ROT_PUBLIC_KEYS: Claim = Claim::new(2405, "cca-platform-tbb-rotpk");
const PEER_SIGNERS: Claim = Claim::new(2406, "cca-platform-peer-signers");

/// The security domain that asks for tokens (the only client there is): the Realm management one.
const CLIENT_RMSD: u64 = 1;

/// Generations of the platform token.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum PlatformProfile {
    /// `http://arm.com/CCA-SSD/1.0.0`.
    Legacy,
    /// `tag:arm.com,2023:cca_platform#1.0.0`.
    V2023,
    /// `tag:arm.com,2024:cca_platform#2.0.0`.
    V2024,
}

impl PlatformProfile {
    /// The value of the profile claim.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Legacy => "http://arm.com/CCA-SSD/1.0.0",
            Self::V2023 => "tag:arm.com,2023:cca_platform#1.0.0",
            Self::V2024 => "tag:arm.com,2024:cca_platform#2.0.0",
        }
    }

    /// The profile with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Legacy, Self::V2023, Self::V2024]
            .into_iter()
            .find(|profile| profile.name() == name)
    }
}

/// What the platform token says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PlatformClaims {
    /// The generation.
    pub profile: PlatformProfile,
    /// Hash of the realm token's key: what binds the two tokens.
    pub challenge: HashValue,
    /// The kind of machine: which implementation of CCA.
    pub implementation_id: [u8; 32],
    /// This machine: which attestation key.
    pub instance_id: InstanceId,
    /// How the implementation is configured, in its own format.
    pub config: Vec<u8>,
    /// The state of its life.
    pub lifecycle: Lifecycle,
    /// Firmware that can affect what the machine does.
    pub software_components: Vec<SoftwareComponent>,
    /// Where somebody verifies such tokens. A hint.
    pub verification_service: Option<String>,
    /// Hash algorithm of components that do not name their own.
    pub hash_algorithm: String,
    /// Record of production and test, in the implementation's own format (2024).
    pub manufacturing_config: Option<Vec<u8>>,
    /// Devices that became part of the platform (2024).
    pub extension: Vec<ExtensionDevice>,
    /// Hashes of the keys that boot firmware is signed with (2024).
    pub rot_public_keys: Vec<RotPublicKeyHash>,
    /// Hash over the signers of other chips (2024).
    pub peer_signers: Option<Vec<u8>>,
}

impl PlatformClaims {
    /// Takes claims from the payload of a platform token.
    pub(crate) fn decode(payload: &[u8]) -> Result<Self, DecodeError> {
        let mut map = ClaimMap::from_payload(Part::Platform, payload)?;
        let profile = decode_profile(&mut map)?;
        let later = profile == PlatformProfile::V2024;

        let challenge = map.hash(CHALLENGE)?;
        let challenge = map.required(CHALLENGE, challenge)?;
        let implementation_id = map.exact(IMPLEMENTATION_ID, "32 bytes")?;
        let implementation_id = map.required(IMPLEMENTATION_ID, implementation_id)?;
        let instance_id = map.instance_id(INSTANCE_ID)?;
        let instance_id = map.required(INSTANCE_ID, instance_id)?;
        let config = map.bytes(CONFIG)?;
        let config = map.required(CONFIG, config)?;
        let lifecycle = decode_lifecycle(&mut map)?;
        let components = map.array(SOFTWARE_COMPONENTS)?;
        let components = map.required(SOFTWARE_COMPONENTS, components)?;
        let software_components = decode_components(&map, later, components)?;
        let verification_service = map.text(VERIFICATION_SERVICE)?;
        let hash_algorithm = map.text(HASH_ALGORITHM)?;
        let hash_algorithm = map.required(HASH_ALGORITHM, hash_algorithm)?;

        let mut claims = Self {
            profile,
            challenge,
            implementation_id,
            instance_id,
            config,
            lifecycle,
            software_components,
            verification_service,
            hash_algorithm,
            manufacturing_config: None,
            extension: Vec::new(),
            rot_public_keys: Vec::new(),
            peer_signers: None,
        };
        if later {
            claims.decode_later(&mut map)?;
        }
        map.finish()?;
        Ok(claims)
    }

    /// What only the 2024 profile has.
    fn decode_later(&mut self, map: &mut ClaimMap) -> Result<(), DecodeError> {
        let client = map.unsigned(CLIENT_ID)?;
        if map.required(CLIENT_ID, client)? != CLIENT_RMSD {
            return Err(map.error(CLIENT_ID, ClaimProblem::Value("1 (RMSD)")));
        }
        self.manufacturing_config = map.bytes(MANUFACTURING_CONFIG)?;
        if let Some(devices) = map.array(EXTENSION)? {
            self.extension = decode_list(map, EXTENSION, devices, ExtensionDevice::decode)?;
        }
        if let Some(keys) = map.array(ROT_PUBLIC_KEYS)? {
            self.rot_public_keys =
                decode_list(map, ROT_PUBLIC_KEYS, keys, RotPublicKeyHash::decode)?;
        }
        self.peer_signers = map.bytes(PEER_SIGNERS)?;
        Ok(())
    }

    /// The payload of a platform token with these claims. What a profile does not have is left
    /// out.
    pub fn encode(&self) -> Vec<u8> {
        let components = self
            .software_components
            .iter()
            .map(|component| component.encode(self.profile))
            .collect();
        let mut entries = alloc::vec![
            (PROFILE, text(self.profile.name())),
            (CHALLENGE, bytes(self.challenge.as_bytes())),
            (IMPLEMENTATION_ID, bytes(&self.implementation_id)),
            (INSTANCE_ID, bytes(self.instance_id.as_bytes())),
            (CONFIG, bytes(&self.config)),
            (LIFECYCLE, Value::from(self.lifecycle.0)),
            (HASH_ALGORITHM, text(&self.hash_algorithm)),
        ];
        if let Some(service) = &self.verification_service {
            entries.push((VERIFICATION_SERVICE, text(service)));
        }
        entries.push((SOFTWARE_COMPONENTS, Value::Array(components)));
        if self.profile == PlatformProfile::V2024 {
            self.encode_later(&mut entries);
        }
        super::encode(entries)
    }

    fn encode_later(&self, entries: &mut Vec<(Claim, Value)>) {
        entries.push((CLIENT_ID, Value::from(CLIENT_RMSD)));
        if let Some(config) = &self.manufacturing_config {
            entries.push((MANUFACTURING_CONFIG, bytes(config)));
        }
        if !self.extension.is_empty() {
            let devices = self.extension.iter().map(ExtensionDevice::encode);
            entries.push((EXTENSION, Value::Array(devices.collect())));
        }
        if !self.rot_public_keys.is_empty() {
            let keys = self.rot_public_keys.iter().map(RotPublicKeyHash::encode);
            entries.push((ROT_PUBLIC_KEYS, Value::Array(keys.collect())));
        }
        if let Some(signers) = &self.peer_signers {
            entries.push((PEER_SIGNERS, bytes(signers)));
        }
    }
}

fn decode_profile(map: &mut ClaimMap) -> Result<PlatformProfile, DecodeError> {
    let name = map.text(PROFILE)?;
    let name = map.required(PROFILE, name)?;
    PlatformProfile::from_name(&name).ok_or_else(|| unknown_profile(map.part(), name))
}

/// The error for a profile that is not one of those that can be verified.
pub(crate) fn unknown_profile(part: Part, name: String) -> DecodeError {
    let problem = if name.starts_with("tag:arm.com,2026:") {
        Problem::ProfileDraft(name)
    } else {
        Problem::ProfileUnknown(name)
    };
    DecodeError { part, problem }
}

fn decode_lifecycle(map: &mut ClaimMap) -> Result<Lifecycle, DecodeError> {
    let lifecycle = map.unsigned(LIFECYCLE)?;
    let lifecycle = map.required(LIFECYCLE, lifecycle)?;
    u16::try_from(lifecycle)
        .map(Lifecycle)
        .ok()
        .filter(|lifecycle| lifecycle.state().is_some())
        .ok_or_else(|| {
            let expected = "one of the states (0x0000, 0x1000, … 0x6000, and 255 above each)";
            map.error(LIFECYCLE, ClaimProblem::Value(expected))
        })
}

fn decode_components(
    map: &ClaimMap,
    later: bool,
    components: Vec<Value>,
) -> Result<Vec<SoftwareComponent>, DecodeError> {
    if components.is_empty() {
        let problem = ClaimProblem::Length {
            expected: "one entry or more",
            found: 0,
        };
        return Err(map.error(SOFTWARE_COMPONENTS, problem));
    }
    decode_list(map, SOFTWARE_COMPONENTS, components, |entry| {
        SoftwareComponent::decode(entry, later)
    })
}

/// The maps in the array of a claim.
fn decode_list<T>(
    map: &ClaimMap,
    claim: Claim,
    values: Vec<Value>,
    decode: impl Fn(ClaimMap) -> Result<T, DecodeError>,
) -> Result<Vec<T>, DecodeError> {
    values
        .into_iter()
        .enumerate()
        .map(|(index, value)| decode(map.entry(claim, index, value)?))
        .collect()
}

/// The hash values in the array of a claim.
fn decode_hashes(
    map: &ClaimMap,
    claim: Claim,
    values: Vec<Value>,
) -> Result<Vec<HashValue>, DecodeError> {
    values
        .into_iter()
        .map(|value| map::hash(value).map_err(|problem| map.error(claim, problem)))
        .collect()
}
