//! The pool by examples; `tests/pool.rs` compares it with a model.

use super::*;

fn page(number: u64) -> Page {
    Page::new(number * PAGE_SIZE).expect("a page")
}

#[test]
fn a_chunk_alone_has_guards_and_no_block() {
    let mut pool = Pool::new();
    pool.add(page(1024), 10).expect("a chunk");
    assert_eq!(pool.take_block(), None);
    assert_eq!(pool.available(), 1022);
    let mut taken = 0;
    while let Some(got) = pool.take_group(0, true) {
        assert!(got > page(1024) && got < page(2047));
        assert!(pool.may_be_delegated(got));
        taken += 1;
    }
    assert_eq!(taken, 1022);
}

#[test]
fn neighbours_make_a_run() {
    let mut pool = Pool::new();
    pool.add(page(2048), 10).expect("a chunk");
    pool.add(page(1024), 10).expect("a chunk");
    assert_eq!(pool.take_block(), Some(page(2048)));
    assert_eq!(pool.take_block(), Some(page(1536)));
    assert_eq!(pool.take_block(), None);
    assert_eq!(pool.add(page(1024), 9), Err(PoolError::NotAChunk));
    assert_eq!(pool.add(page(3072 + 512), 10), Err(PoolError::NotAChunk));
    pool.add(page(3072), 9).expect("a chunk");
    assert_eq!(pool.take_block(), Some(page(2560)));
}

#[test]
fn a_chunk_stays_while_it_guards_a_neighbour() {
    let mut pool = Pool::new();
    for first in [1024, 2048] {
        pool.add(page(first), 10).expect("a chunk");
    }
    let block = pool.take_block().expect("a block");
    assert_eq!(block, page(1536));
    // The last page of the lower chunk is delegated: the upper chunk must stay.
    assert_eq!(
        pool.remove_spare(Sweep::Whole, &mut { u64::MAX }),
        Spare::None
    );
    for number in 0..512 {
        pool.release(block.nth(number)).expect("handed out");
    }
    assert_eq!(pool.release(block), Err(PoolError::NotHandedOut));
    let mut below = u64::MAX;
    assert_eq!(
        pool.remove_spare(Sweep::Whole, &mut below),
        Spare::Chunk(page(2048), 10)
    );
    assert_eq!(
        pool.remove_spare(Sweep::Whole, &mut below),
        Spare::Chunk(page(1024), 10)
    );
    assert_eq!(pool.remove_spare(Sweep::Whole, &mut below), Spare::None);
    assert_eq!(pool.counters(), Counters::default());
}

#[test]
fn blocks_go_but_for_their_guards() {
    let mut pool = Pool::new();
    for first in [1024, 2048, 3072, 4096] {
        pool.add(page(first), 10).expect("a chunk");
    }
    let blocks: Vec<Page> = core::iter::from_fn(|| pool.take_block()).collect();
    assert_eq!(blocks.len(), 6);
    for first in [2560, 3072, 3584] {
        for number in first..first + 512 {
            pool.release(page(number)).expect("handed out");
        }
    }
    // Three blocks, and at both ends of the run one without the last page.
    assert_eq!(
        (pool.available(), pool.reserve()),
        (3 * 512 + 2 * 511, 1024)
    );
    let none = pool.remove_spare(Sweep::Whole, &mut { u64::MAX });
    assert_eq!(none, Spare::None);

    let mut below = u64::MAX;
    let mut next = || pool.remove_spare(Sweep::Parts, &mut below);
    assert_eq!(next(), Spare::Split(page(4096), 10));
    // Nothing goes before the kernel has split it; then page 4608 stays for the block before it.
    assert_eq!(next(), Spare::Split(page(3072), 10));
    pool.split_done(page(4096), 10);
    pool.split_done(page(3072), 10);
    let mut below = u64::MAX;
    let mut next = || pool.remove_spare(Sweep::Parts, &mut below);
    assert_eq!(next(), Spare::Pages(page(4609), 511));
    assert_eq!(next(), Spare::Pages(page(3584), 511));
    assert_eq!(next(), Spare::Pages(page(3072), 512));
    assert_eq!(next(), Spare::None);
    assert_eq!(pool.available(), 2 * 511);
    // Where a whole block has gone, another one may come.
    assert_eq!(pool.add(page(3584), 9), Err(PoolError::NotAChunk));
    pool.add(page(3072), 9).expect("a chunk");
    assert_eq!(pool.take_block(), Some(page(2560)));

    // The guards go when nobody needs them.
    for number in 4096..4608 {
        pool.release(page(number)).expect("handed out");
    }
    let mut below = u64::MAX;
    let mut next = || pool.remove_spare(Sweep::Whole, &mut below);
    assert_eq!(next(), Spare::Pages(page(4608), 1));
    assert_eq!(next(), Spare::Pages(page(4096), 512));
    assert_eq!(next(), Spare::Pages(page(4095), 1));
    assert_eq!(next(), Spare::None);
}

#[test]
fn lost_pages_stay() {
    let mut pool = Pool::new();
    pool.add(page(1024), 10).expect("a chunk");
    let lost = pool.take_group(0, true).expect("a page");
    pool.lose(lost).expect("handed out");
    assert_eq!(pool.release(lost), Err(PoolError::NotHandedOut));
    assert_eq!(pool.lose(lost), Err(PoolError::NotHandedOut));
    assert_eq!(
        pool.remove_spare(Sweep::Whole, &mut { u64::MAX }),
        Spare::None
    );
    assert_eq!(pool.counters().lost, 1);
    assert_ne!(pool.take_group(0, true), Some(lost));
}

#[test]
fn small_things_spare_the_blocks() {
    let mut pool = Pool::new();
    for first in [1024, 2048, 3072] {
        pool.add(page(first), 10).expect("a chunk");
    }
    // Two broken blocks, at the edges of the run: 511 pages each.
    for _ in 0..1022 {
        pool.take_group(0, false).expect("a page of the edge");
    }
    assert_eq!(pool.take_group(0, false), None);
    for _ in 0..4 {
        pool.take_block().expect("a block");
    }
    assert_eq!(pool.take_group(0, true), None);
}

#[test]
fn what_comes_back_is_found_among_many() {
    let mut pool = Pool::new();
    // Pairs that do not touch each other, the last one first: two blocks in each.
    for pair in (0..130).rev() {
        for first in [3072 * pair + 1024, 3072 * pair + 2048] {
            pool.add(page(first), 10).expect("a chunk");
        }
    }
    let mut blocks: Vec<Page> = core::iter::from_fn(|| pool.take_block()).collect();
    blocks.sort();
    assert_eq!(blocks.len(), 260);
    for index in [7, 131, 258] {
        for number in 0..512 {
            pool.release(blocks[index].nth(number)).expect("handed out");
        }
        assert_eq!(pool.take_block(), Some(blocks[index]));
        assert_eq!(pool.take_block(), None);
    }
    for &block in &blocks {
        for number in 0..512 {
            pool.release(block.nth(number)).expect("handed out");
        }
    }
    let mut below = u64::MAX;
    let spare = core::iter::from_fn(|| match pool.remove_spare(Sweep::Whole, &mut below) {
        Spare::None => None,
        found => Some(found),
    });
    let spare = spare.filter(|found| *found != Spare::Later).count();
    assert_eq!((spare, pool.available()), (260, 0));
    assert_eq!(pool.counters(), Counters::default());
    // Where they were there is room again.
    pool.add(page(1024), 10).expect("a chunk");
    assert_eq!(pool.take_group(0, true), Some(page(1025)));
}

#[test]
fn a_long_look_for_parts_pauses_and_goes_on() {
    let mut pool = Pool::new();
    for pair in 0..160 {
        for first in [3072 * pair + 1024, 3072 * pair + 2048] {
            pool.add(page(first), 10).expect("a chunk");
        }
    }
    let mut blocks: Vec<Page> = core::iter::from_fn(|| pool.take_block()).collect();
    while pool.take_group(0, true).is_some() {}
    blocks.sort();
    for block in &blocks[..28] {
        for number in 0..512 {
            pool.release(block.nth(number)).expect("handed out");
        }
    }
    let (idle, owned) = (pool.available(), pool.counters().owned);
    assert!(idle > pool.reserve());
    // Nothing of the highest chunks lies idle.
    let mut below = u64::MAX;
    let mut next = || pool.remove_spare(Sweep::Parts, &mut below);
    assert_eq!(next(), Spare::Later);
    let mut given = 0;
    loop {
        match pool.remove_spare(Sweep::Parts, &mut below) {
            Spare::Split(first, order) => pool.split_done(first, order),
            Spare::Pages(_, count) => given += count as u64,
            Spare::Later => {}
            Spare::None => break,
            found @ Spare::Chunk(..) => panic!("{found:?} guards pages that are in use"),
        }
    }
    assert!(given > 0 && pool.available() <= pool.reserve());
    // What stays as a guard is not there for anything else.
    assert!(pool.available() <= idle - given);
    assert_eq!(pool.counters().owned, owned - given);
}
