//! What the 2024 platform profile adds in maps of its own.

use alloc::string::String;
use alloc::vec::Vec;

use ciborium::Value;

use super::{bytes, text};
use crate::claims::{Claim, ClaimMap, HashValue};
use crate::error::{ClaimProblem, DecodeError};

const HASH_ALGORITHM: Claim = Claim::new(1, "hash algorithm identifier");
const MEASUREMENTS: Claim = Claim::new(2, "device measurements digest");
const CERTIFICATES: Claim = Claim::new(3, "certificate chain digest");
const USES_IDE: Claim = Claim::new(4, "uses IDE");
const PROTOCOL: Claim = Claim::new(5, "protocol");
const VCA: Claim = Claim::new(6, "VCA digest");
const DEVICE_TYPE: Claim = Claim::new(7, "device type");
const ENCRYPTION_TYPE: Claim = Claim::new(8, "encryption type");

/// A device that became part of the platform at run time.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ExtensionDevice {
    /// What the digests were made with, if not with the platform's hash algorithm.
    pub hash_algorithm: Option<String>,
    /// Digest of the exchange of measurements.
    pub measurements: HashValue,
    /// Digest of its certificate chain.
    pub certificates: HashValue,
    /// Whether the link to it is encrypted.
    pub uses_ide: bool,
    /// What the RMM speaks with it, like `spdm-1.2.0`.
    pub protocol: String,
    /// Digest of the start of an SPDM connection.
    pub vca: Option<HashValue>,
    /// The kind of device, like `cxl-type-3`.
    pub device_type: Option<String>,
    /// Who encrypts memory on it: 0 the host, 1 the device, 2 nobody.
    pub encryption_type: Option<u8>,
}

impl ExtensionDevice {
    pub(super) fn decode(mut map: ClaimMap) -> Result<Self, DecodeError> {
        let hash_algorithm = map.text(HASH_ALGORITHM)?;
        let measurements = map.hash(MEASUREMENTS)?;
        let measurements = map.required(MEASUREMENTS, measurements)?;
        let certificates = map.hash(CERTIFICATES)?;
        let certificates = map.required(CERTIFICATES, certificates)?;
        let uses_ide = map.boolean(USES_IDE)?;
        let uses_ide = map.required(USES_IDE, uses_ide)?;
        let protocol = map.text(PROTOCOL)?;
        let protocol = map.required(PROTOCOL, protocol)?;
        let vca = map.hash(VCA)?;
        let device_type = map.text(DEVICE_TYPE)?;
        let encryption_type = match map.unsigned(ENCRYPTION_TYPE)? {
            None => None,
            Some(number) => Some(
                u8::try_from(number)
                    .ok()
                    .filter(|number| *number <= 2)
                    .ok_or_else(|| map.error(ENCRYPTION_TYPE, ClaimProblem::Value("0, 1 or 2")))?,
            ),
        };
        map.finish()?;
        Ok(Self {
            hash_algorithm,
            measurements,
            certificates,
            uses_ide,
            protocol,
            vca,
            device_type,
            encryption_type,
        })
    }

    pub(super) fn encode(&self) -> Value {
        let mut entries = Vec::new();
        let mut push = |claim: Claim, value| entries.push((Value::from(claim.label), value));
        if let Some(algorithm) = &self.hash_algorithm {
            push(HASH_ALGORITHM, text(algorithm));
        }
        push(MEASUREMENTS, bytes(self.measurements.as_bytes()));
        push(CERTIFICATES, bytes(self.certificates.as_bytes()));
        push(USES_IDE, Value::from(self.uses_ide));
        push(PROTOCOL, text(&self.protocol));
        if let Some(vca) = &self.vca {
            push(VCA, bytes(vca.as_bytes()));
        }
        if let Some(device_type) = &self.device_type {
            push(DEVICE_TYPE, text(device_type));
        }
        if let Some(encryption_type) = self.encryption_type {
            push(ENCRYPTION_TYPE, Value::from(encryption_type));
        }
        Value::Map(entries)
    }
}

const SET: Claim = Claim::new(1, "set");
const ARRAY: Claim = Claim::new(2, "active array index");
const INDEX: Claim = Claim::new(3, "index");
const HASH: Claim = Claim::new(4, "hash");

/// Hash of a key that boot firmware is signed with.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RotPublicKeyHash {
    /// Whose: `CM` (chip manufacturer) or `DM` (device manufacturer).
    pub set: String,
    /// Which array of the set is in use.
    pub array: u64,
    /// Position in the array.
    pub index: u64,
    /// The hash.
    pub hash: HashValue,
}

impl RotPublicKeyHash {
    pub(super) fn decode(mut map: ClaimMap) -> Result<Self, DecodeError> {
        let set = map.text(SET)?;
        let set = map.required(SET, set)?;
        if set != "CM" && set != "DM" {
            return Err(map.error(SET, ClaimProblem::Value("CM or DM")));
        }
        let array = map.unsigned(ARRAY)?;
        let array = map.required(ARRAY, array)?;
        let index = map.unsigned(INDEX)?;
        let index = map.required(INDEX, index)?;
        let hash = map.hash(HASH)?;
        let hash = map.required(HASH, hash)?;
        map.finish()?;
        Ok(Self {
            set,
            array,
            index,
            hash,
        })
    }

    pub(super) fn encode(&self) -> Value {
        Value::Map(alloc::vec![
            (Value::from(SET.label), text(&self.set)),
            (Value::from(ARRAY.label), Value::from(self.array)),
            (Value::from(INDEX.label), Value::from(self.index)),
            (Value::from(HASH.label), bytes(self.hash.as_bytes())),
        ])
    }
}
