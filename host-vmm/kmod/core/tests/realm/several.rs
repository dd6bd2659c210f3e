//! Several vCPUs and several VMs, on threads of their own.

use std::thread::scope;

use realm_kmod_core::vcpu::Action;
use rmm_abi::rsi;
use rmm_abi::smc::psci;

use crate::machine::{Kernel, on_machine};
use crate::running::{complete, off, open_gic};
use crate::vm::{BLOCK, PAGE, RAM, RAM_SIZE, SHARED, Vm};

/// A VMM's thread of a vCPU: does what the Realm asks for until it stops.
fn serve(vm: &Vm<'_, '_>, index: usize) -> u64 {
    let _presence = vm.presence();
    let mut thread = vm.thread(index);
    thread.start().expect("started");
    loop {
        match thread.run_with_others().expect("it runs") {
            Action::SystemEvent(_) => return thread.entries,
            Action::MemoryFault {
                address,
                size,
                private,
            } => {
                let result = vm.realm().set_private(&thread.cpu, address, size, private);
                result.expect("converted");
            }
            Action::Hypercall { arguments, .. } => complete(&mut thread, arguments[0], 0),
            Action::Mmio { write: None, .. } => thread.vcpu.complete_mmio(1),
            Action::Mmio { .. } => {}
            other => panic!("{other:?}"),
        }
    }
}

/// Each vCPU works on pages of its own all over the slot: private, shared and back.
fn work(kernel: &Kernel<'_>, vcpus: usize) {
    let vm = Vm::new(kernel, vcpus);
    vm.populate(1).expect("populated");
    vm.start(&kernel.cpu()).expect("started");
    for index in 0..vcpus {
        let thread = vm.thread(index);
        let number = index as u64;
        let all = vcpus as u64;
        thread.program(move |guest| async move {
            open_gic(&guest, number).await;
            if number == 0 {
                for other in 1..all {
                    let reply = guest.smc(&[psci::CPU_ON, other, RAM, 0]).await;
                    assert_eq!(reply[0], 0);
                }
            }
            for round in 0..6 {
                let page = RAM + (round % (RAM_SIZE / BLOCK)) * BLOCK + number * PAGE;
                guest.store(page, 8, number + 1).await;
                assert_eq!(guest.load(page, 8).await, number + 1);
                for (ripas, alias) in [(0, SHARED), (1, 0)] {
                    // User memory has the first pages of the slot only.
                    if round % (RAM_SIZE / BLOCK) != 0 {
                        break;
                    }
                    let mut next = page;
                    while next < page + PAGE {
                        let call = [rsi::fid::IPA_STATE_SET, next, page + PAGE, ripas, 0];
                        next = guest.call(&call).await[1];
                    }
                    guest.store(alias | page, 8, round).await;
                    assert_eq!(guest.load(alias | page, 8).await, round);
                }
                guest.load(SHARED | 0x1000_0000, 4).await;
            }
            // The last one to be here ends it; a Realm has no other way to know than to ask.
            if number == 0 {
                for other in 1..all {
                    while guest.smc(&[psci::AFFINITY_INFO, other, 0, 0]).await[0] != 1 {}
                }
                off(&guest).await;
            }
            guest.smc(&[psci::CPU_OFF]).await;
        });
    }
    scope(|scope| {
        let threads: Vec<_> = (0..vcpus)
            .map(|index| {
                let vm = &vm;
                scope.spawn(move || serve(vm, index))
            })
            .collect();
        for thread in threads {
            assert!(thread.join().expect("no panic") > 0);
        }
    });
    let statistics = vm.realm().statistics(&kernel.onlooker());
    assert_eq!(statistics.pages_shared, 0);
    kernel.check_guards();
    vm.destroy();
}

#[test]
fn four_vcpus() {
    on_machine(|kernel| work(kernel, 4));
}

#[test]
fn three_vms_side_by_side() {
    on_machine(|kernel| {
        scope(|scope| {
            let vms = [1, 2, 1].map(|vcpus| scope.spawn(move || work(kernel, vcpus)));
            for vm in vms {
                vm.join().expect("no panic");
            }
        });
    });
}

/// VMs that come and go while another one lives.
#[test]
fn comings_and_goings() {
    on_machine(|kernel| {
        scope(|scope| {
            let comings = [0, 1].map(|thread| {
                scope.spawn(move || {
                    for round in 0..10 {
                        let vm = Vm::new(kernel, 1);
                        let cpu = kernel.cpu();
                        if (round + thread) % 3 != 0 {
                            vm.populate(1).expect("populated");
                        }
                        if round % 2 == 0 {
                            vm.start(&cpu).expect("started");
                            let result = vm.realm().private_fault(&cpu, RAM + BLOCK);
                            result.expect("memory");
                        }
                        vm.destroy();
                    }
                })
            });
            for thread in comings {
                thread.join().expect("no panic");
            }
        });
    });
}
