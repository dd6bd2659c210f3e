//! Initial RAM disks: archives whose bytes follow from what is in them and from nothing else.

use std::io::{self, Write as _};

use cpio::newc::{self, Builder, ModeFileType};

/// Major and minor number of `/dev/console`, which the kernel opens for the first program.
const CONSOLE: (u32, u32) = (5, 1);

/// An archive that grows.
pub(crate) struct Archive {
    bytes: Vec<u8>,
    inode: u32,
}

impl Archive {
    /// An archive with nothing in it.
    pub(crate) const fn empty() -> Self {
        Self {
            bytes: Vec::new(),
            inode: 0,
        }
    }

    /// An archive with what every system of ours begins with: the folders that its first program
    /// mounts on, a console, a static busybox, and the first program itself.
    pub(crate) fn new(busybox: &[u8], init: &[u8]) -> io::Result<Self> {
        let mut archive = Self::empty();
        for folder in ["bin", "dev", "proc", "sys"] {
            archive.folder(folder)?;
        }
        archive.add("dev/console", ModeFileType::Char, 0o600, &[])?;
        archive.program("bin/busybox", busybox)?;
        archive.program("init", init)?;
        Ok(archive)
    }

    /// Adds a folder. Those above it have to be there.
    pub(crate) fn folder(&mut self, name: &str) -> io::Result<()> {
        self.add(name, ModeFileType::Directory, 0o755, &[])
    }

    /// Adds a program.
    pub(crate) fn program(&mut self, name: &str, content: &[u8]) -> io::Result<()> {
        self.add(name, ModeFileType::Regular, 0o755, content)
    }

    /// Adds a file that is only read.
    pub(crate) fn file(&mut self, name: &str, content: &[u8]) -> io::Result<()> {
        self.add(name, ModeFileType::Regular, 0o644, content)
    }

    /// Ends the archive.
    pub(crate) fn finish(self) -> io::Result<Vec<u8>> {
        newc::trailer(self.bytes)
    }

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
pub(crate) mod tests {
    use std::io::Read as _;

    use cpio::newc::Reader;

    use super::*;

    /// What an archive holds: name, mode, major number, content.
    pub(crate) fn entries(archive: &[u8]) -> Vec<(String, u32, u32, Vec<u8>)> {
        let mut rest = archive;
        let mut seen = Vec::new();
        loop {
            let mut reader = Reader::new(rest).unwrap();
            let entry = reader.entry();
            if entry.is_trailer() {
                return seen;
            }
            let (name, mode, major) = (entry.name().to_owned(), entry.mode(), entry.rdev_major());
            let mut content = Vec::new();
            reader.read_to_end(&mut content).unwrap();
            seen.push((name, mode, major, content));
            rest = reader.finish().unwrap();
        }
    }

    fn build(busybox: &[u8], init: &[u8]) -> Vec<u8> {
        let mut archive = Archive::new(busybox, init).unwrap();
        archive.file("bin/text", b"words").unwrap();
        archive.finish().unwrap()
    }

    #[test]
    fn the_archive_holds_what_the_kernel_needs() {
        let archive = build(b"busybox", b"#!/bin/busybox sh\n");
        let seen = entries(&archive);
        let seen: Vec<_> = seen
            .iter()
            .map(|(name, mode, major, content)| (name.as_str(), *mode, *major, content.as_slice()))
            .collect();
        assert_eq!(
            seen,
            [
                ("bin", 0o040_755, 0, b"".as_slice()),
                ("dev", 0o040_755, 0, b""),
                ("proc", 0o040_755, 0, b""),
                ("sys", 0o040_755, 0, b""),
                ("dev/console", 0o020_600, 5, b""),
                ("bin/busybox", 0o100_755, 0, b"busybox"),
                ("init", 0o100_755, 0, b"#!/bin/busybox sh\n"),
                ("bin/text", 0o100_644, 0, b"words"),
            ]
        );
    }

    #[test]
    fn the_same_inputs_give_the_same_bytes() {
        assert_eq!(build(b"a", b"b"), build(b"a", b"b"));
    }
}
