//! A Realm that is ready to run, with a page of every kind.

use rmm_abi::rmi::run::{RecEnter, RecExit};
use rmm_abi::rmi::{RealmParams, fid};

use super::{Bench, PAGE, realm_params};
use crate::{Guest, Memory};

const BASE: u64 = 0x8000_0000;
const GRANULES: u64 = 384;

/// An active Realm of 40 bits with RECs, of which the first is runnable, and a page of each kind at
/// the addresses that the constants name.
#[derive(Debug)]
pub struct Scene<'m> {
    /// RMM, host and model.
    pub bench: Bench<'m>,
    /// The Realm.
    pub rd: u64,
    /// Its RECs.
    pub recs: Vec<u64>,
    /// A run page.
    pub run: u64,
    /// The host's page at [`Scene::SHARED`].
    pub shared: u64,
    /// The granules of the pages of memory, from [`Scene::MEMORY`] on.
    pub memory: Vec<u64>,
}

impl Scene<'_> {
    /// Pages of memory.
    pub const MEMORY: u64 = 0;
    /// How many.
    pub const PAGES: u64 = 4;
    /// RIPAS RAM, and the host has put nothing there.
    pub const UNASSIGNED: u64 = 0x4000;
    /// RIPAS EMPTY, nothing there.
    pub const EMPTY: u64 = 0x5000;
    /// RIPAS DESTROYED, nothing there.
    pub const DESTROYED: u64 = 0x6000;
    /// RIPAS EMPTY, memory there.
    pub const ASSIGNED_EMPTY: u64 = 0x7000;
    /// RIPAS DESTROYED, memory there.
    pub const ASSIGNED_DESTROYED: u64 = 0x8000;
    /// First address without a table of level 3, RIPAS EMPTY.
    pub const NO_TABLE: u64 = 0x20_0000;
    /// First unprotected address: the host's page, to read and write.
    pub const SHARED: u64 = 1 << 39;
    /// The same page of the host, to read only.
    pub const READ_ONLY: u64 = Self::SHARED + PAGE;
    /// The same page of the host, to write only.
    pub const WRITE_ONLY: u64 = Self::SHARED + 2 * PAGE;
    /// Nothing mapped by the host.
    pub const UNMAPPED: u64 = Self::SHARED + 3 * PAGE;
    /// Unprotected, without a table of level 3.
    pub const UNMAPPED_NO_TABLE: u64 = Self::SHARED + Self::NO_TABLE;
    /// First address beyond the IPA space.
    pub const BEYOND: u64 = 1 << 40;
    /// Where the RECs begin.
    pub const ENTRY: u64 = 0x100;

    /// Runs a test in a scene with this many RECs.
    pub fn play(recs: usize, test: impl FnOnce(&mut Scene<'_>)) {
        Self::with_params(&realm_params(40, 1, 2), recs, test);
    }

    /// [`Self::play`] with other parameters of the Realm, of the same shape.
    pub fn with_params(params: &RealmParams, recs: usize, test: impl FnOnce(&mut Scene<'_>)) {
        let memory = Memory::new(&[(BASE, GRANULES)]);
        let rmm = memory.rmm();
        let mut scene = Scene::build(Bench::new(&memory, &rmm).quick(), params, recs);
        test(&mut scene);
        scene.bench.check_all();
    }
}

impl Scene<'static> {
    /// A scene that lasts for ever, so that programs of its RECs can call the RMM from other CPUs.
    pub fn forever(recs: usize) -> Self {
        let memory: &'static Memory = Box::leak(Box::new(Memory::new(&[(BASE, GRANULES)])));
        let rmm = Box::leak(Box::new(memory.rmm()));
        Scene::build(
            Bench::new(memory, rmm).quick(),
            &realm_params(40, 1, 2),
            recs,
        )
    }
}

impl<'m> Scene<'m> {
    /// Builds a scene from what a bench has.
    pub fn build(mut bench: Bench<'m>, params: &RealmParams, recs: usize) -> Self {
        let rd = bench.realm(params);
        bench.tables(rd, Self::MEMORY, 3);
        bench.tables(rd, Self::SHARED, 3);
        let mut memory = Vec::new();
        let ram = Self::MEMORY..Self::EMPTY;
        bench.succeed(fid::RTT_INIT_RIPAS, &[rd, ram.start, ram.end]);
        let destroyed = [Self::DESTROYED, Self::ASSIGNED_DESTROYED];
        for ipa in destroyed {
            bench.succeed(fid::RTT_INIT_RIPAS, &[rd, ipa, ipa + PAGE]);
        }
        for number in 0..Self::PAGES {
            memory.push(bench.data(rd, Self::MEMORY + number * PAGE));
        }
        for ipa in destroyed {
            bench.data(rd, ipa);
            bench.succeed(fid::DATA_DESTROY, &[rd, ipa]);
        }
        for ipa in [Self::ASSIGNED_EMPTY, Self::ASSIGNED_DESTROYED] {
            bench.data(rd, ipa);
        }
        let shared = bench.host_granule();
        for (ipa, permissions) in [
            (Self::SHARED, 3),
            (Self::READ_ONLY, 1),
            (Self::WRITE_ONLY, 2),
        ] {
            let descriptor = shared | permissions << 6 | 0b0110 << 2;
            bench.succeed(fid::RTT_MAP_UNPROTECTED, &[rd, ipa, 3, descriptor]);
        }
        let recs = (0..recs).map(|n| bench.rec(rd, n == 0)).collect();
        let run = bench.host_granule();
        bench.activate(rd);
        bench.check_all();
        Self {
            bench: bench.thorough(),
            rd,
            recs,
            run,
            shared,
            memory,
        }
    }

    /// The first REC.
    pub fn rec(&self) -> u64 {
        self.recs[0]
    }

    /// From now on the first REC does what a program says.
    pub fn program<R>(&self, program: impl FnOnce(Guest) -> R)
    where
        R: Future<Output = ()> + Send + 'static,
    {
        self.bench.program(self.rec(), program);
    }

    /// Enters the first REC with nothing to say.
    pub fn enter(&mut self) -> RecExit {
        self.enter_with(&RecEnter::default())
    }

    /// Enters the first REC.
    pub fn enter_with(&mut self, enter: &RecEnter) -> RecExit {
        self.bench.enter(self.recs[0], self.run, enter)
    }

    /// Enters the first REC with flags.
    pub fn enter_with_flags(&mut self, flags: u64) -> RecExit {
        let mut enter = RecEnter::default();
        enter.flags = flags;
        self.enter_with(&enter)
    }

    /// Enters the first REC with flags, which must fail with a code and change nothing.
    pub fn refuse(&mut self, code: u64, flags: u64, why: &str) {
        let mut enter = RecEnter::default();
        enter.flags = flags;
        self.bench
            .refuse_entry(code, self.recs[0], self.run, &enter, why);
    }

    /// A word of the pages of memory, whether they are there or not for the Realm.
    ///
    /// # Panics
    ///
    /// When the address is none of theirs.
    pub fn word(&self, ipa: u64) -> u64 {
        let page = self.memory[usize::try_from(ipa / PAGE).expect("small")];
        let word = usize::try_from(ipa % PAGE / 8).expect("in a page");
        self.bench.memory().inspect(page, word)
    }
}
