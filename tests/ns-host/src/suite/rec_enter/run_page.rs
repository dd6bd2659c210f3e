//! The run page as an adversary's: everything in it set, changed or taken away.

use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;

use ns_host::random::Random;
use rmm_abi::rmi::fid;
use rmm_abi::rmi::run::{RecEnter, enter_flags};
use rmm_abi::smc::SVE_HINT;
use spin::Mutex;
use zerocopy::IntoBytes;

use crate::memory::GRANULE;
use crate::outcome::{Outcome, ensure};
use crate::realm::{Command, Replied, RunPage, RunningRealm};
use crate::rmi::{ERROR_INPUT, ERROR_REC, must_delegate, must_undelegate};
use crate::smc;
use crate::suite::{Host, expect};
use crate::time::{Deadline, relax};

/// Bytes that mean nothing: behind the flags, the registers, the GIC's.
const RESERVED: [core::ops::Range<usize>; 3] = [0x008..0x200, 0x2f8..0x300, 0x388..0x800];
/// Bits of the flags that mean nothing.
const RESERVED_FLAGS: u64 = !(enter_flags::EMULATED_MMIO
    | enter_flags::INJECT_SEA
    | enter_flags::TRAP_WFI
    | enter_flags::TRAP_WFE
    | enter_flags::RIPAS_REJECTED);

pub(crate) fn reserved_bits(host: &Host) -> Outcome {
    let mut realm = RunningRealm::plain(host)?;
    let vcpu = realm.first();
    let unused_lists = 0x308 + 8 * vcpu.list_registers()..0x388;
    for bit in (0..64).filter(|bit| RESERVED_FLAGS >> bit & 1 == 1) {
        vcpu.enter.flags = 1 << bit;
        vcpu.command(&Command::Time)?
            .done(format_args!("a command with bit {bit} of the flags"))?;
    }
    for byte in [0xff, 0x01, 0x80] {
        for range in RESERVED.into_iter().chain([unused_lists.clone()]) {
            vcpu.enter.as_mut_bytes()[range].fill(byte);
        }
        vcpu.enter.flags |= RESERVED_FLAGS;
        vcpu.command(&Command::Time)?
            .done("a command with all reserved bits")?;
    }
    // The hint that the host has nothing in its SVE registers changes nothing about the call.
    let hinted = |rec, page| {
        let word = smc::call(fid::REC_ENTER | SVE_HINT, &[rec, page]);
        Ok(crate::rmi::Reply {
            code: word,
            outputs: [0; 4],
        })
    };
    vcpu.enter.gprs = Command::Time.encode();
    let report = vcpu.run_by(hinted)?;
    vcpu.finish(&report)?.done("a command")?;
    realm.tear_down()
}

/// How long each adversary goes on.
const TIME: Duration = Duration::from_secs(3);

/// Lets CPU 0 enter a REC again and again while CPU 1 does something.
fn against(
    host: &Host,
    enter: impl FnMut() -> Outcome + Send,
    meanwhile: &(dyn Fn() -> Outcome + Sync),
) -> Outcome {
    let over = AtomicBool::new(false);
    let enter = Mutex::new(enter);
    host.cpus.check(2, &|cpu| {
        if cpu == 1 {
            let mut outcome = Ok(());
            while outcome.is_ok() && !over.load(Ordering::Acquire) {
                outcome = meanwhile();
                relax();
            }
            return outcome;
        }
        let mut enter = enter.lock();
        let time = Deadline::after(TIME);
        let mut outcome = Ok(());
        while outcome.is_ok() && !time.passed() {
            outcome = enter();
            relax();
        }
        over.store(true, Ordering::Release);
        outcome
    })
}

/// The page goes to the Realm world and comes back while a REC is entered with it. The payload gets
/// no command from it, says so, and asks again: an exit that was lost is repeated.
pub(crate) fn delegated_under_the_call(host: &Host) -> Outcome {
    let mut realm = RunningRealm::plain(host)?;
    let vcpu = realm.first();
    let (rec, page) = (vcpu.rec, RunPage::new(host)?);
    let (mut entered, mut refused) = (0u64, 0u64);
    let enter = || {
        let reply = page.enter(rec)?;
        if reply.succeeded() {
            entered += 1;
        } else {
            reply.refused(ERROR_INPUT, "REC_ENTER with a page that comes and goes")?;
            refused += 1;
        }
        Ok(())
    };
    against(host, enter, &|| {
        must_delegate(page.address())?;
        for _ in 0..20 {
            relax();
        }
        must_undelegate(page.address())?;
        for _ in 0..40 {
            relax();
        }
        Ok(())
    })?;
    ensure!(
        entered > 0 && refused > 0,
        "{entered} entries and {refused} refusals: the CPUs did not meet"
    );
    expect::accessible(page.address())?;
    let report = vcpu.run()?;
    vcpu.finish(&report)?;
    vcpu.command(&Command::Time)?.done("a command in the end")?;
    realm.tear_down()
}

/// Another CPU writes into both halves of the page while a REC is entered with it.
pub(crate) fn changes_under_the_call(host: &Host) -> Outcome {
    let mut realm = RunningRealm::plain(host)?;
    let vcpu = realm.first();
    let (rec, page) = (vcpu.rec, RunPage::new(host)?);
    page.write(&RecEnter::default())?;
    let random = Mutex::new(Random::new(11));
    let (mut entered, mut refused) = (0u64, 0u64);
    let enter = || {
        let reply = page.enter(rec)?;
        if reply.succeeded() {
            entered += 1;
        } else {
            reply.refused(ERROR_REC, "REC_ENTER with a page that changes")?;
            refused += 1;
        }
        Ok(())
    };
    against(host, enter, &|| {
        let mut random = random.lock();
        for _ in 0..64 {
            let word = random.word();
            // Anything but a command that the payload knows.
            let (offset, value) = match random.below(6) {
                0 => (0, word),
                1 => (0x200, word | 1 << 63),
                2 => (0x208 + 8 * random.below(30), word),
                3 => (0x300, word >> random.below(64)),
                4 => (0x308 + 8 * random.below(16), word),
                _ => (GRANULE / 2 + 8 * random.below(256), word),
            };
            expect::write(page.address() + offset, value)?;
        }
        // And now and then nothing that can be refused.
        for offset in (0x300..0x388).step_by(8).chain([0]) {
            expect::write(page.address() + offset, 0)?;
        }
        for _ in 0..random.below(40) {
            relax();
        }
        Ok(())
    })?;
    ensure!(
        entered > 0 && refused > 0,
        "{entered} entries and {refused} refusals: the CPUs did not meet"
    );
    let report = vcpu.run()?;
    vcpu.finish(&report)?;
    vcpu.command(&Command::Time)?.done("a command in the end")?;
    realm.tear_down()
}
