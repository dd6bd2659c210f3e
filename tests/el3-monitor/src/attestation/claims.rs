//! What a platform token of this machine says.

use alloc::string::{String, ToString as _};
use alloc::vec;

use attestation_token::claims::{InstanceId, PlatformProfile};
use attestation_token::{HashAlgorithm, HashValue, Lifecycle, PlatformClaims, SoftwareComponent};

use crate::fault::Fault;

/// The implementation: this monitor on QEMU's `virt` machine.
pub const IMPLEMENTATION_ID: [u8; 32] = *b"Cloister EL3 monitor, QEMU virt\0";

/// Signer of firmware that nobody has signed, as all of a development machine.
const UNSIGNED: [u8; 32] = [0; 32];

/// Bit 0 of the platform configuration: a test has ordered a fault.
const FAULT_INJECTED: u8 = 1 << 0;

const SECURED: Lifecycle = Lifecycle(0x3000);
const NON_PLATFORM_ROT_DEBUG: Lifecycle = Lifecycle(0x4000);

/// SHA-256 of what was booted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Measurements {
    /// The flat image of this monitor.
    pub monitor: [u8; 32],
    /// The RMM image.
    pub rmm: [u8; 32],
}

/// The claims of a token over a challenge.
pub(super) fn platform(
    challenge: HashValue,
    instance_id: InstanceId,
    measurements: &Measurements,
    fault: Option<Fault>,
) -> PlatformClaims {
    let version = env!("CARGO_PKG_VERSION").to_string();
    PlatformClaims {
        profile: PlatformProfile::V2023,
        challenge,
        implementation_id: IMPLEMENTATION_ID,
        instance_id,
        config: vec![if fault.is_some() { FAULT_INJECTED } else { 0 }],
        lifecycle: match fault {
            Some(Fault::DebugLifecycle) => NON_PLATFORM_ROT_DEBUG,
            _ => SECURED,
        },
        software_components: vec![
            component("EL3-monitor", measurements.monitor, Some(version)),
            // The image does not say which version it is.
            component("RMM", measurements.rmm, None),
        ],
        verification_service: None,
        hash_algorithm: HashAlgorithm::Sha256.name().to_string(),
        manufacturing_config: None,
        extension: vec![],
        rot_public_keys: vec![],
        peer_signers: None,
    }
}

fn component(name: &str, measurement: [u8; 32], version: Option<String>) -> SoftwareComponent {
    SoftwareComponent {
        component_type: Some(name.to_string()),
        measurement: measurement.into(),
        version,
        signer_id: UNSIGNED.into(),
        hash_algorithm: None,
        live_activation: None,
        countersigners: vec![],
    }
}
