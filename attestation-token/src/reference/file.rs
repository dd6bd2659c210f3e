//! Reference values as people write them: TOML, or JSON of the same form.
//!
//! ```toml
//! [[platform]]
//! implementation-id = "7f45…"           # 32 bytes in hexadecimal or base64
//! config = ["cfcfcfcf"]                 # or { value = "cfcf0000", mask = "ffff0000" }
//!
//! [[platform.software-component]]
//! type = "RMM"
//! signer-id = "5378…"
//! measurement = ["a1fb…", "b2ca…"]      # one or the other
//!
//! [[realm]]
//! initial-measurement = "3113…"         # RIM
//! extensible-measurement = ["24d5…"]    # REM 0; those that are left out are not compared
//! personalization-value = "5468…"       # RPV
//! ```

use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use core::fmt;

use serde::{Deserialize, Serialize};

use super::{ComponentReference, MaskedBytes, PlatformReference, RealmReference, ReferenceValues};
use crate::claims::HashValue;
use crate::encoding;

/// Most bytes that a file of reference values may have.
pub const MAX_BYTES: usize = 16 * 1024 * 1024;

/// Why a file has no reference values.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum ReferenceFileError {
    /// More than [`MAX_BYTES`].
    TooLong,
    /// Not text.
    NotText,
    /// Not TOML, or not JSON, of the form. Where and why.
    Syntax(String),
    /// A value that is not what it should be: where, and what it should be.
    Value {
        /// Where, as a path of keys.
        at: String,
        /// What it should be.
        expected: &'static str,
    },
    /// The values cannot be written in this form.
    Writing,
}

impl fmt::Display for ReferenceFileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong => f.write_str("too long"),
            Self::NotText => f.write_str("neither text nor CoRIM"),
            Self::Syntax(text) => f.write_str(text.trim_end()),
            Self::Value { at, expected } => write!(f, "{at}: not {expected}"),
            Self::Writing => f.write_str("cannot be written in this form"),
        }
    }
}

impl core::error::Error for ReferenceFileError {}

/// One value, or a list of alternatives.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum OneOrMore<T> {
    One(T),
    More(Vec<T>),
}

impl<T> Default for OneOrMore<T> {
    fn default() -> Self {
        Self::More(Vec::new())
    }
}

impl<T> OneOrMore<T> {
    fn is_empty(&self) -> bool {
        matches!(self, Self::More(list) if list.is_empty())
    }

    fn into_list(self) -> Vec<T> {
        match self {
            Self::One(value) => alloc::vec![value],
            Self::More(list) => list,
        }
    }

    fn from_list(mut list: Vec<T>) -> Self {
        if list.len() == 1
            && let Some(value) = list.pop()
        {
            return Self::One(value);
        }
        Self::More(list)
    }
}

#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct File {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    platform: Vec<Platform>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    realm: Vec<Realm>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Platform {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    implementation_id: Option<String>,
    #[serde(default, skip_serializing_if = "OneOrMore::is_empty")]
    config: OneOrMore<Bytes>,
    #[serde(default, skip_serializing_if = "OneOrMore::is_empty")]
    manufacturing_config: OneOrMore<Bytes>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    software_component: Vec<Component>,
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Bytes {
    Exact(String),
    Masked(Masked),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Masked {
    value: String,
    mask: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Component {
    #[serde(skip_serializing_if = "Option::is_none")]
    r#type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    signer_id: Option<String>,
    #[serde(default, skip_serializing_if = "OneOrMore::is_empty")]
    measurement: OneOrMore<String>,
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    optional: bool,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Realm {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(default, skip_serializing_if = "OneOrMore::is_empty")]
    initial_measurement: OneOrMore<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    extensible_measurement: Vec<OneOrMore<String>>,
    #[serde(default, skip_serializing_if = "OneOrMore::is_empty")]
    personalization_value: OneOrMore<String>,
}

/// The reference values in TOML, or in JSON (which begins with a brace).
///
/// # Errors
///
/// If it is neither, has a key that is not known, or a value that is not what it should be.
pub fn parse(bytes: &[u8]) -> Result<ReferenceValues, ReferenceFileError> {
    if bytes.len() > MAX_BYTES {
        return Err(ReferenceFileError::TooLong);
    }
    let text = core::str::from_utf8(bytes).map_err(|_| ReferenceFileError::NotText)?;
    let file: File = if text.trim_start().starts_with('{') {
        serde_json::from_str(text).map_err(|error| ReferenceFileError::Syntax(error.to_string()))?
    } else {
        toml::from_str(text).map_err(|error| ReferenceFileError::Syntax(error.to_string()))?
    };
    Ok(ReferenceValues {
        platforms: numbered(file.platform, "platform", platform_from)?,
        realms: numbered(file.realm, "realm", realm_from)?,
    })
}

/// The reference values as TOML.
///
/// # Errors
///
/// [`ReferenceFileError::Writing`], which does not happen for values from [`parse`].
pub fn to_toml(values: &ReferenceValues) -> Result<String, ReferenceFileError> {
    toml::to_string(&file_from(values)).map_err(|_| ReferenceFileError::Writing)
}

/// The reference values as JSON.
///
/// # Errors
///
/// [`ReferenceFileError::Writing`], which does not happen for values from [`parse`].
pub fn to_json(values: &ReferenceValues) -> Result<String, ReferenceFileError> {
    serde_json::to_string_pretty(&file_from(values)).map_err(|_| ReferenceFileError::Writing)
}

/// Converts the entries of a list, whose places are named in errors.
fn numbered<T, U>(
    list: Vec<T>,
    name: &str,
    convert: impl Fn(T, &str) -> Result<U, ReferenceFileError>,
) -> Result<Vec<U>, ReferenceFileError> {
    list.into_iter()
        .enumerate()
        .map(|(index, entry)| convert(entry, &alloc::format!("{name}[{index}]")))
        .collect()
}

fn platform_from(platform: Platform, at: &str) -> Result<PlatformReference, ReferenceFileError> {
    let id = |text: String| {
        encoding::from_text(&text)
            .and_then(|bytes| bytes.try_into().ok())
            .ok_or_else(|| wrong(at, "implementation-id", "32 bytes"))
    };
    let config = |list: OneOrMore<Bytes>, key: &str| {
        list.into_list()
            .into_iter()
            .map(|bytes| masked_from(bytes).ok_or_else(|| wrong(at, key, BYTES)))
            .collect::<Result<Vec<_>, _>>()
    };
    Ok(PlatformReference {
        name: platform.name,
        implementation_id: platform.implementation_id.map(id).transpose()?,
        config: config(platform.config, "config")?,
        manufacturing_config: config(platform.manufacturing_config, "manufacturing-config")?,
        software_components: numbered(
            platform.software_component,
            &alloc::format!("{at}.software-component"),
            component_from,
        )?,
    })
}

const BYTES: &str = "bytes in hexadecimal or base64, with a mask of the same length if any";
const HASH: &str = "a hash value of 32, 48 or 64 bytes in hexadecimal or base64";

fn masked_from(bytes: Bytes) -> Option<MaskedBytes> {
    match bytes {
        Bytes::Exact(value) => encoding::from_text(&value).map(MaskedBytes::exact),
        Bytes::Masked(Masked { value, mask }) => {
            MaskedBytes::masked(encoding::from_text(&value)?, encoding::from_text(&mask)?)
        }
    }
}

fn component_from(
    component: Component,
    at: &str,
) -> Result<ComponentReference, ReferenceFileError> {
    let signer_id = component.signer_id.map(|text| hash(&text, at, "signer-id"));
    let measurements = hashes(component.measurement, at, "measurement")?;
    if measurements.is_empty() && signer_id.is_none() {
        return Err(wrong(at, "measurement", "there, and neither is signer-id"));
    }
    Ok(ComponentReference {
        component_type: component.r#type,
        version: component.version,
        signer_id: signer_id.transpose()?,
        measurements,
        optional: component.optional,
    })
}

fn realm_from(realm: Realm, at: &str) -> Result<RealmReference, ReferenceFileError> {
    if realm.extensible_measurement.len() > 4 {
        let expected = "a list of at most 4 entries, one for each REM";
        return Err(wrong(at, "extensible-measurement", expected));
    }
    let mut extensible_measurements = <[Vec<HashValue>; 4]>::default();
    for (rem, values) in extensible_measurements
        .iter_mut()
        .zip(realm.extensible_measurement)
    {
        *rem = hashes(values, at, "extensible-measurement")?;
    }
    let personalization_value = realm
        .personalization_value
        .into_list()
        .iter()
        .map(|text| {
            encoding::from_text(text)
                .and_then(|bytes| bytes.try_into().ok())
                .ok_or_else(|| wrong(at, "personalization-value", "64 bytes"))
        })
        .collect::<Result<_, _>>()?;
    Ok(RealmReference {
        name: realm.name,
        initial_measurement: hashes(realm.initial_measurement, at, "initial-measurement")?,
        extensible_measurements,
        personalization_value,
    })
}

fn hash(text: &str, at: &str, key: &str) -> Result<HashValue, ReferenceFileError> {
    encoding::from_text(text)
        .and_then(|bytes| HashValue::from_slice(&bytes))
        .ok_or_else(|| wrong(at, key, HASH))
}

fn hashes(
    list: OneOrMore<String>,
    at: &str,
    key: &str,
) -> Result<Vec<HashValue>, ReferenceFileError> {
    list.into_list()
        .iter()
        .map(|text| hash(text, at, key))
        .collect()
}

fn wrong(at: &str, key: &str, expected: &'static str) -> ReferenceFileError {
    ReferenceFileError::Value {
        at: alloc::format!("{at}.{key}"),
        expected,
    }
}

fn file_from(values: &ReferenceValues) -> File {
    File {
        platform: values.platforms.iter().map(from_platform).collect(),
        realm: values.realms.iter().map(from_realm).collect(),
    }
}

fn from_platform(platform: &PlatformReference) -> Platform {
    let config = |list: &[MaskedBytes]| {
        OneOrMore::from_list(
            list.iter()
                .map(|bytes| {
                    let value = encoding::hex(bytes.value());
                    match bytes.mask() {
                        None => Bytes::Exact(value),
                        Some(mask) => Bytes::Masked(Masked {
                            value,
                            mask: encoding::hex(mask),
                        }),
                    }
                })
                .collect(),
        )
    };
    Platform {
        name: platform.name.clone(),
        implementation_id: platform.implementation_id.map(|id| encoding::hex(&id)),
        config: config(&platform.config),
        manufacturing_config: config(&platform.manufacturing_config),
        software_component: platform
            .software_components
            .iter()
            .map(|component| Component {
                r#type: component.component_type.clone(),
                version: component.version.clone(),
                signer_id: component.signer_id.map(|id| id.to_string()),
                measurement: texts(&component.measurements),
                optional: component.optional,
            })
            .collect(),
    }
}

fn from_realm(realm: &RealmReference) -> Realm {
    let rems = &realm.extensible_measurements;
    let used = rems.iter().rposition(|rem| !rem.is_empty());
    Realm {
        name: realm.name.clone(),
        initial_measurement: texts(&realm.initial_measurement),
        extensible_measurement: rems
            .iter()
            .take(used.map_or(0, |last| last + 1))
            .map(|rem| texts(rem))
            .collect(),
        personalization_value: OneOrMore::from_list(
            realm
                .personalization_value
                .iter()
                .map(|value| encoding::hex(value))
                .collect(),
        ),
    }
}

fn texts(hashes: &[HashValue]) -> OneOrMore<String> {
    OneOrMore::from_list(hashes.iter().map(HashValue::to_string).collect())
}
