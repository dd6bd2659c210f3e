//! Identification registers.

use crate::outcome::{Outcome, ensure, ensure_word};
use crate::realm::{Options, Replied, RunningRealm, Vcpu, command};
use crate::register;
use crate::suite::Host;

fn read(vcpu: &mut Vcpu, crm: u8, op2: u8) -> Outcome<u64> {
    let reply = vcpu.command(&command::read_register(3, 0, 0, crm, op2))?;
    let [value, ..] = reply.done(format_args!("S3_0_C0_C{crm}_{op2}"))?;
    Ok(value)
}

const fn field(word: u64, shift: u32) -> u64 {
    word >> shift & 0xf
}

/// Fields that must say "not there": register, shift, what.
const HIDDEN: &[(&str, u8, u8, u32)] = &[
    ("EL2", 4, 0, 8),
    ("EL3", 4, 0, 12),
    ("SEL2", 4, 0, 36),
    ("MPAM", 4, 0, 40),
    ("AMU", 4, 0, 44),
    ("RME", 4, 0, 52),
    ("MTE", 4, 1, 8),
    ("MPAM_frac", 4, 1, 16),
    ("SME", 4, 1, 24),
    ("CSV2_frac", 4, 1, 32),
    ("NMI", 4, 1, 36),
    ("MTE_frac", 4, 1, 40),
    ("GCS", 4, 1, 44),
    ("THE", 4, 1, 48),
    ("MTEX", 4, 1, 52),
    ("DF2", 4, 1, 56),
    ("PFAR", 4, 1, 60),
    ("TraceVer", 5, 0, 4),
    ("PMSS", 5, 0, 16),
    ("SEBEP", 5, 0, 24),
    ("CTX_CMPs", 5, 0, 28),
    ("PMSVer", 5, 0, 32),
    ("TraceFilt", 5, 0, 40),
    ("TraceBuffer", 5, 0, 44),
    ("BRBE", 5, 0, 52),
    ("ExtTrcBuff", 5, 0, 56),
    ("LS64", 6, 1, 60),
    ("LO", 7, 1, 16),
    ("VH", 7, 1, 8),
    ("NV", 7, 2, 24),
    ("SCTLRX", 7, 3, 4),
    ("TCRX", 7, 3, 0),
    ("S1PIE", 7, 3, 8),
    ("S2PIE", 7, 3, 12),
    ("S1POE", 7, 3, 16),
    ("S2POE", 7, 3, 20),
    ("MEC", 7, 3, 28),
    ("D128", 7, 3, 32),
    ("D128_2", 7, 3, 36),
    ("FGT", 7, 0, 56),
];

/// Whole registers that read zero: `AArch32`, SME, implementation-defined features.
const ZERO: &[(u8, u8)] = &[
    (1, 0),
    (1, 1),
    (1, 2),
    (1, 4),
    (1, 5),
    (1, 6),
    (1, 7),
    (2, 0),
    (2, 1),
    (2, 2),
    (2, 3),
    (2, 4),
    (2, 5),
    (2, 6),
    (2, 7),
    (3, 0),
    (3, 1),
    (3, 2),
    (3, 4),
    (3, 5),
    (3, 6),
    (4, 5),
    (5, 4),
    (5, 5),
];

/// Registers whose encodings are reserved.
const RESERVED: &[(u8, u8)] = &[
    (3, 3),
    (3, 7),
    (4, 6),
    (5, 3),
    (5, 6),
    (5, 7),
    (6, 4),
    (6, 5),
    (6, 6),
    (6, 7),
    (7, 5),
    (7, 6),
    (7, 7),
];

pub(crate) fn hidden_features(host: &Host) -> Outcome {
    let mut realm = RunningRealm::plain(host)?;
    let vcpu = realm.first();
    for (name, crm, op2, shift) in HIDDEN {
        let value = read(vcpu, *crm, *op2)?;
        ensure_word!(field(value, *shift), 0, "{name} of {value:#x}");
    }
    let pfr0 = read(vcpu, 4, 0)?;
    // No AArch32.
    ensure_word!(field(pfr0, 0), 1, "EL0 of ID_AA64PFR0_EL1");
    ensure_word!(field(pfr0, 4), 1, "EL1 of ID_AA64PFR0_EL1");
    ensure_word!(field(pfr0, 24), 1, "GIC of ID_AA64PFR0_EL1");
    ensure!(field(pfr0, 56) <= 1, "CSV2 of {pfr0:#x}");
    ensure_word!(field(pfr0, 32), 0, "SVE of ID_AA64PFR0_EL1 without SVE");
    ensure_word!(read(vcpu, 4, 4)?, 0, "ID_AA64ZFR0_EL1 without SVE");
    let dfr0 = read(vcpu, 5, 0)?;
    ensure_word!(field(dfr0, 8), 0, "PMUVer without a PMU");
    // Nothing is shown that the CPU does not have.
    for (seen, real, name, fields) in [
        (
            pfr0,
            register::read!("id_aa64pfr0_el1"),
            "ID_AA64PFR0_EL1",
            [16u32, 20, 28, 48],
        ),
        (
            read(vcpu, 6, 0)?,
            register::read!("id_aa64isar0_el1"),
            "ID_AA64ISAR0_EL1",
            [4, 8, 20, 60],
        ),
        (
            read(vcpu, 6, 1)?,
            register::read!("id_aa64isar1_el1"),
            "ID_AA64ISAR1_EL1",
            [0, 12, 44, 52],
        ),
    ] {
        for shift in fields {
            ensure!(
                field(seen, shift) == field(real, shift) || field(seen, shift) == 0,
                "bits {shift} of {name} are {seen:#x} to the Realm and {real:#x} to the host"
            );
        }
    }
    realm.tear_down()?;
    // With SVE and a PMU they are shown.
    let options = Options {
        sve: Some(0),
        pmu: Some(1),
        ..Options::PLAIN
    };
    let mut realm = RunningRealm::greeted(host, options)?;
    let vcpu = realm.first();
    ensure_word!(field(read(vcpu, 4, 0)?, 32), 1, "SVE of ID_AA64PFR0_EL1");
    let version = field(read(vcpu, 5, 0)?, 8);
    ensure!((1..=8).contains(&version), "PMUVer is {version}");
    realm.tear_down()
}

pub(crate) fn reserved_registers(host: &Host) -> Outcome {
    let mut realm = RunningRealm::plain(host)?;
    let vcpu = realm.first();
    for (crm, op2) in ZERO.iter().chain(RESERVED) {
        ensure_word!(read(vcpu, *crm, *op2)?, 0, "S3_0_C0_C{crm}_{op2}");
    }
    realm.tear_down()
}

/// As many breakpoints and watchpoints as the Realm was made with.
pub(crate) fn debug_registers_shown(host: &Host) -> Outcome {
    let real = register::read!("id_aa64dfr0_el1");
    let (breakpoints, watchpoints) = (field(real, 12), field(real, 20));
    for (bps, wps) in [
        (1, 1),
        (breakpoints, watchpoints),
        (1, watchpoints),
        (breakpoints, 1),
    ] {
        let options = Options {
            breakpoints: bps.to_le_bytes()[0],
            watchpoints: wps.to_le_bytes()[0],
            ..Options::PLAIN
        };
        let mut realm = RunningRealm::greeted(host, options)?;
        let dfr0 = read(realm.first(), 5, 0)?;
        ensure_word!(field(dfr0, 12), bps, "BRPs of {dfr0:#x}");
        ensure_word!(field(dfr0, 20), wps, "WRPs of {dfr0:#x}");
        realm.tear_down()?;
    }
    Ok(())
}
