//! The command as people and scripts use it.

use std::ffi::OsStr;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use attestation_token::build::Unsigned;
use attestation_token::claims::{InstanceId, PlatformProfile, RealmKey, RealmProfile};
use attestation_token::crypto::{SigningKey, hash};
use attestation_token::encoding::hex;
use attestation_token::trust::file::to_jwk;
use attestation_token::{
    Algorithm, Curve, HashAlgorithm, HashValue, Lifecycle, PlatformClaims, RealmClaims,
    SoftwareComponent, Wrapper,
};

mod keys_and_signing;
mod readme;
mod reference_values;
mod rim;
mod verdicts;

/// A folder of one test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, content).unwrap();
        path
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Runs the command in the folder, with something on its standard input.
    fn run_with(&self, input: &[u8], arguments: &[impl AsRef<OsStr>]) -> Ran {
        let mut child = Command::new(env!("CARGO_BIN_EXE_cca-token"))
            .args(arguments)
            .current_dir(&self.0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // It need not read what it does not want.
        let _ = child.stdin.take().unwrap().write_all(input);
        Ran::from(&child.wait_with_output().unwrap())
    }

    fn run(&self, arguments: &[impl AsRef<OsStr>]) -> Ran {
        self.run_with(b"", arguments)
    }
}

/// What a run left.
#[derive(Debug)]
struct Ran {
    code: i32,
    output: Vec<u8>,
    errors: String,
}

impl From<&Output> for Ran {
    fn from(output: &Output) -> Self {
        Self {
            code: output.status.code().unwrap(),
            output: output.stdout.clone(),
            errors: String::from_utf8(output.stderr.clone()).unwrap(),
        }
    }
}

impl Ran {
    fn text(&self) -> &str {
        std::str::from_utf8(&self.output).unwrap()
    }

    fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.output).unwrap()
    }
}

/// What a token is made of.
#[derive(Clone)]
struct Sample {
    platform_key: SigningKey,
    realm_key: SigningKey,
    platform: PlatformClaims,
    realm: RealmClaims,
}

fn key(last: u8) -> SigningKey {
    let mut scalar = [0x11; 48];
    scalar[47] = last;
    SigningKey::from_scalar(Curve::P384, &scalar).unwrap()
}

impl Sample {
    fn new() -> Self {
        let realm_key = key(2);
        let public_key = RealmKey::new(realm_key.public_key());
        let component = |name: &str| SoftwareComponent {
            component_type: Some(name.into()),
            measurement: hash(HashAlgorithm::Sha256, name.as_bytes()),
            version: None,
            signer_id: HashValue::from([0xee; 32]),
            hash_algorithm: None,
            live_activation: None,
            countersigners: Vec::new(),
        };
        Self {
            platform: PlatformClaims {
                profile: PlatformProfile::V2023,
                challenge: hash(HashAlgorithm::Sha256, public_key.encoded()),
                implementation_id: [0x17; 32],
                instance_id: InstanceId::from_random([0x29; 32]),
                config: vec![0xcf; 4],
                lifecycle: Lifecycle(0x3003),
                software_components: vec![component("MONITOR"), component("RMM")],
                verification_service: Some("https://\u{1b}[2Jverifier.example/".into()),
                hash_algorithm: "sha-256".into(),
                manufacturing_config: None,
                extension: Vec::new(),
                rot_public_keys: Vec::new(),
                peer_signers: None,
            },
            realm: RealmClaims {
                profile: RealmProfile::V2023,
                challenge: [0x5a; 64],
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
            },
            platform_key: key(1),
            realm_key,
        }
    }

    fn platform_token(&self) -> Vec<u8> {
        Unsigned::platform(&self.platform, Algorithm::Es384)
            .unwrap()
            .sign(&mut self.platform_key.clone())
            .unwrap()
    }

    fn token(&self) -> Vec<u8> {
        let realm = Unsigned::realm(&self.realm, Algorithm::Es384)
            .unwrap()
            .sign(&mut self.realm_key.clone())
            .unwrap();
        Wrapper::Cca.encode(&self.platform_token(), &realm)
    }

    fn anchor(&self) -> String {
        to_jwk(&self.platform_key.public_key())
    }

    fn challenge(&self) -> String {
        hex(&self.realm.challenge)
    }
}

/// A folder with `token.cbor` and `anchor.jwk` of a sample.
fn prepared(name: &str, sample: &Sample) -> Folder {
    let folder = Folder::new(name);
    folder.write("token.cbor", sample.token());
    folder.write("anchor.jwk", sample.anchor());
    folder
}
