//! What the RMM has counted, as the module passes it on.

use realm_kmod_core::rmi;
use rmm_abi::rmi::{StatusCode, fid};
use rmm_abi::statistics::{Counter, Description, Query};

use crate::machine::{Kernel, on_machine};
use crate::vm::Vm;

fn realms_made(kernel: &Kernel<'_>, cpus: u32) -> u64 {
    let counter = Counter::Command(fid::REALM_CREATE, StatusCode::Success);
    let made = (0..cpus).map(|cpu| {
        let query = Query::Counters {
            cpu: cpu.try_into().expect("few CPUs"),
            first: counter.number(),
        };
        rmi::statistics(&kernel.cpu(), query).expect("an answer")[0]
    });
    made.sum()
}

#[test]
fn the_rmm_says_what_it_has_counted() {
    on_machine(|kernel| {
        let words = rmi::statistics(&kernel.cpu(), Query::Description).expect("an answer");
        let description = Description::from_words(words).expect("our RMM");
        let before = realms_made(kernel, description.cpus);
        let vm = Vm::new(kernel, 1);
        vm.start(&kernel.cpu()).expect("started");
        assert_eq!(realms_made(kernel, description.cpus), before + 1);
        vm.destroy();
    });
}
