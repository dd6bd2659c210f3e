//! Tests of the tables, in ordinary memory.

use super::*;
use std::sync::Barrier;

fn words(count: usize) -> Vec<AtomicU64> {
    (0..count).map(|_| AtomicU64::new(0xdead)).collect()
}

fn region(start: u64, size: u64) -> Region {
    Region::new(start, size).unwrap()
}

#[test]
fn the_space_is_the_smallest_that_holds_the_memory() {
    let bits = |cpu, end| {
        ProtectedSpace::new(cpu, &[region(0x4000_0000, end - 0x4000_0000)], &[])
            .map(|space| (space.bits(), space.encoding()))
    };
    assert_eq!(bits(48, 2 * GIB), Ok((40, 2)));
    assert_eq!(bits(52, 1 << 40), Ok((40, 2)));
    assert_eq!(bits(52, 1 << 41), Ok((42, 3)));
    assert_eq!(bits(52, 1 << 44), Ok((44, 4)));
    assert_eq!(bits(36, 2 * GIB), Ok((36, 1)));
    for (cpu, end, space) in [(52, 1 << 45, 44), (36, 1 << 37, 36), (0, 2 * GIB, 0)] {
        assert_eq!(
            bits(cpu, end),
            Err(SpaceError::TooHigh { end, bits: space })
        );
    }
    let space = ProtectedSpace::new(
        48,
        &[region(GIB, 64 * GIB), region(100 * GIB + GRANULE, GRANULE)],
        &[region(0, GRANULE)],
    )
    .unwrap();
    assert_eq!(space.level_1_tables(), 66);
    assert_eq!(space.level_0_entries(), 1024);
}

#[test]
fn entries_are_where_the_architecture_puts_them() {
    let (level_0, level_1) = (words(1024), words(2 * L1_WORDS));
    let tables = Tables::new(
        &level_0,
        &level_1,
        0x4100_0000,
        &[region(GIB, 0x10_0000)],
        &[region(0, 0x1_0000)],
    );
    assert_eq!(level_0[1].load(Ordering::Relaxed), 0x4100_0003);
    assert_eq!(level_0[0].load(Ordering::Relaxed), 0x4102_0003);
    assert_eq!(level_0[2].load(Ordering::Relaxed), 0xf1);
    assert_eq!(level_1[0].load(Ordering::Relaxed), 0x9999_9999_9999_9999);
    assert_eq!(level_1[16].load(Ordering::Relaxed), u64::MAX);
    tables.set(&region(GIB + 0x2000, 0x1000), Protection::Realm);
    assert_eq!(level_1[0].load(Ordering::Relaxed), 0x9999_9999_9999_9b99);
    tables.set(&region(0, 0x1_0000), Protection::Root);
    assert_eq!(
        level_1[L1_WORDS].load(Ordering::Relaxed),
        0xaaaa_aaaa_aaaa_aaaa
    );
    assert_eq!(level_1[L1_WORDS + 1].load(Ordering::Relaxed), u64::MAX);
}

#[test]
fn what_is_set_is_read_back_over_word_and_table_borders() {
    let (level_0, level_1) = (words(1024), words(3 * L1_WORDS));
    let banks = [region(GIB, GIB + 0x5000), region(5 * GIB, 0x1000)];
    let tables = Tables::new(&level_0, &level_1, 0, &banks, &[]);
    let odd = region(2 * GIB - 0x1_1000, 0x1_3000);
    tables.set(&odd, Protection::Secure);
    for address in (2 * GIB - 0x2_0000..2 * GIB + 0x8000).step_by(0x1000) {
        let expected = if odd.contains(address) {
            Protection::Secure
        } else if banks[0].contains(address) {
            Protection::NonSecure
        } else {
            Protection::Any
        };
        assert_eq!(tables.get(address), Some(expected), "{address:#x}");
    }
    assert_eq!(tables.get(5 * GIB), Some(Protection::NonSecure));
    assert_eq!(tables.get(5 * GIB + 0x1000), Some(Protection::Any));
    assert_eq!(tables.get(0), None);
    assert_eq!(tables.get(4 * GIB), None);
    assert_eq!(tables.get(1024 * GIB), None);
    assert_eq!(tables.get(u64::MAX), None);
}

#[test]
fn a_change_needs_the_protection_that_it_starts_from() {
    let (level_0, level_1) = (words(1024), words(L1_WORDS));
    let tables = Tables::new(&level_0, &level_1, 0, &[region(GIB, GIB)], &[]);
    let address = GIB + 0x3000;
    let to_realm = || tables.change(address, Protection::NonSecure, Protection::Realm);
    assert_eq!(to_realm(), Ok(()));
    assert_eq!(to_realm(), Err(Some(Protection::Realm)));
    assert_eq!(
        tables.change(0, Protection::NonSecure, Protection::Realm),
        Err(None)
    );
    assert_eq!(level_1[0].load(Ordering::Relaxed), 0x9999_9999_9999_b999);
}

#[test]
fn neighbours_in_a_word_change_at_once_without_a_loss() {
    let (level_0, level_1) = (words(1024), words(L1_WORDS));
    let tables = Tables::new(&level_0, &level_1, 0, &[region(GIB, GIB)], &[]);
    let start = Barrier::new(2);
    std::thread::scope(|scope| {
        for granule in 0..2 {
            let (tables, start) = (&tables, &start);
            scope.spawn(move || {
                start.wait();
                let address = GIB + granule * GRANULE;
                for _ in 0..1_000_000 {
                    let steps = [
                        (Protection::NonSecure, Protection::Realm),
                        (Protection::Realm, Protection::NoAccess),
                        (Protection::NoAccess, Protection::NonSecure),
                    ];
                    for (from, to) in steps {
                        assert_eq!(tables.change(address, from, to), Ok(()));
                    }
                }
            });
        }
    });
    assert_eq!(level_1[0].load(Ordering::Relaxed), 0x9999_9999_9999_9999);
}
