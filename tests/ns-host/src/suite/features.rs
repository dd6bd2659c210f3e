//! `RMI_FEATURES`.

use rmm_abi::rmi::fid;

use crate::outcome::{Outcome, ensure, ensure_word};
use crate::register;
use crate::rmi::{self, SUCCESS};
use crate::suite::Host;

fn features(index: u64) -> Outcome<u64> {
    let [x0, value, x2, x3] = rmi::command(fid::FEATURES, &[index])?;
    ensure_word!(x0, SUCCESS, "x0 for index {index:#x}");
    ensure_word!(x2, 0, "x2 for index {index:#x}");
    ensure_word!(x3, 0, "x3 for index {index:#x}");
    Ok(value)
}

/// Bits `high` to `low` of a word.
const fn field(word: u64, high: u32, low: u32) -> u64 {
    word >> low & ((1 << (high - low + 1)) - 1)
}

pub(crate) fn register_0(_: &Host) -> Outcome {
    let value = features(0)?;
    ensure!(
        value >> 42 == 0,
        "register {value:#x} has reserved bits 63:42 set"
    );
    address_sizes(value)?;
    vectors_and_counters(value)?;
    debug(value)?;
    ensure!(
        field(value, 33, 32) != 0,
        "register {value:#x} offers no measurement algorithm"
    );
    // ICH_VTR_EL2.ListRegs: what a CPU has, minus one.
    let list_registers = field(register::read!("S3_4_C12_C11_1"), 4, 0);
    ensure!(
        field(value, 37, 34) <= list_registers,
        "register {value:#x} offers more list registers than the {} of the CPU",
        list_registers + 1
    );
    ensure!(
        field(value, 41, 38) >= 1,
        "register {value:#x} allows no REC at all"
    );
    Ok(())
}

fn address_sizes(value: u64) -> Outcome {
    let memory_model = register::read!("id_aa64mmfr0_el1");
    let physical = match field(memory_model, 3, 0) {
        0 => 32,
        1 => 36,
        2 => 40,
        3 => 42,
        4 => 44,
        5 => 48,
        _ => 52,
    };
    // TGran4_2 speaks about stage 2, and refers to TGran4 when zero.
    let cpu_has_lpa2 = match field(memory_model, 43, 40) {
        0 => field(memory_model, 31, 28) == 1,
        granule => granule == 3,
    };
    let lpa2 = field(value, 8, 8) == 1;
    ensure!(
        cpu_has_lpa2 || !lpa2,
        "register {value:#x} offers LPA2, which the CPU does not have"
    );
    let width = field(value, 7, 0);
    let widest = if lpa2 { 52 } else { 48 };
    ensure!(
        (32..=widest.min(physical)).contains(&width),
        "register {value:#x} offers an IPA width of {width}; the CPU has {physical} physical bits"
    );
    Ok(())
}

fn vectors_and_counters(value: u64) -> Outcome {
    let cpu_has_sve = field(register::read!("id_aa64pfr0_el1"), 35, 32) != 0;
    let (sve, length) = (field(value, 9, 9) == 1, field(value, 13, 10));
    ensure!(
        cpu_has_sve || !sve,
        "register {value:#x} offers SVE, which the CPU does not have"
    );
    ensure!(
        sve || length == 0,
        "register {value:#x} has a vector length without SVE"
    );
    if sve {
        let longest = crate::simd::use_longest_vectors() as u64 / 16 - 1;
        ensure!(
            length <= longest,
            "register {value:#x} offers longer vectors than the CPU, whose field would be {longest}"
        );
    }
    let counters_version = field(register::read!("id_aa64dfr0_el1"), 11, 8);
    let cpu_has_pmu = counters_version != 0 && counters_version != 0xf;
    let (pmu, counters) = (field(value, 26, 26) == 1, field(value, 31, 27));
    ensure!(
        cpu_has_pmu || !pmu,
        "register {value:#x} offers a PMU, which the CPU does not have"
    );
    ensure!(
        pmu || counters == 0,
        "register {value:#x} has event counters without a PMU"
    );
    if pmu {
        // PMCR_EL0.N
        let there = field(register::read!("S3_3_C9_C12_0"), 15, 11);
        ensure!(
            counters <= there,
            "register {value:#x} offers {counters} event counters, the CPU has {there}"
        );
    }
    Ok(())
}

fn debug(value: u64) -> Outcome {
    let (features_0, features_1) = (
        register::read!("id_aa64dfr0_el1"),
        register::read!("S3_0_C0_C5_1"),
    );
    // Field of register 0; 15 refers to that of register 1, whose zero means 16 as well.
    let number = |field_0, field_1| match (field_0, field_1) {
        (15, 0) => 15,
        (15, more) => more,
        (few, _) => few,
    };
    for (what, offered, there) in [
        (
            "breakpoints",
            field(value, 19, 14),
            number(field(features_0, 15, 12), field(features_1, 15, 8)),
        ),
        (
            "watchpoints",
            field(value, 25, 20),
            number(field(features_0, 23, 20), field(features_1, 23, 16)),
        ),
    ] {
        ensure!(
            (1..=there).contains(&offered),
            "register {value:#x} offers {} {what}, the CPU has {}",
            offered + 1,
            there + 1
        );
    }
    Ok(())
}

pub(crate) fn other_registers(_: &Host) -> Outcome {
    let bits = (0..64).map(|bit| 1 << bit);
    for index in bits.chain([3, 0xffff, u64::from(u32::MAX), u64::MAX]) {
        ensure_word!(features(index)?, 0, "register of index {index:#x}");
    }
    Ok(())
}

pub(crate) fn every_cpu(host: &Host) -> Outcome {
    let expected = features(0)?;
    host.cpus.check(host.cpus.count(), &|cpu| {
        ensure_word!(features(0)?, expected, "register 0 on CPU {cpu}");
        Ok(())
    })
}
