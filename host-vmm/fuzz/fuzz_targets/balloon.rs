//! Memory that moves, of a Realm and of an ordinary machine, whose driver names pages of all kinds.
#![no_main]

use host_vmm::devices::virtio::balloon::Balloon;
use host_vmm::layout::PAGE_BYTES;
use host_vmm::sys::memory::Ram;
use host_vmm_fuzz::{Driver, Input, RAM};
use libfuzzer_sys::fuzz_target;

/// Numbers of pages: most of RAM, some just beside it, some anywhere.
fn numbers(input: &mut Input<'_>) -> Vec<u8> {
    let first = (RAM.base / PAGE_BYTES) as u32;
    let count = input.byte() % 64;
    let numbers = (0..count).flat_map(|_| {
        let number = match input.byte() {
            0x80 => input.number(4) as u32,
            place => first.wrapping_add_signed(i32::from(place as i8)),
        };
        number.to_le_bytes()
    });
    numbers.collect()
}

fuzz_target!(|bytes: &[u8]| {
    let mut input = Input::new(bytes);
    let want = |driver: &Driver<Balloon>, input: &mut Input<'_>| {
        let bytes = input.number(8);
        driver.device.with_device(|balloon| balloon.want(bytes));
        driver.device.configuration_changed();
        driver.device.with_device(|balloon| balloon.actual());
    };
    if input.byte() & 1 == 0 {
        Driver::new(Balloon::new(None)).run(&mut input, numbers, want);
        return;
    }
    let ram = Ram::new(RAM, 0).unwrap();
    Driver::ordinary(Balloon::new(Some(ram.clone())), &ram).run(&mut input, numbers, want);
});
