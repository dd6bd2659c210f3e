//! Encodings and answers.

use std::collections::BTreeMap;
use std::vec::Vec;

use super::*;
use crate::cpu_view::identification::tests::{EVERYTHING, NOTHING};

/// op0, op1, `CRn`, `CRm`, op2.
type Name = (u64, u64, u64, u64, u64);

/// `ESR_EL2` of an access through register 5, with class and length of the instruction.
fn syndrome((op0, op1, crn, crm, op2): Name, read: bool) -> u64 {
    0x18 << 26
        | 1 << 25
        | op0 << 20
        | op2 << 17
        | op1 << 14
        | crn << 10
        | 5 << 5
        | crm << 1
        | u64::from(read)
}

fn action(name: Name, read: bool, features: Features) -> Action {
    SystemAccess::from_syndrome(syndrome(name, read)).action(features)
}

const RAZ: Action = Action::ReadAs(0);
const NO: Action = Action::Undefined;
const LOAD: Action = Action::DebugRegisters;

/// Register, answer to a read, answer to a write. All others but the identification registers,
/// breakpoints and watchpoints are undefined.
const ANSWERS: [(&str, Name, Action, Action); 40] = [
    ("OSDTRRX_EL1", (2, 0, 0, 0, 2), RAZ, RAZ),
    ("MDCCINT_EL1", (2, 0, 0, 2, 0), RAZ, RAZ),
    ("MDSCR_EL1", (2, 0, 0, 2, 2), LOAD, LOAD),
    ("OSDTRTX_EL1", (2, 0, 0, 3, 2), RAZ, RAZ),
    ("OSECCR_EL1", (2, 0, 0, 6, 2), RAZ, RAZ),
    ("MDRAR_EL1", (2, 0, 1, 0, 0), RAZ, NO),
    ("OSLAR_EL1", (2, 0, 1, 0, 4), NO, Action::OsLock),
    ("OSLSR_EL1", (2, 0, 1, 1, 4), Action::OsLockStatus, NO),
    ("OSDLR_EL1", (2, 0, 1, 3, 4), RAZ, RAZ),
    ("DBGPRCR_EL1", (2, 0, 1, 4, 4), RAZ, RAZ),
    ("DBGCLAIMSET_EL1", (2, 0, 7, 8, 6), LOAD, LOAD),
    ("DBGCLAIMCLR_EL1", (2, 0, 7, 9, 6), LOAD, LOAD),
    ("DBGAUTHSTATUS_EL1", (2, 0, 7, 14, 6), RAZ, NO),
    ("MDCCSR_EL0", (2, 3, 0, 1, 0), RAZ, NO),
    ("DBGDTR_EL0", (2, 3, 0, 4, 0), RAZ, RAZ),
    ("DBGDTRRX_EL0, DBGDTRTX_EL0", (2, 3, 0, 5, 0), RAZ, RAZ),
    ("ERRIDR_EL1", (3, 0, 5, 3, 0), RAZ, NO),
    ("ERRSELR_EL1", (3, 0, 5, 3, 1), RAZ, RAZ),
    ("ERXGSR_EL1", (3, 0, 5, 3, 2), NO, NO),
    ("ERXFR_EL1", (3, 0, 5, 4, 0), RAZ, NO),
    ("ERXCTLR_EL1", (3, 0, 5, 4, 1), RAZ, RAZ),
    ("ERXSTATUS_EL1", (3, 0, 5, 4, 2), RAZ, RAZ),
    ("ERXADDR_EL1", (3, 0, 5, 4, 3), RAZ, RAZ),
    ("ERXPFGF_EL1", (3, 0, 5, 4, 4), RAZ, NO),
    ("ERXPFGCTL_EL1", (3, 0, 5, 4, 5), RAZ, RAZ),
    ("ERXPFGCDN_EL1", (3, 0, 5, 4, 6), RAZ, RAZ),
    ("ERXMISC0_EL1", (3, 0, 5, 5, 0), RAZ, RAZ),
    ("ERXMISC1_EL1", (3, 0, 5, 5, 1), RAZ, RAZ),
    ("ERXMISC2_EL1", (3, 0, 5, 5, 2), RAZ, RAZ),
    ("ERXMISC3_EL1", (3, 0, 5, 5, 3), RAZ, RAZ),
    ("ACTLR_EL1", (3, 0, 1, 0, 1), RAZ, RAZ),
    ("ICC_DIR_EL1", (3, 0, 12, 11, 1), NO, Action::ExitToHost),
    ("ICC_SGI1R_EL1", (3, 0, 12, 11, 5), NO, Action::ExitToHost),
    ("ICC_ASGI1R_EL1", (3, 0, 12, 11, 6), NO, RAZ),
    ("ICC_SGI0R_EL1", (3, 0, 12, 11, 7), NO, Action::ExitToHost),
    (
        "ICC_SRE_EL1",
        (3, 0, 12, 12, 5),
        Action::ReadAs(7),
        Action::ReadAs(7),
    ),
    // Some that are undefined like all the rest.
    ("PMCR_EL0", (3, 3, 9, 12, 0), NO, NO),
    ("AMCR_EL0", (3, 3, 13, 2, 0), NO, NO),
    ("TRFCR_EL1", (3, 0, 1, 2, 1), NO, NO),
    ("implementation defined", (3, 0, 15, 2, 3), NO, NO),
];

#[test]
fn a_syndrome_is_taken_apart() {
    let access = SystemAccess::from_syndrome(u64::MAX << 32 | syndrome((2, 3, 11, 13, 6), true));
    assert_eq!(
        (
            access.op0(),
            access.op1(),
            access.crn(),
            access.crm(),
            access.op2()
        ),
        (2, 3, 11, 13, 6)
    );
    assert_eq!((access.register(), access.is_read()), (5, true));
    // mrs x0, id_aa64pfr0_el1; msr icc_sgi1r_el1, xzr
    let access = SystemAccess::from_syndrome(0x6230_0009);
    assert_eq!(
        (access.register(), access.is_read(), access.crm()),
        (0, true, 4)
    );
    let access = SystemAccess::from_syndrome(0x623a_33f6);
    assert_eq!(
        (access.register(), access.is_read(), access.crm()),
        (31, false, 11)
    );
    assert_eq!(access.action(NOTHING), Action::ExitToHost);
}

#[test]
fn identification_registers_are_read_and_not_written() {
    for crm in 0..16 {
        for op2 in 0..8 {
            let name = (3, 0, 0, crm, op2);
            let expected = if (1..8).contains(&crm) {
                let (crm, op2) = (u8::try_from(crm).unwrap(), u8::try_from(op2).unwrap());
                Action::Identification(IdRegister::new(crm, op2))
            } else {
                Action::Undefined
            };
            assert_eq!(action(name, true, NOTHING), expected);
            assert_eq!(action(name, false, NOTHING), Action::Undefined);
        }
    }
}

#[test]
fn every_encoding_has_the_answer_of_the_list_or_is_undefined() {
    let answers: BTreeMap<Name, (Action, Action)> = ANSWERS
        .iter()
        .map(|(_, name, read, write)| (*name, (*read, *write)))
        .collect();
    assert_eq!(answers.len(), ANSWERS.len());
    let names = (0..4)
        .flat_map(|op0| (0..8).map(move |op1| (op0, op1)))
        .flat_map(|(op0, op1)| (0..16).map(move |crn| (op0, op1, crn)))
        .flat_map(|(op0, op1, crn)| (0..16).map(move |crm| (op0, op1, crn, crm)))
        .flat_map(|(op0, op1, crn, crm)| (0..8).map(move |op2| (op0, op1, crn, crm, op2)));
    let mut seen = 0;
    for name in names {
        if matches!(name, (3, 0, 0, _, _) | (2, 0, 0, _, 4..)) {
            continue;
        }
        let (read, write) = answers.get(&name).copied().unwrap_or((NO, NO));
        assert_eq!(action(name, true, EVERYTHING), read, "read of {name:?}");
        assert_eq!(action(name, false, EVERYTHING), write, "write of {name:?}");
        seen += 1;
    }
    assert_eq!(seen, 0x1_0000 - 128 - 64);
}

#[test]
fn breakpoints_and_watchpoints_up_to_the_realms_number() {
    let features = Features {
        breakpoints: 5,
        watchpoints: 3,
        ..NOTHING
    };
    for number in 0..16 {
        let expected = |last| if number <= last { LOAD } else { NO };
        for read in [false, true] {
            let of = |op2| action((2, 0, 0, number, op2), read, features);
            assert_eq!([of(4), of(5)], [expected(5); 2], "breakpoint {number}");
            assert_eq!([of(6), of(7)], [expected(3); 2], "watchpoint {number}");
        }
    }
    let all: Vec<Action> = (0..16)
        .flat_map(|number| (4..8).map(move |op2| (2, 0, 0, number, op2)))
        .map(|name| action(name, true, EVERYTHING))
        .collect();
    assert!(all.iter().all(|action| *action == LOAD));
}

#[test]
fn the_os_lock_has_a_state() {
    assert_eq!(os_lock_status(false), 0b1000);
    assert_eq!(os_lock_status(true), 0b1010);
}
