//! What the Realm commands of the RMM must do, as a program.
//!
//! A [`World`] is all state that the specification knows of: granules, Realms with their tables
//! entry by entry, RECs, VMIDs. [`World::apply`] takes the registers of a call, says which replies
//! are right, and moves to the state after it. Usually one reply is right; where several things
//! are wrong with a call and the specification leaves open which one is reported, all of them are.
//!
//! Nothing here is shared with the RMM, and nothing is fast or small: this is what the RMM is
//! compared with.
//!
//! ```
//! use rmm_abi::rmi::{FeatureRegister0, fid};
//! use rmm_model::Granule;
//! use rmm_model::realm::{Limits, NoHostMemory, World};
//!
//! let limits = Limits { features: FeatureRegister0::default(), vmid_bits: 16, aux_granules: 4 };
//! let mut world = World::new(limits, [(0x8000_0000, Granule::Undelegated)]);
//! let call = [fid::GRANULE_DELEGATE, 0x8000_0000, 0, 0, 9, 0, 0, 0];
//! assert_eq!(world.apply(&call, &NoHostMemory).unwrap().replies(), [[0, 0, 0, 0, 9]]);
//! assert_eq!(world.granule(0x8000_0000), Some(Granule::Delegated));
//! ```

mod calls;
mod failures;
mod life_cycle;
mod measurement;
mod memory_map;
mod parameters;
mod ripas;
mod running;
mod shape;
mod tables;
mod token;
mod tree;
mod world;

pub use failures::Prediction;
pub use measurement::Measurement;
pub use running::{LastAccess, PsciCall, Reach};
pub use shape::{Shape, entry_size};
pub use token::{Token, TokenOutcome};
pub use tree::{Entry, Ripas, Table};
pub use world::{HostMemory, Limits, Mapping, NoHostMemory, Realm, Rec, World};
