//! What cargo knows of the crates in an image.

use std::collections::BTreeMap;
use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize;

use crate::atomic::{self, FileError};

/// What cargo was asked and could not answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CargoError {
    #[error("cannot start {program}: {source}")]
    Start {
        program: String,
        source: std::io::Error,
    },
    #[error("{command} failed: {text}")]
    Failed { command: String, text: String },
    #[error("{command} says what this program does not understand: {text}")]
    Unclear { command: String, text: String },
    #[error(transparent)]
    File(#[from] FileError),
}

/// One crate.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) version: String,
    /// The name that its code has, where that is not the package's.
    pub(crate) crate_name: String,
    /// An SPDX expression.
    pub(crate) licence: Option<String>,
    pub(crate) repository: Option<String>,
    /// SHA-256 of the archive in the registry; crates of this repository have none.
    pub(crate) checksum: Option<String>,
    /// Where its source is.
    pub(crate) folder: PathBuf,
    /// What it was built with.
    pub(crate) features: Vec<String>,
    /// The crates that it needs, by their place in the graph.
    pub(crate) needs: Vec<usize>,
    /// Only used to build the image: procedural macros and build scripts.
    pub(crate) build_only: bool,
}

impl Package {
    /// It is of this repository and in no registry.
    pub(crate) fn is_local(&self) -> bool {
        self.checksum.is_none()
    }
}

/// The crates that an image is made of; the first is the program.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Graph {
    pub(crate) packages: Vec<Package>,
}

/// A compiler, by what `rustc -vV` prints.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Compiler {
    /// Like `1.95.0`.
    pub(crate) release: String,
    /// The whole first line.
    pub(crate) text: String,
}

/// Asks cargo for the crates of one package on one target.
pub(crate) fn graph(package: &str, target: &str) -> Result<Graph, CargoError> {
    let tree = |edges: &str| {
        run(
            &program("CARGO", "cargo"),
            &[
                "tree",
                "--locked",
                "--package",
                package,
                "--target",
                target,
                "--edges",
                edges,
                "--prefix",
                "depth",
                "--charset",
                "ascii",
                "--format",
                "|{p}|{f}|",
            ],
        )
    };
    let metadata = run(
        &program("CARGO", "cargo"),
        &[
            "metadata",
            "--locked",
            "--format-version",
            "1",
            "--filter-platform",
            target,
        ],
    )?;
    let metadata: Metadata =
        serde_json::from_str(&metadata).map_err(|error| CargoError::Unclear {
            command: "cargo metadata".to_owned(),
            text: error.to_string(),
        })?;
    let lock = atomic::read(&metadata.workspace_root.join("Cargo.lock"))?;
    let lock = parse_lock(&lock)?;
    let mut packages = parse_tree(&tree("normal,no-proc-macro")?)?;
    let in_image = packages.len();
    for (index, package) in parse_tree(&tree("normal,build")?)?.into_iter().enumerate() {
        let known = packages[..in_image]
            .iter()
            .any(|other| is_same(other, &package));
        // The program itself comes first in both.
        if index > 0 && !known {
            packages.push(Package {
                build_only: true,
                needs: Vec::new(),
                ..package
            });
        }
    }
    for package in &mut packages {
        metadata.complete(package)?;
        let key = (package.name.clone(), package.version.clone());
        package.checksum = lock.get(&key).cloned().flatten();
    }
    Ok(Graph { packages })
}

/// Asks the compiler who it is.
pub(crate) fn compiler() -> Result<Compiler, CargoError> {
    let text = run(&program("RUSTC", "rustc"), &["-vV"])?;
    let release = text.lines().find_map(|line| line.strip_prefix("release: "));
    match (text.lines().next(), release) {
        (Some(first), Some(release)) => Ok(Compiler {
            release: release.to_owned(),
            text: first.to_owned(),
        }),
        _ => Err(CargoError::Unclear {
            command: "rustc -vV".to_owned(),
            text,
        }),
    }
}

/// A program of the toolchain; cargo names those that it was started with.
fn program(variable: &str, name: &str) -> OsString {
    env::var_os(variable).unwrap_or_else(|| name.into())
}

fn run(program: &OsString, arguments: &[&str]) -> Result<String, CargoError> {
    let name = program.to_string_lossy().into_owned();
    let output = Command::new(program)
        .args(arguments)
        // Flags of the environment would replace those that the image is built with.
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .output()
        .map_err(|source| CargoError::Start {
            program: name.clone(),
            source,
        })?;
    let command = format!("{name} {}", arguments.join(" "));
    if !output.status.success() {
        return Err(CargoError::Failed {
            command,
            text: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        });
    }
    String::from_utf8(output.stdout).map_err(|error| CargoError::Unclear {
        command,
        text: error.to_string(),
    })
}

fn is_same(one: &Package, other: &Package) -> bool {
    one.name == other.name && one.version == other.version
}

/// Reads what `cargo tree` prints with depths in front. A crate whose branches were printed before
/// comes without them and with `(*)`.
fn parse_tree(text: &str) -> Result<Vec<Package>, CargoError> {
    let unclear = |line: &str| CargoError::Unclear {
        command: "cargo tree".to_owned(),
        text: line.to_owned(),
    };
    let mut packages: Vec<Package> = Vec::new();
    // The place of the last crate at each depth.
    let mut branch: Vec<usize> = Vec::new();
    for line in text.lines().filter(|line| !line.is_empty()) {
        // Kinds of dependencies have headings of their own.
        if line.trim().starts_with('[') {
            continue;
        }
        let mut fields = line.split('|');
        let mut next = || fields.next().ok_or_else(|| unclear(line));
        let depth: usize = next()?.parse().map_err(|_| unclear(line))?;
        let (id, features, _) = (next()?, next()?, next()?);
        let mut words = id.split(' ');
        let name = words.next().ok_or_else(|| unclear(line))?;
        let version = words.next().and_then(|word| word.strip_prefix('v'));
        let package = Package {
            name: name.to_owned(),
            version: version.ok_or_else(|| unclear(line))?.to_owned(),
            crate_name: name.replace('-', "_"),
            licence: None,
            repository: None,
            checksum: None,
            folder: PathBuf::new(),
            features: features
                .split(',')
                .filter(|feature| !feature.is_empty())
                .map(str::to_owned)
                .collect(),
            needs: Vec::new(),
            build_only: false,
        };
        let known = packages.iter().position(|other| is_same(other, &package));
        let index = known.unwrap_or(packages.len());
        if known.is_none() {
            packages.push(package);
        }
        if depth > branch.len() {
            return Err(unclear(line));
        }
        branch.truncate(depth);
        if let Some(&parent) = branch.last()
            && !packages[parent].needs.contains(&index)
        {
            packages[parent].needs.push(index);
        }
        branch.push(index);
    }
    if packages.is_empty() {
        return Err(unclear("nothing"));
    }
    Ok(packages)
}

/// The part of `cargo metadata` that is of interest.
#[derive(Debug, Deserialize)]
struct Metadata {
    packages: Vec<MetadataPackage>,
    workspace_root: PathBuf,
}

#[derive(Debug, Deserialize)]
struct MetadataPackage {
    name: String,
    version: String,
    license: Option<String>,
    repository: Option<String>,
    manifest_path: PathBuf,
    targets: Vec<MetadataTarget>,
}

#[derive(Debug, Deserialize)]
struct MetadataTarget {
    name: String,
    kind: Vec<String>,
}

impl Metadata {
    /// Fills in what the tree does not say.
    fn complete(&self, package: &mut Package) -> Result<(), CargoError> {
        let found = self
            .packages
            .iter()
            .find(|other| other.name == package.name && other.version == package.version)
            .ok_or_else(|| CargoError::Unclear {
                command: "cargo metadata".to_owned(),
                text: format!("no package {} {}", package.name, package.version),
            })?;
        package.licence.clone_from(&found.license);
        package.repository.clone_from(&found.repository);
        package.folder = found
            .manifest_path
            .parent()
            .unwrap_or_else(|| Path::new(""))
            .to_path_buf();
        let is_code = |target: &&MetadataTarget| {
            let kinds = ["lib", "rlib", "proc-macro", "bin"];
            target
                .kind
                .iter()
                .any(|kind| kinds.contains(&kind.as_str()))
        };
        if let Some(target) = found.targets.iter().find(is_code) {
            package.crate_name = target.name.replace('-', "_");
        }
        Ok(())
    }
}

/// The part of `Cargo.lock` that is of interest.
#[derive(Debug, Deserialize)]
struct Lock {
    package: Vec<LockedPackage>,
}

#[derive(Debug, Deserialize)]
struct LockedPackage {
    name: String,
    version: String,
    checksum: Option<String>,
}

/// The checksum of each package, by name and version.
fn parse_lock(content: &[u8]) -> Result<BTreeMap<(String, String), Option<String>>, CargoError> {
    let unclear = |text| CargoError::Unclear {
        command: "Cargo.lock".to_owned(),
        text,
    };
    let text = str::from_utf8(content).map_err(|error| unclear(error.to_string()))?;
    let lock: Lock = toml::from_str(text).map_err(|error| unclear(error.to_string()))?;
    let packages = lock.package.into_iter();
    Ok(packages
        .map(|package| ((package.name, package.version), package.checksum))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TREE: &str = "\
0|rmm-image v0.1.0 (/x/rmm/image)||
1|rmm-core v0.1.0 (/x/rmm/core)||
2|spin v0.9.8|once,mutex|
1|rmm-hw v0.1.0 (/x/rmm/hw)||
2|rmm-core v0.1.0 (/x/rmm/core)|| (*)
2|spin v0.9.8|once,mutex|
";

    #[test]
    fn branches_become_needs() {
        let packages = parse_tree(TREE).unwrap();
        let names: Vec<_> = packages.iter().map(|package| &package.name[..]).collect();
        assert_eq!(names, ["rmm-image", "rmm-core", "spin", "rmm-hw"]);
        let needs: Vec<_> = packages.iter().map(|package| &package.needs[..]).collect();
        assert_eq!(needs, [&[1, 3][..], &[2], &[], &[1, 2]]);
        assert_eq!(packages[2].features, ["once", "mutex"]);
        assert_eq!(packages[2].version, "0.9.8");
        assert_eq!(packages[3].crate_name, "rmm_hw");
    }

    #[test]
    fn another_form_of_tree_is_refused() {
        for text in [
            "",
            "x",
            "0|spin|f|",
            "0|spin v1|",
            "1|spin v1||",
            "0|a v1||\n2|b v1||",
        ] {
            assert!(parse_tree(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn checksums_are_those_of_the_version() {
        let lock = b"version = 4\n[[package]]\nname = 'a'\nversion = '1'\nchecksum = 'aa'\n\
                     [[package]]\nname = 'a'\nversion = '2'\n";
        let lock = parse_lock(lock).unwrap();
        assert_eq!(
            lock[&("a".to_owned(), "1".to_owned())].as_deref(),
            Some("aa")
        );
        assert_eq!(lock[&("a".to_owned(), "2".to_owned())], None);
        assert!(parse_lock(b"[[package]]\n").is_err());
    }
}
