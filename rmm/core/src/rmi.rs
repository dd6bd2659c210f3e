//! The commands of the RMI, a file per family (DEN0137 section B4.3).

pub(crate) mod features;
pub(crate) mod granule;
pub(crate) mod version;
