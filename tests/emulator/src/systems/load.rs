//! What a host loads its guests with: fio, iperf3 and work of our own, for the host itself and, on a disk, for
//! guests.

use std::path::{Path, PathBuf};

use super::SystemError;
use crate::atomic;
use crate::initramfs::Archive;
use crate::libraries;

/// What does it, on the host.
pub(crate) const HOST_LOAD: &str = "/bin/host-load";
/// The disk with the programs of guests, on the host.
const HOST_PROGRAMS: &str = "/load/programs";
/// Where programs find libraries without being told.
const LIBRARIES: &str = "lib";
/// A disk has whole sectors.
const SECTOR_BYTES: usize = 512;

/// What it is made of.
pub(crate) struct LoadParts<'a> {
    /// Folder of an unpacked system with fio and iperf3.
    pub(crate) system: &'a Path,
    /// Work of our own.
    pub(crate) workload: &'a Path,
    /// What the host does with it, a shell script.
    pub(crate) host_script: &'a Path,
    /// What a guest does with it, a shell script.
    pub(crate) guest_script: &'a Path,
}

impl LoadParts<'_> {
    fn program(&self, name: &str) -> PathBuf {
        self.system.join("usr/bin").join(name)
    }

    /// Adds programs with their libraries.
    fn add(&self, archive: &mut Archive, names: &[&str]) -> Result<(), SystemError> {
        let programs: Vec<_> = names.iter().map(|name| self.program(name)).collect();
        for (name, program) in names.iter().zip(&programs) {
            archive.program(&format!("bin/{name}"), &atomic::read(program)?)?;
        }
        for library in libraries::needed(self.system, &programs)? {
            archive.program(&format!("{LIBRARIES}/{}", library.name), &library.content)?;
        }
        archive.program("bin/workload", &atomic::read(self.workload)?)?;
        Ok(())
    }

    /// The programs of guests, as an archive that is a disk.
    fn disk(&self) -> Result<Vec<u8>, SystemError> {
        let mut archive = Archive::empty();
        archive.folder(LIBRARIES)?;
        self.add(&mut archive, &["fio", "iperf3"])?;
        archive.program("bin/guest-load", &atomic::read(self.guest_script)?)?;
        let mut disk = archive.finish()?;
        disk.resize(disk.len().next_multiple_of(SECTOR_BYTES), 0);
        Ok(disk)
    }
}

/// Adds it to a host, which has a folder for libraries.
pub(super) fn add_to_host(archive: &mut Archive, parts: &LoadParts<'_>) -> Result<(), SystemError> {
    parts.add(archive, &["iperf3"])?;
    let script = atomic::read(parts.host_script)?;
    archive.program(HOST_LOAD.trim_start_matches('/'), &script)?;
    archive.folder("load")?;
    archive.file(HOST_PROGRAMS.trim_start_matches('/'), &parts.disk()?)?;
    Ok(())
}
