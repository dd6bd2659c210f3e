//! The same work on disjoint Realms from one CPU and from several at once.
//!
//! With `-icount` all CPUs take turns in one thread and the counter counts the instructions of all
//! of them. So the ticks from start to end, divided by the number of operations, are what an
//! operation takes in total, with everything that a CPU does while it waits for another one. CPUs
//! that have no part are switched off, for they would count as well.

use rmm_abi::rmi::{DATA_MEASURE, fid};

use crate::console::{note, say};
use crate::memory::GRANULE;
use crate::outcome::{Outcome, ensure, ensure_word};
use crate::realm::{PAGE_LEVEL, Realm, Shape, nth, write_page};
use crate::rmi::commands::level_word;
use crate::rmi::{SUCCESS, must_delegate};
use crate::suite::Host;
use crate::{smc, time};

const COUNTS: [usize; 3] = [4, 2, 1];
const ROUNDS: u64 = 60;
const PAGES: u64 = 16;
/// Calls of one round.
const CALLS: u64 = 2 * (1 + 2 + PAGES) + 1 + PAGES;

/// What one CPU works on.
struct Work<'h> {
    realm: Realm<'h>,
    tables: u64,
    data: u64,
}

impl<'h> Work<'h> {
    fn new(host: &'h Host) -> Outcome<Self> {
        let work = Self {
            realm: Realm::without_descriptor(host, Shape::USUAL)?,
            tables: host.granules(2)?,
            data: host.granules(PAGES)?,
        };
        write_page(work.realm.page, &work.realm.params())?;
        for index in 0..2 {
            must_delegate(nth(work.tables, index))?;
        }
        for index in 0..PAGES {
            must_delegate(nth(work.data, index))?;
        }
        Ok(work)
    }

    /// A Realm with some measured content and its end.
    fn round(&self) -> Outcome {
        let call = |function, arguments: &[u64]| {
            let code = smc::call(function, arguments);
            ensure_word!(code, SUCCESS, "call {function:#x} of {arguments:x?}");
            Ok(())
        };
        let (rd, page) = (self.realm.rd, self.realm.page);
        call(fid::REALM_CREATE, &[rd, page])?;
        for (index, level) in (0..).zip([2, PAGE_LEVEL]) {
            let table = nth(self.tables, index);
            call(fid::RTT_CREATE, &[rd, table, 0, level_word(level)])?;
        }
        call(fid::RTT_INIT_RIPAS, &[rd, 0, PAGES * GRANULE])?;
        for index in 0..PAGES {
            let (data, ipa) = (nth(self.data, index), index * GRANULE);
            call(fid::DATA_CREATE, &[rd, data, ipa, page, DATA_MEASURE])?;
        }
        for index in 0..PAGES {
            let ipa = index * GRANULE;
            call(fid::RTT_READ_ENTRY, &[rd, ipa, level_word(PAGE_LEVEL)])?;
            call(fid::DATA_DESTROY, &[rd, ipa])?;
        }
        for level in [PAGE_LEVEL, 2] {
            call(fid::RTT_DESTROY, &[rd, 0, level_word(level)])?;
        }
        call(fid::REALM_DESTROY, &[rd])
    }
}

/// Prints the figures for as many CPUs as there are.
pub(crate) fn scaling(host: &Host) -> Outcome {
    let mut on = host.cpus.count();
    note!(
        "instructions of all CPUs together per operation, {CALLS} operations in a round of {} bytes of content",
        PAGES * GRANULE
    );
    for count in COUNTS
        .into_iter()
        .filter(|count| *count <= host.cpus.count())
    {
        while on > count {
            on -= 1;
            host.cpus.power_off(on)?;
        }
        let mut work = arrayvec::ArrayVec::<_, 4>::new();
        for _ in 0..count {
            work.push(Work::new(host)?);
        }
        // The first rounds fill caches and tables of the emulator; no instruction depends on
        // that, but the RMM may do something for the first time.
        host.cpus.check(count, &|cpu| work[cpu].round())?;
        let start = time::now();
        host.cpus.check(count, &|cpu| {
            (0..ROUNDS).try_for_each(|_| work[cpu].round())
        })?;
        let ticks = time::now() - start;
        let operations = count as u64 * ROUNDS * CALLS;
        ensure!(
            ticks > operations,
            "{ticks} ticks for {operations} operations"
        );
        let plural = if count == 1 { "" } else { "S" };
        say!(
            "bench DISJOINT_REALMS_{count}_CPU{plural} {}",
            ticks / operations
        );
    }
    Ok(())
}
