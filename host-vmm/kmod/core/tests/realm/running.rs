//! Realms that run: what their exits lead to.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use fake_machine::{
    Guest, Instruction, MemoryAccess, SystemEncoding, TIMER_ENABLE, Timer, WaitFor,
};
use realm_kmod_core::interrupts::{Consequences, SystemEvent};
use realm_kmod_core::realm::{Fault, Realm};
use realm_kmod_core::vcpu::{Action, Failure, NEVER};
use rmm_abi::rsi::{self, HostCall};
use rmm_abi::smc::{self, psci};
use rmm_core::machine::ExceptionKind;

use crate::machine::{Kernel, USER, on_machine, user_word};
use crate::vm::{BLOCK, DISTRIBUTOR, IPA_BITS, PAGE, RAM, REDISTRIBUTORS, SHARED, Thread, Vm};

const SPI: u32 = 40;
/// The first number that no SPI has.
const NONE: u32 = 96;
const TIMER: u32 = 27;

/// A started VM with one vCPU.
fn with_thread(test: impl FnOnce(&Kernel<'_>, &Vm<'_, '_>, &mut Thread<'_, '_, '_>)) {
    on_machine(|kernel| {
        let vm = Vm::new(kernel, 1);
        vm.populate(4).expect("populated");
        let mut thread = vm.thread(0);
        thread.start().expect("started");
        test(kernel, &vm, &mut thread);
        vm.destroy();
    });
}

/// Runs a program to its end.
fn finish(thread: &mut Thread<'_, '_, '_>) {
    let end = thread.run();
    assert_eq!(end, Ok(Action::SystemEvent(SystemEvent::Shutdown)));
}

/// Ends a program, so that one that did not get there does not look as if it had.
pub(crate) async fn off(guest: &Guest) {
    guest.smc(&[psci::SYSTEM_OFF]).await;
}

/// Opens a vCPU's interrupt controller: all groups, all priorities, all interrupts of its own.
pub(crate) async fn open_gic(guest: &Guest, vcpu: u64) {
    let own = SHARED | (REDISTRIBUTORS + vcpu * 0x2_0000 + 0x1_0000);
    guest.registers(|registers| registers.gic[0] = 0xf8 << 24 | 0b11);
    guest.store(SHARED | DISTRIBUTOR, 4, 0b11).await;
    guest.store(own + 0x80, 4, 0xffff_ffff).await;
    guest.store(own + 0x100, 4, 0xffff_ffff).await;
}

/// Takes the interrupt that is pending, and ends it.
pub(crate) fn take_interrupt(guest: &Guest) -> Option<u64> {
    const PENDING: u64 = 1 << 62;
    guest.registers(|registers| {
        let lists = &mut registers.list_registers;
        let list = lists.iter_mut().find(|list| **list >> 62 == 1)?;
        *list &= !PENDING;
        Some(*list & 0xffff_ffff)
    })
}

#[test]
fn memory_comes_when_it_is_touched() {
    with_thread(|_, vm, thread| {
        thread.program(|guest| async move {
            assert_eq!(guest.load(RAM, 8).await, user_word(0));
            guest.store(RAM + BLOCK + 8, 8, 5).await;
            assert_eq!(guest.load(RAM + BLOCK + 8, 8).await, 5);
            assert_eq!(guest.load(RAM + BLOCK + PAGE, 8).await, 0);
            off(&guest).await;
        });
        finish(thread);
        let statistics = vm.realm().statistics(&vm.kernel.onlooker());
        assert_eq!((statistics.blocks_private, statistics.faults), (2, 1));
    });
}

#[test]
fn accesses_to_devices() {
    const DEVICE: u64 = 0x1000_0000;
    with_thread(|_, _, thread| {
        thread.program(|guest| async move {
            assert_eq!(guest.load(SHARED | (DEVICE + 2), 2).await, 0xbeef);
            guest
                .store(SHARED | (DEVICE + 8), 8, 0x1122_3344_5566_7788)
                .await;
            guest.store(SHARED | (DEVICE + 16), 1, 0xff01).await;
            off(&guest).await;
        });
        let mmio = |offset, size, write| {
            Ok(Action::Mmio {
                address: DEVICE + offset,
                size,
                write,
            })
        };
        assert_eq!(thread.run(), mmio(2, 2, None));
        thread.vcpu.complete_mmio(0xdead_beef);
        assert_eq!(thread.run(), mmio(8, 8, Some(0x1122_3344_5566_7788)));
        // There is nothing to say about a write.
        assert_eq!(thread.run(), mmio(16, 1, Some(1)));
        finish(thread);
    });
}

#[test]
fn an_access_that_nobody_can_emulate_aborts() {
    with_thread(|_, _, thread| {
        thread.program(|guest| async move {
            for address in [SHARED | 0x1000_0000, SHARED | DISTRIBUTOR] {
                let access = MemoryAccess {
                    is_described: false,
                    ..MemoryAccess::load(address, 8)
                };
                let taken = guest.refused(Instruction::Access(access)).await;
                assert_eq!(taken.syndrome & 0x3f, 0x10, "{taken:x?}");
                guest.return_from_exception();
            }
            off(&guest).await;
        });
        finish(thread);
    });
}

#[test]
fn host_calls_are_not_supported() {
    with_thread(|_, _, thread| {
        thread.program(|guest| async move {
            let reply = guest.smc(&[rsi::fid::HOST_CALL, RAM + PAGE]).await;
            assert_eq!(reply[0], 0);
            let first = core::mem::offset_of!(HostCall, gprs) as u64;
            assert_eq!(guest.load(RAM + PAGE + first, 8).await, smc::NOT_SUPPORTED);
            // Also when the structure is where no memory was.
            guest.smc(&[rsi::fid::HOST_CALL, RAM + BLOCK]).await;
            assert_eq!(guest.load(RAM + BLOCK + first, 8).await, smc::NOT_SUPPORTED);
            off(&guest).await;
        });
        finish(thread);
    });
}

#[test]
fn registers_of_the_interrupt_controller_stay_inside() {
    with_thread(|_, _, thread| {
        thread.program(|guest| async move {
            let lines = guest.load(SHARED | (DISTRIBUTOR + 4), 4).await & 0x1f;
            assert_eq!((lines + 1) * 32, 96);
            open_gic(&guest, 0).await;
            let enabled = guest.load(SHARED | (REDISTRIBUTORS + 0x1_0100), 4).await;
            assert_eq!(enabled, 0xffff_ffff);
            off(&guest).await;
        });
        finish(thread);
    });
}

#[test]
fn a_timer_ends_a_wait() {
    with_thread(|_, _, thread| {
        thread.program(|guest| async move {
            open_gic(&guest, 0).await;
            guest.set_timer(Timer::Virtual, 5000, TIMER_ENABLE);
            guest.wait_for_interrupt().await;
            assert_eq!(take_interrupt(&guest), Some(u64::from(TIMER)));
            guest.set_timer(Timer::Virtual, 5000, 0);
            guest.interrupt().await;
            assert_eq!(take_interrupt(&guest), None);
            // With a deadline of its own.
            guest.set_general(3, 9000);
            let wait = Instruction::Wait(WaitFor::InterruptUntil(3));
            guest.finished(wait).await;
            off(&guest).await;
        });
        finish(thread);
        assert_eq!(thread.now, 9000);
    });
}

#[test]
fn a_masked_timer_is_no_reason() {
    with_thread(|_, _, thread| {
        thread.program(|guest| async move {
            open_gic(&guest, 0).await;
            guest.set_timer(Timer::Virtual, 5000, TIMER_ENABLE | 2);
            guest.set_timer(Timer::Physical, 0, 0);
            guest.wait_for_interrupt().await;
            off(&guest).await;
        });
        assert_eq!(thread.run(), Ok(Action::Wait));
        assert_eq!(thread.poll(), Err(NEVER));
        // A signal has the same effect as an interrupt: it runs again.
        finish(thread);
    });
}

#[test]
fn an_interrupt_from_outside_ends_a_wait() {
    with_thread(|_, vm, thread| {
        thread.program(|guest| async move {
            open_gic(&guest, 0).await;
            let spis = SHARED | DISTRIBUTOR;
            guest.store(spis + 0x84, 4, 0xffff_ffff).await;
            guest.store(spis + 0x104, 4, 0xffff_ffff).await;
            guest.wait_for_interrupt().await;
            assert_eq!(take_interrupt(&guest), Some(u64::from(SPI)));
            guest.wait_for_interrupt().await;
            off(&guest).await;
        });
        assert_eq!(thread.run(), Ok(Action::Wait));
        let raise = |line, level| {
            vm.with_interrupts(Consequences::elsewhere(), |interrupts, after| {
                let result = interrupts.set_line(line, level, after);
                (result, after.kicked().collect::<Vec<_>>())
            })
        };
        let (result, kicked) = raise(1 << 24 | SPI, true);
        assert_eq!((result, kicked), (Ok(()), vec![0]));
        assert_eq!(thread.poll(), Ok(()));
        let watch = vm.interrupts().watch(SPI - 32, true);
        assert_eq!(watch, Ok(()));
        // The Realm takes it and waits again; the line is still up.
        thread.step();
        let (result, _) = raise(1 << 24 | SPI, false);
        assert_eq!(result, Ok(()));
        for wrong in [
            0,
            1 << 24 | 31,
            1 << 24 | NONE,
            2 << 24 | 32,
            2 << 24 | 15,
            3 << 24 | SPI,
        ] {
            assert!(raise(wrong, true).0.is_err(), "{wrong:#x}");
        }
        finish(thread);
    });
}

#[test]
fn software_generated_interrupts() {
    on_machine(|kernel| {
        let vm = Vm::new(kernel, 2);
        let mut first = vm.thread(0);
        let mut second = vm.thread(1);
        first.start().expect("started");
        second.start().expect("started");
        first.program(|guest| async move {
            open_gic(&guest, 0).await;
            guest.smc(&[psci::CPU_ON, 1, RAM, 0]).await;
            guest.interrupt().await;
            // To affinity 0.0.0.1.
            let register = SystemEncoding::new(3, 0, 12, 11, 5);
            guest.write_system(register, 5 << 24 | 0b10).await;
            off(&guest).await;
        });
        second.program(|guest| async move {
            open_gic(&guest, 1).await;
            guest.wait_for_interrupt().await;
            assert_eq!(take_interrupt(&guest), Some(5));
            guest.smc(&[psci::CPU_OFF]).await;
        });
        assert_eq!(second.run(), Ok(Action::Wait));
        let on = Action::Hypercall {
            function: psci::CPU_ON,
            arguments: [1, RAM, 0],
        };
        assert_eq!(first.run(), Ok(on));
        // Without an answer it does not go on.
        assert_eq!(first.run(), Ok(on));
        complete(&mut first, 1, 0);
        // Up to its interrupt.
        assert_eq!(first.step(), Action::Run);
        assert_eq!(second.run(), Ok(Action::Wait));
        assert_eq!(second.poll(), Err(NEVER));
        assert_eq!(first.step(), Action::Run);
        assert_eq!(second.poll(), Ok(()));
        assert_eq!(second.run(), Ok(Action::Wait));
        finish(&mut first);
        // The others learn of it.
        assert_eq!(second.poll(), Ok(()));
        finish(&mut second);
        vm.destroy();
    });
}

/// `KVM_ARM_VCPU_RMI_PSCI_COMPLETE`.
pub(crate) fn complete(thread: &mut Thread<'_, '_, '_>, target: u64, status: i32) {
    let woken = {
        let realm = thread.vm.realm();
        let result = thread
            .vcpu
            .complete_psci(&thread.cpu, &realm, target, status);
        result.expect("completed")
    };
    if let Some(woken) = woken {
        thread
            .vm
            .with_interrupts(Consequences::elsewhere(), |interrupts, after| {
                interrupts.switch_on(woken, after);
            });
    }
}

#[test]
fn power() {
    on_machine(|kernel| {
        let vm = Vm::new(kernel, 2);
        let mut first = vm.thread(0);
        let mut second = vm.thread(1);
        first.start().expect("started");
        second.start().expect("started");
        let replies = Arc::new(AtomicU64::new(0));
        let seen = Arc::clone(&replies);
        first.program(|guest| async move {
            for (call, expected) in [
                (psci::AFFINITY_INFO, psci::AFFINITY_OFF),
                (psci::CPU_ON, psci::DENIED),
                (psci::CPU_ON, psci::SUCCESS),
                (psci::CPU_ON, psci::ALREADY_ON),
                (psci::AFFINITY_INFO_32, psci::SUCCESS),
                (psci::AFFINITY_INFO, psci::AFFINITY_OFF),
            ] {
                let entry = if call == psci::CPU_ON { RAM } else { 0 };
                let reply = guest.smc(&[call, 1, entry, 7]).await;
                assert_eq!(reply[0].cast_signed(), expected, "{call:#x}");
                seen.fetch_add(1, Ordering::SeqCst);
            }
            guest.smc(&[psci::SYSTEM_RESET]).await;
        });
        second.program(|guest| async move {
            assert_eq!(guest.general(0), 7);
            guest.interrupt().await;
            guest.smc(&[psci::CPU_OFF]).await;
        });
        let mut ask = |answer| {
            let asked = first.run();
            assert!(matches!(asked, Ok(Action::Hypercall { .. })), "{asked:?}");
            complete(&mut first, 1, answer);
        };
        ask(0);
        ask(i32::try_from(psci::DENIED).expect("small"));
        assert_eq!(second.poll(), Err(NEVER));
        ask(0);
        assert_eq!(second.poll(), Ok(()));
        assert_eq!(second.step(), Action::Run);
        // It is on already, and switches itself off afterwards: the RMM says so.
        ask(0);
        ask(0);
        let entries = second.entries;
        assert_eq!(second.step(), Action::Wait);
        assert_eq!(second.run(), Ok(Action::Wait));
        assert_eq!(second.entries, entries + 1);
        ask(0);
        let end = first.run();
        assert_eq!(end, Ok(Action::SystemEvent(SystemEvent::Reset)));
        assert_eq!(replies.load(Ordering::SeqCst), 6);
        assert_eq!(second.run(), end);
        vm.destroy();
    });
}

/// A vCPU exits to switch off; before the host has looked at that, another one switches it on.
#[test]
fn switched_on_while_it_switches_off() {
    on_machine(|kernel| {
        let vm = Vm::new(kernel, 2);
        let mut first = vm.thread(0);
        let mut second = vm.thread(1);
        first.start().expect("started");
        second.start().expect("started");
        let runs = Arc::new(AtomicU64::new(0));
        let seen = Arc::clone(&runs);
        first.program(|guest| async move {
            for _ in 0..3 {
                guest.smc(&[psci::CPU_ON, 1, RAM, 0]).await;
            }
            off(&guest).await;
        });
        second.program(|guest| async move {
            seen.fetch_add(1, Ordering::SeqCst);
            guest.smc(&[psci::CPU_OFF]).await;
            seen.fetch_add(1, Ordering::SeqCst);
            guest.smc(&[psci::CPU_OFF]).await;
        });
        assert!(matches!(first.run(), Ok(Action::Hypercall { .. })));
        complete(&mut first, 1, 0);
        // The second CPU_ON comes while the exit is on its way.
        let mut switch_on = || {
            assert!(matches!(first.run(), Ok(Action::Hypercall { .. })));
            complete(&mut first, 1, 0);
        };
        second.step_with(|| {}, &mut switch_on);
        // The third comes when the RMM knows that it is on: it is off in the end.
        second.step_with(switch_on, || {});
        assert_eq!(runs.load(Ordering::SeqCst), 2);
        assert_eq!(second.run(), Ok(Action::Wait));
        assert_eq!(second.poll(), Err(NEVER));
        assert_eq!(runs.load(Ordering::SeqCst), 2);
        finish(&mut first);
        vm.destroy();
    });
}

#[test]
fn answers_that_the_rmm_does_not_take() {
    on_machine(|kernel| {
        let vm = Vm::new(kernel, 3);
        let mut thread = vm.thread(0);
        thread.start().expect("started");
        thread.program(|guest| async move {
            guest.smc(&[psci::CPU_ON, 1, RAM, 0]).await;
            off(&guest).await;
        });
        let answer = |thread: &mut Thread<'_, '_, '_>, target, status| {
            let realm = thread.vm.realm();
            thread
                .vcpu
                .complete_psci(&thread.cpu, &realm, target, status)
        };
        assert!(answer(&mut thread, 1, 0).is_err());
        assert!(matches!(thread.run(), Ok(Action::Hypercall { .. })));
        for (target, status) in [(0, 0), (2, 0), (3, 0), (1, 1), (1, -2), (0x10, 0), (!0, 0)] {
            let result = answer(&mut thread, target, status);
            assert!(result.is_err(), "{target:#x} {status}");
        }
        assert_eq!(answer(&mut thread, 1, 0), Ok(Some(1)));
        finish(&mut thread);
        vm.destroy();
    });
}

#[test]
fn what_a_realm_cannot_go_on_from() {
    for instruction in [
        Instruction::Interruption(ExceptionKind::SError, 0x2f << 26 | 0x11 | 2 << 10),
        // An external abort of data.
        Instruction::Synchronous(0x24 << 26 | 0x10, 0, RAM >> 8),
    ] {
        with_thread(|_, _, thread| {
            thread.program(move |guest| async move {
                guest.finished(instruction).await;
                off(&guest).await;
            });
            let end = thread.run();
            assert!(
                matches!(end, Ok(Action::Fail(Failure::Exception(_)))),
                "{end:?}"
            );
        });
    }
}

/// The RMM says no address with an external abort. That is not address zero, even if there is memory.
#[test]
fn an_external_abort_is_nowhere() {
    on_machine(|kernel| {
        let mut realm = Realm::new(kernel.features(), IPA_BITS).expect("possible");
        realm
            .add_slot(&kernel.onlooker(), 0, 0, BLOCK, USER)
            .expect("a slot");
        let vm = Vm::bare(kernel, realm);
        vm.add_vcpus(1);
        let mut thread = vm.thread(0);
        thread.start().expect("started");
        thread.program(|guest| async move {
            let abort = Instruction::Synchronous(0x24 << 26 | 0x10, 0, 0);
            guest.finished(abort).await;
            off(&guest).await;
        });
        let end = thread.run();
        assert!(
            matches!(end, Ok(Action::Fail(Failure::Exception(_)))),
            "{end:?}"
        );
        assert_eq!(vm.realm().statistics(&kernel.onlooker()).pages_private, 0);
        vm.destroy();
    });
}

#[test]
fn refused_entries() {
    with_thread(|kernel, _, thread| {
        kernel.cause(Some(crate::machine::Trouble::Command(0, 3)));
        assert_eq!(thread.run(), Ok(Action::Fail(Failure::Refused(3))));
        kernel.cause(Some(crate::machine::Trouble::Command(0, 0x102)));
        let stopped = Ok(Action::SystemEvent(SystemEvent::Shutdown));
        assert_eq!(thread.run(), stopped);
        assert_eq!(thread.run(), stopped);
    });
}

/// Interrupts that were in the list registers of an entry that was none are still there.
#[test]
fn a_refused_entry_does_not_lose_an_interrupt() {
    with_thread(|kernel, vm, thread| {
        thread.program(|guest| async move {
            open_gic(&guest, 0).await;
            guest.wait_for_interrupt().await;
            assert_eq!(take_interrupt(&guest), Some(20));
            off(&guest).await;
        });
        assert_eq!(thread.run(), Ok(Action::Wait));
        let raised = vm.with_interrupts(Consequences::elsewhere(), |interrupts, after| {
            interrupts.set_line(2 << 24 | 0x14, true, after)
        });
        assert_eq!(raised, Ok(()));
        kernel.cause(Some(crate::machine::Trouble::Command(0, 1)));
        assert_eq!(thread.run(), Ok(Action::Fail(Failure::Refused(1))));
        assert_eq!(thread.poll(), Ok(()));
        finish(thread);
    });
}

/// What an entry owes the Realm is kept when the RMM refuses it.
#[test]
fn a_refused_entry_does_not_lose_an_answer() {
    with_thread(|kernel, _, thread| {
        thread.program(|guest| async move {
            assert_eq!(guest.load(SHARED | 0x1000_0000, 4).await, 99);
            off(&guest).await;
        });
        assert!(matches!(thread.run(), Ok(Action::Mmio { .. })));
        thread.vcpu.complete_mmio(99);
        kernel.cause(Some(crate::machine::Trouble::Command(0, 1)));
        assert_eq!(thread.run(), Ok(Action::Fail(Failure::Refused(1))));
        finish(thread);
    });
}

#[test]
fn shared_memory_is_the_callers() {
    with_thread(|kernel, vm, thread| {
        let cpu = kernel.cpu();
        vm.realm()
            .set_private(&cpu, RAM + PAGE, PAGE, false)
            .expect("shared");
        thread.program(|guest| async move {
            assert_eq!(guest.load(SHARED | (RAM + PAGE), 8).await, user_word(1));
            guest.store(SHARED | (RAM + PAGE + 8), 8, 0x77).await;
            off(&guest).await;
        });
        finish(thread);
        // Another REC that was late.
        let again = vm.realm().shared_fault(&cpu, RAM + PAGE);
        assert_eq!(again, Ok(Fault::Resolved));
        assert_eq!(kernel.pinned(), 1);
        assert_eq!(vm.realm().statistics(&kernel.onlooker()).pages_shared, 1);
        let page = Kernel::user_page(USER + PAGE).expect("user memory");
        assert_eq!(kernel.memory.host_read(page, 1), Ok(0x77));
    });
}
