//! A machine on which the RMM's core runs as an ordinary program.
//!
//! [`Memory`] knows which world owns each granule. An access from the wrong world is what the
//! hardware would make of it: a granule protection fault for the host, which expects such
//! things, and the end of the test for the RMM, which must never let it come to that. An owner
//! that changes while the RMM is in the middle of an access ends the test too.
//!
//! [`Memory::translate`] walks a Realm's tables as the MMU does and remembers what it found until the
//! RMM says to forget it. Whatever the RMM forgets to say ends the test.
//!
//! A REC executes the program that a test gives it ([`Memory::program`]): an `async` block whose
//! [`Instruction`]s come to the RMM where a CPU would bring them there.
//!
//! [`Bench`] puts an RMM on such a machine next to the model of the specification and holds every
//! reply against it.
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
//! assert_eq!(cpu.call(&rmm, &delegate)[0], 0);
//! assert_eq!(memory.owner(0x8000_1000), Owner::Realm);
//! assert_eq!(memory.host_read(0x8000_1000, 0), Err(GranuleProtectionFault));
//! ```
//!
//! A Realm that runs:
//!
//! ```
//! use fake_machine::{Scene, assert_exit, exit};
//! use rmm_abi::rmi::run::ExitReason;
//!
//! Scene::play(1, |scene| {
//!     scene.program(|guest| async move {
//!         guest.store(Scene::MEMORY, 8, 7).await;
//!         // RSI_VERSION stays inside, a physical interrupt is for the host.
//!         assert_eq!(guest.smc(&[0xc400_0190, 0x1_0000]).await[0], 0);
//!         guest.interrupt().await;
//!     });
//!     assert_exit(&scene.enter(), &exit(ExitReason::Irq));
//!     assert_eq!(scene.word(Scene::MEMORY), 7);
//! });
//! ```
#![forbid(unsafe_code)]

mod bench;
mod cpu;
mod granule;
mod host;
mod interruption;
mod memory;
mod mmu;
mod realm;
mod registers;
mod snapshot;

pub use bench::{
    AUX_GRANULES, Bench, PAGE, Scene, assert_exit, exit, realm_params, synchronous_exit,
};
pub use cpu::{El3Script, FakeCpu, FakeMapping, TokenScript, token_words};
pub use granule::Owner;
pub use memory::{CPUS, FEATURES, GranuleProtectionFault, Memory, WORDS_PER_GRANULE, id_registers};
pub use mmu::{Stage2Registers, StaleTranslation, Translation};
pub use realm::{Guest, Instruction, MemoryAccess, SystemEncoding, Taken, VectorUse, WaitFor};
pub use registers::{Registers, TIMER_ENABLE, TIMER_MASK, TIMER_STATUS, Timer};
pub use snapshot::Snapshot;
