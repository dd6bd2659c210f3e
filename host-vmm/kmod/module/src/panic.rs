//! A state that cannot be.

use core::fmt::Write;
use core::panic::PanicInfo;

use crate::host::{Line, c};

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    let mut line = Line::new();
    // A message that is too long ends where it has no more room.
    let _ = write!(line, "the Realm module gives up: {info}");
    let text = line.text();
    // SAFETY: `text` is so many bytes.
    unsafe { c::realm_host_panic(text.as_ptr().cast(), text.len() as u64) }
}
