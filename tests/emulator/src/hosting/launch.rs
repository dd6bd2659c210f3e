//! What `host-vmm` says of a launch: how long each phase took, and how the Realm's memory ended.

use std::fmt;

const PAGES_OF_MEBIBYTE: u64 = 256;
/// Pages of 4 KiB in a block of 2 MiB.
const BLOCK_PAGES: u64 = 512;
/// Blocks' worth of memory that a guest shares with the host in part, so that they are mapped page by page:
/// the ends of its bounce buffers, and rings of its devices.
const MIXED_BLOCKS: u64 = 6;

/// The phases: what a line of `host-vmm` begins with, the field that has the milliseconds, a name.
const PHASES: &[(&str, &str, &str)] = &[
    ("files opened", "milliseconds", "files"),
    ("machine made", "milliseconds", "machine"),
    ("memory filled", "milliseconds", "filling"),
    ("started", "milliseconds", "start"),
    ("ended", "taken_down_in_milliseconds", "taking down"),
];
/// Between start and end, in the guest's own words.
const GUEST_UP: &str = "guest: up as a ";

/// Phases of a launch with their milliseconds, in their order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Launch(Vec<(&'static str, u64)>);

impl Launch {
    /// The launch on a console.
    pub(crate) fn among(lines: &[String]) -> Result<Self, String> {
        let mut phases = Vec::new();
        for (message, field, name) in PHASES {
            if *name == "taking down" {
                phases.push(("guest's kernel", guest_milliseconds(lines)?));
            }
            phases.push((*name, number(lines, message, field)?));
        }
        Ok(Self(phases))
    }

    /// Phases with their milliseconds.
    pub(crate) fn phases(&self) -> &[(&'static str, u64)] {
        &self.0
    }

    #[cfg(test)]
    pub(crate) fn of(phases: &[(&'static str, u64)]) -> Self {
        Self(phases.to_vec())
    }
}

impl fmt::Display for Launch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (name, milliseconds)) in self.0.iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            let (seconds, tenths) = (milliseconds / 1000, milliseconds % 1000 / 100);
            write!(f, "{comma}{name} {seconds}.{tenths} s")?;
        }
        Ok(())
    }
}

/// A Realm's memory at its end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Memory {
    /// Private pages of 4 KiB, those in blocks included.
    pub(crate) private_pages: u64,
    /// Mapped in one piece of 2 MiB.
    pub(crate) blocks: u64,
    /// Pages of the host that the Realm uses.
    pub(crate) shared_pages: u64,
}

impl Memory {
    /// That of the Realm on a console.
    pub(crate) fn among(lines: &[String]) -> Result<Self, String> {
        let number = |field| number(lines, "the Realm's memory", field);
        Ok(Self {
            private_pages: number("private_pages")?,
            blocks: number("blocks")?,
            shared_pages: number("shared_pages")?,
        })
    }

    /// Whether what the Realm has is mapped in blocks wherever that can be.
    pub(crate) fn expect_blocks(self) -> Result<(), String> {
        if self.single_pages() < MIXED_BLOCKS * BLOCK_PAGES {
            Ok(())
        } else {
            Err(format!("too few blocks: {self}"))
        }
    }

    /// Whether so many MiB of RAM have been used, all but a few of them.
    pub(crate) fn expect_all_of(self, mebibytes: u64, but_for: u64) -> Result<(), String> {
        let pages = self.private_pages.saturating_add(self.shared_pages);
        if pages
            >= mebibytes
                .saturating_sub(but_for)
                .saturating_mul(PAGES_OF_MEBIBYTE)
        {
            Ok(())
        } else {
            Err(format!("of {mebibytes} MiB only {pages} pages were used"))
        }
    }

    /// Private pages that are mapped one by one.
    const fn single_pages(self) -> u64 {
        self.private_pages
            .saturating_sub(self.blocks.saturating_mul(BLOCK_PAGES))
    }
}

impl fmt::Display for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let single = self.single_pages();
        write!(
            f,
            "{} pages private: {} blocks of 2 MiB and {single} pages of their own; {} shared",
            self.private_pages, self.blocks, self.shared_pages
        )
    }
}

/// A number in the last message that begins like this.
fn number(lines: &[String], message: &str, field: &str) -> Result<u64, String> {
    let messages = lines.iter().rev().filter_map(|line| {
        // Progress is drawn before it on the same line.
        let (_, message) = line.rsplit_once("host-vmm: ")?;
        Some(message)
    });
    let message = messages
        .filter_map(|text| text.strip_prefix(message))
        .find(|fields| fields.starts_with(' '))
        .ok_or_else(|| format!("host-vmm has not said {message:?}"))?;
    let value = message
        .split(' ')
        .find_map(|word| word.strip_prefix(field)?.strip_prefix('='));
    value
        .and_then(|digits| digits.parse().ok())
        .ok_or_else(|| format!("no {field} in {message:?}"))
}

/// How long the guest's kernel says that it took to come up.
fn guest_milliseconds(lines: &[String]) -> Result<u64, String> {
    let up = lines
        .iter()
        .rev()
        .find_map(|line| line.strip_prefix(GUEST_UP));
    let seconds = up.and_then(|text| text.split_once(" after ")?.1.split(' ').next());
    let parsed = seconds.and_then(|seconds| {
        let (whole, hundredths) = seconds.split_once('.')?;
        let hundredths: u64 = hundredths.parse().ok()?;
        (hundredths < 100).then_some(())?;
        let milliseconds = whole.parse::<u64>().ok()?.checked_mul(1000)?;
        milliseconds.checked_add(hundredths * 10)
    });
    parsed.ok_or_else(|| "the guest has not said how long it took to come up".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONSOLE: &str = "\
        host-vmm: files opened name=\"guest\" memory=256 MiB cpus=1 milliseconds=77\n\
        host-vmm: machine made on=the Realm kernel module milliseconds=170\n\
        filling memory 26 MiB/42 MiB\u{1b}[2Khost-vmm: memory filled mebibytes=42 milliseconds=3443\n\
        host-vmm: started milliseconds=8\n\
        guest: up as a Realm after 4.27 s, kernel 7.3.4, CPUs 0-1\n\
        host-vmm: the Realm's memory private_pages=19929 blocks=37 shared_pages=86 tables=9 faults=18\n\
        host-vmm: ended seconds=7 taken_down_in_milliseconds=4933";

    fn lines(text: &str) -> Vec<String> {
        text.lines().map(str::to_owned).collect()
    }

    #[test]
    fn phases_are_found() {
        assert_eq!(
            Launch::among(&lines(CONSOLE)).unwrap().to_string(),
            "files 0.0 s, machine 0.1 s, filling 3.4 s, start 0.0 s, guest's kernel 4.2 s, taking down 4.9 s"
        );
        for missing in ["machine made", "after 4.27 s", "taken_down_in_"] {
            let text = CONSOLE.replace(missing, "?");
            assert!(Launch::among(&lines(&text)).is_err(), "{missing}");
        }
    }

    #[test]
    fn memory_is_found() {
        let memory = Memory::among(&lines(CONSOLE)).unwrap();
        assert_eq!((memory.blocks, memory.single_pages()), (37, 985));
        memory.expect_blocks().unwrap();
        memory.expect_all_of(96, 18).unwrap();
        memory.expect_all_of(96, 17).unwrap_err();
        let single = CONSOLE.replace("blocks=37", "blocks=32");
        let single = Memory::among(&lines(&single)).unwrap();
        assert!(single.expect_blocks().unwrap_err().contains("32 blocks"));
        assert!(Memory::among(&lines(&CONSOLE.replace("blocks=37", "blocks="))).is_err());
        assert!(Memory::among(&lines(&CONSOLE.replace("the Realm's memory", "?"))).is_err());
    }
}
