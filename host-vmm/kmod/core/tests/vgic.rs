//! The interrupt controller against a virtual CPU interface that works on list registers, as the
//! hardware's does (IHI 0069).
//!
//! `CLOISTER_CASES` says how many random histories; a hundred when it is not set.
#![allow(missing_docs)]

#[path = "vgic/cpu.rs"]
mod cpu;
#[path = "vgic/machine.rs"]
mod machine;
#[path = "vgic/overflow.rs"]
mod overflow;
#[path = "vgic/random.rs"]
mod random;
#[path = "vgic/reference.rs"]
mod reference;
#[path = "vgic/registers.rs"]
mod registers;
#[path = "vgic/running.rs"]
mod running;
#[path = "vgic/scenarios.rs"]
mod scenarios;
#[path = "vgic/setup.rs"]
mod setup;
