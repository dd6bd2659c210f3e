//! What an image must not have.

use std::collections::BTreeSet;
use std::fmt;

use object::elf;

use crate::elf::{Elf, Section};

/// Crates of the language itself; `__rustc` is what the compiler makes, like the way to the panic handler.
const LANGUAGE: [&str; 4] = ["__rustc", "alloc", "compiler_builtins", "core"];

/// Beginnings of symbols that measuring of coverage and profiling leaves.
const INSTRUMENTATION: [&str; 4] = ["__llvm_prof", "__llvm_gcov", "__covrec", "__sanitizer"];

/// Something that has no place in an image.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Finding {
    /// It is not linked for a fixed address.
    NotFixed,
    /// A segment that is writable and executable.
    WritableCodeSegment { address: u64 },
    /// A section that is writable and executable.
    WritableCodeSection { name: String },
    /// Something that a loader would have to do: relocate, link, call constructors.
    ForLoader { what: String },
    /// A symbol that something else would have to bring.
    Undefined { symbol: String },
    /// A symbol of a test, or of what tests are measured with.
    Test { symbol: String },
    /// A symbol of a crate that the bill of materials does not name.
    UnknownCrate { name: String, symbol: String },
    /// It is not entered at its first byte.
    Entry { entry: u64, start: u64 },
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFixed => f.write_str(
                "it is not linked for a fixed address (its type is not EXEC): see .cargo/config.toml",
            ),
            Self::WritableCodeSegment { address } => {
                write!(f, "the segment at {address:#x} is writable and executable")
            }
            Self::WritableCodeSection { name } => {
                write!(f, "the section {name} is writable and executable")
            }
            Self::ForLoader { what } => write!(
                f,
                "{what} is for a loader, and there is none: what it should do would not be done"
            ),
            Self::Undefined { symbol } => write!(f, "nothing defines {symbol}"),
            Self::Test { symbol } => write!(f, "{symbol} belongs to tests"),
            Self::UnknownCrate { name, symbol } => write!(
                f,
                "{symbol} is of the crate {name}, which the bill of materials does not name"
            ),
            Self::Entry { entry, start } => write!(
                f,
                "it is entered at {entry:#x} and not at its first byte, {start:#x}"
            ),
        }
    }
}

/// Everything that is wrong with a file. `crates` are those that may be in it, as they are written
/// in code.
pub(crate) fn findings(elf: &Elf, crates: &BTreeSet<String>) -> Vec<Finding> {
    let mut findings = Vec::new();
    if !elf.fixed {
        findings.push(Finding::NotFixed);
    }
    segments(elf, &mut findings);
    for section in &elf.sections {
        if section.loaded && section.writable && section.executable {
            findings.push(Finding::WritableCodeSection {
                name: section.name.clone(),
            });
        }
        if is_for_loader(section) {
            findings.push(Finding::ForLoader {
                what: format!("the section {}", section.name),
            });
        }
    }
    symbols(elf, crates, &mut findings);
    findings
}

fn segments(elf: &Elf, findings: &mut Vec<Finding>) {
    let mut start = u64::MAX;
    for segment in &elf.segments {
        if segment.kind == elf::PT_LOAD.0 {
            start = start.min(segment.address);
            if segment.writable && segment.executable {
                findings.push(Finding::WritableCodeSegment {
                    address: segment.address,
                });
            }
        }
        for (kind, name) in [
            (elf::PT_DYNAMIC, "the segment PT_DYNAMIC"),
            (elf::PT_INTERP, "the segment PT_INTERP"),
            (elf::PT_TLS, "the segment PT_TLS"),
        ] {
            if segment.kind == kind.0 {
                findings.push(Finding::ForLoader {
                    what: name.to_owned(),
                });
            }
        }
    }
    if elf.entry != start {
        findings.push(Finding::Entry {
            entry: elf.entry,
            start,
        });
    }
}

/// Relocations, dynamic linking, constructors and destructors.
fn is_for_loader(section: &Section) -> bool {
    [
        elf::SHT_REL,
        elf::SHT_RELA,
        elf::SHT_RELR,
        elf::SHT_DYNAMIC,
        elf::SHT_DYNSYM,
        elf::SHT_INIT_ARRAY,
        elf::SHT_FINI_ARRAY,
        elf::SHT_PREINIT_ARRAY,
    ]
    .iter()
    .any(|kind| kind.0 == section.kind)
}

fn symbols(elf: &Elf, crates: &BTreeSet<String>, findings: &mut Vec<Finding>) {
    let mut unknown = BTreeSet::new();
    for symbol in &elf.symbols {
        let readable = symbol.readable();
        if symbol.undefined {
            findings.push(Finding::Undefined {
                symbol: readable.clone(),
            });
        }
        let mut words = readable.split(|c: char| !(c.is_alphanumeric() || c == '_'));
        if INSTRUMENTATION
            .iter()
            .any(|start| readable.starts_with(start))
            || words.any(|word| word == "test" || word == "tests")
        {
            findings.push(Finding::Test {
                symbol: readable.clone(),
            });
        }
        for name in symbol.crates() {
            let known = crates.contains(&name) || LANGUAGE.contains(&name.as_str());
            // One symbol of a crate is enough to find it.
            if !known && unknown.insert(name.clone()) {
                findings.push(Finding::UnknownCrate {
                    name,
                    symbol: readable.clone(),
                });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::elf::{Segment, Symbol};

    fn section(name: &str, kind: u32, writable: bool, executable: bool) -> Section {
        Section {
            name: name.to_owned(),
            kind,
            address: 0x1000,
            size: 16,
            loaded: true,
            writable,
            executable,
        }
    }

    fn segment(kind: u32, address: u64, writable: bool, executable: bool) -> Segment {
        Segment {
            kind,
            address,
            memory: 16,
            writable,
            executable,
        }
    }

    fn symbol(name: &str) -> Symbol {
        Symbol {
            name: name.to_owned(),
            size: 8,
            section: Some(1),
            undefined: false,
        }
    }

    /// A file with nothing wrong.
    fn good() -> Elf {
        Elf {
            fixed: true,
            entry: 0x1000,
            segments: vec![
                segment(elf::PT_LOAD.0, 0x1000, false, true),
                segment(elf::PT_LOAD.0, 0x2000, true, false),
            ],
            sections: vec![
                section(".text", elf::SHT_PROGBITS.0, false, true),
                section(".data", elf::SHT_PROGBITS.0, true, false),
                section(".bss", elf::SHT_NOBITS.0, true, false),
            ],
            symbols: vec![
                symbol("rmm_entry"),
                symbol("_ZN8rmm_core3rmi3run5enter17h823db1c257e55521E"),
                symbol("_ZN4core3fmt5write17h823db1c257e55521E"),
            ],
        }
    }

    fn allowed() -> BTreeSet<String> {
        BTreeSet::from(["rmm_core".to_owned()])
    }

    /// The findings after one change to a good file.
    fn after(change: impl FnOnce(&mut Elf)) -> Vec<Finding> {
        let mut elf = good();
        change(&mut elf);
        findings(&elf, &allowed())
    }

    #[test]
    fn a_good_file_has_no_findings() {
        assert_eq!(after(|_| {}), []);
    }

    #[test]
    fn what_is_writable_must_not_be_executable() {
        let found = after(|elf| elf.segments[1].executable = true);
        assert_eq!(found, [Finding::WritableCodeSegment { address: 0x2000 }]);
        let found = after(|elf| elf.sections[0].writable = true);
        let name = ".text".to_owned();
        assert_eq!(found, [Finding::WritableCodeSection { name }]);
        // What is not loaded has no effect.
        let found = after(|elf| {
            elf.sections[0].writable = true;
            elf.sections[0].loaded = false;
        });
        assert_eq!(found, []);
    }

    #[test]
    fn nothing_may_be_left_to_a_loader() {
        for kind in [
            elf::SHT_REL,
            elf::SHT_RELA,
            elf::SHT_RELR,
            elf::SHT_DYNAMIC,
            elf::SHT_INIT_ARRAY,
        ] {
            // Relocations that are for a linker are not loaded, and still left over.
            let found = after(|elf| {
                let mut section = section(".rela.text", kind.0, false, false);
                section.loaded = false;
                elf.sections.push(section);
            });
            let what = "the section .rela.text".to_owned();
            assert_eq!(found, [Finding::ForLoader { what }], "{kind:?}");
        }
        let found = after(|elf| {
            elf.segments
                .push(segment(elf::PT_DYNAMIC.0, 0x3000, true, false));
        });
        assert!(matches!(found[..], [Finding::ForLoader { .. }]));
        assert_eq!(after(|elf| elf.fixed = false), [Finding::NotFixed]);
    }

    #[test]
    fn symbols_of_tests_are_found() {
        let tests = "_ZN8rmm_core5tests4good17h823db1c257e55521E";
        let found = after(|elf| elf.symbols.push(symbol(tests)));
        let name = "rmm_core::tests::good".to_owned();
        assert_eq!(found, [Finding::Test { symbol: name }]);
        let found = after(|elf| elf.symbols.push(symbol("__llvm_profile_runtime")));
        assert!(matches!(found[..], [Finding::Test { .. }]));
        // A word that only begins so is another word.
        let found = after(|elf| elf.symbols.push(symbol("latest_tested")));
        assert_eq!(found, []);
    }

    #[test]
    fn crates_must_be_in_the_bill() {
        let symbols = [
            "_ZN12fake_machine3cpu3run17h823db1c257e55521E",
            "_ZN12fake_machine3cpu4stop17h823db1c257e55521E",
        ];
        let found = after(|elf| elf.symbols.extend(symbols.map(symbol)));
        let name = "fake_machine".to_owned();
        let symbol = "fake_machine::cpu::run".to_owned();
        assert_eq!(found, [Finding::UnknownCrate { name, symbol }]);
    }

    #[test]
    fn undefined_symbols_and_another_entry_are_found() {
        let found = after(|elf| elf.symbols[0].undefined = true);
        let symbol = "rmm_entry".to_owned();
        assert_eq!(found, [Finding::Undefined { symbol }]);
        let found = after(|elf| elf.entry = 0x1004);
        assert!(matches!(found[..], [Finding::Entry { .. }]));
    }
}
