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

fuzz_target!(|bytes: &[u8]| {
    let path = folder().join("guest");
    // Port 0 of the host, where somebody listens, is easily found.
    let host = folder().join("guest_0");
    let _ = std::fs::remove_file(&host);
    let listener = UnixListener::bind(&host).unwrap();
    listener.set_nonblocking(true).unwrap();
    let vsock = Vsock::new("3".parse().unwrap(), Listener::new(&path).unwrap()).unwrap();
    let streams = RefCell::new(Vec::<UnixStream>::new());
    Driver::new(vsock).run(&mut Input::new(bytes), |driver, input| {
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
