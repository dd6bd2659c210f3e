// Patterns and random values may be cut.
#![allow(clippy::cast_possible_truncation)]

use std::sync::atomic::AtomicUsize;
use std::sync::{Condvar, Mutex};
use std::time::Duration;

use vmm_sys_util::eventfd::EFD_NONBLOCK;

use super::*;
use crate::devices::serial::SerialPort;
use crate::devices::{InterruptLine, MmioDevice as _, lock};

fn keys(bytes: &[u8]) -> (Vec<u8>, bool) {
    let mut keys = Keys::default();
    let mut guest = Vec::new();
    for byte in bytes {
        match keys.press(*byte) {
            Key::Guest(byte) => guest.push(byte),
            Key::Nothing => {}
            Key::Leave => return (guest, true),
        }
    }
    (guest, false)
}

#[test]
fn keys_are_the_guests_but_for_commands() {
    assert_eq!(keys(b"ls\x03\x1b[A"), (b"ls\x03\x1b[A".to_vec(), false));
    assert_eq!(keys(b"a\x01xb"), (b"a".to_vec(), true));
    assert_eq!(keys(b"\x01X"), (Vec::new(), true));
    assert_eq!(keys(b"\x01\x01x"), (b"\x01x".to_vec(), false));
    assert_eq!(keys(b"\x01\x01\x01x"), (b"\x01".to_vec(), true));
    assert_eq!(keys(b"\x01qx"), (b"x".to_vec(), false));
    assert_eq!(keys(b"x\x01"), (b"x".to_vec(), false));
}

/// A console that takes so many bytes at once, and then says that it has room.
struct Sink {
    at_once: usize,
    room: EventFd,
    taken: Mutex<Vec<u8>>,
    changed: Condvar,
}

impl Sink {
    fn new(at_once: usize) -> Arc<Self> {
        Arc::new(Self {
            at_once,
            room: EventFd::new(EFD_NONBLOCK).unwrap(),
            taken: Mutex::default(),
            changed: Condvar::new(),
        })
    }

    fn wait(&self, expected: &[u8]) {
        let (taken, timeout) = self
            .changed
            .wait_timeout_while(lock(&self.taken), Duration::from_secs(30), |taken| {
                taken.len() < expected.len()
            })
            .unwrap();
        assert!(!timeout.timed_out(), "{} bytes came", taken.len());
        assert!(*taken == expected);
    }
}

impl InputSink for Sink {
    fn push(&self, bytes: &[u8]) -> usize {
        let count = bytes.len().min(self.at_once);
        lock(&self.taken).extend(&bytes[..count]);
        self.changed.notify_all();
        if count > 0 {
            self.room.write(1).unwrap();
        }
        count
    }
}

fn feed(file: File, sink: &Arc<Sink>, keys: bool, leave: impl Fn() + Send + 'static) -> Worker {
    let feed = Feed {
        file,
        sink: sink.clone(),
        room: sink.room.try_clone().unwrap(),
        keys: keys.then(Keys::default),
        pending: Vec::new(),
    };
    Worker::start("test", move |sources| feed.run(sources, leave)).unwrap()
}

fn text() -> Vec<u8> {
    (0..3000_u32).map(|number| number as u8).collect()
}

#[test]
fn a_pipe_is_handed_over_as_the_console_takes_it() {
    let (reader, mut writer) = io::pipe().unwrap();
    let sink = Sink::new(7);
    let worker = feed(
        File::from(std::os::fd::OwnedFd::from(reader)),
        &sink,
        false,
        || {},
    );
    writer.write_all(&text()).unwrap();
    sink.wait(&text());
    // At its end the worker goes on waiting, and can still be told to end.
    drop(writer);
    drop(worker);
}

#[test]
fn a_file_is_handed_over_too() {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&text()).unwrap();
    io::Seek::rewind(&mut file).unwrap();
    let sink = Sink::new(64);
    let _worker = feed(file, &sink, false, || {});
    sink.wait(&text());
}

#[test]
fn no_input_is_no_input() {
    let sink = Sink::new(64);
    let worker = feed(File::open("/dev/null").unwrap(), &sink, false, || {});
    drop(worker);
    assert!(lock(&sink.taken).is_empty());
}

#[test]
fn a_guest_that_does_not_listen_can_be_left() {
    let (reader, mut writer) = io::pipe().unwrap();
    let sink = Sink::new(0);
    let (sender, receiver) = std::sync::mpsc::channel();
    let file = File::from(std::os::fd::OwnedFd::from(reader));
    let _worker = feed(file, &sink, true, move || sender.send(()).unwrap());
    // More than is kept for the guest, and more than a pipe holds.
    writer.write_all(&vec![b'z'; 1 << 20]).unwrap();
    writer.write_all(b"\x01x").unwrap();
    receiver.recv_timeout(Duration::from_secs(30)).unwrap();
}

#[test]
fn keys_that_nobody_takes_are_not_kept_for_ever() {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&vec![b'z'; 1 << 16]).unwrap();
    io::Seek::rewind(&mut file).unwrap();
    let sink = Sink::new(0);
    let mut feed = Feed {
        file,
        room: sink.room.try_clone().unwrap(),
        sink,
        keys: Some(Keys::default()),
        pending: Vec::new(),
    };
    while feed.read().is_some() {}
    assert_eq!(feed.pending.len(), PENDING_KEYS);
}

#[test]
fn output_is_appended_to_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    for _ in 0..2 {
        let mut output = Output::new(Output::open_file(&path).unwrap(), Arc::default());
        output.write_all(b"line\n").unwrap();
        output.flush().unwrap();
    }
    assert_eq!(std::fs::read(path).unwrap(), b"line\nline\n");
}

#[test]
fn a_pipe_without_a_reader_is_not_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pipe");
    crate::sys::file::tests::make_pipe(&path);
    let error = Output::open_file(&path).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::ENXIO));
    // With one, output waits until there is room.
    let mut reader = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(&path)
        .unwrap();
    let mut output = Output::new(Output::open_file(&path).unwrap(), Arc::default());
    set_blocking(&reader).unwrap();
    let writer = std::thread::spawn(move || output.write_all(&vec![7; 1 << 20]));
    let mut all = Vec::new();
    reader.read_to_end(&mut all).unwrap();
    writer.join().unwrap().unwrap();
    assert!(all == vec![7; 1 << 20]);
}

#[test]
fn a_thread_whose_output_nobody_reads_can_end() {
    let (_reader, writer) = io::pipe().unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let mut output = Output {
        file: File::from(std::os::fd::OwnedFd::from(writer)),
        stop: Arc::clone(&stop),
    };
    let worker = Worker::start("test", move |_| {
        // More than a pipe holds.
        let error = output.write_all(&vec![0; 1 << 20]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
    })
    .unwrap();
    stop.store(true, Ordering::SeqCst);
    drop(worker);
}

/// A serial port whose output nobody reads, and a thread that waits for somebody to do so.
fn stalled_port(stop: &Arc<AtomicBool>) -> (Arc<SerialPort>, EventFd, io::PipeReader, Worker) {
    let (reader, writer) = io::pipe().unwrap();
    let output = Output {
        file: File::from(std::os::fd::OwnedFd::from(writer)),
        stop: Arc::clone(stop),
    };
    let room = EventFd::new(EFD_NONBLOCK).unwrap();
    let told = room.try_clone().unwrap();
    let told = Box::new(move || told.write(1).unwrap());
    let port = SerialPort::new(InterruptLine::new().unwrap(), Box::new(output), told);
    let (device, ended) = (Arc::clone(&port), Arc::clone(stop));
    let written = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&written);
    let guest = Worker::start("guest", move |_| {
        while !ended.load(Ordering::SeqCst) {
            device.write(0, b"z");
            count.fetch_add(1, Ordering::SeqCst);
        }
    });
    // It has come to the end of what a pipe holds.
    let mut before = usize::MAX;
    while before != written.load(Ordering::SeqCst) || before == 0 {
        before = written.load(Ordering::SeqCst);
        std::thread::sleep(Duration::from_millis(100));
    }
    (port, room, reader, guest.unwrap())
}

#[test]
fn a_guest_whose_output_nobody_reads_can_be_left() {
    let stop = Arc::new(AtomicBool::new(false));
    let (port, room, _reader, guest) = stalled_port(&stop);
    let (reader, mut writer) = io::pipe().unwrap();
    let file = File::from(std::os::fd::OwnedFd::from(reader));
    let (sender, receiver) = std::sync::mpsc::channel();
    let leave = move || sender.send(()).unwrap();
    let workers = connect(file, true, port, room, leave).unwrap();
    // The port is busy when this comes, and it is read before the rest is.
    writer.write_all(b"ls\r").unwrap();
    std::thread::sleep(Duration::from_millis(100));
    writer.write_all(&vec![b'z'; 2 * PENDING_KEYS]).unwrap();
    writer.write_all(b"\x01x").unwrap();
    let left = receiver.recv_timeout(Duration::from_secs(10));
    stop.store(true, Ordering::SeqCst);
    drop(guest);
    drop(workers);
    left.unwrap();
}

#[test]
fn keys_go_through_the_relay_as_the_console_takes_them() {
    let (reader, mut writer) = io::pipe().unwrap();
    let file = File::from(std::os::fd::OwnedFd::from(reader));
    for terminal in [false, true] {
        let sink = Sink::new(7);
        let room = sink.room.try_clone().unwrap();
        let file = file.try_clone().unwrap();
        let workers = connect(file, terminal, sink.clone(), room, || {}).unwrap();
        let text = text().into_iter().filter(|byte| *byte != ESCAPE);
        let text: Vec<u8> = text.collect();
        writer.write_all(&text).unwrap();
        sink.wait(&text);
        drop(workers);
    }
}
