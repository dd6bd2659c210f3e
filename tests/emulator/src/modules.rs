//! Kernel modules: in which order they have to be loaded.

use std::path::{Path, PathBuf};

use object::read::elf::ElfFile64;
use object::{Endianness, Object as _, ObjectSection as _};

use crate::atomic::{self, FileError};

/// A module that is loaded after those before it.
#[derive(Debug)]
pub(crate) struct Module {
    /// The name of its file, without `.ko`.
    pub(crate) name: String,
    /// The file.
    pub(crate) content: Vec<u8>,
}

/// Why modules cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ModulesError {
    #[error(transparent)]
    File(#[from] FileError),
    #[error("{} is no kernel module", .0.display())]
    NoModule(PathBuf),
    #[error("modules depend on each other in a circle: {0}")]
    Circle(String),
}

/// Modules of a folder and what they depend on, each after what it depends on.
pub(crate) fn load_order(folder: &Path, wanted: &[&str]) -> Result<Vec<Module>, ModulesError> {
    let mut order = Vec::new();
    for name in wanted {
        add(folder, name, &mut Vec::new(), &mut order)?;
    }
    Ok(order)
}

/// Adds a module and those below it; `above` are those that want it.
fn add(
    folder: &Path,
    name: &str,
    above: &mut Vec<String>,
    order: &mut Vec<Module>,
) -> Result<(), ModulesError> {
    if order.iter().any(|module| module.name == name) {
        return Ok(());
    }
    if above.iter().any(|module| module == name) {
        return Err(ModulesError::Circle(above.join(", ")));
    }
    let path = folder.join(format!("{name}.ko"));
    let content = atomic::read(&path)?;
    let dependencies = dependencies(&content).ok_or(ModulesError::NoModule(path))?;
    above.push(name.to_owned());
    for dependency in dependencies {
        add(folder, &dependency, above, order)?;
    }
    above.pop();
    order.push(Module {
        name: name.to_owned(),
        content,
    });
    Ok(())
}

/// What a module says that it depends on.
fn dependencies(module: &[u8]) -> Option<Vec<String>> {
    let file = ElfFile64::<Endianness>::parse(module).ok()?;
    let information = file.section_by_name(".modinfo")?.data().ok()?;
    let mut strings = information.split(|byte| *byte == 0);
    let names = strings.find_map(|string| string.strip_prefix(b"depends="))?;
    let names = std::str::from_utf8(names).ok()?;
    // The kernel writes names with underscores where files may have hyphens; the files here that
    // others depend on have none.
    let names = names.split(',').filter(|name| !name.is_empty());
    Some(names.map(str::to_owned).collect())
}

#[cfg(test)]
pub(crate) mod tests {
    use std::fs;

    use object::write::Object;
    use object::{Architecture, BinaryFormat, SectionKind};

    use super::*;

    /// Writes a module that says this of itself.
    pub(crate) fn module(folder: &Path, name: &str, information: &[u8]) {
        let endianness = Endianness::Little;
        let mut object = Object::new(BinaryFormat::Elf, Architecture::Aarch64, endianness);
        let section = object.add_section(Vec::new(), b".modinfo".to_vec(), SectionKind::Data);
        object.append_section_data(section, information, 1);
        fs::write(folder.join(format!("{name}.ko")), object.write().unwrap()).unwrap();
    }

    fn order(folder: &Path, wanted: &[&str]) -> Result<Vec<String>, ModulesError> {
        let modules = load_order(folder, wanted)?;
        Ok(modules.into_iter().map(|module| module.name).collect())
    }

    #[test]
    fn what_a_module_depends_on_comes_first_and_once() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        module(folder, "a", b"license=GPL\0depends=b,c\0name=a\0");
        module(folder, "b", b"depends=c\0");
        module(folder, "c", b"depends=\0");
        module(folder, "d", b"license=GPL\0depends=c\0");
        assert_eq!(order(folder, &["a", "d"]).unwrap(), ["c", "b", "a", "d"]);
        assert_eq!(order(folder, &["c", "c"]).unwrap(), ["c"]);
    }

    #[test]
    fn what_cannot_be_loaded_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        module(folder, "a", b"depends=b\0");
        let message = |wanted| order(folder, &[wanted]).unwrap_err().to_string();
        assert!(message("a").contains("b.ko"), "{}", message("a"));
        module(folder, "b", b"depends=a\0");
        assert!(message("a").contains("circle: a, b"), "{}", message("a"));
        module(folder, "c", b"license=GPL\0");
        fs::write(folder.join("d.ko"), "text").unwrap();
        for name in ["c", "d"] {
            let message = message(name);
            assert!(message.contains("no kernel module"), "{message}");
        }
    }
}
