//! The files of a machine.

use super::Line;
use crate::configuration::Configuration;
use crate::devices::virtio::block::Block;
use crate::load::Prepared;

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
    lines
}

/// Kernel and initial RAM disk are read, as a run does it.
fn content(configuration: &Configuration) -> Line {
    let name = "kernel and initial RAM disk";
    match Prepared::new(configuration) {
        Ok(prepared) => {
            let bytes: u64 = prepared.segments().map(|one| one.range().size).sum();
            Line::good(name, format!("{} to be loaded", super::mebibytes(bytes)))
        }
        Err(error) => Line::bad(name, error.to_string(), "give others, or more memory"),
    }
}
