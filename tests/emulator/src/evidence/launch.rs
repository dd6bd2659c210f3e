//! What an owner knows before the launch, and how evidence is judged by it.

use std::path::{Path, PathBuf};

use crate::atomic;
use crate::command_line::CommandLine;
use crate::machine::Machine;
use crate::owner::{Challenge, Owner, OwnerError, measured_images};

/// What an owner knows before the launch.
pub(crate) struct Launch {
    /// How the initial measurement was predicted.
    pub(crate) prediction: CommandLine,
    /// What came out, as reference values.
    pub(crate) predicted: String,
    pub(crate) challenge: Challenge,
    pub(super) realm_values: PathBuf,
    pub(super) firmware_values: PathBuf,
}

/// Takes down what is expected of a machine, and of a Realm whose measurement this command predicts.
pub(crate) fn prepare(
    owner: &Owner,
    machine: &Machine,
    prediction: CommandLine,
) -> Result<Launch, OwnerError> {
    let (monitor, rmm) = measured_images(machine)?;
    let realm_values = owner.predict(&prediction, "realm.toml")?;
    Ok(Launch {
        predicted: String::from_utf8_lossy(&atomic::read(&realm_values)?).into_owned(),
        prediction,
        challenge: Challenge::new()?,
        realm_values,
        firmware_values: owner.expect_firmware(monitor, rmm, "firmware.toml")?,
    })
}

impl Launch {
    /// The command line of the test host for it.
    pub(crate) fn command_line(&self) -> String {
        format!("mode=demo challenge={}", self.challenge)
    }

    /// The command that judges the evidence.
    pub(crate) fn verification(&self, owner: &Owner, anchor: &Path, token: &Path) -> CommandLine {
        owner.verification(anchor, &self.challenge, &self.references(), token)
    }

    /// Files of reference values.
    pub(super) fn references(&self) -> [&Path; 2] {
        [&self.firmware_values, &self.realm_values]
    }
}
