//! A REC in the CPU, and what everything that happens to it there has in common.

mod memory;
mod token;

pub(crate) use memory::Page;

use core::cell::Cell;

use rmm_abi::statistics::Fault;

use crate::Machine;
use crate::context::Context;
use crate::exit::{Exit, HostCallValues};
use crate::granule::{GranuleAddress, Running};
use crate::machine::{Configuration, Register};
use crate::rtt::Stage2;
use crate::{realm, rec};

/// A REC in the CPU.
pub(crate) struct Session<'s, M: Machine> {
    pub(crate) context: &'s Context<'s, M>,
    pub(crate) running: &'s Running<'s>,
    pub(crate) rec: rec::Descriptor<'s>,
    pub(crate) realm: realm::Descriptor<'s>,
    pub(crate) owner: GranuleAddress,
    pub(crate) stage2: Stage2,
    pub(crate) configuration: &'s Configuration,
    /// The REC's vector registers are in the CPU.
    pub(crate) has_vectors: Cell<bool>,
    /// The REC's breakpoints and watchpoints are in the CPU.
    pub(crate) has_debug: Cell<bool>,
    /// What the Realm says to the host, once it has called it.
    pub(crate) host_call: Cell<HostCallValues>,
    /// Faults that the Realm was given since the entry, by their numbers in `statistics`.
    pub(crate) faults: Cell<[u16; Fault::ALL.len()]>,
    /// Lines of the virtual and the physical timer that are asserted and masked.
    pub(crate) timer_lines: Cell<[bool; 2]>,
}

/// What follows once an exception has been handled: an exit, or the REC goes on.
pub(crate) type Next = Option<Exit>;

/// PSTATE.SS and PSTATE.BTYPE: what an instruction leaves behind that was not executed but
/// emulated.
const STEP_STATE: u64 = 1 << 21 | 0b11 << 10;

impl<M: Machine> Session<'_, M> {
    pub(crate) fn machine(&self) -> &M {
        self.context.machine
    }

    /// The Realm is given a fault. The host learns of it, as a number, with the exit.
    pub(crate) fn note_fault(&self, fault: Fault) {
        let mut faults = self.faults.get();
        if let Some(count) = faults.get_mut(fault as usize) {
            *count = count.saturating_add(1);
        }
        self.faults.set(faults);
    }

    /// Counts the faults since the entry.
    pub(crate) fn count_faults(&self) {
        let faults = self.faults.get();
        if faults == [0; _] {
            return;
        }
        let machine = self.machine();
        for (fault, count) in Fault::ALL.into_iter().zip(faults) {
            if count != 0 {
                machine
                    .statistics()
                    .count_faults(fault, count, machine.time(), self.owner.get());
            }
        }
    }

    /// Sets X0 to X3 and goes on behind the instruction.
    pub(crate) fn reply(&self, results: [u64; 4]) -> Next {
        for (number, value) in results.into_iter().enumerate() {
            self.rec.set_general(number, value);
        }
        self.advance();
        None
    }

    /// Goes on behind the instruction, which the RMM has emulated.
    pub(crate) fn advance(&self) {
        let machine = self.machine();
        let here = machine.read(Register::ProgramCounter);
        machine.write(Register::ProgramCounter, here.wrapping_add(4));
        let state = machine.read(Register::ProcessorState);
        machine.write(Register::ProcessorState, state & !STEP_STATE);
    }
}
