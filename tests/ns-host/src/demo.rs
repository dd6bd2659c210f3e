//! What the RMM does, step by step, for a person in front of the screen.

#![allow(unsafe_code)]

mod evidence;

use ns_host::fault::Fault;
use rmm_abi::Version;
use rmm_abi::rmi::{VERSION_1_0, fid};

use crate::console::{note, say};
use crate::exit::ExitCode;
use crate::machine::CarveOut;
use crate::memory;
use crate::outcome::{Outcome, Stop, ensure, ensure_word, fail};
use crate::rmi::{self, must_delegate, must_undelegate};
use crate::suite::Host;

/// Shows it. With a challenge on the command line, a Realm also shows evidence over it.
pub(crate) fn run(host: &Host) -> ExitCode {
    let challenge = host.arguments.challenge;
    say!("plan {}", 1 + u32::from(challenge.is_some()));
    say!("begin demo/delegate-and-back limit 30");
    let mut passed = 0;
    let mut failed = 0;
    let mut end = |name, result| match result {
        Ok(()) => {
            passed += 1;
            say!("pass {name}");
        }
        Err(Stop::Fail(text) | Stop::Skip(text)) => {
            failed += 1;
            say!("fail {name}: {text}");
        }
    };
    end("demo/delegate-and-back", show(host));
    if let Some(challenge) = &challenge {
        say!("begin demo/evidence limit 60");
        end("demo/evidence", evidence::show(host, challenge));
    }
    say!("done {passed} passed, {failed} failed, 0 skipped");
    if failed == 0 {
        ExitCode::Passed
    } else {
        ExitCode::Failed
    }
}

fn show(host: &Host) -> Outcome {
    const SECRET: u64 = u64::from_be_bytes(*b"KEEP OUT");
    greet(host)?;
    let page = host.granule()?;
    // SAFETY: the pool gave the page out.
    let write = |address, value| unsafe { memory::try_write(address, value) };

    note!("1. The page at {page:#x} belongs to this host, which writes a secret into it.");
    for offset in (0..memory::GRANULE).step_by(8) {
        ensure!(
            write(page + offset, SECRET) == Some(Ok(())),
            "the host cannot write its own page"
        );
    }
    note!("   It reads back '{}'.", Show(read(page)?));

    note!("2. The host gives the page to the Realm world (RMI_GRANULE_DELEGATE).");
    must_delegate(page)?;
    must_fault("   Read by the host:", memory::try_read(page))?;
    must_fault("   Write by the host:", write(page, 0))?;
    other_cpu(host, page)?;

    note!("3. The host takes the page back (RMI_GRANULE_UNDELEGATE).");
    must_undelegate(page)?;
    for offset in (0..memory::GRANULE).step_by(8) {
        ensure_word!(read(page + offset)?, 0, "at {:#x}", page + offset);
    }
    note!("   It can read it again. All of it is zero: nothing comes out of the Realm world.");

    note!("4. Memory that was never the host's:");
    for carve_out in CarveOut::ALL {
        let Some(range) = host.machine.carve_out(carve_out) else {
            return fail!("the device tree lists no {}@*", carve_out.name());
        };
        let what = match carve_out {
            CarveOut::Root => "   Protection tables (Root):",
            CarveOut::Secure => "   Secure world:",
            CarveOut::Realm => "   The RMM itself (Realm):",
            CarveOut::Shared => "   The page that RMM and EL3 share (Realm):",
        };
        must_fault(what, memory::try_read(range.start()))?;
    }
    Ok(())
}

fn greet(host: &Host) -> Outcome {
    rmi::must_be_there()?;
    let [x0, _, highest, _] = rmi::command(fid::VERSION, &[VERSION_1_0.word()])?;
    ensure_word!(x0, rmi::SUCCESS, "RMI_VERSION");
    let [_, features, ..] = rmi::command(fid::FEATURES, &[0])?;
    let Some(highest) = Version::from_word(highest) else {
        return fail!("RMI_VERSION returned {highest:#x}");
    };
    note!(
        "This is the normal world: a host at EL2 on {} CPUs with {} MiB of memory.",
        host.cpus.count(),
        host.free
            .iter()
            .map(|range| range.size() >> 20)
            .sum::<u64>()
    );
    note!(
        "Next to it an RMM serves RMI {highest}: Realms with {}-bit addresses, {}.",
        features & 0xff,
        match features >> 32 & 3 {
            1 => "measured with SHA-256",
            2 => "measured with SHA-512",
            _ => "measured with SHA-256 or SHA-512",
        }
    );
    Ok(())
}

fn read(address: u64) -> Outcome<u64> {
    match memory::try_read(address) {
        Some(Ok(value)) => Ok(value),
        _ => fail!("the host cannot read its own page"),
    }
}

fn must_fault<T: Copy>(what: &str, result: Option<Result<T, Fault>>) -> Outcome {
    match result {
        Some(Err(fault)) => {
            note!("{what} {fault}.");
            Ok(())
        }
        _ => fail!("{what} nothing stopped it"),
    }
}

fn other_cpu(host: &Host, page: u64) -> Outcome {
    if host.cpus.count() < 2 {
        return Ok(());
    }
    host.cpus.check(2, &|cpu| match cpu {
        0 => Ok(()),
        // SAFETY: the pool gave the page out.
        _ => must_fault("   Write by another CPU:", unsafe {
            memory::try_write(page + 8, 0)
        }),
    })
}

/// Eight characters.
struct Show(u64);

impl core::fmt::Display for Show {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let bytes = self.0.to_be_bytes();
        f.write_str(core::str::from_utf8(&bytes).unwrap_or("?"))
    }
}
