//! Firmware that a platform token lists.

use alloc::string::String;
use alloc::vec::Vec;

use ciborium::Value;

use super::{PlatformProfile, bytes, decode_hashes, text};
use crate::claims::{Claim, ClaimMap, HashValue};
use crate::error::DecodeError;

const TYPE: Claim = Claim::new(1, "component type");
const MEASUREMENT: Claim = Claim::new(2, "measurement value");
const VERSION: Claim = Claim::new(4, "version");
const SIGNER_ID: Claim = Claim::new(5, "signer id");
const HASH_ALGORITHM: Claim = Claim::new(6, "hash algorithm identifier");
const LIVE_ACTIVATION: Claim = Claim::new(7, "live firmware activation");
const COUNTERSIGNERS: Claim = Claim::new(8, "countersigner ids");

/// Firmware, or a configuration of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SoftwareComponent {
    /// Its role, like `RMM`.
    pub component_type: Option<String>,
    /// Hash of it when it was started.
    pub measurement: HashValue,
    /// Its version, in its vendor's format.
    pub version: Option<String>,
    /// Hash of the key that it is signed with.
    pub signer_id: HashValue,
    /// What the measurement was made with, if not with the platform's hash algorithm.
    pub hash_algorithm: Option<String>,
    /// Whether it can be replaced while the machine runs (2024).
    pub live_activation: Option<bool>,
    /// Hashes of keys that it is signed with besides (2024).
    pub countersigners: Vec<HashValue>,
}

impl SoftwareComponent {
    pub(super) fn decode(mut map: ClaimMap, later: bool) -> Result<Self, DecodeError> {
        let component_type = map.text(TYPE)?;
        let measurement = map.hash(MEASUREMENT)?;
        let measurement = map.required(MEASUREMENT, measurement)?;
        let version = map.text(VERSION)?;
        let signer_id = map.hash(SIGNER_ID)?;
        let signer_id = map.required(SIGNER_ID, signer_id)?;
        let hash_algorithm = map.text(HASH_ALGORITHM)?;
        let mut live_activation = None;
        let mut countersigners = Vec::new();
        if later {
            live_activation = map.boolean(LIVE_ACTIVATION)?;
            if let Some(values) = map.array(COUNTERSIGNERS)? {
                countersigners = decode_hashes(&map, COUNTERSIGNERS, values)?;
            }
        }
        map.finish()?;
        Ok(Self {
            component_type,
            measurement,
            version,
            signer_id,
            hash_algorithm,
            live_activation,
            countersigners,
        })
    }

    pub(super) fn encode(&self, profile: PlatformProfile) -> Value {
        let mut entries = Vec::new();
        let mut push = |claim: Claim, value| entries.push((Value::from(claim.label), value));
        if let Some(component_type) = &self.component_type {
            push(TYPE, text(component_type));
        }
        push(MEASUREMENT, bytes(self.measurement.as_bytes()));
        if let Some(version) = &self.version {
            push(VERSION, text(version));
        }
        push(SIGNER_ID, bytes(self.signer_id.as_bytes()));
        if let Some(algorithm) = &self.hash_algorithm {
            push(HASH_ALGORITHM, text(algorithm));
        }
        if profile == PlatformProfile::V2024 {
            if let Some(supported) = self.live_activation {
                push(LIVE_ACTIVATION, Value::from(supported));
            }
            if !self.countersigners.is_empty() {
                let signers = self.countersigners.iter().map(|id| bytes(id.as_bytes()));
                push(COUNTERSIGNERS, Value::Array(signers.collect()));
            }
        }
        Value::Map(entries)
    }
}
