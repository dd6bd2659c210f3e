//! A file that a machine is made of, and made of again when it restarts.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek as _};
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::SystemTime;

use super::LoadError;
use super::image::RECOGNISED_BYTES;
use crate::layout::PAGE_BYTES;

/// A file or a pipe (as shells make them of `<(…)`).
#[derive(Debug)]
pub(super) struct Source {
    path: PathBuf,
    file: File,
    first: OnceLock<First>,
}

/// What there was when it was read for the first time.
#[derive(Debug)]
enum First {
    /// Of a file: how many bytes, and when they were written.
    Stamp(Stamp),
    /// Of a pipe, which cannot be read twice: all.
    Content(Vec<u8>),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Stamp {
    bytes: u64,
    modified: Option<SystemTime>,
}

impl Source {
    /// Opens it; a pipe is also read, up to `limit` bytes, because who writes there may wait for that.
    ///
    /// # Errors
    ///
    /// If it cannot be opened or is neither file nor pipe, or if a pipe cannot be read.
    pub(super) fn open(path: &Path, limit: u64) -> Result<Self, LoadError> {
        let failed = |error| LoadError::Read {
            path: path.into(),
            error,
        };
        // Opening must not make a terminal this process's own.
        let mut options = OpenOptions::new();
        let file = options.read(true).custom_flags(libc::O_NOCTTY).open(path);
        let file = file.map_err(failed)?;
        let kind = file.metadata().map_err(failed)?.file_type();
        let first = if kind.is_fifo() {
            let mut content = Vec::new();
            let read = (&file).take(limit).read_to_end(&mut content);
            read.map_err(failed)?;
            OnceLock::from(First::Content(content))
        } else if kind.is_file() {
            OnceLock::new()
        } else {
            return Err(LoadError::NotAFile(path.into()));
        };
        Ok(Self {
            path: path.into(),
            file,
            first,
        })
    }

    /// Its name.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// What is in it, up to `limit` bytes. The rest is read only if `begins_well` is content with the beginning.
    ///
    /// # Errors
    ///
    /// Those of reading and of `begins_well`, or that it is not what it was the first time.
    pub(super) fn read(
        &self,
        limit: u64,
        begins_well: impl FnOnce(&[u8]) -> Result<(), LoadError>,
    ) -> Result<Vec<u8>, LoadError> {
        if let Some(First::Content(content)) = self.first.get() {
            begins_well(content)?;
            return Ok(content.clone());
        }
        let stamp = self.stamp()?;
        (&self.file).rewind().map_err(|error| self.failed(error))?;
        // Room for the whole of it and for the zeroes behind it, so that nothing is copied again.
        let room = stamp.bytes.min(limit).next_multiple_of(PAGE_BYTES);
        let mut bytes = Vec::new();
        bytes
            .try_reserve_exact(usize::try_from(room).unwrap_or(usize::MAX))
            .map_err(|_| self.failed(io::ErrorKind::OutOfMemory.into()))?;
        let begin = limit.min(RECOGNISED_BYTES);
        self.read_on(begin, &mut bytes)?;
        begins_well(&bytes)?;
        self.read_on(limit - begin, &mut bytes)?;
        self.check(stamp)?;
        Ok(bytes)
    }

    fn read_on(&self, limit: u64, bytes: &mut Vec<u8>) -> Result<(), LoadError> {
        let read = (&self.file).take(limit).read_to_end(bytes);
        read.map(drop).map_err(|error| self.failed(error))
    }

    /// Whether this is what was read before, if there was anything.
    fn check(&self, stamp: Stamp) -> Result<(), LoadError> {
        match self.first.get_or_init(|| First::Stamp(stamp)) {
            First::Stamp(first) if *first != stamp || self.stamp()? != stamp => {
                Err(LoadError::Changed(self.path.clone()))
            }
            _ => Ok(()),
        }
    }

    fn stamp(&self) -> Result<Stamp, LoadError> {
        let metadata = self.file.metadata().map_err(|error| self.failed(error))?;
        Ok(Stamp {
            bytes: metadata.len(),
            modified: metadata.modified().ok(),
        })
    }

    fn failed(&self, error: io::Error) -> LoadError {
        LoadError::Read {
            path: self.path.clone(),
            error,
        }
    }
}
