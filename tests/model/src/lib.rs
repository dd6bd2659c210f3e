//! What the RMM must do, as a program.
//!
//! Tests hold a real RMM against this crate: [`Model`] predicts one call after the other,
//! [`Workspace::check`] decides whether the results that several CPUs saw at the same time can be
//! explained at all. Both are about the granule commands, allocate nothing and run on bare metal.
//! With the feature `std`, `realm` predicts the commands on Realms.
//!
//! One call at a time:
//!
//! ```
//! use rmm_model::{Command, Granule, Model, Owner};
//!
//! let mut granules = [Granule::Undelegated, Granule::Fixed(Owner::Root)];
//! let mut model = Model::new(0x8000_0000, &mut granules);
//! assert_eq!(model.apply(Command::Delegate, 0x8000_0000), 0);
//! assert_eq!(model.apply(Command::Delegate, 0x8000_0000), 1); // RMI_ERROR_INPUT
//! assert_eq!(model.apply(Command::Delegate, 0x8000_1000), 1);
//! assert!(!model.granule(0x8000_0000).host_may_access());
//! ```
//!
//! Many CPUs at a time: they share a [`History`] over a zeroed slice with two elements for each
//! call. Granules are numbered; the caller chooses which address a number stands for.
//!
//! ```
//! use core::sync::atomic::AtomicU64;
//! use rmm_model::{Command, Granule, GranuleSet, History, Workspace};
//!
//! let events: Vec<AtomicU64> = (0..8).map(|_| AtomicU64::new(0)).collect();
//! let history = History::new(&events);
//! // On CPU 3, as often as there is room:
//! let ticket = history.begin().unwrap();
//! let word = 0; // X0 of RMI_GRANULE_DELEGATE on granule 0
//! history.end(ticket, 3, Command::Delegate, 0, word);
//!
//! // When all calls have returned. In: what each granule was. Out: what it is now.
//! let mut granules = [GranuleSet::of(Granule::Undelegated)];
//! let mut workspace = Workspace::new();
//! workspace.check(history.events(), &mut granules).unwrap();
//! assert_eq!(granules[0], GranuleSet::of(Granule::Delegated));
//! ```

#![cfg_attr(not(feature = "std"), no_std)]
#![forbid(unsafe_code)]

mod granule;
mod history;
mod linearizability;
mod memory;
#[cfg(feature = "std")]
pub mod realm;

pub use granule::{Command, Granule, GranuleSet, Owner};
pub use history::{Call, Event, History, MAX_CPUS, Ticket};
pub use linearizability::{Reason, Violation, Workspace};
pub use memory::{GRANULE_SIZE, Model};
