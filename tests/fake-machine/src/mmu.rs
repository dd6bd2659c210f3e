//! The MMU of a CPU that runs a Realm: it walks the tables and remembers what it found.
//!
//! A real MMU may remember everything that it has ever seen, and must forget it when told. So
//! does this one, and it looks again at once at what it was told to forget. A translation that is
//! remembered although the tables say something else, or although its memory has been put to
//! another use, ends the test.

use std::collections::BTreeMap;
use std::fmt;

use rmm_core::rtt::Invalidation;

use crate::granule::Owner;
use crate::memory::Memory;

/// What `VTTBR_EL2` and `VTCR_EL2` hold while a Realm runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stage2Registers {
    /// Tag of the Realm.
    pub vmid: u16,
    /// First start-level table.
    pub base: u64,
    /// Bits of an IPA.
    pub ipa_width: u32,
    /// Level at which walks start.
    pub start_level: i8,
    /// 52-bit addresses (`VTCR_EL2.DS`).
    pub lpa2: bool,
}

/// Where an IPA leads.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Translation {
    /// First IPA of the page or block.
    pub ipa: u64,
    /// Its physical address.
    pub output: u64,
    /// Its size in bytes.
    pub size: u64,
    /// The physical address is the host's.
    pub non_secure: bool,
    /// `MemAttr` and `S2AP` as they are in the descriptor.
    pub attributes: u64,
}

/// A step of a walk: the entry of a level for an IPA leads to a table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct TableStep {
    ipa: u64,
    size: u64,
    table: u64,
}

/// What is remembered of one Realm.
#[derive(Debug, Default)]
struct Remembered {
    registers: Option<Stage2Registers>,
    leaves: BTreeMap<u64, Translation>,
    steps: BTreeMap<(i8, u64), TableStep>,
}

/// All that the CPUs of a machine remember.
#[derive(Debug, Default)]
pub(crate) struct Tlb {
    realms: BTreeMap<u16, Remembered>,
    /// The REC of a Realm that ran last on a CPU, by the number of the CPU and the VMID.
    last_recs: BTreeMap<(usize, u16), u64>,
}

/// Why there is no translation: the walk ended at this level.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Fault {
    pub(crate) level: i8,
}

/// What the tables say and what is remembered are two things.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StaleTranslation(String);

impl fmt::Display for StaleTranslation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

const fn shift(level: i8) -> u32 {
    12 + 9 * (3 - level).unsigned_abs() as u32
}

fn output_address(descriptor: u64, level: i8, lpa2: bool) -> u64 {
    let address = if lpa2 {
        descriptor & 0x0003_ffff_ffff_f000 | (descriptor >> 8 & 3) << 50
    } else {
        descriptor & 0x0000_ffff_ffff_f000
    };
    let below = (1 << shift(level)) - 1;
    assert_eq!(
        address & below,
        0,
        "descriptor {descriptor:#x} of level {level} is misaligned"
    );
    address
}

impl Stage2Registers {
    /// Walks the tables in memory as they are now.
    fn walk(
        &self,
        memory: &Memory,
        ipa: u64,
    ) -> (Vec<(i8, TableStep)>, Result<Translation, Fault>) {
        let mut steps = Vec::new();
        if ipa >> self.ipa_width != 0 {
            return (steps, Err(Fault { level: 0 }));
        }
        let mut level = self.start_level;
        let first_index = ipa >> shift(level);
        let mut table = self.base + (first_index >> 9) * 0x1000;
        loop {
            assert_eq!(
                memory.owner(table),
                Owner::Realm,
                "the MMU was led to a table outside of the Realm world: {table:#x}"
            );
            let index = usize::try_from(ipa >> shift(level) & 0x1ff).expect("nine bits");
            let descriptor = memory.inspect(table, index);
            let size = 1 << shift(level);
            let entry_ipa = ipa & !(size - 1);
            match descriptor & 3 {
                3 if level < 3 => {
                    table = output_address(descriptor, 3, self.lpa2);
                    steps.push((
                        level,
                        TableStep {
                            ipa: entry_ipa,
                            size,
                            table,
                        },
                    ));
                    level += 1;
                }
                3 | 1 if (level == 3) == (descriptor & 3 == 3) => {
                    assert!(level >= 1, "a block at level {level}: {descriptor:#x}");
                    assert_ne!(
                        descriptor & 1 << 10,
                        0,
                        "access flag clear: {descriptor:#x}"
                    );
                    let leaf = Translation {
                        ipa: entry_ipa,
                        output: output_address(descriptor, level, self.lpa2),
                        size,
                        non_secure: descriptor >> 55 & 1 != 0,
                        attributes: descriptor & 0xfc,
                    };
                    return (steps, Ok(leaf));
                }
                _ => return (steps, Err(Fault { level })),
            }
        }
    }
}

impl Tlb {
    /// Translates as a CPU does that runs the Realm, and remembers what it meets on the way.
    pub(crate) fn translate(
        &mut self,
        memory: &Memory,
        registers: &Stage2Registers,
        ipa: u64,
    ) -> Result<Translation, Fault> {
        let remembered = self.realms.entry(registers.vmid).or_default();
        if remembered
            .registers
            .replace(*registers)
            .is_some_and(|old| old != *registers)
        {
            assert!(
                remembered.leaves.is_empty() && remembered.steps.is_empty(),
                "VMID {} is another Realm's now, and the translations of the old one are still known",
                registers.vmid
            );
        }
        let (steps, leaf) = registers.walk(memory, ipa);
        for (level, step) in steps {
            remembered.steps.insert((level, step.ipa), step);
        }
        if let Ok(leaf) = leaf {
            if !leaf.non_secure {
                for page in (0..leaf.size).step_by(0x1000) {
                    assert_eq!(memory.owner(leaf.output + page), Owner::Realm, "{leaf:x?}");
                }
            }
            remembered.leaves.insert(leaf.ipa, leaf);
        }
        leaf
    }

    /// Whether everything that is remembered is still true.
    pub(crate) fn check(&self, memory: &Memory, vmid: u16) -> Result<(), StaleTranslation> {
        let Some(remembered) = self.realms.get(&vmid) else {
            return Ok(());
        };
        let Some(registers) = remembered.registers else {
            return Ok(());
        };
        for leaf in remembered.leaves.values() {
            let now = registers.walk(memory, leaf.ipa).1.ok();
            if now != Some(*leaf) {
                let text = format!("remembered {leaf:x?}, the tables say {now:x?}");
                return Err(StaleTranslation(text));
            }
        }
        for (level, step) in &remembered.steps {
            let (now, _) = registers.walk(memory, step.ipa);
            if !now.contains(&(level.0, *step)) {
                let text = format!(
                    "remembered {step:x?} of level {}, the tables say {now:x?}",
                    level.0
                );
                return Err(StaleTranslation(text));
            }
        }
        Ok(())
    }

    /// Forgets what an invalidation names.
    ///
    /// # Panics
    ///
    /// When an entry has already been replaced by another valid one: break before make.
    pub(crate) fn invalidate(&mut self, memory: &Memory, invalidation: &Invalidation) {
        let (vmid, first, last) = match *invalidation {
            Invalidation::Entry { vmid, ipa } => (vmid, ipa, ipa),
            Invalidation::Table { vmid, ipa, level } => {
                assert_eq!(ipa & ((1 << (shift(level) + 9)) - 1), 0, "{invalidation:?}");
                (vmid, ipa, ipa + (1 << (shift(level) + 9)) - 1)
            }
            Invalidation::Realm { vmid } => {
                self.realms.remove(&vmid);
                self.last_recs.retain(|&(_, other), _| other != vmid);
                return;
            }
        };
        let Some(remembered) = self.realms.get_mut(&vmid) else {
            return;
        };
        let Some(registers) = remembered.registers else {
            return;
        };
        // What the tables still say is found again at once by a CPU that runs the Realm.
        remembered.leaves.retain(|_, leaf| {
            if leaf.ipa > last || leaf.ipa + leaf.size <= first {
                return true;
            }
            let (_, now) = registers.walk(memory, leaf.ipa);
            assert!(
                now.is_err() || now == Ok(*leaf),
                "not invalid before it was replaced: {leaf:x?} by {now:x?}"
            );
            now.is_ok()
        });
        remembered.steps.retain(|&(level, _), step| {
            if step.ipa > last || step.ipa + step.size <= first {
                return true;
            }
            let (now, leaf) = registers.walk(memory, step.ipa);
            let at_this_level = now.iter().find(|(other, _)| *other == level);
            let replaced_by_table = at_this_level.is_some_and(|(_, other)| other != step);
            let replaced_by_block = leaf.is_ok_and(|leaf| leaf.size >= step.size);
            assert!(
                !replaced_by_table && !replaced_by_block,
                "not invalid before it was replaced: {step:x?} by {now:x?} {leaf:x?}"
            );
            at_this_level.is_some()
        });
    }

    /// A REC comes to a CPU. What another REC of its Realm left there may not be true for it.
    ///
    /// # Panics
    ///
    /// When the CPU is not made to forget that.
    pub(crate) fn run_on(&mut self, cpu: usize, vmid: u16, rec: u64, forget: bool) {
        let last = self.last_recs.insert((cpu, vmid), rec);
        assert!(
            forget || last.is_none_or(|last| last == rec),
            "CPU {cpu} may still use what it knows of REC {last:x?} for REC {rec:#x}"
        );
    }

    /// Ends the test when a CPU could still reach a granule that is put to another use.
    pub(crate) fn assert_unreachable(&self, address: u64) {
        for (vmid, remembered) in &self.realms {
            for leaf in remembered.leaves.values().filter(|leaf| !leaf.non_secure) {
                assert!(
                    !(leaf.output..leaf.output + leaf.size).contains(&address),
                    "granule {address:#x} is put to another use, and VMID {vmid} still knows {leaf:x?}"
                );
            }
            for step in remembered.steps.values() {
                assert_ne!(
                    step.table, address,
                    "granule {address:#x} is put to another use, and VMID {vmid} still walks it"
                );
            }
        }
    }
}
