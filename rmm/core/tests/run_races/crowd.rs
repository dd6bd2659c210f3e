//! Several CPUs enter the RECs of one Realm while others change, and take apart, what is below it.
//! What comes of it depends on the moment; that nothing else comes of it, and that everything can be
//! taken apart in the end, does not. The machine ends the test when a Realm reaches memory that is not
//! its own, when two CPUs have the same REC, or when the host does not get its registers back.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::ScopedJoinHandle;

use fake_machine::{FakeCpu, Guest, Instruction, Memory, MemoryAccess, PAGE, Scene};
use rmm_abi::rmi::fid;
use rmm_abi::rmi::run::{ExitReason, RecEnter};
use rmm_abi::rsi;
use rmm_abi::smc::psci;
use rmm_core::{Reply, Rmm};

const SUCCESS: u64 = 0;
const ERROR_INPUT: u64 = 1;
const ERROR_REALM: u64 = 2;
const ERROR_REC: u64 = 3;
const ERROR_RTT: u64 = 4;

/// RECs of the Realm.
const RECS: usize = 4;
/// CPUs that enter them.
const RUNNERS: usize = 2;

/// Why the RECs exit.
const REASONS: [ExitReason; 4] = [
    ExitReason::Sync,
    ExitReason::Irq,
    ExitReason::RipasChange,
    ExitReason::HostCall,
];

/// Pseudo-random numbers, reproducible for each CPU (xorshift64*).
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % limit
    }

    fn one_of<T: Copy>(&mut self, from: &[T]) -> T {
        from[usize::try_from(self.below(from.len() as u64)).unwrap()]
    }
}

/// What a REC does: everything, again and again. Whatever it finds, it goes on.
async fn live(guest: Guest, number: u64) {
    let mut random = Random(number + 1);
    let own = 0x1000 + number * 0x100;
    loop {
        let call = match random.below(10) {
            0 | 1 => {
                let value = number << 32 | random.below(1 << 30);
                guest.set_general(0, value);
                let store = Instruction::Access(MemoryAccess::store(own, 8));
                let load = Instruction::Access(MemoryAccess::load(own, 8));
                if guest.execute(store).await.is_ok() {
                    match guest.execute(load).await {
                        // The page may have gone, and another have come.
                        Ok(found) => assert!(found == value || found == 0, "{found:#x}"),
                        Err(_) => skip(&guest),
                    }
                } else {
                    skip(&guest);
                }
                continue;
            }
            2 => {
                let address = random.one_of(&[
                    Scene::SHARED,
                    Scene::UNMAPPED,
                    Scene::UNASSIGNED,
                    Scene::NO_TABLE,
                    Scene::EMPTY,
                ]);
                let load = Instruction::Access(MemoryAccess::load(address, 8));
                if guest.execute(load).await.is_err() {
                    skip(&guest);
                }
                continue;
            }
            3 => {
                guest.interrupt().await;
                continue;
            }
            4 => {
                guest.set_vector(3, number).await;
                continue;
            }
            5 => [rsi::fid::MEASUREMENT_EXTEND, 1 + number % 4, 64, 5, 5],
            6 => [rsi::fid::IPA_STATE_GET, 0, 0x10_0000, 0, 0],
            7 => [rsi::fid::HOST_CALL, own & !0xff, 0, 0, 0],
            8 => {
                let page = random.below(10) * PAGE;
                [
                    rsi::fid::IPA_STATE_SET,
                    page,
                    page + 2 * PAGE,
                    random.below(2),
                    1,
                ]
            }
            _ => [rsi::fid::REALM_CONFIG, 0x3000, 0, 0, 0],
        };
        let code = guest.smc(&call).await[0];
        assert!(code <= 1, "{call:x?}: {code:#x}");
    }
}

/// Goes on behind an instruction that was refused.
fn skip(guest: &Guest) {
    guest.return_from_exception();
    let here = guest.program_counter();
    guest.registers(|registers| registers.program_counter = here + 4);
}

/// So many entries that everybody stops.
const ENOUGH: u64 = u64::MAX / 2;

/// Ends the others' work when one of them has failed: what it held stays taken.
struct Alarm<'e>(&'e AtomicU64);

impl Drop for Alarm<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.store(ENOUGH, Ordering::Relaxed);
        }
    }
}

/// A CPU of the host.
struct Host<'m> {
    cpu: FakeCpu<'m>,
    memory: &'m Memory,
    rmm: &'m Rmm<'m>,
    random: Random,
    /// Functions that have succeeded.
    succeeded: RefCell<BTreeSet<u64>>,
    /// Exit reasons that were seen.
    reasons: BTreeSet<u64>,
}

impl<'m> Host<'m> {
    fn new(memory: &'m Memory, rmm: &'m Rmm<'m>, number: usize) -> Self {
        let cpu = memory.cpu(number);
        let mut steps = Random(77 + number as u64);
        cpu.interrupt(move || {
            if steps.below(8) == 0 {
                std::thread::yield_now();
            }
        });
        Self {
            cpu,
            memory,
            rmm,
            random: Random(1 + number as u64),
            succeeded: RefCell::default(),
            reasons: BTreeSet::new(),
        }
    }

    /// Makes a call whose code, without its index, must be one of these.
    fn call(&self, call: &[u64], codes: &[u64]) -> Reply {
        let mut registers = [0; 8];
        registers[..call.len()].copy_from_slice(call);
        let reply = self.cpu.call(self.rmm, &registers);
        assert!(codes.contains(&(reply[0] & 0xff)), "{call:x?}: {reply:x?}");
        if reply[0] == SUCCESS {
            self.succeeded.borrow_mut().insert(call[0]);
        }
        reply
    }

    /// Enters RECs, and does some of what they ask for.
    fn run(&mut self, rd: u64, recs: &[u64], page: u64, entries: &AtomicU64, wanted: u64) {
        let _alarm = Alarm(entries);
        while entries.load(Ordering::Relaxed) < wanted {
            let rec = self.random.one_of(recs);
            let mut enter = RecEnter::default();
            enter.flags = self.random.below(32);
            self.memory.host_write(page, 0, enter.flags).unwrap();
            let codes = [SUCCESS, ERROR_INPUT, ERROR_REC];
            if self.call(&[fid::REC_ENTER, rec, page], &codes)[0] != SUCCESS {
                continue;
            }
            entries.fetch_add(1, Ordering::Relaxed);
            let told = |word: usize| self.memory.host_read(page, 256 + word).unwrap();
            self.reasons.insert(told(0));
            if told(0) == ExitReason::RipasChange as u64 {
                let (base, top) = (told(0x500 / 8), told(0x508 / 8));
                let codes = [SUCCESS, ERROR_INPUT, ERROR_REC, ERROR_RTT];
                self.call(&[fid::RTT_SET_RIPAS, rd, rec, base, top], &codes);
            }
        }
    }

    /// Changes the Realm's memory and tables under its RECs.
    fn disturb(&mut self, rd: u64, recs: &[u64], shared: u64, pool: &mut Vec<u64>) {
        let page = self.random.below(10) * PAGE;
        let anything = [SUCCESS, ERROR_INPUT, ERROR_RTT];
        match self.random.below(9) {
            0 | 1 => {
                let [code, data, ..] = self.call(&[fid::DATA_DESTROY, rd, page], &anything);
                if code == SUCCESS {
                    self.call(&[fid::GRANULE_UNDELEGATE, data], &[SUCCESS]);
                    self.memory.host_write(data, 5, u64::MAX).unwrap();
                    self.call(&[fid::GRANULE_DELEGATE, data], &[SUCCESS]);
                    pool.push(data);
                }
            }
            2 | 3 => {
                if let Some(data) = pool.pop() {
                    let create = [fid::DATA_CREATE_UNKNOWN, rd, data, page];
                    if self.call(&create, &anything)[0] != SUCCESS {
                        pool.push(data);
                    }
                }
            }
            4 => {
                if let Some(table) = pool.pop() {
                    let base = Scene::NO_TABLE;
                    let create = [fid::RTT_CREATE, rd, table, base, 3];
                    if self.call(&create, &anything)[0] != SUCCESS {
                        pool.push(table);
                    }
                }
            }
            5 => {
                let destroy = self.random.one_of(&[fid::RTT_DESTROY, fid::RTT_FOLD]);
                let [code, table, ..] = self.call(&[destroy, rd, Scene::NO_TABLE, 3], &anything);
                if code == SUCCESS {
                    pool.push(table);
                }
            }
            6 => {
                let address = Scene::SHARED + page;
                let map = [fid::RTT_MAP_UNPROTECTED, rd, address, 3, shared | 0xd8];
                self.call(&map, &anything);
            }
            7 => {
                let unmap = [fid::RTT_UNMAP_UNPROTECTED, rd, Scene::SHARED + page, 3];
                self.call(&unmap, &anything);
            }
            _ => {
                self.call(&[fid::REALM_DESTROY, rd], &[ERROR_REALM]);
                let (calling, target) = (self.random.one_of(recs), self.random.one_of(recs));
                let complete = [fid::PSCI_COMPLETE, calling, target, 0];
                self.call(&complete, &[ERROR_INPUT]);
            }
        }
    }

    /// Takes everything apart that is left.
    fn take_apart(&self, rd: u64, recs: &[u64], is_shared: bool) {
        let gone = if is_shared {
            &[SUCCESS, ERROR_INPUT][..]
        } else {
            &[SUCCESS]
        };
        for &rec in recs {
            self.call(&[fid::REC_DESTROY, rec], gone);
        }
        for page in 0..10 {
            let destroy = [fid::DATA_DESTROY, rd, page * PAGE];
            self.call(&destroy, &[SUCCESS, ERROR_RTT]);
        }
        for (base, level) in [
            (Scene::NO_TABLE, 3),
            (Scene::MEMORY, 3),
            (Scene::MEMORY, 2),
            (Scene::SHARED, 3),
            (Scene::SHARED, 2),
        ] {
            let may_be_gone = usize::from(base == Scene::NO_TABLE);
            let codes = &[SUCCESS, ERROR_RTT][..=may_be_gone];
            self.call(&[fid::RTT_DESTROY, rd, base, level], codes);
        }
        self.call(&[fid::REALM_DESTROY, rd], &[SUCCESS]);
    }
}

fn wanted_entries() -> u64 {
    let steps = std::env::var("CLOISTER_STEPS").ok();
    steps.map_or(20_000, |text| text.parse().expect("a number"))
}

/// Switches the other RECs of a scene on.
fn switch_all_on(scene: &mut Scene<'_>) {
    let recs = scene.recs.clone();
    scene.program(|guest| async move {
        for target in 1..RECS as u64 {
            guest.smc(&[psci::CPU_ON, target, 0, 0]).await;
        }
    });
    for &target in &recs[1..] {
        scene.enter();
        let complete = [recs[0], target, 0];
        scene.bench.succeed(fid::PSCI_COMPLETE, &complete);
    }
    for (number, &rec) in (0..).zip(&recs) {
        scene.bench.program(rec, move |guest| live(guest, number));
    }
}

#[test]
fn everything_at_once() {
    let mut scene = Scene::forever(RECS);
    switch_all_on(&mut scene);
    let pages: Vec<u64> = (0..RUNNERS).map(|_| scene.bench.host_granule()).collect();
    let mut pool: Vec<u64> = (0..6).map(|_| scene.bench.delegated()).collect();
    let (memory, rmm) = (scene.bench.memory(), scene.bench.rmm());
    let Scene {
        rd, recs, shared, ..
    } = scene;
    let (entries, over) = (AtomicU64::new(0), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let runners: Vec<_> = (1..)
            .zip(&pages)
            .map(|(number, &page)| {
                let (recs, entries) = (&recs, &entries);
                scope.spawn(move || {
                    let mut host = Host::new(memory, rmm, number);
                    host.run(rd, recs, page, entries, wanted_entries());
                    host.reasons
                })
            })
            .collect();
        let (over, recs) = (&over, &recs);
        let disturber = scope.spawn(move || {
            let mut host = Host::new(memory, rmm, RUNNERS + 1);
            while !over.load(Ordering::Relaxed) {
                host.disturb(rd, recs, shared, &mut pool);
            }
            // A crowd that never gets in anybody's way would show nothing.
            for function in [
                fid::DATA_CREATE_UNKNOWN,
                fid::DATA_DESTROY,
                fid::RTT_CREATE,
                fid::RTT_DESTROY,
                fid::RTT_FOLD,
                fid::RTT_MAP_UNPROTECTED,
                fid::RTT_UNMAP_UNPROTECTED,
            ] {
                assert!(host.succeeded.borrow().contains(&function), "{function:#x}");
            }
        });
        let ended: Vec<_> = runners.into_iter().map(ScopedJoinHandle::join).collect();
        over.store(true, Ordering::Relaxed);
        disturber.join().unwrap();
        // Together: on a busy machine one of them may do nearly everything.
        let reasons: BTreeSet<_> = ended.into_iter().flat_map(Result::unwrap).collect();
        assert_eq!(reasons, REASONS.map(|reason| reason as u64).into());
    });
    Host::new(memory, rmm, 0).take_apart(rd, &recs, false);
}

/// A host that takes a Realm apart while its RECs run.
#[test]
fn a_realm_that_is_taken_apart() {
    for round in 0..wanted_entries() / 500 {
        let mut scene = Scene::forever(RECS);
        switch_all_on(&mut scene);
        let pages: Vec<u64> = (0..RUNNERS).map(|_| scene.bench.host_granule()).collect();
        let (memory, rmm) = (scene.bench.memory(), scene.bench.rmm());
        let Scene { rd, recs, .. } = scene;
        let entries = AtomicU64::new(0);
        std::thread::scope(|scope| {
            for (number, &page) in (1..).zip(&pages) {
                let (recs, entries) = (&recs, &entries);
                scope.spawn(move || {
                    let mut host = Host::new(memory, rmm, number);
                    host.random = Random(round * 8 + number as u64 + 1);
                    host.run(rd, recs, page, entries, 100);
                });
            }
            let host = Host::new(memory, rmm, RUNNERS + 1);
            let mut left = recs.clone();
            while entries.load(Ordering::Relaxed) < 90 {
                left.retain(|&rec| {
                    let codes = [SUCCESS, ERROR_REC];
                    host.call(&[fid::REC_DESTROY, rec], &codes)[0] != SUCCESS
                });
                if left.len() <= 1 {
                    break;
                }
                std::thread::yield_now();
            }
            // Whoever still wants to enter is told that there is nothing, and stops.
            entries.store(ENOUGH, Ordering::Relaxed);
        });
        Host::new(memory, rmm, 0).take_apart(rd, &recs, true);
    }
}
