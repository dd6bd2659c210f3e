use rmm_abi::rsi::VERSION_1_0;

use super::*;
use crate::fake::Script;

#[test]
fn version_reports_what_fits_and_what_does_not() {
    let script = Script::new([&[0, 0x1_0000, 0x1_0002], &[1, 0x1_0000, 0x2_0000]]);
    let offer = version(&script, VERSION_1_0).unwrap();
    assert_eq!(
        offer,
        Offer {
            compatible: true,
            lower: VERSION_1_0,
            higher: Version::new(1, 2)
        }
    );
    let offer = version(&script, Version::new(1, 5)).unwrap();
    assert!(!offer.compatible);
    assert_eq!(offer.higher, Version::new(2, 0));
    script.expect_calls([&[0xc400_0190, 0x1_0000], &[0xc400_0190, 0x1_0005]]);
}

#[test]
fn outside_a_realm_nobody_answers() {
    let script = Script::new([&[u64::MAX], &[u64::MAX]]);
    assert_eq!(version(&script, VERSION_1_0), Err(Error::NotRealm));
    assert_eq!(features(&script, 0), Err(Error::NotRealm));
}

#[test]
fn every_code_has_its_error() {
    let script = Script::new([&[1, 9], &[2, 9], &[3, 9], &[4, 9], &[5, 9], &[0, 9]]);
    assert_eq!(features(&script, 7), Err(Error::Input));
    assert_eq!(features(&script, 7), Err(Error::State));
    assert_eq!(features(&script, 7), Err(Error::Unexpected(3)));
    assert_eq!(features(&script, 7), Err(Error::Unknown));
    assert_eq!(features(&script, 7), Err(Error::Unexpected(5)));
    assert_eq!(features(&script, 7), Ok(9));
    script.expect_calls([&[0xc400_0191, 7]; 6]);
}

#[test]
fn a_version_word_with_high_bits_is_no_version() {
    let script = Script::new([&[0, 1 << 31, 0], &[1, 0x1_0000, u64::MAX]]);
    assert_eq!(
        version(&script, VERSION_1_0),
        Err(Error::Unexpected(1 << 31))
    );
    assert_eq!(
        version(&script, VERSION_1_0),
        Err(Error::Unexpected(u64::MAX))
    );
}

#[test]
fn measurements_are_little_endian_words() {
    let script = Script::new([&[
        0,
        0x0706_0504_0302_0100,
        0x0f0e_0d0c_0b0a_0908,
        0,
        0,
        0,
        0,
        0,
        0x3f3e_3d3c_3b3a_3938,
        0xffff,
    ]]);
    let value = measurement_read(&script, 4).unwrap();
    assert_eq!(
        value[..16],
        [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]
    );
    assert_eq!(value[16..56], [0; 40]);
    assert_eq!(value[56], 0x38);
    assert_eq!(value[63], 0x3f);
    script.expect_calls([&[0xc400_0192, 4]]);
}

#[test]
fn an_extension_carries_its_bytes_and_zeros_after_them() {
    let script = Script::new([&[0], &[0], &[1]]);
    measurement_extend(&script, 2, &[1, 2, 3, 4, 5, 6, 7, 8, 9]).unwrap();
    measurement_extend(&script, 1, &[]).unwrap();
    assert_eq!(
        measurement_extend(&script, 0, &[0xaa; 64]),
        Err(Error::Input)
    );
    assert_eq!(measurement_extend(&script, 1, &[0; 65]), Err(Error::Input));
    let full = [0xaaaa_aaaa_aaaa_aaaa; 8];
    script.expect_calls([
        &[0xc400_0193, 2, 9, 0x0807_0605_0403_0201, 9],
        &[0xc400_0193, 1, 0],
        &[&[0xc400_0193, 0, 64][..], &full].concat(),
    ]);
}

#[test]
fn a_challenge_fills_eight_registers() {
    let script = Script::new([&[0, 4096], &[4]]);
    let challenge = core::array::from_fn(|n| u8::try_from(n).unwrap());
    assert_eq!(attestation_token_init(&script, &challenge), Ok(4096));
    assert_eq!(
        attestation_token_init(&script, &challenge),
        Err(Error::Unknown)
    );
    let words = |call: &[u64; REGISTERS]| (call[0], call[1], call[8], call[9]);
    assert_eq!(
        words(&script.calls.borrow()[0]),
        (0xc400_0194, 0x0706_0504_0302_0100, 0x3f3e_3d3c_3b3a_3938, 0)
    );
}

#[test]
fn a_token_step_says_how_much_and_whether_it_was_the_last() {
    let mut page = TokenPage([0; 4096]);
    let script = Script::new([&[3, 16], &[0, 4080], &[2], &[4], &[3, 4097]]);
    let mut step = |offset| attestation_token_continue(&script, &mut page, offset);
    assert_eq!(
        step(0),
        Ok(TokenPiece {
            written: 16,
            complete: false
        })
    );
    assert_eq!(
        step(16),
        Ok(TokenPiece {
            written: 4080,
            complete: true
        })
    );
    assert_eq!(step(0), Err(Error::State));
    assert_eq!(step(0), Err(Error::Unknown));
    assert_eq!(step(0), Err(Error::Unexpected(4097)));
    assert_eq!(step(4097), Err(Error::Input));
    script.expect_calls([
        &[0xc400_0195, 0x7700_0000, 0, 4096],
        &[0xc400_0195, 0x7700_0000, 16, 4080],
        &[0xc400_0195, 0x7700_0000, 0, 4096],
        &[0xc400_0195, 0x7700_0000, 0, 4096],
        &[0xc400_0195, 0x7700_0000, 0, 4096],
    ]);
}

#[test]
fn structures_travel_by_their_intermediate_address() {
    let script = Script::new([&[0], &[1], &[0], &[1]]);
    let mut config = RealmConfig::default();
    assert_eq!(realm_config(&script, &mut config), Ok(()));
    assert_eq!(realm_config(&script, &mut config), Err(Error::Input));
    let mut arguments = HostCall::default();
    let low_bits = core::ptr::from_ref(&arguments).addr() as u64 & 0xfff;
    assert_eq!(host_call(&script, &mut arguments), Ok(()));
    assert_eq!(host_call(&script, &mut arguments), Err(Error::Input));
    let address = 0x7700_0000 | low_bits;
    script.expect_calls([
        &[0xc400_0196, 0x7700_0000],
        &[0xc400_0196, 0x7700_0000],
        &[0xc400_0199, address],
        &[0xc400_0199, address],
    ]);
}

#[test]
fn a_change_of_ripas_is_judged_by_x0_first() {
    let script = Script::new([&[1, 0, 1], &[0, 0x2000, 1], &[0, 0x3000, 0]]);
    let set = |ripas, destroyed| ipa_state_set(&script, 0x1000, 0x3000, ripas, destroyed);
    assert_eq!(set(Ripas::Ram, Destroyed::Keep), Err(Error::Input));
    assert_eq!(
        set(Ripas::Ram, Destroyed::Change),
        Ok(Progress {
            new_base: 0x2000,
            response: Response::Reject
        })
    );
    assert_eq!(
        set(Ripas::Empty, Destroyed::Keep),
        Ok(Progress {
            new_base: 0x3000,
            response: Response::Accept
        })
    );
    script.expect_calls([
        &[0xc400_0197, 0x1000, 0x3000, 1, 0],
        &[0xc400_0197, 0x1000, 0x3000, 1, 1],
        &[0xc400_0197, 0x1000, 0x3000, 0, 0],
    ]);
}

#[test]
fn answers_outside_the_range_are_not_believed() {
    let script = Script::new([
        &[0, 0xfff, 0],
        &[0, 0x3001, 0],
        &[0, 0x3000, 2],
        &[0, 0x1000, 1],
        &[0, 0x3001, 1],
        &[0, 0x2000, 3],
        &[0, 0x2000, 2],
    ]);
    let set = || ipa_state_set(&script, 0x1000, 0x3000, Ripas::Ram, Destroyed::Keep);
    assert_eq!(set(), Err(Error::Unexpected(0xfff)));
    assert_eq!(set(), Err(Error::Unexpected(0x3001)));
    assert_eq!(set(), Err(Error::Unexpected(2)));
    let get = || ipa_state_get(&script, 0x1000, 0x3000);
    assert_eq!(get(), Err(Error::Unexpected(0x1000)));
    assert_eq!(get(), Err(Error::Unexpected(0x3001)));
    assert_eq!(get(), Err(Error::Unexpected(3)));
    assert_eq!(
        get(),
        Ok(RipasRange {
            base: 0x1000,
            top: 0x2000,
            ripas: Ripas::Destroyed
        })
    );
    assert_eq!(
        script.calls.borrow()[6][..4],
        [0xc400_0198, 0x1000, 0x3000, 0]
    );
}
