//! `RSI_IPA_STATE_GET`.

use rmm_abi::rmi::Ripas;
use rmm_abi::rsi::fid;

use super::{ERROR_INPUT, fails, succeeds};
use crate::memory::GRANULE;
use crate::outcome::{Outcome, ensure_word};
use crate::realm::{GIGABYTE, IMAGE, NO_RAM, RAM_END, RunningRealm, SPARE, Vcpu};
use crate::suite::Host;

fn is(vcpu: &mut Vcpu, base: u64, top: u64, expected: (u64, Ripas)) -> Outcome {
    let results = succeeds(vcpu, &[fid::IPA_STATE_GET, base, top], 2)?;
    let (reached, ripas) = expected;
    ensure_word!(
        results[1],
        reached,
        "top of IPA_STATE_GET {base:#x} to {top:#x}"
    );
    ensure_word!(
        results[2],
        ripas as u64,
        "RIPAS of IPA_STATE_GET {base:#x} to {top:#x}"
    );
    Ok(())
}

pub(crate) fn get(host: &Host) -> Outcome {
    let mut realm = RunningRealm::plain(host)?;
    let half = realm.realm.shape.half();
    let memory_end = realm.vcpus[0].hello.memory_end.next_multiple_of(GRANULE);
    let vcpu = realm.first();
    // In the table of the image: RAM up to its end, none behind.
    is(vcpu, IMAGE, IMAGE + GRANULE, (IMAGE + GRANULE, Ripas::Ram))?;
    is(vcpu, IMAGE, RAM_END, (memory_end, Ripas::Ram))?;
    is(vcpu, IMAGE + GRANULE, half, (memory_end, Ripas::Ram))?;
    is(vcpu, memory_end, SPARE, (SPARE, Ripas::Empty))?;
    is(vcpu, memory_end, half, (SPARE, Ripas::Empty))?;
    is(vcpu, NO_RAM, NO_RAM + GRANULE, (SPARE, Ripas::Empty))?;
    // In the table above: from an address inside of an entry too.
    is(vcpu, SPARE, half, (RAM_END, Ripas::Ram))?;
    is(vcpu, SPARE + 5 * GRANULE, half, (RAM_END, Ripas::Ram))?;
    is(
        vcpu,
        SPARE + 5 * GRANULE,
        SPARE + 7 * GRANULE,
        (SPARE + 7 * GRANULE, Ripas::Ram),
    )?;
    is(vcpu, RAM_END, half, (2 * GIGABYTE, Ripas::Empty))?;
    // In the table above that.
    is(vcpu, 0, half, (GIGABYTE, Ripas::Empty))?;
    is(vcpu, 0, GRANULE, (GRANULE, Ripas::Empty))?;
    is(vcpu, 2 * GIGABYTE, half, (half, Ripas::Empty))?;
    is(vcpu, half - GRANULE, half, (half, Ripas::Empty))?;
    // Memory behind it makes no difference; what was destroyed is a state of its own.
    let pages = [0, 1, 2].map(|index| SPARE + index * GRANULE);
    let mut memory = [0; 3];
    for (data, ipa) in memory.iter_mut().zip(pages) {
        *data = realm.realm.supply(ipa)?;
    }
    is(realm.first(), SPARE, half, (RAM_END, Ripas::Ram))?;
    realm.realm.destroy_page(pages[1], memory[1])?;
    let vcpu = realm.first();
    is(vcpu, SPARE, half, (pages[1], Ripas::Ram))?;
    is(vcpu, pages[1], half, (pages[2], Ripas::Destroyed))?;
    is(vcpu, pages[2], half, (RAM_END, Ripas::Ram))?;
    realm.tear_down()
}

pub(crate) fn get_refused(host: &Host) -> Outcome {
    let mut realm = RunningRealm::plain(host)?;
    let (half, end) = (realm.realm.shape.half(), realm.realm.shape.end());
    let vcpu = realm.first();
    for (base, top) in ranges_refused(half, end) {
        fails(vcpu, &[fid::IPA_STATE_GET, base, top], ERROR_INPUT)?;
    }
    realm.tear_down()
}

/// Ranges that neither of the two calls takes.
pub(super) fn ranges_refused(half: u64, end: u64) -> [(u64, u64); 21] {
    [
        (IMAGE + 1, IMAGE + GRANULE),
        (IMAGE + 0x800, IMAGE + GRANULE),
        (IMAGE, IMAGE + GRANULE + 1),
        (IMAGE, IMAGE + 0x800),
        (IMAGE, IMAGE),
        (0, 0),
        (IMAGE + GRANULE, IMAGE),
        (half - GRANULE, 0),
        (half, half),
        (half, half + GRANULE),
        (half - GRANULE, half + GRANULE),
        (IMAGE, half + GRANULE),
        (0, end),
        (IMAGE, end),
        (end - GRANULE, end),
        (end, end + GRANULE),
        (IMAGE, 1 << 63),
        (1 << 63, 1 << 63 | GRANULE),
        (0u64.wrapping_sub(GRANULE), 0),
        (0u64.wrapping_sub(GRANULE), GRANULE),
        (u64::MAX, u64::MAX),
    ]
}
