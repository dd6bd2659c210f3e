//! Realm translation tables: entries, walks, and what they have in common.
//!
//! Every table is a granule with a lock of its own. A walk locks a table before it unlocks the
//! one above, so no table can be taken out of the tree under it. The Realm descriptor is locked
//! until the start table is.
//!
//! A table's granule record counts its live entries: memory of the Realm and further tables.
//! Mappings of the host's memory do not count (reference, section 5.7).

mod entry;
mod stage2;
mod walk;

pub(crate) use entry::{Entry, NonSecureMapping};
pub use stage2::{Invalidation, Stage2};
pub(crate) use walk::{Walk, walk, walk_for_rec, walk_in_locked_realm};

/// Entries of a table.
pub const ENTRIES: usize = 512;

/// Lowest level of a walk, with 52-bit addresses.
pub const MIN_LEVEL: i8 = -1;

/// Level of pages.
pub const PAGE_LEVEL: i8 = 3;
