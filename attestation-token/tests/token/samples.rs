//! Tokens that the tests start from.

use attestation_token::build::Unsigned;
use attestation_token::claims::{
    ExtensionDevice, InstanceId, MecPolicy, PlatformProfile, RealmKey, RealmProfile,
    RotPublicKeyHash,
};
use attestation_token::crypto::{RustCrypto, SigningKey, hash};
use attestation_token::trust::Identity;
use attestation_token::{
    Challenge, Curve, DecodeError, HashAlgorithm, HashValue, Lifecycle, PlatformClaims,
    RealmClaims, SoftwareComponent, Token, TrustAnchor, TrustAnchors, Verification, Verifier,
    Wrapper,
};

pub(crate) const CHALLENGE: Challenge = Challenge([0x5a; 64]);
pub(crate) const IMPLEMENTATION_ID: [u8; 32] = [0x17; 32];

/// A key whose private scalar has this byte in its last place.
pub(crate) fn key(curve: Curve, last: u8) -> SigningKey {
    let mut scalar = vec![0x11; curve.coordinate_bytes()];
    // Below the order of every curve.
    scalar[0] = 0;
    *scalar.last_mut().unwrap() = last;
    SigningKey::from_scalar(curve, &scalar).unwrap()
}

pub(crate) fn component(name: &str) -> SoftwareComponent {
    SoftwareComponent {
        component_type: Some(name.into()),
        measurement: hash(HashAlgorithm::Sha256, name.as_bytes()),
        version: Some("1.2".into()),
        signer_id: HashValue::from([0xee; 32]),
        hash_algorithm: Some("sha-256".into()),
        live_activation: None,
        countersigners: Vec::new(),
    }
}

/// What a token is made of; each test changes what it is about.
#[derive(Clone)]
pub(crate) struct Sample {
    pub(crate) wrapper: Wrapper,
    pub(crate) platform_key: SigningKey,
    pub(crate) realm_key: SigningKey,
    pub(crate) platform: PlatformClaims,
    pub(crate) realm: RealmClaims,
}

impl Sample {
    /// The default: wrapper 399, both profiles of 2023, P-384.
    pub(crate) fn new() -> Self {
        let platform_key = key(Curve::P384, 1);
        let realm_key = key(Curve::P384, 2);
        let public_key = RealmKey::new(realm_key.public_key());
        let platform = PlatformClaims {
            profile: PlatformProfile::V2023,
            challenge: hash(HashAlgorithm::Sha256, public_key.encoded()),
            implementation_id: IMPLEMENTATION_ID,
            instance_id: InstanceId::from_random([0x29; 32]),
            config: vec![0xcf; 4],
            lifecycle: Lifecycle(0x3003),
            software_components: vec![component("MONITOR"), component("RMM")],
            verification_service: Some("https://verifier.example/".into()),
            hash_algorithm: "sha-256".into(),
            manufacturing_config: None,
            extension: Vec::new(),
            rot_public_keys: Vec::new(),
            peer_signers: None,
        };
        let realm = RealmClaims {
            profile: RealmProfile::V2023,
            challenge: CHALLENGE.0,
            instance_id: None,
            personalization_value: [0x77; 64],
            hash_algorithm: HashAlgorithm::Sha256,
            public_key,
            public_key_hash_algorithm: HashAlgorithm::Sha256,
            initial_measurement: HashValue::from([0xa0; 32]),
            extensible_measurements: [1, 2, 3, 4].map(|byte| HashValue::from([byte; 32])),
            mec_policy: None,
            lfa_policy: None,
            devices_token_hash: None,
        };
        Self {
            wrapper: Wrapper::Cca,
            platform_key,
            realm_key,
            platform,
            realm,
        }
    }

    /// The pair of 2024 in the wrapper that goes with it, with every claim there is.
    pub(crate) fn v2024() -> Self {
        use attestation_token::claims::LfaPolicy;

        let mut sample = Self::new();
        sample.wrapper = Wrapper::Cmw;
        sample.platform.profile = PlatformProfile::V2024;
        sample.platform.manufacturing_config = Some(vec![0xab; 4]);
        sample.platform.extension = vec![ExtensionDevice {
            hash_algorithm: Some("sha-256".into()),
            measurements: HashValue::from([1; 48]),
            certificates: HashValue::from([2; 64]),
            uses_ide: true,
            protocol: "spdm-1.2.0".into(),
            vca: Some(HashValue::from([3; 32])),
            device_type: Some("cxl-type-3".into()),
            encryption_type: Some(2),
        }];
        sample.platform.rot_public_keys = vec![RotPublicKeyHash {
            set: "DM".into(),
            array: 0,
            index: 1,
            hash: HashValue::from([4; 32]),
        }];
        sample.platform.peer_signers = Some(vec![0x12, 0x34]);
        sample.platform.software_components[0].live_activation = Some(false);
        sample.platform.software_components[0].countersigners = vec![HashValue::from([5; 32])];
        sample.realm.profile = RealmProfile::V2024;
        sample.realm.instance_id = Some(InstanceId::from_random([0x42; 32]));
        sample.realm.mec_policy = Some(MecPolicy::Private);
        sample.realm.lfa_policy = Some(LfaPolicy::Allow);
        sample.realm.devices_token_hash = Some(HashValue::from([6; 32]));
        sample
    }

    /// The pair from before RMM 1.0.
    pub(crate) fn legacy() -> Self {
        let mut sample = Self::new();
        sample.platform.profile = PlatformProfile::Legacy;
        sample.realm.profile = RealmProfile::None;
        sample.realm.public_key = RealmKey::new_legacy(sample.realm_key.public_key());
        sample.bind();
        sample
    }

    /// Gives the realm token another key.
    pub(crate) fn set_realm_key(&mut self, key: SigningKey) {
        self.realm.public_key = RealmKey::new(key.public_key());
        self.realm_key = key;
        self.bind();
    }

    /// Makes the platform token vouch for the realm key.
    pub(crate) fn bind(&mut self) {
        self.platform.challenge = hash(
            self.realm.public_key_hash_algorithm,
            self.realm.public_key.encoded(),
        );
    }

    pub(crate) fn platform_token(&self) -> Vec<u8> {
        let algorithm = self.platform_key.curve().algorithm();
        Unsigned::platform(&self.platform, algorithm)
            .unwrap()
            .sign(&mut self.platform_key.clone())
            .unwrap()
    }

    pub(crate) fn realm_token(&self) -> Vec<u8> {
        let algorithm = self.realm_key.curve().algorithm();
        Unsigned::realm(&self.realm, algorithm)
            .unwrap()
            .sign(&mut self.realm_key.clone())
            .unwrap()
    }

    pub(crate) fn token(&self) -> Vec<u8> {
        self.wrapper
            .encode(&self.platform_token(), &self.realm_token())
    }

    pub(crate) fn anchor(&self) -> TrustAnchor {
        TrustAnchor {
            identity: Identity {
                instance_id: Some(self.platform.instance_id),
                implementation_id: None,
            },
            key: self.platform_key.public_key(),
        }
    }

    pub(crate) fn verifier(&self) -> Verifier<RustCrypto> {
        verifier([self.anchor()])
    }

    /// Decodes and verifies the token.
    pub(crate) fn verify(&self) -> Result<Verification, DecodeError> {
        let token = Token::decode(&self.token())?;
        Ok(self.verifier().verify(&token, Some(&CHALLENGE)))
    }
}

pub(crate) fn verifier(anchors: impl IntoIterator<Item = TrustAnchor>) -> Verifier<RustCrypto> {
    Verifier::new(RustCrypto, TrustAnchors::new(&RustCrypto, anchors).unwrap())
}
