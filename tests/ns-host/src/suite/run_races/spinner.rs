//! A program that the payload calls: it writes on and on, without an exit, until the host says that it
//! is enough.

use core::time::Duration;

use crate::outcome::{Outcome, ensure};
use crate::realm::{Command, PAGE_LEVEL, Realm, Replied, Vcpu, command};
use crate::rmi;
use crate::suite::{Host, expect};
use crate::time::wait_until;

/// Offset in the unprotected half of the page through which it talks with the host.
const SHARED: u64 = 0x1f0_0000;
/// Doublewords of that page: enough, progress, somewhere to write to.
const ENOUGH: u64 = 0;
const PROGRESS: u64 = 8;
const ELSEWHERE: u64 = 16;

/// How long it may take to get to work.
const START: Duration = Duration::from_secs(10);

/// The program in a Realm.
pub(super) struct Spinner {
    /// Where the program is: in the REC's own pages.
    code: u64,
    /// The shared page, for the host.
    page: u64,
}

/// Counts in X3, writes the count to the target and to the shared page, and looks whether it is enough.
fn program(shared: u64, target: u64) -> [u64; 7] {
    let instructions: [u32; 10] = [
        0x5800_0141, // ldr x1, shared
        0x5800_0162, // ldr x2, target
        0xd280_0003, // mov x3, #0
        0x9100_0463, // again: add x3, x3, #1
        0xf900_0043, // str x3, [x2]
        0xf900_0423, // str x3, [x1, #8]
        0xf940_0024, // ldr x4, [x1]
        0xb4ff_ff84, // cbz x4, again
        0xd65f_03c0, // ret
        0xd503_201f, // nop
    ];
    let mut words = [0; 7];
    for (word, pair) in words.iter_mut().zip(instructions.chunks_exact(2)) {
        *word = u64::from(pair[1]) << 32 | u64::from(pair[0]);
    }
    words[5] = shared;
    words[6] = target;
    words
}

impl Spinner {
    /// Brings the program into a Realm whose REC waits for a command. It writes to `target`, or
    /// nowhere in particular.
    pub(super) fn new(
        host: &Host,
        realm: &Realm,
        vcpu: &mut Vcpu,
        target: Option<u64>,
    ) -> Outcome<Self> {
        let page = host.granule()?;
        let shared = realm.shape.half() + SHARED;
        realm.tables(shared, PAGE_LEVEL)?;
        rmi::commands::map_unprotected(realm.rd, shared, PAGE_LEVEL, page | command::READ_WRITE)?
            .done("MAP_UNPROTECTED")?;
        let code = vcpu.hello.scratch;
        let target = target.unwrap_or(shared + ELSEWHERE);
        for (address, word) in (code..).step_by(8).zip(program(shared, target)) {
            vcpu.command(&command::store(address, 8, word))?
                .done("store of a program")?;
        }
        // DC CVAU and IC IVAU.
        for instruction in [[1, 3, 7, 11, 1], [1, 3, 7, 5, 1]] {
            vcpu.command(&command::write_register(instruction, code))?
                .done("maintenance for a program")?;
        }
        Ok(Self { code, page })
    }

    /// The command that starts it.
    pub(super) const fn command(&self) -> Command {
        command::fetch(self.code)
    }

    /// Lets it go on until it is told.
    pub(super) fn prepare(&self) -> Outcome {
        expect::write(self.page + PROGRESS, 0)?;
        expect::write(self.page + ENOUGH, 0)
    }

    /// Tells it that it is enough.
    pub(super) fn end(&self) -> Outcome {
        expect::write(self.page + ENOUGH, 1)
    }

    /// How far it has counted.
    pub(super) fn progress(&self) -> Outcome<u64> {
        expect::read(self.page + PROGRESS)
    }

    /// Waits until it has written again.
    pub(super) fn wait_for_progress(&self) -> Outcome {
        let before = self.progress()?;
        let works = wait_until(START, || {
            self.progress().is_ok_and(|progress| progress != before)
        });
        ensure!(works, "the program in the Realm does not get on");
        Ok(())
    }
}
