//! Reference values from a token that somebody trusts.

use alloc::string::String;
use alloc::vec::Vec;

use super::{ComponentReference, MaskedBytes, PlatformReference, RealmReference, ReferenceValues};
use crate::claims::{PlatformClaims, RealmClaims, SoftwareComponent};
use crate::token::Token;

/// The state that a token is in, as the only good one.
pub fn from_token(token: &Token) -> ReferenceValues {
    ReferenceValues {
        platforms: alloc::vec![from_platform(token.platform.claims())],
        realms: alloc::vec![from_realm(token.realm.claims())],
    }
}

/// The state of a machine, as the only good one of its kind.
pub fn from_platform(claims: &PlatformClaims) -> PlatformReference {
    let exact = |bytes: &Vec<u8>| MaskedBytes::exact(bytes.clone());
    PlatformReference {
        name: None,
        implementation_id: Some(claims.implementation_id),
        config: alloc::vec![exact(&claims.config)],
        manufacturing_config: claims.manufacturing_config.iter().map(exact).collect(),
        software_components: claims.software_components.iter().map(component).collect(),
    }
}

fn component(component: &SoftwareComponent) -> ComponentReference {
    ComponentReference {
        component_type: component.component_type.clone(),
        version: component.version.clone(),
        signer_id: Some(component.signer_id),
        measurements: alloc::vec![component.measurement],
        optional: false,
    }
}

/// The state of a Realm, as the only good one.
pub fn from_realm(claims: &RealmClaims) -> RealmReference {
    RealmReference {
        name: None::<String>,
        initial_measurement: alloc::vec![claims.initial_measurement],
        extensible_measurements: claims.extensible_measurements.map(|rem| alloc::vec![rem]),
        personalization_value: alloc::vec![claims.personalization_value],
    }
}
