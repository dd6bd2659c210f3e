//! The whole of the core against the real RMM, on the fake machine.
#![forbid(unsafe_code)]

#[path = "realm/conversion.rs"]
mod conversion;
#[path = "realm/failures.rs"]
mod failures;
#[path = "realm/life_cycle.rs"]
mod life_cycle;
#[path = "realm/machine.rs"]
mod machine;
#[path = "realm/measurement.rs"]
mod measurement;
#[path = "realm/moving.rs"]
mod moving;
#[path = "realm/random.rs"]
mod random;
#[path = "realm/running.rs"]
mod running;
#[path = "realm/several.rs"]
mod several;
#[path = "realm/statistics.rs"]
mod statistics;
#[path = "realm/vm.rs"]
mod vm;
