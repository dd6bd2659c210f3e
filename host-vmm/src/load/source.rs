//! A file that a machine is made of, and made of again when it restarts.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::{FileExt as _, FileTypeExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::LoadError;

/// A file or a pipe (as shells make them of `<(…)`).
#[derive(Debug)]
pub(super) struct Source {
    path: PathBuf,
    content: Content,
}

#[derive(Debug)]
enum Content {
    /// Stays where it is, as it was when it was opened.
    File { file: File, stamp: Stamp },
    /// Of a pipe, which cannot be read twice, or of a file that says nothing of its length.
    Read(Vec<u8>),
}

/// By what one sees whether a file has been written to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Stamp {
    bytes: u64,
    modified: Option<SystemTime>,
}

impl Stamp {
    fn of(file: &File) -> io::Result<Self> {
        let metadata = file.metadata()?;
        Ok(Self {
            bytes: metadata.len(),
            modified: metadata.modified().ok(),
        })
    }
}

impl Source {
    /// Opens it; a pipe, or a file that says that it is empty, is also read, up to `limit` bytes, because who writes there may wait for that.
    ///
    /// # Errors
    ///
    /// If it cannot be opened or is neither file nor pipe, or if a pipe cannot be read.
    pub(super) fn open(path: &Path, limit: u64) -> Result<Self, LoadError> {
        let failed = |error| failed(path, error);
        // Opening must not make a terminal this process's own.
        let mut options = OpenOptions::new();
        let file = options.read(true).custom_flags(libc::O_NOCTTY).open(path);
        let file = file.map_err(failed)?;
        let kind = file.metadata().map_err(failed)?.file_type();
        let stamp = Stamp::of(&file).map_err(failed)?;
        // Files that the kernel makes up as they are read say that they are empty.
        let content = if kind.is_fifo() || (kind.is_file() && stamp.bytes == 0) {
            let mut bytes = Vec::new();
            file.take(limit).read_to_end(&mut bytes).map_err(failed)?;
            Content::Read(bytes)
        } else if kind.is_file() {
            Content::File { file, stamp }
        } else {
            return Err(LoadError::NotAFile(path.into()));
        };
        Ok(Self {
            path: path.into(),
            content,
        })
    }

    /// Its name.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// How long it is, or how much was read of it at once.
    pub(super) fn bytes(&self) -> u64 {
        match &self.content {
            Content::File { stamp, .. } => stamp.bytes,
            Content::Read(bytes) => bytes.len() as u64,
        }
    }

    /// Reads what is at `offset`, as much as there is room for: no more than there is behind `offset`.
    ///
    /// # Errors
    ///
    /// Those of reading, or that it is shorter than it was.
    pub(super) fn read_at(&self, offset: u64, room: &mut [u8]) -> Result<(), LoadError> {
        match &self.content {
            Content::File { file, .. } => {
                let read = file.read_exact_at(room, offset);
                read.map_err(|error| match error.kind() {
                    io::ErrorKind::UnexpectedEof => LoadError::Changed(self.path.clone()),
                    _ => failed(&self.path, error),
                })
            }
            Content::Read(bytes) => {
                let from = usize::try_from(offset).ok();
                let found = from.and_then(|from| bytes.get(from..)?.get(..room.len()));
                let found = found.ok_or_else(|| LoadError::Changed(self.path.clone()))?;
                room.copy_from_slice(found);
                Ok(())
            }
        }
    }

    /// Whether it still is what it was when it was opened, by its length and the time when it was last changed.
    /// Whoever may write to it can hide that from us; the Realm's token has what was loaded.
    ///
    /// # Errors
    ///
    /// That it is not.
    pub(super) fn check(&self) -> Result<(), LoadError> {
        let Content::File { file, stamp } = &self.content else {
            return Ok(());
        };
        let now = Stamp::of(file).map_err(|error| failed(&self.path, error))?;
        if now == *stamp {
            Ok(())
        } else {
            Err(LoadError::Changed(self.path.clone()))
        }
    }
}

fn failed(path: &Path, error: io::Error) -> LoadError {
    LoadError::Read {
        path: path.into(),
        error,
    }
}
