use std::sync::Mutex;

use vm_memory::{Bytes as _, GuestAddress};

use super::*;
use crate::backend::fake::{Event, Machine, Step};
use crate::backend::kvm::Flavour;
use crate::devices::MmioDevice;
use crate::devices::lock;

const RAM: Range = Range::new(0x8000_0000, 0x40_0000);
const SHARED_BIT: u64 = 1 << 32;

/// Remembers writes, and answers reads with the last one.
#[derive(Default)]
struct Register(Mutex<Vec<u8>>);

impl MmioDevice for Register {
    fn read(&self, offset: u64, data: &mut [u8]) {
        data.fill(0);
        data[0] = u8::try_from(offset).unwrap();
        if let Some(last) = lock(&self.0).last() {
            data[1] = *last;
        }
    }

    fn write(&self, _offset: u64, data: &[u8]) {
        lock(&self.0).extend(data);
    }
}

/// What became of a vCPU of a Realm with 18 of them.
struct Run {
    ended: Ended,
    log: Vec<Event>,
    ram: Ram,
}

/// Runs a vCPU; `prepare` may change the machine.
fn run_on(prepare: impl FnOnce(Machine) -> Machine, script: Vec<Step>) -> Run {
    let machine = Arc::new(prepare(Machine::new(Flavour::Module, vec![script])));
    let mut vcpu = machine.create_vcpu(0, None).unwrap();
    let mut bus = Bus::new();
    let register = Arc::new(Register::default());
    bus.add(Range::new(0x900_0000, 0x1000), register).unwrap();
    let ram = Ram::new(RAM, SHARED_BIT).unwrap();
    let memory = ram.for_devices();
    memory
        .write_slice(&[0x77; 0x3000], GuestAddress(RAM.base | SHARED_BIT))
        .unwrap();
    let shared = Shared {
        bus,
        machine: machine.clone(),
        ram: ram.clone(),
        cpus: 18,
        shared_bit: SHARED_BIT,
        stop: Arc::default(),
        exits: Arc::default(),
        complaints: Complaints::default(),
    };
    let ended = run(vcpu.as_mut(), &shared);
    // The first event is the making of the vCPU.
    let log = machine.log()[1..].to_vec();
    Run { ended, log, ram }
}

fn run_script(script: Vec<Step>) -> Run {
    run_on(|machine| machine, script)
}

#[test]
fn devices_are_reached_with_and_without_the_shared_bit() {
    let run = run_script(vec![
        Step::Write(0x900_0004, b"a"),
        Step::Read(0x900_0008, 2),
        Step::Write(0x900_0004 | SHARED_BIT, b"b"),
        Step::Read(0x900_000c | SHARED_BIT, 4),
        Step::Read(0x5000_0000, 8),
        Step::PowerOff,
    ]);
    assert!(matches!(run.ended, Ended::PoweredOff));
    assert_eq!(
        run.log,
        [
            Event::Value(b"\x08a".into()),
            Event::Value(b"\x0cb\0\0".into()),
            Event::Value(vec![0; 8]),
        ]
    );
}

#[test]
fn every_way_to_end() {
    let ended = |step| run_script(vec![Step::Interrupted, step]).ended;
    assert!(matches!(ended(Step::PowerOff), Ended::PoweredOff));
    assert!(matches!(ended(Step::Reset), Ended::Reset));
    let failed = |step| match ended(step) {
        Ended::Failed(error) => error.to_string(),
        other => panic!("{other:?}"),
    };
    assert_eq!(failed(Step::Crash), "the guest has crashed");
    assert_eq!(
        failed(Step::FailedEntry(0x1f)),
        "it cannot be entered: reason 0x1f"
    );
    assert_eq!(
        failed(Step::InternalError),
        "it cannot go on: the kernel says [7, 8]"
    );
    assert_eq!(failed(Step::Unknown), "it stopped for Hlt");
    assert!(failed(Step::Error).starts_with("run: "));
    assert_eq!(
        failed(Step::Psci(0xc400_0005, 0)),
        "the guest makes call 0xc4000005, which is not for this program"
    );
}

#[test]
fn an_internal_error_is_one_line_that_says_what_it_is() {
    let say = |data: &[u64]| internal(Flavour::Module, data);
    assert_eq!(
        say(&[4, 0x103, 0]),
        "the RMM refuses to run it, X0 is 0x103"
    );
    assert!(say(&[4, 0x8000_1000, 1]).ends_with("syndrome or address 0x80001000"));
    assert!(say(&[4, 0x7f, 2]).ends_with("not known: 0x7f"));
    // What the values of others are is not known.
    let others = internal(Flavour::Ordinary, &[4, 0x103, 0]);
    assert_eq!(others, "the kernel says [4, 103, 0]");
    for data in [&[][..], &[4], &[4, 1, 3], &[4; 20]] {
        assert!(!say(data).contains('\n'));
    }
}

#[test]
fn a_vcpu_that_is_told_to_stops() {
    let stop = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&stop);
    let tell = Step::Do(Box::new(move || told.store(true, Ordering::SeqCst)));
    let machine = Arc::new(Machine::new(
        Flavour::Ordinary,
        vec![vec![tell, Step::PowerOff]],
    ));
    let mut vcpu = machine.create_vcpu(0, None).unwrap();
    let shared = Shared {
        bus: Bus::new(),
        machine,
        ram: Ram::new(RAM, 0).unwrap(),
        cpus: 1,
        shared_bit: 0,
        stop,
        exits: Arc::default(),
        complaints: Complaints::default(),
    };
    assert!(matches!(run(vcpu.as_mut(), &shared), Ended::Stopped));
    assert_eq!(shared.exits.get(Reason::Interrupted), 1);
    assert_eq!(shared.exits.get(Reason::Other), 0);
}

#[test]
fn memory_becomes_shared_and_private_again() {
    let range = Range::new(RAM.base + 0x1000, 0x1000);
    let run = run_script(vec![
        Step::Convert(range, Visibility::Shared),
        Step::Convert(range, Visibility::Private),
        Step::PowerOff,
    ]);
    assert_eq!(
        run.log,
        [
            Event::Convert(range, Visibility::Shared),
            Event::Convert(range, Visibility::Private),
        ]
    );
    // The host has the shared page back, and no other.
    let memory = run.ram.for_devices();
    for (page, expected) in [(0, 0x77), (1, 0), (2, 0x77)] {
        let address = GuestAddress((RAM.base | SHARED_BIT) + page * 0x1000);
        assert_eq!(memory.read_obj::<u8>(address).unwrap(), expected, "{page}");
    }
}

#[test]
fn memory_that_becomes_shared_keeps_its_content() {
    let run = run_script(vec![Step::Convert(RAM, Visibility::Shared), Step::PowerOff]);
    let memory = run.ram.for_devices();
    let first = GuestAddress(RAM.base | SHARED_BIT);
    assert_eq!(memory.read_obj::<u8>(first).unwrap(), 0x77);
}

#[test]
fn what_is_not_ram_is_not_converted() {
    for range in [
        Range::new(0x900_0000, 0x1000),
        Range::new(RAM.base - 0x1000, 0x2000),
        Range::new(RAM.end() - 0x1000, 0x2000),
        Range::new(RAM.base, RAM.size + 0x1000),
        Range::new(RAM.base + 0x800, 0x1000),
        Range::new(RAM.base, 0x800),
        Range::new(RAM.base, 0),
        Range::new(RAM.base, !0xfff),
        Range::new(!0xfff, 0x1000),
    ] {
        for to in [Visibility::Private, Visibility::Shared] {
            let run = run_script(vec![Step::Convert(range, to), Step::PowerOff]);
            // It runs on: the kernel tells the Realm that nothing has changed.
            assert!(matches!(run.ended, Ended::PoweredOff));
            assert_eq!(run.log, [], "{range:x?}");
        }
    }
    // With the shared bit it is the same RAM.
    let range = Range::new(RAM.base | SHARED_BIT, RAM.size);
    let script = vec![Step::Convert(range, Visibility::Shared), Step::PowerOff];
    let run = run_script(script);
    assert_eq!(run.log, [Event::Convert(RAM, Visibility::Shared)]);
}

#[test]
fn a_conversion_that_fails_ends_the_machine() {
    let script = vec![Step::Convert(RAM, Visibility::Private), Step::PowerOff];
    let run = run_on(|machine| machine.failing("convert"), script);
    assert!(matches!(
        run.ended,
        Ended::Failed(VcpuError::Backend(BackendError::Call { .. }))
    ));
}

#[test]
fn psci_calls_are_answered() {
    // Eighteen vCPUs: the last ones have 1 in their second affinity field.
    let calls = [
        (PSCI_CPU_ON_64, 0x1, PSCI_SUCCESS),
        (PSCI_CPU_ON_32, 0xf, PSCI_SUCCESS),
        (PSCI_CPU_ON_64, 0x101, PSCI_SUCCESS),
        (PSCI_CPU_ON_64, 0x102, PSCI_DENIED),
        (PSCI_CPU_ON_64, 0x10, PSCI_DENIED),
        (PSCI_CPU_ON_64, 0x1_0000, PSCI_DENIED),
        (PSCI_CPU_ON_64, 1 << 32, PSCI_DENIED),
        (PSCI_AFFINITY_INFO_64, 0x1, PSCI_SUCCESS),
        (PSCI_AFFINITY_INFO_32, 0x101, PSCI_SUCCESS),
    ];
    let steps = calls
        .iter()
        .map(|(function, target, _)| Step::Psci(*function, *target))
        .chain([Step::PowerOff]);
    let run = run_script(steps.collect());
    assert!(matches!(run.ended, Ended::PoweredOff));
    let expected: Vec<_> = calls
        .iter()
        .map(|(_, target, status)| Event::Psci(*target, *status))
        .collect();
    assert_eq!(run.log, expected);
}
