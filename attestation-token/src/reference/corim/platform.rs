//! What a CoMID says of machines.

use alloc::format;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;

use corim::types::comid::ComidTag;
use corim::types::common::{ClassIdChoice, CryptoKey, InstanceIdChoice, MeasuredElement};
use corim::types::environment::EnvironmentMap;
use corim::types::measurement::{
    Digest, DigestAlg, MeasurementMap, MeasurementValuesMap, RawValueChoice,
};

use super::{CorimError, Endorsements};
use crate::claims::{HashValue, InstanceId};
use crate::reference::{ComponentReference, MaskedBytes, PlatformReference};
use crate::trust::file::key_from_pem;
use crate::trust::{Identity, TrustAnchor};

pub(super) const SOFTWARE_COMPONENT: &str = "cca.software-component";
pub(super) const CONFIG: &str = "cca.platform-config";
pub(super) const MANUFACTURING_CONFIG: &str = "cca.platform-manufacturing-config";
const ROT_PUBLIC_KEY: &str = "cca.rotpk.";

pub(super) fn read(comid: &ComidTag, into: &mut Endorsements) -> Result<(), CorimError> {
    for triple in comid.triples.reference_triples.iter().flatten() {
        let identity = identity(triple.environment())?;
        if identity.instance_id.is_some() {
            let text = "reference values for one instance are not in the profile";
            return Err(CorimError::Triple(text.into()));
        }
        let mut platform = PlatformReference {
            implementation_id: identity.implementation_id,
            ..PlatformReference::default()
        };
        for measurement in triple.measurements() {
            read_measurement(measurement, &mut platform)?;
        }
        into.references.platforms.push(platform);
    }
    for triple in comid.triples.attest_key_triples.iter().flatten() {
        if triple.conditions().is_some() {
            let text = "conditions on keys are not in the profile";
            return Err(CorimError::Triple(text.into()));
        }
        let identity = identity(triple.environment())?;
        for key in triple.keys() {
            let CryptoKey::PkixBase64Key(pem) = key else {
                let text = "a key that is not a SubjectPublicKeyInfo in PEM";
                return Err(CorimError::Triple(text.into()));
            };
            let key = key_from_pem(&with_lines(pem))
                .map_err(|error| CorimError::Triple(format!("key: {error}")))?;
            into.anchors.push(TrustAnchor { identity, key });
        }
    }
    Ok(())
}

/// Some producers write the PEM of a key with other line ends, or without the last.
fn with_lines(pem: &str) -> String {
    pem.replace("\r\n", "\n").trim().to_string()
}

/// Whom a triple is about.
fn identity(environment: &EnvironmentMap) -> Result<Identity, CorimError> {
    let wrong = |text: &str| Err(CorimError::Triple(text.into()));
    if environment.group.is_some() {
        return wrong("a group is not in the profile");
    }
    let class = environment.class.as_ref();
    let implementation_id = match class.and_then(|class| class.class_id.as_ref()) {
        Some(ClassIdChoice::Bytes(bytes)) => <[u8; 32]>::try_from(bytes.as_slice()).ok(),
        _ => None,
    };
    let Some(implementation_id) = implementation_id else {
        return wrong("no implementation id of 32 bytes");
    };
    let instance_id = match &environment.instance {
        None => None,
        Some(InstanceIdChoice::Ueid(bytes)) => match InstanceId::from_slice(bytes) {
            None => return wrong("an instance id that is not 0x01 and 32 bytes"),
            id => id,
        },
        Some(_) => return wrong("an instance id that is not a UEID"),
    };
    Ok(Identity {
        instance_id,
        implementation_id: Some(implementation_id),
    })
}

fn read_measurement(
    measurement: &MeasurementMap,
    platform: &mut PlatformReference,
) -> Result<(), CorimError> {
    let key = key(measurement)?;
    let values = Values::new(key, measurement)?;
    match key {
        SOFTWARE_COMPONENT => platform.software_components.push(component(&values)?),
        CONFIG if platform.config.is_empty() => platform.config.push(values.raw()?),
        MANUFACTURING_CONFIG if platform.manufacturing_config.is_empty() => {
            platform.manufacturing_config.push(values.raw()?);
        }
        CONFIG | MANUFACTURING_CONFIG => return Err(values.error("more than one of it")),
        // Keys that boot firmware is signed with. Tokens of 2024 list them; the components'
        // signers, which are compared, are what they boil down to.
        _ if key.starts_with(ROT_PUBLIC_KEY) => values.check_rot_public_key()?,
        _ => return Err(values.error("not a measurement of the profile")),
    }
    Ok(())
}

/// The name of a measurement.
pub(super) fn key(measurement: &MeasurementMap) -> Result<&str, CorimError> {
    match &measurement.mkey {
        Some(MeasuredElement::Text(key)) => Ok(key),
        _ => Err(CorimError::Measurement {
            key: String::from("?"),
            problem: "no name, or one that is not text",
        }),
    }
}

fn component(values: &Values<'_>) -> Result<ComponentReference, CorimError> {
    let version = match &values.map.version {
        Some(version) if version.version_scheme.is_some() => {
            return Err(values.error("a version scheme"));
        }
        version => version.as_ref().map(|version| version.version.clone()),
    };
    let signer_id = match values.map.cryptokeys.as_deref() {
        Some([CryptoKey::Bytes(bytes)]) => HashValue::from_slice(bytes),
        _ => None,
    };
    let Some(signer_id) = signer_id else {
        return Err(values.error("no signer id of 32, 48 or 64 bytes"));
    };
    let component = ComponentReference {
        component_type: values.map.name.clone(),
        version,
        signer_id: Some(signer_id),
        measurements: values.digests()?,
        optional: false,
    };
    values.refuse_others(&[
        Field::Version,
        Field::Digests,
        Field::Name,
        Field::CryptoKeys,
    ])?;
    Ok(component)
}

/// The values of a measurement.
pub(super) struct Values<'a> {
    key: &'a str,
    map: &'a MeasurementValuesMap,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Field {
    Version,
    Digests,
    RawValue,
    Name,
    CryptoKeys,
}

impl<'a> Values<'a> {
    pub(super) fn new(key: &'a str, measurement: &'a MeasurementMap) -> Result<Self, CorimError> {
        let values = Self {
            key,
            map: &measurement.mval,
        };
        if measurement.authorized_by.is_some() {
            return Err(values.error("authorized-by is not in the profile"));
        }
        Ok(values)
    }

    pub(super) fn error(&self, problem: &'static str) -> CorimError {
        CorimError::Measurement {
            key: self.key.into(),
            problem,
        }
    }

    /// The alternatives for a hash value: of each algorithm at most one.
    pub(super) fn digests(&self) -> Result<Vec<HashValue>, CorimError> {
        let digests = self.map.digests.as_deref().unwrap_or_default();
        if digests.is_empty() {
            return Err(self.error("no digest"));
        }
        digests
            .iter()
            .map(|Digest(algorithm, value)| {
                let DigestAlg::Text(_) = algorithm else {
                    return Err(self.error("a digest whose algorithm is not text"));
                };
                HashValue::from_slice(value)
                    .ok_or_else(|| self.error("a digest that has not 32, 48 or 64 bytes"))
            })
            .collect()
    }

    /// The bytes of a raw value, with its mask.
    pub(super) fn raw(&self) -> Result<MaskedBytes, CorimError> {
        self.refuse_others(&[Field::RawValue])?;
        match &self.map.raw_value {
            Some(RawValueChoice::Bytes(bytes)) => Ok(MaskedBytes::exact(bytes.clone())),
            Some(RawValueChoice::Masked { value, mask }) => {
                MaskedBytes::masked(value.clone(), mask.clone())
                    .ok_or_else(|| self.error("a mask of another length than its value"))
            }
            _ => Err(self.error("no raw value")),
        }
    }

    fn check_rot_public_key(&self) -> Result<(), CorimError> {
        self.refuse_others(&[Field::CryptoKeys])?;
        match self.map.cryptokeys.as_deref() {
            Some([CryptoKey::Bytes(bytes)]) if HashValue::from_slice(bytes).is_some() => Ok(()),
            _ => Err(self.error("no hash of a key")),
        }
    }

    /// What is not looked at must not be there: it may be a condition.
    pub(super) fn refuse_others(&self, known: &[Field]) -> Result<(), CorimError> {
        let map = self.map;
        let others = [
            map.version.is_some() && !known.contains(&Field::Version),
            map.digests.is_some() && !known.contains(&Field::Digests),
            map.raw_value.is_some() && !known.contains(&Field::RawValue),
            map.name.is_some() && !known.contains(&Field::Name),
            map.cryptokeys.is_some() && !known.contains(&Field::CryptoKeys),
            map.svn.is_some(),
            map.flags.is_some(),
            map.mac_addr.is_some(),
            map.ip_addr.is_some(),
            map.serial_number.is_some(),
            map.ueid.is_some(),
            map.uuid.is_some(),
            map.integrity_registers.is_some(),
            map.int_range.is_some(),
            map.r#bool.is_some(),
            map.number.is_some(),
            map.text.is_some(),
            map.bytes.is_some(),
            !map.extra_entries.is_empty(),
        ];
        if others.contains(&true) {
            return Err(self.error("a value that the profile does not have there"));
        }
        Ok(())
    }
}
