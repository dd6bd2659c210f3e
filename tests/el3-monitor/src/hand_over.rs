//! What the RMM is told instead of what is so: for tests of its boot.
//!
//! The file `opt/cloister/hand-over` has words like `x2=512` or `bank=0x40000000+0x20000000`;
//! `docs/development.md` lists them.

use alloc::vec::Vec;
use core::fmt;

use rmm_abi::Version;
use rmm_abi::manifest::{Console, DramBank, List};

use crate::Region;
use crate::boot_manifest::Contents;
use crate::region::GRANULE;

/// Longest text, in bytes.
pub const LONGEST: usize = 1024;

/// A number that replaces another.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Replacement {
    /// This one.
    By(u64),
    /// So much more than what is right.
    Plus(u64),
}

impl Replacement {
    fn of(self, right: u64) -> u64 {
        match self {
            Self::By(number) => number,
            Self::Plus(more) => right.wrapping_add(more),
        }
    }
}

/// What is different in a list of the manifest.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct ListChange {
    count: Option<u64>,
    address: Option<Replacement>,
    checksum: Option<Replacement>,
}

impl ListChange {
    /// The list with the change; `add_up` gives the checksum that belongs to count and address.
    fn apply(self, list: &mut List, add_up: impl FnOnce(&List) -> u64) {
        list.count = self.count.unwrap_or(list.count);
        if let Some(address) = self.address {
            list.address = address.of(list.address);
        }
        list.checksum = add_up(list);
        if let Some(checksum) = self.checksum {
            list.checksum = checksum.of(list.checksum);
        }
    }
}

/// What is different from the truth. The default is nothing.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct HandOver {
    registers: [Option<Replacement>; 4],
    cpus: Option<u64>,
    last_numbers: bool,
    version: Option<u32>,
    banks: Option<Vec<DramBank>>,
    dram: ListChange,
    consoles: Option<Vec<Console>>,
    console_list: ListChange,
    old_console_checksum: bool,
    kept: Option<usize>,
    /// Memory of the machine that its device tree does not know of.
    pub memory: Vec<Region>,
    /// So many bytes less for the RMM than it needs.
    pub withheld: u64,
    /// The monitor says how many ticks of the counter each boot of the RMM takes.
    pub ticks: bool,
}

/// A word that is not understood.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BadWord<'a>(pub &'a str);

impl fmt::Display for BadWord<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "'{}' is no word of opt/cloister/hand-over", self.0)
    }
}

/// Puts a value into a place that is empty; `None` if it was not.
fn once<T>(place: &mut Option<T>, value: T) -> Option<()> {
    place.replace(value).is_none().then_some(())
}

impl HandOver {
    /// Reads a text. Line ends and what pads a file after it do not count.
    ///
    /// # Errors
    ///
    /// The first word that cannot be used.
    pub fn parse(text: &str) -> Result<Self, BadWord<'_>> {
        let mut hand_over = Self::default();
        let text = text.trim_end_matches(['\0', '\n', '\r', ' ']);
        for word in text.split_ascii_whitespace() {
            hand_over.word(word).ok_or(BadWord(word))?;
        }
        Ok(hand_over)
    }

    fn word(&mut self, word: &str) -> Option<()> {
        let (name, value) = word.split_once('=').unwrap_or((word, ""));
        match name {
            "x0" => once(&mut self.registers[0], replacement(value)?),
            "x1" => once(&mut self.registers[1], replacement(value)?),
            "x2" => once(&mut self.registers[2], replacement(value)?),
            "x3" => once(&mut self.registers[3], replacement(value)?),
            "cpus" => once(&mut self.cpus, number(value)?),
            "last-numbers" if value.is_empty() => {
                self.last_numbers = true;
                Some(())
            }
            "version" => once(&mut self.version, version(value)?),
            "bank" => {
                self.banks.get_or_insert_default().push(bank(value)?);
                Some(())
            }
            "dram-count" => once(&mut self.dram.count, number(value)?),
            "dram-address" => once(&mut self.dram.address, replacement(value)?),
            "dram-checksum" => once(&mut self.dram.checksum, replacement(value)?),
            "console" => {
                let consoles = self.consoles.get_or_insert_default();
                if value != "none" {
                    consoles.push(console(value)?);
                }
                Some(())
            }
            "console-count" => once(&mut self.console_list.count, number(value)?),
            "console-address" => once(&mut self.console_list.address, replacement(value)?),
            "console-checksum" if value == "old" => {
                self.old_console_checksum = true;
                Some(())
            }
            "console-checksum" => once(&mut self.console_list.checksum, replacement(value)?),
            "keep" => once(&mut self.kept, usize::try_from(number(value)?).ok()?),
            "memory" => {
                let DramBank { base, size } = bank(value)?;
                let whole = base.is_multiple_of(GRANULE) && size.is_multiple_of(GRANULE);
                self.memory
                    .push(Region::new(base, size).filter(|_| whole && size != 0)?);
                Some(())
            }
            "withhold" => {
                self.withheld = number(value)?.checked_next_multiple_of(GRANULE)?;
                Some(())
            }
            "ticks" if value.is_empty() => {
                self.ticks = true;
                Some(())
            }
            _ => None,
        }
    }

    /// CPUs that the RMM has to have memory for, on a machine with so many.
    pub fn cpus(&self, present: u64) -> u64 {
        self.cpus.unwrap_or(present)
    }

    /// Number of the first CPU as the RMM gets to know it, on a machine with so many.
    pub fn first_number(&self, present: u64) -> u64 {
        if self.last_numbers {
            self.cpus(present).saturating_sub(present)
        } else {
            0
        }
    }

    /// X0 to X3 of the cold boot, from what they should be.
    pub fn registers(&self, right: [u64; 4]) -> [u64; 4] {
        let mut registers = right;
        for (register, replacement) in registers.iter_mut().zip(self.registers) {
            if let Some(replacement) = replacement {
                *register = replacement.of(*register);
            }
        }
        registers
    }

    /// Changes what the manifest says, before it is laid out.
    pub fn change(&self, contents: &mut Contents) {
        if let Some(version) = self.version {
            contents.version = version;
        }
        if let Some(banks) = &self.banks {
            contents.banks.clone_from(banks);
        }
        if let Some(consoles) = &self.consoles {
            contents.consoles.clone_from(consoles);
        }
    }

    /// Changes the DRAM list of the manifest.
    pub fn change_dram(&self, list: &mut List, add_up: impl FnOnce(&List) -> u64) {
        self.dram.apply(list, add_up);
    }

    /// Changes the console list of the manifest.
    pub fn change_consoles(&self, list: &mut List, add_up: impl FnOnce(&List) -> u64) {
        self.console_list.apply(list, add_up);
    }

    /// Whether the checksum of the console list is that of firmware before TF-A 2.12, without names
    /// and flags.
    pub fn has_old_console_checksum(&self) -> bool {
        self.old_console_checksum
    }

    /// Cuts the page off.
    pub fn cut(&self, page: &mut [u8]) {
        if let Some(rest) = self.kept.and_then(|kept| page.get_mut(kept..)) {
            rest.fill(0);
        }
    }
}

/// A number, decimal or with `0x`.
fn number(text: &str) -> Option<u64> {
    let (digits, radix) = match text.strip_prefix("0x") {
        Some(digits) => (digits, 16),
        None => (text, 10),
    };
    // The standard library would take a sign, too.
    let is_number = digits.chars().all(|digit| digit.is_digit(radix));
    u64::from_str_radix(digits, radix)
        .ok()
        .filter(|_| is_number)
}

/// A number, or with a plus sign how much is added to what is right.
fn replacement(text: &str) -> Option<Replacement> {
    match text.strip_prefix('+') {
        Some(more) => number(more).map(Replacement::Plus),
        None => number(text).map(Replacement::By),
    }
}

/// A version word: `0.3`, or any number.
fn version(text: &str) -> Option<u32> {
    let word = match text.split_once('.') {
        Some((major, minor)) => Version::new(major.parse().ok()?, minor.parse().ok()?).word(),
        None => number(text)?,
    };
    u32::try_from(word).ok()
}

/// `BASE+SIZE`.
fn bank(text: &str) -> Option<DramBank> {
    let (base, size) = text.split_once('+')?;
    Some(DramBank {
        base: number(base)?,
        size: number(size)?,
    })
}

/// `KIND@BASE`.
fn console(text: &str) -> Option<Console> {
    let (kind, base) = text.split_once('@')?;
    let mut name = [0; 8];
    name.get_mut(..kind.len())?.copy_from_slice(kind.as_bytes());
    Some(Contents::console(name, number(base)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> HandOver {
        HandOver::parse(text).unwrap()
    }

    #[test]
    fn nothing_changes_nothing() {
        for text in ["", "\n", "  \0"] {
            assert_eq!(parse(text), HandOver::default());
        }
        let nothing = HandOver::default();
        assert_eq!(nothing.registers([1, 2, 3, 4]), [1, 2, 3, 4]);
        assert_eq!((nothing.cpus(3), nothing.first_number(3)), (3, 0));
        let contents = Contents::of(&[Region::new(0x1000, 0x1000).unwrap()], 0x900_0000);
        let mut changed = contents.clone();
        nothing.change(&mut changed);
        assert_eq!(changed, contents);
        let mut page = [7; 16];
        nothing.cut(&mut page);
        assert_eq!(page, [7; 16]);
    }

    #[test]
    fn registers_are_replaced_or_moved() {
        let hand_over = parse("x1=0x20000 x3=+8 x0=3\n");
        assert_eq!(
            hand_over.registers([0, 8, 2, 0x1000]),
            [3, 0x2_0000, 2, 0x1008]
        );
        // Down is far up.
        let below = parse("x3=+0xfffffffffffff000");
        assert_eq!(below.registers([0, 0, 0, 0x2000])[3], 0x1000);
    }

    #[test]
    fn more_cpus_are_announced_than_there_are() {
        let hand_over = parse("cpus=512 last-numbers");
        assert_eq!((hand_over.cpus(4), hand_over.first_number(4)), (512, 508));
        assert_eq!(parse("cpus=512").first_number(4), 0);
        assert_eq!(parse("last-numbers").first_number(4), 0);
    }

    #[test]
    fn contents_are_replaced_as_a_whole() {
        let hand_over = parse(
            "version=0.3 bank=0x40000000+0x10000000 bank=0xfff8000000+0x8000000 console=uart16@0x9040000 console=pl011@0x9000000",
        );
        let mut contents = Contents::of(&[Region::new(0x1000, 0x1000).unwrap()], 0x900_0000);
        hand_over.change(&mut contents);
        assert_eq!(contents.version, 3);
        let banks: Vec<_> = contents
            .banks
            .iter()
            .map(|bank| (bank.base, bank.size))
            .collect();
        assert_eq!(
            banks,
            [(0x4000_0000, 0x1000_0000), (0xff_f800_0000, 0x800_0000)]
        );
        let names: Vec<_> = contents
            .consoles
            .iter()
            .map(|console| (console.base, console.name))
            .collect();
        assert_eq!(
            names,
            [(0x904_0000, *b"uart16\0\0"), (0x900_0000, *b"pl011\0\0\0")]
        );
        parse("console=none").change(&mut contents);
        assert!(contents.consoles.is_empty());
        parse("version=0x80000001").change(&mut contents);
        assert_eq!(contents.version, 0x8000_0001);
    }

    #[test]
    fn a_list_is_wrong_in_one_field_only() {
        let add_up = |list: &List| {
            list.count
                .wrapping_add(list.address)
                .wrapping_add(100)
                .wrapping_neg()
        };
        let right = List {
            count: 2,
            address: 0x1000,
            checksum: 0,
        };
        let changed = |text| {
            let mut list = right;
            parse(text).change_dram(&mut list, add_up);
            list
        };
        assert_eq!(changed("").checksum, add_up(&right));
        let elsewhere = changed("dram-address=+0x1000");
        assert_eq!(elsewhere.address, 0x2000);
        assert_eq!(elsewhere.checksum, add_up(&elsewhere));
        let many = changed("dram-count=65");
        assert_eq!((many.count, many.checksum), (65, add_up(&many)));
        let wrong = changed("dram-checksum=+1");
        assert_eq!(wrong.checksum, add_up(&right).wrapping_add(1));
        let mut consoles = right;
        parse("console-checksum=5 console-count=1").change_consoles(&mut consoles, add_up);
        assert_eq!((consoles.count, consoles.checksum), (1, 5));
        assert!(parse("console-checksum=old").has_old_console_checksum());
    }

    #[test]
    fn the_page_is_cut_off_and_memory_is_withheld() {
        let mut page = [7; 16];
        parse("keep=3").cut(&mut page);
        assert_eq!(&page[..4], [7, 7, 7, 0]);
        parse("keep=99").cut(&mut page);
        assert_eq!(page[..3], [7; 3]);
        assert_eq!(parse("withhold=1").withheld, 0x1000);
        assert!(parse("ticks").ticks);
        let memory = parse("memory=0xfff8000000+0x8000000").memory;
        assert_eq!(memory, [Region::new(0xff_f800_0000, 0x800_0000).unwrap()]);
    }

    #[test]
    fn words_that_make_no_sense_are_named() {
        for word in [
            "x4=1",
            "x0",
            "x0=",
            "x0=-1",
            "x0=0x",
            "x0=0x10000000000000000",
            "cpus=+1",
            "version=0.3.1",
            "version=0x100000000",
            "bank=0x1000",
            "bank=0x1000+",
            "console=pl011",
            "console=ninechars@0x1000",
            "memory=0x800+0x1000",
            "memory=0x1000+0",
            "memory=0xfffffffffffff000+0x2000",
            "withhold=0xffffffffffffffff",
            "ticks=1",
            "banks=none",
        ] {
            let text = alloc::format!("ticks {word}");
            assert_eq!(HandOver::parse(&text), Err(BadWord(word)), "{word}");
        }
        for twice in ["x1=1 x1=1", "keep=1 keep=1", "dram-count=1 dram-count=2"] {
            assert!(HandOver::parse(twice).is_err(), "{twice}");
        }
    }
}
