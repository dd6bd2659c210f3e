//! The attestation key of this checkout's development machine. It is made once and signs the
//! platform tokens of the EL3 monitor; whoever verifies them believes its public half.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use attestation_token::PublicKey;
use attestation_token::key::KeyError;
use attestation_token::trust::file::to_jwk;
use getrandom::SysRng;
use p384::SecretKey;
use p384::elliptic_curve::Generate as _;
use p384::elliptic_curve::sec1::ToSec1Point as _;
use p384::pkcs8::{DecodePrivateKey as _, EncodePrivateKey as _, LineEnding};

use crate::atomic::{self, FileError, because};

const PRIVATE: &str = "cpak.pem";
const PUBLIC: &str = "cpak.jwk";

/// The files of the key.
#[derive(Clone, Debug)]
pub(crate) struct KeyFiles {
    /// The private half, PKCS #8 in PEM, for the monitor.
    pub(crate) private: PathBuf,
    /// The public half as a JSON Web Key, for `cca-token verify --trust-anchor`.
    pub(crate) trust_anchor: PathBuf,
}

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeysError {
    #[error(transparent)]
    File(#[from] FileError),
    #[error("no key could be made: {0}")]
    Make(String),
    #[error(
        "{0} is not the pair of keys that was made there: remove it, and the next run makes a new one"
    )]
    Damaged(String),
}

impl KeyFiles {
    fn in_folder(folder: &Path) -> Self {
        Self {
            private: folder.join(PRIVATE),
            trust_anchor: folder.join(PUBLIC),
        }
    }

    /// The key in a folder, made now if the folder is not there.
    pub(crate) fn open(folder: &Path) -> Result<Self, KeysError> {
        if !folder.exists() {
            make(folder)?;
        }
        let files = Self::in_folder(folder);
        if is_pair(&files) {
            Ok(files)
        } else {
            Err(KeysError::Damaged(folder.display().to_string()))
        }
    }
}

/// Whether both halves are there and belong together.
fn is_pair(files: &KeyFiles) -> bool {
    let public = || -> Option<String> {
        let private = fs::read_to_string(&files.private).ok()?;
        let secret = SecretKey::from_pkcs8_pem(&private).ok()?;
        Some(to_jwk(&public_half(&secret).ok()?))
    };
    let anchor = fs::read_to_string(&files.trust_anchor).ok();
    anchor.is_some() && anchor == public()
}

fn public_half(secret: &SecretKey) -> Result<PublicKey, KeyError> {
    PublicKey::from_sec1(secret.public_key().to_sec1_point(false).as_bytes())
}

/// Makes a key in a folder beside its place and renames that, so that of several at once one wins
/// with both halves.
fn make(folder: &Path) -> Result<(), KeysError> {
    let parent = match folder.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    atomic::create_folder(parent)?;
    let secret = SecretKey::try_generate_from_rng(&mut SysRng)
        .map_err(|error| KeysError::Make(error.to_string()))?;
    let pem = secret
        .to_pkcs8_pem(LineEnding::LF)
        .map_err(|error| KeysError::Make(error.to_string()))?;
    let public = public_half(&secret).map_err(|error| KeysError::Make(error.to_string()))?;
    let place = tempfile::Builder::new()
        .prefix(".new-keys-")
        .tempdir_in(parent)
        .map_err(because("make a folder in", parent))?;
    let files = KeyFiles::in_folder(place.path());
    let mut private = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&files.private)
        .map_err(because("write", &files.private))?;
    private
        .write_all(pem.as_bytes())
        .map_err(because("write", &files.private))?;
    atomic::write(&files.trust_anchor, to_jwk(&public).as_bytes())?;
    match fs::rename(place.path(), folder) {
        Ok(()) => Ok(()),
        // Somebody else was faster.
        Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => Ok(()),
        Err(error) => Err(because("make", folder)(error).into()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_key_is_made_once_and_its_private_half_is_the_owners() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("keys");
        let files = KeyFiles::open(&place).unwrap();
        let first = fs::read(&files.private).unwrap();
        let mode = fs::metadata(&files.private).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let again = KeyFiles::open(&place).unwrap();
        assert_eq!(fs::read(again.private).unwrap(), first);
        // Nothing else is left beside it.
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        let other = KeyFiles::open(&folder.path().join("other")).unwrap();
        assert_ne!(fs::read(other.private).unwrap(), first);
    }

    #[test]
    fn the_public_half_is_a_trust_anchor() {
        let folder = tempfile::tempdir().unwrap();
        let files = KeyFiles::open(&folder.path().join("keys")).unwrap();
        let anchor = fs::read(&files.trust_anchor).unwrap();
        let anchors = attestation_token::trust::file::parse(&anchor).unwrap();
        assert_eq!(anchors.len(), 1);
        assert_eq!(anchors[0].key.curve(), attestation_token::Curve::P384);
    }

    #[test]
    fn of_several_at_once_one_wins() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("keys");
        let keys: Vec<_> = std::thread::scope(|scope| {
            let open = || {
                let files = KeyFiles::open(&place).unwrap();
                fs::read(files.private).unwrap()
            };
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(open)).collect();
            let keys = threads.into_iter().map(|thread| thread.join().unwrap());
            keys.collect()
        });
        assert!(keys.iter().all(|key| *key == keys[0]));
    }

    #[test]
    fn half_a_key_is_said_to_be_damaged() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("keys");
        let files = KeyFiles::open(&place).unwrap();
        let other = KeyFiles::open(&folder.path().join("other")).unwrap();
        fs::copy(other.trust_anchor, &files.trust_anchor).unwrap();
        let refused = || KeyFiles::open(&place).unwrap_err().to_string();
        assert!(refused().contains("remove it"), "{}", refused());
        fs::remove_file(&files.trust_anchor).unwrap();
        assert!(refused().contains("remove it"));
    }
}
