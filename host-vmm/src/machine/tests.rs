use std::fs;
use std::io::Write as _;
use std::os::fd::AsRawFd as _;
use std::path::Path;
use std::sync::{Mutex, mpsc};
use std::thread;
use std::time::Duration;

use vm_memory::{Bytes as _, GuestAddress, GuestMemory as _};

use super::threads::Threads;
use super::*;
use crate::backend::fake::{Event, Machine, Step, configuration};
use crate::backend::kvm::Flavour;
use crate::backend::{Start, VirtualMachine, Visibility};
use crate::configuration::{ConsoleEnd, Disk};
use crate::devices::lock;
use crate::exit::Exit;
use crate::layout::{Range, Spi};
use crate::life::Asked;
use crate::life::audit::AuditLog;
use crate::terminal::Output;
use crate::worker::Worker;

/// Runs a machine through the scripts of its vCPUs.
fn run_scripts(
    configuration: &Configuration,
    scripts: Vec<Vec<Step>>,
) -> (Result<Ending, MachineError>, Vec<Event>) {
    let flavour = if configuration.realm.is_some() {
        Flavour::Module
    } else {
        Flavour::Ordinary
    };
    run_machine(configuration, Machine::new(flavour, scripts))
}

/// What a launch does with a machine that is there.
fn run(
    life: &Arc<Life>,
    configuration: &Configuration,
    prepared: &Prepared,
    machine: Arc<dyn VirtualMachine>,
) -> Result<Ending, MachineError> {
    let control = Control::new();
    life.attach(&control);
    let launch = Launch {
        held: &Held::default(),
        life,
        control: &control,
        configuration,
        layout: prepared.layout,
        machine,
    };
    let result = launch.run(prepared, Instant::now());
    life.detach();
    settle(life, result)
}

fn run_machine(
    configuration: &Configuration,
    machine: Machine,
) -> (Result<Ending, MachineError>, Vec<Event>) {
    let prepared = Prepared::new(configuration).unwrap();
    let machine = Arc::new(machine);
    let life = Life::new(configuration, None);
    let result = run(&life, configuration, &prepared, machine.clone());
    assert_eq!(
        Arc::strong_count(&machine),
        1,
        "nobody has the machine any more"
    );
    (result, machine.log())
}

fn descriptors() -> usize {
    fs::read_dir("/proc/self/fd").unwrap().count()
}

#[test]
fn a_realm_is_made_in_the_order_of_its_measurement() {
    let (_folder, mut configuration) = configuration(true);
    configuration.consoles = vec![ConsoleEnd::Nowhere];
    let prepared = Prepared::new(&configuration).unwrap();
    let (result, log) = run_scripts(&configuration, vec![vec![Step::PowerOff]]);
    assert_eq!(result.unwrap(), Ending::PoweredOff);
    let mut expected = vec![
        Event::Ram(Range::new(0x8000_0000, 16 << 20)),
        Event::Vcpu(
            0,
            Some(Start {
                entry: prepared.entry,
                registers: prepared.registers(),
            }),
        ),
        Event::Vcpu(1, None),
        Event::InterruptController,
        Event::Interrupt(Spi(0)),
        Event::Interrupt(Spi(16)),
        Event::Notifier(0x0a00_0050, 0),
        Event::Notifier(0x0a00_0050, 1),
    ];
    expected.extend(prepared.segments().map(|segment| {
        let range = segment.range();
        Event::Populate(range.base, usize::try_from(range.size / 0x1000).unwrap())
    }));
    assert_eq!(log, expected);
}

#[test]
fn memory_is_filled_in_as_many_steps_as_the_kernel_takes() {
    let (_folder, configuration) = configuration(true);
    let prepared = Prepared::new(&configuration).unwrap();
    let mut machine = Machine::new(Flavour::Module, vec![vec![Step::PowerOff]]);
    machine.populates = 1;
    let (result, log) = run_machine(&configuration, machine);
    result.unwrap();
    let populated: Vec<u64> = log
        .iter()
        .filter_map(|event| match event {
            Event::Populate(ipa, 1) => Some(*ipa),
            _ => None,
        })
        .collect();
    let pages: Vec<u64> = prepared
        .segments()
        .flat_map(|segment| (segment.range().base..segment.range().end()).step_by(0x1000))
        .collect();
    assert!(pages.len() > 2);
    assert_eq!(populated, pages);
}

#[test]
fn an_ordinary_machine_gets_its_memory_by_copy() {
    let (_folder, configuration) = configuration(false);
    let prepared = Prepared::new(&configuration).unwrap();
    let machine = Machine::new(Flavour::Ordinary, vec![vec![Step::PowerOff]]);
    let machine = Arc::new(machine);
    let life = Life::new(&configuration, None);
    let result = run(&life, &configuration, &prepared, machine.clone());
    assert_eq!(result.unwrap(), Ending::PoweredOff);
    assert!(
        !machine
            .log()
            .iter()
            .any(|event| matches!(event, Event::Populate(..)))
    );
    let memory = machine.ram.lock().unwrap().take().unwrap().for_devices();
    for segment in prepared.segments() {
        let mut bytes = vec![0; segment.content().len()];
        memory
            .read_slice(&mut bytes, GuestAddress(segment.range().base))
            .unwrap();
        assert!(bytes == segment.content());
    }
    assert!(!memory.check_range(GuestAddress(0x1_8000_0000), 1, vm_memory::Permissions::Read));
}

#[test]
fn the_first_reason_to_end_counts() {
    let (_folder, configuration) = configuration(true);
    // The other vCPU waits for ever, until it is interrupted.
    for (step, expected) in [
        (Step::PowerOff, Ending::PoweredOff),
        (Step::Reset, Ending::Reset),
    ] {
        let (result, _) = run_scripts(&configuration, vec![Vec::new(), vec![step]]);
        assert_eq!(result.unwrap(), expected);
    }
    let (result, _) = run_scripts(&configuration, vec![Vec::new(), vec![Step::FailedEntry(3)]]);
    assert_eq!(
        result.unwrap_err().to_string(),
        "vCPU 1: it cannot be entered: reason 0x3"
    );
}

#[test]
fn a_machine_that_restarts_is_made_again_from_the_same_content() {
    let (_folder, configuration) = configuration(true);
    let run = |step| run_scripts(&configuration, vec![vec![step]]);
    let (first, before) = run(Step::Reset);
    assert_eq!(first.unwrap(), Ending::Reset);
    let (second, after) = run(Step::PowerOff);
    assert_eq!(second.unwrap(), Ending::PoweredOff);
    assert_eq!(before, after);
}

#[test]
fn a_machine_ends_when_its_operator_leaves() {
    let (_folder, configuration) = configuration(true);
    let prepared = Prepared::new(&configuration).unwrap();
    let machine = Arc::new(Machine::new(Flavour::Module, Vec::new()));
    let life = Life::new(&configuration, None);
    let operator = {
        let life = Arc::clone(&life);
        thread::spawn(move || {
            while life.phase().0 != Phase::Running {
                thread::sleep(Duration::from_millis(1));
            }
            life.ask(Asked::Terminal);
        })
    };
    let result = run(&life, &configuration, &prepared, machine);
    assert_eq!(result.unwrap(), Ending::Ended);
    operator.join().unwrap();
    assert_eq!(life.phase().0, Phase::Ending);
}

#[test]
fn an_operator_who_leaves_during_a_reset_gets_no_new_machine() {
    let (_folder, configuration) = configuration(true);
    let prepared = Prepared::new(&configuration).unwrap();
    for (leaves, expected) in [(true, Ending::Ended), (false, Ending::Reset)] {
        let life = Life::new(&configuration, None);
        let late = Arc::clone(&life);
        let (begins, begun) = mpsc::channel();
        // The other vCPU resets the machine meanwhile.
        let step = Step::Do(Box::new(move || {
            begins.send(()).unwrap();
            while late.phase().0 != Phase::Ending {
                thread::sleep(Duration::from_millis(1));
            }
            if leaves {
                late.ask(Asked::Signal { signal: 15 });
            }
        }));
        let wait = Step::Do(Box::new(move || begun.recv().unwrap()));
        let scripts = vec![vec![step], vec![wait, Step::Reset]];
        let machine = Arc::new(Machine::new(Flavour::Module, scripts));
        let result = run(&life, &configuration, &prepared, machine);
        assert_eq!(result.unwrap(), expected);
    }
    // A guest that has switched itself off has done so.
    let life = Life::new(&configuration, None);
    life.ask(Asked::Terminal);
    let settled = settle(&life, Ok(Ending::PoweredOff));
    assert_eq!(settled.unwrap(), Ending::PoweredOff);
}

#[test]
fn an_operator_who_leaves_before_or_during_the_launch_starts_nothing() {
    let (_folder, configuration) = configuration(true);
    let prepared = Prepared::new(&configuration).unwrap();
    let machine = Arc::new(Machine::new(Flavour::Module, vec![vec![Step::PowerOff]]));
    let life = Life::new(&configuration, None);
    life.ask(Asked::Terminal);
    let result = run(&life, &configuration, &prepared, machine.clone());
    assert_eq!(result.unwrap(), Ending::Ended);
    let log = machine.log();
    assert!(!log.iter().any(|event| matches!(event, Event::Populate(..))));

    let (folder, configuration) = self::configuration(false);
    let prepared = Prepared::new(&configuration).unwrap();
    let path = folder.path().join("audit");
    let life = Life::new(&configuration, Some(AuditLog::open(&path).unwrap()));
    life.ask(Asked::Terminal);
    let machine = Arc::new(Machine::new(Flavour::Ordinary, vec![vec![Step::PowerOff]]));
    let result = run(&life, &configuration, &prepared, machine);
    assert_eq!(result.unwrap(), Ending::Ended);
    let events = fs::read_to_string(path).unwrap();
    assert!(events.contains("\"made\"") && !events.contains("\"filled\""));
}

#[test]
fn a_life_is_told_in_the_audit_log() {
    let (folder, configuration) = configuration(true);
    let path = folder.path().join("audit");
    let prepared = Prepared::new(&configuration).unwrap();
    let audit = Some(AuditLog::open(&path).unwrap());
    let life = Life::new(&configuration, audit);
    let once = |step| {
        let machine = Arc::new(Machine::new(Flavour::Module, vec![vec![step]]));
        run(&life, &configuration, &prepared, machine)
    };
    once(Step::Reset).unwrap();
    once(Step::Crash).unwrap_err();
    life.end(Exit::GuestFailed, Some(&"it has failed"));
    let text = fs::read_to_string(path).unwrap();
    let records: Vec<serde_json::Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let events = records
        .iter()
        .map(|record| record["event"].as_str().unwrap());
    assert_eq!(
        events.collect::<Vec<_>>(),
        [
            "begin", "made", "filled", "started", "stopped", "made", "filled", "started",
            "stopped", "end"
        ]
    );
    assert_eq!(records[0]["memory-bytes"], 16 << 20);
    assert_eq!(
        (&records[1]["on"], &records[1]["launch"]),
        (&"module".into(), &1.into())
    );
    assert_eq!(records[4]["why"], "reset");
    assert_eq!(records[5]["launch"], 2);
    assert_eq!(records[8]["why"], "failed");
    assert_eq!(records[8]["error"], "vCPU 0: the guest has crashed");
    assert_eq!(records[9]["exit"], 1);
    assert_eq!(records[9]["error"], "it has failed");
    assert_eq!(life.lost_records(), 0);
    assert_eq!(life.launches(), 2);
}

#[test]
fn a_console_that_nobody_reads_from_does_not_keep_vcpus() {
    let control = Control::new();
    let machine: Arc<dyn VirtualMachine> = Arc::new(Machine::new(Flavour::Module, Vec::new()));
    let (_reader, writer) = io::pipe().unwrap();
    let path = format!("/proc/self/fd/{}", writer.as_raw_fd());
    let output = Output::new(Output::open_file(Path::new(&path)).unwrap(), control.stop());
    let device = Arc::new(Mutex::new(output));
    let (sender, locked) = mpsc::channel();
    let worker = {
        let device = Arc::clone(&device);
        Worker::start("test", move |_| {
            let mut output = lock(&device);
            sender.send(()).unwrap();
            // More than a pipe holds.
            output.write_all(&vec![0; 1 << 20]).unwrap_err();
        })
    };
    locked.recv().unwrap();
    let vcpu = thread::spawn(move || drop(lock(&device)));
    let mut threads = Threads {
        machine,
        control,
        running: vec![vcpu],
        workers: vec![worker.unwrap()],
    };
    let (sender, ended) = mpsc::channel();
    thread::spawn(move || {
        threads.end();
        sender.send(()).unwrap();
    });
    ended.recv_timeout(Duration::from_secs(30)).unwrap();
}

#[test]
fn a_launch_that_fails_anywhere_says_so() {
    let (_folder, mut configuration) = configuration(true);
    configuration.consoles = vec![ConsoleEnd::Nowhere];
    for call in [
        "ram",
        "vcpu",
        "controller",
        "interrupt",
        "notifier",
        "populate",
    ] {
        let machine = Machine::new(Flavour::Module, vec![vec![Step::PowerOff]]).failing(call);
        let (result, _) = run_machine(&configuration, machine);
        let message = result.unwrap_err().to_string();
        assert!(message.starts_with(call), "{call}: {message}");
    }
}

#[test]
fn files_that_cannot_be_used_are_named() {
    let (folder, mut configuration) = configuration(false);
    configuration.disks = vec![Disk {
        path: folder.path().join("absent.img"),
        read_only: false,
        direct: false,
    }];
    let (result, _) = run_scripts(&configuration, Vec::new());
    let message = result.unwrap_err().to_string();
    assert!(message.contains("absent.img"), "{message}");
    configuration.disks.clear();
    configuration.serial = ConsoleEnd::File(folder.path().join("absent").join("log"));
    let (result, _) = run_scripts(&configuration, Vec::new());
    let message = result.unwrap_err().to_string();
    assert!(message.contains("absent/log"), "{message}");
}

#[test]
fn the_serial_port_writes_to_its_file() {
    let (folder, mut configuration) = configuration(true);
    let path = folder.path().join("serial.log");
    fs::write(&path, "before\n").unwrap();
    configuration.serial = ConsoleEnd::File(path.clone());
    let script = vec![
        Step::Write(0x0900_0000, b"h"),
        Step::Write(0x1_0900_0000, b"i"),
        Step::Read(0x0900_0005, 1),
        Step::PowerOff,
    ];
    let (_, log) = run_scripts(&configuration, vec![script]);
    assert_eq!(fs::read_to_string(path).unwrap(), "before\nhi");
    assert_eq!(log.last(), Some(&Event::Value(vec![0x60])));
}

#[test]
fn each_virtio_slot_has_its_device() {
    let (folder, mut configuration) = configuration(true);
    configuration.consoles = vec![ConsoleEnd::Nowhere];
    for name in ["a", "b"] {
        let path = folder.path().join(name);
        fs::write(&path, [0; 1024]).unwrap();
        configuration.disks.push(Disk {
            path,
            read_only: name == "b",
            direct: false,
        });
    }
    let script = vec![
        Step::Read(0x0a00_0008, 4),
        Step::Read(0x0a00_1008, 4),
        Step::Read(0x0a00_2008, 4),
        Step::Read(0x0a00_3008, 4),
        Step::PowerOff,
    ];
    let (_, log) = run_scripts(&configuration, vec![script]);
    let identities: Vec<_> = log
        .iter()
        .filter_map(|event| match event {
            Event::Value(bytes) => Some(bytes[0]),
            _ => None,
        })
        .collect();
    assert_eq!(identities, [3, 2, 2, 0], "console, disk, disk, nothing");
}

#[test]
fn nothing_is_left_behind() {
    let (folder, mut configuration) = configuration(true);
    let path = folder.path().join("disk");
    fs::write(&path, [0; 1024]).unwrap();
    configuration.disks.push(Disk {
        path,
        read_only: false,
        direct: false,
    });
    configuration.consoles = vec![ConsoleEnd::Nowhere];
    configuration.serial = ConsoleEnd::File(folder.path().join("serial.log"));
    let once = || {
        let range = Range::new(0x8000_0000, 0x1000);
        let script = vec![Step::Convert(range, Visibility::Shared), Step::Reset];
        let (result, _) = run_scripts(&configuration, vec![script, Vec::new()]);
        assert_eq!(result.unwrap(), Ending::Reset);
        let machine = Machine::new(Flavour::Module, Vec::new()).failing("populate");
        let (result, _) = run_machine(&configuration, machine);
        result.unwrap_err();
    };
    // Other tests open and close files in the same process; the least of several counts is free
    // of them.
    let least = || {
        (0..20)
            .map(|_| {
                once();
                descriptors()
            })
            .min()
            .unwrap()
    };
    let before = least();
    assert!(least() <= before + 4, "descriptors are left behind");
}
