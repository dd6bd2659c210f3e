//! `cca-token sign`: a platform token for development.

use attestation_token::build::Unsigned;
use attestation_token::claims::{InstanceId, PlatformProfile, RealmKey};
use attestation_token::crypto::{SigningKey, hash};
use attestation_token::encoding;
use attestation_token::{HashAlgorithm, HashValue, Lifecycle, PlatformClaims, SoftwareComponent};
use getrandom::SysRng;
use serde::Deserialize;

use crate::arguments::Sign;
use crate::failure::{Failure, Outcome};
use crate::{input, keys, output};

/// Claims by the names that `show --json` prints.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Claims {
    #[serde(rename = "cca-platform-profile")]
    profile: Option<String>,
    #[serde(rename = "cca-platform-challenge")]
    challenge: Option<String>,
    #[serde(rename = "cca-platform-implementation-id")]
    implementation_id: String,
    #[serde(rename = "cca-platform-instance-id")]
    instance_id: Option<String>,
    #[serde(rename = "cca-platform-config", default)]
    config: String,
    #[serde(rename = "cca-platform-lifecycle", default = "secured")]
    lifecycle: u16,
    /// Follows from the lifecycle.
    #[serde(rename = "cca-platform-lifecycle-state", default)]
    _lifecycle_state: Option<String>,
    #[serde(rename = "cca-platform-hash-algo-id", default = "sha_256")]
    hash_algorithm: String,
    #[serde(rename = "cca-platform-sw-components")]
    components: Vec<Component>,
    #[serde(rename = "cca-platform-verification-service")]
    verification_service: Option<String>,
    #[serde(rename = "cca-platform-manufacturing-config")]
    manufacturing_config: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Component {
    #[serde(rename = "component-type")]
    kind: Option<String>,
    measurement_value: String,
    version: Option<String>,
    signer_id: String,
    hash_algo_id: Option<String>,
    live_firmware_activation: Option<bool>,
    #[serde(default)]
    countersigner_ids: Vec<String>,
}

fn secured() -> u16 {
    0x3000
}

fn sha_256() -> String {
    HashAlgorithm::Sha256.name().to_string()
}

pub(crate) fn run(arguments: &Sign) -> Outcome {
    let unusable = |why: String| Failure::unusable(arguments.claims.display(), why);
    let key = keys::read(&arguments.key)?;
    let bytes = input::read(&arguments.claims)?;
    let text = std::str::from_utf8(&bytes).map_err(|_| unusable("not text".to_string()))?;
    let claims: Claims = if text.trim_start().starts_with('{') {
        serde_json::from_str(text).map_err(|error| unusable(error.to_string()))?
    } else {
        toml::from_str(text).map_err(|error| unusable(error.to_string()))?
    };
    let vouched_for = realm_key_hash(arguments)?;
    let claims = claims
        .into_platform(&key, vouched_for)
        .map_err(|name| unusable(format!("{name}: missing, or not what it should be")))?;
    let unsigned = Unsigned::platform(&claims, key.curve().algorithm())
        .map_err(|error| unusable(error.to_string()))?;
    let signature = key
        .sign_hedged(&mut SysRng, unsigned.to_be_signed())
        .map_err(|_| Failure::unusable("no signature", "no entropy"))?;
    let token = unsigned
        .signed(&signature)
        .map_err(|error| unusable(error.to_string()))?;
    output::write(arguments.output.as_deref(), &token)?;
    Ok(true)
}

fn realm_key_hash(arguments: &Sign) -> Result<Option<HashValue>, Failure> {
    let Some(path) = &arguments.realm_key else {
        return Ok(None);
    };
    let algorithm = HashAlgorithm::from_name(&arguments.realm_key_hash)
        .ok_or_else(|| Failure::unusable("--realm-key-hash", "not sha-256, sha-384 or sha-512"))?;
    let key = RealmKey::new(input::public_key(path)?);
    Ok(Some(hash(algorithm, key.encoded())))
}

fn hash_value(text: &str) -> Option<HashValue> {
    HashValue::from_slice(&encoding::from_text(text)?)
}

/// Bytes that may be none.
fn bytes(text: &str) -> Option<Vec<u8>> {
    if text.is_empty() {
        return Some(Vec::new());
    }
    encoding::from_text(text)
}

impl Claims {
    /// The claims, or the name of one that is missing or wrong.
    fn into_platform(
        self,
        key: &SigningKey,
        vouched_for: Option<HashValue>,
    ) -> Result<PlatformClaims, &'static str> {
        let profile = match &self.profile {
            None => PlatformProfile::V2023,
            Some(name) => PlatformProfile::from_name(name).ok_or("cca-platform-profile")?,
        };
        let challenge = match (vouched_for, &self.challenge) {
            (Some(hash), _) => Some(hash),
            (None, Some(text)) => hash_value(text),
            (None, None) => None,
        };
        let instance_id = match &self.instance_id {
            None => {
                let id = hash(HashAlgorithm::Sha256, key.public_key().sec1());
                id.as_bytes().try_into().ok().map(InstanceId::from_random)
            }
            Some(text) => encoding::from_text(text).and_then(|id| InstanceId::from_slice(&id)),
        };
        let lifecycle = Lifecycle(self.lifecycle);
        lifecycle.state().ok_or("cca-platform-lifecycle")?;
        let components = self.components.into_iter().map(Component::into_software);
        Ok(PlatformClaims {
            profile,
            challenge: challenge.ok_or("cca-platform-challenge (or --realm-key)")?,
            implementation_id: encoding::from_text(&self.implementation_id)
                .and_then(|id| id.try_into().ok())
                .ok_or("cca-platform-implementation-id")?,
            instance_id: instance_id.ok_or("cca-platform-instance-id")?,
            config: bytes(&self.config).ok_or("cca-platform-config")?,
            lifecycle,
            software_components: components
                .collect::<Option<_>>()
                .ok_or("cca-platform-sw-components")?,
            verification_service: self.verification_service,
            hash_algorithm: self.hash_algorithm,
            manufacturing_config: match self.manufacturing_config {
                None => None,
                Some(text) => Some(bytes(&text).ok_or("cca-platform-manufacturing-config")?),
            },
            extension: Vec::new(),
            rot_public_keys: Vec::new(),
            peer_signers: None,
        })
    }
}

impl Component {
    fn into_software(self) -> Option<SoftwareComponent> {
        let countersigners = self.countersigner_ids.iter();
        Some(SoftwareComponent {
            component_type: self.kind,
            measurement: hash_value(&self.measurement_value)?,
            version: self.version,
            signer_id: hash_value(&self.signer_id)?,
            hash_algorithm: self.hash_algo_id,
            live_activation: self.live_firmware_activation,
            countersigners: countersigners
                .map(|id| hash_value(id))
                .collect::<Option<_>>()?,
        })
    }
}
