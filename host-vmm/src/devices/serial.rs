//! The serial port, a 16550, and where consoles come out of this process.

use std::fmt;
use std::io::Write;
use std::sync::{Arc, Mutex};

use vm_superio::Serial;
use vm_superio::serial::SerialEvents;

use crate::devices::{InterruptLine, MmioDevice, lock};

/// The modem control register, one of whose bits connects the port's output to its input.
const MODEM_CONTROL: u8 = 4;

/// Where a console's output goes.
pub type ConsoleOutput = Box<dyn Write + Send>;

/// A console that takes input.
pub trait InputSink: Send + Sync {
    /// Hands over what was typed, and says how many bytes of it were taken. When there were too
    /// many, the console says so as soon as it has room.
    fn push(&self, bytes: &[u8]) -> usize;
}

/// The serial port.
pub struct SerialPort(Mutex<Serial<InterruptLine, Room, ConsoleOutput>>);

/// Tells that there is room for input again.
struct Room(Box<dyn Fn() + Send>);

impl SerialEvents for Room {
    fn buffer_read(&self) {}

    fn out_byte(&self) {}

    fn tx_lost_byte(&self) {}

    fn in_buffer_empty(&self) {
        (self.0)();
    }
}

impl SerialPort {
    /// A port that shows what it is sent on `output`, and calls `room` whenever the guest has read
    /// all input.
    pub fn new(
        line: InterruptLine,
        output: ConsoleOutput,
        room: Box<dyn Fn() + Send>,
    ) -> Arc<Self> {
        let serial = Serial::with_events(line, Room(room), output);
        Arc::new(Self(Mutex::new(serial)))
    }
}

impl fmt::Debug for SerialPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SerialPort").finish_non_exhaustive()
    }
}

impl MmioDevice for SerialPort {
    fn read(&self, offset: u64, data: &mut [u8]) {
        data.fill(0);
        if let (Ok(offset), Some(byte)) = (u8::try_from(offset), data.first_mut()) {
            *byte = lock(&self.0).read(offset);
        }
    }

    fn write(&self, offset: u64, data: &[u8]) {
        if let (Ok(offset), Some(byte)) = (u8::try_from(offset), data.first()) {
            let mut serial = lock(&self.0);
            // Nobody can be told that a console's output is lost.
            let _ = serial.write(offset, *byte);
            if offset == MODEM_CONTROL {
                // While output goes to input, no other input is taken.
                (serial.events().0)();
            }
        }
    }
}

impl InputSink for SerialPort {
    fn push(&self, bytes: &[u8]) -> usize {
        // A full buffer is the only error that an infallible line leaves.
        lock(&self.0).enqueue_raw_bytes(bytes).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// What was written, for tests.
    #[derive(Clone, Default)]
    struct Screen(Arc<Mutex<Vec<u8>>>);

    impl Write for Screen {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn bytes_go_both_ways() {
        let line = InterruptLine::new().unwrap();
        let edges = line.try_clone().unwrap();
        let screen = Screen::default();
        let room = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&room);
        let port = SerialPort::new(
            line,
            Box::new(screen.clone()),
            Box::new(move || {
                counter.fetch_add(1, Ordering::SeqCst);
            }),
        );
        for byte in b"out" {
            port.write(0, &[*byte]);
        }
        assert_eq!(*screen.0.lock().unwrap(), b"out");
        assert!(edges.event().read().is_err(), "no interrupt is enabled");

        // Received data shall interrupt.
        port.write(1, &[1]);
        assert_eq!(port.push(b"in"), 2);
        edges.event().read().unwrap();
        let mut data = [0xff; 4];
        port.read(5, &mut data);
        assert_eq!(data, [0x61, 0, 0, 0], "data ready, transmitter empty");
        let mut typed = Vec::new();
        for _ in 0..2 {
            let mut data = [0];
            port.read(0, &mut data);
            typed.push(data[0]);
        }
        assert_eq!(typed, b"in");
        assert_eq!(room.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn more_input_than_fits_is_refused() {
        let port = SerialPort::new(
            InterruptLine::new().unwrap(),
            Box::new(io::sink()),
            Box::new(|| {}),
        );
        assert_eq!(port.push(&[b'x'; 100]), 64);
        assert_eq!(port.push(b"y"), 0);
    }

    #[test]
    fn offsets_outside_do_nothing() {
        let port = SerialPort::new(
            InterruptLine::new().unwrap(),
            Box::new(io::sink()),
            Box::new(|| {}),
        );
        let mut data = [0xff; 8];
        for offset in [8, 0xff, 0x100, 0xfff, u64::MAX] {
            port.write(offset, &data);
            port.read(offset, &mut data);
            assert_eq!(data, [0; 8]);
        }
    }
}
