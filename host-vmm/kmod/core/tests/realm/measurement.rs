//! The RIM is what `attestation-token` predicts from the calls.

use std::fmt::Write;
use std::sync::{Arc, Mutex};

use attestation_token::HashAlgorithm as Algorithm;
use attestation_token::rim::{Content, RealmParameters, Rec};
use realm_kmod_core::realm::Configuration;
use realm_kmod_core::vcpu::Action;
use rmm_abi::rmi::HashAlgorithm;
use rmm_abi::rsi;

use crate::machine::{USER, on_machine, user_word};
use crate::vm::{BLOCK, IPA_BITS, PAGE, PC, RAM, RAM_SIZE, Vm};

const X1: u64 = 0x6030_0000_0010_0002;

fn page(number: u64) -> [u8; 4096] {
    let mut page = [0; 4096];
    page[..8].copy_from_slice(&user_word(number).to_le_bytes());
    page
}

fn check(configuration: &Configuration, algorithm: Algorithm) {
    let mut predicted = attestation_token::rim::Realm::new(&RealmParameters {
        ipa_width: IPA_BITS,
        breakpoints: configuration.breakpoints,
        watchpoints: configuration.watchpoints,
        ..RealmParameters::new(algorithm)
    })
    .expect("possible");
    predicted
        .init_ripas(RAM, RAM + RAM_SIZE, 2)
        .expect("a range");
    for number in 0..3 {
        let content = page(number);
        let ipa = RAM + BLOCK + number * PAGE;
        predicted
            .data(ipa, Content::Measured(&content))
            .expect("a page");
    }
    predicted.data(RAM, Content::Unmeasured).expect("a page");
    let mut gprs = [0; 8];
    gprs[1] = 77;
    predicted.rec(&Rec { pc: RAM + 8, gprs });

    on_machine(|kernel| {
        let vm = Vm::new(kernel, 3);
        let cpu = kernel.cpu();
        {
            let mut realm = vm.realm();
            realm.configure(configuration).expect("possible");
            realm.set_register(0, PC, RAM + 8).expect("a register");
            realm.set_register(0, X1, 77).expect("a register");
            let measured = realm.populate(&cpu, RAM + BLOCK, 3 * PAGE, USER, true);
            assert_eq!(measured, (3 * PAGE, Ok(())));
            let unmeasured = realm.populate(&cpu, RAM, PAGE, USER + PAGE, false);
            assert_eq!(unmeasured, (PAGE, Ok(())));
        }
        let mut thread = vm.thread(0);
        thread.start().expect("started");
        let seen = Arc::new(Mutex::new(Vec::new()));
        let result = Arc::clone(&seen);
        thread.program(|guest| async move {
            let reply = guest.smc(&[rsi::fid::MEASUREMENT_READ, 0]).await;
            let bytes = reply[1..9].iter().flat_map(|word| word.to_le_bytes());
            result.lock().expect("no panic").extend(bytes);
            let reply = guest.smc(&[rsi::fid::REALM_CONFIG, RAM]).await;
            assert_eq!(reply[0], 0);
            let value = core::mem::offset_of!(rsi::RealmConfig, rpv) as u64;
            assert_eq!(guest.load(RAM + value + 56, 8).await, 0x0909_0909_0909_0909);
            guest.smc(&[rmm_abi::smc::psci::SYSTEM_OFF]).await;
        });
        let end = thread.run().expect("it runs");
        assert!(matches!(end, Action::SystemEvent(_)), "{end:?}");
        let mut text = String::new();
        for byte in seen.lock().expect("no panic").iter() {
            write!(text, "{byte:02x}").expect("a string takes everything");
        }
        let expected = predicted.initial_measurement().to_string();
        assert_eq!(&text[..expected.len()], expected);
        vm.destroy();
    });
}

#[test]
fn sha_256() {
    let configuration = Configuration {
        personalization_value: [9; 64],
        ..Configuration::default()
    };
    check(&configuration, Algorithm::Sha256);
}

#[test]
fn sha_512() {
    let configuration = Configuration {
        hash_algorithm: HashAlgorithm::Sha512,
        breakpoints: 3,
        watchpoints: 2,
        personalization_value: [9; 64],
        ..Configuration::default()
    };
    check(&configuration, Algorithm::Sha512);
}
