//! What a platform token says of an image: firmware that boots measured hashes the bytes that it has
//! loaded, which are those of the flat file.

use attestation_token::HashAlgorithm;
use attestation_token::crypto::hash;
use attestation_token::reference::file::{self, ReferenceFileError};
use attestation_token::reference::{ComponentReference, PlatformReference, ReferenceValues};

/// Role of an RMM among the software components of a platform token.
const RMM: &str = "RMM";

/// Reference values that cannot be written.
#[derive(Debug, thiserror::Error)]
#[error("the reference values cannot be written: {0}")]
pub(crate) struct MeasurementError(#[from] ReferenceFileError);

/// Reference values for the image as the RMM of a machine, by each hash algorithm that a platform
/// token may name.
pub(crate) fn reference_values(image: &[u8]) -> Result<String, MeasurementError> {
    let algorithms = [
        HashAlgorithm::Sha256,
        HashAlgorithm::Sha384,
        HashAlgorithm::Sha512,
    ];
    let component = ComponentReference {
        component_type: Some(RMM.to_owned()),
        measurements: algorithms
            .into_iter()
            .map(|algorithm| hash(algorithm, image))
            .collect(),
        ..ComponentReference::default()
    };
    let values = ReferenceValues {
        platforms: vec![PlatformReference {
            software_components: vec![component],
            ..PlatformReference::default()
        }],
        realms: Vec::new(),
    };
    let text = file::to_toml(&values)?;
    Ok(format!(
        "# The RMM of a platform token: SHA-256, SHA-384 and SHA-512 of the flat image, whichever the\n\
         # firmware uses. Other firmware of the machine has entries of its own.\n{text}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_the_hashes_of_the_file() {
        let text = reference_values(b"abc").unwrap();
        // FIPS 180-4, the examples of one block.
        for expected in [
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
            "cb00753f45a35e8bb5a03d699ac65007272c32ab0eded1631a8b605a43ff5bed8086072ba1e7cc2358baeca134c825a7",
            "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
        ] {
            assert!(text.contains(expected), "{text}");
        }
        let values = file::parse(text.as_bytes()).unwrap();
        let component = &values.platforms[0].software_components[0];
        assert_eq!(component.component_type.as_deref(), Some("RMM"));
    }
}
