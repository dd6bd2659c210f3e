//! The first instructions of a Realm are the measured ones, whatever CPUs remember of a granule's
//! last owner.
#![allow(missing_docs)]

use fake_machine::{Bench, Memory, PAGE, realm_params};
use rmm_abi::rmi::fid;

#[test]
fn code_is_cleaned_page_by_page_and_forgotten_when_a_realm_becomes_active() {
    let memory = Memory::new(&[(0x8000_0000, 64)]);
    let rmm = memory.rmm();
    let mut bench = Bench::new(&memory, &rmm);
    let rd = bench.realm(&realm_params(40, 1, 2));
    bench.tables(rd, 0, 3);
    let (data, source) = (bench.delegated(), bench.host_granule());
    bench.succeed(fid::DATA_CREATE, &[rd, data, PAGE, source, 1]);
    assert_eq!(memory.cleaned(), [data]);
    assert_eq!(memory.forgotten_instructions(), 0);
    bench.succeed(fid::REALM_ACTIVATE, &[rd]);
    assert_eq!(memory.forgotten_instructions(), 1);
}
