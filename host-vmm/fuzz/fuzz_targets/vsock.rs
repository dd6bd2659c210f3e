//! Sockets between guest and host, with programs of the host that connect, send, read and go.
#![no_main]

use std::cell::RefCell;
use std::io::{Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use host_vmm::devices::virtio::vsock::{Listener, Vsock};
use host_vmm_fuzz::{Driver, Input};
use libfuzzer_sys::fuzz_target;

fn folder() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| tempfile::tempdir().unwrap().keep())
}

/// A packet of the guest, mostly of a connection that there may be.
fn packet(input: &mut Input<'_>) -> Vec<u8> {
    let odd = input.byte();
    let either = |bit: u8, usual: u64, input: &mut Input<'_>| {
        if odd >> bit & 7 == 7 {
            input.number(8)
        } else {
            usual
        }
    };
    let (source, destination) = (either(0, 3, input), either(1, 2, input));
    // Those of the host's programs begin at 2³⁰.
    let port = input.byte();
    let host_port = u32::from(port >> 1) | u32::from(port & 1) << 30;
    let guest_port = u32::from(input.byte());
    let content = input.bytes();
    let length = either(2, content.len() as u64, input) as u32;
    let kind = either(3, 1, input) as u16;
    let operation = u16::from(input.byte() % 9);
    let flags = u32::from(input.byte() % 5);
    let room = u32::from(input.byte()) << (input.byte() % 25);
    let forwarded = input.number(2) as u32;
    let mut packet = Vec::new();
    packet.extend(source.to_le_bytes());
    packet.extend(destination.to_le_bytes());
    packet.extend(guest_port.to_le_bytes());
    packet.extend(host_port.to_le_bytes());
    packet.extend(length.to_le_bytes());
    packet.extend(kind.to_le_bytes());
    packet.extend(operation.to_le_bytes());
    for number in [flags, room, forwarded] {
        packet.extend(number.to_le_bytes());
    }
    packet.extend(content);
    packet
}

fuzz_target!(|bytes: &[u8]| {
    let path = folder().join("guest");
    // Port 0 of the host, where somebody listens, is easily found.
    let host = folder().join("guest_0");
    let _ = std::fs::remove_file(&host);
    let listener = UnixListener::bind(&host).unwrap();
    listener.set_nonblocking(true).unwrap();
    let vsock = Vsock::new("3".parse().unwrap(), Listener::new(&path).unwrap()).unwrap();
    let streams = RefCell::new(Vec::<UnixStream>::new());
    Driver::new(vsock).run(&mut Input::new(bytes), packet, |driver, input| {
        let mut streams = streams.borrow_mut();
        let step = input.byte();
        match step % 8 {
            0 | 1 => {
                let stream = UnixStream::connect(&path);
                if let Ok(mut stream) = stream {
                    stream.set_nonblocking(true).unwrap();
                    if step & 8 == 0 {
                        let _ = writeln!(stream, "CONNECT {}", input.byte());
                    } else {
                        let _ = stream.write(input.bytes());
                    }
                    streams.push(stream);
                }
            }
            2 => {
                if let Ok((stream, _)) = listener.accept() {
                    stream.set_nonblocking(true).unwrap();
                    streams.push(stream);
                }
            }
            _ if streams.is_empty() => {}
            kind => {
                let number = usize::from(step >> 3) % streams.len();
                match kind {
                    3 => drop(streams.remove(number)),
                    4 => {
                        let _ = streams[number].shutdown(std::net::Shutdown::Write);
                    }
                    5 => {
                        let _ = streams[number].read(&mut [0; 0x1_0000]);
                    }
                    6 => {
                        let _ = streams[number].write(&[0x77; 0x1_0000]);
                    }
                    _ => {
                        let _ = streams[number].write(input.bytes());
                    }
                }
            }
        }
        driver.device.attend();
        assert!(driver.device.with_device(|vsock| vsock.connections()) <= 256);
    });
});
