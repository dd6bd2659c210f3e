// Patterns and random values may be cut.
#![allow(clippy::cast_possible_truncation)]

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use super::*;
use crate::devices::virtio::tests::{Driver, MEMORY, MEMORY_BYTES, WRITE};

const DATA: u64 = MEMORY + 0x1_0000;

/// What was shown.
#[derive(Clone, Default)]
struct Screen(Arc<Mutex<Vec<u8>>>);

impl Screen {
    fn take(&self) -> Vec<u8> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

impl Write for Screen {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn driver() -> (Driver<Console>, Screen, Arc<AtomicUsize>) {
    let screen = Screen::default();
    let room = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&room);
    let console = Console::new(
        Box::new(screen.clone()),
        Box::new(move || {
            counter.fetch_add(1, Ordering::SeqCst);
        }),
    );
    (Driver::new(console), screen, room)
}

#[test]
fn output_is_shown_in_order() {
    let (mut driver, screen, _) = driver();
    let text: Vec<u8> = (0..10_000_u32).map(|number| number as u8).collect();
    driver.put(DATA, &text);
    let used = driver.request(OUTPUT, &[(DATA, 1, 0), (DATA + 1, 9_999, 0)]);
    assert_eq!(used, 0, "the device writes nothing");
    assert_eq!(screen.take(), text);
}

#[test]
fn output_that_is_nowhere_or_endless_is_left_out() {
    let (mut driver, screen, _) = driver();
    for chain in [
        vec![(DATA, 1, WRITE)],
        // All of memory twice.
        vec![(MEMORY, 0x10_0000, 0), (MEMORY, 0x10_0000, 0)],
    ] {
        assert_eq!(driver.request(OUTPUT, &chain), 0);
        assert!(screen.take().is_empty(), "{chain:x?}");
    }
    for buffer in [
        (MEMORY + MEMORY_BYTES - 1, 2, 0),
        (DATA & 0xffff_ffff, 1, 0),
        (DATA, u32::MAX, 0),
    ] {
        driver.misuse(OUTPUT, &[buffer]);
        driver.start(0);
    }
    assert!(screen.take().is_empty());
    driver.put(DATA, b"x");
    driver.request(OUTPUT, &[(DATA, 1, 0)]);
    assert_eq!(screen.take(), b"x");
}

#[test]
fn input_waits_for_buffers_and_buffers_for_input() {
    let (mut driver, ..) = driver();
    // A buffer first.
    driver.chain(INPUT, &[(DATA, 4, WRITE)]);
    driver.offer(INPUT, 0);
    driver.notify(INPUT);
    assert_eq!(driver.used(INPUT).0, 0, "an empty buffer says nothing");
    assert!(!driver.interrupted());
    assert_eq!(driver.device.push(b"abcdef"), 6);
    assert_eq!(driver.used(INPUT), (1, Some((0, 4))));
    assert_eq!(driver.get(DATA, 4), b"abcd");
    assert!(driver.interrupted());
    // Then input first.
    driver.offer(INPUT, 0);
    driver.notify(INPUT);
    assert_eq!(driver.used(INPUT), (2, Some((0, 2))));
    assert_eq!(driver.get(DATA, 2), b"ef");
}

#[test]
fn too_much_input_is_refused_until_there_is_room() {
    let (mut driver, _, room) = driver();
    let typed: Vec<u8> = (0..5000_u32).map(|number| number as u8).collect();
    assert_eq!(driver.device.push(&typed), PENDING_BYTES);
    assert_eq!(driver.device.push(&typed[PENDING_BYTES..]), 0);
    assert_eq!(room.load(Ordering::SeqCst), 0);
    let used = driver.request(INPUT, &[(DATA, 0x1000, WRITE)]);
    assert_eq!(used, 4096);
    assert_eq!(driver.get(DATA, 4096), typed[..4096]);
    assert_eq!(room.load(Ordering::SeqCst), 1);
    assert_eq!(driver.device.push(&typed[PENDING_BYTES..]), 904);
}

#[test]
fn a_buffer_that_is_nowhere_takes_no_input() {
    let (mut driver, ..) = driver();
    driver.chain(INPUT, &[(MEMORY + MEMORY_BYTES, 4, WRITE)]);
    driver.offer(INPUT, 0);
    assert_eq!(driver.device.push(b"abc"), 3);
    assert_eq!(driver.used(INPUT), (0, None));
    driver.start(0);
    assert_eq!(driver.request(INPUT, &[(DATA, 4, WRITE)]), 3);
    assert_eq!(driver.get(DATA, 3), b"abc");
}

#[test]
fn input_outlives_a_reset() {
    let (mut driver, _, room) = driver();
    driver.device.push(b"old");
    driver.start(0);
    assert_eq!(room.load(Ordering::SeqCst), 0, "nothing was refused");
    driver.device.push(b"new");
    driver.chain(INPUT, &[(DATA, 8, WRITE)]);
    driver.offer(INPUT, 0);
    driver.notify(INPUT);
    assert_eq!(driver.get(DATA, 7), b"oldnew\0");
}

#[test]
fn whoever_was_refused_hears_of_a_reset() {
    let (mut driver, _, room) = driver();
    driver.device.push(&[b'x'; PENDING_BYTES + 1]);
    assert_eq!(room.load(Ordering::SeqCst), 0);
    driver.start(0);
    assert_eq!(room.load(Ordering::SeqCst), 1);
    driver.start(0);
    assert_eq!(room.load(Ordering::SeqCst), 1, "once");
}

#[test]
fn output_that_fails_is_not_tried_again() {
    struct Failing(Arc<AtomicUsize>);

    impl Write for Failing {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            self.0.fetch_add(1, Ordering::SeqCst);
            Err(io::ErrorKind::BrokenPipe.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    let tries = Arc::new(AtomicUsize::new(0));
    let console = Console::new(Box::new(Failing(Arc::clone(&tries))), Box::new(|| {}));
    let mut driver = Driver::new(console);
    driver.request(OUTPUT, &[(DATA, 0x8000, 0)]);
    assert_eq!(tries.load(Ordering::SeqCst), 1);
}
