//! The guest owner's side: what is expected of machine and Realm before anything runs, and the
//! verdict on the evidence, both by the program `cca-token` that people use.

use std::env;
use std::path::{Path, PathBuf};

use attestation_token::HashAlgorithm;
use attestation_token::crypto::hash;
use attestation_token::reference::{
    ComponentReference, MaskedBytes, PlatformReference, ReferenceValues, file,
};
use getrandom::SysRng;
use p384::elliptic_curve::rand_core::TryRng as _;
use realm_payload::{IMAGE_BASE, ImageHeader};

use crate::atomic::{self, FileError};
use crate::command_line::{CommandLine, ProgramError};
use crate::machine::Machine;

/// Types of the components in the monitor's platform token.
const MONITOR: &str = "EL3-monitor";
const RMM: &str = "RMM";
/// Its platform configuration when nothing goes wrong on purpose.
const NO_FAULT: u8 = 0;

/// The Realm of the test host's demonstration: bits of its addresses, and RAM beyond the program's.
const IPA_WIDTH: u32 = 40;
const TWO_MEGABYTES: u64 = 2 << 20;
const PAGE: u64 = 4096;

/// What the owner cannot do.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OwnerError {
    #[error(transparent)]
    File(#[from] FileError),
    #[error("no program {}: `make emulator` builds it, `--cca-token` says where it is", .0.display())]
    NoProgram(PathBuf),
    #[error(transparent)]
    Run(#[from] ProgramError),
    #[error("{command}\nended with {code:?}: {text}")]
    Failed {
        command: String,
        code: Option<i32>,
        text: String,
    },
    #[error("{} is no program for Realms", .0.display())]
    NoPayload(PathBuf),
    #[error("no random bytes for a challenge: {0}")]
    Random(String),
    #[error("without an RMM there is no evidence (--no-rmm)")]
    NoRmm,
    #[error("the reference values cannot be written")]
    Writing,
}

/// A guest owner with a folder for what he has.
pub(crate) struct Owner {
    program: PathBuf,
    folder: PathBuf,
}

impl Owner {
    /// An owner who uses this program, or the one beside this one.
    pub(crate) fn new(program: Option<&Path>, folder: &Path) -> Result<Self, OwnerError> {
        let program = match program {
            Some(program) => program.to_path_buf(),
            None => env::current_exe()
                .unwrap_or_default()
                .with_file_name("cca-token"),
        };
        if !program.is_file() {
            return Err(OwnerError::NoProgram(program));
        }
        atomic::create_folder(folder)?;
        Ok(Self {
            program,
            folder: folder.to_path_buf(),
        })
    }

    /// A file in the owner's folder.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn command(&self, name: &str) -> CommandLine {
        let mut command = CommandLine::new(&self.program);
        command.add(&[name]);
        command
    }

    /// The command that predicts the initial measurement of a Realm of the test host with this
    /// program.
    pub(crate) fn prediction(&self, payload: &Path) -> Result<CommandLine, OwnerError> {
        let image = atomic::read(payload)?;
        let header =
            ImageHeader::of(&image).ok_or_else(|| OwnerError::NoPayload(payload.to_path_buf()))?;
        let memory = header.memory_size.next_multiple_of(PAGE);
        let spare = IMAGE_BASE + TWO_MEGABYTES;
        let mut command = self.command("rim");
        command
            .add(&["--hash", "sha-256", "--ipa-width", &IPA_WIDTH.to_string()])
            .add(&["--ram", &format!("{IMAGE_BASE:#x}+{memory:#x}:3")])
            .add(&["--ram", &format!("{spare:#x}+{TWO_MEGABYTES:#x}:2")])
            .add(&["--load", &format!("{IMAGE_BASE:#x}={}", payload.display())])
            .add(&["--rec", &format!("pc={IMAGE_BASE:#x}")])
            .add(&["--format", "toml"]);
        Ok(command)
    }

    /// Predicts it and keeps it as reference values in a file.
    pub(crate) fn predict(&self, command: &CommandLine, name: &str) -> Result<PathBuf, OwnerError> {
        let output = command.run()?;
        if !output.status.success() {
            return Err(OwnerError::Failed {
                command: command.text(),
                code: output.status.code(),
                text: String::from_utf8_lossy(&output.stderr).into_owned(),
            });
        }
        let path = self.file(name);
        atomic::write(&path, &output.stdout)?;
        Ok(path)
    }

    /// Writes reference values for a machine with these images.
    pub(crate) fn expect_firmware(
        &self,
        monitor: &Path,
        rmm: &Path,
        name: &str,
    ) -> Result<PathBuf, OwnerError> {
        let component = |kind: &str, path| -> Result<_, OwnerError> {
            Ok(ComponentReference {
                component_type: Some(kind.to_owned()),
                measurements: vec![hash(HashAlgorithm::Sha256, &atomic::read(path)?)],
                ..ComponentReference::default()
            })
        };
        let values = ReferenceValues {
            platforms: vec![PlatformReference {
                config: vec![MaskedBytes::exact(vec![NO_FAULT])],
                software_components: vec![component(MONITOR, monitor)?, component(RMM, rmm)?],
                ..PlatformReference::default()
            }],
            realms: Vec::new(),
        };
        let text = file::to_toml(&values).map_err(|_| OwnerError::Writing)?;
        let path = self.file(name);
        atomic::write(&path, text.as_bytes())?;
        Ok(path)
    }

    /// The command that judges a token of a Realm.
    pub(crate) fn verification(
        &self,
        trust_anchor: &Path,
        challenge: &Challenge,
        references: &[&Path],
        token: &Path,
    ) -> CommandLine {
        let mut command = self.command("verify");
        command
            .path("--trust-anchor", trust_anchor)
            .add(&["--challenge", &challenge.to_string()]);
        for path in references {
            command.path("--ref-values", path);
        }
        command.file(token);
        command
    }

    /// The command that judges a platform token alone.
    pub(crate) fn platform_verification(
        &self,
        trust_anchor: &Path,
        references: &Path,
        token: &Path,
    ) -> CommandLine {
        let mut command = self.command("verify");
        command
            .path("--trust-anchor", trust_anchor)
            .path("--ref-values", references)
            .add(&["--platform-only"]);
        command.file(token);
        command
    }
}

/// The images of a machine that platform tokens measure.
pub(crate) fn measured_images(machine: &Machine) -> Result<(&Path, &Path), OwnerError> {
    let rmm = machine.rmm.as_deref().ok_or(OwnerError::NoRmm)?;
    Ok((&machine.monitor, rmm))
}

/// Random bytes that evidence has to be over.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Challenge([u8; 64]);

impl Challenge {
    /// A fresh one.
    pub(crate) fn new() -> Result<Self, OwnerError> {
        let mut bytes = [0; 64];
        SysRng
            .try_fill_bytes(&mut bytes)
            .map_err(|error| OwnerError::Random(error.to_string()))?;
        Ok(Self(bytes))
    }
}

impl std::fmt::Display for Challenge {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}
