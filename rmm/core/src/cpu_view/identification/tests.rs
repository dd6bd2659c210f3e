//! Whole registers.

use super::*;

/// A Realm with all that a Realm can have.
pub(crate) const EVERYTHING: Features = Features {
    sve_vector_length: Some(15),
    pmu_counters: Some(31),
    breakpoints: 15,
    watchpoints: 15,
};

/// A Realm with nothing that can be left out.
pub(crate) const NOTHING: Features = Features {
    sve_vector_length: None,
    pmu_counters: None,
    breakpoints: 0,
    watchpoints: 0,
};

/// A CPU with one register that is not zero.
pub(crate) fn cpu_with(register: IdRegister, value: u64) -> IdRegisters {
    let mut values = [0; REGISTERS];
    values[register.index()] = value;
    IdRegisters::new(values)
}

/// `-cpu max,x-rme=on` of QEMU 10.0.2.
pub(crate) const QEMU_MAX: IdRegisters = IdRegisters::new([
    // CRm 0: not looked at
    0,
    0,
    0,
    0,
    0,
    0,
    0,
    0, // CRm 1: AArch32
    0x1102_0131,
    0x1001_1011,
    0x0600_00aa,
    0,
    0x1010_1105,
    0x4000_0000,
    0x0126_0000,
    0x0212_2211,
    // CRm 2: AArch32
    0x0210_1110,
    0x1311_2111,
    0x2123_2042,
    0x0111_2131,
    0x0001_1142,
    0x1101_1121,
    0x2002_1110,
    0x0111_1111, // CRm 3: AArch32
    0x1011_0222,
    0x1321_1111,
    0x43,
    0,
    0x11,
    0x10,
    0x2,
    0, // CRm 4: PFR, ZFR, SMFR, FPFR
    0x1311_0011_2111_2222,
    0x0000_0010_0100_0121,
    0,
    0,
    0x0110_1101_0021_0021,
    0x80f1_00fd_0000_0000,
    0,
    0, // CRm 5: DFR, AFR
    0x1000_0000_1030_560a,
    0,
    0,
    0,
    0,
    0,
    0,
    0, // CRm 6: ISAR
    0x1221_1111_1021_2120,
    0x0111_2111_1021_1502,
    0x0011_0012,
    0,
    0,
    0,
    0,
    0,
    // CRm 7: MMFR
    0x2100_0323_1020_1126,
    0x0110_1120_1031_2122,
    0x1221_0111_1201_1011,
    0x1000_0000_0000_0000,
    0,
    0,
    0,
    0,
]);

/// A CPU that says yes to everything.
const ALL_ONES: IdRegisters = IdRegisters::new([u64::MAX; REGISTERS]);

/// Every register of `CRm` 4 to 7 that is not zero, for the Realm.
fn assert_seen(cpu: &IdRegisters, features: Features, expected: &[(IdRegister, u64)]) {
    let seen = RealmIdRegisters::of(cpu);
    for crm in 0..8 {
        for op2 in 0..8 {
            let register = IdRegister::new(crm, op2);
            let value = expected
                .iter()
                .find(|(name, _)| *name == register)
                .map_or(0, |(_, value)| *value);
            assert_eq!(
                seen.read(features, register),
                value,
                "{crm} {op2}: {:x} instead of {value:x}",
                seen.read(features, register)
            );
        }
    }
}

#[test]
fn a_realm_on_the_emulator_with_all_it_can_have() {
    assert_seen(
        &QEMU_MAX,
        EVERYTHING,
        &[
            (IdRegister::PFR0, 0x1101_0001_2111_0011),
            (IdRegister::PFR1, 0x0000_0000_0000_0021),
            (IdRegister::ZFR0, 0x0110_1101_0021_0021),
            (IdRegister::DFR0, 0x000f_00f0_0030_560a),
            (IdRegister::ISAR0, 0x1221_1111_1021_2120),
            (IdRegister::ISAR1, 0x0111_2111_1021_1502),
            (IdRegister::ISAR2, 0x0000_0000_0011_0012),
            (IdRegister::MMFR0, 0x1000_0000_1020_0126),
            (IdRegister::MMFR1, 0x0110_1020_0030_1002),
            (IdRegister::MMFR2, 0x1021_0011_1001_1011),
            (IdRegister::MMFR3, 0x1000_0000_0000_0000),
        ],
    );
}

#[test]
fn a_realm_on_the_emulator_without_sve_and_pmu() {
    let seen = RealmIdRegisters::of(&QEMU_MAX);
    let features = Features {
        breakpoints: 1,
        watchpoints: 2,
        ..NOTHING
    };
    for (register, value) in [
        (IdRegister::PFR0, 0x1101_0000_2111_0011),
        (IdRegister::ZFR0, 0),
        (IdRegister::DFR0, 0x000f_00f0_0020_100a),
        (IdRegister::ISAR0, 0x1221_1111_1021_2120),
    ] {
        assert_eq!(seen.read(features, register), value, "{register:?}");
    }
}

#[test]
fn a_cpu_that_has_everything_shows_nothing_that_is_hidden() {
    assert_seen(
        &ALL_ONES,
        EVERYTHING,
        &[
            (IdRegister::PFR0, 0x1101_0001_21ff_0011),
            (IdRegister::PFR1, 0x0000_0001_0000_1021),
            (IdRegister::ZFR0, 0x0111_1101_0221_1033),
            (IdRegister::DFR0, 0x000f_00f0_00f0_f00a),
            (IdRegister::ISAR0, 0x1221_1111_1031_2120),
            (IdRegister::ISAR1, 0x0111_2211_1131_1552),
            (IdRegister::ISAR2, 0x1121_1100_1111_5112),
            (IdRegister::ISAR3, 0x0000_0000_1101_0010),
            (IdRegister::MMFR0, 0x1000_1000_ff21_0126),
            (IdRegister::MMFR1, 0x1111_1031_0130_1002),
            (IdRegister::MMFR2, 0x1021_0011_1011_1011),
            (IdRegister::MMFR3, 0x1000_0000_0000_0000),
        ],
    );
}

#[test]
fn a_cpu_that_has_nothing() {
    assert_seen(
        &IdRegisters::new([0; REGISTERS]),
        NOTHING,
        &[
            (IdRegister::PFR0, 0x11),
            (IdRegister::DFR0, 0x000f_00f0_0000_0000),
        ],
    );
}

#[test]
fn breakpoints_and_watchpoints_are_the_realms_but_not_more_than_the_cpus() {
    let seen = RealmIdRegisters::of(&QEMU_MAX);
    for limit in 0..=u8::MAX {
        for other in [0, 3, u8::MAX] {
            let features = Features {
                breakpoints: limit,
                watchpoints: other,
                ..NOTHING
            };
            let value = seen.read(features, IdRegister::DFR0);
            assert_eq!(value >> 12 & 0xf, u64::from(limit.min(5)));
            assert_eq!(value >> 20 & 0xf, u64::from(other.min(3)));
        }
    }
}

#[test]
fn the_pmu_is_the_realms_even_without_event_counters() {
    let seen = RealmIdRegisters::of(&QEMU_MAX);
    for (pmu_counters, version) in [(None, 0), (Some(0), 6), (Some(4), 6)] {
        let features = Features {
            pmu_counters,
            ..NOTHING
        };
        assert_eq!(seen.read(features, IdRegister::DFR0) >> 8 & 0xf, version);
    }
}

#[test]
fn an_encoding_has_three_bits_of_each_part() {
    assert_eq!(IdRegister::new(4, 0), IdRegister::PFR0);
    assert_eq!(IdRegister::new(0xfc, 0xf8), IdRegister::PFR0);
    assert_eq!(IdRegister::new(7, 7).index(), REGISTERS - 1);
    assert_eq!(QEMU_MAX.get(IdRegister::new(7, 3)), 1 << 60);
}
