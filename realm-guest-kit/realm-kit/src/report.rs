//! Reports of the platform's security module, as Linux offers them to user space: a folder for each
//! request, whose files take the challenge and give the token (kernel documentation,
//! `ABI/testing/configfs-tsm-report`).

mod configfs;
#[cfg(test)]
mod tests;

use std::io;

pub(crate) use configfs::Configfs;

use crate::challenge;

/// Who has to answer: the kernel's driver for Arm CCA.
const PROVIDER: &str = "arm_cca_guest";
/// `EWOULDBLOCK`: the report belongs to another challenge than the one written last.
const WOULD_BLOCK: io::ErrorKind = io::ErrorKind::WouldBlock;
/// So often a request is begun anew when somebody else writes to the same one.
const ATTEMPTS: u32 = 5;
/// So many names are tried for a request.
const NAMES: u32 = 16;

/// A file of a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Attribute {
    /// Takes the challenge.
    Challenge,
    /// Gives the token.
    Token,
    /// Counts what has been written to the request.
    Generation,
    /// Says which driver answers.
    Provider,
}

impl Attribute {
    /// The name of the file.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Challenge => "inblob",
            Self::Token => "outblob",
            Self::Generation => "generation",
            Self::Provider => "provider",
        }
    }
}

/// The folder in which requests are made.
pub(crate) trait ReportFolder {
    /// Makes a request of this name.
    fn create(&mut self, request: &str) -> io::Result<()>;
    /// Takes a request away.
    fn remove(&mut self, request: &str) -> io::Result<()>;
    /// Writes a file of a request, all of it at once.
    fn write(&mut self, request: &str, attribute: Attribute, bytes: &[u8]) -> io::Result<()>;
    /// Reads a file of a request to its end.
    fn read(&mut self, request: &str, attribute: Attribute) -> io::Result<Vec<u8>>;
    /// What this system lacks that has to be there for any request.
    fn missing(&self) -> Option<Missing>;
}

/// What a system lacks for evidence.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub(crate) enum Missing {
    #[error("configfs is not mounted: mount -t configfs none /sys/kernel/config")]
    Configfs,
    #[error(
        "this system does not run in a Realm (the kernel has found no Realm Services Interface), so there is no evidence of it"
    )]
    Realm,
    #[error(
        "there is no {0}: modprobe arm-cca-guest loads the driver (Linux 6.13 or newer, CONFIG_ARM_CCA_GUEST)"
    )]
    Driver(String),
    #[error("there is no folder {0}")]
    Folder(String),
}

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReportError {
    #[error(transparent)]
    Missing(Missing),
    #[error("no driver answers requests for reports: modprobe arm-cca-guest, inside a Realm")]
    NoProvider,
    #[error("reports come from '{0}', not from {PROVIDER}: this is no Realm of Arm CCA")]
    Provider(String),
    #[error("the kernel lets nobody but root ask for a report")]
    Permission,
    #[error("all {NAMES} names for a request are taken: remove those that nobody uses any more")]
    Names,
    #[error("cannot make a request for a report: {0}")]
    Create(io::Error),
    #[error("cannot read '{}' of the request: {source}", attribute.name())]
    Read {
        attribute: Attribute,
        source: io::Error,
    },
    #[error("cannot write '{}' of the request: {source}", attribute.name())]
    Write {
        attribute: Attribute,
        source: io::Error,
    },
    #[error("the kernel's count of writes is no number: '{0}'")]
    Generation(String),
    #[error("somebody else has written to the request, {ATTEMPTS} times: no token")]
    Disturbed,
    #[error("the token is empty")]
    Empty,
    #[error("the request cannot be removed: {0}")]
    Remove(io::Error),
}

impl ReportError {
    /// Whether this system has no evidence to give, whatever is asked.
    pub(crate) const fn is_absence(&self) -> bool {
        matches!(
            self,
            Self::Missing(_) | Self::NoProvider | Self::Provider(_)
        )
    }
}

/// Gets a token over a challenge. The request is gone afterwards, with and without a token.
pub(crate) fn fetch(
    folder: &mut dyn ReportFolder,
    challenge: &[u8; challenge::SIZE],
) -> Result<Vec<u8>, ReportError> {
    let request = create(folder)?;
    let token = ask(folder, &request, challenge);
    let removed = folder.remove(&request).map_err(ReportError::Remove);
    let token = token?;
    removed?;
    Ok(token)
}

/// Makes a request under a name that nobody else uses.
fn create(folder: &mut dyn ReportFolder) -> Result<String, ReportError> {
    if let Some(missing) = folder.missing() {
        return Err(ReportError::Missing(missing));
    }
    for number in 0..NAMES {
        let name = format!("realm-kit-{}-{number}", std::process::id());
        match folder.create(&name) {
            Ok(()) => return Ok(name),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(refusal(error)),
        }
    }
    Err(ReportError::Names)
}

/// What a refused request means.
fn refusal(error: io::Error) -> ReportError {
    const NO_SUCH_DEVICE_OR_ADDRESS: i32 = 6;
    if error.raw_os_error() == Some(NO_SUCH_DEVICE_OR_ADDRESS) {
        return ReportError::NoProvider;
    }
    match error.kind() {
        io::ErrorKind::PermissionDenied => ReportError::Permission,
        _ => ReportError::Create(error),
    }
}

/// Hands in the challenge and takes the token. Whether the token is over this challenge shows in the
/// kernel's count of writes: it must have grown by the one write of ours.
fn ask(
    folder: &mut dyn ReportFolder,
    request: &str,
    challenge: &[u8],
) -> Result<Vec<u8>, ReportError> {
    let provider = text(folder, request, Attribute::Provider)?;
    if provider != PROVIDER {
        return Err(ReportError::Provider(provider));
    }
    for _ in 0..ATTEMPTS {
        let before = generation(folder, request)?;
        let attribute = Attribute::Challenge;
        folder
            .write(request, attribute, challenge)
            .map_err(|source| ReportError::Write { attribute, source })?;
        let token = match folder.read(request, Attribute::Token) {
            Ok(token) => token,
            Err(error) if error.kind() == WOULD_BLOCK => continue,
            Err(source) => {
                let attribute = Attribute::Token;
                return Err(ReportError::Read { attribute, source });
            }
        };
        if generation(folder, request)? == before.wrapping_add(1) {
            return if token.is_empty() {
                Err(ReportError::Empty)
            } else {
                Ok(token)
            };
        }
    }
    Err(ReportError::Disturbed)
}

fn generation(folder: &mut dyn ReportFolder, request: &str) -> Result<u32, ReportError> {
    let text = text(folder, request, Attribute::Generation)?;
    text.parse().map_err(|_| ReportError::Generation(text))
}

/// A file of one short line.
fn text(
    folder: &mut dyn ReportFolder,
    request: &str,
    attribute: Attribute,
) -> Result<String, ReportError> {
    let bytes = folder
        .read(request, attribute)
        .map_err(|source| ReportError::Read { attribute, source })?;
    let text = String::from_utf8_lossy(&bytes);
    // It ends up in messages.
    let plain = text
        .trim_end()
        .chars()
        .filter(|letter| !letter.is_control());
    Ok(plain.take(64).collect())
}
