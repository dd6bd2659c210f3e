//! Exceptions taken to R-EL2.

use core::arch::global_asm;
use core::fmt;

use crate::frame::Frame;
use crate::{memory, park, workroom};

global_asm!(include_str!("vectors.S"));

/// Synchronous exception of the RMM itself: vector 0.
const SYNCHRONOUS_OF_RMM: u64 = 0;
/// Interrupts of the RMM itself, which are unmasked in the workroom only: vectors 1 and 2.
const INTERRUPTS_OF_RMM: core::ops::RangeInclusive<u64> = 1..=2;

/// `ESR_EL2.DFSC`.
const FAULT_STATUS: u64 = 0x3f;

/// Exception class "data abort from the same exception level".
const DATA_ABORT_SAME_EL: u64 = 0x25;

#[unsafe(no_mangle)]
extern "C" fn rmm_exception(frame: &mut Frame, vector: u64) {
    let class = frame.esr >> 26 & 0x3f;
    if vector == SYNCHRONOUS_OF_RMM
        && class == DATA_ABORT_SAME_EL
        && let Some(next) = memory::recovery(frame.elr, frame.esr & FAULT_STATUS)
    {
        frame.elr = next;
        return;
    }
    if INTERRUPTS_OF_RMM.contains(&vector) && workroom::put_aside(frame) {
        return;
    }
    park::give_up(format_args!("exception, {}", Report { frame, vector }))
}

struct Report<'f> {
    frame: &'f Frame,
    vector: u64,
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Frame {
            x,
            elr,
            spsr,
            esr,
            far,
            sp,
        } = self.frame;
        write!(
            f,
            "vector {}, ESR {esr:#x} FAR {far:#x} ELR {elr:#x} SPSR {spsr:#x} SP {sp:#x} LR {:#x}",
            self.vector, x[30]
        )
    }
}
