//! Memory that a Realm gives back block by block, and gets again.

use realm_kmod_core::pool::Counters;
use realm_kmod_core::realm::{Fault, Realm};

use crate::machine::{Cpu, Kernel, USER, on_machine};
use crate::vm::{BLOCK, IPA_BITS, PAGE, RAM, Vm};

const BLOCKS: u64 = 16;
const BLOCK_PAGES: u64 = BLOCK / PAGE;

fn fill(vm: &Vm<'_, '_>, cpu: &Cpu<'_, '_>, blocks: impl Iterator<Item = u64>) {
    for block in blocks {
        let fault = vm.realm().private_fault(cpu, RAM + block * BLOCK);
        assert_eq!(fault, Ok(Fault::Resolved));
    }
}

fn with_realm(test: impl FnOnce(&Kernel<'_>, &Vm<'_, '_>, &Cpu<'_, '_>)) {
    on_machine(|kernel| {
        let cpu = kernel.cpu();
        let mut realm = Realm::new(kernel.features(), IPA_BITS).expect("possible");
        realm
            .add_slot(&cpu, 0, RAM, BLOCKS * BLOCK, USER)
            .expect("a slot");
        let vm = Vm::bare(kernel, realm);
        vm.add_vcpus(1);
        vm.start(&cpu).expect("started");
        fill(&vm, &cpu, 0..BLOCKS);
        test(kernel, &vm, &cpu);
        vm.destroy();
        // By itself, before anybody else looks.
        assert_eq!(kernel.shared().pool.counters(), Counters::default());
    });
}

/// Even every second block goes back, but for its guards and a reserve; and when the Realm has ended all of
/// them have gone.
#[test]
fn scattered_blocks_go_back() {
    with_realm(|kernel, vm, cpu| {
        let owned = || kernel.shared().pool.counters().owned;
        for round in 0..3 {
            let before = owned();
            let given = (round % 2..BLOCKS).step_by(2);
            for block in given.clone() {
                let base = RAM + block * BLOCK;
                let shared = vm.realm().set_private(cpu, base, BLOCK, false);
                shared.expect("shared");
            }
            kernel.check_guards();
            let count = given.clone().count() as u64;
            let back = before - owned();
            let reserve = kernel.shared().pool.reserve();
            assert!(
                back + reserve + 2 * count >= count * BLOCK_PAGES,
                "{back} of {count} blocks"
            );
            for block in given.clone() {
                let base = RAM + block * BLOCK;
                let private = vm.realm().set_private(cpu, base, BLOCK, true);
                private.expect("private");
            }
            // Not all of it in blocks: there are not so many chunks.
            fill(vm, cpu, given);
        }
    });
}

/// What drivers share is no reason to take blocks apart.
#[test]
fn small_buffers_leave_blocks_whole() {
    with_realm(|kernel, vm, cpu| {
        let owned = || kernel.shared().pool.counters().owned;
        let before = owned();
        for block in (0..BLOCKS).step_by(2) {
            for half in [0, BLOCK / 2] {
                let base = RAM + block * BLOCK + half;
                let shared = vm.realm().set_private(cpu, base, BLOCK / 2, false);
                shared.expect("shared");
            }
        }
        // Whole chunks at the ends may go.
        assert!(before - owned() <= 2 * 2 * BLOCK_PAGES, "{}", owned());
    });
}
