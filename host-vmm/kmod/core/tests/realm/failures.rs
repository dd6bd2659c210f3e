//! Everything that can fail does, once at each place, and nothing is left behind.

use std::collections::BTreeMap;

use realm_kmod_core::realm::{Fault, RealmError};
use rmm_abi::rmi::fid;

use crate::machine::{Kernel, Trouble, USER, on_machine};
use crate::vm::{BLOCK, PAGE, RAM, Vm};

/// A life with everything in it but running: what fails is tried once more.
fn live(kernel: &Kernel<'_>, vm: &Vm<'_, '_>) -> Result<(), RealmError> {
    let cpu = kernel.cpu();
    let again = |action: &mut dyn FnMut() -> Result<(), RealmError>| action().or_else(|_| action());
    let mut done = 0;
    again(&mut || {
        let mut realm = vm.realm();
        let size = 3 * PAGE - done;
        let (more, result) = realm.populate(&cpu, RAM + done, size, USER + done, true);
        done += more;
        result
    })?;
    again(&mut || vm.start(&cpu))?;
    for page in [BLOCK, BLOCK + PAGE, 2 * BLOCK] {
        again(&mut || {
            let fault = vm.realm().private_fault(&cpu, RAM + page)?;
            assert_eq!(fault, Fault::Resolved);
            Ok(())
        })?;
    }
    for (base, private) in [(PAGE, false), (BLOCK, false), (BLOCK, true), (PAGE, true)] {
        again(&mut || vm.realm().set_private(&cpu, RAM + base, PAGE, private))?;
        if base == PAGE && !private {
            again(&mut || {
                assert_eq!(vm.realm().shared_fault(&cpu, RAM + base)?, Fault::Resolved);
                Ok(())
            })?;
        }
    }
    again(&mut || {
        assert_eq!(
            vm.realm().private_fault(&cpu, RAM + BLOCK)?,
            Fault::Resolved
        );
        Ok(())
    })
}

/// The commands of a whole life, and the number of requests for memory.
fn measure() -> (Vec<u64>, u64) {
    let mut counts = (Vec::new(), 0);
    on_machine(|kernel| {
        let vm = Vm::new(kernel, 2);
        kernel.cause(None);
        live(kernel, &vm).expect("a life without trouble");
        vm.destroy();
        counts = (kernel.commands(), kernel.requests());
    });
    counts
}

/// Each command fails once, with one code or another: a second try succeeds, and all memory comes
/// back.
#[test]
fn any_command() {
    const CODES: [u64; 7] = [1, 2, 3, 0x204, 0x304, 5, !0];
    let (commands, _) = measure();
    assert!(commands.len() > 4000, "{}", commands.len());
    // Of long rows of the same command the first ones are worth a look, and one here and there.
    let mut seen = BTreeMap::new();
    let numbers = (0..).zip(&commands).filter_map(|(number, function)| {
        let count: &mut u64 = seen.entry(function).or_default();
        *count += 1;
        (*count < 20 || count.is_multiple_of(29)).then_some(number)
    });
    let numbers: Vec<u64> = numbers.collect();
    assert!(numbers.len() > 100, "{}", numbers.len());
    for (number, x0) in numbers.into_iter().zip(CODES.into_iter().cycle()) {
        on_machine(|kernel| {
            let vm = Vm::new(kernel, 2);
            kernel.cause(Some(Trouble::Command(number, x0)));
            let result = live(kernel, &vm);
            vm.destroy();
            let failed = kernel.failed();
            assert_eq!(failed.len(), 1, "{number}");
            assert_eq!(result, Ok(()), "{number} {:#x}", failed[0]);
        });
    }
}

/// A granule that does not come back is lost, and so is nothing else.
#[test]
fn a_granule_that_does_not_come_back() {
    for which in 0..3 {
        on_machine(|kernel| {
            let vm = Vm::new(kernel, 1);
            let cpu = kernel.cpu();
            vm.populate(2).expect("populated");
            vm.start(&cpu).expect("started");
            let victim = kernel.delegated()[which * 100];
            // As if EL3 kept it: it is the Secure world's.
            kernel.refuse(Some(victim));
            vm.destroy();
            kernel.refuse(None);
            kernel.check_guards();
            let counters = kernel.shared().pool.counters();
            assert_eq!((counters.used, counters.lost), (0, 1));
            assert_eq!(kernel.delegated(), vec![victim]);
            assert!(kernel.log()[0].contains("is lost"), "{:?}", kernel.log());
            kernel.forgive(victim);
        });
    }
}

/// A Realm that cannot be ended: its memory is lost, and counted.
#[test]
fn a_realm_that_does_not_end() {
    for function in [
        fid::DATA_DESTROY,
        fid::REC_DESTROY,
        fid::RTT_DESTROY,
        fid::REALM_DESTROY,
    ] {
        on_machine(|kernel| {
            let vm = Vm::new(kernel, 1);
            let cpu = kernel.cpu();
            vm.populate(2).expect("populated");
            vm.start(&cpu).expect("started");
            vm.realm()
                .set_private(&cpu, RAM + PAGE, PAGE, false)
                .expect("shared");
            vm.realm().shared_fault(&cpu, RAM + PAGE).expect("pinned");
            kernel.refuse_function(Some(function));
            vm.destroy();
            kernel.refuse_function(None);
            kernel.check_guards();
            let left = kernel.delegated().len() as u64;
            let counters = kernel.shared().pool.counters();
            assert_eq!((counters.used, counters.lost), (0, left), "{function:#x}");
            // What the Realm may still reach stays pinned.
            let pinned = usize::from(function == fid::RTT_DESTROY);
            assert_eq!(kernel.pinned(), pinned, "{function:#x}");
            assert_eq!(kernel.shared().vmids.in_use(), 1);
            kernel.write_off();
        });
    }
}

/// The kernel runs out of memory at any request.
#[test]
fn no_memory() {
    let (_, requests) = measure();
    assert!(requests > 2);
    for from in 0..requests {
        on_machine(|kernel| {
            let vm = Vm::new(kernel, 2);
            kernel.cause(Some(Trouble::Memory(from)));
            let result = live(kernel, &vm);
            if let Err(error) = result {
                assert_eq!(error, RealmError::OutOfMemory, "{from}");
            }
            kernel.check_guards();
            vm.destroy();
        });
    }
}

/// The thread is killed at any look at that.
#[test]
fn killed() {
    for from in 0..40 {
        on_machine(|kernel| {
            let vm = Vm::new(kernel, 2);
            kernel.cause(Some(Trouble::Kill(from)));
            let result = live(kernel, &vm);
            if let Err(error) = result {
                assert_eq!(error, RealmError::Interrupted, "{from}");
            }
            kernel.check_guards();
            vm.destroy();
        });
    }
}

/// Two VMs want the last block: one gets pages.
#[test]
fn the_last_block() {
    on_machine(|kernel| {
        let vms = [Vm::new(kernel, 1), Vm::new(kernel, 1)];
        let cpu = kernel.cpu();
        for vm in &vms {
            vm.populate(1).expect("populated");
            vm.start(&cpu).expect("started");
        }
        let requests = kernel.requests();
        kernel.cause(Some(Trouble::Memory(0)));
        let mut results = Vec::new();
        for page in 0..2 * BLOCK / PAGE {
            for vm in &vms {
                results.push(vm.realm().private_fault(&cpu, RAM + BLOCK + page * PAGE));
            }
        }
        assert!(requests > 0);
        assert!(results.contains(&Err(RealmError::OutOfMemory)));
        let others = results
            .iter()
            .filter(|r| **r != Err(RealmError::OutOfMemory));
        assert!(others.clone().count() > 0);
        assert!(others.clone().all(|result| *result == Ok(Fault::Resolved)));
        kernel.check_guards();
        // The other one goes on when the first has gone.
        let [first, second] = vms;
        first.destroy();
        kernel.cause(None);
        let fault = second.realm().private_fault(&cpu, RAM + 2 * BLOCK);
        assert_eq!(fault, Ok(Fault::Resolved));
        second.destroy();
    });
}

/// A change of RIPAS that runs out of memory for tables goes on later.
#[test]
fn a_change_of_ripas_without_memory() {
    use realm_kmod_core::realm::RipasOutcome;

    on_machine(|kernel| {
        let vm = Vm::new(kernel, 1);
        vm.populate(1).expect("populated");
        let mut thread = vm.thread(0);
        thread.start().expect("started");
        thread.program(|guest| async move {
            let call = [
                rmm_abi::rsi::fid::IPA_STATE_SET,
                RAM + PAGE,
                RAM + 2 * PAGE,
                0,
                0,
            ];
            guest.call(&call).await;
            guest.interrupt().await;
        });
        assert!(matches!(
            thread.step(),
            realm_kmod_core::vcpu::Action::Handle
        ));
        // All memory that is idle is taken by somebody else.
        let mut idle = Vec::new();
        while let Some(page) = kernel.shared().pool.take_group(0, true) {
            idle.push(page);
        }
        kernel.cause(Some(Trouble::Memory(0)));
        let range = RAM + PAGE..RAM + 2 * PAGE;
        let change = |ram| vm.realm().change_ripas(&thread.cpu, 0, range.clone(), ram);
        let asked = RipasOutcome::Ask {
            address: RAM + PAGE,
            size: PAGE,
        };
        assert_eq!(change(false), Ok(asked));
        let set = vm.realm().set_private(&thread.cpu, RAM + PAGE, PAGE, false);
        assert_eq!(set, Err(RealmError::OutOfMemory));
        for page in idle {
            kernel.shared().pool.release(page).expect("handed out");
        }
        kernel.cause(None);
        vm.realm()
            .set_private(&thread.cpu, RAM + PAGE, PAGE, false)
            .expect("shared");
        assert_eq!(change(false), Ok(RipasOutcome::Answer { rejected: false }));
        vm.destroy();
    });
}
