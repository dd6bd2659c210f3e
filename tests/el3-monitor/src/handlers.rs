//! Calls and traps of lower levels, except the world switch, which is in `switch.S`.
#![allow(unsafe_code)]

use el3_monitor::fault::Fault;
use el3_monitor::granule_protection::Protection;
use el3_monitor::index;
use el3_monitor::normal_calls;
use el3_monitor::psci::{Hardware, Outcome};
use rmm_abi::el3::fid;
use rmm_abi::smc::{NOT_SUPPORTED, function_identifier};

use crate::boot::{self, Runtime};
use crate::console::fatal;
use crate::context::Context;
use crate::registers::{execute, read_register, write_register};
use crate::{gic, power};

struct PsciHardware(&'static Runtime);

impl Hardware for PsciHardware {
    fn is_normal_memory(&self, address: u64) -> bool {
        self.0.services.tables().get(address) == Some(Protection::NonSecure)
    }

    fn wake(&self, cpu: usize) {
        if let Some(affinity) = self.0.cpus.affinity(cpu) {
            gic::wake(affinity);
        }
    }
}

/// A call of the normal world that is not for the RMM.
pub(crate) extern "C" fn handle_normal_call(context: &mut Context) {
    let runtime = boot::runtime();
    let cpu = index(context.cpu);
    let [x0, x1, x2, x3, ..] = context.general;
    if runtime.services.fault() == Some(Fault::OtherRmi)
        && let Some(answer) = normal_calls::call_of_other_rmm(x0)
    {
        context.general[..answer.len()].copy_from_slice(&answer);
        return;
    }
    let hardware = PsciHardware(runtime);
    let outcome = normal_calls::call(&runtime.cpus, &hardware, cpu, [x0, x1, x2, x3]);
    context.general[0] = match outcome {
        Outcome::Return(value) => value.cast_unsigned(),
        Outcome::Standby => {
            // SAFETY: waits; a pending interrupt ends it although interrupts are masked here.
            unsafe {
                execute!("dsb sy");
                execute!("wfi");
            }
            0
        }
        Outcome::Off => boot::wait_and_start(cpu),
        Outcome::SystemOff => power::off(),
        Outcome::SystemReset => power::reset(),
    };
}

/// A call of the RMM that is not the end of a command. Returns whether its boot is complete.
pub(crate) extern "C" fn handle_realm_call(context: &mut Context) -> bool {
    let [x0, x1, x2, x3, x4, ..] = context.general;
    let function = function_identifier(x0);
    if function == fid::BOOT_COMPLETE && context.boot_stack != 0 {
        return true;
    }
    let runtime = boot::runtime();
    let reply = runtime
        .services
        .call(&runtime.maintenance, function, [x1, x2, x3, x4]);
    context.general[0] = reply.code.word();
    if let Some(value) = reply.value {
        context.general[1] = value;
    }
    if let Some(remaining) = reply.remaining {
        context.general[2] = remaining;
    }
    false
}

/// A synchronous exception of a lower level that is not a 64-bit SMC. Lower levels can cause
/// one, by registers that are the monitor's: for them such a register is not there.
pub(crate) extern "C" fn handle_trap(context: &mut Context) {
    const SMC_AARCH32: u64 = 0x13;
    const ESR_32_BITS: u64 = 1 << 25;
    const AARCH32: u64 = 1 << 4;
    const LEVEL: u64 = 0b1100;
    const EL2: u64 = 0b1000;
    const OWN_STACK: u64 = 1;
    const EL2H_MASKED: u64 = 0x3c9;
    let esr = read_register!("esr_el3");
    if esr >> 26 == SMC_AARCH32 {
        context.general[0] = NOT_SUPPORTED;
        return;
    }
    let pstate = read_register!("spsr_el3");
    let offset = if pstate & AARCH32 != 0 {
        0x600
    } else if pstate & LEVEL != EL2 {
        0x400
    } else if pstate & OWN_STACK != 0 {
        0x200
    } else {
        0
    };
    let vector = read_register!("vbar_el2") & !0x7ff;
    let place = read_register!("elr_el3");
    // SAFETY: what the CPU does when an instruction is undefined at EL2, or below it with EL2 in
    // charge. EL2 of the world that is running is the only one concerned.
    unsafe {
        write_register!("elr_el2", place);
        write_register!("spsr_el2", pstate);
        write_register!("esr_el2", ESR_32_BITS);
        write_register!("elr_el3", vector + offset);
        write_register!("spsr_el3", EL2H_MASKED);
    }
}

/// An interrupt of Group 0 while a lower level runs: a wake-up that came too late to matter.
pub(crate) extern "C" fn handle_fast_interrupt() {
    const SPECIAL: u64 = 1020;
    let interrupt = gic::acknowledge();
    if (16..SPECIAL).contains(&interrupt) {
        fatal!("interrupt {interrupt} is of Group 0, which nothing but the monitor uses");
    }
}
