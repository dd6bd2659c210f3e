//! What a machine is made of and stays open for its restarts.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock};

use crate::backend::kvm::Flavour;
use crate::devices::lock;
use crate::devices::virtio::vsock::{Listener, ListenerError};
use crate::sys::kvm::Node;

/// The device node and the files of a machine. Whoever makes a machine again takes them from here: a
/// process that has made one machine can open nothing any more.
#[derive(Debug, Default)]
pub struct Held {
    pub(crate) node: OnceLock<(Flavour, Node)>,
    files: Mutex<Files>,
    listeners: Mutex<Vec<(PathBuf, Arc<Listener>)>>,
}

#[derive(Debug, Default)]
struct Files {
    /// In the order in which a machine wants them, which is always the same.
    open: Vec<(PathBuf, File)>,
    /// How many the machine that is being made has got.
    used: usize,
}

impl Held {
    /// A machine is made from the beginning.
    pub(super) fn begin(&self) {
        lock(&self.files).used = 0;
    }

    /// The next file, which is at a path or has another name that is as good: the one that the machine before had, or what `open` gives. It
    /// shares position and lock with the one that stays here.
    ///
    /// # Errors
    ///
    /// Those of `open`, or if the process has no descriptor left.
    pub fn file<E: From<io::Error>>(
        &self,
        path: &Path,
        open: impl FnOnce() -> Result<File, E>,
    ) -> Result<File, E> {
        let mut files = lock(&self.files);
        let index = files.used;
        files.used += 1;
        if let Some((_, file)) = files.open.get(index).filter(|(other, _)| other == path) {
            return Ok(file.try_clone()?);
        }
        let file = open()?;
        files.open.truncate(index);
        files.open.push((path.to_owned(), file.try_clone()?));
        Ok(file)
    }

    /// The Unix socket of a vsock device.
    ///
    /// # Errors
    ///
    /// If it cannot be made.
    pub fn listener(&self, path: &Path) -> Result<Arc<Listener>, ListenerError> {
        let mut listeners = lock(&self.listeners);
        // Nobody else can listen there, so there is never a second one.
        if let Some((_, listener)) = listeners.iter().find(|(other, _)| other == path) {
            return Ok(Arc::clone(listener));
        }
        let listener = Arc::new(Listener::new(path)?);
        listeners.push((path.to_owned(), Arc::clone(&listener)));
        Ok(listener)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_that_is_made_again_gets_what_is_open() {
        let held = Held::default();
        let null = Path::new("/dev/null");
        let closed = || Err(io::Error::from(io::ErrorKind::PermissionDenied));
        let open = || File::open(null);
        held.begin();
        held.file(null, open).unwrap();
        // Twice the same is two files: whether that may be is for their locks to say.
        assert!(held.file(null, closed).is_err());
        held.file(Path::new("b"), open).unwrap();
        for _ in 0..2 {
            held.begin();
            held.file(null, closed).unwrap();
        }
    }
}
