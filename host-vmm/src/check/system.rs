//! The kernel, and what it says of itself.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use super::{Line, Wish, under};
use crate::configuration::Backend;

/// Most bytes of a file of the kernel that are looked at.
const MOST_BYTES: u64 = 1 << 20;

/// The oldest kernel that the Realm kernel module is built for.
const OLDEST_FOR_MODULE: (u32, u32) = (6, 12);

/// Where a host's kernel shows what it knows.
pub(super) struct System {
    root: PathBuf,
}

impl System {
    pub(super) fn new(root: &Path) -> Self {
        Self { root: root.into() }
    }

    /// The text of a file, without the end of its last line.
    pub(super) fn read(&self, path: &str) -> Option<String> {
        let mut bytes = Vec::new();
        let file = fs::File::open(under(&self.root, path)).ok()?;
        file.take(MOST_BYTES).read_to_end(&mut bytes).ok()?;
        let text = String::from_utf8_lossy(&bytes);
        Some(text.trim_end().to_owned())
    }

    pub(super) fn exists(&self, path: &str) -> bool {
        under(&self.root, path).exists()
    }

    /// Names in a folder.
    pub(super) fn names(&self, path: &str) -> Vec<String> {
        let entries = fs::read_dir(under(&self.root, path));
        let entries = entries.into_iter().flatten().flatten();
        let mut names: Vec<String> = entries
            .filter_map(|entry| entry.file_name().into_string().ok())
            .collect();
        names.sort();
        names
    }

    /// The version of the kernel that runs.
    pub(super) fn release(&self) -> Option<String> {
        self.read("/proc/sys/kernel/osrelease")
    }

    pub(super) fn architecture(&self) -> Line {
        let name = "architecture";
        let found = self.read("/proc/sys/kernel/arch");
        let found = found.unwrap_or_else(|| std::env::consts::ARCH.to_owned());
        if found == "aarch64" {
            Line::good(name, "arm64")
        } else {
            let advice = "machines run on arm64 hosts; `measure` and `config` work here as well";
            Line::bad(name, found, advice)
        }
    }

    pub(super) fn kernel(&self, wish: &Wish) -> Line {
        let name = "kernel";
        let Some(release) = self.release() else {
            return Line::unknown(name, "/proc/sys/kernel/osrelease cannot be read");
        };
        let only_module = wish.configuration.backend == Backend::Module;
        match version(&release) {
            Some(version) if only_module && version < OLDEST_FOR_MODULE => {
                let (major, minor) = OLDEST_FOR_MODULE;
                let advice = format!(
                    "the Realm kernel module is for Linux {major}.{minor} and later: boot such a kernel"
                );
                Line::bad(name, release, advice)
            }
            Some(_) => Line::good(name, release),
            None => Line::unknown(name, release),
        }
    }

    pub(super) fn pseudo_nmi(&self) -> Line {
        let name = "pseudo-NMIs";
        let Some(line) = self.read("/proc/cmdline") else {
            return Line::unknown(name, "/proc/cmdline cannot be read");
        };
        // The last one counts, and the kernel takes several words for yes.
        let values = line.split_whitespace();
        let mut values = values.filter_map(|word| word.strip_prefix("irqchip.gicv3_pseudo_nmi="));
        match values.next_back() {
            Some("1" | "y" | "Y" | "on" | "t" | "T") => Line::bad(
                name,
                "on",
                "the Realm kernel module does not work with them: boot without irqchip.gicv3_pseudo_nmi=1",
            ),
            _ => Line::good(name, "off"),
        }
    }
}

/// The first two numbers of a kernel's version.
fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(['.', '-']);
    let major = numbers.next()?.parse().ok()?;
    let minor = numbers.next()?.parse().ok()?;
    Some((major, minor))
}
