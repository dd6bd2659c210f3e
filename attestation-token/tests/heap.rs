//! Making a token takes little memory: an RMM gives it a heap of 16 KiB.

use attestation_token::build::Unsigned;
use attestation_token::claims::{
    HashValue, InstanceId, MecPolicy, RealmClaims, RealmKey, RealmProfile,
};
use attestation_token::{Algorithm, Curve, HashAlgorithm, PublicKey, Wrapper};
use peak_alloc::PeakAlloc;

#[global_allocator]
static HEAP: PeakAlloc = PeakAlloc;

/// The largest platform token that is expected, in bytes.
const PLATFORM_TOKEN: [u8; 1600] = [0x5a; 1600];

/// Most bytes that may be allocated at the same time.
const LIMIT: usize = 5 * 1024;

fn claims(profile: RealmProfile, hash_algorithm: HashAlgorithm) -> RealmClaims {
    let measurement = HashValue::from_slice(&vec![0xa0; hash_algorithm.bytes()]).unwrap();
    let later = profile == RealmProfile::V2024;
    RealmClaims {
        profile,
        challenge: [1; 64],
        instance_id: later.then(|| InstanceId::from_random([2; 32])),
        personalization_value: [3; 64],
        hash_algorithm,
        public_key: RealmKey::new(
            PublicKey::from_coordinates(Curve::P384, &[4; 48], &[5; 48]).unwrap(),
        ),
        public_key_hash_algorithm: HashAlgorithm::Sha256,
        initial_measurement: measurement,
        extensible_measurements: [measurement; 4],
        mec_policy: later.then_some(MecPolicy::Shared),
        lfa_policy: None,
        devices_token_hash: None,
    }
}

/// Bytes allocated at most while `work` runs, beyond those before.
fn peak<T>(work: impl FnOnce() -> T) -> (T, usize) {
    let before = HEAP.current_usage();
    HEAP.reset_peak_usage();
    let result = work();
    (result, HEAP.peak_usage() - before)
}

/// The only test of this file, so that nothing else allocates meanwhile.
#[test]
fn a_token_is_made_in_little_memory() {
    for (profile, algorithm, wrapper, length) in [
        (
            RealmProfile::V2023,
            HashAlgorithm::Sha256,
            Wrapper::Cca,
            590,
        ),
        (
            RealmProfile::V2023,
            HashAlgorithm::Sha512,
            Wrapper::Cca,
            750,
        ),
        (
            RealmProfile::V2024,
            HashAlgorithm::Sha256,
            Wrapper::Cmw,
            632,
        ),
        (
            RealmProfile::V2024,
            HashAlgorithm::Sha512,
            Wrapper::Cmw,
            792,
        ),
    ] {
        let (realm_token, for_realm) = peak(|| {
            let unsigned = Unsigned::realm(&claims(profile, algorithm), Algorithm::Es384).unwrap();
            assert!(unsigned.to_be_signed().len() > 400);
            unsigned.signed(&[0x77; 96]).unwrap()
        });
        assert_eq!(realm_token.len(), length);
        let (token, for_pair) = peak(|| wrapper.encode(&PLATFORM_TOKEN, &realm_token));
        println!("{profile:?} {algorithm:?}: realm {for_realm}, pair {for_pair}");
        assert!(token.len() > PLATFORM_TOKEN.len() + length);
        assert!(for_realm <= LIMIT, "realm token: {for_realm} bytes");
        assert!(
            realm_token.len() + for_pair <= LIMIT,
            "pair: {for_pair} bytes"
        );
    }
}
