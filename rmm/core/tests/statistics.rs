//! What the RMM counts for the operator: every counter by exact number, every event, and nothing for
//! a host that asks what there is not.
#![allow(missing_docs)]

use std::sync::atomic::{AtomicBool, Ordering};

use fake_machine::{CPUS, FakeCpu, Instruction, Memory, MemoryAccess, Scene};
use proptest::prelude::*;
use rmm_abi::rmi::run::ExitReason;
use rmm_abi::rmi::run::enter_flags::{EMULATED_MMIO, INJECT_SEA, TRAP_WFI};
use rmm_abi::rmi::{StatusCode, fid};
use rmm_abi::statistics::{
    COUNTERS, Counter, Description, Event, EventKind, EventList, Fault, Query, VERSION,
};
use rmm_abi::{rsi, smc};
use rmm_core::Rmm;
use rmm_core::boot::MAX_CPUS;
use rmm_core::machine::ExceptionKind;
use rmm_core::rec::layout::SystemRegister;
use rmm_core::statistics::EVENTS;

const BASE: u64 = 0x8000_0000;
const PAGE: u64 = 0x1000;
const INPUT: StatusCode = StatusCode::ErrorInput;
const DONE: StatusCode = StatusCode::Success;

/// Asks on a CPU.
fn ask(rmm: &Rmm<'_>, cpu: &FakeCpu<'_>, index: u64) -> [u64; 3] {
    let call = [fid::FEATURES, index, 2, 3, 4, 5, 6, 7];
    let [x0, x1, x2, x3, x4] = rmm.call(cpu, &call).expect("no fatal condition");
    assert_eq!((x0, x4), (0, 4), "index {index:#x}");
    [x1, x2, x3]
}

/// All counters of a CPU, asked for on another.
fn counters(rmm: &Rmm<'_>, cpu: &FakeCpu<'_>, of: usize) -> Vec<u64> {
    let of = u16::try_from(of).unwrap();
    (0..COUNTERS)
        .step_by(3)
        .flat_map(|first| ask(rmm, cpu, Query::Counters { cpu: of, first }.index()))
        .take(COUNTERS.into())
        .collect()
}

/// All events of a list, in order.
fn events(rmm: &Rmm<'_>, cpu: &FakeCpu<'_>, of: u16, list: EventList) -> Vec<Event> {
    let mut events: Vec<_> = (0..EVENTS)
        .filter_map(|place| {
            let query = Query::Event {
                cpu: of,
                list,
                place,
            };
            Event::from_words(ask(rmm, cpu, query.index()))
        })
        .collect();
    events.sort_by_key(|event| event.number);
    events
}

/// Counters that have changed, and by how much. Asking is counted too, which is left out.
fn changes(before: &[u64], after: &[u64]) -> Vec<(u16, u64)> {
    let asking = Counter::Command(fid::FEATURES, DONE).number();
    (0..)
        .zip(before.iter().zip(after))
        .filter(|&(number, (before, after))| number != asking && before != after)
        .map(|(number, (before, after))| (number, after - before))
        .collect()
}

fn sorted(expected: &[(Counter, u64)]) -> Vec<(u16, u64)> {
    let mut expected: Vec<_> = expected
        .iter()
        .map(|&(counter, count)| (counter.number(), count))
        .collect();
    expected.sort_unstable();
    expected
}

#[test]
fn the_description_says_how_much_there_is() {
    let memory = Memory::new(&[(BASE, 4)]);
    let (rmm, cpu) = (memory.rmm(), memory.cpu(3));
    let description = Description::from_words(ask(&rmm, &cpu, Query::Description.index()));
    assert_eq!(
        description,
        Some(Description {
            version: VERSION,
            cpus: u32::try_from(CPUS).unwrap(),
            events: 32,
            counters: 272,
        })
    );
    // Nothing has happened but the question.
    for cpu_asked in 0..CPUS {
        let expected = u64::from(cpu_asked == 3);
        let counters = counters(&rmm, &cpu, cpu_asked);
        assert_eq!(
            counters.iter().filter(|count| **count != 0).count() as u64,
            expected
        );
        for list in [EventList::LifeCycle, EventList::Errors] {
            let cpu_asked = u16::try_from(cpu_asked).unwrap();
            assert_eq!(events(&rmm, &cpu, cpu_asked, list), []);
        }
    }
}

#[test]
fn commands_are_counted_by_function_status_and_cpu() {
    let memory = Memory::new(&[(BASE, 8)]);
    let rmm = memory.rmm();
    let cpus = [0, 1, 2].map(|number| memory.cpu(number));
    let before = [0, 1, 2].map(|of| counters(&rmm, &cpus[2], of));
    let call = |cpu: usize, function, x1| {
        rmm.call(&cpus[cpu], &[function, x1, 0, 0, 0, 0, 0, 0])
            .unwrap()[0]
    };
    for _ in 0..3 {
        assert_eq!(call(0, fid::GRANULE_DELEGATE, BASE), 0);
        assert_eq!(call(1, fid::GRANULE_DELEGATE, BASE), 1);
        assert_eq!(call(1, fid::GRANULE_UNDELEGATE, BASE), 0);
    }
    assert_eq!(call(0, fid::VERSION, 0x1_0000), 0);
    assert_eq!(call(0, fid::VERSION | smc::SVE_HINT, 0x2_0000), 1);
    assert_eq!(call(0, fid::REC_DESTROY, 0), 1);
    assert_eq!(call(1, 0xc400_0156, 0), u64::MAX);
    assert_eq!(call(1, 0xc400_018d, 0), u64::MAX);
    let after = [0, 1, 2].map(|of| counters(&rmm, &cpus[2], of));
    let expected: [&[_]; 3] = [
        &[
            (Counter::Command(fid::GRANULE_DELEGATE, DONE), 3),
            (Counter::Command(fid::VERSION, DONE), 1),
            (Counter::Command(fid::VERSION, INPUT), 1),
            (Counter::Command(fid::REC_DESTROY, INPUT), 1),
        ],
        &[
            (Counter::Command(fid::GRANULE_DELEGATE, INPUT), 3),
            (Counter::Command(fid::GRANULE_UNDELEGATE, DONE), 3),
            (Counter::UnknownCall(0x156), 1),
            (Counter::UnknownCall(0x18d), 1),
        ],
        &[],
    ];
    for (cpu, expected) in expected.into_iter().enumerate() {
        assert_eq!(
            changes(&before[cpu], &after[cpu]),
            sorted(expected),
            "CPU {cpu}"
        );
    }
}

#[test]
fn failures_are_events_with_the_code_and_what_the_host_named() {
    let memory = Memory::new(&[(BASE, 8)]);
    let (rmm, cpu) = (memory.rmm(), memory.cpu(1));
    let call = |function, x1| rmm.call(&cpu, &[function, x1, 0, 0, 0, 0, 0, 0]).unwrap()[0];
    memory.set_counter(1000);
    call(fid::GRANULE_DELEGATE, BASE + 8);
    memory.set_counter(2000);
    call(fid::GRANULE_DELEGATE, BASE);
    call(fid::REALM_DESTROY, u64::MAX);
    call(fid::VERSION, 0x2_0000);
    let event = |number, time, function: u64, subject| Event {
        number,
        kind: EventKind::CallFailed((function & 0xfff) as u16, 1),
        time,
        subject,
    };
    assert_eq!(
        events(&rmm, &cpu, 1, EventList::Errors),
        [
            event(1, 1000, fid::GRANULE_DELEGATE, BASE + 8),
            event(2, 2000, fid::REALM_DESTROY, u64::MAX),
            event(3, 2000, fid::VERSION, 0x2_0000),
        ]
    );
    // The latest are kept, and a gap in the numbers tells of the others.
    for number in 0..100 {
        call(fid::REC_DESTROY, number);
    }
    let latest = events(&rmm, &cpu, 1, EventList::Errors);
    let numbers: Vec<_> = latest.iter().map(|event| event.number).collect();
    assert_eq!(numbers, (72..=103).collect::<Vec<_>>());
    assert!(
        latest
            .iter()
            .all(|event| event.subject + 4 == event.number.into())
    );
    assert_eq!(events(&rmm, &cpu, 1, EventList::LifeCycle), []);
    assert_eq!(events(&rmm, &cpu, 0, EventList::Errors), []);
}

#[test]
fn realms_come_and_go_as_events() {
    let memory = Memory::new(&[(BASE, 64)]);
    let rmm = memory.rmm();
    let mut bench = fake_machine::Bench::new(&memory, &rmm);
    memory.set_counter(77);
    let rd = bench.realm(&fake_machine::realm_params(40, 1, 2));
    bench.move_to(2);
    memory.set_counter(99);
    bench.fail(1, fid::REALM_DESTROY, &[rd + PAGE], "not a Realm");
    bench.succeed(fid::REALM_DESTROY, &[rd]);
    let cpu = memory.cpu(5);
    let event = |kind, time| Event {
        number: 1,
        kind,
        time,
        subject: rd,
    };
    assert_eq!(
        events(&rmm, &cpu, 0, EventList::LifeCycle),
        [event(EventKind::RealmCreated, 77)]
    );
    assert_eq!(
        events(&rmm, &cpu, 2, EventList::LifeCycle),
        [event(EventKind::RealmDestroyed, 99)]
    );
    assert_eq!(events(&rmm, &cpu, 2, EventList::Errors).len(), 1);
}

/// Runs a program to its first exit, with these flags, and gives the counters that changed.
fn counted(scene: &mut Scene<'_>, flags: u64, expected: &[(Counter, u64)]) {
    let rmm = scene.bench.rmm();
    let cpu = scene.bench.memory().cpu(7);
    let before = counters(rmm, &cpu, 0);
    scene.enter_with_flags(flags);
    let after = counters(rmm, &cpu, 0);
    let entered = (Counter::Command(fid::REC_ENTER, DONE), 1);
    let expected: Vec<_> = expected.iter().copied().chain([entered]).collect();
    assert_eq!(changes(&before, &after), sorted(&expected));
}

#[test]
fn exits_are_counted_by_reason() {
    Scene::play(1, |scene| {
        scene.program(|guest| async move {
            for kind in [ExceptionKind::Irq, ExceptionKind::Fiq] {
                guest.finished(Instruction::Interruption(kind, 0)).await;
            }
            let corrected =
                Instruction::Interruption(ExceptionKind::SError, 0x2f << 26 | 0b110 << 10 | 0x11);
            guest.finished(corrected).await;
            guest.wait_for_interrupt().await;
            // A host call, a change of RIPAS, and `PSCI_CPU_SUSPEND`.
            guest.smc(&[rsi::fid::HOST_CALL, Scene::MEMORY]).await;
            let range = [Scene::EMPTY, Scene::EMPTY + PAGE, 1, 0];
            let [base, top, ripas, flags] = range;
            guest
                .smc(&[rsi::fid::IPA_STATE_SET, base, top, ripas, flags])
                .await;
            guest.smc(&[0xc400_0001, 0, 0, 0]).await;
        });
        for (flags, reason) in [
            (0, ExitReason::Irq),
            (0, ExitReason::Fiq),
            (0, ExitReason::SError),
            (TRAP_WFI, ExitReason::Sync),
            (0, ExitReason::HostCall),
            (0, ExitReason::RipasChange),
            (0, ExitReason::Psci),
        ] {
            counted(scene, flags, &[(Counter::Exit(reason as u8), 1)]);
        }
    });
}

/// A Realm's faults are a number that comes with the exit.
#[test]
fn faults_are_counted_by_kind() {
    let exit = |reason: ExitReason| (Counter::Exit(reason as u8), 1);
    Scene::play(1, |scene| {
        scene.program(|guest| async move {
            guest.set_system(SystemRegister::VBAR_EL1, 0x1000);
            let access = |address| Instruction::Access(MemoryAccess::load(address, 8));
            for _ in 0..3 {
                guest.refused(Instruction::Hvc(0)).await;
                guest.return_from_exception();
            }
            guest.refused(access(Scene::BEYOND)).await;
            guest.return_from_exception();
            guest.interrupt().await;
            guest.refused(access(Scene::EMPTY)).await;
            guest.return_from_exception();
            let damage = Instruction::Interruption(ExceptionKind::SError, 0x2f << 26 | 0x11);
            guest.finished(damage).await;
            guest.refused(access(Scene::UNMAPPED)).await;
            guest.return_from_exception();
            guest.interrupt().await;
        });
        let memory = scene.bench.memory();
        memory.set_counter(10);
        counted(
            scene,
            0,
            &[
                exit(ExitReason::Irq),
                (Counter::Fault(Fault::UndefinedInstruction), 3),
                (Counter::Fault(Fault::AddressSize), 1),
            ],
        );
        memory.set_counter(20);
        counted(
            scene,
            0,
            &[
                exit(ExitReason::SError),
                (Counter::Fault(Fault::ExternalAbort), 1),
                (Counter::Fault(Fault::SError), 1),
            ],
        );
        counted(scene, 0, &[exit(ExitReason::Sync)]);
        counted(
            scene,
            INJECT_SEA,
            &[
                exit(ExitReason::Irq),
                (Counter::Fault(Fault::ExternalAbort), 1),
            ],
        );
        let event = |number, time, fault, count| Event {
            number,
            kind: EventKind::Faults(fault, count),
            time,
            subject: scene.rd,
        };
        assert_eq!(
            events(scene.bench.rmm(), &memory.cpu(1), 0, EventList::Errors),
            [
                event(1, 10, Fault::UndefinedInstruction, 3),
                event(2, 10, Fault::AddressSize, 1),
                event(3, 20, Fault::ExternalAbort, 1),
                event(4, 20, Fault::SError, 1),
                event(5, 20, Fault::ExternalAbort, 1),
            ]
        );
    });
}

/// An entry that is refused, or whose run page goes away, is no exit.
#[test]
fn an_entry_that_fails_is_no_exit() {
    Scene::play(1, |scene| {
        scene.program(|guest| async move { guest.interrupt().await });
        let rmm = scene.bench.rmm();
        let cpu = scene.bench.memory().cpu(7);
        let before = counters(rmm, &cpu, 0);
        scene.refuse(3, EMULATED_MMIO, "there was no access");
        let after = counters(rmm, &cpu, 0);
        let refused = Counter::Command(fid::REC_ENTER, StatusCode::ErrorRec);
        assert_eq!(changes(&before, &after), sorted(&[(refused, 1)]));
    });
}

/// CPUs count for themselves, whatever others do, and whoever reads meanwhile.
#[test]
fn nothing_is_lost_among_many_cpus() {
    const CALLS: u64 = 20_000;
    let memory = Memory::new(&[(BASE, 8)]);
    let rmm = memory.rmm();
    let done = AtomicBool::new(false);
    let delegated = Counter::Command(fid::GRANULE_DELEGATE, DONE);
    let number = usize::from(delegated.number());
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..4)
            .map(|number| {
                let (memory, rmm) = (&memory, &rmm);
                scope.spawn(move || {
                    let cpu = memory.cpu(number);
                    let granule = BASE + number as u64 * PAGE;
                    for _ in 0..CALLS {
                        for function in [fid::GRANULE_DELEGATE, fid::GRANULE_UNDELEGATE] {
                            let call = [function, granule, 0, 0, 0, 0, 0, 0];
                            assert_eq!(rmm.call(&cpu, &call).unwrap()[0], 0);
                        }
                    }
                })
            })
            .collect();
        scope.spawn(|| {
            let cpu = memory.cpu(4);
            let mut last = [0; 4];
            while !done.load(Ordering::Relaxed) {
                for (of, last) in last.iter_mut().enumerate() {
                    let now = counters(&rmm, &cpu, of)[number];
                    assert!((*last..=CALLS).contains(&now));
                    *last = now;
                }
            }
        });
        let ends: Vec<_> = workers
            .into_iter()
            .map(std::thread::ScopedJoinHandle::join)
            .collect();
        // Also when one of them has failed: nobody may look for ever.
        done.store(true, Ordering::Relaxed);
        assert!(ends.iter().all(Result::is_ok));
    });
    let cpu = memory.cpu(5);
    for of in 0..4 {
        assert_eq!(counters(&rmm, &cpu, of)[number], CALLS);
    }
}

/// As many CPUs as there can be: each serves, counts on its own page, and runs RECs.
#[test]
fn as_many_cpus_as_there_can_be() {
    let memory = Memory::new(&[(BASE, 1024)]);
    memory.set_cpus(MAX_CPUS as usize);
    let rmm = memory.rmm();
    let bench = fake_machine::Bench::new(&memory, &rmm).quick();
    let params = fake_machine::realm_params(40, 1, 2);
    let mut scene = Scene::build(bench, &params, 1);
    scene.bench = scene.bench.quick();
    scene.program(|guest| async move {
        loop {
            guest.interrupt().await;
        }
    });
    let granule = scene.bench.host_granule();
    let last = MAX_CPUS as usize - 1;
    for cpu in 0..=last {
        scene.bench.move_to(cpu);
        scene.bench.succeed(fid::GRANULE_DELEGATE, &[granule]);
        scene.bench.succeed(fid::GRANULE_UNDELEGATE, &[granule]);
        scene.enter();
    }
    scene.bench.check_all();
    let asking = memory.cpu(last);
    let description = Description::from_words(ask(&rmm, &asking, Query::Description.index()));
    assert_eq!(description.unwrap().cpus, MAX_CPUS);
    for cpu in [1, 255, 256, 510, last] {
        let counters = counters(&rmm, &asking, cpu);
        for counter in [
            Counter::Command(fid::GRANULE_DELEGATE, DONE),
            Counter::Command(fid::REC_ENTER, DONE),
            Counter::Exit(ExitReason::Irq as u8),
        ] {
            assert_eq!(counters[usize::from(counter.number())], 1, "CPU {cpu}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// Whatever a host asks, it gets an answer, and nothing changes but that it was asked.
    #[test]
    fn any_index_is_answered(
        low in any::<u32>(),
        ours in any::<bool>(),
        high in any::<u32>(),
    ) {
        let high = if ours { rmm_abi::statistics::MAGIC } else { high };
        let index = u64::from(high) << 32 | u64::from(low);
        let memory = Memory::new(&[(BASE, 2)]);
        let (rmm, cpu) = (memory.rmm(), memory.cpu(0));
        let before = (memory.snapshot(), counters(&rmm, &cpu, 0));
        let answer = ask(&rmm, &cpu, index);
        let after = (memory.snapshot(), counters(&rmm, &cpu, 0));
        prop_assert!(before.0 == after.0);
        prop_assert_eq!(changes(&before.1, &after.1), vec![]);
        match Query::from_index(index) {
            Some(Query::Description | Query::Counters { cpu: 0, .. }) => {}
            _ => prop_assert!(index == 0 || answer == [0; 3], "{:x?}", answer),
        }
    }
}
