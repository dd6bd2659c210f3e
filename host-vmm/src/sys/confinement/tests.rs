//! What a thread that has been taken over can do: each attempt is made in a process of its own, once
//! with filters and once without them, where it must succeed.

use std::fmt::Write as _;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::FileExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram, UnixListener, UnixStream};
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::mpsc;

use vmm_sys_util::epoll::{ControlOperation, Epoll, EpollEvent, EventSet};
use vmm_sys_util::timerfd::TimerFd;

use super::*;
use crate::confinement::{self, Folders, Kind, Options, Sandbox, Seccomp};
use crate::sys::socket::connect_at_once;
use crate::worker::Worker;

mod attempts;

use attempts::{ATTEMPTS, SOCKET, VICTIM, open};

/// What a process of these tests is to do: kind of thread, attempt, filters.
const ORDER: &str = "HOST_VMM_TEST_ATTEMPT";
/// A file that is there.
const FILE: &str = "HOST_VMM_TEST_FILE";
/// A descriptor that the process has inherited.
const INHERITED: &str = "HOST_VMM_TEST_DESCRIPTOR";

/// A set of capabilities that is empty.
const NONE: &str = "0000000000000000";

const KINDS: [Kind; 5] = [
    Kind::Vcpu,
    Kind::Device,
    Kind::Sockets,
    Kind::Control,
    Kind::Main,
];

/// Does something in a thread of a kind.
fn in_thread(
    kind: Kind,
    action: impl FnOnce() -> io::Result<()> + Send + 'static,
) -> io::Result<()> {
    let (sender, receiver) = mpsc::channel();
    if kind == Kind::Main {
        confinement::complete().unwrap();
        return action();
    }
    let worker = Worker::start_as(kind, "disk 0", move |_| sender.send(action()).unwrap()).unwrap();
    let result = receiver.recv().unwrap();
    drop(worker);
    result
}

/// In a process of [`attempt`]: ends it.
fn make_attempt(order: &str) -> ! {
    let mut words = order.split(' ').map(|word| word.parse::<usize>().unwrap());
    let (kind, index, filtered) = (words.next(), words.next(), words.next() == Some(1));
    let seccomp = if filtered {
        Seccomp::Kill
    } else {
        Seccomp::Off
    };
    confinement::choose(Options {
        seccomp,
        sandbox: Sandbox::On,
        ..Options::default()
    })
    .unwrap();
    SOCKET.set(UnixDatagram::unbound().unwrap()).unwrap();
    let make = ATTEMPTS[index.unwrap()].make;
    let result = in_thread(KINDS[kind.unwrap()], make);
    if let Err(error) = &result {
        eprintln!("refused: {error}");
    }
    std::process::exit(i32::from(result.is_err()));
}

fn myself(test: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    let name = format!("sys::confinement::tests::{test}");
    command.args(["--exact", &name, "--nocapture", "--test-threads", "1"]);
    command
}

fn attempt(kind: usize, index: usize, filtered: bool) -> Output {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "secret").unwrap();
    let _somebody = UnixDatagram::bind(folder.path().join("file-socket")).unwrap();
    let mut victim = Command::new("sleep").arg("60").spawn().unwrap();
    let output = myself("a_thread_that_is_taken_over_gets_nowhere")
        .env(VICTIM, victim.id().to_string())
        .env(ORDER, format!("{kind} {index} {}", u8::from(filtered)))
        .env(FILE, &file)
        .output()
        .unwrap();
    let _ = victim.kill();
    victim.wait().unwrap();
    output
}

#[test]
fn a_thread_that_is_taken_over_gets_nowhere() {
    if let Ok(order) = std::env::var(ORDER) {
        make_attempt(&order);
    }
    let mut wrong = String::new();
    let mut tried = 0;
    for (index, tried_call) in ATTEMPTS.iter().enumerate() {
        let name = tried_call.name;
        let without = attempt(1, index, false);
        if without.status.code() != Some(0) {
            let said = String::from_utf8_lossy(&without.stderr);
            let _ = writeln!(
                wrong,
                "{name} ({index}) without filters: {:?} {said}",
                without.status
            );
        }
        for (number, kind) in KINDS.into_iter().enumerate() {
            if tried_call.but_for.contains(&kind) {
                continue;
            }
            let with = attempt(number, index, true);
            let said = String::from_utf8_lossy(&with.stderr);
            let told = said.contains(&format!("system call that it does not need, {name} ("));
            if with.status.code() != Some(8) || !told {
                let _ = writeln!(
                    wrong,
                    "{name} ({index}) as {kind:?}: {:?} {said}",
                    with.status
                );
            }
            tried += 1;
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
    assert!(tried > 60);
}

/// What a thread with sockets does: connections in both directions, to their end.
fn talk(listener: &UnixListener, path: &str, timer: &mut TimerFd, epoll: &Epoll) -> io::Result<()> {
    let mut one = connect_at_once(path.as_ref())?;
    let (mut other, _) = listener.accept()?;
    other.set_nonblocking(true)?;
    one.write_all(b"hello")?;
    let mut bytes = [0; 8];
    assert_eq!(io::Read::read(&mut other, &mut bytes)?, 5);
    assert!(one.take_error()?.is_none());
    other.shutdown(std::net::Shutdown::Both)?;
    timer.reset(std::time::Duration::from_secs(1), None)?;
    let event = EpollEvent::new(EventSet::IN, 0);
    epoll.ctl(ControlOperation::Add, one.as_raw_fd(), event)
}

/// In a process of its own: does what threads do all the time, with filters.
fn work() -> ! {
    confinement::choose(Options::default()).unwrap();
    confinement::keep_folders(&Folders::default()).unwrap();
    let file = fs::File::open(std::env::var(FILE).unwrap()).unwrap();
    let path = format!("{}-socket", std::env::var(FILE).unwrap());
    let listener = UnixListener::bind(&path).unwrap();
    listener.set_nonblocking(true).unwrap();
    for (number, kind) in KINDS.into_iter().enumerate() {
        let file = file.try_clone().unwrap();
        let (listener, path) = (listener.try_clone().unwrap(), path.clone());
        let (mut timer, epoll) = (TimerFd::new().unwrap(), Epoll::new().unwrap());
        let done = in_thread(kind, move || {
            if kind == Kind::Sockets {
                talk(&listener, &path, &mut timer, &epoll)?;
            }
            let mut bytes = vec![0; 3 << 20];
            bytes[0] = u8::try_from(file.read_at(&mut bytes, 0)?).unwrap();
            assert_eq!(file.metadata()?.len(), 6);
            std::thread::sleep(std::time::Duration::from_millis(1));
            let mut random = [0; 8];
            getrandom::fill(&mut random).map_err(io::Error::other)?;
            eprintln!("{} done", std::thread::current().name().unwrap_or("?"));
            Ok(())
        });
        done.unwrap();
        if kind == Kind::Main {
            // It can still make threads, of all kinds, and those are no more than they were.
            for kind in &KINDS[..number] {
                in_thread(*kind, || Ok(())).unwrap();
            }
        }
    }
    let (sender, receiver) = mpsc::channel();
    let worker = Worker::start("late", move |_| sender.send(open()).unwrap()).unwrap();
    drop((receiver.recv(), worker));
    std::process::exit(0);
}

#[test]
fn threads_do_their_work_with_filters() {
    if std::env::var_os(ORDER).is_some() {
        work();
    }
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), "secret").unwrap();
    let output = myself("threads_do_their_work_with_filters")
        .env(ORDER, "")
        .env(FILE, file.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(said.matches(" done").count(), KINDS.len(), "{said}");
    // It comes to its last thread, which does what it may not.
    assert!(said.contains("thread late made a system call"), "{said}");
    assert_eq!(output.status.code(), Some(8), "{said}");
}

/// In a process of its own: what a thread of a kind may remove, and to whom it may connect.
fn remove(number: usize) -> ! {
    confinement::choose(Options::default()).unwrap();
    let folder = Path::new(&std::env::var(FILE).unwrap()).to_owned();
    let run = vec![folder.join("run")];
    let kind = KINDS[number];
    // Who removes control sockets has no right to connect to them.
    confinement::keep_folders(&match kind {
        Kind::Sockets => Folders {
            own: run,
            removed_from: vec![folder.join("outside")],
        },
        _ => Folders {
            own: Vec::new(),
            removed_from: run,
        },
    })
    .unwrap();
    let result = in_thread(kind, move || {
        if kind == Kind::Sockets {
            connect_at_once(&folder.join("run/socket"))?;
            connect_at_once(&folder.join("outside/socket"))?;
            let there = SocketAddr::from_abstract_name(folder.as_os_str().as_bytes())?;
            return UnixStream::connect_addr(&there).map(drop);
        }
        fs::remove_file(folder.join("run/socket"))?;
        fs::remove_file(folder.join("outside/socket"))
    });
    let code = match result {
        Ok(()) => 0,
        Err(error) => error.raw_os_error().unwrap_or(99),
    };
    std::process::exit(code);
}

/// What the kernel's Landlock can do; 0 if there is none.
fn landlock() -> c_long {
    const VERSION: c_int = 1;
    let none = ptr::null::<u8>();
    // SAFETY: with this flag the kernel looks at no memory.
    unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, none, 0_usize, VERSION) }.max(0)
}

#[test]
fn files_of_others_stay() {
    if let Ok(order) = std::env::var(ORDER) {
        remove(order.parse().unwrap());
    }
    let landlock = landlock();
    for (number, kind) in KINDS.into_iter().enumerate() {
        let folder = tempfile::tempdir().unwrap();
        let (run, outside) = (folder.path().join("run"), folder.path().join("outside"));
        let mut sockets = Vec::new();
        for folder in [&run, &outside] {
            fs::create_dir(folder).unwrap();
            sockets.push(UnixListener::bind(folder.join("socket")).unwrap());
        }
        let name = folder.path().as_os_str().as_bytes();
        let there = SocketAddr::from_abstract_name(name).unwrap();
        let _somebody = UnixListener::bind_addr(&there).unwrap();
        let output = myself("files_of_others_stay")
            .env(ORDER, number.to_string())
            .env(FILE, folder.path())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        let expected = match kind {
            Kind::Control | Kind::Main if landlock >= 1 => libc::EACCES,
            Kind::Sockets if landlock >= 9 => libc::EACCES,
            Kind::Sockets if landlock >= 6 => libc::EPERM,
            Kind::Control | Kind::Main | Kind::Sockets => 0,
            Kind::Vcpu | Kind::Device => 8,
        };
        assert_eq!(output.status.code(), Some(expected), "{kind:?}: {said}");
        let removes = matches!(kind, Kind::Control | Kind::Main);
        assert_eq!(run.join("socket").exists(), !removes, "{kind:?}");
        assert_eq!(
            outside.join("socket").exists(),
            !removes || landlock >= 1,
            "{kind:?}"
        );
    }
}

/// In a process of its own: what there is in a thread of a kind.
fn look(order: &str) -> ! {
    let (sandbox, kind) = match order {
        "off" => (Sandbox::Off, Kind::Main),
        "device" => (Sandbox::On, Kind::Device),
        "main" => (Sandbox::On, Kind::Main),
        _ => (Sandbox::Namespaces, Kind::Main),
    };
    let options = Options {
        seccomp: Seccomp::Off,
        sandbox,
        ..Options::default()
    };
    if let Err(error) = confinement::choose(options) {
        eprintln!("{error}");
        std::process::exit(3);
    }
    let status = fs::File::open("/proc/thread-self/status").unwrap();
    let inherited: c_int = std::env::var(INHERITED).unwrap().parse().unwrap();
    in_thread(kind, move || {
        // A file of this folder tells of the thread that has opened it.
        let text = match fs::read_to_string("/proc/thread-self/status") {
            Ok(text) => text,
            Err(_) => io::read_to_string(status)?,
        };
        // What runs the tests has left its line open.
        println!();
        for name in ["CapEff", "CapPrm", "CapInh", "CapAmb", "NoNewPrivs"] {
            let line = text.lines().find(|line| line.starts_with(name)).unwrap();
            println!("{}", line.replace('\t', " "));
        }
        println!("inherited: {}", is_open(inherited));
        println!("root: {}", fs::read_dir("/").map_or(0, Iterator::count));
        println!("interfaces: {}", interfaces());
        Ok(())
    })
    .unwrap();
    std::process::exit(0);
}

/// Network interfaces of this process, but for the loopback.
fn interfaces() -> usize {
    let mut first = ptr::null_mut();
    // SAFETY: the kernel's list is written to `first`, and stays for ever.
    assert_eq!(unsafe { libc::getifaddrs(&raw mut first) }, 0);
    let mut count = 0;
    while !first.is_null() {
        // SAFETY: an entry of the list, whose name ends with a zero.
        let (name, next) = unsafe { (CStr::from_ptr((*first).ifa_name), (*first).ifa_next) };
        count += usize::from(name != c"lo");
        first = next;
    }
    count
}

fn seen(order: &str) -> Result<String, String> {
    // One without O_CLOEXEC.
    // SAFETY: a new descriptor, which nobody else has.
    let inherited = unsafe { OwnedFd::from_raw_fd(libc::dup(0)) };
    let output = myself("what_is_not_needed_is_given_up")
        .env(ORDER, order)
        .env(INHERITED, inherited.as_raw_fd().to_string())
        .output()
        .unwrap();
    assert_eq!(output.status.signal(), None);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    match output.status.code() {
        Some(0) => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        _ => Err(said),
    }
}

#[test]
fn what_is_not_needed_is_given_up() {
    if let Ok(order) = std::env::var(ORDER) {
        look(&order);
    }
    let before = seen("off").unwrap();
    assert!(
        before.contains("NoNewPrivs: 0") && before.contains("inherited: true"),
        "{before}"
    );
    // Whoever runs the tests may have it or not.
    let has_lock = before.lines().any(|line| {
        let mask = line
            .strip_prefix("CapEff: ")
            .and_then(|mask| u64::from_str_radix(mask, 16).ok());
        mask.is_some_and(|mask| mask >> CAP_IPC_LOCK & 1 == 1)
    });
    let device = seen("device").unwrap();
    let main = seen("main").unwrap();
    for name in ["CapEff", "CapPrm", "CapInh", "CapAmb"] {
        assert!(device.contains(&format!("{name}: {NONE}")), "{device}");
    }
    let kept = if has_lock { "0000000000004000" } else { NONE };
    assert!(main.contains(&format!("CapPrm: {kept}")), "{main}");
    for seen in [&device, &main] {
        assert!(seen.contains("NoNewPrivs: 1"), "{seen}");
    }
    assert!(main.contains("inherited: false"), "{main}");
    assert!(!main.contains("root: 0"), "{main}");
    match seen("namespaces") {
        Ok(seen) => {
            assert!(
                seen.contains("root: 0") && seen.contains("interfaces: 0"),
                "{seen}"
            );
            assert!(seen.contains("inherited: false"), "{seen}");
        }
        // Where namespaces are not for everybody, that is said.
        Err(said) => assert!(said.contains("no namespaces of its own"), "{said}"),
    }
}
