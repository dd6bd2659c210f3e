//! Random numbers.
#![no_main]

use host_vmm::devices::virtio::rng::Rng;
use host_vmm_fuzz::{Driver, Input};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    Driver::new(Rng::default()).run(&mut Input::new(bytes), |_| Vec::new(), |_, _| {});
});
