//! How much of an image each section and each crate takes.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use addr2line::Context;
use gimli::{Dwarf, EndianSlice, LittleEndian};
use object::{Object as _, ObjectSection as _};
use serde::Serialize;

use crate::budget::Budget;
use crate::elf::Elf;
use crate::flat::{self, ImageError};

/// Where code goes that no line of a source file stands for: assembly, and space between functions.
pub(crate) const NO_LINE: &str = "assembly, padding";

/// The image of the C reference, for comparison.
const REFERENCE: (&str, u64) = ("TF-RMM 0.7.0 (RMI 1.0)", 261_832);

/// Why sizes cannot be told.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SizeError {
    #[error("its line tables are damaged: {0}")]
    Lines(#[from] gimli::Error),
    #[error("it cannot be read: {0}")]
    Object(#[from] object::Error),
    #[error(transparent)]
    Flat(#[from] ImageError),
    #[error("it has no line tables, so nothing says which crate its code is from")]
    NoLines,
}

/// Sizes in bytes.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize)]
pub(crate) struct Sizes {
    /// The flat file.
    pub(crate) image: u64,
    /// What the flat file and its zeroed data take in memory.
    pub(crate) memory: u64,
    /// Each section that is in memory.
    pub(crate) sections: BTreeMap<String, u64>,
    /// The code of each crate, by where it was written: a function that the compiler puts into one of
    /// another crate counts where it is from. Only what it puts there from the standard library counts
    /// for the crate that has called it.
    pub(crate) crates: BTreeMap<String, u64>,
}

impl Sizes {
    /// The sizes of an ELF file.
    pub(crate) fn of(elf: &Elf, content: &[u8]) -> Result<Self, SizeError> {
        let mut sizes = Self {
            image: flat::flatten(content)?.len() as u64,
            ..Self::default()
        };
        let start = elf.loaded_sections().map(|section| section.address).min();
        let start = start.unwrap_or(0);
        for section in elf.loaded_sections() {
            let end = section.address.saturating_add(section.size) - start;
            sizes.memory = sizes.memory.max(end);
            let size = sizes.sections.entry(section.name.clone()).or_default();
            *size = size.saturating_add(section.size);
        }
        sizes.crates = crates(elf, content)?;
        Ok(sizes)
    }

    /// The sizes as tables for people, beside the budget if there is one.
    pub(crate) fn tables(&self, budget: Option<&Budget>) -> String {
        let mut text = String::new();
        let files = [("rmm.img", self.image), ("in memory", self.memory)];
        let limits = [
            budget.map(|budget| budget.image),
            budget.map(|budget| budget.memory),
        ];
        let files = files.into_iter().zip(limits);
        let files = files.map(|((name, size), limit)| (name.to_owned(), size, limit));
        let (reference, size) = REFERENCE;
        let files = files.chain([(reference.to_owned(), size, None)]);
        table(&mut text, "image", files.collect());
        let sections = self.sections.iter().map(|(name, size)| {
            let limit = budget.and_then(|budget| budget.section.get(name).copied());
            (name.clone(), *size, limit)
        });
        table(&mut text, "section", sections.collect());
        let crates = self.crates.iter().map(|(name, size)| {
            let limit = budget.map(|budget| budget.of_crate(name));
            (name.clone(), *size, limit)
        });
        table(&mut text, "code of", crates.collect());
        text
    }

    /// The sizes for programs.
    pub(crate) fn to_json(&self) -> String {
        // A structure of numbers and texts always has a form.
        let mut text = serde_json::to_string_pretty(self).unwrap_or_default();
        text.push('\n');
        text
    }
}

/// A table with the largest first.
fn table(text: &mut String, title: &str, mut rows: Vec<(String, u64, Option<u64>)>) {
    rows.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    let widest = rows.iter().map(|(name, ..)| name.len()).max();
    let width = widest.unwrap_or(0).max(24);
    if !text.is_empty() {
        text.push('\n');
    }
    // Writing to a string cannot fail.
    let _ = writeln!(text, "{title:width$}  {:>9} {:>9}", "bytes", "budget");
    for (name, size, limit) in rows {
        let limit = limit.map_or_else(|| "-".to_owned(), |limit| limit.to_string());
        let _ = writeln!(text, "{name:width$}  {size:>9} {limit:>9}");
    }
}

/// The code of each crate, by the line tables.
fn crates(elf: &Elf, content: &[u8]) -> Result<BTreeMap<String, u64>, SizeError> {
    let file = object::File::parse(content)?;
    let lines = Dwarf::load(|id| -> Result<_, object::Error> {
        let section = file.section_by_name(id.name());
        let data = section.map_or(Ok(&[][..]), |section| section.data())?;
        Ok(EndianSlice::new(data, LittleEndian))
    })?;
    let lines = Context::from_dwarf(lines)?;
    let mut sizes = BTreeMap::new();
    let mut with_line = 0;
    let mut code = 0;
    for section in elf.loaded_sections().filter(|section| section.executable) {
        code = section.size.saturating_add(code);
        let end = section.address.saturating_add(section.size);
        for (address, size, location) in lines.find_location_range(section.address, end)? {
            let Some(file) = location.file else { continue };
            let name = match crate_of(file) {
                name if is_standard(name) => {
                    caller(&lines, address)?.unwrap_or_else(|| name.to_owned())
                }
                name => name.to_owned(),
            };
            let of_crate: &mut u64 = sizes.entry(name).or_default();
            *of_crate = of_crate.saturating_add(size);
            with_line = size.saturating_add(with_line);
        }
    }
    if with_line == 0 {
        return Err(SizeError::NoLines);
    }
    sizes.insert(NO_LINE.to_owned(), code.saturating_sub(with_line));
    Ok(sizes)
}

/// The innermost crate outside the standard library among the functions that an instruction is in.
fn caller<R: gimli::Reader>(
    lines: &Context<R>,
    address: u64,
) -> Result<Option<String>, gimli::Error> {
    let mut frames = lines.find_frames(address).skip_all_loads()?;
    while let Some(frame) = frames.next()? {
        let file = frame.location.and_then(|location| location.file);
        if let Some(name) = file.map(crate_of)
            && !is_standard(name)
        {
            return Ok(Some(name.to_owned()));
        }
    }
    Ok(None)
}

fn is_standard(name: &str) -> bool {
    name == "core" || name == "alloc"
}

/// The crate that a source file is of, by the paths that `tools/bare-metal-cargo.sh` leaves: a
/// folder of this repository, or a name from the registry or the standard library.
fn crate_of(file: &str) -> &str {
    for registry in ["/crates/", "/rust/deps/"] {
        if let Some(path) = file.strip_prefix(registry) {
            let folder = path.split('/').next().unwrap_or(path);
            return without_version(folder);
        }
    }
    if let Some((_, path)) = file
        .strip_prefix("/rustc/")
        .and_then(|path| path.split_once("/library/"))
    {
        let name = path.split('/').next().unwrap_or(path);
        return match name {
            "compiler-builtins" => "compiler_builtins",
            // Parts of the crate `core` with folders of their own.
            "stdarch" | "portable-simd" => "core",
            name => name,
        };
    }
    let path = file.trim_start_matches("./");
    path.split_once("/src/").map_or(path, |(folder, _)| folder)
}

/// `p384-0.14.0` → `p384`.
fn without_version(folder: &str) -> &str {
    let version = folder.match_indices('-').find(|(at, _)| {
        let rest = &folder[at + 1..];
        rest.starts_with(|c: char| c.is_ascii_digit()) && rest.contains('.')
    });
    version.map_or(folder, |(at, _)| &folder[..at])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn source_files_name_their_crate() {
        for (file, name) in [
            ("/crates/p384-0.14.0/src/arithmetic.rs", "p384"),
            ("/crates/ciborium-ll-0.2.2/src/hdr.rs", "ciborium-ll"),
            ("/crates/spin-0.9.8-rc.1/src/once.rs", "spin"),
            ("/crates/no-version/src/lib.rs", "no-version"),
            ("/rustc/0123abcd/library/core/src/fmt/mod.rs", "core"),
            (
                "/rustc/0123abcd/library/stdarch/crates/core_arch/src/x.rs",
                "core",
            ),
            (
                "/rustc/0123abcd/library/compiler-builtins/compiler-builtins/src/mem/mod.rs",
                "compiler_builtins",
            ),
            (
                "/rust/deps/compiler_builtins-0.1.160/src/mem/mod.rs",
                "compiler_builtins",
            ),
            ("./rmm/core/src/rmi/run.rs", "rmm/core"),
            ("rmm/hw/src/cpu.rs", "rmm/hw"),
            ("attestation-token/src/build.rs", "attestation-token"),
        ] {
            assert_eq!(crate_of(file), name, "{file}");
        }
    }

    #[test]
    fn the_largest_comes_first() {
        let mut text = String::new();
        let row = |name: &str, size| (name.to_owned(), size, None);
        table(&mut text, "code of", vec![row("a", 5), row("b", 70)]);
        let lines: Vec<_> = text.lines().collect();
        assert!(
            lines[1].starts_with('b') && lines[2].starts_with('a'),
            "{text}"
        );
    }
}
