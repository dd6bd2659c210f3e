//! The report, line by line over a PL011, and the end of QEMU.
#![allow(unsafe_code)]

use core::cell::UnsafeCell;
use core::fmt::{self, Write};

/// How the program ends.
#[derive(Clone, Copy)]
pub(crate) enum Exit {
    Passed = 0,
    Failed = 1,
    Exception = 3,
}

/// A PL011 at the address of its registers.
struct Console(UnsafeCell<usize>);

// SAFETY: the program runs on one CPU, with interrupts masked.
unsafe impl Sync for Console {}

static CONSOLE: Console = Console(UnsafeCell::new(0));

struct Line(usize);

impl Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        const FLAGS: usize = 0x18;
        const TRANSMIT_FULL: u32 = 1 << 5;
        let register = |offset| core::ptr::with_exposed_provenance_mut::<u32>(self.0 + offset);
        for byte in text.bytes() {
            // SAFETY: the registers of the console that firmware announced.
            unsafe {
                while register(FLAGS).read_volatile() & TRANSMIT_FULL != 0 {}
                register(0).write_volatile(u32::from(byte));
            }
        }
        Ok(())
    }
}

/// Sets the console.
pub(crate) fn open(base: u64) {
    let base = usize::try_from(base).unwrap_or_default();
    // SAFETY: see `Console`.
    unsafe { *CONSOLE.0.get() = base };
}

fn line(text: fmt::Arguments<'_>) {
    // SAFETY: see `Console`.
    let base = unsafe { *CONSOLE.0.get() };
    if base != 0 {
        // The console takes everything.
        let _ = write!(Line(base), "el3-probe: {text}\r\n");
    }
}

/// A line for people.
pub(crate) fn note(text: fmt::Arguments<'_>) {
    line(format_args!("note {text}"));
}

/// A token, in lines of hexadecimal.
pub(crate) fn token(name: &str, bytes: &[u8]) {
    const BYTES_IN_A_LINE: usize = 32;
    let pieces = bytes.chunks(BYTES_IN_A_LINE);
    for (offset, piece) in (0..).step_by(BYTES_IN_A_LINE).zip(pieces) {
        let size = bytes.len();
        line(format_args!("token {name} {offset}/{size} {}", Hex(piece)));
    }
}

struct Hex<'a>(&'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Why a test did not pass.
pub(crate) enum Problem {
    /// What was expected and what was seen.
    Failed(Text),
    /// Why it cannot run on this machine.
    Skipped(&'static str),
}

const TEXT_SIZE: usize = 104;

/// Some text.
pub(crate) struct Text {
    bytes: [u8; TEXT_SIZE],
    length: usize,
}

impl Text {
    pub(crate) fn new(text: fmt::Arguments<'_>) -> Self {
        let mut new = Self {
            bytes: [0; TEXT_SIZE],
            length: 0,
        };
        // What does not fit is cut off.
        let _ = new.write_fmt(text);
        new
    }

    fn as_str(&self) -> &str {
        core::str::from_utf8(&self.bytes[..self.length]).unwrap_or_default()
    }
}

impl Write for Text {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes().filter(u8::is_ascii) {
            let place = self.bytes.get_mut(self.length).ok_or(fmt::Error)?;
            *place = byte;
            self.length += 1;
        }
        Ok(())
    }
}

/// What a test returns.
pub(crate) type Outcome = Result<(), Problem>;

/// Ends a test that saw something unexpected.
macro_rules! fail {
    ($($text:tt)*) => {
        return Err($crate::report::Problem::Failed($crate::report::Text::new(format_args!($($text)*))))
    };
}

/// Fails unless the two are equal.
macro_rules! expect_equal {
    ($seen:expr, $expected:expr, $($what:tt)*) => {{
        let (seen, expected) = ($seen, $expected);
        if seen != expected {
            $crate::report::fail!(
                "{}: expected {:?}, saw {:?}",
                format_args!($($what)*), expected, seen
            );
        }
    }};
}

pub(crate) use {expect_equal, fail};

/// Runs tests and ends QEMU with the result.
pub(crate) fn run(tests: &[(&str, &dyn Fn() -> Outcome)]) -> ! {
    const LIMIT_SECONDS: u32 = 10;
    line(format_args!("plan {}", tests.len()));
    let (mut passed, mut failed, mut skipped) = (0, 0, 0);
    for (name, test) in tests {
        line(format_args!("begin {name} limit {LIMIT_SECONDS}"));
        match test() {
            Ok(()) => {
                passed += 1;
                line(format_args!("pass {name}"));
            }
            Err(Problem::Failed(text)) => {
                failed += 1;
                line(format_args!("fail {name}: {}", text.as_str()));
            }
            Err(Problem::Skipped(why)) => {
                skipped += 1;
                line(format_args!("skip {name}: {why}"));
            }
        }
    }
    line(format_args!(
        "done {passed} passed, {failed} failed, {skipped} skipped"
    ));
    exit(if failed == 0 {
        Exit::Passed
    } else {
        Exit::Failed
    })
}

/// Ends QEMU by semihosting.
pub(crate) fn exit(how: Exit) -> ! {
    const SYS_EXIT_EXTENDED: u64 = 0x20;
    const APPLICATION_EXIT: u64 = 0x2_0026;
    let parameters = [APPLICATION_EXIT, how as u64];
    loop {
        // SAFETY: a semihosting call that does not return.
        unsafe {
            core::arch::asm!(
                "hlt #0xf000",
                in("x0") SYS_EXIT_EXTENDED,
                in("x1") parameters.as_ptr(),
                options(nostack)
            );
        }
    }
}
