//! Bytes as a token, verified and appraised: nothing is trusted but what the test keys signed.
#![no_main]

#[path = "../../tests/token/samples.rs"]
#[allow(dead_code)]
mod samples;

use std::sync::{LazyLock, Mutex};

use attestation_token::appraise::appraise;
use attestation_token::crypto::RustCrypto;
use attestation_token::ear::{EarContext, EarFormat, claims};
use attestation_token::policy::Policy;
use attestation_token::reference::ReferenceValues;
use attestation_token::reference::extract::from_token;
use attestation_token::trustworthiness::Vectors;
use attestation_token::{
    PlatformClaims, RealmClaims, Token, TrustAnchor, TrustAnchors, VerifiedPlatforms, Verifier,
};
use libfuzzer_sys::fuzz_target;
use samples::{CHALLENGE, Sample};

struct Fixture {
    verifier: Verifier<RustCrypto>,
    references: ReferenceValues,
    signed: Vec<(PlatformClaims, RealmClaims)>,
}

static FIXTURE: LazyLock<Fixture> = LazyLock::new(|| {
    let samples = [Sample::new(), Sample::v2024(), Sample::legacy()];
    let anchor = TrustAnchor::from(samples[0].platform_key.public_key());
    Fixture {
        verifier: Verifier::new(
            RustCrypto,
            TrustAnchors::new(&RustCrypto, [anchor]).unwrap(),
        ),
        references: from_token(&Token::decode(&samples[0].token()).unwrap()),
        signed: samples
            .iter()
            .map(|sample| (sample.platform.clone(), sample.realm.clone()))
            .collect(),
    }
});

static VERIFIED: Mutex<VerifiedPlatforms> = Mutex::new(VerifiedPlatforms::new(4));

fuzz_target!(|bytes: &[u8]| {
    let Ok(token) = Token::decode(bytes) else {
        return;
    };
    let verification = FIXTURE.verifier.verify(&token, Some(&CHALLENGE));
    // What was verified before changes nothing.
    let mut verified = VERIFIED.lock().unwrap();
    let again = FIXTURE
        .verifier
        .verify_with(&token, Some(&CHALLENGE), &mut verified);
    assert_eq!(again, verification);
    let policy = Policy::default();
    let appraisal = appraise(&token, &verification, &FIXTURE.references, &policy);
    let vectors = Vectors::from_appraisal(&appraisal);
    let context = EarContext {
        format: EarFormat::Draft04,
        developer: "fuzz",
        build: "fuzz",
        issued_at: 1,
        expires: None,
        nonce: None,
        policy_id: None,
    };
    let _ = claims(&token, &appraisal, &context).to_string();
    if verification.is_trusted() {
        let found = (token.platform.claims(), token.realm.claims());
        let is_signed = |(platform, realm): &(_, _)| (platform, realm) == found;
        // The same keys sign all samples, so that parts of two may be mixed where they are bound.
        let platforms: Vec<_> = FIXTURE
            .signed
            .iter()
            .map(|(platform, _)| platform)
            .collect();
        let realms: Vec<_> = FIXTURE.signed.iter().map(|(_, realm)| realm).collect();
        assert!(
            FIXTURE.signed.iter().any(is_signed)
                || (platforms.contains(&found.0) && realms.contains(&found.1))
        );
    } else {
        assert!(!appraisal.is_accepted());
        assert!(
            vectors
                .platform
                .claims()
                .iter()
                .all(|(_, value)| *value >= 97)
        );
        assert!(vectors.realm.claims().iter().all(|(_, value)| *value >= 97));
    }
});
