//! The initial measurement that a Realm will have.
//!
//! It follows from the calls that a launch makes (`host-vmm/kmod/README.md`, "Order of
//! measurement"): parameters, RAM in entries of 2 MiB, the pages of each segment, the first vCPU.

use attestation_token::claims::HashValue;
use attestation_token::rim::{Content, GRANULE_BYTES, Realm, RealmParameters, Rec, RimError};
use thiserror::Error;

use crate::configuration::{HashAlgorithm, RealmOptions};
use crate::layout::PAGE_BYTES;
use crate::load::{LoadError, Prepared};

pub mod report;

/// Level of the entries that RAM is made of.
const RAM_LEVEL: u8 = 2;

const _: () = assert!(GRANULE_BYTES as u64 == PAGE_BYTES);

/// Why there is no measurement.
#[derive(Error, Debug)]
pub enum MeasureError {
    /// The content cannot be read, or is not what it was.
    #[error(transparent)]
    Content(#[from] LoadError),
    /// A Realm that cannot be; what [`Prepared::new`] makes can.
    #[error("the initial measurement cannot be computed: {0}")]
    Realm(#[from] RimError),
}

/// The parameters that are measured.
pub fn parameters(options: &RealmOptions, prepared: &Prepared) -> RealmParameters {
    RealmParameters {
        lpa2: false,
        sve_vl: options.sve_vl,
        pmu_counters: options.pmu_counters,
        ipa_width: prepared.layout.ipa_bits,
        breakpoints: options.breakpoints,
        watchpoints: options.watchpoints,
        hash_algorithm: match options.hash_algorithm {
            HashAlgorithm::Sha256 => attestation_token::HashAlgorithm::Sha256,
            HashAlgorithm::Sha512 => attestation_token::HashAlgorithm::Sha512,
        },
    }
}

/// The initial measurement of a Realm with these options and this content.
///
/// # Errors
///
/// Those of reading the content.
pub fn initial_measurement(
    options: &RealmOptions,
    prepared: &Prepared,
) -> Result<HashValue, MeasureError> {
    initial_measurement_while(options, prepared, || Ok(()))
}

/// The same, for as long as it goes on, which is asked for each piece of the content.
///
/// # Errors
///
/// Those of [`initial_measurement`], and that of `goes_on`.
pub fn initial_measurement_while<E: From<MeasureError>>(
    options: &RealmOptions,
    prepared: &Prepared,
    mut goes_on: impl FnMut() -> Result<(), E>,
) -> Result<HashValue, E> {
    let mut realm = Realm::new(&parameters(options, prepared)).map_err(MeasureError::from)?;
    let ram = prepared.layout.ram;
    let initialised = realm.init_ripas(ram.base, ram.end(), RAM_LEVEL);
    initialised.map_err(MeasureError::from)?;
    for segment in prepared.segments() {
        let mut pieces = segment.pieces();
        while let Some(piece) = pieces.next().map_err(MeasureError::from)? {
            goes_on()?;
            let addresses = (piece.ipa..).step_by(GRANULE_BYTES);
            for (page, ipa) in piece.pages.iter().zip(addresses) {
                let measured = realm.data(ipa, Content::Measured(&page.0));
                measured.map_err(MeasureError::from)?;
            }
        }
    }
    realm.rec(&Rec {
        pc: prepared.entry,
        gprs: prepared.registers(),
    });
    Ok(realm.initial_measurement())
}

#[cfg(test)]
mod tests;
