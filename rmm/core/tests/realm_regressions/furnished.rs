//! A Realm with one of everything.

use fake_machine::{Bench, Memory, realm_params};
use rmm_abi::rmi::fid;

/// One Realm with one of everything.
pub(crate) struct Furnished<'m> {
    pub(crate) bench: Bench<'m>,
    pub(crate) rd: u64,
    pub(crate) start_table: u64,
    pub(crate) table: u64,
    pub(crate) rec: u64,
    pub(crate) aux: u64,
    pub(crate) data: u64,
    /// Delegated.
    pub(crate) free: u64,
    /// Parameters of the next REC.
    pub(crate) page: u64,
}

pub(crate) fn furnished<'m>(memory: &'m Memory, rmm: &'m rmm_core::Rmm<'m>) -> Furnished<'m> {
    let mut bench = Bench::new(memory, rmm);
    let rd = bench.realm(&realm_params(40, 1, 2));
    bench.tables(rd, 0, 2);
    let table = bench.delegated();
    bench.succeed(fid::RTT_CREATE, &[rd, table, 0, 3]);
    let rec = bench.rec(rd, true);
    let data = bench.data(rd, 0);
    let params = bench.rec_params(rd);
    let page = bench.host_granule();
    bench.write(page, &params);
    let free = bench.delegated();
    let aux = bench.world().recs().next().unwrap().1.aux[0];
    let start_table = bench.world().realm(rd).unwrap().shape.start_tables[0];
    Furnished {
        bench,
        rd,
        start_table,
        table,
        rec,
        aux,
        data,
        free,
        page,
    }
}
