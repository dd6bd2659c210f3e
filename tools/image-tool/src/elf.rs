//! An ELF file as the checks and the sizes see it.

use std::collections::BTreeSet;

use object::elf::{self, FileHeader64};
use object::read::elf::{
    ElfFile, FileHeader as _, ProgramHeader as _, SectionHeader as _, Sym as _,
};
use object::{Endianness, SectionIndex};

/// Why an ELF file cannot be looked at.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ElfError {
    #[error("no 64-bit ELF file, or a damaged one: {0}")]
    Damaged(#[from] object::Error),
    #[error("not a little-endian ELF file for aarch64")]
    OtherMachine,
    #[error("it has no symbols: was it stripped?")]
    NoSymbols,
}

/// A program header.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Segment {
    pub(crate) kind: u32,
    pub(crate) address: u64,
    pub(crate) memory: u64,
    pub(crate) writable: bool,
    pub(crate) executable: bool,
}

/// A section header.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Section {
    pub(crate) name: String,
    pub(crate) kind: u32,
    pub(crate) address: u64,
    pub(crate) size: u64,
    /// It takes memory at run time.
    pub(crate) loaded: bool,
    pub(crate) writable: bool,
    pub(crate) executable: bool,
}

/// A symbol with a name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Symbol {
    /// As it is in the file.
    pub(crate) name: String,
    pub(crate) size: u64,
    /// The section that it is in, unless that is absolute or none.
    pub(crate) section: Option<usize>,
    /// It has no place in the file: something else would have to bring it.
    pub(crate) undefined: bool,
}

/// What the headers and the symbol table of a file say.
#[derive(Debug)]
pub(crate) struct Elf {
    /// The file's type says that it runs where it was linked.
    pub(crate) fixed: bool,
    pub(crate) entry: u64,
    pub(crate) segments: Vec<Segment>,
    pub(crate) sections: Vec<Section>,
    pub(crate) symbols: Vec<Symbol>,
}

impl Elf {
    /// Reads the headers of a file.
    pub(crate) fn parse(content: &[u8]) -> Result<Self, ElfError> {
        let file = ElfFile::<FileHeader64<Endianness>>::parse(content)?;
        let endian = file.endian();
        let header = file.elf_header();
        if endian != Endianness::Little || header.e_machine(endian) != elf::EM_AARCH64 {
            return Err(ElfError::OtherMachine);
        }
        let segments = file.elf_program_headers().iter().map(|segment| {
            let flags = segment.p_flags(endian);
            Segment {
                kind: segment.p_type(endian).0,
                address: segment.p_vaddr(endian),
                memory: segment.p_memsz(endian),
                writable: flags.contains(elf::PF_W),
                executable: flags.contains(elf::PF_X),
            }
        });
        let table = file.elf_section_table();
        let mut sections = Vec::new();
        for section in table.iter() {
            let flags = section.sh_flags(endian);
            let name = table.section_name(endian, section)?;
            sections.push(Section {
                name: String::from_utf8_lossy(name).into_owned(),
                kind: section.sh_type(endian).0,
                address: section.sh_addr(endian),
                size: section.sh_size(endian),
                loaded: flags.contains(elf::SHF_ALLOC),
                writable: flags.contains(elf::SHF_WRITE),
                executable: flags.contains(elf::SHF_EXECINSTR),
            });
        }
        let table = file.elf_symbol_table();
        let mut symbols = Vec::new();
        for (index, symbol) in table.enumerate() {
            let name = table.symbol_name(endian, symbol)?;
            if name.is_empty() {
                continue;
            }
            let section: Option<SectionIndex> = table.symbol_section(endian, symbol, index)?;
            symbols.push(Symbol {
                name: String::from_utf8_lossy(name).into_owned(),
                size: symbol.st_size(endian),
                section: section.map(|index| index.0),
                undefined: symbol.is_undefined(endian),
            });
        }
        if symbols.is_empty() {
            return Err(ElfError::NoSymbols);
        }
        Ok(Self {
            fixed: header.e_type(endian) == elf::ET_EXEC,
            entry: header.e_entry(endian),
            segments: segments.collect(),
            sections,
            symbols,
        })
    }

    /// The sections that take memory at run time, and take any.
    pub(crate) fn loaded_sections(&self) -> impl Iterator<Item = &Section> {
        self.sections
            .iter()
            .filter(|section| section.loaded && section.size > 0)
    }
}

impl Symbol {
    /// The name as people write it, without the hash.
    pub(crate) fn readable(&self) -> String {
        format!("{:#}", rustc_demangle::demangle(&self.name))
    }

    /// The crates that the name of a Rust function or static mentions: where it is from, and whose
    /// types it is for. Empty for names that only C and assembly know.
    pub(crate) fn crates(&self) -> BTreeSet<String> {
        if rustc_demangle::try_demangle(&self.name).is_err() {
            return BTreeSet::new();
        }
        roots(&self.readable()).map(str::to_owned).collect()
    }
}

/// The first words of all paths in a readable name: what stands before `::`, but not behind it.
fn roots(name: &str) -> impl Iterator<Item = &str> {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    name.match_indices("::").filter_map(move |(end, _)| {
        let before = &name[..end];
        let start = before.rfind(|c| !is_word(c)).map_or(0, |last| {
            last + before[last..].chars().next().map_or(0, char::len_utf8)
        });
        let word = &before[start..];
        let is_root = !before[..start].ends_with("::")
            && word.starts_with(|c: char| c.is_alphabetic() || c == '_');
        is_root.then_some(word)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn crates(name: &str) -> Vec<&str> {
        roots(name).collect()
    }

    #[test]
    fn crates_are_where_paths_begin() {
        assert_eq!(crates("rmm_core::rmi::run::enter"), ["rmm_core"]);
        assert_eq!(
            crates("<p384::arithmetic::FieldElement as ff::Field>::square"),
            ["p384", "ff"]
        );
        assert_eq!(
            crates(
                "core::ptr::drop_in_place<[core::option::Option<rmm_core::granule::Locked>; 16]>"
            ),
            ["core", "core", "rmm_core"]
        );
        assert_eq!(
            crates("rmm_core::session::memory::<impl rmm_core::session::Session<M>>::page"),
            ["rmm_core", "rmm_core"]
        );
        assert_eq!(
            crates("<T as core::any::Any>::type_id::{{closure}}"),
            ["core"]
        );
        assert!(crates("<T>::f").is_empty());
        assert!(crates("rmm_entry").is_empty());
    }

    #[test]
    fn names_of_assembly_mention_no_crate() {
        let symbol = |name: &str| Symbol {
            name: name.to_owned(),
            size: 0,
            section: None,
            undefined: false,
        };
        assert!(symbol("rmm_entry").crates().is_empty());
        let name = "_ZN8rmm_core3rmi3run5enter17h823db1c257e55521E";
        assert!(symbol(name).crates().contains("rmm_core"));
        assert_eq!(symbol(name).readable(), "rmm_core::rmi::run::enter");
    }

    #[test]
    fn what_is_no_elf_file_is_refused() {
        assert!(matches!(Elf::parse(b""), Err(ElfError::Damaged(_))));
        assert!(matches!(
            Elf::parse(b"#!/bin/sh"),
            Err(ElfError::Damaged(_))
        ));
    }
}
