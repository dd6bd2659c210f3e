//! Network interfaces: what reaches the host's kernel asks for nothing that its header may not ask
//! for.
#![no_main]

use std::cell::RefCell;
use std::io;
use std::os::fd::BorrowedFd;

use host_vmm::devices::virtio::net::{Link, Net};
use host_vmm_fuzz::{Driver, Input, nothing};
use libfuzzer_sys::fuzz_target;

/// The host's side.
struct Wire {
    arrived: RefCell<Vec<Vec<u8>>>,
}

impl Link for Wire {
    fn read(&self, packet: &mut [u8]) -> io::Result<usize> {
        let Some(next) = self.arrived.borrow_mut().pop() else {
            return Err(io::ErrorKind::WouldBlock.into());
        };
        let count = next.len().min(packet.len());
        packet[..count].copy_from_slice(&next[..count]);
        Ok(count)
    }

    fn write(&self, packet: &[u8]) -> io::Result<()> {
        assert!((26..=12 + 18 + 0xffff).contains(&packet.len()));
        let word =
            |place: usize| usize::from(u16::from_le_bytes([packet[place], packet[place + 1]]));
        let (flags, kind) = (packet[0], packet[1]);
        assert!(flags <= 1);
        if flags == 1 {
            assert!(12 + word(6) + word(8) + 2 <= packet.len());
        }
        if kind != 0 {
            assert!(flags == 1 && word(4) > 0);
            assert!(matches!(kind & 0x7f, 1 | 4));
        }
        // A kernel does not always take everything.
        if packet[12] == 0xff {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(())
    }

    fn leave_checksums(&self, _may: bool) -> io::Result<()> {
        Ok(())
    }

    fn descriptor(&self) -> BorrowedFd<'_> {
        nothing()
    }
}

/// A header, and a packet that may be as long as one of Ethernet.
fn packet(input: &mut Input<'_>) -> Vec<u8> {
    let kinds = [0, 1, 4, 0x81, 0x84];
    let mut packet = vec![
        input.byte() & 3,
        kinds[usize::from(input.byte()) % kinds.len()],
    ];
    // Leading bytes, size of segments, start and offset of the checksum, buffers.
    packet.extend((0..5).flat_map(|_| [input.byte(), 0]));
    packet.extend(input.bytes());
    packet.resize(packet.len().max(12 + usize::from(input.byte())), 0);
    packet
}

fuzz_target!(|bytes: &[u8]| {
    let wire = Wire {
        arrived: RefCell::default(),
    };
    let net = Net::new(wire, "02:00:00:00:00:01".parse().unwrap());
    Driver::new(net).run(&mut Input::new(bytes), packet, |driver, input| {
        let mut packet = input.bytes().to_vec();
        packet.resize(packet.len() << (input.byte() % 9), 0);
        driver
            .device
            .with_device(|net| net.link().arrived.borrow_mut().push(packet));
        driver.device.attend();
    });
});
