//! Bytes as CoRIM.
#![no_main]

use std::sync::LazyLock;

use attestation_token::crypto::{RustCrypto, SigningKey};
use attestation_token::reference::corim::{is_corim, parse, parse_signed, write};
use attestation_token::{Curve, PublicKey};
use libfuzzer_sys::fuzz_target;

/// After the beginning and before the end of what seeds are valid for.
const NOW: i64 = 1_800_000_000;

/// A key that signed nothing.
static SIGNED_NOTHING: LazyLock<PublicKey> = LazyLock::new(|| {
    let key = SigningKey::from_scalar(Curve::P384, &[0x22; 48]).unwrap();
    key.public_key()
});

fuzz_target!(|bytes: &[u8]| {
    match parse(bytes, NOW) {
        Ok(endorsements) => {
            if let Ok(documents) = write(&endorsements.references, "fuzz") {
                let documents = [documents.platform, documents.realm];
                for document in documents.into_iter().flatten() {
                    assert!(is_corim(&document));
                    let again = parse(&document, NOW).unwrap().references;
                    let all = &endorsements.references;
                    assert!(
                        again.platforms.is_empty() || again.platforms.len() == all.platforms.len()
                    );
                    assert!(again.realms.is_empty() || again.realms == all.realms);
                }
            }
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
    assert!(parse_signed(bytes, NOW, &RustCrypto, &SIGNED_NOTHING).is_err());
});
