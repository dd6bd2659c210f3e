//! What a Realm does: a program of instructions for each of its RECs.
//!
//! A program is an `async` block. What it does to registers happens at once; what may come to the
//! RMM is an [`Instruction`], and the program waits for its end. A REC takes its program along when it
//! moves to another CPU.

mod guest;
mod instruction;
mod program;

pub use guest::Guest;
pub(crate) use instruction::Effect;
pub use instruction::{Instruction, MemoryAccess, SystemEncoding, Taken, VectorUse, WaitFor};
pub(crate) use program::{Pending, Program, Programs, Resumed, general, taken};
