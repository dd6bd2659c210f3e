//! Claims and results as JSON: what `--json` prints, and what policies in Rego decide on. Bytes
//! are hexadecimal; names are those of the specification.

use alloc::string::ToString as _;
use alloc::vec::Vec;

use serde_json::{Map, Value, json};

use crate::appraise::Appraisal;
use crate::check::Check;
use crate::claims::{
    ExtensionDevice, HashValue, LfaPolicy, LifecycleState, MecPolicy, PlatformClaims, RealmClaims,
    SoftwareComponent,
};
use crate::encoding::hex;
use crate::token::Token;
use crate::trust::file;

/// All that a token says, both parts.
pub fn token(token: &Token) -> Value {
    json!({
        "wrapper-tag": token.wrapper.tag(),
        "platform-algorithm": token.platform.algorithm().name(),
        "realm-algorithm": token.realm.algorithm().name(),
        "platform": platform(token.platform.claims()),
        "realm": realm(token.realm.claims()),
    })
}

/// All that a platform token says.
pub fn platform(claims: &PlatformClaims) -> Value {
    let mut map = Map::new();
    let mut put = |name: &str, value: Value| map.insert(name.to_string(), value);
    put("cca-platform-profile", claims.profile.name().into());
    put(
        "cca-platform-challenge",
        claims.challenge.to_string().into(),
    );
    put(
        "cca-platform-implementation-id",
        hex(&claims.implementation_id).into(),
    );
    put(
        "cca-platform-instance-id",
        claims.instance_id.to_string().into(),
    );
    put("cca-platform-config", hex(&claims.config).into());
    put("cca-platform-lifecycle", claims.lifecycle.0.into());
    let state = claims.lifecycle.state().map(LifecycleState::name);
    put("cca-platform-lifecycle-state", state.into());
    put(
        "cca-platform-hash-algo-id",
        claims.hash_algorithm.as_str().into(),
    );
    let components: Vec<_> = claims.software_components.iter().map(component).collect();
    put("cca-platform-sw-components", components.into());
    if let Some(service) = &claims.verification_service {
        put("cca-platform-verification-service", service.as_str().into());
    }
    if let Some(config) = &claims.manufacturing_config {
        put("cca-platform-manufacturing-config", hex(config).into());
    }
    if !claims.extension.is_empty() {
        let devices: Vec<_> = claims.extension.iter().map(device).collect();
        put("cca-platform-extension", devices.into());
    }
    if !claims.rot_public_keys.is_empty() {
        let keys: Vec<_> = claims
            .rot_public_keys
            .iter()
            .map(|key| {
                json!({
                    "set": key.set,
                    "active-array-index": key.array,
                    "index": key.index,
                    "hash": key.hash.to_string(),
                })
            })
            .collect();
        put("cca-platform-tbb-rotpk", keys.into());
    }
    if let Some(signers) = &claims.peer_signers {
        put("cca-platform-peer-signers", hex(signers).into());
    }
    Value::Object(map)
}

fn component(component: &SoftwareComponent) -> Value {
    let mut map = Map::new();
    let mut put = |name: &str, value: Value| map.insert(name.to_string(), value);
    if let Some(component_type) = &component.component_type {
        put("component-type", component_type.as_str().into());
    }
    put(
        "measurement-value",
        component.measurement.to_string().into(),
    );
    if let Some(version) = &component.version {
        put("version", version.as_str().into());
    }
    put("signer-id", component.signer_id.to_string().into());
    if let Some(algorithm) = &component.hash_algorithm {
        put("hash-algo-id", algorithm.as_str().into());
    }
    if let Some(supported) = component.live_activation {
        put("live-firmware-activation", supported.into());
    }
    if !component.countersigners.is_empty() {
        let ids: Vec<_> = component
            .countersigners
            .iter()
            .map(HashValue::to_string)
            .collect();
        put("countersigner-ids", ids.into());
    }
    Value::Object(map)
}

fn device(device: &ExtensionDevice) -> Value {
    json!({
        "hash-algo-id": device.hash_algorithm,
        "device-measurements-digest": device.measurements.to_string(),
        "certificate-chain-digest": device.certificates.to_string(),
        "uses-ide": device.uses_ide,
        "protocol": device.protocol,
        "vca-digest": device.vca.map(|vca| vca.to_string()),
        "device-type": device.device_type,
        "encryption-type": device.encryption_type,
    })
}

/// All that a realm token says.
pub fn realm(claims: &RealmClaims) -> Value {
    let mut map = Map::new();
    let mut put = |name: &str, value: Value| map.insert(name.to_string(), value);
    if let Some(profile) = claims.profile.name() {
        put("cca-realm-profile", profile.into());
    }
    put("cca-realm-challenge", hex(&claims.challenge).into());
    if let Some(id) = claims.instance_id {
        put("cca-realm-instance-id", id.to_string().into());
    }
    put(
        "cca-realm-personalization-value",
        hex(&claims.personalization_value).into(),
    );
    put(
        "cca-realm-hash-algo-id",
        claims.hash_algorithm.name().into(),
    );
    let key = serde_json::from_str(&file::to_jwk(claims.public_key.key())).unwrap_or_default();
    put("cca-realm-public-key", key);
    put(
        "cca-realm-public-key-hash-algo-id",
        claims.public_key_hash_algorithm.name().into(),
    );
    put(
        "cca-realm-initial-measurement",
        claims.initial_measurement.to_string().into(),
    );
    let rems: Vec<_> = claims
        .extensible_measurements
        .iter()
        .map(HashValue::to_string)
        .collect();
    put("cca-realm-extensible-measurements", rems.into());
    if let Some(policy) = claims.mec_policy {
        put(
            "cca-realm-mec-policy",
            u8::from(policy == MecPolicy::Private).into(),
        );
    }
    if let Some(policy) = claims.lfa_policy {
        put(
            "cca-realm-lfa-policy",
            u8::from(policy == LfaPolicy::Allow).into(),
        );
    }
    if let Some(hash) = claims.devices_token_hash {
        put("cca-realm-devices-token-hash", hash.to_string().into());
    }
    Value::Object(map)
}

/// Checks, in the order in which they were made.
pub fn checks(checks: &[Check]) -> Value {
    checks
        .iter()
        .map(|check| {
            json!({
                "check": check.subject.to_string(),
                "verdict": check.verdict.name(),
                "reason": check.reason.code(),
                "text": check.reason.to_string(),
            })
        })
        .collect()
}

/// What came of a token.
pub fn appraisal(appraisal: &Appraisal) -> Value {
    json!({
        "accepted": appraisal.is_accepted(),
        "trusted": appraisal.is_trusted(),
        "compared": appraisal.is_compared(),
        "checks": checks(appraisal.checks()),
    })
}
