//! The bill of materials of an image, as `CycloneDX` 1.5 in JSON.

use std::collections::BTreeSet;

use attestation_token::HashAlgorithm;
use attestation_token::crypto::hash;
use serde::{Deserialize, Serialize};

use crate::cargo::{Compiler, Graph, Package};

/// Parts of Rust's standard library that are in an image.
const LIBRARY: [&str; 3] = ["alloc", "compiler_builtins", "core"];
const RUST_LICENCE: &str = "MIT OR Apache-2.0";
const RUST_REPOSITORY: &str = "https://github.com/rust-lang/rust";

/// The property that says what a crate is called in code, where the package has another name.
const CRATE_NAME: &str = "cloister:crate-name";
const FEATURES: &str = "cloister:features";
const REVISION: &str = "cloister:revision";
const COMPILER: &str = "cloister:compiler";

/// A bill that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("no bill of materials of this program: {0}")]
pub(crate) struct SbomError(#[from] serde_json::Error);

/// The whole document. Only what this program writes is here; `CycloneDX` has much more.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Sbom {
    bom_format: String,
    spec_version: String,
    serial_number: String,
    version: u32,
    metadata: Metadata,
    components: Vec<Component>,
    dependencies: Vec<Dependency>,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
struct Metadata {
    tools: Tools,
    component: Component,
    properties: Vec<Property>,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
struct Tools {
    components: Vec<Component>,
}

#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Component {
    r#type: String,
    #[serde(rename = "bom-ref", skip_serializing_if = "Option::is_none")]
    bom_ref: Option<String>,
    name: String,
    version: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    hashes: Vec<Hash>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    licenses: Vec<Licence>,
    #[serde(skip_serializing_if = "Option::is_none")]
    purl: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    external_references: Vec<Reference>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    properties: Vec<Property>,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
struct Hash {
    alg: String,
    content: String,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
struct Licence {
    expression: String,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
struct Reference {
    r#type: String,
    url: String,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
struct Property {
    name: String,
    value: String,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Dependency {
    r#ref: String,
    depends_on: Vec<String>,
}

/// Describes an image. There is no time in it: the same image has the same bill.
pub(crate) fn describe(graph: &Graph, compiler: &Compiler, image: &[u8], revision: &str) -> Sbom {
    let program = &graph.packages[0];
    let hashes = [
        ("SHA-256", HashAlgorithm::Sha256),
        ("SHA-384", HashAlgorithm::Sha384),
        ("SHA-512", HashAlgorithm::Sha512),
    ];
    let hashes = hashes.map(|(name, algorithm)| Hash {
        alg: name.to_owned(),
        content: hash(algorithm, image).to_string(),
    });
    let serial_number = serial_number(&hashes[0].content);
    let firmware = Component {
        r#type: "firmware".to_owned(),
        hashes: hashes.to_vec(),
        ..component(program)
    };
    let mut components: Vec<_> = graph.packages[1..].iter().map(component).collect();
    components.extend(LIBRARY.map(|name| library(name, &compiler.release)));
    components.sort_by(|a, b| a.bom_ref.cmp(&b.bom_ref));
    let mut dependencies: Vec<_> = graph
        .packages
        .iter()
        .map(|package| Dependency {
            r#ref: reference(package),
            depends_on: sorted(
                package
                    .needs
                    .iter()
                    .map(|&need| reference(&graph.packages[need])),
            ),
        })
        .collect();
    // What every crate needs is said once, of the program.
    let library = LIBRARY.map(|name| library_reference(name, &compiler.release));
    dependencies[0].depends_on.extend(library);
    dependencies.sort_by(|a, b| a.r#ref.cmp(&b.r#ref));
    Sbom {
        bom_format: "CycloneDX".to_owned(),
        spec_version: "1.5".to_owned(),
        serial_number,
        version: 1,
        metadata: Metadata {
            tools: Tools {
                components: vec![Component {
                    r#type: "application".to_owned(),
                    name: env!("CARGO_PKG_NAME").to_owned(),
                    version: env!("CARGO_PKG_VERSION").to_owned(),
                    ..Component::default()
                }],
            },
            component: firmware,
            properties: vec![
                property(REVISION, revision),
                property(COMPILER, &compiler.text),
            ],
        },
        components,
        dependencies,
    }
}

impl Sbom {
    /// Reads a bill that this program has written.
    pub(crate) fn parse(content: &[u8]) -> Result<Self, SbomError> {
        Ok(serde_json::from_slice(content)?)
    }

    /// The bill as it is written to a file.
    pub(crate) fn to_json(&self) -> String {
        // A structure of texts always has a form.
        let mut text = serde_json::to_string_pretty(self).unwrap_or_default();
        text.push('\n');
        text
    }

    /// The crates that may be in the image, as they are written in code.
    pub(crate) fn crates(&self) -> BTreeSet<String> {
        let program = std::iter::once(&self.metadata.component);
        let in_image = self
            .components
            .iter()
            .filter(|component| component.scope.as_deref() != Some("excluded"));
        program.chain(in_image).map(Component::crate_name).collect()
    }
}

impl Component {
    fn crate_name(&self) -> String {
        let property = self.properties.iter().find(|one| one.name == CRATE_NAME);
        property.map_or_else(|| self.name.replace('-', "_"), |one| one.value.clone())
    }
}

fn component(package: &Package) -> Component {
    let mut properties = Vec::new();
    if package.crate_name != package.name.replace('-', "_") {
        properties.push(property(CRATE_NAME, &package.crate_name));
    }
    if !package.features.is_empty() {
        properties.push(property(FEATURES, &package.features.join(",")));
    }
    let scope = if package.build_only {
        "excluded"
    } else {
        "required"
    };
    Component {
        r#type: "library".to_owned(),
        bom_ref: Some(reference(package)),
        name: package.name.clone(),
        version: package.version.clone(),
        scope: Some(scope.to_owned()),
        hashes: package
            .checksum
            .iter()
            .map(|content| Hash {
                alg: "SHA-256".to_owned(),
                content: content.clone(),
            })
            .collect(),
        licenses: package
            .licence
            .iter()
            .map(|text| Licence {
                // The form that cargo had before SPDX.
                expression: text.replace('/', " OR "),
            })
            .collect(),
        purl: (!package.is_local()).then(|| reference(package)),
        external_references: package.repository.iter().map(|url| vcs(url)).collect(),
        properties,
    }
}

/// A part of the standard library, which comes with the compiler.
fn library(name: &str, release: &str) -> Component {
    Component {
        r#type: "library".to_owned(),
        bom_ref: Some(library_reference(name, release)),
        name: name.to_owned(),
        version: release.to_owned(),
        scope: Some("required".to_owned()),
        licenses: vec![Licence {
            expression: RUST_LICENCE.to_owned(),
        }],
        purl: Some(library_reference(name, release)),
        external_references: vec![vcs(RUST_REPOSITORY)],
        ..Component::default()
    }
}

/// What identifies a crate: its package URL, or for those of this repository something like it.
fn reference(package: &Package) -> String {
    let Package { name, version, .. } = package;
    if package.is_local() {
        format!("cloister/{name}@{version}")
    } else {
        format!("pkg:cargo/{name}@{version}")
    }
}

fn library_reference(name: &str, release: &str) -> String {
    let folder = name.replace('_', "-");
    format!("pkg:github/rust-lang/rust@{release}#library/{folder}")
}

fn vcs(url: &str) -> Reference {
    Reference {
        r#type: "vcs".to_owned(),
        url: url.to_owned(),
    }
}

fn property(name: &str, value: &str) -> Property {
    Property {
        name: name.to_owned(),
        value: value.to_owned(),
    }
}

fn sorted(references: impl Iterator<Item = String>) -> Vec<String> {
    references.collect::<BTreeSet<_>>().into_iter().collect()
}

/// A UUID of version 8 (RFC 9562, 5.8), made of the image's hash in hexadecimal.
fn serial_number(hash: &str) -> String {
    let part = |start: usize, length: usize| hash.get(start..start + length).unwrap_or_default();
    format!(
        "urn:uuid:{}-{}-8{}-8{}-{}",
        part(0, 8),
        part(8, 4),
        part(12, 3),
        part(15, 3),
        part(18, 12)
    )
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn package(name: &str, needs: Vec<usize>) -> Package {
        Package {
            name: name.to_owned(),
            version: "1.2.3".to_owned(),
            crate_name: name.replace('-', "_"),
            licence: Some("MIT/Apache-2.0".to_owned()),
            repository: Some("https://example.org/x".to_owned()),
            checksum: Some("ab".repeat(32)),
            folder: PathBuf::new(),
            features: vec!["alloc".to_owned(), "derive".to_owned()],
            needs,
            build_only: false,
        }
    }

    fn sbom() -> Sbom {
        let program = Package {
            crate_name: "rmm".to_owned(),
            checksum: None,
            ..package("rmm-image", vec![2, 1])
        };
        let macros = Package {
            build_only: true,
            ..package("macros", vec![])
        };
        let packages = vec![
            program,
            package("half", vec![2]),
            package("cfg-if", vec![]),
            macros,
        ];
        let graph = Graph { packages };
        let compiler = Compiler {
            release: "1.95.0".to_owned(),
            text: "rustc 1.95.0 (0123 2026-01-01)".to_owned(),
        };
        describe(&graph, &compiler, b"abc", "0123abcd")
    }

    #[test]
    fn crates_are_those_of_the_image() {
        let crates: Vec<_> = sbom().crates().into_iter().collect();
        let expected = [
            "alloc",
            "cfg_if",
            "compiler_builtins",
            "core",
            "half",
            "rmm",
        ];
        assert_eq!(crates, expected);
    }

    #[test]
    fn the_document_says_what_the_image_is_made_of() {
        let text = sbom().to_json();
        assert_eq!(Sbom::parse(text.as_bytes()).unwrap(), sbom());
        let json: serde_json::Value = serde_json::from_str(&text).unwrap();
        let program = &json["metadata"]["component"];
        assert_eq!(program["type"], "firmware");
        assert_eq!(
            program["hashes"][0]["content"],
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        let serial = "urn:uuid:ba7816bf-8f01-8cfe-8a41-4140de5dae22";
        assert_eq!(json["serialNumber"], serial);
        assert_eq!(json["metadata"]["properties"][0]["value"], "0123abcd");
        let half = json["components"].as_array().unwrap().iter();
        let half = half.clone().find(|one| one["name"] == "half").unwrap();
        assert_eq!(half["purl"], "pkg:cargo/half@1.2.3");
        assert_eq!(half["licenses"][0]["expression"], "MIT OR Apache-2.0");
        assert_eq!(half["hashes"][0]["content"], "ab".repeat(32));
        let needs = &json["dependencies"][0];
        assert_eq!(needs["ref"], "cloister/rmm-image@1.2.3");
        let first = ["pkg:cargo/cfg-if@1.2.3", "pkg:cargo/half@1.2.3"];
        assert_eq!(needs["dependsOn"].as_array().unwrap()[..2], first);
    }

    #[test]
    fn another_programs_reader_finds_it_valid() {
        use cyclonedx_bom::models::bom::Bom;
        use cyclonedx_bom::validation::Validate as _;

        let text = sbom().to_json();
        let bom = Bom::parse_from_json_v1_5(text.as_bytes()).unwrap();
        let result = bom.validate_version(cyclonedx_bom::prelude::SpecVersion::V1_5);
        assert!(result.passed(), "{result:?}");
        assert_eq!(bom.components.unwrap().0.len(), 6);
    }
}
