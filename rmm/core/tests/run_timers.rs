//! The timers of a Realm: what the host is told of them, and when (reference, section 7.5).
#![allow(missing_docs)]

use fake_machine::{
    Guest, Instruction, MemoryAccess, Scene, TIMER_ENABLE, TIMER_MASK, TIMER_STATUS, Timer,
    assert_exit, exit, synchronous_exit,
};
use rmm_abi::rmi::run::enter_flags::EMULATED_MMIO;
use rmm_abi::rmi::run::{ExitReason, RecEnter, RecExit};

const TIMERS: [Timer; 2] = [Timer::Virtual, Timer::Physical];
const RSI_VERSION: u64 = 0xc400_0190;

/// An exit for an interrupt with the state of one timer, the other being off.
fn told(timer: Timer, control: u64, compare: u64) -> RecExit {
    let mut exit = exit(ExitReason::Irq);
    match timer {
        Timer::Virtual => (exit.cntv_ctl, exit.cntv_cval) = (control, compare),
        Timer::Physical => (exit.cntp_ctl, exit.cntp_cval) = (control, compare),
    }
    exit
}

/// Both timers are told, each with its own values.
#[test]
fn both_timers() {
    Scene::play(1, |scene| {
        scene.bench.memory().set_counter(99);
        scene.program(|guest| async move {
            guest.set_timer(Timer::Virtual, 0x1111, TIMER_ENABLE | TIMER_MASK);
            guest.set_timer(Timer::Physical, 0x2222, TIMER_ENABLE);
        });
        let mut expected = exit(ExitReason::Irq);
        (expected.cntv_ctl, expected.cntv_cval) = (TIMER_ENABLE | TIMER_MASK, 0x1111);
        (expected.cntp_ctl, expected.cntp_cval) = (TIMER_ENABLE, 0x2222);
        assert_exit(&scene.enter(), &expected);
        // And on every exit, whatever the reason.
        scene.program(|guest| async move {
            guest.smc(&[0x8400_0002]).await;
        });
        expected.exit_reason = ExitReason::Psci as u8;
        expected.gprs[0] = 0x8400_0002;
        assert_exit(&scene.enter(), &expected);
    });
}

/// Words of a control register that have no meaning do not come through.
#[test]
fn bits_of_the_control() {
    Scene::play(1, |scene| {
        scene.bench.memory().set_counter(9);
        scene.program(|guest| async move {
            guest.set_timer(Timer::Virtual, 10, u64::MAX);
        });
        let expected = told(Timer::Virtual, TIMER_ENABLE | TIMER_MASK, 10);
        assert_exit(&scene.enter(), &expected);
    });
}

/// A timer comes due while the Realm runs: the CPU takes its interrupt. The host is told, and from
/// then on the interrupt stays away although the line stays up.
#[test]
fn a_timer_that_comes_due() {
    for timer in TIMERS {
        Scene::play(1, |scene| {
            let memory = scene.bench.memory();
            memory.set_counter(100);
            scene.program(move |guest| async move {
                guest.set_timer(timer, 100, TIMER_ENABLE);
                guest.finished(Instruction::Smc(0)).await;
                guest.set_general(5, 0x55);
                guest.finished(Instruction::Smc(0)).await;
                guest.interrupt().await;
                // It is answered.
                guest.set_timer(timer, 300, TIMER_ENABLE);
                guest.interrupt().await;
                // Due again.
                guest.finished(Instruction::Smc(0)).await;
            });
            let due = told(timer, TIMER_ENABLE | TIMER_STATUS, 100);
            assert_exit(&scene.enter(), &due);
            // The host knows: the Realm gets on.
            assert_exit(&scene.enter(), &due);
            let idle = told(timer, TIMER_ENABLE, 300);
            assert_exit(&scene.enter(), &idle);
            memory.set_counter(300);
            assert_exit(
                &scene.enter(),
                &told(timer, TIMER_ENABLE | TIMER_STATUS, 300),
            );
        });
    }
}

/// A timer comes due while the REC is out: the host is told before the Realm goes on.
#[test]
fn a_timer_that_comes_due_outside() {
    for timer in TIMERS {
        Scene::play(1, |scene| {
            let memory = scene.bench.memory();
            scene.program(move |guest| async move {
                guest.set_timer(timer, 100, TIMER_ENABLE);
                guest.interrupt().await;
                guest.store(0x1000, 8, 1).await;
            });
            assert_exit(&scene.enter(), &told(timer, TIMER_ENABLE, 100));
            memory.set_counter(100);
            let due = told(timer, TIMER_ENABLE | TIMER_STATUS, 100);
            assert_exit(&scene.enter(), &due);
            assert_eq!(scene.word(0x1000), 0, "the Realm has not gone on");
            assert_exit(&scene.enter(), &due);
            assert_eq!(scene.word(0x1000), 1);
        });
    }
}

/// Time does not go backwards, but a machine may be moved: the host is told of that too.
#[test]
fn a_timer_that_is_not_due_any_more() {
    Scene::play(1, |scene| {
        let memory = scene.bench.memory();
        memory.set_counter(100);
        scene.program(|guest| async move {
            guest.set_timer(Timer::Virtual, 100, TIMER_ENABLE);
            guest.interrupt().await;
            guest.store(0x1000, 8, 1).await;
        });
        let due = told(Timer::Virtual, TIMER_ENABLE | TIMER_STATUS, 100);
        assert_exit(&scene.enter(), &due);
        memory.set_counter(50);
        let idle = told(Timer::Virtual, TIMER_ENABLE, 100);
        assert_exit(&scene.enter(), &idle);
        assert_eq!(scene.word(0x1000), 0, "the Realm has not gone on");
    });
}

/// A masked timer has no line.
#[test]
fn a_masked_timer() {
    Scene::play(1, |scene| {
        let memory = scene.bench.memory();
        memory.set_counter(100);
        scene.program(|guest: Guest| async move {
            guest.set_timer(Timer::Virtual, 100, TIMER_ENABLE | TIMER_MASK);
            guest.smc(&[RSI_VERSION, 0x1_0000]).await;
            guest.interrupt().await;
            // Not enabled.
            guest.set_timer(Timer::Virtual, 100, 0);
            guest.smc(&[RSI_VERSION, 0x1_0000]).await;
        });
        let all = TIMER_ENABLE | TIMER_MASK | TIMER_STATUS;
        assert_exit(&scene.enter(), &told(Timer::Virtual, all, 100));
        assert_exit(&scene.enter(), &told(Timer::Virtual, 0, 100));
    });
}

/// The Realm answers its timer and sets it again, and then calls the RMM: the host has to know
/// that the line is down, or the next interrupt would stay away.
#[test]
fn a_timer_that_is_set_again_between_exits() {
    Scene::play(1, |scene| {
        let memory = scene.bench.memory();
        memory.set_counter(100);
        scene.program(|guest| async move {
            guest.set_timer(Timer::Virtual, 100, TIMER_ENABLE);
            guest.finished(Instruction::Smc(0)).await;
            guest.set_timer(Timer::Virtual, 200, TIMER_ENABLE);
            guest.smc(&[RSI_VERSION, 0x1_0000]).await;
            guest.store(0x1000, 8, 1).await;
            guest.interrupt().await;
        });
        let due = told(Timer::Virtual, TIMER_ENABLE | TIMER_STATUS, 100);
        assert_exit(&scene.enter(), &due);
        let idle = told(Timer::Virtual, TIMER_ENABLE, 200);
        assert_exit(&scene.enter(), &idle);
        assert_eq!(scene.word(0x1000), 0, "the Realm has not gone on");
        memory.set_counter(200);
        let due = told(Timer::Virtual, TIMER_ENABLE | TIMER_STATUS, 200);
        assert_exit(&scene.enter(), &due);
    });
}

/// What the host says on entry counts even when a timer keeps the Realm from going on.
#[test]
fn an_answer_is_not_lost() {
    Scene::play(1, |scene| {
        let memory = scene.bench.memory();
        scene.program(|guest| async move {
            guest.set_timer(Timer::Virtual, 100, TIMER_ENABLE);
            let load = Instruction::Access(MemoryAccess::load(Scene::UNMAPPED, 8));
            assert_eq!(guest.finished(load).await, 0x1234);
        });
        let esr = 0x24 << 26 | 1 << 24 | 3 << 22 | 1 << 15 | 0x07;
        let mut expected = synchronous_exit(esr, 0, Scene::UNMAPPED);
        (expected.cntv_ctl, expected.cntv_cval) = (TIMER_ENABLE, 100);
        assert_exit(&scene.enter(), &expected);
        memory.set_counter(100);
        let mut enter = RecEnter::default();
        enter.flags = EMULATED_MMIO;
        enter.gprs[0] = 0x1234;
        let due = told(Timer::Virtual, TIMER_ENABLE | TIMER_STATUS, 100);
        assert_exit(&scene.enter_with(&enter), &due);
        assert_exit(&scene.enter(), &due);
    });
}

/// Each REC has its own.
#[test]
fn timers_of_two_recs() {
    Scene::play(2, |scene| {
        let (first, second, run) = (scene.recs[0], scene.recs[1], scene.run);
        scene.program(|guest| async move {
            guest.set_timer(Timer::Virtual, 0x1111, TIMER_ENABLE);
            guest.smc(&[0xc400_0003, 1, 0x2000, 0]).await;
        });
        scene.enter();
        let complete = [first, second, 0];
        scene
            .bench
            .succeed(rmm_abi::rmi::fid::PSCI_COMPLETE, &complete);
        let enter = RecEnter::default();
        let seen = scene.bench.enter(second, run, &enter);
        assert_exit(&seen, &exit(ExitReason::Irq));
        let seen = scene.bench.enter(first, run, &enter);
        assert_exit(&seen, &told(Timer::Virtual, TIMER_ENABLE, 0x1111));
    });
}

/// A Realm that never stops is stopped by its timer, although all that it does comes to the RMM.
#[test]
fn a_realm_that_never_stops() {
    let mut scene = Scene::forever(1);
    let memory = scene.bench.memory();
    scene.program(move |guest| async move {
        guest.set_timer(Timer::Physical, 100, TIMER_ENABLE);
        loop {
            guest.smc(&[RSI_VERSION, 0x1_0000]).await;
            memory.set_counter(memory.counter() + 1);
        }
    });
    let due = told(Timer::Physical, TIMER_ENABLE | TIMER_STATUS, 100);
    assert_exit(&scene.enter(), &due);
    assert_eq!(memory.counter(), 100);
}
