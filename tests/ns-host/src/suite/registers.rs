//! A call leaves every register alone that is not a result.

#![allow(unsafe_code)]

pub(super) mod system;

use ns_host::random::Random;
use rmm_abi::rmi::{VERSION_1_0, fid};
use rmm_abi::smc::{SMCCC_VERSION, SVE_HINT, psci};

use crate::outcome::{Outcome, ensure, ensure_word, skip};
use crate::register;
use crate::rmi;
use crate::simd::{self, LONGEST_VECTOR, Simd, Sve};
use crate::smc::{self, Registers};
use crate::suite::Host;

/// Calls that end at EL3, and calls that go on to the RMM, with the results that they may have.
struct Probe {
    function: u64,
    argument: u64,
    /// The first register that is no result.
    kept_from: usize,
}

fn probes(granule: u64) -> [Probe; 8] {
    let probe = |function, argument, kept_from| Probe {
        function,
        argument,
        kept_from,
    };
    [
        probe(SMCCC_VERSION, 0, 4),
        probe(psci::VERSION, 0, 4),
        probe(fid::VERSION, VERSION_1_0.word(), 4),
        probe(fid::FEATURES, 0, 4),
        probe(fid::GRANULE_DELEGATE, granule, 4),
        probe(fid::GRANULE_DELEGATE, granule, 4),
        probe(fid::GRANULE_UNDELEGATE, granule, 4),
        probe(fid::GRANULE_UNDELEGATE, granule, 4),
    ]
}

pub(crate) fn general_purpose(host: &Host) -> Outcome {
    let granule = host.granule()?;
    let mut random = Random::new(5);
    for probe in probes(granule) {
        for pattern in 0..4 {
            let mut before = Registers::new(probe.function, &[probe.argument]);
            for register in &mut before.0[2..] {
                *register = match pattern {
                    0 => 0,
                    1 => u64::MAX,
                    _ => random.word(),
                };
            }
            let after = before.call();
            after.expect_kept(&before, probe.kept_from)?;
            // Results are numbers of this program's calls: zero, small, or a feature word.
            for number in 1..probe.kept_from {
                let (now, was) = (after.0[number], before.0[number]);
                let is_result = matches!(probe.function, fid::VERSION | fid::FEATURES);
                ensure!(
                    now == 0 || now == was || is_result,
                    "x{number} is {now:#x} after {:#x}",
                    probe.function
                );
            }
        }
    }
    rmi::must_be_there()
}

pub(crate) fn system(host: &Host) -> Outcome {
    let granule = host.granule()?;
    for probe in probes(granule) {
        system::survive(probe.function, probe.argument)?;
    }
    Ok(())
}

/// A value for each register, none like another.
fn simd_pattern(random: &mut Random) -> Simd {
    core::array::from_fn(|_| u128::from(random.word()) << 64 | u128::from(random.word()))
}

fn simd_survives(probe: &Probe, random: &mut Random) -> Outcome {
    // Rounding, flush-to-zero and default NaN; all exception flags.
    let (control, status) = (0x0340_0000, 0x0800_009f);
    let before = simd_pattern(random);
    simd::load(&before);
    // SAFETY: FPCR and FPSR; no other code of this program calculates with floats.
    unsafe {
        register::write!("S3_3_C4_C4_0", control);
        register::write!("S3_3_C4_C4_1", status);
    }
    let (control, status) = (
        register::read!("S3_3_C4_C4_0"),
        register::read!("S3_3_C4_C4_1"),
    );
    smc::call(probe.function, &[probe.argument]);
    let after = simd::store();
    for (number, (now, was)) in after.iter().zip(&before).enumerate() {
        ensure!(
            now == was,
            "q{number} was {was:#x} before {:#x} and is {now:#x} after it",
            probe.function
        );
    }
    ensure_word!(register::read!("S3_3_C4_C4_0"), control, "FPCR");
    ensure_word!(register::read!("S3_3_C4_C4_1"), status, "FPSR");
    Ok(())
}

pub(crate) fn simd(host: &Host) -> Outcome {
    let granule = host.granule()?;
    let mut random = Random::new(6);
    for mut probe in probes(granule) {
        simd_survives(&probe, &mut random)?;
        // The hint gives SVE away, not what SIMD shares with it.
        probe.function |= SVE_HINT;
        simd_survives(&probe, &mut random)?;
    }
    Ok(())
}

fn sve_survives(probe: &Probe, random: &mut Random) -> Outcome {
    let length = simd::use_longest_vectors();
    ensure!(
        length <= LONGEST_VECTOR && length.is_multiple_of(16),
        "a vector of {length} bytes"
    );
    let mut before = Sve::new();
    let (vectors, predicates) = (32 * length, 17 * length / 8);
    for byte in before.vectors[..vectors]
        .iter_mut()
        .chain(&mut before.predicates[..predicates])
    {
        *byte = random.word().to_le_bytes()[7];
    }
    // The first-fault register may only hold ones from its start on.
    before.predicates[16 * length / 8..predicates].fill(0xff);
    before.load();
    smc::call(probe.function, &[probe.argument]);
    let mut after = Sve::new();
    after.store();
    for (number, (now, was)) in after
        .vectors
        .chunks(length)
        .zip(before.vectors.chunks(length))
        .take(32)
        .enumerate()
    {
        ensure!(
            now == was,
            "z{number} ({length} bytes) changed across {:#x}",
            probe.function
        );
    }
    for (number, (now, was)) in after
        .predicates
        .chunks(length / 8)
        .zip(before.predicates.chunks(length / 8))
        .take(17)
        .enumerate()
    {
        ensure!(
            now == was,
            "predicate {number} (16: first-fault) changed across {:#x}",
            probe.function
        );
    }
    let now = simd::use_longest_vectors();
    ensure!(now == length, "vectors of {length} bytes became {now}");
    Ok(())
}

pub(crate) fn sve(host: &Host) -> Outcome {
    if !simd::has_sve() {
        return skip!("the CPU has no SVE");
    }
    let granule = host.granule()?;
    let mut random = Random::new(7);
    for probe in probes(granule) {
        sve_survives(&probe, &mut random)?;
    }
    Ok(())
}

pub(crate) fn every_cpu(host: &Host) -> Outcome {
    let first = host.granules(host.cpus.count() as u64)?;
    host.cpus.check(host.cpus.count(), &|cpu| {
        let granule = first + cpu as u64 * crate::memory::GRANULE;
        let mut random = Random::new(8 + cpu as u64);
        for probe in probes(granule) {
            system::survive(probe.function, probe.argument)?;
            simd_survives(&probe, &mut random)?;
            if simd::has_sve() {
                sve_survives(&probe, &mut random)?;
            }
        }
        Ok(())
    })
}
