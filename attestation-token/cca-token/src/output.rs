//! What commands write.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write as _, stdout};
use std::path::Path;

use crate::failure::Failure;

/// Writes to a file, or to standard output (`-` or nothing).
pub(crate) fn write(path: Option<&Path>, bytes: &[u8]) -> Result<(), Failure> {
    if let Some(path) = path.filter(|path| *path != Path::new("-")) {
        return std::fs::write(path, bytes)
            .map_err(|error| Failure::unusable(path.display(), error));
    }
    let mut stdout = stdout().lock();
    match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
        // Whoever reads has enough.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        result => result.map_err(|error| Failure::unusable("standard output", error)),
    }
}

/// Writes JSON to standard output.
pub(crate) fn json(value: &serde_json::Value) -> Result<(), Failure> {
    write(None, format!("{value:#}\n").as_bytes())
}

/// Writes a file that must not exist and that only its owner may read.
pub(crate) fn write_secret(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(0o600);
    }
    options
        .open(path)
        .and_then(|mut file| file.write_all(bytes))
        .map_err(|error| Failure::unusable(path.display(), error))
}
