//! What the MMU sees of a Realm's memory: pages and blocks, and that nothing is remembered longer than
//! it may be.
#![allow(missing_docs)]

use fake_machine::{Bench, FEATURES, Memory, PAGE, Stage2Registers, realm_params};
use rmm_abi::rmi::fid;

const LEVEL_2: u64 = 0x20_0000;
const LEVEL_1: u64 = 0x4000_0000;

/// First granule of memory that can become a block, aligned to the largest.
const BLOCK: u64 = 0x4000_0000;
/// First granule of memory for everything else.
const OTHER: u64 = 0x1000_0000;
const OTHERS: u64 = 1200;

/// A bench whose granules for everything but the Realm's memory are those from `OTHER` on.
fn bench<'m>(memory: &'m Memory, rmm: &'m rmm_core::Rmm<'m>, pages: u64) -> Bench<'m> {
    let others = (0..OTHERS).map(|number| OTHER + number * PAGE);
    let block = (0..pages).map(|number| BLOCK + number * PAGE);
    // Granules are given away from the first on.
    Bench::with_granules(memory, rmm, FEATURES, others.chain(block).collect()).quick()
}

const fn error_rtt(level: u64) -> u64 {
    level << 8 | 4
}

fn fill(bench: &mut Bench<'_>, rd: u64, ipa: u64, output: u64) {
    for offset in (0..LEVEL_2).step_by(0x1000) {
        bench.succeed(
            fid::DATA_CREATE_UNKNOWN,
            &[rd, output + offset, ipa + offset],
        );
    }
}

/// Pages become a block of 2 MiB and the other way round, with each RIPAS that they can have.
#[test]
fn blocks_of_two_mebibytes() {
    let memory = Memory::new(&[(OTHER, OTHERS), (BLOCK, 1024)]);
    let rmm = memory.rmm();
    let mut bench = bench(&memory, &rmm, 1024);
    for number in 0..1024 {
        bench.succeed(fid::GRANULE_DELEGATE, &[BLOCK + number * PAGE]);
    }
    let rd = bench.realm(&realm_params(40, 1, 2));
    for (ipa, ripas) in [(0, 0), (LEVEL_2, 1), (2 * LEVEL_2, 2)] {
        bench.tables(rd, ipa, 3);
        match ripas {
            1 => _ = bench.succeed(fid::RTT_INIT_RIPAS, &[rd, ipa, ipa + LEVEL_2]),
            2 => {
                let [table, ..] = bench.succeed(fid::RTT_DESTROY, &[rd, ipa, 3]);
                bench.succeed(fid::RTT_CREATE, &[rd, table, ipa, 3]);
            }
            _ => {}
        }
        fill(&mut bench, rd, ipa, BLOCK);
        for offset in (0..LEVEL_2).step_by(0x1000) {
            bench.translate(rd, ipa + offset);
        }
        let [table, ..] = bench.succeed(fid::RTT_FOLD, &[rd, ipa, 3]);
        let entry = bench.succeed(fid::RTT_READ_ENTRY, &[rd, ipa, 3]);
        assert_eq!(entry, [2, 1, BLOCK, ripas]);
        let leaf = bench.translate(rd, ipa + 0x1f_f123);
        assert_eq!(leaf.map(|leaf| leaf.size), (ripas == 1).then_some(LEVEL_2));
        // The block is in the way of everything that works on pages, and keeps its table alive.
        bench.fail(error_rtt(2), fid::DATA_DESTROY, &[rd, ipa], "a block");
        let [_, _, top, ..] = bench.call(fid::DATA_DESTROY, &[rd, ipa + 5 * PAGE]);
        assert_eq!(top, ipa, "no progress before the block is unfolded");
        bench.fail(
            error_rtt(2),
            fid::DATA_CREATE_UNKNOWN,
            &[rd, BLOCK + LEVEL_2, ipa],
            "a block",
        );
        bench.fail(error_rtt(2), fid::RTT_DESTROY, &[rd, 0, 2], "a block in it");
        bench.fail(
            error_rtt(2),
            fid::RTT_FOLD,
            &[rd, ipa, 3],
            "a block, no table",
        );
        bench.fail(
            error_rtt(2),
            fid::RTT_INIT_RIPAS,
            &[rd, ipa, ipa + LEVEL_2],
            "a block",
        );
        bench.succeed(fid::RTT_CREATE, &[rd, table, ipa, 3]);
        assert_eq!(
            bench.translate(rd, ipa).map(|leaf| leaf.size),
            (ripas == 1).then_some(PAGE)
        );
        bench.check_tables();
        for offset in (0..LEVEL_2).step_by(0x1000) {
            bench.translate(rd, ipa + offset);
            bench.succeed(fid::DATA_DESTROY, &[rd, ipa + offset]);
        }
    }
    // Contiguous, but not aligned: never a block.
    let ipa = 4 * LEVEL_2;
    bench.tables(rd, ipa, 3);
    fill(&mut bench, rd, ipa, BLOCK + PAGE);
    bench.fail(error_rtt(3), fid::RTT_FOLD, &[rd, ipa, 3], "not aligned");
    // Aligned, but two pages have changed places.
    let ipa = 5 * LEVEL_2;
    for offset in (0..LEVEL_2).step_by(0x1000) {
        bench.succeed(fid::DATA_DESTROY, &[rd, 4 * LEVEL_2 + offset]);
    }
    bench.tables(rd, ipa, 3);
    fill(&mut bench, rd, ipa, BLOCK);
    for page in [510, 511] {
        bench.succeed(fid::DATA_DESTROY, &[rd, ipa + page * PAGE]);
    }
    for (page, other) in [(510, 511), (511, 510)] {
        let arguments = [rd, BLOCK + page * PAGE, ipa + other * PAGE];
        bench.succeed(fid::DATA_CREATE_UNKNOWN, &arguments);
    }
    bench.fail(error_rtt(3), fid::RTT_FOLD, &[rd, ipa, 3], "not contiguous");
}

/// A start table keeps a Realm alive by a block that was folded into it.
#[test]
fn a_block_in_a_start_table() {
    let memory = Memory::new(&[(OTHER, OTHERS), (BLOCK, 512)]);
    let rmm = memory.rmm();
    let mut bench = bench(&memory, &rmm, 512);
    for number in 0..512 {
        bench.succeed(fid::GRANULE_DELEGATE, &[BLOCK + number * PAGE]);
    }
    let rd = bench.realm(&realm_params(32, 2, 4));
    bench.succeed(fid::RTT_INIT_RIPAS, &[rd, 0, LEVEL_2]);
    bench.tables(rd, 0, 3);
    fill(&mut bench, rd, 0, BLOCK);
    let [table, ..] = bench.succeed(fid::RTT_FOLD, &[rd, 0, 3]);
    assert_eq!(bench.translate(rd, 0).map(|leaf| leaf.size), Some(LEVEL_2));
    bench.fail(2, fid::REALM_DESTROY, &[rd], "memory in a start table");
    bench.succeed(fid::RTT_CREATE, &[rd, table, 0, 3]);
    for offset in (0..LEVEL_2).step_by(0x1000) {
        bench.succeed(fid::DATA_DESTROY, &[rd, offset]);
    }
    bench.succeed(fid::RTT_DESTROY, &[rd, 0, 3]);
    bench.succeed(fid::REALM_DESTROY, &[rd]);
}

/// A block of 1 GiB: 262 144 pages folded twice.
#[test]
fn a_block_of_one_gibibyte() {
    let pages = LEVEL_1 / PAGE;
    let memory = Memory::new(&[(OTHER, OTHERS), (BLOCK, pages)]);
    let rmm = memory.rmm();
    let mut bench = bench(&memory, &rmm, pages);
    let rd = bench.realm(&realm_params(40, 1, 2));
    bench.succeed(fid::RTT_INIT_RIPAS, &[rd, 0, LEVEL_1]);
    bench.tables(rd, 0, 2);
    let table = bench.delegated();
    for block in (0..LEVEL_1).step_by(0x20_0000) {
        bench.succeed(fid::RTT_CREATE, &[rd, table, block, 3]);
        for offset in (0..LEVEL_2).step_by(0x1000) {
            let (ipa, output) = (block + offset, BLOCK + block + offset);
            bench.succeed(fid::GRANULE_DELEGATE, &[output]);
            bench.succeed(fid::DATA_CREATE_UNKNOWN, &[rd, output, ipa]);
        }
        bench.succeed(fid::RTT_FOLD, &[rd, block, 3]);
        if block % (64 * LEVEL_2) == 0 {
            bench.translate(rd, block);
        }
        if block == LEVEL_2 {
            bench.fail(
                error_rtt(2),
                fid::RTT_FOLD,
                &[rd, 0, 2],
                "not all of it is there",
            );
        }
    }
    let [upper, ..] = bench.succeed(fid::RTT_FOLD, &[rd, 0, 2]);
    let entry = bench.succeed(fid::RTT_READ_ENTRY, &[rd, 0, 3]);
    assert_eq!(entry, [1, 1, BLOCK, 1]);
    assert_eq!(
        bench.translate(rd, 0x1234_5678).map(|leaf| leaf.size),
        Some(LEVEL_1)
    );
    bench.fail(2, fid::REALM_DESTROY, &[rd], "memory in a start table");
    bench.succeed(fid::RTT_CREATE, &[rd, upper, 0, 2]);
    assert_eq!(
        bench.translate(rd, 0x1234_5678).map(|leaf| leaf.size),
        Some(LEVEL_2)
    );
    bench.check_tables();
}

/// The machine itself: what it would say if the RMM forgot to invalidate.
#[test]
fn a_translation_that_is_remembered_too_long_is_noticed() {
    let memory = Memory::new(&[(OTHER, 64)]);
    let rmm = memory.rmm();
    let granules = (0..64).map(|number| OTHER + number * PAGE).collect();
    let mut bench = Bench::with_granules(&memory, &rmm, FEATURES, granules);
    let rd = bench.realm(&realm_params(40, 1, 2));
    bench.tables(rd, 0, 3);
    bench.succeed(fid::RTT_INIT_RIPAS, &[rd, 0, PAGE]);
    bench.data(rd, 0);
    let realm = bench.world().realm(rd).unwrap();
    // A CPU that takes the tables for another VMID's remembers what no invalidation names.
    let registers = Stage2Registers {
        vmid: 0x77,
        base: realm.shape.start_tables[0],
        ipa_width: 40,
        start_level: 1,
        lpa2: false,
    };
    assert!(memory.translate(&registers, 0).is_some());
    assert_eq!(memory.check_translations(0x77), Ok(()));
    let [data, ..] = bench.succeed(fid::DATA_DESTROY, &[rd, 0]);
    let stale = memory.check_translations(0x77).unwrap_err();
    assert!(stale.to_string().contains("the tables say None"), "{stale}");
    let undelegate = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        bench.succeed(fid::GRANULE_UNDELEGATE, &[data]);
    }));
    assert!(
        undelegate.is_err(),
        "the granule can still be reached by the Realm"
    );
}
