//! The files of a machine, its network interfaces, and its sockets: each is opened, as a run does it.

use super::Line;
use crate::configuration::{Configuration, TapSource};
use crate::devices::virtio::block::Block;
use crate::devices::virtio::vsock::Listener;
use crate::load::{LoadError, Prepared};
use crate::sys::tap::Tap;

pub(super) fn lines(configuration: &Configuration) -> Vec<Line> {
    let mut lines = vec![content(configuration)];
    for disk in &configuration.disks {
        let name = "disk";
        let shown = disk.path.display();
        lines.push(match Block::open(&disk.path, disk.read_only, disk.direct) {
            Ok(_) => Line::good(name, format!("{shown} can be opened")),
            Err(error) => Line::bad(
                name,
                format!("{shown}: {error}"),
                "give a raw image or a block device that this user may open and no other machine has",
            ),
        });
    }
    for net in &configuration.nets {
        let name = "network interface";
        let shown = &net.tap;
        let opened = match &net.tap {
            TapSource::Name(name) => Tap::open(name),
            TapSource::Descriptor(descriptor) => Tap::inherit(*descriptor),
        };
        lines.push(match opened {
            Ok(_) => Line::good(name, format!("{shown} can be opened")),
            Err(error) => Line::bad(
                name,
                format!("{shown}: {error}"),
                "give a tap interface that is there, for this user, and that no other machine has",
            ),
        });
    }
    for vsock in &configuration.vsocks {
        let name = "socket of the guest";
        let shown = vsock.socket.display();
        // It goes again.
        lines.push(match Listener::new(&vsock.socket) {
            Ok(_) => Line::good(name, format!("{shown} can be made")),
            Err(error) => Line::bad(
                name,
                format!("{shown}: {error}"),
                "give a path in a folder that this user may write to and that no other machine has",
            ),
        });
    }
    lines
}

/// Kernel and initial RAM disk are read to their end, as a run does it.
fn content(configuration: &Configuration) -> Line {
    let name = "kernel and initial RAM disk";
    let read = || {
        let prepared = Prepared::new(configuration)?;
        let mut bytes = 0;
        for segment in prepared.segments() {
            let mut pieces = segment.pieces();
            while pieces.next()?.is_some() {}
            bytes += segment.range().size;
        }
        Ok::<u64, LoadError>(bytes)
    };
    match read() {
        Ok(bytes) => Line::good(name, format!("{} to be loaded", super::mebibytes(bytes))),
        Err(error) => Line::bad(name, error.to_string(), "give others, or more memory"),
    }
}
