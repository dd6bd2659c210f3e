//! The pool under random use: nobody gets what somebody has, and every page that may be delegated is
//! guarded.
#![forbid(unsafe_code)]

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use realm_kmod_core::PAGE_SIZE;
use realm_kmod_core::pool::{Counters, Page, Pool, PoolError, Spare, Sweep};

/// Chunks of the largest size that the kernel has to give.
const CHUNKS: u64 = 6;
const CHUNK_PAGES: u64 = 1024;

#[derive(Clone, Debug)]
enum Step {
    /// A chunk: its place, in units of the smaller size, and whether it is a small one.
    Add(u64, bool),
    Block,
    Group(u32, bool),
    /// Releases so many of what is handed out, from a place on.
    Release(usize, usize),
    Lose(usize),
    /// Gives back, and ends what was begun of that; or has chunks split, and does not end it yet.
    Spare(Sweep, bool),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..2 * CHUNKS, any::<bool>()).prop_map(|(place, small)| Step::Add(place, small)),
        3 => Just(Step::Block),
        3 => (0..5_u32, any::<bool>()).prop_map(|(order, blocks)| Step::Group(order, blocks)),
        3 => (any::<usize>(), 1..700_usize).prop_map(|(from, count)| Step::Release(from, count)),
        1 => any::<usize>().prop_map(Step::Lose),
        3 => (prop_oneof![Just(Sweep::Whole), Just(Sweep::Parts)], any::<bool>())
            .prop_map(|(sweep, end)| Step::Spare(sweep, end)),
    ]
}

fn page(number: u64) -> Page {
    Page::new(number * PAGE_SIZE).expect("a page")
}

/// What a pool must be, by page numbers.
#[derive(Default)]
struct Model {
    owned: BTreeSet<u64>,
    /// Pages that are given back together, by the first one.
    chunks: BTreeMap<u64, u64>,
    /// What is being split: the kernel has been asked, and the pool not yet been told.
    splitting: BTreeMap<u64, u64>,
    used: BTreeSet<u64>,
    lost: BTreeSet<u64>,
}

impl Model {
    fn owns(&self, number: u64) -> bool {
        self.owned.contains(&number)
    }

    fn busy(&self, number: u64) -> bool {
        self.used.contains(&number) || self.lost.contains(&number)
    }

    /// Whether a page is neither in use nor guards one that is.
    fn needless(&self, number: u64) -> bool {
        ![number - 1, number, number + 1]
            .iter()
            .any(|&number| self.busy(number))
    }

    /// Whether the pages are given back one by one.
    fn single(&self, number: u64) -> bool {
        let in_one = |chunks: &BTreeMap<u64, u64>| {
            let before = chunks.range(..=number).next_back();
            before.is_some_and(|(&first, &pages)| number < first + pages)
        };
        self.owns(number) && !in_one(&self.chunks) && !in_one(&self.splitting)
    }

    /// Not handed out, and between two pages of the pool.
    fn free(&self, number: u64) -> bool {
        !self.busy(number)
            && [number - 1, number, number + 1]
                .iter()
                .all(|&n| self.owns(n))
    }

    fn candidates(&self, pages: u64) -> impl Iterator<Item = u64> + '_ {
        let starts = self
            .owned
            .iter()
            .copied()
            .filter(move |first| first.is_multiple_of(pages));
        starts.filter(move |&start| (start..start + pages).all(|number| self.free(number)))
    }

    /// The first pages of the blocks of which nothing has gone and nothing is handed out.
    fn idle_blocks(&self) -> impl Iterator<Item = u64> + '_ {
        let starts = self
            .owned
            .iter()
            .copied()
            .filter(|first| first.is_multiple_of(512));
        starts.filter(|&first| (first..first + 512).all(|page| self.owns(page) && !self.busy(page)))
    }

    fn take(&mut self, got: Page, pages: u64) {
        let first = got.address() / PAGE_SIZE;
        assert!(
            first.is_multiple_of(pages),
            "{first} is not aligned to {pages}"
        );
        for number in first..first + pages {
            assert!(self.free(number), "{number} is not to be had");
            self.used.insert(number);
        }
    }

    /// Takes pages that go, of which none may be needed.
    fn goes(&mut self, first: u64, pages: u64) {
        for number in first..first + pages {
            assert!(self.needless(number), "{number} is not to spare");
            assert!(self.owned.remove(&number), "{number} goes twice");
        }
    }

    /// Whether a chunk can go as it came.
    fn spare(&self, first: u64, pages: u64) -> bool {
        (first..first + pages).all(|number| self.needless(number))
    }
}

fn apply(pool: &mut Pool, model: &mut Model, step: &Step) {
    match *step {
        Step::Add(place, small) => {
            let pages = if small { CHUNK_PAGES / 2 } else { CHUNK_PAGES };
            let first = CHUNK_PAGES + place * CHUNK_PAGES / 2;
            let possible = first.is_multiple_of(pages)
                && !(first..first + pages).any(|number| model.owns(number));
            let result = pool.add(page(first), pages.trailing_zeros());
            if possible {
                assert_eq!(result, Ok(()));
                model.chunks.insert(first, pages);
                model.owned.extend(first..first + pages);
            } else {
                assert_eq!(result, Err(PoolError::NotAChunk));
            }
        }
        Step::Block => {
            let possible = model.candidates(512).next().is_some();
            let got = pool.take_block();
            assert_eq!(got.is_some(), possible);
            if let Some(got) = got {
                model.take(got, 512);
            }
        }
        Step::Group(order, from_blocks) => {
            let pages = 1 << order;
            let whole = |number: u64| {
                let first = number - number % 512;
                (first..first + 512).all(|number| model.free(number))
            };
            let possible = model
                .candidates(pages)
                .any(|first| from_blocks || !whole(first));
            let got = pool.take_group(order, from_blocks);
            assert_eq!(got.is_some(), possible);
            if let Some(got) = got {
                model.take(got, pages);
            }
        }
        Step::Release(from, count) => {
            let all: Vec<u64> = model.used.iter().copied().collect();
            let from = from % (all.len() + 1);
            for &number in all[from..].iter().take(count) {
                assert_eq!(pool.release(page(number)), Ok(()));
                assert_eq!(pool.release(page(number)), Err(PoolError::NotHandedOut));
                model.used.remove(&number);
            }
        }
        Step::Lose(which) => {
            let all: Vec<u64> = model.used.iter().copied().collect();
            if let Some(&number) = all.get(which % (all.len() + 1)) {
                assert_eq!(pool.lose(page(number)), Ok(()));
                model.used.remove(&number);
                model.lost.insert(number);
            }
        }
        Step::Spare(sweep, end) => {
            give_back(pool, model, Sweep::Whole, end);
            give_back(pool, model, sweep, end);
            if end {
                // What was still being split may be idle.
                end_splitting(pool, model);
                give_back(pool, model, Sweep::Whole, true);
                give_back(pool, model, sweep, true);
                check_given_back(pool, model, sweep);
            }
            // Neighbours have lost their neighbours, and with them a page to hand out.
            assert_eq!(pool.available(), model.candidates(1).count() as u64);
        }
    }
}

fn give_back(pool: &mut Pool, model: &mut Model, sweep: Sweep, end: bool) {
    let mut below = u64::MAX;
    let mut last = u64::MAX;
    loop {
        let before = pool.available();
        match pool.remove_spare(sweep, &mut below) {
            Spare::Chunk(first, order) => {
                let first = first.address() / PAGE_SIZE;
                assert!(first < last, "{first} comes after {last}");
                last = first;
                assert_eq!(model.chunks.remove(&first), Some(1 << order));
                model.goes(first, 1 << order);
            }
            Spare::Pages(first, count) => {
                let first = first.address() / PAGE_SIZE;
                let pages = first..first + count as u64;
                assert_ne!(count, 0);
                let mut numbers = pages.clone();
                assert!(numbers.all(|number| model.single(number)), "not split");
                model.goes(pages.start, pages.end - pages.start);
                // Guards that nobody needs any more are always given back, others only from plenty.
                let all = count == 1 || (count == 512 && sweep == Sweep::Whole);
                assert!(all || before > pool.reserve(), "{before} is not much");
            }
            Spare::Split(first, order) => {
                let first = first.address() / PAGE_SIZE;
                assert_eq!(sweep, Sweep::Parts);
                assert!(before > pool.reserve(), "{before} is not much");
                assert_eq!(model.chunks.remove(&first), Some(1 << order));
                model.splitting.insert(first, 1 << order);
                if end {
                    end_splitting(pool, model);
                }
            }
            Spare::Later => {}
            Spare::None => return,
        }
    }
}

/// The kernel has split what it was asked to.
fn end_splitting(pool: &mut Pool, model: &mut Model) {
    for (first, pages) in std::mem::take(&mut model.splitting) {
        pool.split_done(page(first), pages.trailing_zeros());
    }
}

/// Whether everything has gone that was to go.
fn check_given_back(pool: &Pool, model: &Model, sweep: Sweep) {
    for (&first, &pages) in &model.chunks {
        assert!(!model.spare(first, pages), "{first} stays for nothing");
    }
    let whole: BTreeSet<u64> = model.idle_blocks().collect();
    for &number in &model.owned {
        let first = number - number % 512;
        let in_part = !(first..first + 512).all(|page| model.owns(page));
        // Of a block of which something has gone only guards are left.
        assert!(
            !in_part || !model.needless(number),
            "{number} stays for nothing"
        );
    }
    let plenty = pool.available() > pool.reserve();
    if sweep == Sweep::Parts && plenty {
        assert_eq!(whole, BTreeSet::new(), "much is idle, and blocks are too");
    }
}

fn check_counters(pool: &Pool, model: &Model) {
    let counters = Counters {
        owned: model.owned.len() as u64,
        used: model.used.len() as u64,
        lost: model.lost.len() as u64,
    };
    assert_eq!(pool.counters(), counters);
}

fn check(pool: &Pool, model: &Model) {
    check_counters(pool, model);
    assert_eq!(pool.available(), model.candidates(1).count() as u64);
    for &number in model.used.iter().chain(&model.lost) {
        assert!(pool.may_be_delegated(page(number)), "{number} has no guard");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn as_the_model(steps in proptest::collection::vec(step(), 1..60)) {
        let mut pool = Pool::new();
        let mut model = Model::default();
        for step in &steps {
            apply(&mut pool, &mut model, step);
            check_counters(&pool, &model);
        }
        check(&pool, &model);
        // Everything comes back, but for what holds a lost page or guards one.
        let used: Vec<u64> = model.used.iter().copied().collect();
        for number in used {
            prop_assert_eq!(pool.release(page(number)), Ok(()));
            model.used.remove(&number);
        }
        apply(&mut pool, &mut model, &Step::Spare(Sweep::Whole, true));
        check(&pool, &model);
        if model.lost.is_empty() {
            prop_assert_eq!(pool.counters(), Counters::default());
        }
    }
}
