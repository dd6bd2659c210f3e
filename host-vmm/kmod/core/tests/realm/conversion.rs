//! Memory that changes between private and shared.

use fake_machine::Guest;
use realm_kmod_core::realm::{Fault, RealmError};
use realm_kmod_core::vcpu::{Action, Failure};
use rmm_abi::rsi;

use crate::machine::{Kernel, USER_PAGES, on_machine, user_word};
use crate::running::off;
use crate::vm::{BLOCK, PAGE, RAM, RAM_SIZE, SHARED, Thread, Vm};

const EMPTY: u64 = 0;
const TO_RAM: u64 = 1;
const DESTROYED: u64 = 2;
const ACCEPT: u64 = 0;
const REJECT: u64 = 1;

/// Asks once; gives how far it came, and the answer.
async fn ask(guest: &Guest, base: u64, top: u64, ripas: u64, flags: u64) -> (u64, u64) {
    let call = [rsi::fid::IPA_STATE_SET, base, top, ripas, flags];
    let [code, reached, answer, _] = guest.call(&call).await;
    assert_eq!(code, 0);
    (reached, answer)
}

/// Asks until all is done.
async fn insist(guest: &Guest, base: u64, top: u64, ripas: u64) {
    let mut next = base;
    while next < top {
        let (reached, answer) = ask(guest, next, top, ripas, 0).await;
        assert!(
            reached > next && answer == ACCEPT,
            "{next:#x} {reached:#x} {answer}"
        );
        next = reached;
    }
}

async fn ripas(guest: &Guest, ipa: u64) -> u64 {
    let [code, _, ripas, _] = guest
        .call(&[rsi::fid::IPA_STATE_GET, ipa, ipa + PAGE])
        .await;
    assert_eq!(code, 0);
    ripas
}

fn wish(address: u64, size: u64, private: bool) -> Action {
    Action::MemoryFault {
        address,
        size,
        private,
    }
}

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

fn finish(thread: &mut Thread<'_, '_, '_>) {
    let end = thread.run();
    assert!(matches!(end, Ok(Action::SystemEvent(_))), "{end:?}");
}

/// A block that becomes shared piece by piece is given back when nothing of it is left.
#[test]
fn piece_by_piece() {
    with_thread(|kernel, vm, thread| {
        let used = || kernel.shared().pool.counters().used;
        let before = used();
        let half = BLOCK / 2;
        vm.realm()
            .set_private(&thread.cpu, RAM, half, false)
            .expect("shared");
        // A table more; the memory is kept.
        assert_eq!(used(), before + 1);
        assert_eq!(kernel.delegated().len() as u64, before + 1 - half / PAGE);
        let rest = vm.realm().set_private(&thread.cpu, RAM + half, half, false);
        rest.expect("shared");
        assert_eq!(used(), before - BLOCK / PAGE);
    });
}

/// The last piece makes all entries of a table alike: it is not needed any more.
#[test]
fn the_table_goes_with_the_last_piece() {
    with_thread(|_, vm, thread| {
        const HALF: u64 = BLOCK / 2;
        thread.program(|guest| async move {
            insist(&guest, RAM, RAM + HALF, EMPTY).await;
            insist(&guest, RAM + HALF, RAM + BLOCK, EMPTY).await;
            insist(&guest, RAM, RAM + HALF, TO_RAM).await;
            guest.interrupt().await;
            insist(&guest, RAM + HALF, RAM + BLOCK, TO_RAM).await;
            off(&guest).await;
        });
        let tables = || vm.realm().statistics(&vm.kernel.onlooker()).tables;
        let before = tables();
        for (base, more) in [(RAM, 0), (RAM + HALF, 1)] {
            assert_eq!(thread.run(), Ok(wish(base, HALF, false)));
            assert_eq!(tables(), before + more);
            vm.realm()
                .set_private(&thread.cpu, base, HALF, false)
                .expect("shared");
        }
        assert_eq!(tables(), before);
        assert_eq!(thread.run(), Ok(wish(RAM, HALF, true)));
        vm.realm()
            .set_private(&thread.cpu, RAM, BLOCK, true)
            .expect("private");
        // It asks for the first half, and is interrupted.
        while tables() == before {
            match thread.step() {
                Action::Handle => {
                    let done = thread.vcpu.handle(&thread.cpu, &mut vm.realm());
                    assert_eq!(done, Ok(Action::Run));
                }
                other => assert_eq!(other, Action::Run),
            }
        }
        assert_eq!(tables(), before + 1);
        finish(thread);
        assert_eq!(tables(), before);
    });
}

/// What Linux does with its bounce buffers, there and back.
#[test]
fn a_page_of_a_block_there_and_back() {
    with_thread(|kernel, vm, thread| {
        const AT: u64 = RAM + 2 * PAGE;
        thread.program(|guest| async move {
            insist(&guest, AT, AT + 2 * PAGE, EMPTY).await;
            assert_eq!(ripas(&guest, AT).await, EMPTY);
            assert_eq!(guest.load(SHARED | AT, 8).await, user_word(2));
            guest.store(SHARED | (AT + PAGE), 8, 1).await;
            // Its neighbours are as they were.
            assert_eq!(guest.load(AT - PAGE, 8).await, user_word(1));
            insist(&guest, AT, AT + 2 * PAGE, TO_RAM).await;
            assert_eq!(ripas(&guest, AT).await, TO_RAM);
            assert_eq!(guest.load(AT, 8).await, 0);
            guest.store(AT, 8, 2).await;
            assert_eq!(guest.load(AT, 8).await, 2);
            off(&guest).await;
        });
        assert_eq!(thread.run(), Ok(wish(AT, 2 * PAGE, false)));
        assert_eq!(vm.realm().statistics(&kernel.onlooker()).blocks_private, 1);
        vm.realm()
            .set_private(&thread.cpu, AT, 2 * PAGE, false)
            .expect("shared");
        let statistics = vm.realm().statistics(&kernel.onlooker());
        assert_eq!(
            (statistics.blocks_private, statistics.pages_private),
            (0, 510)
        );
        assert_eq!(thread.run(), Ok(wish(AT, 2 * PAGE, true)));
        assert_eq!(kernel.pinned(), 2);
        vm.realm()
            .set_private(&thread.cpu, AT, 2 * PAGE, true)
            .expect("private");
        assert_eq!(kernel.pinned(), 0);
        finish(thread);
        // Its memory was kept for it.
        let statistics = vm.realm().statistics(&kernel.onlooker());
        assert_eq!(
            (statistics.blocks_private, statistics.pages_private),
            (1, 512)
        );
        kernel.check_guards();
    });
}

#[test]
fn a_whole_block_there_and_back_is_a_block_again() {
    with_thread(|_, vm, thread| {
        const AT: u64 = RAM + BLOCK;
        thread.program(|guest| async move {
            guest.store(AT, 8, 1).await;
            insist(&guest, AT, AT + BLOCK, EMPTY).await;
            insist(&guest, AT, AT + BLOCK, TO_RAM).await;
            assert_eq!(guest.load(AT, 8).await, 0);
            off(&guest).await;
        });
        assert_eq!(thread.run(), Ok(wish(AT, BLOCK, false)));
        assert_eq!(
            vm.realm().statistics(&vm.kernel.onlooker()).blocks_private,
            2
        );
        vm.realm()
            .set_private(&thread.cpu, AT, BLOCK, false)
            .expect("shared");
        assert_eq!(
            vm.realm().statistics(&vm.kernel.onlooker()).pages_private,
            512
        );
        assert_eq!(thread.run(), Ok(wish(AT, BLOCK, true)));
        vm.realm()
            .set_private(&thread.cpu, AT, BLOCK, true)
            .expect("private");
        finish(thread);
        assert_eq!(
            vm.realm().statistics(&vm.kernel.onlooker()).blocks_private,
            2
        );
    });
}

/// Without a word to the host, because everything is as the Realm wants it.
#[test]
fn nothing_to_ask_for() {
    with_thread(|_, vm, thread| {
        thread.program(|guest| async move {
            insist(&guest, RAM, RAM + RAM_SIZE, TO_RAM).await;
            insist(&guest, RAM + PAGE, RAM + BLOCK + PAGE, TO_RAM).await;
            off(&guest).await;
        });
        finish(thread);
        assert_eq!(
            vm.realm().statistics(&vm.kernel.onlooker()).blocks_private,
            1
        );
    });
}

#[test]
fn refusals() {
    with_thread(|_, vm, thread| {
        thread.program(|guest| async move {
            assert_eq!(ask(&guest, RAM, RAM + PAGE, EMPTY, 0).await, (RAM, ACCEPT));
            assert_eq!(ripas(&guest, RAM).await, TO_RAM);
            // A part of what was asked for.
            let (base, top) = (RAM + BLOCK - PAGE, RAM + BLOCK + PAGE);
            assert_eq!(
                ask(&guest, base, top, EMPTY, 0).await,
                (RAM + BLOCK, ACCEPT)
            );
            let back = ask(&guest, base, base + PAGE, TO_RAM, 0).await;
            assert_eq!(back, (base, REJECT));
            // Where there is no memory.
            let nowhere = RAM + RAM_SIZE;
            let answer = ask(&guest, nowhere, nowhere + PAGE, TO_RAM, 0).await;
            assert_eq!(answer, (nowhere, REJECT));
            let answer = ask(&guest, 0, PAGE, EMPTY, 0).await;
            assert_eq!(answer, (0, ACCEPT));
            // The end of the slot, and not beyond.
            let last = nowhere - PAGE;
            let answer = ask(&guest, last, nowhere + BLOCK, TO_RAM, 0).await;
            assert_eq!(answer, (nowhere, ACCEPT));
            off(&guest).await;
        });
        assert_eq!(thread.run(), Ok(wish(RAM, PAGE, false)));
        assert_eq!(thread.run(), Ok(wish(RAM + BLOCK - PAGE, 2 * PAGE, false)));
        let first = vm
            .realm()
            .set_private(&thread.cpu, RAM + BLOCK - PAGE, PAGE, false);
        first.expect("shared");
        assert_eq!(thread.run(), Ok(wish(RAM + BLOCK - PAGE, PAGE, true)));
        finish(thread);
    });
}

/// The host takes memory away that the Realm did not give: it has to agree to lose it.
#[test]
fn memory_that_the_host_destroys() {
    with_thread(|_, vm, thread| {
        thread.program(|guest| async move {
            guest.interrupt().await;
            assert_eq!(ripas(&guest, RAM).await, DESTROYED);
            assert_eq!(ask(&guest, RAM, RAM + PAGE, TO_RAM, 0).await, (RAM, REJECT));
            let agreed = rsi::CHANGE_DESTROYED;
            let answer = ask(&guest, RAM, RAM + PAGE, TO_RAM, agreed).await;
            assert_eq!(answer, (RAM + PAGE, ACCEPT));
            assert_eq!(guest.load(RAM, 8).await, 0);
            // This one it touches without having agreed.
            guest.load(RAM + PAGE, 8).await;
        });
        assert_eq!(thread.step(), Action::Run);
        for private in [false, true] {
            let result = vm.realm().set_private(&thread.cpu, RAM, 2 * PAGE, private);
            result.expect("done");
        }
        let end = thread.run();
        assert!(
            matches!(end, Ok(Action::Fail(Failure::Exception(_)))),
            "{end:?}"
        );
        assert_eq!(thread.run(), end);
    });
}

#[test]
fn accesses_to_the_other_kind() {
    with_thread(|kernel, vm, thread| {
        thread.program(|guest| async move {
            assert_eq!(guest.load(SHARED | RAM, 8).await, user_word(0));
            guest.load(RAM + BLOCK + PAGE, 8).await;
            off(&guest).await;
        });
        assert_eq!(thread.run(), Ok(wish(RAM, PAGE, false)));
        // Nothing has changed.
        assert_eq!(thread.run(), Ok(wish(RAM, PAGE, false)));
        vm.realm()
            .set_private(&thread.cpu, RAM, PAGE, false)
            .expect("shared");
        let result = vm
            .realm()
            .set_private(&thread.cpu, RAM + BLOCK, BLOCK, false);
        result.expect("shared");
        assert_eq!(thread.run(), Ok(wish(RAM + BLOCK + PAGE, PAGE, true)));
        let result = vm
            .realm()
            .set_private(&thread.cpu, RAM + BLOCK + PAGE, PAGE, true);
        result.expect("private");
        finish(thread);
        assert_eq!(kernel.pinned(), 1);
    });
}

#[test]
fn the_callers_memory_ends() {
    with_thread(|kernel, vm, thread| {
        let beyond = RAM + USER_PAGES * PAGE;
        vm.realm()
            .set_private(&thread.cpu, beyond, PAGE, false)
            .expect("shared");
        thread.program(move |guest| async move {
            guest.load(SHARED | beyond, 8).await;
        });
        assert_eq!(thread.run(), Err(RealmError::BadAddress));
        assert_eq!(thread.run(), Err(RealmError::BadAddress));
        assert_eq!(kernel.pinned(), 0);
    });
}

/// Ranges that are shared before anything is built, or before the first run.
#[test]
fn before_the_first_run() {
    on_machine(|kernel| {
        let vm = Vm::new(kernel, 1);
        let cpu = kernel.cpu();
        let set = |base, size, private| vm.realm().set_private(&cpu, base, size, private);
        set(RAM, RAM_SIZE, false).expect("shared");
        set(RAM, BLOCK + PAGE, true).expect("private");
        assert_eq!(kernel.delegated().len(), 0);
        vm.populate(4).expect("populated");
        // A page in the middle of a block that is only partly populated.
        set(RAM + PAGE, PAGE, false).expect("shared");
        kernel.check_guards();
        vm.start(&cpu).expect("started");
        let have = || {
            let statistics = vm.realm().statistics(&kernel.onlooker());
            (statistics.pages_private, statistics.blocks_private)
        };
        assert_eq!(have(), (3, 0));
        let fault = |ipa| vm.realm().private_fault(&cpu, ipa);
        assert_eq!(fault(RAM + PAGE), Ok(Fault::OtherKind));
        // Alone, because the block is not all private.
        assert_eq!(fault(RAM + 9 * PAGE), Ok(Fault::Resolved));
        assert_eq!(have(), (4, 0));
        set(RAM + PAGE, PAGE, true).expect("private");
        assert_eq!(fault(RAM + PAGE), Ok(Fault::Resolved));
        // Not alike: the content of that page is gone, which the Realm has to be told.
        assert_eq!(have(), (512, 0));
        assert_eq!(fault(RAM + BLOCK), Ok(Fault::Resolved));
        assert_eq!(have(), (513, 0));
        for (base, size) in [
            (RAM - PAGE, PAGE),
            (RAM + 1, PAGE),
            (RAM, 0),
            (RAM, 1),
            (0, !0),
        ] {
            assert_eq!(
                set(base, size, true),
                Err(RealmError::Invalid),
                "{base:#x} {size:#x}"
            );
        }
        vm.destroy();
    });
}
