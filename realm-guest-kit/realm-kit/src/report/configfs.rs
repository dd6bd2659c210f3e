//! The folder as the kernel has it, in configfs.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use super::{Attribute, Missing, ReportFolder};

/// Where the kernel lists what is mounted.
const MOUNTS: &str = "/proc/self/mounts";
/// A device that the kernel has if it runs in a Realm, and to which the driver binds.
const REALM_DEVICE: &str = "/sys/devices/platform/arm-cca-dev";
/// Nothing that the kernel hands out here is larger.
const LARGEST: u64 = 1 << 20;

/// Requests in a folder of the kernel.
pub(crate) struct Configfs {
    folder: PathBuf,
}

impl Configfs {
    /// Requests are made in this folder.
    pub(crate) fn new(folder: &Path) -> Self {
        Self {
            folder: folder.to_path_buf(),
        }
    }

    fn file(&self, request: &str, attribute: Attribute) -> PathBuf {
        self.folder.join(request).join(attribute.name())
    }
}

impl ReportFolder for Configfs {
    fn create(&mut self, request: &str) -> io::Result<()> {
        fs::create_dir(self.folder.join(request))
    }

    fn remove(&mut self, request: &str) -> io::Result<()> {
        // The kernel removes its files with the folder.
        fs::remove_dir(self.folder.join(request))
    }

    fn write(&mut self, request: &str, attribute: Attribute, bytes: &[u8]) -> io::Result<()> {
        // The kernel takes the bytes when the file is closed, so all of them have to be written
        // between one opening and one closing. Its answer to that is lost; the count of writes
        // says whether they were taken.
        let mut file = OpenOptions::new()
            .write(true)
            .open(self.file(request, attribute))?;
        file.write_all(bytes)
    }

    fn read(&mut self, request: &str, attribute: Attribute) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let file = File::open(self.file(request, attribute))?;
        file.take(LARGEST + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > LARGEST {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        Ok(bytes)
    }

    fn missing(&self) -> Option<Missing> {
        if self.folder.is_dir() {
            return None;
        }
        let folder = self.folder.display().to_string();
        if !self.folder.starts_with("/sys/kernel/config") {
            return Some(Missing::Folder(folder));
        }
        let mounts = fs::read_to_string(MOUNTS).unwrap_or_default();
        let is_realm = Path::new(REALM_DEVICE).exists();
        Some(diagnosis(&mounts, is_realm, folder))
    }
}

/// Why the kernel's folder is not there. The first thing that is wrong is the one to put right.
fn diagnosis(mounts: &str, is_realm: bool, folder: String) -> Missing {
    let has_configfs = mounts
        .lines()
        .any(|line| line.split(' ').nth(2) == Some("configfs"));
    if !is_realm {
        Missing::Realm
    } else if !has_configfs {
        Missing::Configfs
    } else {
        Missing::Driver(folder)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_thing_that_is_wrong_is_named() {
        let with = "proc /proc proc rw 0 0\nnone /sys/kernel/config configfs rw 0 0\n";
        let without = "configfs /configfs tmpfs rw 0 0\n";
        let folder = "/sys/kernel/config/tsm/report";
        let missing = |mounts, is_realm| diagnosis(mounts, is_realm, folder.to_owned());
        assert_eq!(missing(with, false), Missing::Realm);
        assert_eq!(missing(without, false), Missing::Realm);
        assert_eq!(missing(without, true), Missing::Configfs);
        assert_eq!(missing("", true), Missing::Configfs);
        assert_eq!(missing(with, true), Missing::Driver(folder.to_owned()));
        let text = missing(with, true).to_string();
        assert!(text.contains("modprobe arm-cca-guest") && text.contains(folder));
    }

    #[test]
    fn files_of_a_request_are_written_and_read_and_never_made() {
        let place = tempfile::tempdir().unwrap();
        let mut folder = Configfs::new(place.path());
        assert_eq!(folder.missing(), None);
        folder.create("a").unwrap();
        let kind = |result: io::Result<()>| result.unwrap_err().kind();
        assert_eq!(kind(folder.create("a")), io::ErrorKind::AlreadyExists);
        // A kernel without this file gets no file from us.
        let written = folder.write("a", Attribute::Challenge, b"1");
        assert_eq!(kind(written), io::ErrorKind::NotFound);
        let file = place.path().join("a/inblob");
        fs::write(&file, b"").unwrap();
        folder.write("a", Attribute::Challenge, b"12").unwrap();
        assert_eq!(folder.read("a", Attribute::Challenge).unwrap(), b"12");
        fs::remove_file(&file).unwrap();
        folder.remove("a").unwrap();
        assert_eq!(fs::read_dir(place.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_file_without_end_is_refused() {
        let place = tempfile::tempdir().unwrap();
        let mut folder = Configfs::new(place.path());
        folder.create("a").unwrap();
        std::os::unix::fs::symlink("/dev/zero", place.path().join("a/outblob")).unwrap();
        let error = folder.read("a", Attribute::Token).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::FileTooLarge);
    }

    #[test]
    fn a_folder_elsewhere_is_simply_not_there() {
        let folder = Configfs::new(Path::new("/no/such/folder"));
        let missing = Missing::Folder("/no/such/folder".to_owned());
        assert_eq!(folder.missing(), Some(missing));
    }
}
