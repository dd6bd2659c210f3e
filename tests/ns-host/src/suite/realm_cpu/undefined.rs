//! Instructions and registers that are not there.

#![allow(unsafe_code)]

use realm_payload::Command;

use crate::outcome::{Outcome, ensure, ensure_word, skip};
use crate::realm::{Exception, Options, Replied, Reply, RunningRealm, Vcpu, command};
use crate::register;
use crate::suite::Host;

/// `ESR_EL1` of an instruction that does not exist: no class, IL.
const UNKNOWN: u64 = 1 << 25;

fn is_undefined(what: &str, taken: &Exception) -> Outcome {
    ensure!(
        taken.esr == UNKNOWN && taken.is_from_the_same_level(),
        "{what}: the Realm took {taken:x?}"
    );
    Ok(())
}

/// `hvc #0`.
const HVC: u64 = 0xd400_0002;

/// There is nobody behind `HVC`. The exception is that of the instruction itself.
pub(crate) fn hvc(host: &Host) -> Outcome {
    let mut realm = RunningRealm::plain(host)?;
    let vcpu = realm.first();
    for function in [0, 0x8400_0000, 0xc400_0190, u64::MAX] {
        let call = Command::Hvc(command::call_registers(&[function]));
        let taken = vcpu.command(&call)?.exception("HVC")?;
        is_undefined("HVC", &taken)?;
        let reply = vcpu.command(&command::load(taken.elr, 4))?;
        let [instruction, ..] = reply.done("load of an instruction")?;
        ensure_word!(instruction, HVC, "instruction that the Realm blames");
    }
    realm.tear_down()
}

/// Registers of features that no Realm is shown: as on a CPU that does not have them.
const HIDDEN: &[(&str, [u8; 5])] = &[
    ("PMSCR_EL1", [3, 0, 9, 9, 0]),
    ("PMBLIMITR_EL1", [3, 0, 9, 10, 0]),
    ("TRBLIMITR_EL1", [3, 0, 9, 11, 0]),
    ("TRFCR_EL1", [3, 0, 1, 2, 1]),
    ("BRBCR_EL1", [2, 1, 9, 0, 0]),
    ("TRCOSLSR", [2, 1, 1, 1, 4]),
    ("AMCR_EL0", [3, 3, 13, 2, 0]),
    ("AMCNTENSET0_EL0", [3, 3, 13, 2, 5]),
    ("AMEVCNTR00_EL0", [3, 3, 13, 4, 0]),
    ("MPAM0_EL1", [3, 0, 10, 5, 1]),
    ("MPAM1_EL1", [3, 0, 10, 5, 0]),
    ("MPAMIDR_EL1", [3, 0, 10, 4, 4]),
    ("GCR_EL1", [3, 0, 1, 0, 6]),
    ("RGSR_EL1", [3, 0, 1, 0, 5]),
    ("TFSR_EL1", [3, 0, 5, 6, 0]),
    ("TFSRE0_EL1", [3, 0, 5, 6, 1]),
    ("SMCR_EL1", [3, 0, 1, 2, 6]),
    ("SMPRI_EL1", [3, 0, 1, 2, 4]),
    ("SVCR", [3, 3, 4, 2, 2]),
    ("TPIDR2_EL0", [3, 3, 13, 0, 5]),
    ("SCXTNUM_EL0", [3, 3, 13, 0, 7]),
    ("SCXTNUM_EL1", [3, 0, 13, 0, 7]),
    ("LORSA_EL1", [3, 0, 10, 4, 0]),
    ("LORC_EL1", [3, 0, 10, 4, 3]),
    ("LORID_EL1", [3, 0, 10, 4, 7]),
    ("SCTLR2_EL1", [3, 0, 1, 0, 3]),
    ("TCR2_EL1", [3, 0, 2, 0, 3]),
    ("PIR_EL1", [3, 0, 10, 2, 3]),
    ("PIRE0_EL1", [3, 0, 10, 2, 2]),
    ("POR_EL0", [3, 3, 10, 2, 4]),
    ("POR_EL1", [3, 0, 10, 2, 4]),
    ("GCSPR_EL1", [3, 0, 2, 5, 1]),
    ("GCSCR_EL1", [3, 0, 2, 5, 0]),
    ("FPMR", [3, 3, 4, 4, 2]),
    ("ACCDATA_EL1", [3, 0, 13, 0, 5]),
    ("RCWMASK_EL1", [3, 0, 13, 0, 6]),
    ("HCR_EL2", [3, 4, 1, 1, 0]),
    ("VBAR_EL2", [3, 4, 12, 0, 0]),
    ("VTTBR_EL2", [3, 4, 2, 1, 0]),
    ("ICH_HCR_EL2", [3, 4, 12, 11, 0]),
    ("SCTLR_EL12", [3, 5, 1, 0, 0]),
    ("CNTV_CTL_EL02", [3, 5, 14, 3, 1]),
    ("SCR_EL3", [3, 6, 1, 1, 0]),
    ("GPCCR_EL3", [3, 6, 2, 1, 6]),
];

/// Registers that need a PMU.
const OF_THE_PMU: &[(&str, [u8; 5])] = &[
    ("PMCR_EL0", [3, 3, 9, 12, 0]),
    ("PMCNTENSET_EL0", [3, 3, 9, 12, 1]),
    ("PMOVSCLR_EL0", [3, 3, 9, 12, 3]),
    ("PMSELR_EL0", [3, 3, 9, 12, 5]),
    ("PMCEID0_EL0", [3, 3, 9, 12, 6]),
    ("PMCCNTR_EL0", [3, 3, 9, 13, 0]),
    ("PMXEVTYPER_EL0", [3, 3, 9, 13, 1]),
    ("PMUSERENR_EL0", [3, 3, 9, 14, 0]),
    ("PMINTENSET_EL1", [3, 0, 9, 14, 1]),
    ("PMEVCNTR0_EL0", [3, 3, 14, 8, 0]),
    ("PMEVTYPER0_EL0", [3, 3, 14, 12, 0]),
    ("PMCCFILTR_EL0", [3, 3, 14, 15, 7]),
    ("PMMIR_EL1", [3, 0, 9, 14, 6]),
];

/// `ZCR_EL1`, which needs SVE.
const OF_SVE: &[(&str, [u8; 5])] = &[("ZCR_EL1", [3, 0, 1, 2, 0])];

fn read(vcpu: &mut Vcpu, [op0, op1, crn, crm, op2]: [u8; 5]) -> Outcome<Reply> {
    vcpu.command(&command::read_register(op0, op1, crn, crm, op2))
}

/// Reading and writing must both be undefined.
fn are_undefined(vcpu: &mut Vcpu, registers: &[(&str, [u8; 5])]) -> Outcome {
    for (name, register) in registers {
        let taken = read(vcpu, *register)?.exception(format_args!("read of {name}"))?;
        is_undefined(name, &taken)?;
        let write = command::write_register(*register, 0);
        let taken = vcpu
            .command(&write)?
            .exception(format_args!("write of {name}"))?;
        is_undefined(name, &taken)?;
    }
    Ok(())
}

/// Opens the Realm's own traps of SIMD, SVE and SME, which would come first.
fn open_vectors(vcpu: &mut Vcpu) -> Outcome {
    let access = 3 << 24 | 3 << 20 | 3 << 16;
    let write = command::write_register([3, 0, 1, 0, 2], access);
    vcpu.command(&write)?.done("write of CPACR_EL1").map(|_| ())
}

pub(crate) fn hidden_registers(host: &Host) -> Outcome {
    let mut realm = RunningRealm::plain(host)?;
    let vcpu = realm.first();
    open_vectors(vcpu)?;
    are_undefined(vcpu, HIDDEN)?;
    are_undefined(vcpu, OF_THE_PMU)?;
    are_undefined(vcpu, OF_SVE)?;
    realm.tear_down()?;
    // With a PMU its registers are there, and nothing else.
    let options = Options {
        pmu: Some(2),
        ..Options::PLAIN
    };
    let mut realm = RunningRealm::greeted(host, options)?;
    let vcpu = realm.first();
    for (name, register) in OF_THE_PMU {
        // PMMIR_EL1 needs a newer one.
        if *name != "PMMIR_EL1" {
            read(vcpu, *register)?.done(name)?;
        }
    }
    let [control, ..] = read(vcpu, [3, 3, 9, 12, 0])?.done("PMCR_EL0")?;
    ensure_word!(control >> 11 & 0x1f, 2, "counters that PMCR_EL0 shows");
    open_vectors(vcpu)?;
    are_undefined(vcpu, HIDDEN)?;
    realm.tear_down()
}

/// Registers that read zero and take nothing: records of errors.
pub(crate) fn ignored_registers(host: &Host) -> Outcome {
    let mut realm = RunningRealm::plain(host)?;
    let vcpu = realm.first();
    let [pfr0, ..] = read(vcpu, [3, 0, 0, 4, 0])?.done("ID_AA64PFR0_EL1")?;
    let registers = [
        ("ERRIDR_EL1", [3, 0, 5, 3, 0], false),
        ("ERRSELR_EL1", [3, 0, 5, 3, 1], true),
        ("ERXFR_EL1", [3, 0, 5, 4, 0], false),
        ("ERXCTLR_EL1", [3, 0, 5, 4, 1], true),
        ("ERXSTATUS_EL1", [3, 0, 5, 4, 2], true),
        ("ERXADDR_EL1", [3, 0, 5, 4, 3], true),
        ("ERXMISC0_EL1", [3, 0, 5, 5, 0], true),
        ("ERXMISC1_EL1", [3, 0, 5, 5, 1], true),
    ];
    if (pfr0 >> 28).trailing_zeros() >= 4 {
        return skip!("the Realm is not shown the RAS extension");
    }
    for (name, register, writable) in registers {
        // Where the CPU has no records at all, the registers need not be there.
        let reply = read(vcpu, register)?;
        if let Reply::Exception { .. } = reply {
            is_undefined(name, &reply.exception(name)?)?;
            continue;
        }
        ensure_word!(reply.done(name)?[0], 0, "{name}");
        if writable {
            let write = command::write_register(register, u64::MAX);
            vcpu.command(&write)?
                .done(format_args!("write of {name}"))?;
            ensure_word!(
                read(vcpu, register)?.done(name)?[0],
                0,
                "{name} after a write"
            );
        }
    }
    realm.tear_down()
}

/// Counters behind those of the Realm are the host's: not there, or at least not what the host has in
/// them.
pub(crate) fn counters_of_the_host(host: &Host) -> Outcome {
    const OF_HOST: u64 = 0x0abc_def1;
    // PMCR_EL0.N
    let counters = register::read!("S3_3_C9_C12_0") >> 11 & 0x1f;
    if counters < 4 {
        return skip!("the CPU has only {counters} event counters");
    }
    let options = Options {
        pmu: Some(2),
        ..Options::PLAIN
    };
    let mut realm = RunningRealm::greeted(host, options)?;
    let vcpu = realm.first();
    let [control, ..] = read(vcpu, [3, 3, 9, 12, 0])?.done("PMCR_EL0")?;
    ensure_word!(control >> 11 & 0x1f, 2, "counters that PMCR_EL0 shows");
    // SAFETY: nothing of this program counts events.
    unsafe { register::write!("S3_3_C14_C8_3", OF_HOST) };
    let mut kept_apart = true;
    for number in [2, 3] {
        let counter = [3, 3, 14, 8, number];
        let reply = read(vcpu, counter)?;
        if let Reply::Exception { .. } = reply {
            is_undefined("an event counter", &reply.exception("an event counter")?)?;
        } else {
            let [value, ..] = reply.done("an event counter")?;
            kept_apart &= value == 0;
        }
        vcpu.command(&command::write_register(counter, 5))?;
    }
    kept_apart &= register::read!("S3_3_C14_C8_3") == OF_HOST;
    realm.tear_down()?;
    if kept_apart {
        Ok(())
    } else {
        // The RMM has told the CPU which they are, or PMCR_EL0 would show all of them.
        skip!("this CPU lets EL1 have the counters that MDCR_EL2.HPMN keeps from it")
    }
}
