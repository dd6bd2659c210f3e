//! How a measurement is printed.

use attestation_token::claims::HashValue;
use attestation_token::reference::file::{self, ReferenceFileError};
use attestation_token::reference::{RealmReference, ReferenceValues};
use serde::Serialize;

use crate::configuration::{Configuration, Program, RealmOptions};
use crate::layout::{PAGE_BYTES, Range};
use crate::load::{LoadError, Prepared, Segment};

/// Reference values by which `cca-token verify` accepts the Realm.
///
/// # Errors
///
/// Those of writing them, which do not happen.
pub fn toml(
    configuration: &Configuration,
    options: &RealmOptions,
    measurement: HashValue,
) -> Result<String, ReferenceFileError> {
    file::to_toml(&ReferenceValues {
        platforms: Vec::new(),
        realms: vec![RealmReference {
            name: Some(configuration.name.to_string()),
            initial_measurement: vec![measurement],
            personalization_value: vec![*options.personalization_value.as_bytes()],
            ..RealmReference::default()
        }],
    })
}

/// A measurement with all that it follows from. Claims have their names from tokens.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Report<'a> {
    cca_realm_hash_algo_id: &'static str,
    cca_realm_initial_measurement: String,
    cca_realm_personalization_value: String,
    parameters: Parameters,
    layout: Layout,
    command_line: &'a str,
    contents: Vec<Content>,
    first_vcpu: FirstVcpu,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Parameters {
    ipa_bits: u8,
    sve_bits: Option<u32>,
    pmu_counters: Option<u8>,
    breakpoints: u32,
    watchpoints: u32,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Layout {
    ram: Place,
    shared_bit: String,
    cpus: u32,
    virtio_devices: usize,
}

#[derive(Serialize)]
struct Place {
    base: String,
    size: u64,
}

#[derive(Serialize)]
struct Content {
    what: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<String>,
    ipa: String,
    bytes: u64,
    pages: u64,
    sha256: String,
}

#[derive(Serialize)]
struct FirstVcpu {
    pc: String,
    x0: String,
}

impl<'a> Report<'a> {
    /// Everything about the measurement of a Realm.
    ///
    /// # Errors
    ///
    /// Those of reading the content.
    pub fn new(
        configuration: &'a Configuration,
        options: &RealmOptions,
        prepared: &Prepared,
        measurement: HashValue,
    ) -> Result<Self, LoadError> {
        let layout = &prepared.layout;
        let path = |path: &std::path::Path| Some(path.display().to_string());
        let program = match configuration.program {
            Program::Kernel => "kernel",
            Program::Firmware => "firmware",
        };
        let mut contents = vec![
            content(program, path(&configuration.kernel), prepared.kernel())?,
            content("device-tree", None, prepared.device_tree())?,
        ];
        if let Some(initrd) = prepared.initrd() {
            let file = configuration.initrd.as_deref().and_then(path);
            contents.push(content("initrd", file, initrd)?);
        }
        Ok(Self {
            cca_realm_hash_algo_id: options.hash_algorithm.name(),
            cca_realm_initial_measurement: measurement.to_string(),
            cca_realm_personalization_value: options.personalization_value.to_string(),
            parameters: Parameters {
                ipa_bits: layout.ipa_bits,
                sve_bits: options.sve_vl.map(|vl| (u32::from(vl) + 1) * 128),
                pmu_counters: options.pmu_counters,
                breakpoints: u32::from(options.breakpoints) + 1,
                watchpoints: u32::from(options.watchpoints) + 1,
            },
            layout: Layout {
                ram: place(layout.ram),
                shared_bit: address(layout.shared_bit()),
                cpus: configuration.cpus.get(),
                virtio_devices: configuration.virtio_devices().count(),
            },
            command_line: &configuration.command_line,
            contents,
            first_vcpu: FirstVcpu {
                pc: address(prepared.entry),
                x0: address(prepared.registers()[0]),
            },
        })
    }
}

fn content(
    what: &'static str,
    file: Option<String>,
    segment: &Segment,
) -> Result<Content, LoadError> {
    let hash = segment.sha256()?;
    Ok(Content {
        what,
        file,
        ipa: address(segment.ipa),
        bytes: segment.content_bytes(),
        pages: segment.range().size / PAGE_BYTES,
        sha256: HashValue::from(hash).to_string(),
    })
}

fn place(range: Range) -> Place {
    Place {
        base: address(range.base),
        size: range.size,
    }
}

fn address(address: u64) -> String {
    format!("{address:#x}")
}
