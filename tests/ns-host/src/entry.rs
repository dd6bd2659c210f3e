//! From the boot code to the mode that the command line asks for.

#![allow(unsafe_code)]

use core::arch::global_asm;

use ns_host::arguments::{Arguments, Mode};
use spin::Once;

use crate::console::{self, note, say};
use crate::cpus::Cpus;
use crate::exit::{ExitCode, exit};
use crate::machine::{self, Machine};
use crate::memory::{GRANULE, Range};
use crate::suite::Host;
use crate::{bench, demo, gic, heap, paging, register, suite};

global_asm!(include_str!("asm/boot.S"));

static MACHINE: Once<Machine> = Once::new();

/// Continues on the boot CPU with the MMU on, on its own stack.
#[unsafe(no_mangle)]
extern "C" fn primary_main(device_tree: u64, load_address: u64) -> ! {
    paging::set_load_address(load_address);
    paging::map_memory(paging::image());
    paging::map_memory(Range::new(device_tree, GRANULE));
    paging::use_identity_map();
    paging::unmap_stack_gaps();
    // SAFETY: the boot protocol puts the device tree there, and it is mapped.
    let tree = unsafe { machine::device_tree(device_tree) };
    // Without a console there is nobody to tell.
    let Ok(tree) = tree else {
        exit(ExitCode::Exception)
    };
    let Ok(console) = machine::console(tree) else {
        exit(ExitCode::Exception)
    };
    paging::map_device(Range::new(console, GRANULE));
    // SAFETY: the device tree says that there is a PL011, and nothing else here uses it.
    unsafe { console::start(console) };

    // SAFETY: this is the only time, and nothing has been allocated.
    unsafe { heap::prepare() };
    let affinity = register::read!("mpidr_el1") & 0xff_00ff_ffff;
    let machine = match Machine::read(tree, affinity) {
        Ok(machine) => MACHINE.call_once(|| machine),
        Err(error) => {
            note!("{error}");
            exit(ExitCode::Exception)
        }
    };
    for range in machine.dram() {
        paging::map_memory(range);
    }
    paging::map_devices();
    paging::use_identity_map();
    if let Some(registers) = &machine.gic {
        gic::start(registers.clone());
        gic::start_cpu();
    }
    run(machine)
}

fn run(machine: &'static Machine) -> ! {
    let arguments = match Arguments::parse(&machine.arguments) {
        Ok(arguments) => arguments,
        Err(error) => {
            note!("{error}");
            end(ExitCode::Usage)
        }
    };
    let names = suite::names().filter(|name| arguments.offers(name));
    if let Some(pattern) = arguments.unused_pattern(&names) {
        note!("command line: no test has a name like '{pattern}'; mode=list prints all names");
        end(ExitCode::Usage)
    }
    if arguments.mode == Mode::List {
        names.for_each(|name| say!("test {name}"));
        end(ExitCode::Passed)
    }
    let Some(host) = Host::new(machine, arguments, Cpus::start(machine)) else {
        note!("the device tree lists no free memory");
        end(ExitCode::Exception)
    };
    match arguments.mode {
        Mode::Test | Mode::List => exit(suite::run(&host)),
        Mode::Bench => exit(bench::run(&host, bench::operations)),
        Mode::Scaling => exit(bench::run(&host, bench::scaling)),
        Mode::Demo => exit(demo::run(&host)),
    }
}

/// Ends without a test.
fn end(code: ExitCode) -> ! {
    say!("done 0 passed, 0 failed, 0 skipped");
    exit(code)
}
