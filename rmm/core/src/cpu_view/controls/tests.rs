//! Controls for CPUs with this and that.

use super::*;
use crate::cpu_view::RealmIdRegisters;
use crate::cpu_view::identification::tests::{EVERYTHING, NOTHING, QEMU_MAX, cpu_with};

const ALL_ONES: IdRegisters = IdRegisters::new([u64::MAX; 64]);
const PLAIN: IdRegisters = IdRegisters::new([0; 64]);

/// A CPU whose only feature is a field of four bits.
fn with(register: IdRegister, shift: u32, value: u64) -> TrapControls {
    TrapControls::for_cpu(&cpu_with(register, value << shift))
}

#[test]
fn on_the_emulator() {
    let controls = TrapControls::for_cpu(&QEMU_MAX);
    // VM SWIO PTW FMO IMO AMO FB BSU TID3 TSC TIDCP TACR RW E2H TLOR TERR TEA APK API FWB
    assert_eq!(controls.hcr, 0x0000_433c_803c_063f);
    assert_eq!(controls.hcrx, Some(1 << 11 | 1 << 6));
    assert_eq!(controls.cptr, 1 << 28 | 1 << 30);
    assert_eq!(controls.cnthctl, 0xc00);
    assert_eq!(controls.icc_sre, 7);
    assert_eq!(
        controls.fine_grained,
        Some(FineGrainedTraps {
            hfgrtr: 0,
            hfgwtr: 0,
            hfgitr: 0,
            hdfgrtr: 1 << 6 | 1 << 10,
            hdfgwtr: 1 << 10,
            hafgrtr: None,
            second: None,
        })
    );
    assert_eq!(controls.mpam2, None);
    // TDA TDOSA TDRA HPMD HCCD TDCC
    let common = 0b111 << 9 | 1 << 17 | 1 << 23 | 1 << 27;
    assert_eq!(controls.mdcr(NOTHING, 6), common | 0b11 << 5 | 6);
    assert_eq!(controls.mdcr(EVERYTHING, 6), common | 6);
}

#[test]
fn a_plain_cpu_has_no_register_that_came_later() {
    let controls = TrapControls::for_cpu(&PLAIN);
    assert_eq!(controls.hcr, 0x0000_4024_803c_063f);
    assert_eq!(controls.hcrx, None);
    assert_eq!(controls.fine_grained, None);
    assert_eq!(controls.mpam2, None);
    // TDA TDOSA TDRA
    for features in [NOTHING, EVERYTHING] {
        assert_eq!(controls.mdcr(features, 0), 0b111 << 9);
    }
}

#[test]
fn a_cpu_with_everything() {
    let controls = TrapControls::for_cpu(&ALL_ONES);
    assert_eq!(controls.hcr, 0x0400_433c_803c_063f);
    assert_eq!(controls.hcrx, Some(1 << 11 | 1 << 6));
    assert_eq!(
        controls.fine_grained,
        Some(FineGrainedTraps {
            hfgrtr: 0,
            hfgwtr: 0,
            hfgitr: 0,
            hdfgrtr: 1 << 6 | 1 << 10 | 1 << 51 | 1 << 63,
            hdfgwtr: 1 << 10,
            hafgrtr: Some(0),
            second: Some(0),
        })
    );
    assert_eq!(controls.mpam2, Some(1 << 48 | 1 << 49 | 1 << 58));
    // TDA TDOSA TDRA TPMS TTRF TDCC, and a PMU of another kind
    let expected = 0b111 << 9 | 1 << 14 | 1 << 19 | 1 << 27;
    assert_eq!(controls.mdcr(EVERYTHING, 31), expected);
}

#[test]
fn what_is_not_switched_is_not_let_through() {
    for cpu in [&PLAIN, &QEMU_MAX, &ALL_ONES] {
        let controls = TrapControls::for_cpu(cpu);
        // TGE, and what would let things through: EnSCXT, ATA, AMVOFFEN, FIEN, TME, NV, GPF
        for bit in [27, 53, 56, 51, 47, 39, 42, 48] {
            assert_eq!(controls.hcr >> bit & 1, 0, "HCR_EL2 bit {bit}");
        }
        // TWI and TWE are the host's to choose; VI, VF, VSE the RMM's at each entry.
        for bit in [13, 14, 6, 7, 8] {
            assert_eq!(controls.hcr >> bit & 1, 0, "HCR_EL2 bit {bit}");
        }
        // FPEN, ZEN, SMEN
        assert_eq!(controls.cptr & (0b11 << 20 | 0b11 << 16 | 0b11 << 24), 0);
        for features in [NOTHING, EVERYTHING] {
            let mdcr = controls.mdcr(features, 8);
            // E2PB, E2TB, TDE, HPME, EnSPM, MTPME, EBWE, EnSTEPOP
            assert_eq!(mdcr & (0b11 << 12 | 0b11 << 24 | 0b11 << 7), 0);
            assert_eq!(mdcr & (1 << 15 | 1 << 28 | 1 << 43 | 1 << 50), 0);
            assert_ne!(mdcr & TrapControls::TDA, 0);
        }
    }
}

#[test]
fn each_trap_comes_with_its_feature() {
    let plain = TrapControls::for_cpu(&PLAIN).hcr;
    for (register, shift, value, bits) in [
        (IdRegister::ISAR1, 4, 1, 0b11 << 40),
        (IdRegister::ISAR1, 8, 5, 0b11 << 40),
        (IdRegister::ISAR2, 12, 1, 0b11 << 40),
        (IdRegister::MMFR1, 16, 1, 1 << 35),
        (IdRegister::PFR0, 28, 1, 1 << 36),
        (IdRegister::PFR1, 8, 1, 0),
        (IdRegister::PFR1, 8, 2, 1 << 58),
    ] {
        let hcr = with(register, shift, value).hcr;
        assert_eq!(hcr, plain | bits, "{register:?} {shift}");
    }
    assert_eq!(with(IdRegister::MMFR1, 40, 1).hcrx, Some(0));
    assert_eq!(
        with(IdRegister::MMFR0, 56, 1).fine_grained.unwrap().second,
        None
    );
    assert_eq!(
        with(IdRegister::MMFR0, 56, 2).fine_grained.unwrap().second,
        Some(0)
    );
    assert_eq!(with(IdRegister::PFR0, 40, 1).mpam2, Some(0b11 << 48));
    assert_eq!(
        with(IdRegister::PFR1, 16, 1).mpam2,
        Some(0b11 << 48 | 1 << 58)
    );
    let mdcr = |register, shift, value| with(register, shift, value).mdcr(NOTHING, 0);
    assert_eq!(mdcr(IdRegister::DFR0, 32, 1), 0b111 << 9 | 1 << 14);
    assert_eq!(mdcr(IdRegister::DFR0, 40, 1), 0b111 << 9 | 1 << 19);
    assert_eq!(mdcr(IdRegister::MMFR0, 56, 1), 0b111 << 9 | 1 << 27);
}

#[test]
fn the_pmu_leaves_the_rmm_out_as_far_as_it_can() {
    for (version, hidden) in [
        (1, 0),
        (4, 1 << 17),
        (5, 1 << 17),
        (6, 1 << 17 | 1 << 23),
        (9, 1 << 17 | 1 << 23),
    ] {
        let controls = with(IdRegister::DFR0, 8, version);
        assert_eq!(
            controls.mdcr(EVERYTHING, 4) & (1 << 17 | 1 << 23),
            hidden,
            "PMU {version}"
        );
    }
}

#[test]
fn counters_of_the_realm_and_of_others() {
    let realm = |pmu_counters| Features {
        pmu_counters,
        ..NOTHING
    };
    let traps = 0b11 << 5;
    let at_least_one = with(IdRegister::DFR0, 8, 6);
    let any_number = TrapControls::for_cpu(&cpu_with(IdRegister::DFR0, 6 << 8 | 1 << 60));
    for (controls, pmu_counters, implemented, expected) in [
        (&at_least_one, None, 6, traps | 6),
        (&at_least_one, Some(0), 6, 1),
        (&any_number, Some(0), 6, 0),
        (&at_least_one, Some(4), 6, 4),
        (&any_number, Some(4), 6, 4),
        (&at_least_one, Some(6), 6, 6),
        (&at_least_one, Some(31), 6, 6),
        (&any_number, Some(31), 31, 31),
        (&at_least_one, Some(255), 255, 31),
        // No event counter, only the one for cycles.
        (&at_least_one, Some(0), 0, 0),
    ] {
        let mdcr = controls.mdcr(realm(pmu_counters), implemented);
        assert_eq!(mdcr & 0x7f, expected, "{pmu_counters:?} of {implemented}");
        // What the Realm can reach is what is below HPMN and does not trap.
        let reached = controls.event_counters(realm(pmu_counters), implemented);
        let expected = pmu_counters.map_or(0, |_| expected);
        assert_eq!(u64::from(reached.min(31)), expected, "{pmu_counters:?}");
    }
}

#[test]
fn memory_copy_instructions_are_shown_where_they_are_enabled() {
    for cpu in [&PLAIN, &QEMU_MAX, &ALL_ONES] {
        let shown = RealmIdRegisters::of(cpu).read(EVERYTHING, IdRegister::ISAR2) >> 16 & 0xf;
        let enabled = TrapControls::for_cpu(cpu)
            .hcrx
            .is_some_and(|value| value >> 11 & 1 != 0);
        assert_eq!(shown != 0, enabled);
    }
}
