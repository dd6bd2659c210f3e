//! Files of reference values.

use attestation_token::HashValue;
use attestation_token::reference::file::{ReferenceFileError, parse, to_json, to_toml};
use attestation_token::reference::{MaskedBytes, ReferenceValues};

use crate::appraisal::references;
use crate::samples::Sample;

#[test]
fn what_is_written_is_read_again() {
    for sample in [Sample::new(), Sample::v2024(), Sample::legacy()] {
        let mut values = references(&sample);
        values.platforms[0].name = Some("machine \"1\"".into());
        let masked = MaskedBytes::masked(vec![1, 2], vec![0xff, 0]).unwrap();
        values.platforms[0].config.push(masked);
        values.platforms[0].software_components[0].optional = true;
        values.platforms[0].software_components[0].version = None;
        values.realms[0].name = Some("web".into());
        values.realms[0].extensible_measurements[1].clear();
        values.realms[0]
            .initial_measurement
            .push(HashValue::from([9; 64]));
        values.realms.push(values.realms[0].clone());
        values.realms[1].extensible_measurements = Default::default();
        let toml = to_toml(&values).unwrap();
        assert_eq!(parse(toml.as_bytes()).unwrap(), values, "{toml}");
        let json = to_json(&values).unwrap();
        assert_eq!(parse(json.as_bytes()).unwrap(), values, "{json}");
    }
    assert_eq!(parse(b""), Ok(ReferenceValues::default()));
    assert_eq!(parse(b"{}"), Ok(ReferenceValues::default()));
}

#[test]
fn as_a_person_writes_them() {
    let hash = "ab".repeat(32);
    let text = format!(
        "# my machines\n\
         [[platform]]\n\
         implementation-id = \"{hash}\"\n\
         config = [\"cfcfcfcf\", {{ value = \"0xcf00\", mask = \"/wA=\" }}]\n\
         [[platform.software-component]]\n\
         type = \"RMM\"\n\
         signer-id = \"{hash}\"\n\
         [[realm]]\n\
         initial-measurement = \"{hash}\"\n\
         extensible-measurement = [[], [\"{hash}\", \"{hash}\"]]\n"
    );
    let values = parse(text.as_bytes()).unwrap();
    let platform = &values.platforms[0];
    assert_eq!(platform.implementation_id, Some([0xab; 32]));
    assert_eq!(platform.config[0], MaskedBytes::exact(vec![0xcf; 4]));
    let masked = MaskedBytes::masked(vec![0xcf, 0], vec![0xff, 0]);
    assert_eq!(Some(platform.config[1].clone()), masked);
    assert!(platform.software_components[0].measurements.is_empty());
    let realm = &values.realms[0];
    assert_eq!(realm.initial_measurement, [HashValue::from([0xab; 32])]);
    assert_eq!(realm.extensible_measurements[1].len(), 2);
    assert!(realm.personalization_value.is_empty());
}

#[test]
fn mistakes_are_named_with_their_place() {
    let error = |text: &str| parse(text.as_bytes()).unwrap_err().to_string();
    for (text, place) in [
        (
            "[[realm]]\ninitial-measurement = \"00\"",
            "realm[0].initial-measurement",
        ),
        (
            "[[realm]]\n[[realm]]\npersonalization-value = \"00\"",
            "realm[1].personalization-value",
        ),
        (
            "[[realm]]\nextensible-measurement = [\"00\"]",
            "realm[0].extensible-measurement",
        ),
        (
            "[[realm]]\nextensible-measurement = [[], [], [], [], []]",
            "realm[0].extensible-measurement",
        ),
        (
            "[[platform]]\nimplementation-id = \"00\"",
            "platform[0].implementation-id",
        ),
        ("[[platform]]\nconfig = \"?\"", "platform[0].config"),
        (
            "[[platform]]\nconfig = { value = \"00\", mask = \"0000\" }",
            "platform[0].config",
        ),
        (
            "[[platform]]\n[[platform.software-component]]\nmeasurement = \"00\"",
            "platform[0].software-component[0].measurement",
        ),
        (
            "[[platform]]\n[[platform.software-component]]\ntype = \"RMM\"",
            "platform[0].software-component[0].measurement",
        ),
        ("[[realm]]\nrim = \"00\"", "rim"),
        ("[[realms]]\n", "realms"),
        ("[[realm]]\ninitial-measurement = 17", "initial-measurement"),
        ("{\"realm\": [{\"rim\": \"00\"}]}", "rim"),
    ] {
        let error = error(text);
        assert!(error.contains(place), "{text}: {error}");
    }
    assert_eq!(parse(&[0xd9, 0xff]), Err(ReferenceFileError::NotText));
}
