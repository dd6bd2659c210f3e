//! What a Realm sees of the CPU.

mod identification;
mod undefined;

pub(crate) use identification::{debug_registers_shown, hidden_features, reserved_registers};
pub(crate) use undefined::{counters_of_the_host, hidden_registers, hvc, ignored_registers};
