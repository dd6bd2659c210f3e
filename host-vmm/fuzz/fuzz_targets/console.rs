//! The console: no more is shown than one chain may have, whatever comes.
#![no_main]

use host_vmm::devices::serial::InputSink as _;
use host_vmm::devices::virtio::console::Console;
use host_vmm_fuzz::{Driver, Input};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let console = Console::new(Box::new(std::io::sink()), Box::new(|| {}));
    Driver::new(console).run(&mut Input::new(bytes), |driver, input| {
        let typed = input.bytes();
        assert!(driver.device.push(typed) <= typed.len());
    });
});
