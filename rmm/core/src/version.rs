//! Negotiating the revision of an interface (DEN0137 section B4.3.23 `RMI_VERSION`, B5.3.10
//! `RSI_VERSION`).

use rmm_abi::Version;

/// Whether a requested revision is served, and the two revisions that the caller is told: the
/// one that fits the request best and the highest one. There is one revision.
pub(crate) const fn negotiate(requested: u64, only: Version) -> (bool, u64, u64) {
    (requested == only.word(), only.word(), only.word())
}
