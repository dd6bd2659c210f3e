//! Files: a thread that removes its sockets shall not remove others, and one that connects to sockets
//! shall not find others. Where the kernel has Landlock, threads can do nothing to any path then but
//! remove files from a few folders, and connect to sockets there.

use std::path::PathBuf;
use std::sync::OnceLock;

use landlock::{
    ABI, Access as _, AccessFs, Ruleset, RulesetAttr as _, RulesetCreated, RulesetCreatedAttr as _,
    RulesetError, Scope, path_beneath_rules,
};
use tracing::debug;

use super::ConfinementError;

/// The newest that this command knows; what an older kernel does not know is left out.
const NEWEST: ABI = ABI::V9;

/// What is allowed. It stays open, because threads can open nothing when they need it.
static ALLOWED: OnceLock<RulesetCreated> = OnceLock::new();

/// Folders in which a machine has sockets.
#[derive(Clone, Default, Debug)]
pub struct Folders {
    /// Of sockets to its guest: threads may remove files there, and connect to sockets.
    pub own: Vec<PathBuf>,
    /// Of control sockets, those of other machines among them: threads may only remove files there.
    pub removed_from: Vec<PathBuf>,
}

fn allow(folders: &Folders) -> Result<RulesetCreated, RulesetError> {
    Ruleset::default()
        .handle_access(AccessFs::from_all(NEWEST))?
        .scope(Scope::AbstractUnixSocket)?
        .create()?
        // Folders that are not there are left out.
        .add_rules(path_beneath_rules(
            &folders.own,
            AccessFs::RemoveFile | AccessFs::ResolveUnix,
        ))?
        .add_rules(path_beneath_rules(
            &folders.removed_from,
            AccessFs::RemoveFile,
        ))
}

/// These folders stay, once a thread has called [`enter`].
pub(super) fn keep(folders: &Folders) -> Result<(), ConfinementError> {
    let allowed = allow(folders).map_err(ConfinementError::Folders)?;
    // There is one machine for each process.
    let _ = ALLOWED.set(allowed);
    Ok(())
}

/// Keeps the calling thread, and those that it starts, from all files but those that it may remove. A
/// thread may do that although another one has done it that has started it.
pub(super) fn enter() -> Result<(), ConfinementError> {
    let Some(allowed) = ALLOWED.get() else {
        return Ok(());
    };
    let copy = allowed.try_clone().map_err(ConfinementError::System)?;
    let status = copy.restrict_self().map_err(ConfinementError::Folders)?;
    debug!("files: {:?}", status.ruleset);
    Ok(())
}
