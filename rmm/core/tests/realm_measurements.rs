//! The initial measurement of a Realm, to the bit.
#![allow(missing_docs)]

use fake_machine::{Bench, Memory, realm_params};
use rmm_abi::rmi::fid;

const BASE: u64 = 0x8000_0000;

fn bytes(hex: &str) -> Vec<u8> {
    let digits = hex.as_bytes().chunks(2);
    digits
        .map(|pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

/// The RIM that is somewhere in the Realm descriptor, of all places where it could be.
fn descriptor_holds(memory: &Memory, rd: u64, rim: &[u8]) -> bool {
    let content: Vec<u8> = (0..512)
        .flat_map(|word| memory.inspect(rd, word).to_le_bytes())
        .collect();
    let mut whole = rim.to_vec();
    whole.resize(64, 0);
    content.windows(64).any(|window| window == whole)
}

/// Reference, section 9.7.
fn vectors(hash_algorithm: u8, steps: [&str; 5]) {
    let memory = Memory::new(&[(BASE, 64)]);
    let rmm = memory.rmm();
    let mut bench = Bench::new(&memory, &rmm);
    let mut params = realm_params(40, 1, 2);
    params.hash_algo = hash_algorithm;
    // What is not measured is not zero.
    params.rpv = [0xa5; 64];
    params.vmid = 0x1234;
    let rd = bench.realm(&params);
    let holds = |step: usize| {
        for (number, rim) in steps.iter().enumerate() {
            assert_eq!(
                descriptor_holds(&memory, rd, &bytes(rim)),
                number == step,
                "step {number}"
            );
        }
    };
    holds(0);

    let ipa = 0x8000_0000;
    bench.tables(rd, ipa, 2);
    bench.succeed(fid::RTT_INIT_RIPAS, &[rd, ipa, ipa + 0x20_0000]);
    holds(1);

    bench.tables(rd, ipa, 3);
    let (data, source) = (bench.delegated(), bench.host_granule());
    bench.succeed(fid::DATA_CREATE, &[rd, data, ipa, source, 1]);
    holds(2);

    let (data, source) = (bench.delegated(), bench.host_granule());
    bench.fill(source, 77);
    bench.succeed(fid::DATA_CREATE, &[rd, data, ipa + 0x1000, source, 0]);
    holds(3);

    let page = bench.host_granule();
    let mut params = bench.rec_params(rd);
    params.flags = 1;
    params.pc = 0x8000_0000;
    params.gprs[0] = 0x8800_0000;
    bench.write(page, &params);
    let rec = bench.delegated();
    bench.succeed(fid::REC_CREATE, &[rd, rec, page]);
    holds(4);

    // Neither a REC that is not runnable nor memory of unknown content is measured, and an active
    // Realm keeps its measurement.
    bench.rec(rd, false);
    bench.data(rd, ipa + 0x5000);
    bench.succeed(fid::REALM_ACTIVATE, &[rd]);
    holds(4);
}

#[test]
fn vectors_with_sha_256() {
    vectors(
        0,
        [
            "045cb3602843a6845cb710fbbfbb92f0c7d611afe0106ac2953e46950a70c42b",
            "7ca45e3aec88361274bb4a7157ac88c9f2325e4b125241674ec2f53f4f2c039e",
            "778f59d1426ddf461c43e7620b29c0dd59a24d74263572787d9c4c6461c53c3e",
            "69024a7dacea7fcc282dde38dde115ddc6cf1bedc5bb22815b7ba02f9a413efe",
            "b9b5d8c138ec4679863edde30a82dc51a1af50fcd526dfec569e276a8b8b0778",
        ],
    );
}

#[test]
fn vectors_with_sha_512() {
    vectors(
        1,
        [
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
        ],
    );
}

/// A range gives the same measurement in one call as in many.
#[test]
fn a_range_may_be_initialised_in_steps() {
    let rims: Vec<_> = [512, 1, 7]
        .into_iter()
        .map(|pages_at_once: u64| {
            let memory = Memory::new(&[(BASE, 32)]);
            let rmm = memory.rmm();
            let mut bench = Bench::new(&memory, &rmm).quick();
            let rd = bench.realm(&realm_params(32, 2, 4));
            bench.tables(rd, 0, 3);
            let mut base = 0;
            while base < 0x20_0000 {
                let top = (base + pages_at_once * 0x1000).min(0x20_0000);
                [base, ..] = bench.succeed(fid::RTT_INIT_RIPAS, &[rd, base, top]);
                assert_eq!(base, top);
            }
            bench.world().realm(rd).unwrap().rim
        })
        .collect();
    assert!(rims.windows(2).all(|pair| pair[0] == pair[1]));
}

/// Every measured field changes the measurement, and no other does.
#[test]
fn which_parameters_are_measured() {
    type Change = fn(&mut rmm_abi::rmi::RealmParams);
    let rim = |change: Change| {
        let memory = Memory::new(&[(BASE, 32)]);
        let rmm = memory.rmm();
        let mut bench = Bench::new(&memory, &rmm).quick();
        let mut params = realm_params(40, 1, 2);
        change(&mut params);
        let rd = bench.realm(&params);
        bench.world().realm(rd).unwrap().rim
    };
    let plain = rim(|_| ());
    let measured: [Change; 8] = [
        |params| params.flags = 4,
        |params| params.flags = 1 << 63,
        |params| params.sve_vl = 1,
        |params| params.num_bps = 2,
        |params| params.num_wps = 3,
        |params| params.pmu_num_ctrs = 1,
        |params| params.hash_algo = 1,
        |params| {
            params.s2sz = 39;
            params.rtt_num_start = 1;
        },
    ];
    for (number, change) in measured.into_iter().enumerate() {
        assert_ne!(rim(change), plain, "change {number}");
    }
    let others: [Change; 2] = [|params| params.rpv = [1; 64], |params| params.vmid = 7];
    for (number, change) in others.into_iter().enumerate() {
        assert_eq!(rim(change), plain, "other change {number}");
    }
}

/// What is measured is what the Realm gets, whatever the host does to the source meanwhile.
#[test]
fn the_host_changes_the_source_while_it_is_copied() {
    for (now, changed) in [(200, 199), (200, 201), (0, 0), (0, 511), (511, 0)] {
        let memory = Memory::new(&[(BASE, 64)]);
        let rmm = memory.rmm();
        let mut bench = Bench::new(&memory, &rmm);
        let rd = bench.realm(&realm_params(40, 1, 2));
        bench.tables(rd, 0, 3);
        let (data, source) = (bench.delegated(), bench.host_granule());
        bench.fill(source, 3);
        memory.on_host_read(move |memory, address, word| {
            if (address, word) == (source, now) {
                memory.host_write(address, changed, 0xdead).unwrap();
            }
        });
        // The bench holds the RIM against what the model makes of the granule's content.
        let content = |memory: &Memory| page(memory, data);
        let reply = bench.call_seeing(fid::DATA_CREATE, &[rd, data, 0, source, 1], content);
        memory.clear_host_read();
        assert_eq!(reply[0], 0);
        assert_eq!(memory.inspect(source, changed), 0xdead);
        let seen = memory.inspect(data, changed) == 0xdead;
        assert_eq!(seen, changed >= now, "each word is read once, in order");
    }
}

fn page(memory: &Memory, address: u64) -> [u8; 0x1000] {
    let mut page = [0; 0x1000];
    for (word, bytes) in page.as_chunks_mut::<8>().0.iter_mut().enumerate() {
        *bytes = memory.inspect(address, word).to_le_bytes();
    }
    page
}
