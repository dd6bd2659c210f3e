//! Writing reference values as CoRIM.

use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use core::fmt;

use corim::builder::{ComidBuilder, CorimBuilder};
use corim::types::common::{ClassIdChoice, CryptoKey, MeasuredElement, TagIdChoice, VersionMap};
use corim::types::corim::{CorimId, ProfileChoice};
use corim::types::environment::{ClassMap, EnvironmentMap};
use corim::types::measurement::{
    Digest, DigestAlg, MeasurementMap, MeasurementValuesMap, RawValueChoice,
};
use corim::types::triples::ReferenceTriple;

use super::platform::{CONFIG, MANUFACTURING_CONFIG, SOFTWARE_COMPONENT};
use super::realm::{REMS, RIM, RPV};
use super::{PLATFORM_PROFILES, REALM_PROFILES};
use crate::algorithm::HashAlgorithm;
use crate::claims::HashValue;
use crate::reference::{
    ComponentReference, MaskedBytes, PlatformReference, RealmReference, ReferenceValues,
};

/// Why reference values cannot be written as CoRIM.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum WriteError {
    /// A machine without what the profile demands: what.
    Platform(&'static str),
    /// A Realm without what the profile demands: what.
    Realm(&'static str),
    /// The format cannot say it. Why.
    Format(String),
}

impl fmt::Display for WriteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Platform(what) => write!(f, "a CoRIM for a platform needs {what}"),
            Self::Realm(what) => write!(f, "a CoRIM for a Realm needs {what}"),
            Self::Format(text) => f.write_str(text),
        }
    }
}

impl core::error::Error for WriteError {}

/// Reference values as CoRIM. A CoRIM has one profile, so it is about machines or about Realms.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Documents {
    /// About machines, if there are reference values for any.
    pub platform: Option<Vec<u8>>,
    /// About Realms, if there are reference values for any.
    pub realm: Option<Vec<u8>>,
}

/// Reference values as CoRIM, unsigned. `id` names the documents.
///
/// # Errors
///
/// If the profile cannot say what the reference values say.
pub fn write(values: &ReferenceValues, id: &str) -> Result<Documents, WriteError> {
    let platforms = values
        .platforms
        .iter()
        .map(platform)
        .collect::<Result<Vec<_>, _>>()?;
    let realms = values
        .realms
        .iter()
        .map(realm)
        .collect::<Result<Vec<_>, _>>()?;
    Ok(Documents {
        platform: document(
            &alloc::format!("{id}-platform"),
            PLATFORM_PROFILES[0],
            platforms,
        )?,
        realm: document(&alloc::format!("{id}-realm"), REALM_PROFILES[0], realms)?,
    })
}

fn document(
    id: &str,
    profile: &str,
    triples: Vec<ReferenceTriple>,
) -> Result<Option<Vec<u8>>, WriteError> {
    if triples.is_empty() {
        return Ok(None);
    }
    let comid = ComidBuilder::new(TagIdChoice::Text(id.to_string()));
    let comid = triples
        .into_iter()
        .fold(comid, ComidBuilder::add_reference_triple);
    let bytes = comid.build().and_then(|comid| {
        CorimBuilder::new(CorimId::Text(id.to_string()))
            .set_profile(ProfileChoice::Uri(profile.to_string()))
            .add_comid_tag(comid)?
            .build_bytes()
    });
    bytes
        .map(Some)
        .map_err(|error| WriteError::Format(error.to_string()))
}

fn environment(class_id: &[u8]) -> EnvironmentMap {
    EnvironmentMap {
        class: Some(ClassMap {
            class_id: Some(ClassIdChoice::Bytes(class_id.to_vec())),
            ..ClassMap::default()
        }),
        instance: None,
        group: None,
    }
}

fn measurement(key: &str, fill: impl FnOnce(&mut MeasurementValuesMap)) -> MeasurementMap {
    let mut values = MeasurementValuesMap::default();
    fill(&mut values);
    MeasurementMap {
        mkey: Some(MeasuredElement::Text(key.to_string())),
        mval: values,
        authorized_by: None,
    }
}

fn digest(value: &HashValue) -> Digest {
    let algorithm = match value.as_bytes().len() {
        32 => HashAlgorithm::Sha256,
        48 => HashAlgorithm::Sha384,
        _ => HashAlgorithm::Sha512,
    };
    let name = algorithm.name().to_string();
    Digest(DigestAlg::Text(name), value.as_bytes().to_vec())
}

/// Digests as alternatives, of which a CoRIM may have one for each algorithm.
fn digests(values: &[HashValue]) -> Result<Vec<Digest>, WriteError> {
    let digests: Vec<_> = values.iter().map(digest).collect();
    let repeated = digests.iter().enumerate().any(|(index, digest)| {
        digests[..index]
            .iter()
            .any(|other| other.alg() == digest.alg())
    });
    if repeated {
        let text = "several alternatives of one algorithm: write an entry for each";
        return Err(WriteError::Format(text.into()));
    }
    Ok(digests)
}

fn platform(platform: &PlatformReference) -> Result<ReferenceTriple, WriteError> {
    let id = platform
        .implementation_id
        .ok_or(WriteError::Platform("an implementation id"))?;
    let mut measurements = Vec::new();
    for component in &platform.software_components {
        measurements.push(self::component(component)?);
    }
    for (key, list) in [
        (CONFIG, &platform.config),
        (MANUFACTURING_CONFIG, &platform.manufacturing_config),
    ] {
        match list.as_slice() {
            [] => {}
            [value] => measurements.push(measurement(key, |values| {
                values.raw_value = Some(masked(value));
            })),
            _ => {
                let text = "several configurations: write an entry for each";
                return Err(WriteError::Format(text.into()));
            }
        }
    }
    if measurements.is_empty() {
        return Err(WriteError::Platform("a component or a configuration"));
    }
    Ok(ReferenceTriple::new(environment(&id), measurements))
}

/// The profile has configurations with a mask always.
fn masked(bytes: &MaskedBytes) -> RawValueChoice {
    RawValueChoice::Masked {
        value: bytes.value().to_vec(),
        mask: bytes
            .mask()
            .map_or_else(|| alloc::vec![0xff; bytes.value().len()], <[u8]>::to_vec),
    }
}

fn component(component: &ComponentReference) -> Result<MeasurementMap, WriteError> {
    if component.optional {
        let text = "an optional component: write an entry with it and one without";
        return Err(WriteError::Format(text.into()));
    }
    if component.measurements.is_empty() {
        return Err(WriteError::Platform("a measurement of each component"));
    }
    let signer = component
        .signer_id
        .ok_or(WriteError::Platform("a signer id of each component"))?;
    let digests = digests(&component.measurements)?;
    Ok(measurement(SOFTWARE_COMPONENT, |values| {
        values.version = component.version.clone().map(|version| VersionMap {
            version,
            version_scheme: None,
        });
        values.digests = Some(digests);
        values.name.clone_from(&component.component_type);
        let signer = CryptoKey::Bytes(signer.as_bytes().to_vec());
        values.cryptokeys = Some(alloc::vec![signer]);
    }))
}

fn realm(realm: &RealmReference) -> Result<ReferenceTriple, WriteError> {
    let rim = realm
        .initial_measurement
        .first()
        .ok_or(WriteError::Realm("an initial measurement"))?;
    let mut measurements = Vec::new();
    let rems = REMS.into_iter().zip(&realm.extensible_measurements);
    for (key, list) in core::iter::once((RIM, &realm.initial_measurement)).chain(rems) {
        if !list.is_empty() {
            let digests = digests(list)?;
            measurements.push(measurement(key, |values| values.digests = Some(digests)));
        }
    }
    match realm.personalization_value.as_slice() {
        [] => {}
        [value] => measurements.push(measurement(RPV, |values| {
            values.raw_value = Some(RawValueChoice::Bytes(value.to_vec()));
        })),
        _ => {
            let text = "several personalization values: write an entry for each";
            return Err(WriteError::Format(text.into()));
        }
    }
    Ok(ReferenceTriple::new(
        environment(rim.as_bytes()),
        measurements,
    ))
}
