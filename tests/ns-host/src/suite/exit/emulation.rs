//! Accesses to unprotected memory that is not mapped: the host emulates them.

use rmm_abi::rmi::run::enter_flags::{EMULATED_MMIO, INJECT_SEA};

use realm_payload::command::Load;

use super::{DATA_ABORT, expect, is_external_abort};
use crate::memory::GRANULE;
use crate::outcome::{Outcome, ensure_word, fail, skip};
use crate::realm::PAGE_LEVEL;
use crate::realm::{Command, Exit, Replied, RunningRealm, Vcpu, command, esr, hpfar, write_page};
use crate::rmi::{ERROR_REC, commands};
use crate::suite::{Host, expect as memory};

/// What a device answers; each byte is another, and each has its sign bit set or clear.
const ANSWERS: [u64; 3] = [0xf1e2_d3c4_b5a6_9788, 0x7162_5344_3526_1708, u64::MAX];

/// The value that a load of `size` bytes leaves in its register.
const fn loaded(answer: u64, size: u64, signed: bool, wide: bool) -> u64 {
    let unused = 64 - 8 * size;
    let value = if signed {
        ((answer << unused).cast_signed() >> unused).cast_unsigned()
    } else {
        answer << unused >> unused
    };
    if wide { value } else { value & 0xffff_ffff }
}

/// Syndrome of an emulated access at an entry of this level.
fn syndrome(size: u64, wide: bool, write: bool, level: u64) -> u64 {
    let mut rest = esr::ISV | u64::from(size.trailing_zeros()) << 22 | esr::translation(level);
    if wide {
        rest |= esr::SF;
    }
    if write {
        rest |= esr::WNR;
    }
    esr::of(esr::DATA, rest)
}

/// Each size, with and without sign, into registers of both widths.
pub(crate) fn reads(host: &Host) -> Outcome {
    let mut realm = RunningRealm::plain(host)?;
    // Without any table, with one whose entries are invalid.
    for (offset, level) in [(0x1_2340, 1), (0x20_0ff8, 3)] {
        let address = realm.unprotected(offset);
        if level == 3 {
            realm.realm.tables(address & !(GRANULE - 1), PAGE_LEVEL)?;
        }
        for size in [1, 2, 4, 8] {
            for (signed, wide) in [(false, false), (false, true), (true, false), (true, true)] {
                let load = Load {
                    address,
                    size: command::size(size),
                    sign_extend: signed,
                    wide,
                };
                if !load.exists() {
                    continue;
                }
                let load = Command::Load(load);
                for answer in ANSWERS {
                    let vcpu = realm.first();
                    let report = vcpu.begin(&load)?;
                    let exit = Exit::Data {
                        esr: syndrome(size, wide, false, level),
                        far: address % GRANULE,
                        hpfar: hpfar(address),
                        value: 0,
                    };
                    expect("a read", &report, exit)?;
                    // Again and again until the host answers.
                    let report = vcpu.run()?;
                    expect("a read", &report, exit)?;
                    vcpu.enter.flags = EMULATED_MMIO;
                    vcpu.enter.gprs = [0xbad; 31];
                    vcpu.enter.gprs[0] = answer;
                    let report = vcpu.run()?;
                    let [value, ..] = vcpu.finish(&report)?.done("a read")?;
                    ensure_word!(
                        value,
                        loaded(answer, size, signed, wide),
                        "{size} bytes, signed {signed}, wide {wide}, of {answer:#x}"
                    );
                }
            }
        }
    }
    realm.tear_down()
}

pub(crate) fn writes(host: &Host) -> Outcome {
    let mut realm = RunningRealm::plain(host)?;
    let address = realm.unprotected(0x7_7ff0);
    for size in [1, 2, 4, 8] {
        for value in ANSWERS {
            let vcpu = realm.first();
            let report = vcpu.begin(&command::store(address, size, value))?;
            expect(
                "a write",
                &report,
                Exit::Data {
                    esr: syndrome(size, size == 8, true, 1),
                    far: address % GRANULE,
                    hpfar: hpfar(address),
                    value: loaded(value, size, false, true),
                },
            )?;
            vcpu.enter.flags = EMULATED_MMIO;
            vcpu.enter.gprs = [0xbad; 31];
            let report = vcpu.run()?;
            vcpu.finish(&report)?.done("a write")?;
        }
    }
    realm.tear_down()
}

/// The host answers with an external abort, which counts more than an answer.
pub(crate) fn refused_by_the_host(host: &Host) -> Outcome {
    let mut realm = RunningRealm::plain(host)?;
    let address = realm.unprotected(0x3_0120);
    let normal = command::NORMAL_UNPROTECTED;
    realm.first().command(&normal)?.done("normal memory")?;
    for flags in [INJECT_SEA, INJECT_SEA | EMULATED_MMIO] {
        for (what, access) in [
            ("a read", command::load(address, 8)),
            ("a write", command::store(address, 4, 7)),
            ("a pair", command::load_pair(address)),
            ("an atomic access", command::atomic_add(address, 1)),
        ] {
            let vcpu = realm.first();
            let report = vcpu.begin(&access)?;
            let Exit::Data { .. } = report.exit else {
                return fail!("exit of {what}: {:x?}", report.exit);
            };
            vcpu.enter.flags = flags;
            vcpu.enter.gprs[0] = 0xbad;
            let report = vcpu.run()?;
            let taken = vcpu.finish(&report)?.exception(what)?;
            is_external_abort(what, &taken, DATA_ABORT, address)?;
            // Once is enough.
            vcpu.command(&Command::Time)?.done("a command")?;
        }
    }
    realm.tear_down()
}

/// Accesses that the syndrome does not describe: the host can only map memory.
pub(crate) fn without_syndrome(host: &Host) -> Outcome {
    let mut realm = RunningRealm::plain(host)?;
    let page = host.granule()?;
    let words: [u64; 512] = core::array::from_fn(|index| 0x1111 * (index as u64 + 1));
    write_page(page, &words)?;
    let address = realm.unprotected(0x5_5010);
    // Atomic accesses to device memory are an error of the Realm's.
    let normal = command::NORMAL_UNPROTECTED;
    realm.first().command(&normal)?.done("normal memory")?;
    let pair = realm.first().begin(&command::load_pair(address))?;
    expect(
        "a pair",
        &pair,
        Exit::Data {
            esr: esr::of(esr::DATA, esr::translation(1)),
            far: 0,
            hpfar: hpfar(address),
            value: 0,
        },
    )?;
    let vcpu = realm.first();
    vcpu.enter.flags = EMULATED_MMIO;
    vcpu.refused(ERROR_REC, "emulation of a pair")?;
    vcpu.enter.flags = 0;
    let ipa = address & !(GRANULE - 1);
    realm.realm.tables(ipa, PAGE_LEVEL)?;
    commands::map_unprotected(realm.realm.rd, ipa, PAGE_LEVEL, page | command::READ_WRITE)?
        .done("MAP_UNPROTECTED")?;
    let vcpu = realm.first();
    let report = vcpu.run()?;
    let [first, second, ..] = vcpu.finish(&report)?.done("a pair")?;
    ensure_word!(first, words[2], "first of a pair");
    ensure_word!(second, words[3], "second of a pair");
    // Atomic, and maintenance of the cache: on the page that is not mapped.
    let atomic = command::atomic_add(address + GRANULE, 5);
    cannot_be_emulated(realm.first(), "an atomic access", &atomic)?;
    let clean = Command::CleanInvalidate {
        address: address + GRANULE,
    };
    let cleaned = cannot_be_emulated(realm.first(), "DC CIVAC", &clean)?;
    let access = command::atomic_add(address, 5);
    let [old, ..] = realm.first().command(&access)?.done("an atomic access")?;
    ensure_word!(old, words[2], "value before an atomic addition");
    let sum = memory::read(page + 0x10)?;
    ensure_word!(sum, words[2] + 5, "value after an atomic addition");
    realm.tear_down()?;
    if cleaned {
        Ok(())
    } else {
        skip!("this CPU does not translate the address of DC CIVAC")
    }
}

/// The access must exit without telling more than its fault. `false` when it does not exit at all.
fn cannot_be_emulated(vcpu: &mut Vcpu, what: &str, access: &Command) -> Outcome<bool> {
    let report = vcpu.begin(access)?;
    let (esr, far) = match report.exit {
        Exit::Data { esr, far, .. } => (esr, far),
        Exit::HostCall { .. } if matches!(access, Command::CleanInvalidate { .. }) => {
            vcpu.finish(&report)?.done(what)?;
            return Ok(false);
        }
        exit => return fail!("exit of {what}: {exit:x?}"),
    };
    ensure_word!(
        esr,
        esr::of(esr::DATA, esr::translation(3)),
        "ESR of {what}"
    );
    ensure_word!(far, 0, "FAR of {what}");
    vcpu.enter.flags = EMULATED_MMIO;
    vcpu.refused(ERROR_REC, format_args!("emulation of {what}"))?;
    vcpu.enter.flags = INJECT_SEA;
    let report = vcpu.run()?;
    vcpu.finish(&report)?.exception(what)?;
    Ok(true)
}
