use std::collections::HashSet;

use super::*;

fn everything() -> Features {
    Features {
        breakpoints: 16,
        watchpoints: 16,
        event_counters: Some(31),
        pointer_authentication: true,
        ras: true,
        sve: true,
    }
}

#[test]
fn features_are_what_id_registers_show() {
    let id = IdRegisters {
        pfr0: 1 << 32 | 2 << 28,
        dfr0: 3 << 20 | 5 << 12 | 6 << 8,
        isar1: 5 << 4,
        isar2: 0,
    };
    let features = Features::new(&id, || 6);
    assert_eq!(
        features,
        Features {
            breakpoints: 6,
            watchpoints: 4,
            event_counters: Some(6),
            pointer_authentication: true,
            ras: true,
            sve: true,
        }
    );
    let none = Features::new(&IdRegisters::default(), || panic!("there is no PMU to ask"));
    assert_eq!(none.event_counters, None);
    assert!(!none.sve && !none.ras && !none.pointer_authentication);
    let id = IdRegisters {
        dfr0: 0xf << 8,
        isar2: 3 << 12,
        ..IdRegisters::default()
    };
    let other = Features::new(&id, || panic!("a PMU of another kind"));
    assert!(other.pointer_authentication);
}

#[test]
fn a_register_is_in_one_family_only_and_has_an_index_of_its_own() {
    let mut seen = HashSet::new();
    let mut total = 0;
    for kind in Kind::ALL {
        let mut indices = HashSet::new();
        for register in registers(kind, everything()) {
            // The vectors of one are parts of those of the other, with the same control.
            if kind != Kind::Sve {
                assert!(seen.insert(register.register), "{}", register.register);
            }
            assert!(indices.insert(register.index));
            assert_ne!(register.mask, 0);
            if let OtherBits::Set(ones) = register.others {
                assert_eq!(ones & register.mask, 0, "{}", register.register);
            }
            total += 1;
        }
        assert!(indices.len() <= MAXIMUM_REGISTERS, "{kind:?}");
    }
    assert_eq!(total, 2 + 2 + 15 + 4 + 10 + 65 + 70 + 4);
}

#[test]
fn what_a_cpu_does_not_have_is_left_out() {
    let count = |kind, features: Features| registers(kind, features).count();
    let nothing = Features::default();
    assert_eq!(count(Kind::Pmu, nothing), 0);
    assert_eq!(count(Kind::PointerAuthentication, nothing), 0);
    assert_eq!(count(Kind::System, nothing), 14);
    assert_eq!(count(Kind::Debug, nothing), 1);
    assert_eq!(count(Kind::Sve, nothing), 0);
    assert_eq!(count(Kind::Sve, everything()), 2);
    let some = Features {
        breakpoints: 2,
        watchpoints: 3,
        event_counters: Some(0),
        ..nothing
    };
    assert_eq!(count(Kind::Debug, some), 11);
    assert_eq!(count(Kind::Pmu, some), 8);
    assert_eq!(count(Kind::General, everything()), 0);
}

#[test]
fn control_registers_enable_nothing() {
    for register in registers(Kind::Debug, everything()) {
        let control = register.register.op2 == 5 || register.register.op2 == 7;
        for seed in 0..100 {
            let value = register.value(Kind::Debug, seed, u64::MAX);
            assert!(!control || value & 1 == 0, "{}", register.register);
        }
    }
    for register in registers(Kind::Timers, everything()) {
        if register.register.op2 == 1 {
            assert_eq!(register.value(Kind::Timers, 3, 0) & !1, 2);
        }
    }
    let control = registers(Kind::Pmu, everything()).next().unwrap();
    assert_eq!(control.value(Kind::Pmu, 3, u64::MAX) & 1, 0);
}

#[test]
fn a_pattern_is_recognised_and_anything_else_is_not() {
    for kind in Kind::ALL {
        for register in registers(kind, everything()) {
            let value = register.value(kind, 5, 0x1234_5678_9abc_def0);
            let (found, expected) = register.compare(kind, 5, value);
            assert_eq!(found, expected, "{}", register.register);
            for bit in (0..64).filter(|bit| register.mask >> bit & 1 == 1) {
                let (found, expected) = register.compare(kind, 5, value ^ 1 << bit);
                assert!(
                    found != expected || (register.may_be_zero && value ^ 1 << bit == 0),
                    "{} bit {bit}",
                    register.register
                );
            }
        }
    }
}

#[test]
fn only_registers_that_may_ignore_writes_may_read_zero() {
    let ignoring: Vec<_> = Kind::ALL
        .into_iter()
        .flat_map(|kind| registers(kind, everything()).map(move |register| (kind, register)))
        .filter(|(kind, register)| {
            // A seed whose pattern has ones under the mask.
            let seed = (0..u16::MAX)
                .find(|seed| register.value(*kind, *seed, 0) != 0)
                .unwrap();
            let (found, expected) = register.compare(*kind, seed, 0);
            found == expected
        })
        .map(|(_, register)| register.register.to_string())
        .collect();
    assert_eq!(
        ignoring,
        [
            "S3_0_C5_C1_0",
            "S3_0_C5_C1_1",
            "S3_0_C10_C3_0",
            "S2_0_C0_C2_0"
        ]
    );
}

#[test]
fn bits_outside_the_mask_stay_as_they_are() {
    let mair = registers(Kind::System, everything())
        .find(|register| register.register.to_string() == "S3_0_C10_C2_0")
        .unwrap();
    assert_eq!(
        mair.value(Kind::System, 1, 0x44_04ff) & 0xff_ffff,
        0x44_04ff
    );
}
