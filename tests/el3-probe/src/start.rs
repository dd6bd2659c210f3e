//! From the entry to the last test.
#![allow(unsafe_code)]

use core::panic::PanicInfo;

use rmm_abi::Version;

use crate::memory::ManifestPage;
use crate::report::{self, Exit};
use crate::{exceptions, tests};

/// The interface that this program was written for.
pub(crate) const LOWEST: Version = Version::new(0, 8);

core::arch::global_asm!(
    include_str!("entry.S"),
    LOWEST = const LOWEST.word(),
    HIGHEST = const LOWEST.word(),
    main = sym main,
    unexpected = sym exceptions::unexpected,
    synchronous_exception = sym exceptions::synchronous_exception,
);

/// X0 to X4 at entry.
#[derive(Clone, Copy)]
pub(crate) struct BootRegisters(pub(crate) [u64; 5]);

extern "C" fn main(x0: u64, x1: u64, x2: u64, x3: u64, x4: u64) -> ! {
    let registers = BootRegisters([x0, x1, x2, x3, x4]);
    // Without a console nothing can be said, so that comes first and is checked later.
    let Some(page) = ManifestPage::copy(x3) else {
        report::exit(Exit::Exception)
    };
    let Some(console) = page.console() else {
        report::exit(Exit::Exception)
    };
    report::open(console.base);
    tests::run(&registers, &page)
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    report::note(format_args!("panic: {info}"));
    report::exit(Exit::Exception)
}
