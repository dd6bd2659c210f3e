//! The four commands, one call at a time: every success, every failure condition by its code, and
//! that a call that fails changes nothing.
#![allow(missing_docs)]

use fake_machine::{FakeCpu, GranuleProtectionFault, Memory, Owner, WORDS_PER_GRANULE};
use proptest::prelude::*;
use rmm_abi::rmi::{FeatureRegister0, fid};
use rmm_abi::smc;
use rmm_core::error::Fatal;
use rmm_core::{Reply, Rmm};
use rmm_model::{Command, Granule, Model};

const BASE: u64 = 0x8000_0000;
const GRANULES: u64 = 16;
const PAGE: u64 = 0x1000;
const SUCCESS: u64 = 0;
const ERROR_INPUT: u64 = 1;

fn memory() -> Memory {
    Memory::new(&[(BASE, GRANULES), (0x8_8000_0000, 2)])
}

fn call(rmm: &Rmm<'_>, cpu: &FakeCpu<'_>, function: u64, x1: u64) -> Reply {
    rmm.call(cpu, &[function, x1, 2, 3, 4, 5, 6, 7])
        .expect("no fatal condition")
}

/// Addresses that no command may take, with the reason.
fn unusable_addresses() -> Vec<(u64, &'static str)> {
    let mut addresses: Vec<_> = (0..12)
        .map(|bit| (BASE + (1 << bit), "misaligned"))
        .collect();
    addresses.extend([
        (0, "zero"),
        (BASE - PAGE, "below the first bank"),
        (BASE + GRANULES * PAGE, "between banks"),
        (0x8_8000_2000, "above the last bank"),
        (1 << 48, "bit 48"),
        (1 << 52 | BASE, "bit 52"),
        (1 << 63 | BASE, "bit 63"),
        (u64::MAX, "all ones"),
        (u64::MAX - 0xfff, "last granule"),
    ]);
    addresses
}

#[test]
fn version_negotiation() {
    let memory = memory();
    let (rmm, cpu) = (memory.rmm(), memory.cpu(0));
    assert_eq!(
        call(&rmm, &cpu, fid::VERSION, 0x1_0000),
        [SUCCESS, 0x1_0000, 0x1_0000, 0, 4]
    );
    for request in [
        0,
        1,
        0xffff,
        0x1_0001,
        0x2_0000,
        0x7fff_ffff,
        1 << 31,
        1 << 32 | 0x1_0000,
    ] {
        assert_eq!(
            call(&rmm, &cpu, fid::VERSION, request),
            [ERROR_INPUT, 0x1_0000, 0x1_0000, 0, 4],
            "request {request:#x}"
        );
    }
}

#[test]
fn features() {
    let memory = memory();
    let features = FeatureRegister0 {
        ipa_width: 48,
        sha_256: true,
        ..Default::default()
    };
    let (rmm, cpu) = (memory.rmm_with_features(features), memory.cpu(0));
    assert_eq!(
        call(&rmm, &cpu, fid::FEATURES, 0),
        [SUCCESS, features.word(), 0, 0, 4]
    );
    for index in [1, 2, 4, 1 << 32, u64::MAX] {
        assert_eq!(
            call(&rmm, &cpu, fid::FEATURES, index),
            [SUCCESS, 0, 0, 0, 4]
        );
    }
}

#[test]
fn unknown_functions_are_answered() {
    let memory = memory();
    let (rmm, cpu) = (memory.rmm(), memory.cpu(0));
    // RMI 1.0 has no other holes in 0x150 to 0x169.
    let not_there = [0x156, 0x160, 0x163];
    let known = |function: u64| {
        (0xc400_0150..=0xc400_0169).contains(&function) && !not_there.contains(&(function & 0xffff))
    };
    let unknown = (0xc400_0000..=0xc400_02cf_u64)
        .filter(|&function| !known(function))
        .chain([0, u64::MAX, 0x8400_0150, 0xc402_0150]);
    for function in unknown {
        assert_eq!(
            call(&rmm, &cpu, function, BASE),
            [smc::NOT_SUPPORTED, 0, 0, 0, 4],
            "{function:#x}"
        );
    }
    assert_eq!(cpu.el3_calls(), 0);
}

#[test]
fn the_sve_hint_and_the_upper_half_of_x0_are_ignored() {
    let memory = memory();
    let (rmm, cpu) = (memory.rmm(), memory.cpu(0));
    for bits in [smc::SVE_HINT, 1 << 32, 0xdead_beef << 32 | smc::SVE_HINT] {
        let reply = call(&rmm, &cpu, fid::VERSION | bits, 0x1_0000);
        assert_eq!(reply, [SUCCESS, 0x1_0000, 0x1_0000, 0, 4], "{bits:#x}");
    }
}

#[test]
fn delegate_and_undelegate_move_a_granule_and_wipe_it() {
    let memory = memory();
    let (rmm, cpu) = (memory.rmm(), memory.cpu(0));
    for address in [BASE, BASE + (GRANULES - 1) * PAGE, 0x8_8000_1000] {
        for word in 0..WORDS_PER_GRANULE {
            memory.host_write(address, word, u64::MAX).unwrap();
        }
        assert_eq!(
            call(&rmm, &cpu, fid::GRANULE_DELEGATE, address),
            [SUCCESS, 0, 0, 0, 4]
        );
        assert_eq!(memory.owner(address), Owner::Realm);
        assert_eq!(memory.host_read(address, 0), Err(GranuleProtectionFault));
        assert_eq!(
            memory.host_write(address, 0, 1),
            Err(GranuleProtectionFault)
        );
        assert_eq!(
            call(&rmm, &cpu, fid::GRANULE_UNDELEGATE, address),
            [SUCCESS, 0, 0, 0, 4]
        );
        assert_eq!(memory.owner(address), Owner::NonSecure);
        for word in 0..WORDS_PER_GRANULE {
            assert_eq!(memory.host_read(address, word), Ok(0));
        }
    }
}

#[test]
fn addresses_that_are_not_delegable() {
    let memory = memory();
    let (rmm, cpu) = (memory.rmm(), memory.cpu(0));
    for (address, why) in unusable_addresses() {
        for function in [fid::GRANULE_DELEGATE, fid::GRANULE_UNDELEGATE] {
            let reply = call(&rmm, &cpu, function, address);
            assert_eq!(reply, [ERROR_INPUT, 0, 0, 0, 4], "{address:#x}, {why}");
        }
    }
    assert_eq!(
        cpu.el3_calls(),
        0,
        "EL3 was asked about an address that is no granule"
    );
}

#[test]
fn granules_in_the_wrong_state() {
    let memory = memory();
    let (rmm, cpu) = (memory.rmm(), memory.cpu(0));
    memory.host_write(BASE, 3, 0x1234).unwrap();
    assert_eq!(
        call(&rmm, &cpu, fid::GRANULE_UNDELEGATE, BASE)[0],
        ERROR_INPUT,
        "never delegated"
    );
    assert_eq!(memory.host_read(BASE, 3), Ok(0x1234));
    assert_eq!(call(&rmm, &cpu, fid::GRANULE_DELEGATE, BASE)[0], SUCCESS);
    assert_eq!(
        call(&rmm, &cpu, fid::GRANULE_DELEGATE, BASE)[0],
        ERROR_INPUT,
        "twice"
    );
    assert_eq!(memory.owner(BASE), Owner::Realm);
    assert_eq!(call(&rmm, &cpu, fid::GRANULE_UNDELEGATE, BASE)[0], SUCCESS);
    assert_eq!(
        call(&rmm, &cpu, fid::GRANULE_UNDELEGATE, BASE)[0],
        ERROR_INPUT,
        "twice"
    );
}

#[test]
fn granules_of_other_worlds_stay_there() {
    for owner in [Owner::Root, Owner::Secure, Owner::Realm] {
        let memory = memory();
        let (rmm, cpu) = (memory.rmm(), memory.cpu(0));
        memory.host_write(BASE, 9, 0x55).unwrap();
        memory.set_owner(BASE, owner);
        for function in [
            fid::GRANULE_DELEGATE,
            fid::GRANULE_UNDELEGATE,
            fid::GRANULE_DELEGATE,
        ] {
            assert_eq!(
                call(&rmm, &cpu, function, BASE),
                [ERROR_INPUT, 0, 0, 0, 4],
                "{owner:?}"
            );
            assert_eq!(memory.owner(BASE), owner);
            assert_eq!(memory.inspect(BASE, 9), 0x55);
        }
        // Once its owner gives it up it is a granule like any other: nothing was left behind.
        memory.set_owner(BASE, Owner::NonSecure);
        assert_eq!(call(&rmm, &cpu, fid::GRANULE_DELEGATE, BASE)[0], SUCCESS);
    }
}

#[test]
fn el3_that_keeps_a_granule_is_fatal() {
    let memory = memory();
    let (rmm, cpu) = (memory.rmm(), memory.cpu(0));
    assert_eq!(call(&rmm, &cpu, fid::GRANULE_DELEGATE, BASE)[0], SUCCESS);
    memory.el3().refuse_undelegate();
    let fatal = rmm
        .call(&cpu, &[fid::GRANULE_UNDELEGATE, BASE, 0, 0, 0, 0, 0, 0])
        .unwrap_err();
    assert!(matches!(fatal, Fatal::UndelegateRefused { granule, .. } if granule.get() == BASE));
    assert_eq!(
        fatal.to_string(),
        "EL3 refused to undelegate granule 0x80000000: BadPas"
    );
}

#[test]
fn a_granule_left_mapped_is_fatal() {
    let memory = memory();
    let (rmm, cpu) = (memory.rmm(), memory.cpu(0));
    assert_eq!(call(&rmm, &cpu, fid::GRANULE_DELEGATE, BASE)[0], SUCCESS);
    memory.el3().leave_mapped();
    let function = fid::GRANULE_UNDELEGATE;
    let fatal = rmm
        .call(&cpu, &[function, BASE, 0, 0, 0, 0, 0, 0])
        .unwrap_err();
    assert_eq!(fatal, Fatal::GranulesMapped { function, count: 1 });
}

fn addresses() -> impl Strategy<Value = u64> {
    prop_oneof![
        8 => (0..GRANULES).prop_map(|granule| BASE + granule * PAGE),
        1 => (0..GRANULES * PAGE).prop_map(|offset| BASE + offset),
        1 => any::<u64>(),
        1 => proptest::sample::select(unusable_addresses()).prop_map(|(address, _)| address),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// Any sequence of calls gets the answers of the model, and leaves each granule with the owner
    /// that the model says.
    #[test]
    fn any_sequence_agrees_with_the_model(
        calls in proptest::collection::vec((any::<bool>(), addresses()), 0..60),
        not_for_sale in 0..GRANULES,
    ) {
        let memory = Memory::new(&[(BASE, GRANULES)]);
        let (rmm, cpu) = (memory.rmm(), memory.cpu(0));
        let mut states = vec![Granule::Undelegated; usize::try_from(GRANULES).unwrap()];
        let reserved = BASE + not_for_sale * PAGE;
        memory.set_owner(reserved, Owner::Secure);
        states[usize::try_from(not_for_sale).unwrap()] = Granule::Fixed(rmm_model::Owner::Secure);
        let mut model = Model::new(BASE, &mut states);
        for (delegate, address) in calls {
            let (function, command) = if delegate {
                (fid::GRANULE_DELEGATE, Command::Delegate)
            } else {
                (fid::GRANULE_UNDELEGATE, Command::Undelegate)
            };
            let reply = call(&rmm, &cpu, function, address);
            prop_assert_eq!(reply, [model.apply(command, address), 0, 0, 0, 4]);
        }
        for granule in 0..GRANULES {
            let address = BASE + granule * PAGE;
            let accessible = memory.host_read(address, 0).is_ok();
            prop_assert_eq!(accessible, model.granule(address).host_may_access());
        }
    }

    /// No call of any kind is fatal.
    #[test]
    fn any_registers_are_answered(registers in any::<[u64; 8]>(), number in 0_u64..0x400) {
        let memory = memory();
        let (rmm, cpu) = (memory.rmm(), memory.cpu(0));
        let mut near = registers;
        near[0] = 0xc400_0000 | number;
        for call in [registers, near] {
            let reply = rmm.call(&cpu, &call).expect("no fatal condition");
            // X4 is the caller's unless the command has an output there.
            let is_read_entry = smc::function_identifier(call[0]) == fid::RTT_READ_ENTRY;
            prop_assert!(reply[4] == call[4] || is_read_entry);
        }
    }
}
