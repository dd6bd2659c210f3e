//! Output files that are either complete or not there.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::{fs, io};

use tempfile::NamedTempFile;

/// A file or folder that could not be read or written.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {}: {source}", path.display())]
pub struct FileError {
    action: &'static str,
    path: PathBuf,
    source: io::Error,
}

/// Adds the path and what was tried to an I/O error.
pub fn because(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> FileError + use<> {
    let path = path.to_path_buf();
    move |source| FileError {
        action,
        path,
        source,
    }
}

/// Reads a whole file.
///
/// # Errors
///
/// [`FileError`], with the path.
pub fn read(path: &Path) -> Result<Vec<u8>, FileError> {
    fs::read(path).map_err(because("read", path))
}

/// Writes a file under a temporary name beside its place and renames it, so that nobody ever sees
/// half of it. Missing folders above it are made.
///
/// # Errors
///
/// [`FileError`], with the path; then nothing is there that was not before.
pub fn write(path: &Path, content: &[u8]) -> Result<(), FileError> {
    let folder = match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    create_folder(folder)?;
    let failed = || because("write", path);
    let mut file = NamedTempFile::new_in(folder).map_err(failed())?;
    file.write_all(content).map_err(failed())?;
    make_readable(&file).map_err(failed())?;
    file.persist(path)
        .map_err(|error| failed()(error.error))
        .map(drop)
}

/// Makes a folder and those above it.
///
/// # Errors
///
/// [`FileError`], with the path.
pub fn create_folder(folder: &Path) -> Result<(), FileError> {
    fs::create_dir_all(folder).map_err(because("make the folder", folder))
}

/// Temporary files are private to their owner; build output is not.
#[cfg(unix)]
fn make_readable(file: &NamedTempFile) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    file.as_file()
        .set_permissions(fs::Permissions::from_mode(0o644))
}

#[cfg(not(unix))]
fn make_readable(_file: &NamedTempFile) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_into_a_new_folder_and_replaces_what_was_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b/out");
        write(&path, b"first, and longer").unwrap();
        write(&path, b"second").unwrap();
        assert_eq!(read(&path).unwrap(), b"second");
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }

    #[test]
    fn a_failed_write_leaves_nothing_and_names_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("taken");
        fs::create_dir(&path).unwrap();
        let error = write(&path, b"x").unwrap_err().to_string();
        assert!(error.contains("taken"), "{error}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
