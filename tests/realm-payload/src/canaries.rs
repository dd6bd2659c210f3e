//! Patterns in families of registers, and whether they are still there.

use realm_payload::pattern::Kind;
use realm_payload::{Reply, canary::CanaryRegister};

use crate::calls::{Mismatch, expect};
use crate::rec::Rec;
use crate::{registers, vectors};

/// The answer to either command: how many registers took part, and the length of vectors.
fn answer(kind: Kind, system_registers: u64, vector_bytes: usize) -> Reply {
    let others = match kind {
        Kind::Fpsimd => 32,
        Kind::Sve if vector_bytes > 0 => 49,
        _ => 0,
    };
    Reply::done(&[others + system_registers, vector_bytes as u64])
}

/// Whether there is anything that the family could be filled with at the host's command.
fn is_family(kind: Kind) -> bool {
    !matches!(kind, Kind::General | Kind::HostCall | Kind::Host)
}

fn compare(kind: Kind, seed: u16, register: &CanaryRegister, found: u64) -> Result<(), Mismatch> {
    let (found, expected) = register.compare(kind, seed, found);
    expect(register.index, expected, found)
}

/// Fills a family with patterns.
pub(crate) fn fill(rec: &mut Rec, kind: Kind, seed: u16) -> Result<Reply, Mismatch> {
    if !is_family(kind) {
        return Ok(Reply::UnknownCommand);
    }
    let mut vector_bytes = 0;
    if kind == Kind::Fpsimd {
        vectors::fill_fpsimd(seed);
    } else if kind == Kind::Sve && rec.features.sve {
        vector_bytes = vectors::fill_scalable(&mut rec.scalable, seed);
    }
    let mut count = 0;
    for prepared in registers::family(kind, rec.features) {
        let register = &prepared.register;
        prepared.write(register.value(kind, seed, prepared.read()));
        compare(kind, seed, register, prepared.read())?;
        count += 1;
    }
    Ok(answer(kind, count, vector_bytes))
}

/// Checks the patterns of a family.
pub(crate) fn check(rec: &mut Rec, kind: Kind, seed: u16) -> Result<Reply, Mismatch> {
    if !is_family(kind) {
        return Ok(Reply::UnknownCommand);
    }
    let mut vector_bytes = 0;
    if kind == Kind::Fpsimd {
        vectors::check_fpsimd(seed)?;
    } else if kind == Kind::Sve && rec.features.sve {
        vector_bytes = vectors::check_scalable(&mut rec.scalable, seed)?;
    }
    let mut count = 0;
    for prepared in registers::family(kind, rec.features) {
        compare(kind, seed, &prepared.register, prepared.read())?;
        count += 1;
    }
    Ok(answer(kind, count, vector_bytes))
}
