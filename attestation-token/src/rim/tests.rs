use alloc::string::ToString as _;

use super::*;

/// The steps of the reference, section 9.7, and the measurement after each.
fn steps(algorithm: HashAlgorithm) -> [HashValue; 5] {
    let mut realm = Realm::new(&RealmParameters::new(algorithm)).unwrap();
    let created = realm.initial_measurement();
    realm.init_ripas(0x8000_0000, 0x8020_0000, 2).unwrap();
    let ripas = realm.initial_measurement();
    realm
        .data(0x8000_0000, Content::Measured(&[0; GRANULE_BYTES]))
        .unwrap();
    let measured = realm.initial_measurement();
    realm.data(0x8000_1000, Content::Unmeasured).unwrap();
    let unmeasured = realm.initial_measurement();
    realm.rec(&Rec {
        pc: 0x8000_0000,
        gprs: [0x8800_0000, 0, 0, 0, 0, 0, 0, 0],
    });
    [
        created,
        ripas,
        measured,
        unmeasured,
        realm.initial_measurement(),
    ]
}

#[test]
fn sha_256_is_as_in_the_reference() {
    let expected = [
        "045cb3602843a6845cb710fbbfbb92f0c7d611afe0106ac2953e46950a70c42b",
        "7ca45e3aec88361274bb4a7157ac88c9f2325e4b125241674ec2f53f4f2c039e",
        "778f59d1426ddf461c43e7620b29c0dd59a24d74263572787d9c4c6461c53c3e",
        "69024a7dacea7fcc282dde38dde115ddc6cf1bedc5bb22815b7ba02f9a413efe",
        "b9b5d8c138ec4679863edde30a82dc51a1af50fcd526dfec569e276a8b8b0778",
    ];
    let found = steps(HashAlgorithm::Sha256).map(|value| value.to_string());
    assert_eq!(found, expected);
}

#[test]
fn sha_512_is_as_in_the_reference() {
    let expected = [
        "066e19aa2c3418dadc20ef31b5595907c612991952553e1e99731a677b5797c9\
         898dffb6e3963a20b8e1af6d136cd2fe6fe25f048577dc3d7e5bf3a79a4b1e81",
        "8e5f9b47a4912e18d091c3f5d36c970b81380d12fd65b09beb6a7112a02f91a4\
         37d540b15782b6c6afd9fbb0373c266febab730ec63aa1c8e09f5d5e4dc2baa9",
        "7fabeeff7b106ba9133511edba5be94423fd1e96d804ef1893154fd51c73a307\
         722557812944a75d9e5ba94aa4462fdb5f2d6b19cdde935aee471463c70c4fc1",
        "b4883c00bc15e883dac390b989ea91b7aa0c73120f1d99cd3cc0e57a9ef7046c\
         a24bb64e42f3bc0762a45de4730b840f15874ba2b03feeae7983e3e2c3369745",
        "c2393be7e1e32bd52ca3486ae0ecf5e5388c40c34736bac90c3bf0ca4738fe53\
         091e915e2626eae17698b4d66e45e866acfd58b673360cda02397780bf94a13e",
    ];
    let found = steps(HashAlgorithm::Sha512).map(|value| value.to_string());
    assert_eq!(found, expected);
}

#[test]
fn extensible_measurements_are_as_in_the_reference() {
    let value: [u8; 32] = core::array::from_fn(|index| u8::try_from(index).unwrap() + 1);
    for (algorithm, expected) in [
        (
            HashAlgorithm::Sha256,
            "c490fcb8406937e154290bb8946f8dc562908c948110cc6d65055c1e26e35113",
        ),
        (
            HashAlgorithm::Sha512,
            "f45bd3df811b00d583e53ff8b7aec106f6277b6f23854dc3c4d1981f7e39ce64",
        ),
    ] {
        let mut rem = ExtensibleMeasurement::new(algorithm).unwrap();
        assert!(rem.value().as_bytes().iter().all(|byte| *byte == 0));
        rem.extend(&value).unwrap();
        assert!(rem.value().to_string().starts_with(expected));
        assert_eq!(rem.extend(&[0; 65]), Err(RimError::TooLong));
    }
    let error = ExtensibleMeasurement::new(HashAlgorithm::Sha384).unwrap_err();
    assert_eq!(error, RimError::HashAlgorithm);
}

#[test]
fn each_parameter_counts() {
    let plain = RealmParameters::new(HashAlgorithm::Sha256);
    let mut all = alloc::vec![
        plain,
        RealmParameters {
            lpa2: true,
            ..plain
        },
        RealmParameters {
            sve_vl: Some(0),
            ..plain
        },
        RealmParameters {
            sve_vl: Some(3),
            ..plain
        },
        RealmParameters {
            pmu_counters: Some(0),
            ..plain
        },
        RealmParameters {
            pmu_counters: Some(6),
            ..plain
        },
        RealmParameters {
            ipa_width: 48,
            ..plain
        },
        RealmParameters {
            breakpoints: 2,
            ..plain
        },
        RealmParameters {
            watchpoints: 2,
            ..plain
        },
    ];
    let count = all.len();
    all.sort_by_key(|parameters| Realm::new(parameters).unwrap().initial_measurement());
    all.dedup_by_key(|parameters| Realm::new(parameters).unwrap().initial_measurement());
    assert_eq!(all.len(), count);
    assert!(Realm::new(&RealmParameters::new(HashAlgorithm::Sha384)).is_err());
}

#[test]
fn splitting_a_range_changes_nothing_and_its_level_does() {
    let new = || Realm::new(&RealmParameters::new(HashAlgorithm::Sha256)).unwrap();
    let mut whole = new();
    whole.init_ripas(0, 0x40_0000, 2).unwrap();
    let mut split = new();
    split.init_ripas(0, 0x20_0000, 2).unwrap();
    split.init_ripas(0x20_0000, 0x40_0000, 2).unwrap();
    assert_eq!(whole.initial_measurement(), split.initial_measurement());
    let mut pages = new();
    pages.init_ripas(0, 0x40_0000, 3).unwrap();
    assert_ne!(whole.initial_measurement(), pages.initial_measurement());
}

#[test]
fn what_cannot_be_is_refused() {
    let parameters = RealmParameters::new(HashAlgorithm::Sha256);
    let mut realm = Realm::new(&parameters).unwrap();
    let before = realm.initial_measurement();
    let top = 1 << 39;
    assert_eq!(realm.init_ripas(0, 0x1000, 2), Err(RimError::Alignment));
    assert_eq!(
        realm.init_ripas(0x1000, 0x20_0000, 2),
        Err(RimError::Alignment)
    );
    assert_eq!(realm.init_ripas(0x1000, 0x1000, 3), Err(RimError::Range));
    assert_eq!(realm.init_ripas(0x2000, 0x1000, 3), Err(RimError::Range));
    assert_eq!(realm.init_ripas(top, top + 0x1000, 3), Err(RimError::Range));
    assert_eq!(realm.init_ripas(0, 0x1000, 0), Err(RimError::Level));
    assert_eq!(realm.init_ripas(0, 0x1000, 4), Err(RimError::Level));
    assert_eq!(
        realm.data(0x800, Content::Unmeasured),
        Err(RimError::Alignment)
    );
    assert_eq!(realm.data(top, Content::Unmeasured), Err(RimError::Range));
    let wide = RealmParameters {
        ipa_width: 52,
        ..parameters
    };
    let mut wide = Realm::new(&wide).unwrap();
    assert_eq!(wide.init_ripas(0, 1 << 40, 3), Err(RimError::TooMany));
    assert_eq!(realm.initial_measurement(), before);
    realm.data(top - 0x1000, Content::Unmeasured).unwrap();
    for ipa_width in [0, 1, 64, 255] {
        let mut realm = Realm::new(&RealmParameters {
            ipa_width,
            ..parameters
        })
        .unwrap();
        let _ = realm.data(u64::MAX - 0xfff, Content::Unmeasured);
        let _ = realm.init_ripas(0, u64::MAX - 0xfff, 1);
    }
}
