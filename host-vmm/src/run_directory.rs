//! The folder in which the control sockets of a host's machines are: one for each, by its name.
//!
//! A machine holds a lock for as long as it is there, so that a socket which a process has left
//! behind is told from one of a machine that runs.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::configuration::MachineName;
use crate::sys::socket;

/// Where it is if nothing else is said.
pub const DEFAULT: &str = "/run/host-vmm";

/// What the name of a socket ends with.
const SOCKET: &str = "sock";
/// What the name of a lock ends with.
const LOCK: &str = "lock";
/// How often a lock is tried that others take away.
const TRIES: u32 = 100;

/// Why a machine has no control socket.
#[derive(Error, Debug)]
pub enum RunDirectoryError {
    /// The folder cannot be made.
    #[error("{path}: {error}", path = path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// There is such a machine.
    #[error("a machine with the name {name} runs already in {folder}: choose another with --name", folder = folder.display())]
    Taken {
        /// The folder.
        folder: PathBuf,
        /// The name.
        name: MachineName,
    },
    /// The socket cannot be made.
    #[error("control socket {path}: {error}", path = path.display())]
    Socket {
        /// Where.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
}

/// Where the socket of a machine is.
pub fn socket(folder: &Path, name: &MachineName) -> PathBuf {
    folder.join(format!("{name}.{SOCKET}"))
}

/// The names of the machines whose sockets are in a folder, those left behind included.
///
/// # Errors
///
/// If the folder cannot be read. If there is none, there are no machines.
pub fn names(folder: &Path) -> Result<Vec<MachineName>, RunDirectoryError> {
    let failed = |error| RunDirectoryError::Folder {
        path: folder.into(),
        error,
    };
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(failed)?,
    };
    let mut names = Vec::new();
    for entry in entries {
        let path = entry.map_err(failed)?.path();
        if path.extension().is_some_and(|end| end == SOCKET)
            && let Some(name) = path.file_stem().and_then(|stem| stem.to_str())
            && let Ok(name) = name.parse()
        {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

/// A name in a folder, for as long as this lives; the socket goes with it.
#[derive(Debug)]
pub struct Claim {
    socket: PathBuf,
    lock_path: PathBuf,
    /// Last, so that nobody else has the name while the files go.
    _lock: File,
}

impl Claim {
    /// Takes a name, and makes its socket.
    ///
    /// # Errors
    ///
    /// If another machine has it, or if folder, lock or socket cannot be made.
    pub fn new(
        folder: &Path,
        name: &MachineName,
    ) -> Result<(Self, UnixListener), RunDirectoryError> {
        let mut builder = DirBuilder::new();
        let made = builder.recursive(true).mode(0o700).create(folder);
        made.map_err(|error| RunDirectoryError::Folder {
            path: folder.into(),
            error,
        })?;
        let path = socket(folder, name);
        let lock_path = folder.join(format!("{name}.{LOCK}"));
        let lock = lock(&lock_path).map_err(|error| match error.kind() {
            io::ErrorKind::ResourceBusy => RunDirectoryError::Taken {
                folder: folder.into(),
                name: name.clone(),
            },
            _ => RunDirectoryError::Socket {
                path: lock_path.clone(),
                error,
            },
        })?;
        let claim = Self {
            socket: path.clone(),
            lock_path,
            _lock: lock,
        };
        let listener = listen(&path);
        let listener = listener.map_err(|error| RunDirectoryError::Socket { path, error })?;
        Ok((claim, listener))
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        // Others see that nobody listens if they stay.
        let _ = fs::remove_file(&self.socket);
        let _ = fs::remove_file(&self.lock_path);
    }
}

/// Locks a file, and makes it first if need be. Whoever has the lock takes the file away before it lets
/// go.
///
/// # Errors
///
/// `ResourceBusy` if another process has it, and the kernel's.
pub fn lock(path: &Path) -> io::Result<File> {
    for _ in 0..TRIES {
        let mut options = OpenOptions::new();
        options.create(true).truncate(false).write(true).mode(0o600);
        let file = options.custom_flags(libc::O_NOFOLLOW).open(path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(io::ErrorKind::ResourceBusy.into()),
            Err(TryLockError::Error(error)) => return Err(error),
        }
        // Whoever had it before may have taken the file away since it was opened.
        let here = file.metadata()?;
        match fs::symlink_metadata(path) {
            Ok(there) if (there.dev(), there.ino()) == (here.dev(), here.ino()) => return Ok(file),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Err(io::ErrorKind::ResourceBusy.into())
}

/// Makes a socket for this user alone.
fn listen(path: &Path) -> io::Result<UnixListener> {
    // One that was left behind: this process has the lock.
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    socket::listen(path)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn a_name_is_taken_once() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("new").join("run");
        let name: MachineName = "web".parse().unwrap();
        let (claim, _listener) = Claim::new(&folder, &name).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&folder), 0o700);
        assert_eq!(mode(&socket(&folder, &name)), 0o600);
        UnixStream::connect(socket(&folder, &name)).unwrap();
        let error = Claim::new(&folder, &name).unwrap_err();
        assert!(matches!(error, RunDirectoryError::Taken { .. }), "{error}");
        // The one that runs is as it was.
        UnixStream::connect(socket(&folder, &name)).unwrap();
        let (_other, _listener) = Claim::new(&folder, &"db".parse().unwrap()).unwrap();
        let found = names(&folder).unwrap();
        let found: Vec<_> = found.iter().map(MachineName::as_str).collect();
        assert_eq!(found, ["db", "web"]);
        drop(claim);
        assert_eq!(names(&folder).unwrap().len(), 1);
        Claim::new(&folder, &name).unwrap();
    }

    #[test]
    fn what_was_left_behind_is_taken_over() {
        let folder = tempfile::tempdir().unwrap();
        let name: MachineName = "web".parse().unwrap();
        // A socket and a lock of a process that has been killed.
        drop(UnixListener::bind(socket(folder.path(), &name)).unwrap());
        fs::write(folder.path().join("web.lock"), "").unwrap();
        assert_eq!(names(folder.path()).unwrap().len(), 1);
        let (_claim, _listener) = Claim::new(folder.path(), &name).unwrap();
        UnixStream::connect(socket(folder.path(), &name)).unwrap();
    }

    #[test]
    fn many_take_and_leave_a_name_and_never_two_have_it() {
        use std::sync::atomic::{AtomicU32, Ordering};

        let folder = tempfile::tempdir().unwrap();
        let name: MachineName = "web".parse().unwrap();
        let (here, had) = (AtomicU32::new(0), AtomicU32::new(0));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..200 {
                        if let Ok(claim) = Claim::new(folder.path(), &name) {
                            assert_eq!(here.fetch_add(1, Ordering::SeqCst), 0);
                            had.fetch_add(1, Ordering::SeqCst);
                            std::thread::yield_now();
                            here.fetch_sub(1, Ordering::SeqCst);
                            drop(claim);
                        }
                    }
                });
            }
        });
        assert!(had.load(Ordering::SeqCst) > 4);
    }

    #[test]
    fn folders_that_cannot_be_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();
        let error = Claim::new(&file, &MachineName::default()).unwrap_err();
        assert!(error.to_string().contains("file: "), "{error}");
        assert!(names(&file).is_err());
        assert!(names(&folder.path().join("absent")).unwrap().is_empty());
        // A path that is longer than that of a socket can be.
        let long = folder.path().join("x".repeat(100));
        let error = Claim::new(&long, &MachineName::default()).unwrap_err();
        assert!(error.to_string().starts_with("control socket "), "{error}");
    }
}
