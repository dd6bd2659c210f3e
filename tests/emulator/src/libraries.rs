//! Shared libraries: which of them programs need.

use std::path::{Path, PathBuf};

use object::Endianness;
use object::elf::DT_NEEDED;
use object::read::elf::ElfFile64;

use crate::atomic::{self, FileError};

/// Where packages of arm64 have libraries, from the root of a system on.
const FOLDERS: &[&str] = &[
    "lib/aarch64-linux-gnu",
    "usr/lib/aarch64-linux-gnu",
    "usr/lib/aarch64-linux-gnu/ceph",
];

/// A library that a program needs.
#[derive(Debug)]
pub(crate) struct Library {
    /// By which name it is loaded.
    pub(crate) name: String,
    /// The file.
    pub(crate) content: Vec<u8>,
}

/// Why libraries cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LibrariesError {
    #[error(transparent)]
    File(#[from] FileError),
    #[error("{} is no program or library", .0.display())]
    NoProgram(PathBuf),
    #[error("{needed} needs {name}, which is not in {}", folder.display())]
    Missing {
        needed: String,
        name: String,
        folder: PathBuf,
    },
}

/// Libraries that these programs of an unpacked system need, and those that they need themselves, in the order
/// in which they are found.
pub(crate) fn needed(system: &Path, programs: &[PathBuf]) -> Result<Vec<Library>, LibrariesError> {
    let mut libraries: Vec<Library> = Vec::new();
    for program in programs {
        let name = program.display().to_string();
        add(
            system,
            &name,
            program,
            &atomic::read(program)?,
            &mut libraries,
        )?;
    }
    let mut next = 0;
    while let Some(library) = libraries.get(next) {
        let (name, content) = (library.name.clone(), library.content.clone());
        add(system, &name, Path::new(&name), &content, &mut libraries)?;
        next += 1;
    }
    Ok(libraries)
}

/// Adds what a file needs and is not there yet.
fn add(
    system: &Path,
    needed: &str,
    path: &Path,
    content: &[u8],
    libraries: &mut Vec<Library>,
) -> Result<(), LibrariesError> {
    for name in names(content).ok_or_else(|| LibrariesError::NoProgram(path.to_path_buf()))? {
        if libraries.iter().any(|library| library.name == name) {
            continue;
        }
        let candidates = FOLDERS.iter().map(|folder| system.join(folder).join(&name));
        let path = candidates.into_iter().find(|path| path.is_file());
        let path = path.ok_or_else(|| LibrariesError::Missing {
            needed: needed.to_owned(),
            name: name.clone(),
            folder: system.to_path_buf(),
        })?;
        let content = atomic::read(&path)?;
        libraries.push(Library { name, content });
    }
    Ok(())
}

/// What a file says that it needs.
fn names(content: &[u8]) -> Option<Vec<String>> {
    let file = ElfFile64::<Endianness>::parse(content).ok()?;
    let table = file.elf_dynamic_table().ok()?;
    let mut names = Vec::new();
    for entry in &table {
        if entry.tag == DT_NEEDED {
            let name = table.string(entry).ok()?;
            names.push(std::str::from_utf8(name).ok()?.to_owned());
        }
    }
    Some(names)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::modules::tests::module;

    #[test]
    fn what_a_program_needs_is_found_once() {
        let system = tempfile::tempdir().unwrap();
        let (first, second) = (
            system.path().join(FOLDERS[0]),
            system.path().join(FOLDERS[1]),
        );
        fs::create_dir_all(&first).unwrap();
        fs::create_dir_all(&second).unwrap();
        // A program that needs the libraries of this machine, whatever they are.
        let program = std::env::current_exe().unwrap();
        let content = fs::read(&program).unwrap();
        let names = names(&content).unwrap();
        assert!(
            names.iter().any(|name| name.starts_with("libc.so")),
            "{names:?}"
        );
        let programs = [program.clone(), program];
        let missing = needed(system.path(), &programs).unwrap_err().to_string();
        assert!(missing.contains(&names[0]), "{missing}");
        // The first one needs them all itself, the others nothing.
        for name in &names {
            module(&second, "other", b"");
            fs::rename(second.join("other.ko"), second.join(name)).unwrap();
        }
        fs::write(first.join(&names[0]), &content).unwrap();
        let libraries = needed(system.path(), &programs).unwrap();
        let found: Vec<_> = libraries.iter().map(|library| &library.name).collect();
        assert_eq!(found, names.iter().collect::<Vec<_>>());
        assert!(libraries[0].content == content);
        fs::write(first.join(&names[0]), "text").unwrap();
        let broken = needed(system.path(), &programs).unwrap_err().to_string();
        assert!(broken.contains("is no program or library"), "{broken}");
    }
}
