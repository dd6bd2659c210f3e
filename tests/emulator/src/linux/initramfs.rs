//! The initial RAM disk: a static busybox and a script.

use std::io::{self, Write as _};

use cpio::newc::{self, Builder, ModeFileType};

/// Major and minor number of `/dev/console`, which the kernel opens for the first program.
const CONSOLE: (u32, u32) = (5, 1);

/// Builds the archive. The same inputs give the same bytes.
pub(crate) fn build(busybox: &[u8], init: &[u8]) -> io::Result<Vec<u8>> {
    let mut archive = Archive {
        bytes: Vec::new(),
        inode: 0,
    };
    for folder in ["bin", "dev", "proc", "sys"] {
        archive.add(folder, ModeFileType::Directory, 0o755, &[])?;
    }
    archive.add("dev/console", ModeFileType::Char, 0o600, &[])?;
    archive.add("bin/busybox", ModeFileType::Regular, 0o755, busybox)?;
    archive.add("init", ModeFileType::Regular, 0o755, init)?;
    newc::trailer(archive.bytes)
}

struct Archive {
    bytes: Vec<u8>,
    inode: u32,
}

impl Archive {
    fn add(&mut self, name: &str, kind: ModeFileType, mode: u32, content: &[u8]) -> io::Result<()> {
        // The kernel takes entries with the same inode number for links to one file.
        self.inode += 1;
        let mut entry = Builder::new(name).ino(self.inode).mode(mode);
        if matches!(kind, ModeFileType::Char) {
            entry = entry.rdev_major(CONSOLE.0).rdev_minor(CONSOLE.1);
        }
        let size = u32::try_from(content.len())
            .map_err(|_| io::Error::new(io::ErrorKind::FileTooLarge, name.to_owned()))?;
        let entry = entry.set_mode_file_type(kind);
        let mut writer = entry.write(&mut self.bytes, size);
        writer.write_all(content)?;
        writer.finish()?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use cpio::newc::Reader;

    use super::*;

    #[test]
    fn the_archive_holds_what_the_kernel_needs() {
        let archive = build(b"busybox", b"#!/bin/busybox sh\n").unwrap();
        let mut rest = archive.as_slice();
        let mut seen = Vec::new();
        loop {
            let mut reader = Reader::new(rest).unwrap();
            let entry = reader.entry();
            if entry.is_trailer() {
                break;
            }
            let line = (entry.name().to_owned(), entry.mode(), entry.rdev_major());
            let mut content = Vec::new();
            reader.read_to_end(&mut content).unwrap();
            if line.0 == "init" {
                assert_eq!(content, b"#!/bin/busybox sh\n");
            }
            seen.push(line);
            rest = reader.finish().unwrap();
        }
        let seen: Vec<_> = seen
            .iter()
            .map(|(name, mode, major)| (name.as_str(), *mode, *major))
            .collect();
        assert_eq!(
            seen,
            [
                ("bin", 0o040_755, 0),
                ("dev", 0o040_755, 0),
                ("proc", 0o040_755, 0),
                ("sys", 0o040_755, 0),
                ("dev/console", 0o020_600, 5),
                ("bin/busybox", 0o100_755, 0),
                ("init", 0o100_755, 0),
            ]
        );
    }

    #[test]
    fn the_same_inputs_give_the_same_bytes() {
        assert_eq!(build(b"a", b"b").unwrap(), build(b"a", b"b").unwrap());
    }
}
