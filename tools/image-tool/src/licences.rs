//! The licence texts of the crates in an image, for whoever passes the image on.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use crate::atomic::{self, FileError};
use crate::cargo::{Graph, Package};

/// Beginnings of the names of files with licences and notices.
const NAMES: [&str; 6] = [
    "LICENSE",
    "LICENCE",
    "COPYING",
    "COPYRIGHT",
    "NOTICE",
    "UNLICENSE",
];
/// The licence whose text comes with this repository.
const OURS: &str = "Apache-2.0";
/// No file of licences is that large.
const LARGEST: u64 = 1 << 20;

/// Why the texts are not complete.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LicenceError {
    #[error(transparent)]
    File(#[from] FileError),
    #[error("{0} is there already: remove it first")]
    Exists(String),
    #[error(
        "{name} {version} ({licence}) comes without its licence, and {OURS} is none of its licences"
    )]
    NoText {
        name: String,
        version: String,
        licence: String,
    },
}

/// Copies the texts of all crates of the registry that are in the image to a folder, with a list.
pub(crate) fn collect(graph: &Graph, out: &Path) -> Result<(), LicenceError> {
    if out.exists() {
        return Err(LicenceError::Exists(out.display().to_string()));
    }
    atomic::create_folder(out)?;
    let mut list = format!(
        "Licences of the crates in the image. Where a list of files is empty, the crate came without\n\
         a text; it is used under {OURS}, whose text is in LICENSE-APACHE. The parts of Rust's standard\n\
         library in the image (core, alloc, compiler_builtins) are used under {OURS} as well.\n\n"
    );
    let mut packages: Vec<&Package> = graph.packages.iter().collect();
    packages.sort_by(|a, b| (&a.name, &a.version).cmp(&(&b.name, &b.version)));
    for package in packages {
        if package.build_only || package.is_local() {
            continue;
        }
        let files = files(&package.folder)?;
        let licence = package.licence.as_deref().unwrap_or("none named");
        if files.is_empty() && !licence.contains(OURS) {
            return Err(LicenceError::NoText {
                name: package.name.clone(),
                version: package.version.clone(),
                licence: licence.to_owned(),
            });
        }
        let folder = format!("{}-{}", package.name, package.version);
        for file in &files {
            let text = atomic::read(&package.folder.join(file))?;
            atomic::write(&out.join(&folder).join(file), &text)?;
        }
        // Writing to a string cannot fail.
        let _ = writeln!(list, "{folder}: {licence}: {}", files.join(" "));
    }
    atomic::write(&out.join("LIST"), list.as_bytes())?;
    Ok(())
}

/// The names of the files with licences in a folder, in order.
fn files(folder: &Path) -> Result<Vec<String>, FileError> {
    let failed = || atomic::because("look into", folder);
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed())? {
        let entry = entry.map_err(failed())?;
        let Ok(name) = entry.file_name().into_string() else {
            continue;
        };
        let upper = name.to_uppercase();
        let metadata = entry.metadata().map_err(failed())?;
        let fits = metadata.is_file() && metadata.len() <= LARGEST;
        if fits && NAMES.iter().any(|start| upper.starts_with(start)) {
            files.push(name);
        }
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {

    use super::*;

    fn package(name: &str, licence: &str, folder: &Path) -> Package {
        Package {
            name: name.to_owned(),
            version: "1.0.0".to_owned(),
            crate_name: name.to_owned(),
            licence: Some(licence.to_owned()),
            repository: None,
            checksum: Some("00".to_owned()),
            folder: folder.to_path_buf(),
            features: Vec::new(),
            needs: Vec::new(),
            build_only: false,
        }
    }

    fn graph(packages: Vec<Package>) -> Graph {
        Graph { packages }
    }

    #[test]
    fn texts_are_copied_and_listed() {
        let folder = tempfile::tempdir().unwrap();
        let source = folder.path().join("source");
        fs::create_dir(&source).unwrap();
        for (name, text) in [("LICENSE-MIT", "mit"), ("NOTICE", "n"), ("README.md", "r")] {
            fs::write(source.join(name), text).unwrap();
        }
        let out = folder.path().join("out");
        let mut build_only = package("macros", "MIT", &source);
        build_only.build_only = true;
        let local = Package {
            checksum: None,
            ..package("ours", "MIT", &source)
        };
        let packages = vec![build_only, local, package("spin", "MIT", &source)];
        collect(&graph(packages), &out).unwrap();
        let text = |name: &str| fs::read_to_string(out.join(name)).unwrap();
        assert_eq!(text("spin-1.0.0/LICENSE-MIT"), "mit");
        assert!(text("LIST").ends_with("\n\nspin-1.0.0: MIT: LICENSE-MIT NOTICE\n"));
        assert_eq!(fs::read_dir(out.join("spin-1.0.0")).unwrap().count(), 2);
        assert_eq!(fs::read_dir(&out).unwrap().count(), 2);
    }

    #[test]
    fn a_text_may_only_be_missing_where_ours_is_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let collected = |licence: &str, name: &str| {
            let package = package("spin", licence, folder.path());
            collect(&graph(vec![package]), &folder.path().join(name))
        };
        collected("MIT OR Apache-2.0", "first").unwrap();
        let error = collected("MIT", "second").unwrap_err().to_string();
        assert!(error.contains("spin 1.0.0 (MIT)"), "{error}");
    }

    #[test]
    fn what_is_there_is_not_mixed_with() {
        let folder = tempfile::tempdir().unwrap();
        let result = collect(&graph(Vec::new()), folder.path());
        assert!(matches!(result, Err(LicenceError::Exists(_))));
    }
}
