//! A machine on which the RMM's core runs as an ordinary program.
//!
//! [`Memory`] knows which world owns each granule. An access from the wrong world is what the
//! hardware would make of it: a granule protection fault for the host, which expects such
//! things, and the end of the test for the RMM, which must never let it come to that. An owner
//! that changes while the RMM is in the middle of an access ends the test too.
//!
//! [`FakeCpu`] is the RMM's view of one CPU; a test runs each on a thread of its own. Nothing is
//! simplified for a single thread: owners and contents are atomics.
//!
//! ```
//! use fake_machine::{Memory, Owner, GranuleProtectionFault};
//!
//! let memory = Memory::new(&[(0x8000_0000, 4)]);
//! let cpu = memory.cpu(0);
//! let rmm = memory.rmm();
//! let delegate = [0xc400_0151, 0x8000_1000, 0, 0, 0, 0, 0, 0];
//! memory.host_write(0x8000_1000, 0, 7).unwrap();
//! assert_eq!(rmm.call(&cpu, &delegate).unwrap()[0], 0);
//! assert_eq!(memory.owner(0x8000_1000), Owner::Realm);
//! assert_eq!(memory.host_read(0x8000_1000, 0), Err(GranuleProtectionFault));
//! ```
#![forbid(unsafe_code)]

mod cpu;
mod memory;

pub use cpu::{El3Script, FakeCpu};
pub use memory::{GranuleProtectionFault, Memory, Owner, WORDS_PER_GRANULE};
