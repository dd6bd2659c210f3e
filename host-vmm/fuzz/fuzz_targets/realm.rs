//! What a Realm can do to the Realm kernel module: programs that call PSCI, the RMM and the host, ask
//! for changes of RIPAS and access everything, on the real RMM; and, where an input says so, exits that
//! say anything at all, as an RMM could that has been taken over. Nothing but errors may come of it, and
//! in the end every page is back where it was.
#![no_main]

// The machine, and the VM on it, that the tests of the module's core have.
#[allow(dead_code)]
#[path = "../../kmod/core/tests/realm/machine.rs"]
mod machine;
#[allow(dead_code)]
#[path = "../../kmod/core/tests/realm/vm.rs"]
mod vm;

use fake_machine::{Instruction, MemoryAccess, SystemEncoding, Timer, WaitFor};
use host_vmm_fuzz::Input;
use libfuzzer_sys::fuzz_target;
use realm_kmod_core::host::Host as _;
use realm_kmod_core::interrupts::Consequences;
use realm_kmod_core::realm::RealmError;
use realm_kmod_core::vcpu::Action;
use rmm_abi::rmi::fid;
use rmm_abi::rmi::run::{RecExit, RecRun};
use rmm_abi::rsi;
use rmm_abi::smc::psci;
use rmm_core::machine::ExceptionKind;
use zerocopy::{FromBytes as _, IntoBytes as _};

use crate::machine::{Kernel, Trouble, USER, USER_PAGES, on_machine};
use crate::vm::{BLOCK, DISTRIBUTOR, PAGE, RAM, RAM_SIZE, REDISTRIBUTORS, SHARED, Thread, Vm};

const VCPUS: usize = 2;
/// Instructions of a vCPU, and steps of the host.
const MOST_INSTRUCTIONS: usize = 48;
const MOST_STEPS: usize = 64;
/// Rounds of a vCPU in one step.
const MOST_ROUNDS: usize = 64;

/// PSTATE of a kernel that takes no interrupts.
const EL1: u64 = 0x3c5;

/// An instruction, with what is in the registers before.
#[derive(Debug)]
struct Operation {
    registers: Vec<u64>,
    timer: Option<(Timer, u64, u64)>,
    instruction: Instruction,
}

/// An address: mostly of RAM, else of a device, of the interrupt controller, or any.
fn address(input: &mut Input<'_>) -> u64 {
    let kind = input.byte();
    let shared = if kind & 0x80 == 0 { 0 } else { SHARED };
    let offset = |input: &mut Input<'_>| u64::from(input.byte()) * 8;
    shared
        | match kind % 16 {
            0 => input.number(8),
            1 => DISTRIBUTOR + input.number(2),
            2 => REDISTRIBUTORS + input.number(3) % 0x6_0000,
            3 => 0x1000_0000 + offset(input),
            4 => RAM + RAM_SIZE - PAGE + offset(input),
            5 => RAM + RAM_SIZE + offset(input),
            6 => RAM - PAGE + offset(input),
            7 | 8 => RAM + u64::from(input.byte()) * (BLOCK / 16) + offset(input),
            _ => RAM + u64::from(input.byte() % 8) * PAGE + offset(input),
        }
}

/// An address where a page begins, mostly.
fn page(input: &mut Input<'_>) -> u64 {
    let address = address(input);
    if input.byte() == 0xff {
        address
    } else {
        address & !(PAGE - 1)
    }
}

/// A number that means something, or any.
fn number(input: &mut Input<'_>) -> u64 {
    match input.byte() {
        byte @ 0..0xc0 => u64::from(byte % 16),
        0xff => input.number(8),
        _ => address(input),
    }
}

fn call(input: &mut Input<'_>) -> Vec<u64> {
    const PSCI: [u64; 11] = [
        psci::VERSION,
        psci::CPU_SUSPEND,
        psci::CPU_SUSPEND_32,
        psci::CPU_OFF,
        psci::CPU_ON,
        psci::CPU_ON_32,
        psci::AFFINITY_INFO,
        psci::AFFINITY_INFO_32,
        psci::SYSTEM_OFF,
        psci::SYSTEM_RESET,
        psci::FEATURES,
    ];
    match input.byte() % 8 {
        0 => vec![input.number(8), number(input), number(input), number(input)],
        1 => vec![
            rsi::fid::VERSION + input.number(1) % 12,
            page(input),
            number(input),
            number(input),
        ],
        2 => vec![rsi::fid::HOST_CALL, address(input) & !0xff],
        3..6 => {
            let base = page(input);
            let top = match input.byte() {
                count @ 0..0xe0 => base.wrapping_add(u64::from(count) * PAGE),
                count @ 0xe0..0xf0 => base.wrapping_add(u64::from(count % 4) * BLOCK),
                _ => page(input),
            };
            vec![
                rsi::fid::IPA_STATE_SET,
                base,
                top,
                input.number(1) % 4,
                input.number(1) % 3,
            ]
        }
        _ => {
            let function = PSCI[usize::from(input.byte()) % PSCI.len()];
            vec![function, number(input), number(input), number(input)]
        }
    }
}

fn operation(input: &mut Input<'_>) -> Operation {
    let mut registers = Vec::new();
    let mut timer = None;
    let instruction = match input.byte() % 16 {
        0..6 => {
            registers = call(input);
            Instruction::Smc(if input.byte() == 0xff {
                input.number(2) as u16
            } else {
                0
            })
        }
        6..10 => {
            let bits = input.byte();
            let size = 1 << (bits & 3);
            registers = vec![number(input)];
            Instruction::Access(MemoryAccess {
                address: address(input) & !(size - 1),
                size,
                is_write: bits & 4 != 0,
                is_signed: bits & 8 != 0,
                is_64_bit: bits & 16 != 0 || size == 8,
                register: if bits & 32 != 0 { input.byte() % 32 } else { 0 },
                is_described: bits & 0xc0 != 0xc0,
            })
        }
        10 => {
            registers = vec![input.number(8), input.number(2)];
            let waits = [
                WaitFor::Interrupt,
                WaitFor::Event,
                WaitFor::InterruptUntil(1),
                WaitFor::EventUntil(1),
            ];
            Instruction::Wait(waits[usize::from(input.byte()) % waits.len()])
        }
        11 => {
            registers = vec![input.number(8)];
            // Registers of the interrupt controller, or any.
            let encoding = match input.byte() {
                number @ 0..8 => SystemEncoding::new(3, 0, 12, 11, number),
                _ => SystemEncoding::new(
                    input.byte() & 3,
                    input.byte() & 7,
                    input.byte() & 15,
                    input.byte() & 15,
                    input.byte() & 7,
                ),
            };
            if input.byte() & 3 == 0 {
                Instruction::ReadSystem(encoding, 0)
            } else {
                Instruction::WriteSystem(encoding, 0)
            }
        }
        12 => Instruction::Fetch(address(input) & !3),
        13 => Instruction::Hvc(input.number(2) as u16),
        14 => {
            let which = if input.byte() & 1 == 0 {
                Timer::Virtual
            } else {
                Timer::Physical
            };
            timer = Some((which, input.number(2), input.number(1) & 3));
            Instruction::Interruption(ExceptionKind::Irq, 0)
        }
        _ if input.byte() & 7 == 0 => {
            Instruction::Interruption(ExceptionKind::SError, 0x2f << 26 | input.number(3))
        }
        _ => Instruction::Interruption(ExceptionKind::Irq, 0),
    };
    Operation {
        registers,
        timer,
        instruction,
    }
}

/// Exits that no RMM makes, from parts that mean something.
fn forge(exit: &mut RecExit, input: &mut Input<'_>) {
    let classes = [0x01, 0x18, 0x20, 0x24, 0x2f];
    let class = match input.byte() {
        byte @ 0xf0.. => u64::from(byte & 0x3f),
        byte => classes[usize::from(byte) % classes.len()],
    };
    exit.exit_reason = match input.byte() {
        byte @ 0xf0.. => byte,
        byte => byte % 7,
    };
    let bits = input.byte();
    if bits & 1 != 0 {
        exit.esr = class << 26 | input.number(4) & 0x3ff_ffff;
    }
    if bits & 2 != 0 {
        let address = address(input);
        (exit.far, exit.hpfar) = (address, address >> 8 & !0xf);
    }
    if bits & 4 != 0 {
        for register in &mut exit.gprs[..4] {
            *register = number(input);
        }
        if input.byte() & 1 == 0 {
            exit.gprs[0] = call(input)[0];
        }
    }
    if bits & 8 != 0 {
        exit.ripas_base = page(input);
        exit.ripas_top = page(input);
        exit.ripas_value = input.byte() % 4;
    }
    if bits & 16 != 0 {
        exit.gicv3_hcr = input.number(8);
        exit.gicv3_vmcr = input.number(8);
        for list in &mut exit.gicv3_lrs[..4] {
            // A state, a group, a priority and a number that there may be.
            *list = input.number(1) << 56 | input.number(1) << 48 | input.number(1);
        }
    }
    if bits & 32 != 0 {
        (exit.cntp_ctl, exit.cntp_cval) = (input.number(1), input.number(2));
        (exit.cntv_ctl, exit.cntv_cval) = (input.number(1), input.number(8));
        exit.pmu_ovf_status = input.byte();
    }
    // All of it.
    if bits & 0xc0 == 0xc0 {
        let bytes = input.bytes();
        exit.as_mut_bytes()
            .iter_mut()
            .zip(bytes)
            .for_each(|(place, byte)| *place = *byte);
    }
}

/// What the core says of an error is one of its own.
fn refused<T>(result: Result<T, RealmError>) -> Option<T> {
    result.ok()
}

/// One round of the loop of `KVM_RUN`, whose exit may be forged.
fn round(thread: &mut Thread<'_, '_, '_>, input: &mut Input<'_>, forged: bool) -> Action {
    let mut page = RecRun::read_from_bytes(&thread.cpu.read(thread.run)).unwrap();
    let (vm, now) = (thread.vm, thread.now);
    let consequences = thread.consequences();
    let next = vm.with_interrupts(consequences, |interrupts, after| {
        thread.vcpu.prepare(interrupts, now, &mut page.enter, after)
    });
    let Action::Enter { rec, run } = next else {
        return next;
    };
    assert_eq!(run, thread.run);
    thread.cpu.write(run, page.as_bytes());
    let [mut x0, ..] =
        thread
            .cpu
            .rmi([fid::REC_ENTER, rec.address(), run.address(), 0, 0, 0, 0, 0]);
    let mut page = RecRun::read_from_bytes(&thread.cpu.read(run)).unwrap();
    if forged {
        forge(&mut page.exit, input);
        x0 = match input.byte() {
            0xf0.. => input.number(2),
            _ => 0,
        };
    }
    let consequences = thread.consequences();
    vm.with_interrupts(consequences, |interrupts, after| {
        thread.vcpu.exited(interrupts, x0, &page.exit, now, after)
    })
}

/// The owner of the VM answers a PSCI call, rightly or not.
fn answer(thread: &mut Thread<'_, '_, '_>, input: &mut Input<'_>, target: u64) {
    let target = if input.byte() < 0xe0 {
        target
    } else {
        number(input)
    };
    let status = match input.byte() {
        byte @ 0..0xe0 => {
            if byte & 3 == 0 {
                psci::DENIED as i32
            } else {
                0
            }
        }
        _ => input.number(4) as i32,
    };
    let woken = {
        let realm = thread.vm.realm();
        refused(
            thread
                .vcpu
                .complete_psci(&thread.cpu, &realm, target, status),
        )
    };
    if let Some(Some(woken)) = woken {
        thread
            .vm
            .with_interrupts(Consequences::elsewhere(), |interrupts, after| {
                interrupts.switch_on(woken, after);
            });
    }
}

/// `KVM_RUN`, and what the owner of the VM does afterwards.
fn run(thread: &mut Thread<'_, '_, '_>, input: &mut Input<'_>, forged: bool) {
    let mut next = Action::Run;
    for number in 0..MOST_ROUNDS {
        next = match next {
            Action::Run => round(thread, input, forged && number == 0),
            Action::Handle => {
                let result = thread.vcpu.handle(&thread.cpu, &mut thread.vm.realm());
                match refused(result) {
                    Some(action) => action,
                    None => return,
                }
            }
            Action::Wait => match thread.poll() {
                Ok(()) => Action::Run,
                Err(deadline) => {
                    if deadline < 1 << 20 {
                        thread.now = thread.now.max(deadline);
                        thread.cpu.kernel.memory.set_counter(thread.now);
                    }
                    return;
                }
            },
            Action::Mmio { size, .. } => {
                assert!(matches!(size, 1 | 2 | 4 | 8));
                thread.vcpu.complete_mmio(input.number(8));
                return;
            }
            Action::MemoryFault {
                address,
                size,
                private,
            } => {
                if input.byte() < 0xd0 {
                    let mut realm = thread.vm.realm();
                    refused(realm.set_private(&thread.cpu, address, size, private));
                }
                return;
            }
            Action::Hypercall { arguments, .. } => {
                answer(thread, input, arguments[0]);
                return;
            }
            Action::SystemEvent(_) | Action::Fail(_) => return,
            Action::Enter { .. } => unreachable!("done by the round"),
        };
    }
}

/// What other threads of the VM's owner do, and what goes wrong.
fn meanwhile(kernel: &Kernel<'_>, vm: &Vm<'_, '_>, input: &mut Input<'_>) {
    let cpu = kernel.cpu();
    let kind = input.byte() % 8;
    match kind {
        0 => {
            let (base, count) = (page(input), input.number(1));
            refused(
                vm.realm()
                    .set_private(&cpu, base, count * PAGE, input.byte() & 1 == 0),
            );
        }
        1 => {
            refused(vm.realm().private_fault(&cpu, address(input)));
        }
        2 => {
            refused(vm.realm().shared_fault(&cpu, address(input)));
        }
        3 => {
            let gsi = match input.byte() {
                0xff => input.number(4) as u32,
                byte => 1 << 24 | u32::from(byte % 100),
            };
            vm.with_interrupts(Consequences::elsewhere(), |interrupts, after| {
                let _ = interrupts.set_line(gsi, input.byte() & 1 == 0, after);
            });
        }
        4 => {
            let codes = [1, 2, 3, 4, 0x102, 0x204, 0x304, !0];
            let code = codes[usize::from(input.byte()) % codes.len()];
            kernel.cause(Some(Trouble::Command(input.number(1), code)));
        }
        5 => kernel.cause(Some(Trouble::Memory(input.number(1) % 4))),
        6 => kernel.cause(None),
        _ => {
            let (base, count) = (page(input), input.number(1));
            let user = USER + input.number(1) % USER_PAGES * PAGE;
            let (_, result) = vm.realm().populate(&cpu, base, count * PAGE, user, false);
            refused(result);
        }
    }
}

fn check(kernel: &Kernel<'_>, vm: &Vm<'_, '_>) {
    let statistics = vm.realm().statistics(&kernel.onlooker());
    assert_eq!(kernel.pinned() as u64, statistics.pages_shared);
    assert!(
        statistics.pages_private + statistics.pages_shared <= RAM_SIZE / PAGE,
        "{statistics:?}"
    );
}

fn life(kernel: &Kernel<'_>, input: &mut Input<'_>) {
    let vm = Vm::new(kernel, VCPUS);
    vm.populate(1 + u64::from(input.byte() % 8)).unwrap();
    let mut threads: Vec<_> = (0..VCPUS).map(|index| vm.thread(index)).collect();
    for thread in &mut threads {
        thread.start().unwrap();
        let count = usize::from(input.byte()) % MOST_INSTRUCTIONS;
        let program: Vec<_> = (0..count).map(|_| operation(input)).collect();
        let number = thread.vcpu.index() as u64;
        thread.program(move |guest| async move {
            // It takes all interrupts.
            guest.registers(|registers| registers.gic[0] = 0xf8 << 24 | 0b11);
            let own = SHARED | (REDISTRIBUTORS + number * 0x2_0000 + 0x1_0000);
            for (place, value) in [
                (SHARED | DISTRIBUTOR, 0b11),
                (own + 0x80, !0),
                (own + 0x100, !0),
            ] {
                guest.set_general(0, value);
                let _ = guest
                    .execute(Instruction::Access(MemoryAccess::store(place, 4)))
                    .await;
            }
            for (number, operation) in (0..).zip(program) {
                // Wherever an exception has brought it. No two instructions are at one place.
                guest.continue_at(RAM + 0x1_0000 + 4 * number, EL1);
                guest.registers(|registers| {
                    let places = registers.general.iter_mut();
                    places
                        .zip(&operation.registers)
                        .for_each(|(place, value)| *place = *value);
                });
                if let Some((timer, compare, control)) = operation.timer {
                    guest.set_timer(timer, compare, control);
                }
                let _ = guest.execute(operation.instruction).await;
            }
        });
    }
    for step in 0..MOST_STEPS {
        if input.is_empty() {
            break;
        }
        match input.byte() {
            byte @ 0..0xa0 => run(&mut threads[usize::from(byte & 1)], input, false),
            byte @ 0xa0..0xd0 => run(&mut threads[usize::from(byte & 1)], input, true),
            _ => meanwhile(kernel, &vm, input),
        }
        check(kernel, &vm);
        if step % 16 == 0 {
            kernel.check_guards();
        }
    }
    drop(threads);
    // One command may still fail, and is tried again.
    vm.destroy();
    kernel.cause(None);
}

fuzz_target!(|bytes: &[u8]| {
    let mut input = Input::new(bytes);
    on_machine(|kernel| life(kernel, &mut input));
});
