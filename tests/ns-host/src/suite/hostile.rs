//! A host and a Realm that work together against the RMM, or one against the other.

#![allow(unsafe_code)]

use core::sync::atomic::{AtomicBool, Ordering};

use spin::Mutex;

use super::expect;
use crate::memory::GRANULE;
use crate::outcome::{Outcome, ensure, ensure_word};
use crate::realm::{Command, Exit, GIGABYTE, PAGE_LEVEL, Replied, RunningRealm, command};
use crate::register;
use crate::rmi::commands;
use crate::suite::Host;

/// How often the Realm tries.
const ROUNDS: u64 = 6000;

/// A physical address without memory or device.
const HOLE: u64 = 0x0c00_0000;

/// A Realm keeps a table in memory of the host and has an access refused by stage 2, so that the RMM asks
/// the MMU for the address. Another CPU lets the table lead now to memory, now into a hole: what the
/// memory system then answers to the walk is an exception of the RMM's.
pub(crate) fn tables_that_lead_nowhere(host: &Host) -> Outcome {
    let mut realm = RunningRealm::plain(host)?;
    let shared = realm.unprotected(0x20_0000);
    realm.realm.tables(shared, PAGE_LEVEL)?;
    let table = host.granule()?;
    let page = host.granule()?;
    for (address, descriptor) in [
        (shared, table | command::READ_WRITE),
        (shared + GRANULE, page | command::NO_ACCESS),
        (shared + 2 * GRANULE, HOLE | command::READ_WRITE),
    ] {
        commands::map_unprotected(realm.realm.rd, address, PAGE_LEVEL, descriptor)?
            .done(format_args!("RTT_MAP_UNPROTECTED of {address:#x}"))?;
    }
    // An entry of level 1: a block of Normal memory with its access flag, or a further table.
    let block = shared & !(GIGABYTE - 1) | 0b01 | 1 << 10 | 0b11 << 8;
    let further = (shared + 2 * GRANULE) | 0b11;
    let load = Command::LoadTranslated {
        offset: (shared + GRANULE) % GIGABYTE,
        table: shared,
    };

    let over = AtomicBool::new(false);
    let shared_realm = Mutex::new(&mut realm);
    host.cpus.check(2, &|cpu| {
        if cpu == 1 {
            while !over.load(Ordering::Relaxed) {
                for entry in [further, block] {
                    for _ in 0..40 {
                        expect::write(table, entry)?;
                    }
                }
            }
            return Ok(());
        }
        let mut realm = shared_realm.lock();
        let outcome = try_again_and_again(&mut realm, &load);
        over.store(true, Ordering::Relaxed);
        outcome
    })?;
    realm.tear_down()
}

/// Whatever becomes of the access, the RMM goes on serving.
fn try_again_and_again(realm: &mut RunningRealm, load: &Command) -> Outcome {
    let vcpu = realm.first();
    let mut report = vcpu.begin(load)?;
    for _ in 0..ROUNDS {
        report = match report.exit {
            Exit::HostCall { .. } => vcpu.begin(load)?,
            // Without a flag the access is made once more.
            _ => vcpu.run()?,
        };
    }
    Ok(())
}

/// A breakpoint of the host's at an address of the Realm, which has debug exceptions allowed and no
/// breakpoint of its own: the Realm does not meet it.
pub(crate) fn breakpoints_of_the_host(host: &Host) -> Outcome {
    const OSLAR: [u8; 5] = [2, 0, 1, 0, 4];
    const MDSCR: [u8; 5] = [2, 0, 0, 2, 2];
    const MDE_AND_KDE: u64 = 1 << 15 | 1 << 13;
    /// Everything but debug exceptions is masked.
    const ONLY_DEBUG: u64 = 0x1c0;
    /// Enabled, at EL1 and EL0 of any state, all four bytes.
    const BREAKPOINT: u64 = 0x1e7;
    const UNKNOWN: u64 = 0;

    let mut realm = RunningRealm::plain(host)?;
    let vcpu = realm.first();
    let call = Command::Hvc(command::call_registers(&[0]));
    let address = vcpu.command(&call)?.exception("HVC")?.elr;
    for (register, value) in [(OSLAR, 0), (MDSCR, MDE_AND_KDE)] {
        vcpu.command(&command::write_register(register, value))?
            .done("write of a debug register")?;
    }
    vcpu.command(&Command::SetDaif(ONLY_DEBUG))?
        .done("SetDaif")?;
    // SAFETY: debug registers of this CPU, whose own program has debug exceptions masked.
    unsafe {
        register::write!("oslar_el1", 0);
        register::write!("dbgbvr0_el1", address);
        register::write!("dbgbcr0_el1", BREAKPOINT);
    }
    let taken = vcpu.command(&call)?.exception("HVC");
    let kept = register::read!("dbgbvr0_el1");
    // SAFETY: as above.
    unsafe { register::write!("dbgbcr0_el1", 0) };
    let taken = taken?;
    ensure!(
        taken.esr >> 26 == UNKNOWN,
        "the Realm met a breakpoint of the host's: {taken:x?}"
    );
    ensure_word!(kept, address, "the breakpoint of the host afterwards");
    realm.tear_down()
}
