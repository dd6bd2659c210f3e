//! All CPUs change the tables of one Realm at random.

use core::sync::atomic::{AtomicU8, Ordering};

use arrayvec::ArrayVec;
use ns_host::random::Random;
use rmm_abi::rmi::{DATA_MEASURE, RttEntryState, StatusCode};

use crate::console::note;
use crate::memory::GRANULE;
use crate::outcome::{Outcome, ensure, fail};
use crate::realm::{PAGE_LEVEL, Realm, Shape, TWO_MEGABYTES, give_back, nth};
use crate::rmi::{Reply, commands, must_delegate};
use crate::suite::Host;
use crate::time::relax;

/// Granules that the CPUs share out.
const GRANULES: usize = 96;
/// Blocks of level 2, and pages of each, that the commands name. Few, so that commands meet.
const BLOCKS: u64 = 3;
const PAGES: u64 = 4;

/// With a CPU that may use it.
const FREE: u8 = 0;
/// In the Realm, or about to be.
const LENT: u8 = 1;

/// What a CPU needs for its part.
struct Worker<'w, 'h> {
    realm: &'w Realm<'h>,
    first: u64,
    states: &'w [AtomicU8; GRANULES],
    own: ArrayVec<u64, GRANULES>,
    random: Random,
    succeeded: u64,
}

pub(crate) fn two_cpus(host: &Host) -> Outcome {
    run(host, 2)
}

pub(crate) fn four_cpus(host: &Host) -> Outcome {
    run(host, 4)
}

fn run(host: &Host, cpus: usize) -> Outcome {
    let realm = Realm::new(host, Shape::USUAL)?;
    let first = host.granules(GRANULES as u64)?;
    for index in 0..GRANULES as u64 {
        must_delegate(nth(first, index))?;
    }
    let states = [const { AtomicU8::new(FREE) }; GRANULES];
    let share = GRANULES / cpus;
    host.cpus.check(cpus, &|cpu| {
        let own = (cpu * share..(cpu + 1) * share).map(|index| nth(first, index as u64));
        let mut worker = Worker {
            realm: &realm,
            first,
            states: &states,
            own: own.collect(),
            random: Random::new(0x00ac_ce55 + cpu as u64),
            succeeded: 0,
        };
        let calls = host.arguments.calls / 2;
        for number in 0..calls {
            // Tables come and go most when nothing is in them, so now and then nothing is added.
            worker.step(number % 512 < 256)?;
        }
        ensure!(
            worker.succeeded > calls / 20,
            "only {} of {calls} calls of CPU {cpu} succeeded",
            worker.succeeded
        );
        note!("CPU {cpu}: {} of {calls} calls succeeded", worker.succeeded);
        Ok(())
    })?;
    let lent = states
        .iter()
        .filter(|state| state.load(Ordering::Acquire) == LENT)
        .count();
    realm.lend(i64::try_from(lent).unwrap_or(i64::MAX));
    let free = (0..)
        .zip(&states)
        .filter(|(_, state)| state.load(Ordering::Acquire) == FREE);
    for (index, _) in free {
        give_back(nth(first, index))?;
    }
    // Gives back the others, and fails when one is missing or there is one more.
    realm.tear_down()
}

impl Worker<'_, '_> {
    fn step(&mut self, with_pages: bool) -> Outcome {
        let block = self.random.below(BLOCKS) * TWO_MEGABYTES;
        let page = block + self.random.below(PAGES) * GRANULE;
        let half = self.realm.shape.half();
        let rd = self.realm.rd;
        let kind = match self.random.below(24) {
            kind @ 12..16 if !with_pages => kind % 12,
            kind => kind,
        };
        match kind {
            0..3 => self.lend(|granule| commands::rtt_create(rd, granule, block, PAGE_LEVEL))?,
            3..5 => {
                self.lend(|granule| commands::rtt_create(rd, granule, half + block, PAGE_LEVEL))?;
            }
            5 => self.lend(|granule| commands::rtt_create(rd, granule, 0, 2))?,
            6 => self.lend(|granule| commands::rtt_create(rd, granule, half, 2))?,
            7 => self.take(|| commands::rtt_destroy(rd, block, PAGE_LEVEL))?,
            8 => self.take(|| commands::rtt_destroy(rd, half + block, PAGE_LEVEL))?,
            9 if self.random.below(8) == 0 => self.take(|| commands::rtt_destroy(rd, 0, 2))?,
            9 => self.take(|| commands::rtt_fold(rd, 0, 2))?,
            10 => self.take(|| commands::rtt_fold(rd, block, PAGE_LEVEL))?,
            11 => self.take(|| commands::rtt_fold(rd, half + block, PAGE_LEVEL))?,
            12..15 => self.lend(|granule| commands::data_create_unknown(rd, granule, page))?,
            15 => {
                let source = self.realm.page;
                self.lend(|granule| {
                    commands::data_create(rd, granule, page, source, DATA_MEASURE)
                })?;
            }
            16..19 => self.take(|| commands::data_destroy(rd, page))?,
            19 => self.change(commands::map_unprotected(
                rd,
                half + page,
                PAGE_LEVEL,
                0x4000_0000 + page,
            )?)?,
            20 => self.change(commands::map_unprotected(
                rd,
                half + block,
                2,
                0x4000_0000 + block,
            )?)?,
            21 => self.change(commands::unmap_unprotected(rd, half + page, PAGE_LEVEL)?)?,
            22 => self.change(commands::init_ripas(rd, page, page + GRANULE)?)?,
            _ => self.look(page)?,
        }
        // On an emulator with one thread this is where the CPUs change.
        if self.random.below(4) == 0 {
            relax();
        }
        Ok(())
    }

    /// A command on valid arguments succeeds or finds the tables to be other than it needs.
    fn change(&mut self, reply: Reply) -> Outcome {
        let [status, ..] = reply.code.to_le_bytes();
        if reply.succeeded() {
            self.succeeded += 1;
        } else {
            ensure!(
                status == StatusCode::ErrorRtt as u8 && reply.code >> 8 <= 3,
                "a command returned {:#x}",
                reply.code
            );
        }
        Ok(())
    }

    fn state(&self, granule: u64) -> Outcome<&AtomicU8> {
        let index = granule
            .checked_sub(self.first)
            .map(|offset| offset / GRANULE);
        match index.and_then(|index| self.states.get(usize::try_from(index).ok()?)) {
            Some(state) if granule.is_multiple_of(GRANULE) => Ok(state),
            _ => fail!("{granule:#x} is none of the granules of this test"),
        }
    }

    /// A command that takes a granule of this CPU.
    fn lend(&mut self, command: impl FnOnce(u64) -> Outcome<Reply>) -> Outcome {
        let Some(granule) = self.own.pop() else {
            return Ok(());
        };
        // Once the command has succeeded, another CPU may get the granule out at any moment.
        self.state(granule)?.store(LENT, Ordering::Release);
        let reply = command(granule)?;
        if !reply.succeeded() {
            self.state(granule)?.store(FREE, Ordering::Release);
            self.own.push(granule);
        }
        self.change(reply)
    }

    /// A command that gives a granule back.
    fn take(&mut self, command: impl FnOnce() -> Outcome<Reply>) -> Outcome {
        let reply = command()?;
        if reply.succeeded() {
            let [granule, ..] = reply.outputs;
            let before = self.state(granule)?.swap(FREE, Ordering::AcqRel);
            ensure!(before == LENT, "{granule:#x} came out of the Realm twice");
            self.own.push(granule);
        }
        self.change(reply)
    }

    /// What an entry names must be one of the granules of this test.
    fn look(&mut self, page: u64) -> Outcome {
        let entry = self.realm.entry(page, PAGE_LEVEL)?;
        if entry.state != RttEntryState::Unassigned {
            self.state(entry.descriptor)?;
        }
        self.succeeded += 1;
        Ok(())
    }
}
