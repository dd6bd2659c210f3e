//! From assembly to Rust.

#![allow(unsafe_code)]

use core::arch::global_asm;
use core::fmt::Write as _;
use core::panic::PanicInfo;

use realm_guest_kit::{Smc, psci, rsi};
use realm_payload::text::Line;
use rmm_abi::rsi::HostCall;

use crate::rec::{self, Rec};
use crate::{registers, serve, translation};

global_asm!(include_str!("asm/entry.S"));

/// The way to the RMM.
pub(crate) fn conduit() -> Smc {
    // SAFETY: the program runs at EL1 of a Realm, and everything is translated one to one. Calls
    // that are made without the kit are the host's orders; the addresses in them are his to choose
    // in a program that exists to be his hand.
    unsafe { Smc::new() }
}

/// The first REC, with the MMU on and memory cleared.
#[unsafe(no_mangle)]
extern "C" fn primary_main(number: usize) -> ! {
    // SAFETY: the assembly before starts each REC once, with a number that it has room for.
    let rec = unsafe { rec::claim(number) };
    match rsi::realm_config(&conduit(), &mut rec.config) {
        Ok(()) => {}
        Err(error) => panic!("RSI_REALM_CONFIG: {error}"),
    }
    translation::map_all(rec.config.ipa_width);
    registers::prepare_routines();
    start(rec)
}

/// Every other REC.
#[unsafe(no_mangle)]
extern "C" fn secondary_main(number: usize) -> ! {
    // SAFETY: as above; a REC that was off and is on again has forgotten its earlier life.
    let rec = unsafe { rec::claim(number) };
    start(rec)
}

fn start(rec: &mut Rec) -> ! {
    rec.start();
    serve::serve(rec)
}

/// Says a line in the host's log. Nothing can be done if the host does not take it.
pub(crate) fn say(line: &Line) {
    let mut call = HostCall::default();
    call.imm = realm_payload::immediate::TEXT;
    call.gprs = line.registers();
    let _ = rsi::host_call(&conduit(), &mut call);
}

/// Ends the Realm.
pub(crate) fn switch_off() -> ! {
    loop {
        psci::system_off(&conduit());
    }
}

#[panic_handler]
fn panic(info: &PanicInfo) -> ! {
    let mut line = Line::new();
    // Writing to a line cannot fail.
    let _ = write!(line, "{info}");
    say(&line);
    switch_off()
}
