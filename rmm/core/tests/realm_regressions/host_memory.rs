//! A host that changes its memory at the worst moment, and what it may find afterwards.

use fake_machine::{Bench, Memory, Owner, PAGE, WORDS_PER_GRANULE, realm_params};
use rmm_abi::rmi::fid;

use crate::furnished::{Furnished, furnished};
use crate::{BASE, ERROR_INPUT, GRANULES};

/// The parameters of a Realm are read once: what the host makes of them meanwhile gains nothing.
#[test]
fn the_host_changes_the_parameters_while_they_are_read() {
    const RTT_BASE: usize = 0x808 / 8;
    for now in [0, RTT_BASE, RTT_BASE + 1, 511] {
        let memory = Memory::new(&[(BASE, GRANULES)]);
        let rmm = memory.rmm();
        let mut bench = Bench::new(&memory, &rmm);
        let mut params = realm_params(40, 1, 2);
        params.rtt_base = bench.start_tables(2);
        let (rd, page) = (bench.delegated(), bench.host_granule());
        bench.write(page, &params);
        let (good, evil) = (params.rtt_base, rd & !PAGE);
        memory.on_host_read(move |memory, address, word| {
            if (address, word) == (page, now) {
                memory.host_write(page, RTT_BASE, evil).unwrap();
            }
        });
        // What the RMM saw: the good base if it was read before the change.
        let seen_base = if now > RTT_BASE { good } else { evil };
        params.rtt_base = seen_base;
        let reply = bench.call_seeing(fid::REALM_CREATE, &[rd, page], |memory| {
            memory.clear_host_read();
            let mut seen = [0; 0x1000];
            for (word, bytes) in seen.as_chunks_mut::<8>().0.iter_mut().enumerate() {
                *bytes = memory.inspect(page, word).to_le_bytes();
            }
            seen[0x808..0x810].copy_from_slice(&seen_base.to_le_bytes());
            seen
        });
        assert_eq!(reply[0] == 0, seen_base == good);
        bench.check_all();
    }
}

/// The parameters go to another world while they are read.
#[test]
fn parameters_that_go_away() {
    let memory = Memory::new(&[(BASE, GRANULES)]);
    let rmm = memory.rmm();
    let mut furnished = furnished(&memory, &rmm);
    let Furnished { rd, free, page, .. } = furnished;
    let cpu = memory.cpu(1);
    for function in [fid::REALM_CREATE, fid::REC_CREATE] {
        for when in [0, 77, 511] {
            let before = memory.snapshot();
            memory.on_host_read(move |memory, address, word| {
                if (address, word) == (page, when) {
                    memory.set_owner(page, Owner::Root);
                }
            });
            let call = if function == fid::REALM_CREATE {
                [function, free, page, 0, 9, 0, 0, 0]
            } else {
                [function, rd, free, page, 9, 0, 0, 0]
            };
            assert_eq!(cpu.call(&rmm, &call), [ERROR_INPUT, 0, 0, 0, 9]);
            memory.clear_host_read();
            memory.set_owner(page, Owner::NonSecure);
            assert_eq!(before, memory.snapshot());
        }
    }
    furnished.bench.succeed(fid::REC_CREATE, &[rd, free, page]);
}

/// Whatever a granule was in the Realm world, the host finds zeroes in it, and so does the next
/// Realm.
#[test]
fn granules_come_back_wiped_from_every_use() {
    let memory = Memory::new(&[(BASE, GRANULES)]);
    let rmm = memory.rmm();
    let mut furnished = furnished(&memory, &rmm);
    let Furnished { rd, rec, data, .. } = furnished;
    let bench = &mut furnished.bench;
    bench.succeed(fid::DATA_DESTROY, &[rd, 0]);
    bench.succeed(fid::RTT_INIT_RIPAS, &[rd, 0, PAGE]);
    let [page_table, ..] = bench.succeed(fid::RTT_DESTROY, &[rd, 0, 3]);
    let [table, ..] = bench.succeed(fid::RTT_DESTROY, &[rd, 0, 2]);
    let aux = bench.world().recs().next().unwrap().1.aux.clone();
    bench.succeed(fid::REC_DESTROY, &[rec]);
    let start_tables = bench.world().realm(rd).unwrap().shape.start_tables.clone();
    bench.succeed(fid::REALM_DESTROY, &[rd]);
    let granules = [vec![data, page_table, table, rec, rd], aux, start_tables].concat();
    for granule in granules {
        bench.succeed(fid::GRANULE_UNDELEGATE, &[granule]);
        for word in 0..WORDS_PER_GRANULE {
            assert_eq!(memory.host_read(granule, word), Ok(0), "{granule:#x}");
        }
    }
}
