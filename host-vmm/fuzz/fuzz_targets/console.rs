//! The console: no more is shown than one chain may have, whatever comes.
#![no_main]

use std::io::{self, Write};

use host_vmm::devices::serial::InputSink as _;
use host_vmm::devices::virtio::console::Console;
use host_vmm_fuzz::{Driver, Input};
use libfuzzer_sys::fuzz_target;

/// What has been shown since it was flushed the last time.
struct Screen(usize);

impl Write for Screen {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        assert!(self.0 <= 1 << 20);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0 = 0;
        Ok(())
    }
}

fuzz_target!(|bytes: &[u8]| {
    let console = Console::new(Box::new(Screen(0)), Box::new(|| {}));
    let content = |input: &mut Input<'_>| input.bytes().to_vec();
    Driver::new(console).run(&mut Input::new(bytes), content, |driver, input| {
        let typed = input.bytes();
        assert!(driver.device.push(typed) <= typed.len());
    });
});
