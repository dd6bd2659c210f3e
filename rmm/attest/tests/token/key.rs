//! The realm attestation key.

use attestation_token::{HashAlgorithm, Token};
use rmm_attest::{Attester, KeyError};

use super::samples::{attester, bytes, request, scalar};
use super::token;

/// The coordinates of the public half, as a token has them.
fn public_key(attester: &Attester) -> ([u8; 48], [u8; 48]) {
    let token = token(attester, &request(HashAlgorithm::Sha256));
    let token = Token::decode(&token).unwrap();
    let key = token.realm.claims().public_key.key();
    (key.x().try_into().unwrap(), key.y().try_into().unwrap())
}

/// With the platform token of another key, which nobody looks at here.
fn attester_of(scalar: &[u8; 48]) -> Attester {
    let mut attester = Attester::new(scalar).unwrap();
    let claims = super::samples::platform_claims([0x55; 32]);
    attester
        .set_platform_token(&super::samples::signed(&claims))
        .unwrap();
    attester
}

/// The key whose other half and whose binding others have published (reference, section 10.4).
#[test]
fn a_key_that_is_known() {
    let attester = attester();
    let x = bytes(concat!(
        "76f988091be585ed41801aecfab858548c63057e16b0e676",
        "120bbd0d2f9c29e056c5d41a0130eb9c21517899dc23146b"
    ));
    let y = bytes(concat!(
        "28e1b062bd3ea4b315fd219f1cbb528cb6e74ca49be16773",
        "734f61a1ca61031b2bbf3d918f2f94ffc4228e50919544ae"
    ));
    assert_eq!(public_key(&attester), (x, y));
    let binding: [u8; 32] =
        bytes("0d22e08a98469058486318283489bdb36f09dbefeb1864df433fa6e54ea2d711");
    assert_eq!(attester.binding(), binding);
}

/// The order of the curve (SEC 2, section 2.5.1).
fn order() -> [u8; 48] {
    bytes(concat!(
        "ffffffffffffffffffffffffffffffffffffffffffffffff",
        "c7634d81f4372ddf581a0db248b0a77aecec196accc52973"
    ))
}

#[test]
fn scalars_that_are_no_keys() {
    let order = order();
    let mut above = order;
    above[47] += 1;
    let mut far_above = order;
    far_above[24] += 1;
    for scalar in [[0; 48], order, above, far_above, [0xff; 48]] {
        let outcome = Attester::new(&scalar);
        assert_eq!(outcome.err(), Some(KeyError::OutOfRange), "{scalar:02x?}");
    }
}

/// One and minus one: the generator and its mirror image (SEC 2, section 2.5.1).
#[test]
fn the_smallest_and_the_largest_key() {
    let x: [u8; 48] = bytes(concat!(
        "aa87ca22be8b05378eb1c71ef320ad746e1d3b628ba79b98",
        "59f741e082542a385502f25dbf55296c3a545e3872760ab7"
    ));
    let y = bytes(concat!(
        "3617de4a96262c6f5d9e98bf9292dc29f8f41dbd289a147c",
        "e9da3113b5f0b8c00a60b1ce1d7e819d7a431d7c90ea0e5f"
    ));
    let mut one = [0; 48];
    one[47] = 1;
    let mut minus_one = order();
    minus_one[47] -= 1;
    assert_eq!(public_key(&attester_of(&one)), (x, y));
    let (other_x, other_y) = public_key(&attester_of(&minus_one));
    assert_eq!(other_x, x);
    assert_ne!(other_y, y);
    let bindings = [one, minus_one, scalar()].map(|key| attester_of(&key).binding());
    assert!(bindings[0] != bindings[1] && bindings[1] != bindings[2]);
}

/// What is printed for people has nothing of the private half in it.
#[test]
fn nothing_is_printed() {
    let text = format!("{:?}", attester()).to_lowercase();
    assert!(text.contains("76 f9 88 09"), "the public half: {text}");
    for part in scalar().windows(4) {
        for between in ["", " ", ", ", ", 0x"] {
            for decimal in [false, true] {
                let byte = |byte: &u8| {
                    if decimal {
                        byte.to_string()
                    } else {
                        format!("{byte:02x}")
                    }
                };
                let part: Vec<String> = part.iter().map(byte).collect();
                assert!(!text.contains(&part.join(between)), "{text}");
            }
        }
    }
}
